//! Clients that push numbered events into the source from outside, all through a run, and note what was confirmed.
//!
//! Each is a thread with the client library, and has numbers of its own. It asks one node until that gives no answer,
//! and goes on with the next then: a number is pushed by one request only, whichever node takes it.

use std::{
    ops::AddAssign,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use forebay_client::{Client, Confirmed, Error, Event};
use forebay_trace::Run;

/// Clients of one cluster. More than nodes, so that some get on whichever node is stopped.
const CLIENTS: u64 = 4;

/// Events of one request.
const BATCH: u64 = 100;

/// How far apart the numbers of two clients are: more than one can push.
const NUMBERS: u64 = 1_000_000_000;

/// How long one node may leave a request without an answer; one that hangs is left after the library's own 10 s.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long to wait for room in a full inbox before it is counted.
const ROOM_WAIT: Duration = Duration::from_secs(1);

/// The pause after a node took nothing.
const PAUSE: Duration = Duration::from_millis(50);

/// How long the last requests may take once all is well.
const LAST_WAIT: Duration = Duration::from_secs(60);

/// Numbers that were confirmed, and the position in the inbox of the first of them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Place {
    pub(crate) numbers: Run,
    pub(crate) position: u64,
}

/// What clients have pushed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pushed {
    /// In the order in which each client heard of them.
    pub(crate) confirmed: Vec<Place>,
    /// How many numbers were in requests that may have been taken.
    pub(crate) sent: u64,
    /// How often a request was sent again since no answer came.
    pub(crate) again: u64,
    /// How often there was no room.
    pub(crate) full: u64,
    /// Requests of which it is not known until the end whether they were taken.
    pub(crate) unknown: u64,
    /// What no node may say to such a client, in words.
    pub(crate) refused: Vec<String>,
}

impl Pushed {
    pub(crate) fn confirmed_count(&self) -> u64 {
        self.confirmed.iter().map(|place| place.numbers.count).sum()
    }

    /// Numbers and positions that both go on from the last are kept as one.
    fn confirm(&mut self, first: u64, confirmed: Confirmed) {
        let place = Place { numbers: Run { first, count: confirmed.count }, position: confirmed.first };
        match self.confirmed.last_mut() {
            Some(last) if last.numbers.end() == first && last.position + last.numbers.count == place.position => {
                last.numbers.count += place.numbers.count;
            }
            _ => self.confirmed.push(place),
        }
    }
}

impl AddAssign for Pushed {
    fn add_assign(&mut self, other: Self) {
        self.confirmed.extend(other.confirmed);
        self.sent += other.sent;
        self.again += other.again;
        self.full += other.full;
        self.unknown += other.unknown;
        self.refused.extend(other.refused);
    }
}

/// Running clients. They end when this is dropped.
#[derive(Debug)]
pub(crate) struct Clients {
    end: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Pushed>>,
}

impl Clients {
    /// Starts pushing into `stage` of the nodes with these data directories, at full speed.
    pub(crate) fn start(nodes: &[PathBuf], stage: &str) -> Self {
        let end = Arc::new(AtomicBool::new(false));
        let start = |index: u64| {
            let first = usize::try_from(index).unwrap_or_default() % nodes.len();
            let nodes = [&nodes[first..], &nodes[..first]].concat();
            let pushing = Pushing { nodes, stage: stage.to_owned(), end: Arc::clone(&end), pushed: Pushed::default() };
            thread::spawn(move || pushing.run(index * NUMBERS))
        };
        let threads = (0..CLIENTS).map(start).collect();
        Self { end, threads }
    }

    /// Has them end once they know what became of their last request; gives what they have pushed.
    pub(crate) fn finish(mut self) -> Pushed {
        self.end.store(true, Ordering::Relaxed);
        let mut pushed = Pushed::default();
        for thread in self.threads.drain(..) {
            pushed += thread.join().expect("a client does not panic");
        }
        pushed
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Relaxed);
    }
}

/// Asks one node whether it takes events.
#[derive(Debug)]
pub(crate) struct Probe {
    client: Option<Client>,
}

impl Probe {
    /// Of the node with this data directory.
    pub(crate) fn of(node: &Path) -> Self {
        Self { client: Client::connect(node).ok().map(|client| client.patience(Duration::ZERO)) }
    }

