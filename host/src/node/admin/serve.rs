//! The task that answers on the socket: one for each client, each a line at a time.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
    sync::Semaphore,
    task::JoinHandle,
    time::timeout,
};

use super::{
    Desk, socket,
    wire::{Answer, Answered, Asked, Request, VERSION},
};

/// A longer line is refused. Unit: bytes; no question needs a tenth of it.
pub const LINE_BYTES_MAX: usize = 64 << 10;

/// A line with events, with a request to a stage or with a part of a blob may be longer. Unit: bytes; a batch as long as an inbox takes, 1 MiB, in Base64 and JSON.
pub const INGEST_LINE_BYTES_MAX: usize = 2 << 20;

/// How long a client may take for a line, and to read its answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Clients at a time. Further ones wait until one leaves. As many lines of 2 MiB may be in memory: who sends events
/// stays for long, and `forebay status` must have a place beside.
const CLIENTS_MAX: usize = 64;

/// A node's open socket. Dropping it closes and removes it.
#[derive(Debug)]
pub struct AdminSocket {
    path: PathBuf,
    task: JoinHandle<()>,
}

impl Drop for AdminSocket {
    fn drop(&mut self) {
        self.task.abort();
        // Whoever removed it has done what is wanted.
        let _ = fs::remove_file(&self.path);
    }
}

/// A node's socket before there is a node: who connects waits.
#[derive(Debug)]
pub struct BoundAdmin {
    path: PathBuf,
    listener: UnixListener,
}

/// Makes the socket in a data directory.
///
/// # Errors
/// If it cannot be made.
///
/// # Panics
/// Outside of a tokio runtime.
pub fn bind(data: &Path) -> io::Result<BoundAdmin> {
    Ok(BoundAdmin { path: socket::socket_path(data), listener: socket::bind(data)? })
}

impl BoundAdmin {
    /// Answers from now on until the result is dropped.
    pub fn serve(self, desk: Desk) -> AdminSocket {
        AdminSocket { path: self.path, task: tokio::spawn(accept(self.listener, desk)) }
    }
}

