//! Events in columns: what the WIT's `batch` is inside the host.
//!
//! A [`Batch`] is a view, an index range over columns that are shared and never change. Splitting,
//! retaining and handing on copy nothing.
//!
//! ```text
//! payloads  a l p h a b e t a        ends  5 9        event 0 = "alpha", event 1 = "beta"
//! topics    "x" "y"              topic_of  0 1        event 0 has topic "x"
//! ```

mod choose;
mod stretches;
mod topics;

use std::{fmt, ops::Range, sync::Arc};

use bytes::Bytes;
pub(crate) use stretches::{joined, of_each};

/// What one batch may be at most. Checked where a batch enters the host, from a guest or the network.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct BatchLimits {
    /// Unit: events. Default 65,536: a full `max_demand` of 1,000 many times over, and the most
    /// that keeps 4-byte columns of one message below 1 MiB.
    pub events_max: u32,
    /// Unit: bytes over all columns. Default 4 MiB, half of the longest frame.
    pub bytes_max: u32,
}

impl Default for BatchLimits {
    fn default() -> Self {
        Self { events_max: 65_536, bytes_max: 4 << 20 }
    }
}

/// Columns contradict each other, or are too large.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BatchError {
    /// A column of ends falls somewhere.
    #[error("column `{column}` falls from {before} to {found} at event {index}; ends never fall")]
    EndsFall {
        /// Which column.
        column: &'static str,
        /// At which event.
        index: usize,
        /// The end before it.
        before: u32,
        /// The end found.
        found: u32,
    },
    /// The last end is not the length of the bytes.
    #[error("the last of column `{column}` is {found}, but there are {expected} bytes; they must be equal")]
    LastEnd {
        /// Which column.
        column: &'static str,
        /// The last end.
        found: usize,
        /// The length of the bytes.
        expected: usize,
    },
    /// A column that goes with the events has another length.
    #[error("column `{column}` has {found} entries for {expected} events; expected none or one for each")]
    Length {
        /// Which column.
        column: &'static str,
        /// Its length.
        found: usize,
        /// The number of events.
        expected: usize,
    },
    /// An index points outside its table.
    #[error("column `{column}` holds index {found}; expected one below {expected}")]
    Index {
        /// Which column.
        column: &'static str,
        /// The index.
        found: u64,
        /// The length of what it points into.
        expected: usize,
    },
    /// Headers are not sorted by event.
    #[error("header {at} belongs to event {found}, after one of event {before}; sort headers by event")]
    HeaderOrder {
        /// Which header.
        at: usize,
        /// Its event.
        found: u32,
        /// The event of the header before.
        before: u32,
    },
    /// Topics are named but not used, or the reverse.
    #[error("{topics} topics for {used} uses; both columns must be empty, or neither")]
    Topics {
        /// The length of `topics`.
        topics: usize,
        /// The length of `topic_of`.
        used: usize,
    },
    /// More events than allowed.
    #[error("{found} events in one batch, {max} are allowed; emit smaller batches or raise `limits.batch_events`")]
    Events {
        /// How many.
        found: usize,
        /// How many are allowed.
        max: u32,
    },
    /// More bytes than allowed.
    #[error("a batch of {found} bytes, {max} are allowed; emit smaller batches or raise `limits.batch_bytes`")]
    Bytes {
        /// How many.
        found: usize,
        /// How many are allowed.
        max: u32,
    },
}

/// The columns, not yet checked. See the WIT's `batch` for their meaning.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Columns {
    /// Payloads, one after the other.
    pub payloads: Vec<u8>,
    /// Where each payload ends.
    pub ends: Vec<u32>,
    /// Topics that occur.
    pub topics: Vec<String>,
    /// Index of the topic, per event.
    pub topic_of: Vec<u16>,
    /// Keys, one after the other.
    pub keys: Vec<u8>,
    /// Where each key ends.
    pub key_ends: Vec<u32>,
    /// (event, name, value), sorted by event.
    pub headers: Vec<(u32, String, String)>,
}

