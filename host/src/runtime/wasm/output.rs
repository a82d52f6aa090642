//! What a guest says on its way out: cut into lines, escaped, and held to a rate.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bytes::Bytes;
use forebay_proto::ids::StageName;
use wasmtime_wasi::{
    cli::{IsTerminal, StdoutStream},
    p2::{OutputStream, Pollable, StreamResult},
};

use super::super::{GuestOutput, LineKind, check};

/// How often at most it is reported that lines were dropped.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// The most bytes a guest may write at once to its standard output. Unit: bytes; what wasmtime-wasi
/// itself grants its streams.
const WRITE_BYTES_MAX: usize = 64 << 10;

/// The voice of one instance, shared by its log function and its two standard streams.
#[derive(Clone)]
pub(super) struct Voice(Arc<Mutex<Lines>>);

impl Voice {
    pub(super) fn new(stage: StageName, output: Arc<dyn GuestOutput>, lines_per_second: u32) -> Self {
        let now = Instant::now();
        let bucket = Bucket::new(lines_per_second, now);
        let partial = [Vec::new(), Vec::new()];
        Self(Arc::new(Mutex::new(Lines { stage, output, bucket, dropped: 0, reported: None, partial })))
    }

    /// One logged line, which may be of any length.
    pub(super) fn log(&self, level: tracing::Level, line: &str) {
        self.lines().line(LineKind::Log(level), line);
    }

    /// A call has ended: says what was dropped, if it was not said lately.
    pub(super) fn settle(&self) {
        let mut lines = self.lines();
        // As a rule nothing was; then there is no need of the time, which is asked for by each call.
        if lines.dropped > 0 {
            lines.report(Some(Instant::now()));
        }
    }

    pub(super) fn stream(&self, stream: Stream) -> LineStream {
        LineStream { voice: self.clone(), stream }
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        // Poisoned only if a `GuestOutput` panicked; the lines themselves are whole then.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Lines {
    stage: StageName,
    output: Arc<dyn GuestOutput>,
    bucket: Bucket,
    /// Lines dropped and not yet reported.
    dropped: u64,
    reported: Option<Instant>,
    /// Begun lines of standard output and standard error; never longer than a line may be.
    partial: [Vec<u8>; 2],
}

impl Lines {
    fn line(&mut self, kind: LineKind, line: &str) {
        let now = Instant::now();
        if !self.bucket.take(now) {
            self.dropped += 1;
            return;
        }
        self.report(Some(now));
        self.output.line(&self.stage, kind, &check::clean(line));
    }

    /// Reports dropped lines; with `now`, not more often than [`REPORT_INTERVAL`].
    fn report(&mut self, now: Option<Instant>) {
        let lately = |now| self.reported.is_some_and(|last| now - last < REPORT_INTERVAL);
        if self.dropped == 0 || now.is_some_and(lately) {
            return;
        }
        self.reported = now;
        self.output.dropped(&self.stage, std::mem::take(&mut self.dropped));
    }

    fn write(&mut self, stream: Stream, mut bytes: &[u8]) {
        while let Some(end) = bytes.iter().position(|&byte| byte == b'\n') {
            self.begin(stream, &bytes[..end]);
            self.end_line(stream);
            bytes = &bytes[end + 1..];
        }
        self.begin(stream, bytes);
    }

    /// Adds to the begun line what still fits; the rest would be cut off later anyhow.
    fn begin(&mut self, stream: Stream, bytes: &[u8]) {
        let partial = &mut self.partial[stream as usize];
        let room = check::TEXT_BYTES_MAX - partial.len();
        partial.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn end_line(&mut self, stream: Stream) {
        let line = std::mem::take(&mut self.partial[stream as usize]);
        self.line(stream.kind(), &String::from_utf8_lossy(&line));
    }
}

/// At the end of an instance, what it had begun to print goes out, and the count of what was dropped.
impl Drop for Lines {
    fn drop(&mut self) {
        for stream in [Stream::Stdout, Stream::Stderr] {
            if !self.partial[stream as usize].is_empty() {
                self.end_line(stream);
            }
        }
        self.report(None);
    }
}

/// A token bucket: `rate` a second in the mean, ten times as many at once.
struct Bucket {
    rate: f64,
    tokens: f64,
    filled: Instant,
}

impl Bucket {
    fn new(lines_per_second: u32, now: Instant) -> Self {
        let rate = f64::from(lines_per_second);
        Self { rate, tokens: 10.0 * rate, filled: now }
    }

