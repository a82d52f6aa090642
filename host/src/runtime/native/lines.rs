//! The built-in producer `lines`: one event per line of a file or of standard input.

use std::{
    fmt,
    future::poll_fn,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use async_trait::async_trait;
use forebay_proto::batch::{Batch, BatchLimits, Columns};
use tokio::io::AsyncBufRead;

use super::super::{
    CallError, GuestDelivery, Instance, InstanceSpec, Output, Plugin, Produced, Role, StageError, StartError, Trap,
    check,
};

/// A line's own cost in a batch beside its bytes: its entry in `ends`.
const EVENT_BYTES: usize = 4;

/// A producer of the lines of what `open` opens, anew for each instance.
///
/// An event is a line without its `\n`; all other bytes stay as they are, `\r` too. A last line that
/// no `\n` ends counts. A call gives at most `demand` lines and at most `limits.batch` of bytes. It
/// waits for the first line, for as long as it takes, and takes further ones only if they are there:
/// so a person who types sees each line go at once. `finished` comes with the last lines, or, where
/// the end shows later, with an empty batch.
///
/// A line that does not fit a batch alone is [`StageError::Fatal`] and names the line's number; so is
/// an error of reading.
pub fn lines<R>(open: impl Fn(&InstanceSpec) -> io::Result<R> + Send + Sync + 'static) -> Arc<dyn Plugin>
where
    R: AsyncBufRead + Send + Unpin + 'static,
{
    Arc::new(Lines { open: Box::new(open) })
}

type Open<R> = Box<dyn Fn(&InstanceSpec) -> io::Result<R> + Send + Sync>;

struct Lines<R> {
    open: Open<R>,
}

impl<R> fmt::Debug for Lines<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lines")
    }
}

#[async_trait]
impl<R: AsyncBufRead + Send + Unpin + 'static> Plugin for Lines<R> {
    fn role(&self) -> Role {
        Role::Producer
    }

    fn digest(&self) -> &'static str {
        "builtin:lines"
    }

    fn waits_for_events(&self) -> bool {
        true
    }

    async fn start(&self, spec: InstanceSpec) -> Result<Box<dyn Instance>, StartError> {
        let reader = (self.open)(&spec).map_err(|error| StartError::Init {
            stage: spec.stage.clone(),
            message: format!("cannot open what `lines` is to read: {error}"),
        })?;
        Ok(Box::new(Reader {
            reader,
            limits: spec.limits.batch,
            partial: Vec::new(),
            number: 1,
            end: false,
            finished: false,
        }))
    }
}

struct Reader<R> {
    reader: R,
    limits: BatchLimits,
    /// The beginning of a line whose end has not been read. At most one batch long.
    partial: Vec<u8>,
    /// The number of the line that is read next, counted from 1.
    number: u64,
    /// The reader has ended.
    end: bool,
    /// The instance has ended.
    finished: bool,
}

impl<R> fmt::Debug for Reader<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("number", &self.number).field("end", &self.end).finish_non_exhaustive()
    }
}

/// What one look at the reader gave.
enum Step {
    /// A whole line, which is now in `partial`.
    Line,
    /// The next line does not fit the batch, and has not been taken.
    Full,
    /// Nothing more is to be had without waiting.
    Later,
    /// The reader is at its end; `partial` has the last line, if it is not empty.
    End,
}

impl<R: AsyncBufRead + Send + Unpin> Reader<R> {
    async fn read(&mut self, demand: u32) -> Result<Produced, StageError> {
        let events_max = demand.min(self.limits.events_max) as usize;
        let mut lines = Columns::default();
        let mut room = self.limits.bytes_max as usize;
        while !self.end && lines.ends.len() < events_max {
            let wait = lines.ends.is_empty();
            match poll_fn(|context| self.poll_step(context, room, wait)).await? {
                Step::Full | Step::Later => break,
                Step::End => self.end = true,
                Step::Line => {}
            }
            if self.end && self.partial.is_empty() {
                break;
            }
            room -= EVENT_BYTES + self.partial.len();
            lines.payloads.append(&mut self.partial);
            lines.ends.push(u32::try_from(lines.payloads.len()).expect("`room` begins as a u32"));
            self.number += 1;
        }
        let events = Batch::new(lines, &self.limits).expect("both limits were kept to while reading");
        Ok(Produced { events, finished: self.end })
    }

    /// Reads on until a line is whole. Pending only if `wait`. What was read stays in `partial`, so
    /// nothing is lost if this is not polled to its end.
    fn poll_step(&mut self, context: &mut Context<'_>, room: usize, wait: bool) -> Poll<Result<Step, StageError>> {
        let number = self.number;
        loop {
            let bytes = match Pin::new(&mut self.reader).poll_fill_buf(context) {
                Poll::Pending if !wait => return Poll::Ready(Ok(Step::Later)),
                polled => {
                    ready!(polled).map_err(|error| StageError::Fatal(format!("cannot read line {number}: {error}")))?
                }
            };
            if bytes.is_empty() {
                return Poll::Ready(Ok(Step::End));
            }
            let end = bytes.iter().position(|&byte| byte == b'\n');
            let count = end.unwrap_or(bytes.len());
            if !fits(self.partial.len() + count, room, &self.limits, number)? {
                return Poll::Ready(Ok(Step::Full));
            }
            self.partial.extend_from_slice(&bytes[..count]);
            Pin::new(&mut self.reader).consume(count + usize::from(end.is_some()));
            if end.is_some() {
                return Poll::Ready(Ok(Step::Line));
            }
        }
    }
}