/// [`Columns`] as batches share them: what came in a frame is a part of that frame, not a copy.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    pub(crate) payloads: Bytes,
    pub(crate) ends: Vec<u32>,
    pub(crate) topics: Vec<String>,
    pub(crate) topic_of: Vec<u16>,
    pub(crate) keys: Bytes,
    pub(crate) key_ends: Vec<u32>,
    pub(crate) headers: Vec<(u32, String, String)>,
}

impl From<Columns> for Shared {
    /// Copies nothing.
    fn from(columns: Columns) -> Self {
        let Columns { payloads, ends, topics, topic_of, keys, key_ends, headers } = columns;
        Self { payloads: payloads.into(), ends, topics, topic_of, keys: keys.into(), key_ends, headers }
    }
}

impl Shared {
    fn bytes(&self) -> usize {
        let texts = self.topics.iter().map(String::len).sum::<usize>();
        let headers = self.headers.iter().map(|(_, name, value)| 12 + name.len() + value.len()).sum::<usize>();
        let fixed = 4 * self.ends.len() + 2 * self.topic_of.len() + 4 * self.key_ends.len() + 4 * self.topics.len();
        self.payloads.len() + self.keys.len() + texts + headers + fixed
    }

    fn check(&self, limits: &BatchLimits) -> Result<(), BatchError> {
        let events = self.ends.len();
        let bytes = self.bytes();
        if events > limits.events_max as usize {
            return Err(BatchError::Events { found: events, max: limits.events_max });
        }
        if bytes > limits.bytes_max as usize {
            return Err(BatchError::Bytes { found: bytes, max: limits.bytes_max });
        }
        check_ends("ends", &self.ends, self.payloads.len())?;
        if !self.key_ends.is_empty() && self.key_ends.len() != events {
            return Err(BatchError::Length { column: "key-ends", found: self.key_ends.len(), expected: events });
        }
        check_ends("key-ends", &self.key_ends, self.keys.len())?;
        self.check_topics(events)?;
        self.check_headers(events)
    }

    fn check_topics(&self, events: usize) -> Result<(), BatchError> {
        if self.topics.is_empty() != self.topic_of.is_empty() {
            return Err(BatchError::Topics { topics: self.topics.len(), used: self.topic_of.len() });
        }
        if !self.topic_of.is_empty() && self.topic_of.len() != events {
            return Err(BatchError::Length { column: "topic-of", found: self.topic_of.len(), expected: events });
        }
        // The greatest, and not the first that is wrong: that takes no decision for an event.
        let greatest = self.topic_of.iter().fold(0, |greatest, &index| greatest.max(index));
        match self.topic_of.is_empty() || usize::from(greatest) < self.topics.len() {
            true => Ok(()),
            false => Err(BatchError::Index { column: "topic-of", found: greatest.into(), expected: self.topics.len() }),
        }
    }

    fn check_headers(&self, events: usize) -> Result<(), BatchError> {
        let mut before = 0;
        for (at, &(event, ..)) in self.headers.iter().enumerate() {
            if event as usize >= events {
                return Err(BatchError::Index { column: "headers", found: event.into(), expected: events });
            }
            if event < before {
                return Err(BatchError::HeaderOrder { at, found: event, before });
            }
            before = event;
        }
        Ok(())
    }
}

fn check_ends(column: &'static str, ends: &[u32], bytes: usize) -> Result<(), BatchError> {
    // All pairs, whatever they are: the compiler makes several comparisons of one instruction. Where an end falls is
    // looked for once it is known that one does.
    let pairs = || ends.iter().zip(ends.get(1..).unwrap_or_default());
    if pairs().fold(false, |falls, (before, found)| falls | (found < before)) {
        let fall = pairs().enumerate().find(|(_, (before, found))| found < before);
        let (index, (&before, &found)) = fall.expect("one was just found");
        return Err(BatchError::EndsFall { column, index: index + 1, before, found });
    }
    let last = ends.last().map_or(0, |&last| last as usize);
    if last != bytes {
        return Err(BatchError::LastEnd { column, found: last, expected: bytes });
    }
    Ok(())
}