    fn take(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.filled).as_secs_f64();
        self.tokens = (self.tokens + passed * self.rate).min(10.0 * self.rate);
        self.filled = now;
        let some = self.tokens >= 1.0;
        if some {
            self.tokens -= 1.0;
        }
        some
    }
}

/// Which of a guest's standard streams.
#[derive(Clone, Copy)]
pub(super) enum Stream {
    Stdout,
    Stderr,
}

impl Stream {
    fn kind(self) -> LineKind {
        match self {
            Self::Stdout => LineKind::Stdout,
            Self::Stderr => LineKind::Stderr,
        }
    }
}

/// A standard stream of a guest, as WASI wants it. Always ready: a line over the rate is dropped,
/// never waited for.
#[derive(Clone)]
pub(super) struct LineStream {
    voice: Voice,
    stream: Stream,
}

impl IsTerminal for LineStream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for LineStream {
    /// Only WASI 0.3 asks for this one, which is not linked.
    fn async_stream(&self) -> Box<dyn tokio::io::AsyncWrite + Send + Sync> {
        Box::new(tokio::io::sink())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[async_trait]
impl Pollable for LineStream {
    async fn ready(&mut self) {}
}

impl OutputStream for LineStream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.voice.lines().write(self.stream, &bytes);
        Ok(())
    }

    /// Lines go out when they end; a flush in the middle of one would tear it.
    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BYTES_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default)]
    struct Heard(Mutex<(Vec<String>, Vec<u64>)>);

    impl GuestOutput for Heard {
        fn line(&self, _: &StageName, kind: LineKind, line: &str) {
            self.0.lock().unwrap().0.push(format!("{kind:?} {line}"));
        }

        fn dropped(&self, _: &StageName, count: u64) {
            self.0.lock().unwrap().1.push(count);
        }
    }

    fn voice(lines_per_second: u32) -> (Voice, Arc<Heard>) {
        let heard = Arc::new(Heard::default());
        (Voice::new("s".parse().unwrap(), Arc::clone(&heard) as _, lines_per_second), heard)
    }

    #[test]
    fn printed_bytes_become_lines_however_they_are_cut() {
        let (voice, heard) = voice(100);
        let mut stdout = voice.stream(Stream::Stdout);
        for piece in ["on", "e\ntw", "o\n\nrest"] {
            stdout.write(Bytes::from(piece)).unwrap();
        }
        voice.stream(Stream::Stderr).write(Bytes::from("\u{1b}[31m\n")).unwrap();
        drop((stdout, voice));
        let lines = &heard.0.lock().unwrap().0;
        assert_eq!(*lines, ["Stdout one", "Stdout two", "Stdout ", "Stderr \\u{1b}[31m", "Stdout rest"]);
    }

    #[test]
    fn a_line_without_end_takes_no_more_than_8_kib() {
        let (voice, heard) = voice(100);
        let mut stdout = voice.stream(Stream::Stdout);
        (0..1000).for_each(|_| stdout.write(Bytes::from(vec![b'x'; 10_000])).unwrap());
        assert_eq!(voice.lines().partial[0].len(), 8192);
        drop((stdout, voice));
        assert_eq!(heard.0.lock().unwrap().0[0].len(), 8192 + "Stdout ".len());
    }

    #[test]
    fn a_flood_is_dropped_and_counted() {
        let (voice, heard) = voice(1);
        (0..1000).for_each(|_| voice.log(tracing::Level::INFO, "again"));
        voice.settle();
        drop(voice);
        let (lines, dropped) = &*heard.0.lock().unwrap();
        assert_eq!(lines.len() as u64 + dropped.iter().sum::<u64>(), 1000);
        assert!((10..=12).contains(&lines.len()), "{}", lines.len());
    }

    #[test]
    fn a_bucket_fills_at_its_rate_up_to_its_burst() {
        let start = Instant::now();
        let mut bucket = Bucket::new(2, start);
        let taken = |bucket: &mut Bucket, now| (0..100).filter(|_| bucket.take(now)).count();
        assert_eq!(taken(&mut bucket, start), 20);
        assert_eq!(taken(&mut bucket, start + Duration::from_secs(3)), 6);
        assert_eq!(taken(&mut bucket, start + Duration::from_secs(3600)), 20);
    }
}