    /// What the node says of its disk, if it takes no event for that. An event that it takes has a number of nobody else.
    pub(crate) fn refusal(&mut self, stage: &str) -> Option<String> {
        let number = CLIENTS * NUMBERS + u64::from(std::process::id());
        match self.client.as_mut()?.ingest(stage, &[Event::text(number.to_string())]) {
            Err(Error::Full(why)) if why.contains("bytes are free on the disk of") => Some(why),
            _ => None,
        }
    }
}

/// One client.
struct Pushing {
    /// The one that is asked is in front.
    nodes: Vec<PathBuf>,
    stage: String,
    end: Arc<AtomicBool>,
    pushed: Pushed,
}

impl Pushing {
    fn run(mut self, mut next: u64) -> Pushed {
        let Some(mut client) = self.connect() else { return self.pushed };
        while !self.is_ending() {
            let events: Vec<_> = (next..next + BATCH).map(|number| Event::text(number.to_string())).collect();
            let Some(confirmed) = self.push(&mut client, &events) else { break };
            self.pushed.confirm(next, confirmed);
            next += BATCH;
        }
        self.pushed
    }

    fn is_ending(&self) -> bool {
        self.end.load(Ordering::Relaxed)
    }

    fn connect(&mut self) -> Option<Client> {
        loop {
            match Client::connect(&self.nodes[0]) {
                Ok(client) => return Some(client.patience(PATIENCE).wait_for_room(ROOM_WAIT)),
                Err(_) if self.is_ending() => return None,
                Err(_) => self.turn(),
            }
        }
    }

    fn turn(&mut self) {
        self.nodes.rotate_left(1);
        thread::sleep(PAUSE);
    }

    /// Until these are confirmed. None when it is time to end, or nothing may be pushed any more.
    fn push(&mut self, client: &mut Client, events: &[Event]) -> Option<Confirmed> {
        let count = u64::try_from(events.len()).unwrap_or_default();
        loop {
            match client.ingest(&self.stage, events) {
                Ok(confirmed) => {
                    self.pushed.sent += count;
                    return Some(confirmed);
                }
                Err(Error::Unanswered { .. }) => {
                    self.pushed.sent += count;
                    return self.ask_again(client);
                }
                Err(error) => self.note(&error)?,
            }
            // Nothing was taken, so the same events go into a new request.
            if self.is_ending() {
                return None;
            }
            self.turn();
            client.move_to(&self.nodes[0]);
        }
    }

    /// Sends the same request to one node after the other, until one knows what became of it.
    fn ask_again(&mut self, client: &mut Client) -> Option<Confirmed> {
        let mut ending_since = None;
        loop {
            self.turn();
            client.move_to(&self.nodes[0]);
            self.pushed.again += 1;
            match client.resume()? {
                Ok(confirmed) => return Some(confirmed),
                Err(Error::Unanswered { .. }) => {}
                Err(error) => self.note(&error)?,
            }
            if self.is_ending() && ending_since.get_or_insert_with(Instant::now).elapsed() > LAST_WAIT {
                self.pushed.unknown += 1;
                return None;
            }
        }
    }

    /// None if it is not to be.
    fn note(&mut self, error: &Error) -> Option<()> {
        match error {
            Error::Full(_) => self.pushed.full += 1,
            Error::NoNode(_) | Error::Io { .. } | Error::Unavailable(_) => {}
            error => {
                self.pushed.refused.push(error.to_string());
                return None;
            }
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn confirmations_that_go_on_are_one() {
        let mut pushed = Pushed::default();
        for (number, position) in [(0, 500), (100, 600), (200, 800), (300, 900)] {
            pushed.confirm(number, Confirmed { first: position, count: 100 });
        }
        let place = |first, count, position| Place { numbers: Run { first, count }, position };
        assert_eq!(pushed.confirmed, [place(0, 200, 500), place(200, 200, 800)]);
        assert_eq!(pushed.confirmed_count(), 400);
    }

    #[test]
    fn clients_without_a_node_end_when_they_are_told() {
        let dir = tempfile::tempdir().unwrap();
        let pushed = Clients::start(&[dir.path().to_owned()], "counter").finish();
        assert_eq!((pushed.sent, pushed.confirmed_count(), pushed.refused.len()), (0, 0, 0));
    }
}