/// One event, borrowed from its batch.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Event<'a> {
    /// The payload.
    pub payload: &'a [u8],
    /// The topic, if events of this batch have topics.
    pub topic: Option<&'a str>,
    /// The key; empty if there is none.
    pub key: &'a [u8],
}

/// Checked events, as a view over shared columns. Cheap to clone and to split.
#[derive(Clone, Default)]
pub struct Batch {
    columns: Arc<Shared>,
    range: Range<usize>,
}

impl Batch {
    /// Checks `columns` and takes them over; nothing is copied.
    ///
    /// # Errors
    /// [`BatchError`] names the column that is wrong, or the limit that is exceeded.
    pub fn new(columns: Columns, limits: &BatchLimits) -> Result<Self, BatchError> {
        Self::of_shared(columns.into(), limits)
    }

    /// As [`Batch::new`].
    pub(crate) fn of_shared(columns: Shared, limits: &BatchLimits) -> Result<Self, BatchError> {
        columns.check(limits)?;
        let range = 0..columns.ends.len();
        Ok(Self { columns: Arc::new(columns), range })
    }

    /// Columns that were made of checked ones.
    fn made(columns: Columns) -> Self {
        let range = 0..columns.ends.len();
        Self { columns: Arc::new(columns.into()), range }
    }

    /// A batch of bare payloads.
    ///
    /// # Panics
    /// If the payloads are 4 GiB or more in all.
    pub fn from_payloads<P: AsRef<[u8]>>(payloads: impl IntoIterator<Item = P>) -> Self {
        let mut columns = Columns::default();
        for payload in payloads {
            columns.payloads.extend_from_slice(payload.as_ref());
            columns.ends.push(u32::try_from(columns.payloads.len()).expect("payloads of less than 4 GiB"));
        }
        Self::made(columns)
    }

    /// How many events.
    pub fn len(&self) -> usize {
        self.range.len()
    }

    /// Whether there is no event.
    pub fn is_empty(&self) -> bool {
        self.range.is_empty()
    }

    /// The events of `range`, counted within this batch, without copying.
    ///
    /// # Panics
    /// If `range` is outside the batch.
    pub fn slice(&self, range: Range<usize>) -> Self {
        assert!(range.start <= range.end && range.end <= self.len(), "{range:?} of {} events", self.len());
        let start = self.range.start;
        Self { columns: Arc::clone(&self.columns), range: start + range.start..start + range.end }
    }

    /// Takes the first `count` events off, or all there are.
    pub fn take_front(&mut self, count: usize) -> Self {
        let count = count.min(self.len());
        let front = self.slice(0..count);
        self.range.start += count;
        front
    }

