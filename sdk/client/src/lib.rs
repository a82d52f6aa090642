//! Pushes events into stages of a running Forebay node, from another process on its machine.
//!
//! An event is confirmed once it will not be lost any more: it is on the node's disk and, where nodes agree by
//! majority and the stage is global, on the disks of a majority.
//!
//! ```no_run
//! use forebay_client::{Client, Event};
//!
//! let mut client = Client::connect("forebay-data/n1")?;
//! let confirmed = client.ingest("orders/inlet", &[Event::text("one"), Event::bytes([0, 255]).key("k").topic("t")])?;
//! println!("{} events from position {}", confirmed.count, confirmed.first);
//! # Ok::<(), forebay_client::Error>(())
//! ```
//!
//! # What is taken once
//!
//! Every client has a random number, and counts its requests. A request whose answer does not come, because the
//! connection or the node's group was lost, is sent again under the same number until [`Client::patience`] is over, and
//! the node takes it once. So nothing is doubled while a client lives. One that ends without an answer does not know
//! whether its last events were taken: who sends them again from another client may have them twice.
//!
//! # Another node
//!
//! Nodes that agree by majority keep one inbox for each stage of global scope, so a client that gets no answer from its
//! node may go on with another, also in the middle of a request:
//!
//! ```no_run
//! # use forebay_client::{Client, Error, Event};
//! # let mut client = Client::connect("forebay-data/n1")?;
//! let mut answer = client.ingest("orders/inlet", &[Event::text("one")]);
//! while matches!(answer, Err(Error::Unanswered { .. })) {
//!     client.move_to("forebay-data/n2");
//!     answer = client.resume().expect("it is not known yet");
//! }
//! # Ok::<(), forebay_client::Error>(())
//! ```

mod error;
mod event;
mod node;
mod socket;

use std::{
    fs::File,
    io::{self, Read as _},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

pub use error::Error;
pub use event::Event;
pub use node::Way;

use node::Node;

/// The version of the node's language.
const VERSION: u64 = 1;

/// How long the node may take for one answer: it gives up on its group after 3 s.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// A longer answer is none of a node's. Unit: bytes.
const ANSWER_BYTES_MAX: u64 = 1 << 20;

/// A longer line is refused by the node. Unit: bytes.
const LINE_BYTES_MAX: usize = 2 << 20;

/// The pause before a request is sent again: doubled each time, up to the longest.
const AGAIN_AFTER: Duration = Duration::from_millis(20);
const AGAIN_AFTER_MAX: Duration = Duration::from_secs(1);

/// Events that will not be lost any more.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Confirmed {
    /// The position of the first in the stage's inbox. Those of one request stand next to each other.
    pub first: u64,
    /// How many they are.
    pub count: u64,
}

/// Speaks with one node. Blocks; one request at a time.
#[derive(Debug)]
pub struct Client {
    node: Node,
    id: u128,
    request: u64,
    patience: Duration,
    wait_for_room: Duration,
    /// A request of which it is not known whether it was taken.
    open: Option<Vec<u8>>,
}

impl Client {
    /// Connects to the node with this data directory.
    ///
    /// # Errors
    /// [`Error::NoNode`], [`Error::NotAllowed`], [`Error::Io`].
    pub fn connect(data: impl AsRef<Path>) -> Result<Self, Error> {
        Self::of(Node::connect(data.as_ref())?)
    }