async fn accept(listener: UnixListener, desk: Desk) {
    let places = Arc::new(Semaphore::new(CLIENTS_MAX));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((client, _)) => {
                let desk = desk.clone();
                tokio::spawn(async move {
                    talk(client, &desk).await;
                    drop(place);
                });
            }
            Err(error) => {
                // Too many open files, most likely; it passes.
                tracing::warn!(%error, "the admin socket cannot accept");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Answers one client until it leaves, hangs, or sends what cannot be read.
async fn talk(client: UnixStream, desk: &Desk) {
    let (reader, mut writer) = client.into_split();
    let mut reader = BufReader::new(reader);
    loop {
        let line = match timeout(PATIENCE, read_line(&mut reader)).await {
            Ok(Ok(Some(line))) => Ok(line),
            Ok(Ok(None)) | Err(_) => return,
            Ok(Err(why)) => Err(why),
        };
        let is_readable = line.is_ok();
        let mut text = match line {
            Ok(line) => told(desk, &line).await,
            Err(why) => text(Answer::Error(why)),
        };
        text.push(b'\n');
        let written = timeout(PATIENCE, writer.write_all(&text)).await;
        // After a line that is too long nobody knows where the next begins.
        if !is_readable || !matches!(written, Ok(Ok(()))) {
            return;
        }
    }
}

/// The next line; `None` at the end.
async fn read_line(reader: &mut (impl AsyncBufReadExt + Unpin)) -> Result<Option<Vec<u8>>, String> {
    let mut line = Vec::new();
    for bytes_max in [LINE_BYTES_MAX, INGEST_LINE_BYTES_MAX] {
        let left = bytes_max + 1 - line.len();
        let read = reader.take(left as u64).read_until(b'\n', &mut line).await;
        read.map_err(|error| format!("the line cannot be read: {error}"))?;
        if line.len() <= bytes_max {
            return Ok((!line.is_empty()).then_some(line));
        }
        // The question's name stands before the events.
        check_length(&line)?;
    }
    Err(TOO_LONG.to_owned())
}

const TOO_LONG: &str = "a line with events has at most 2097152 bytes; send fewer events in one";

/// Of a line, or of as much of one as was read.
fn check_length(line: &[u8]) -> Result<(), String> {
    let may_be_long = || LONG.iter().any(|name| line.windows(name.len()).any(|part| part == *name));
    if line.len() > LINE_BYTES_MAX && !may_be_long() {
        return Err(format!("a line has at most {LINE_BYTES_MAX} bytes"));
    }
    if line.len() > INGEST_LINE_BYTES_MAX {
        return Err(TOO_LONG.to_owned());
    }
    Ok(())
}

/// What only a line with events, with a request to a stage or with a part of a blob has.
const LONG: [&[u8]; 3] = [b"\"ingest\"", b"\"call\"", b"\"upload\""];

/// What is answered to a line, however it came. Without the line's end.
pub(in crate::node) async fn told(desk: &Desk, line: &[u8]) -> Vec<u8> {
    text(match check_length(line).and_then(|()| parse(line)) {
        Ok(request) => answer(desk, request).await,
        Err(why) => Answer::Error(why),
    })
}

/// A line without its end.
pub(super) fn text(answer: Answer) -> Vec<u8> {
    serde_json::to_vec(&Answered { version: VERSION, answer }).expect("answers have string keys")
}

fn parse(line: &[u8]) -> Result<Request, String> {
    let unreadable = |error: serde_json::Error| format!("the question cannot be read: {error}");
    let value: serde_json::Value = serde_json::from_slice(line).map_err(unreadable)?;
    match value.get("version").and_then(serde_json::Value::as_u64) {
        Some(version) if version == u64::from(VERSION) => {}
        Some(version) => {
            return Err(format!(
                "this node speaks version {VERSION} of its admin language, not {version}; use the `forebay` that runs the node"
            ));
        }
        None => return Err("the question has no `version`".to_owned()),
    }
    serde_json::from_value(value).map(|asked: Asked| asked.request).map_err(unreadable)
}

async fn answer(desk: &Desk, request: Request) -> Answer {
    let answered = match request {
        Request::Status => desk.status().await.map(|status| Answer::Status(Box::new(status))),
        Request::Owners => desk.owners().await.map(Answer::Owners),
        Request::Drain { node, drain } => desk.drain(&node, drain).await.map(|()| Answer::Done),
        Request::Deploy(asked) => desk.deploy(asked).await.map(Answer::Deploy),
        Request::DeadLetters(asked) => desk.dead_letters(asked).await.map(Answer::DeadLetters),
        Request::Call(call) => desk.call(call).await.map(Answer::Called),
        Request::OrderStage(order) => desk.order_stage(order).await.map(|told| Answer::Stage(Box::new(told))),
        Request::Tap(tap) => desk.tap(tap).await.map(Answer::Tapped),
        Request::Ingest(ingest) => {
            return desk.ingest(ingest).await.map_or_else(Answer::NotIngested, Answer::Ingested);
        }
        Request::Remove { node, only_check } => desk.remove(&node, only_check).await.map(|()| Answer::Done),
    };
    answered.unwrap_or_else(Answer::Error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_that_cannot_be_read_is_answered_with_the_reason() {
        assert_eq!(parse(br#"{"version":1,"request":"status"}"#), Ok(Request::Status));
        let drain = br#"{"version":1,"request":{"drain":{"node":"a","drain":false}}}"#;
        assert_eq!(parse(drain), Ok(Request::Drain { node: "a".into(), drain: false }));
        for (line, why) in [
            (&b"\xff\n"[..], "cannot be read"),
            (b"", "cannot be read"),
            (b"[]", "no `version`"),
            (br#"{"version":2,"request":"status"}"#, "version 1 of its admin language, not 2"),
            (br#"{"version":1,"request":"explode"}"#, "unknown variant `explode`"),
        ] {
            let told = parse(line).unwrap_err();
            assert!(told.contains(why), "{told}");
        }
    }

    #[tokio::test]
    async fn lines_are_bounded_and_the_last_needs_no_end() {
        let long = vec![b'x'; LINE_BYTES_MAX + 1];
        let told = read_line(&mut BufReader::new(&long[..])).await.unwrap_err();
        assert!(told.contains("at most 65536 bytes"), "{told}");
        let events = |bytes: usize| {
            let mut line = br#"{"version":1,"request":{"ingest":""#.to_vec();
            line.resize(bytes, b'x');
            line
        };
        let longest = events(INGEST_LINE_BYTES_MAX);
        assert_eq!(read_line(&mut BufReader::new(&longest[..])).await.unwrap().unwrap().len(), INGEST_LINE_BYTES_MAX);
        let told = read_line(&mut BufReader::new(&events(INGEST_LINE_BYTES_MAX + 1)[..])).await.unwrap_err();
        assert!(told.contains("at most 2097152 bytes"), "{told}");
        let mut two = BufReader::new(&b"one\ntwo"[..]);
        assert_eq!(read_line(&mut two).await.unwrap().unwrap(), b"one\n");
        assert_eq!(read_line(&mut two).await.unwrap().unwrap(), b"two");
        assert_eq!(read_line(&mut two).await.unwrap(), None);
    }
}