    /// One event.
    ///
    /// # Panics
    /// If `index` is outside the batch.
    pub fn event(&self, index: usize) -> Event<'_> {
        assert!(index < self.len(), "event {index} of {}", self.len());
        let at = self.range.start + index;
        let columns = &*self.columns;
        Event {
            payload: piece(&columns.payloads, &columns.ends, at),
            topic: columns.topic_of.get(at).map(|&topic| &*columns.topics[usize::from(topic)]),
            key: if columns.key_ends.is_empty() { &[] } else { piece(&columns.keys, &columns.key_ends, at) },
        }
    }

    /// The events in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Event<'_>> {
        (0..self.len()).map(|index| self.event(index))
    }

    /// The headers of this view: (event, name, value), the event counted within the view.
    pub fn headers(&self) -> impl Iterator<Item = (u32, &str, &str)> {
        let (start, end) = (self.range.start, self.range.end);
        let headers = &self.columns.headers;
        let from = headers.partition_point(|&(event, ..)| (event as usize) < start);
        headers[from..].iter().take_while(move |&&(event, ..)| (event as usize) < end).map(
            move |(event, name, value)| {
                let within = *event as usize - start;
                (u32::try_from(within).expect("no larger than the index it was"), &**name, &**value)
            },
        )
    }

    /// This view's parts of the columns, for handing them on without a copy in between.
    pub fn view(&self) -> View<'_> {
        let (columns, range) = (&*self.columns, self.range.clone());
        let base = |ends: &[u32]| match range.start {
            0 => 0,
            start => ends.get(start - 1).copied().unwrap_or(0),
        };
        let (payload_base, key_base) = (base(&columns.ends), base(&columns.key_ends));
        let part = |ends: &'_ [u32], base: u32| base as usize..ends.last().copied().unwrap_or(base) as usize;
        let ends = &columns.ends[range.clone()];
        let key_ends = columns.key_ends.get(range.clone()).unwrap_or_default();
        let topic_of = columns.topic_of.get(range).unwrap_or_default();
        View {
            payloads: &columns.payloads[part(ends, payload_base)],
            ends,
            payload_base,
            topics: if topic_of.is_empty() { &[] } else { &columns.topics },
            topic_of,
            keys: &columns.keys[part(key_ends, key_base)],
            key_ends,
            key_base,
        }
    }

    /// This view as columns of its own: what is handed to a guest or written to the wire.
    ///
    /// Payloads and keys are one copy each; topics keep the table of the whole batch.
    pub fn to_columns(&self) -> Columns {
        let view = self.view();
        let headers = self.headers().map(|(event, name, value)| (event, name.to_owned(), value.to_owned())).collect();
        Columns {
            payloads: view.payloads.to_vec(),
            ends: view.ends.iter().map(|end| end - view.payload_base).collect(),
            topics: view.topics.to_vec(),
            topic_of: view.topic_of.to_vec(),
            keys: view.keys.to_vec(),
            key_ends: view.key_ends.iter().map(|end| end - view.key_base).collect(),
            headers,
        }
    }

    /// The same events in columns of their own, if these are a part of larger ones.
    #[must_use]
    pub fn detached(&self) -> Self {
        if self.range == (0..self.columns.ends.len()) {
            return self.clone();
        }
        Self::made(self.to_columns())
    }

    #[cfg(test)]
    pub(crate) fn shares_columns(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.columns, &other.columns)
    }

    /// Joins batches in order into as few as possible, each of at most `bytes_max` bytes unless a
    /// single one is larger. Copies only what it joins.
    pub fn pack(batches: impl IntoIterator<Item = Self>, bytes_max: usize) -> Vec<Self> {
        let mut packed = Vec::new();
        let mut group: Vec<Self> = Vec::new();
        let mut size = GroupSize::default();
        for batch in batches {
            let grown = size.with(&batch);
            let fits = grown.bytes <= bytes_max && grown.topics <= usize::from(u16::MAX);
            if !fits && !group.is_empty() {
                packed.push(Self::join(std::mem::take(&mut group)));
                size = GroupSize::default().with(&batch);
            } else {
                size = grown;
            }
            group.push(batch);
        }
        if !group.is_empty() {
            packed.push(Self::join(group));
        }
        packed
    }

    fn join(mut batches: Vec<Self>) -> Self {
        if batches.len() == 1 {
            return batches.swap_remove(0);
        }
        // A guest cannot make this overflow: `pack` bounds topics, and bytes by what one message may hold.
        let any_keys = batches.iter().any(|batch| !batch.columns.key_ends.is_empty());
        let any_topics = batches.iter().any(|batch| !batch.columns.topics.is_empty());
        let mut joined = Columns::default();
        for batch in &batches {
            joined.append(batch, any_keys, any_topics);
        }
        Self::made(joined)
    }

    /// An upper bound of the bytes of this view's columns.
    pub fn bytes(&self) -> usize {
        let span = |ends: &[u32]| match (self.range.start, ends.get(self.range.clone())) {
            (0, Some(ends)) => ends.last().copied().unwrap_or(0) as usize,
            (start, Some([.., last])) => (last - ends[start - 1]) as usize,
            _ => 0,
        };
        let columns = &*self.columns;
        let topics = columns.topics.iter().map(|topic| 4 + topic.len()).sum::<usize>();
        let headers = self.headers().map(|(_, name, value)| 12 + name.len() + value.len()).sum::<usize>();
        span(&columns.ends) + span(&columns.key_ends) + topics + headers + 10 * self.len()
    }
}

