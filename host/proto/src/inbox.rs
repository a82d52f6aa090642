//! Events pushed into a stage from outside, in order, kept until they are processed.
//!
//! ```text
//!  dropped      kept: entries of whole batches               end
//! ---------|--[ 3 events ]--[ 2 events ]--[ 4 events ]--------|
//!          7         ^      10            12                 16
//!                    position: events before it are processed
//! ```
//!
//! The same rules hold for the inbox that a majority keeps (`names::quorum`) and for that of one node.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
};

use bytes::Bytes;

use crate::{
    batch::{Batch, BatchLimits},
    ids::NodeName,
    wire::WireError,
};

/// The longest batch that is taken at once. Unit: bytes, encoded. A quarter of the longest command that nodes
/// agree on, so that several fit one request between them.
pub const PARCEL_BYTES_MAX: usize = 1 << 20;

/// Events of one stage that are kept. A stage that stands still for a minute at 16,000 events a second fills it.
pub const EVENTS_MAX: u64 = 1_000_000;

/// Bytes of one stage that are kept. All of them are in memory, on every member of a group, and in each of its
/// snapshots.
pub const BYTES_MAX: u64 = 64 << 20;

/// What an entry counts besides its bytes: about what it takes in memory. Without it, a million batches of one
/// small event each would be far larger than they count.
pub const ENTRY_BYTES: u64 = 64;

/// Clients whose last request is remembered for each stage; of more, the one that was quiet for the most events is
/// forgotten. A request is only ever repeated within seconds.
pub const CLIENTS_MAX: usize = 1024;

/// A batch that may be put into an inbox: checked, not empty, and of at most [`PARCEL_BYTES_MAX`].
#[derive(Clone, Eq, PartialEq)]
pub struct Parcel {
    count: u32,
    events: Bytes,
}

impl fmt::Debug for Parcel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Parcel({} events, {} bytes)", self.count, self.events.len())
    }
}

/// A batch cannot be put into any inbox.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ParcelError {
    /// There is nothing in it.
    #[error("a batch of no events; send at least one")]
    Empty,
    /// It is too long.
    #[error("a batch of {bytes} bytes, an inbox takes {bytes_max} at once; send fewer events in one request")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// What is allowed.
        bytes_max: usize,
    },
    /// It says another number than it holds.
    #[error("a batch of {found} events, said to have {said}")]
    Count {
        /// How many there are.
        found: usize,
        /// How many were said to be.
        said: u32,
    },
    /// It cannot be read.
    #[error(transparent)]
    Wire(#[from] WireError),
}

impl Parcel {
    /// The bytes of a batch.
    ///
    /// # Errors
    /// [`ParcelError::Empty`], [`ParcelError::TooLong`].
    pub fn pack(batch: &Batch) -> Result<Self, ParcelError> {
        let count = u32::try_from(batch.len()).unwrap_or(u32::MAX);
        let events = match batch.is_empty() {
            true => return Err(ParcelError::Empty),
            false => batch.encode(),
        };
        check_length(events.len())?;
        Ok(Self { count, events })
    }

    /// Checks bytes that anybody may have sent.
    ///
    /// # Errors
    /// [`ParcelError`].
    pub fn check(count: u32, events: Bytes) -> Result<Self, ParcelError> {
        check_length(events.len())?;
        match read(&events)?.len() {
            0 => Err(ParcelError::Empty),
            found if found != count as usize => Err(ParcelError::Count { found, said: count }),
            _ => Ok(Self { count, events }),
        }
    }

    /// How many events.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// The encoded events.
    pub fn events(&self) -> &Bytes {
        &self.events
    }
}

fn check_length(bytes: usize) -> Result<(), ParcelError> {
    match bytes <= PARCEL_BYTES_MAX {
        true => Ok(()),
        false => Err(ParcelError::TooLong { bytes, bytes_max: PARCEL_BYTES_MAX }),
    }
}

fn read(events: &[u8]) -> Result<Batch, WireError> {
    // No more events than bytes, so their number needs no bound of its own.
    Batch::decode(events, &BatchLimits { events_max: u32::MAX, bytes_max: u32::MAX })
}