    /// Speaks with a node by another way than the socket in its data directory. Connects with the first request.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn by(way: Box<dyn Way>) -> Result<Self, Error> {
        Self::of(Node::Way(way))
    }

    fn of(node: Node) -> Result<Self, Error> {
        let id = random().map_err(|source| Error::Io { what: "no random numbers".to_owned(), source })?;
        let (patience, wait_for_room) = (Duration::from_secs(30), Duration::ZERO);
        Ok(Self { node, id, request: 0, patience, wait_for_room, open: None })
    }

    /// How long a request without an answer is sent again; 30 s unless set.
    #[must_use]
    pub fn patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// How long to wait for room where the inbox or the disk is full, or for an owner where there is none; not at all
    /// unless set.
    #[must_use]
    pub fn wait_for_room(self, wait_for_room: Duration) -> Self {
        Self { wait_for_room, ..self }
    }

    /// Goes on with the node with this data directory, under the same number: what another node of its group has taken
    /// of a stage of global scope it does not take again.
    ///
    /// Stages of node scope, and all stages with `agreement = "islands"`, have an inbox on each node: do not move while
    /// [`Client::resume`] has something to tell, for that would be taken there once more.
    pub fn move_to(&mut self, data: impl AsRef<Path>) {
        self.node = Node::on(data.as_ref());
    }

    /// Puts events into the inbox of a stage, `PIPELINE/STAGE` or `STAGE`. Returns once they will not be lost any more.
    ///
    /// One call is one request, of 1 MiB at most. All of it is taken, or nothing.
    ///
    /// # Errors
    /// [`Error::Full`], [`Error::Unavailable`], [`Error::Refused`], [`Error::NoNode`], [`Error::NotAllowed`]: nothing
    /// was taken. [`Error::Unanswered`]: see [`Client::resume`].
    pub fn ingest(&mut self, stage: &str, events: &[Event]) -> Result<Confirmed, Error> {
        self.request += 1;
        let events: Vec<_> = events.iter().map(Event::to_json).collect();
        let ingest = json!({
            "stage": stage, "client": format!("{:032x}", self.id), "request": self.request, "events": events
        });
        let mut line = format!("{{\"version\":{VERSION},\"request\":{{\"ingest\":{ingest}}}}}").into_bytes();
        if line.len() > LINE_BYTES_MAX {
            let why =
                format!("a request of {} bytes, {LINE_BYTES_MAX} are allowed; send fewer events in one", line.len());
            return Err(Error::Refused(why));
        }
        line.push(b'\n');
        self.ask_until_answered(line, false)
    }

    /// Sends the last request again, if it is not known whether it was taken. `None` if that is known.
    ///
    /// # Errors
    /// [`Error::Refused`]: nothing was taken. [`Error::Unanswered`]: it is still not known.
    pub fn resume(&mut self) -> Option<Result<Confirmed, Error>> {
        let line = self.open.take()?;
        Some(self.ask_until_answered(line, true))
    }

    /// `may_be_taken`: whether it may have been taken by now, whatever is answered later.
    fn ask_until_answered(&mut self, line: Vec<u8>, mut may_be_taken: bool) -> Result<Confirmed, Error> {
        let began = Instant::now();
        let mut pause = AGAIN_AFTER;
        loop {
            let (why, within) = match self.node.ask(&line).map(|answer| read_answer(&answer)) {
                Ok(Told::Confirmed(confirmed)) => return Ok(confirmed),
                // What was taken is answered as taken, so this says that it was not.
                Ok(Told::Error(error @ Error::Refused(_))) => return Err(error),
                Ok(Told::Error(error @ (Error::Full(_) | Error::Unavailable(_)))) => (error, self.wait_for_room),
                Ok(Told::Error(error)) => {
                    may_be_taken = true;
                    (error, self.patience)
                }
                Err(error) if !may_be_taken && error.is_lasting() => return Err(error),
                Err(error) => {
                    may_be_taken |= !error.is_before_sending();
                    (error, self.patience)
                }
            };
            if began.elapsed() + pause > within {
                return Err(match may_be_taken {
                    true => {
                        self.open = Some(line);
                        Error::Unanswered { within: began.elapsed(), why: why.to_string() }
                    }
                    false => why,
                });
            }
            thread::sleep(pause);
            pause = (2 * pause).min(AGAIN_AFTER_MAX);
        }
    }
}

/// What a node said.
enum Told {
    Confirmed(Confirmed),
    Error(Error),
}

fn read_answer(told: &Value) -> Told {
    let answer = &told["answer"];
    let number = |name: &str| answer["ingested"][name].as_u64();
    if let (Some(first), Some(count)) = (number("first"), number("count")) {
        return Told::Confirmed(Confirmed { first, count });
    }
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let failed = &answer["not_ingested"];
    let why = text(&failed["why"]);
    Told::Error(match failed["kind"].as_str() {
        Some("full") => Error::Full(why),
        Some("unavailable") => Error::Unavailable(why),
        Some("refused") => Error::Refused(why),
        Some(_) => Error::Unknown(why),
        None => match answer["error"].as_str() {
            Some(why) => Error::Refused(why.to_owned()),
            None => Error::Refused("the node answered something else; use the release that runs it".to_owned()),
        },
    })
}

fn random() -> io::Result<u128> {
    let mut bytes = [0; 16];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(u128::from_le_bytes(bytes))
}

#[cfg(test)]
mod tests;