/// What a group of batches would come to when joined; both are upper bounds.
#[derive(Default)]
struct GroupSize {
    bytes: usize,
    topics: usize,
}

impl GroupSize {
    /// One topic more than there are: the empty one, for events without any.
    fn with(&self, batch: &Batch) -> Self {
        Self { bytes: self.bytes + batch.bytes(), topics: self.topics + batch.columns.topics.len() + 1 }
    }
}

impl Columns {
    /// # Panics
    /// If a column comes to 4 GiB.
    fn append(&mut self, batch: &Batch, any_keys: bool, any_topics: bool) {
        let narrow = |n: usize| u32::try_from(n).expect("joined columns stay below 4 GiB");
        let first = narrow(self.ends.len());
        self.headers.extend(batch.headers().map(|(event, name, value)| (first + event, name.into(), value.into())));
        let view = batch.view();
        let before = narrow(self.payloads.len());
        self.payloads.extend_from_slice(view.payloads);
        self.ends.extend(view.ends.iter().map(|end| before + (end - view.payload_base)));
        if any_keys {
            let before = narrow(self.keys.len());
            self.keys.extend_from_slice(view.keys);
            self.key_ends.extend(view.key_ends.iter().map(|end| before + (end - view.key_base)));
            // Without a column of keys each event has the empty one.
            self.key_ends.resize(self.ends.len(), before);
        }
        if any_topics {
            for event in batch.iter() {
                let topic = event.topic.unwrap_or_default();
                let known = self.topics.iter().rposition(|known| known == topic);
                let index = known.unwrap_or_else(|| {
                    self.topics.push(topic.to_owned());
                    self.topics.len() - 1
                });
                self.topic_of.push(u16::try_from(index).expect("no more topics than 65,536"));
            }
        }
    }
}

fn piece<'a>(bytes: &'a [u8], ends: &[u32], at: usize) -> &'a [u8] {
    let start = if at == 0 { 0 } else { ends[at - 1] };
    &bytes[start as usize..ends[at] as usize]
}

/// The parts of the columns that a batch views. Ends count from the start of the whole column:
/// subtract the base.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The payloads of the events in view.
    pub payloads: &'a [u8],
    /// Where each ends, counted from `payload_base` before them.
    pub ends: &'a [u32],
    /// What to subtract from `ends`; 0 for a view from the first event on.
    pub payload_base: u32,
    /// The topics of the whole batch; none if the events have none.
    pub topics: &'a [String],
    /// Index of the topic, per event.
    pub topic_of: &'a [u16],
    /// The keys of the events in view.
    pub keys: &'a [u8],
    /// Where each ends, counted from `key_base` before them.
    pub key_ends: &'a [u32],
    /// What to subtract from `key_ends`.
    pub key_base: u32,
}

impl PartialEq for Batch {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().eq(other.iter()) && self.headers().eq(other.headers())
    }
}