/// Whether a line of `bytes` or more still fits into `room`.
///
/// # Errors
/// If it would not fit an empty batch either.
fn fits(bytes: usize, room: usize, limits: &BatchLimits, number: u64) -> Result<bool, StageError> {
    let bytes_max = (limits.bytes_max as usize).saturating_sub(EVENT_BYTES);
    if bytes > bytes_max {
        return Err(StageError::Fatal(format!(
            "line {number} is longer than {bytes_max} bytes, the most one event can have; \
             raise `limits.batch_bytes` or break the line up"
        )));
    }
    Ok(bytes + EVENT_BYTES <= room)
}

#[async_trait]
impl<R: AsyncBufRead + Send + Unpin> Instance for Reader<R> {
    async fn handle_demand(&mut self, demand: u32) -> Result<Produced, CallError> {
        if self.finished {
            return Err(Trap::Finished { call: "handle-demand" }.into());
        }
        Ok(self.read(demand).await?)
    }

    async fn handle_events(&mut self, _delivery: GuestDelivery) -> Result<Output, CallError> {
        const CALL: &str = "handle-events";
        let trap = if self.finished { Trap::Finished { call: CALL } } else { check::wrong_role(CALL, Role::Producer) };
        self.finished = true;
        Err(trap.into())
    }

    async fn terminate(&mut self, _reason: &str) -> Result<(), CallError> {
        if std::mem::replace(&mut self.finished, true) {
            return Err(Trap::Finished { call: "terminate" }.into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncWriteExt, BufReader};

    use super::*;

    fn reader<R: AsyncBufRead>(reader: R, bytes_max: u32) -> Reader<R> {
        let limits = BatchLimits { events_max: 100, bytes_max };
        Reader { reader, limits, partial: Vec::new(), number: 1, end: false, finished: false }
    }

    fn texts(produced: &Produced) -> Vec<String> {
        produced.events.iter().map(|event| String::from_utf8_lossy(event.payload).into_owned()).collect()
    }

    #[tokio::test]
    async fn a_last_line_without_its_end_counts() {
        let mut lines = reader(&b"a\n\nb\r\nc"[..], 1000);
        let produced = lines.read(10).await.unwrap();
        assert_eq!(
            (texts(&produced), produced.finished),
            (vec!["a".into(), "".into(), "b\r".into(), "c".into()], true)
        );
        let after = lines.read(10).await.unwrap();
        assert!(after.events.is_empty() && after.finished);
    }

    #[tokio::test]
    async fn no_more_lines_than_demanded_and_no_more_bytes_than_fit() {
        let mut lines = reader(&b"aa\nbb\ncc\n"[..], 12);
        assert_eq!(texts(&lines.read(1).await.unwrap()), ["aa"]);
        assert_eq!(texts(&lines.read(9).await.unwrap()), ["bb", "cc"]);
        let mut lines = reader(&b"aa\nbb\ncc\n"[..], 11);
        assert_eq!(texts(&lines.read(9).await.unwrap()), ["aa"]);
        assert_eq!(texts(&lines.read(9).await.unwrap()), ["bb"]);
    }

    #[tokio::test]
    async fn any_way_of_buffering_gives_the_same_lines() {
        let text = b"one\ntwo\n\nthree is longer\nfour";
        for capacity in 1..text.len() {
            let mut lines = reader(BufReader::with_capacity(capacity, &text[..]), 1000);
            assert_eq!(texts(&lines.read(10).await.unwrap()), ["one", "two", "", "three is longer", "four"]);
        }
    }

    #[tokio::test]
    async fn it_waits_for_the_first_line_only() {
        let (mut writer, pipe) = tokio::io::duplex(64);
        let mut lines = reader(BufReader::new(pipe), 1000);
        let first = tokio::spawn(async move { (lines.read(10).await.map(|produced| texts(&produced)), lines) });
        tokio::task::yield_now().await;
        writer.write_all(b"a\nb\nbegun").await.unwrap();
        let first = tokio::time::timeout(Duration::from_secs(10), first).await;
        let (first, mut lines) = first.expect("not waiting for more than the first line").unwrap();
        assert_eq!(first.unwrap(), ["a", "b"]);
        writer.write_all(b" and ended\n").await.unwrap();
        assert_eq!(texts(&lines.read(10).await.unwrap()), ["begun and ended"]);
    }

    #[tokio::test]
    async fn a_line_that_is_too_long_is_named_by_its_number() {
        let mut lines = reader(&b"a\nbbbbbbbbbbbb\n"[..], 12);
        assert_eq!(texts(&lines.read(1).await.unwrap()), ["a"]);
        let error = lines.read(1).await.unwrap_err().to_string();
        assert!(error.contains("line 2 is longer than 8 bytes"), "{error}");
    }

    #[tokio::test]
    async fn a_reader_that_fails_is_fatal_at_its_line() {
        let error = reader(torn(), 1000).read(1).await.unwrap_err().to_string();
        assert_eq!(error, "the stage gave up: cannot read line 1: torn");
    }

    fn torn() -> impl AsyncBufRead + Send + Unpin {
        struct Torn;
        impl tokio::io::AsyncRead for Torn {
            fn poll_read(
                self: Pin<&mut Self>,
                _: &mut Context<'_>,
                _: &mut tokio::io::ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                Poll::Ready(Err(io::Error::other("torn")))
            }
        }
        BufReader::new(Torn)
    }
}