/// A parcel in its place.
#[derive(Clone, Eq, PartialEq)]
pub struct Entry {
    /// The position of its first event.
    pub first: u64,
    /// How many events.
    pub count: u32,
    /// The encoded events.
    pub events: Bytes,
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Entry({} from {}, {} bytes)", self.count, self.first, self.events.len())
    }
}

impl Entry {
    /// The position after its last event.
    pub fn end(&self) -> u64 {
        self.first + u64::from(self.count)
    }

    /// Its events.
    ///
    /// # Errors
    /// [`WireError`] if they are not what was put in.
    pub fn read(&self) -> Result<Batch, WireError> {
        read(&self.events)
    }

    fn cost(&self) -> u64 {
        self.events.len() as u64 + ENTRY_BYTES
    }
}

/// Why an inbox takes nothing now, with its figures. It may later.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Full {
    /// This stage's inbox.
    #[error(
        "the inbox holds {events} events of {bytes} bytes that were not processed yet, and takes {events_max} events \
         or {bytes_max} bytes; send again when its stage has processed some"
    )]
    Inbox {
        /// How many it holds.
        events: u64,
        /// How many it may hold.
        events_max: u64,
        /// Their bytes, [`ENTRY_BYTES`] for each entry included.
        bytes: u64,
        /// How many they may be.
        bytes_max: u64,
    },
    /// All inboxes of the group together.
    #[error(
        "all inboxes of the group hold {bytes} bytes that were not processed yet, and take {bytes_max}; send again \
         when stages have processed some"
    )]
    Group {
        /// What they hold.
        bytes: u64,
        /// What they may hold.
        bytes_max: u64,
    },
    /// The disk of a node that would have to keep it.
    #[error(
        "{free} bytes are free on the disk of {node}, and {reserve} are kept in reserve (`disk_reserve`); make room \
         and send again"
    )]
    Disk {
        /// Whose.
        node: NodeName,
        /// What is free.
        free: u64,
        /// What must be left free.
        reserve: u64,
    },
}

/// A parcel was not taken, and nothing has changed.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NotTaken {
    /// There is no room just now.
    #[error(transparent)]
    Full(#[from] Full),
    /// It cannot be taken, with the reason.
    #[error("{0}")]
    Refused(String),
}

/// The last request of a client that was taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Taken {
    /// The client's number of it.
    pub request: u64,
    /// Where its first event is.
    pub first: u64,
    /// How many events it had.
    pub count: u32,
}

/// Where a parcel is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Placed {
    /// The position of its first event.
    pub first: u64,
    /// Whether it was taken just now, and not before.
    pub is_new: bool,
    /// The client that was forgotten for this one.
    pub forgotten: Option<u128>,
}

/// See the module's documentation.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct InboxQueue {
    position: u64,
    end: u64,
    entries: VecDeque<Entry>,
    /// Of all entries.
    events: u64,
    /// Of all entries.
    bytes: u64,
    clients: BTreeMap<u128, Taken>,
}

impl InboxQueue {
    /// What would come of a request, without carrying it out: where it was taken before; `None` if it would be
    /// taken now.
    ///
    /// A client's requests have rising numbers and come one at a time: a number below its last is refused, so
    /// that a late copy of a request is never taken.
    ///
    /// # Errors
    /// [`NotTaken`].
    pub fn foresee(&self, client: u128, request: u64, count: u32, bytes: usize) -> Result<Option<u64>, NotTaken> {
        match self.clients.get(&client) {
            Some(last) if last.request == request && last.count == count => return Ok(Some(last.first)),
            Some(last) if last.request == request => {
                let before = last.count;
                return Err(NotTaken::Refused(format!(
                    "request {request} of this client was taken before with {before} events, and has {count} now"
                )));
            }
            Some(last) if last.request > request => {
                let last = last.request;
                return Err(NotTaken::Refused(format!(
                    "request {request} of this client comes after its request {last}; numbers must rise"
                )));
            }
            _ => {}
        }
        let (events, bytes) = (self.events + u64::from(count), self.bytes + bytes as u64 + ENTRY_BYTES);
        match events <= EVENTS_MAX && bytes <= BYTES_MAX {
            true => Ok(None),
            false => Err(NotTaken::Full(Full::Inbox {
                events: self.events,
                events_max: EVENTS_MAX,
                bytes: self.bytes,
                bytes_max: BYTES_MAX,
            })),
        }
    }