impl Eq for Batch {}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|event| String::from_utf8_lossy(event.payload).into_owned())).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Columns {
        Columns {
            payloads: b"alphabetagamma".to_vec(),
            ends: vec![5, 9, 14],
            topics: vec!["x".into(), "y".into()],
            topic_of: vec![0, 1, 0],
            keys: b"k2".to_vec(),
            key_ends: vec![0, 2, 2],
            headers: vec![(1, "h".into(), "1".into()), (2, "h".into(), "2".into())],
        }
    }

    fn checked(columns: Columns) -> Result<Batch, BatchError> {
        Batch::new(columns, &BatchLimits::default())
    }

    #[test]
    fn a_view_keeps_every_column() {
        let batch = checked(sample()).unwrap();
        let tail = batch.slice(1..3);
        assert_eq!(tail.event(0), Event { payload: b"beta", topic: Some("y"), key: b"k2" });
        assert_eq!(tail.headers().collect::<Vec<_>>(), [(0, "h", "1"), (1, "h", "2")]);
        assert_eq!(checked(tail.to_columns()).unwrap(), tail);
    }

    #[test]
    fn joining_the_parts_gives_the_whole() {
        let whole = checked(sample()).unwrap();
        let mut rest = whole.clone();
        let front = rest.take_front(1);
        assert_eq!(Batch::pack([front, rest], usize::MAX)[0], whole);
    }

    #[test]
    fn joining_with_and_without_keys_keeps_keys() {
        let whole = checked(sample()).unwrap();
        let joined = Batch::pack([Batch::from_payloads(["bare"]), whole], usize::MAX).remove(0);
        assert_eq!(joined.event(0).key, b"");
        assert_eq!(joined.event(2).key, b"k2");
        assert!(checked(joined.to_columns()).is_ok());
    }

    #[test]
    fn packing_stops_at_the_limits() {
        let one = Batch::from_payloads([vec![0u8; 100]]);
        let sizes = |max| Batch::pack(vec![one.clone(); 5], max).iter().map(Batch::len).collect::<Vec<_>>();
        assert_eq!(sizes(usize::MAX), [5]);
        assert_eq!(sizes(2 * one.bytes()), [2, 2, 1]);
        assert_eq!(sizes(1), [1; 5]);
        let topics: Vec<String> = (0..40_000).map(|n| n.to_string()).collect();
        let columns = Columns { ends: vec![0], topics, topic_of: vec![7], ..Columns::default() };
        let many = Batch::new(columns, &BatchLimits::default()).unwrap();
        assert_eq!(Batch::pack([many.clone(), many], usize::MAX).len(), 2);
    }

    #[test]
    fn contradictions_are_named() {
        let with = |change: fn(&mut Columns)| {
            let mut columns = sample();
            change(&mut columns);
            checked(columns).unwrap_err()
        };
        assert!(matches!(with(|c| c.ends[1] = 4), BatchError::EndsFall { column: "ends", index: 1, .. }));
        assert!(matches!(with(|c| c.ends[2] = 13), BatchError::LastEnd { column: "ends", found: 13, expected: 14 }));
        assert!(matches!(with(|c| c.key_ends.truncate(2)), BatchError::Length { column: "key-ends", .. }));
        assert!(matches!(with(|c| c.topic_of[2] = 2), BatchError::Index { column: "topic-of", found: 2, .. }));
        assert!(matches!(with(|c| c.topics.clear()), BatchError::Topics { topics: 0, used: 3 }));
        assert!(matches!(with(|c| c.headers[1].0 = 3), BatchError::Index { column: "headers", found: 3, .. }));
        assert!(matches!(with(|c| c.headers[1].0 = 0), BatchError::HeaderOrder { at: 1, found: 0, before: 1 }));
    }

    #[test]
    fn limits_count_events_and_all_bytes() {
        let few = BatchLimits { events_max: 2, bytes_max: 1000 };
        assert!(matches!(Batch::new(sample(), &few), Err(BatchError::Events { found: 3, max: 2 })));
        let small = BatchLimits { events_max: 9, bytes_max: 20 };
        assert!(matches!(Batch::new(sample(), &small), Err(BatchError::Bytes { max: 20, .. })));
    }
}
