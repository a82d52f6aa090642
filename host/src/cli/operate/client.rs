//! Asking one node, whichever way leads to it.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use super::{ANSWER_WITHIN, answer_within, remote::Remote, something_else, text::harmless};
use crate::{
    cli::{Exit, Failure},
    node::admin::{
        channel::ANSWER_BYTES_MAX,
        connect,
        wire::{Answer, Answered, Asked, Name, Request, Status, VERSION},
    },
};

/// Asks one node. Blocks: not for use within a tokio runtime.
pub(in crate::cli) struct Client {
    way: Way,
}

enum Way {
    /// The socket in this data directory.
    Socket(PathBuf),
    Network(Box<Remote>),
}

impl Client {
    /// Asks the node with this data directory, on this machine.
    pub(in crate::cli) fn on(data: PathBuf) -> Self {
        Self { way: Way::Socket(data) }
    }

    /// Asks a node over the network.
    pub(super) fn over(remote: Remote) -> Self {
        Self { way: Way::Network(Box::new(remote)) }
    }

    pub(in crate::cli) fn ask(&self, request: Request) -> Result<Answer, Failure> {
        let within = answer_within(&request);
        let line = serde_json::to_vec(&Asked { version: VERSION, request }).expect("questions have string keys");
        let answered: Answered = match &self.way {
            Way::Socket(data) => exchange(data, line, within).map_err(|error| unanswered(data, error))?,
            Way::Network(remote) => {
                let unreadable = |error| {
                    let text = format!("the node at {} answered what cannot be read", remote.to());
                    Failure::new(Exit::Unavailable, text).because(error)
                };
                serde_json::from_slice(&remote.ask(line, within)?).map_err(unreadable)?
            }
        };
        if answered.version != VERSION {
            let text =
                format!("the node speaks version {} of the admin language, this command {VERSION}", answered.version);
            return Err(Failure::new(Exit::Unavailable, format!("{text}; use the `forebay` that runs the node")));
        }
        match answered.answer {
            // Another node may have said it.
            Answer::Error(why) => Err(Failure::new(Exit::Unavailable, harmless(&why))),
            answer => Ok(answer),
        }
    }

    pub(in crate::cli) fn status(&self) -> Result<Status, Failure> {
        match self.ask(Request::Status)? {
            Answer::Status(status) => Ok(*status),
            _ => Err(something_else()),
        }
    }

    pub(super) fn owners(&self) -> Result<Vec<Name>, Failure> {
        match self.ask(Request::Owners)? {
            Answer::Owners(names) => Ok(names),
            _ => Err(something_else()),
        }
    }
}

fn exchange(data: &Path, mut line: Vec<u8>, within: Duration) -> io::Result<Answered> {
    let mut stream = connect(data)?;
    stream.set_read_timeout(Some(within))?;
    stream.set_write_timeout(Some(ANSWER_WITHIN))?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut answer = Vec::new();
    BufReader::new(stream.take(ANSWER_BYTES_MAX as u64)).read_until(b'\n', &mut answer)?;
    if answer.is_empty() {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it ended without an answer"));
    }
    Ok(serde_json::from_slice(&answer)?)
}

fn unanswered(data: &Path, error: io::Error) -> Failure {
    let data = data.display();
    let text = match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            let text = format!("no node runs on {data}");
            return Failure::new(Exit::Unavailable, format!("{text}; start it, or give the --data of one that runs"));
        }
        io::ErrorKind::PermissionDenied => {
            let text = format!("not allowed to ask the node on {data}: only the user that runs it may");
            return Failure::new(Exit::Permission, text).because(error);
        }
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            format!("the node on {data} did not answer within {ANSWER_WITHIN:?}; is it paused?")
        }
        _ => format!("the node on {data} gave no answer; see its log"),
    };
    Failure::new(Exit::Unavailable, text).because(error)
}