    /// Takes a parcel at the end, unless this request was taken before.
    ///
    /// # Errors
    /// [`NotTaken`]; nothing has changed then.
    pub fn ingest(&mut self, client: u128, request: u64, parcel: &Parcel) -> Result<Placed, NotTaken> {
        if let Some(first) = self.foresee(client, request, parcel.count, parcel.events.len())? {
            return Ok(Placed { first, is_new: false, forgotten: None });
        }
        let entry = Entry { first: self.end, count: parcel.count, events: parcel.events.clone() };
        let first = entry.first;
        self.push(entry);
        self.clients.insert(client, Taken { request, first, count: parcel.count });
        let forgotten = if self.clients.len() > CLIENTS_MAX { self.forget_oldest() } else { None };
        Ok(Placed { first, is_new: true, forgotten })
    }

    /// Events before `upto` are processed: entries that lie wholly before it are dropped, and given back. An
    /// earlier `upto` than before changes nothing.
    ///
    /// # Errors
    /// With the reason, if there are no such events yet.
    pub fn processed(&mut self, upto: u64) -> Result<Vec<Entry>, String> {
        if upto > self.end {
            let end = self.end;
            return Err(format!("events before {upto} are said to be processed, and the inbox ends at {end}"));
        }
        self.position = self.position.max(upto);
        let count = self.entries.partition_point(|entry| entry.end() <= self.position);
        let dropped: Vec<_> = self.entries.drain(..count).collect();
        for entry in &dropped {
            self.events -= u64::from(entry.count);
            self.bytes -= entry.cost();
        }
        Ok(dropped)
    }

    /// Where processing begins: everything before is processed.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The position after the last event, which the next one gets.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// How many events are kept: those of the first entry too that are processed.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// How many bytes are kept, [`ENTRY_BYTES`] for each entry included.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The entries that hold events from `from` on, oldest first.
    pub fn entries_from(&self, from: u64) -> impl Iterator<Item = &Entry> {
        let before = self.entries.partition_point(|entry| entry.end() <= from.max(self.position));
        self.entries.range(before..)
    }

    /// The clients that are remembered.
    pub fn clients(&self) -> impl ExactSizeIterator<Item = (u128, Taken)> {
        self.clients.iter().map(|(client, taken)| (*client, *taken))
    }

    /// One that takes and refuses the same from here on, and holds no events: for who must know what comes of
    /// requests before carrying them out.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self { entries: VecDeque::new(), clients: self.clients.clone(), ..*self }
    }

    /// What was kept of an inbox, put together again.
    ///
    /// # Errors
    /// What does not fit, in words.
    pub fn restore(
        position: u64,
        end: u64,
        entries: Vec<Entry>,
        clients: impl IntoIterator<Item = (u128, Taken)>,
    ) -> Result<Self, String> {
        let begin = entries.first().map_or(end, |entry| entry.first);
        let mut queue = Self { position, end: begin, clients: clients.into_iter().collect(), ..Self::default() };
        for entry in entries {
            let fits =
                entry.first == queue.end && entry.count > 0 && entry.first.checked_add(entry.count.into()).is_some();
            if !fits {
                return Err(format!(
                    "an entry of {} events at {}, expected at {}",
                    entry.count, entry.first, queue.end
                ));
            }
            queue.push(entry);
        }
        let is_within =
            queue.entries.front().map_or(position == end, |first| (first.first..first.end()).contains(&position));
        match queue.end == end && is_within {
            true => Ok(queue),
            false => Err(format!("entries from {begin} to {}, expected those from {position} to {end}", queue.end)),
        }
    }

    fn push(&mut self, entry: Entry) {
        self.end = entry.end();
        self.events += u64::from(entry.count);
        self.bytes += entry.cost();
        self.entries.push_back(entry);
    }

    fn forget_oldest(&mut self) -> Option<u128> {
        let oldest = self.clients.iter().min_by_key(|(_, taken)| taken.first).map(|(client, _)| *client)?;
        self.clients.remove(&oldest).map(|_| oldest)
    }
}

#[cfg(test)]
mod tests;
