//! The way to a node: a line there, and a line back.

use std::{
    fmt,
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::{ANSWER_BYTES_MAX, ANSWER_WITHIN, Error, socket};

/// A way to a node other than the socket in its data directory.
pub trait Way: fmt::Debug + Send {
    /// Sends a line and waits for the one that answers it, both without their ends. Connects first where that is needed;
    /// bounded in time.
    ///
    /// # Errors
    /// [`Error::NotConnected`] if nothing was sent, and anything else if something may have been.
    fn ask(&mut self, line: &[u8]) -> Result<Vec<u8>, Error>;
}

/// The node that is asked.
#[derive(Debug)]
pub(crate) enum Node {
    /// By the socket in this data directory, and the connection to it, if there is one.
    Socket(PathBuf, Option<BufReader<UnixStream>>),
    Way(Box<dyn Way>),
}

impl Node {
    /// The node with this data directory, connected.
    pub(crate) fn connect(data: &Path) -> Result<Self, Error> {
        Ok(Self::Socket(data.to_owned(), Some(open(data)?)))
    }

    /// The same, to be connected with the first line.
    pub(crate) fn on(data: &Path) -> Self {
        Self::Socket(data.to_owned(), None)
    }

    /// Sends one line, which has its end, and reads one. After any error the next call connects anew.
    pub(crate) fn ask(&mut self, line: &[u8]) -> Result<Value, Error> {
        match self {
            Self::Socket(data, kept) => {
                let stream = kept.take().map_or_else(|| open(data), Ok)?;
                let (answer, stream) = exchange(stream, line).map_err(|error| lost(data.display(), error))?;
                *kept = Some(stream);
                Ok(answer)
            }
            Self::Way(way) => {
                let answer = way.ask(line.strip_suffix(b"\n").unwrap_or(line))?;
                serde_json::from_slice(&answer).map_err(|error| lost("the other end", error.into()))
            }
        }
    }
}

fn exchange(mut stream: BufReader<UnixStream>, line: &[u8]) -> io::Result<(Value, BufReader<UnixStream>)> {
    stream.get_mut().write_all(line)?;
    let mut answer = Vec::new();
    (&mut stream).take(ANSWER_BYTES_MAX).read_until(b'\n', &mut answer)?;
    if answer.last() != Some(&b'\n') {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok((serde_json::from_slice(&answer)?, stream))
}

fn lost(node: impl fmt::Display, source: io::Error) -> Error {
    Error::Io { what: format!("the node on {node} gave no answer"), source }
}

fn open(data: &Path) -> Result<BufReader<UnixStream>, Error> {
    let connected = || {
        let stream = socket::connect(data)?;
        stream.set_read_timeout(Some(ANSWER_WITHIN))?;
        stream.set_write_timeout(Some(ANSWER_WITHIN))?;
        Ok(BufReader::new(stream))
    };
    connected().map_err(|error| Error::of_connecting(data, error))
}
