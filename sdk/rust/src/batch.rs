//! Events a stage is handed: views over the columns the host delivered.

use std::{borrow::Cow, fmt};

use crate::{Rejection, bindings::host::types};

/// Events from outside, or the events a stage emitted under test.
///
/// Holds the columns as they crossed the border; an [`Event`] borrows from them, so that going
/// through a batch allocates nothing.
///
/// ```text
/// payloads  a l p h a b e t a        ends  5 9        event 0 = "alpha", event 1 = "beta"
/// ```
pub struct Batch {
    columns: types::Batch,
}

impl Batch {
    pub(crate) fn new(columns: types::Batch) -> Self {
        Self { columns }
    }

    /// How many events.
    pub fn len(&self) -> usize {
        self.columns.ends.len()
    }

    /// Whether there is no event.
    pub fn is_empty(&self) -> bool {
        self.columns.ends.is_empty()
    }

    /// The events in order. Their `seq` is their index.
    ///
    /// # Panics
    /// While iterating, if columns contradict each other. The host checks every batch before it
    /// delivers it.
    pub fn iter(&self) -> Iter<'_> {
        Iter::new(&self.columns, &[])
    }

    /// The payloads as texts, for a test or a log line; bytes that are not UTF-8 are replaced.
    pub fn texts(&self) -> Vec<Cow<'_, str>> {
        self.iter().map(|event| String::from_utf8_lossy(event.payload)).collect()
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self).finish()
    }
}

impl<'a> IntoIterator for &'a Batch {
    type Item = Event<'a>;
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

/// Events on their way into a consuming stage, with where they come from.
///
/// ```
/// # use forebay_sdk::Delivery;
/// fn total_bytes(delivery: &Delivery) -> usize {
///     delivery.iter().map(|event| event.payload.len()).sum()
/// }
/// ```
pub struct Delivery {
    source: String,
    epoch: u64,
    attempt: u32,
    seqs: Vec<(u64, u32)>,
    batch: Batch,
}

impl Delivery {
    pub(crate) fn new(given: types::Delivery) -> Self {
        let types::Delivery { source, epoch, attempt, seqs, events } = given;
        Self { source, epoch, attempt, seqs, batch: Batch::new(events) }
    }

    /// The stage that emitted the events, by its name in the pipeline.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The epoch of the source's claim: it rises with each new owner and each restart of the source.
    ///
    /// (source, epoch, [`seq`](Event::seq)) names one event. A sink that writes to a database can
    /// refuse older writers by it.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// 1 the first time these events are delivered, one more each time they are delivered again.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// How many events.
    pub fn len(&self) -> usize {
        self.batch.len()
    }

    /// Whether there is no event.
    pub fn is_empty(&self) -> bool {
        self.batch.is_empty()
    }

    /// The events in order.
    ///
    /// # Panics
    /// While iterating, if columns contradict each other. The host checks every batch before it
    /// delivers it.
    pub fn iter(&self) -> Iter<'_> {
        Iter::new(&self.batch.columns, &self.seqs)
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery")
            .field("source", &self.source)
            .field("epoch", &self.epoch)
            .field("attempt", &self.attempt)
            .field("events", &self.iter().collect::<Vec<_>>())
            .finish()
    }
}

impl<'a> IntoIterator for &'a Delivery {
    type Item = Event<'a>;
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

/// One event, borrowed from its batch.
#[derive(Clone, Copy, Eq, PartialEq)]
#[non_exhaustive]
pub struct Event<'a> {
    /// Its index in the batch, from 0: what a [`Rejection`] names it by.
    pub index: u32,
    /// The number the source's host gave it; a redelivered event keeps its number. In an
    /// [`ingest`](crate::Ingest) call, where nothing is numbered yet, its index.
    pub seq: u64,
    /// The payload.
    pub payload: &'a [u8],
    /// The topic; `None` when no event of the batch has one.
    pub topic: Option<&'a str>,
    /// The key; empty when there is none.
    pub key: &'a [u8],
    headers: &'a [(u32, String, String)],
}

impl<'a> Event<'a> {
    /// The headers, (name, value), in the order they were added.
    pub fn headers(&self) -> impl ExactSizeIterator<Item = (&'a str, &'a str)> + use<'a> {
        self.headers.iter().map(|(_, name, value)| (name.as_str(), value.as_str()))
    }

    /// The payload as text.
    ///
    /// # Errors
    /// If it is not UTF-8.
    pub fn text(&self) -> Result<&'a str, std::str::Utf8Error> {
        std::str::from_utf8(self.payload)
    }

    /// Says that this event cannot be processed, now or later: it becomes a dead letter.
    pub fn reject(&self, reason: impl Into<String>) -> Rejection {
        Rejection { index: self.index, retry: false, reason: reason.into() }
    }

    /// Says that this event could not be processed now; the host delivers it again later.
    pub fn retry(&self, reason: impl Into<String>) -> Rejection {
        Rejection { index: self.index, retry: true, reason: reason.into() }
    }
}

impl fmt::Debug for Event<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("seq", &self.seq)
            .field("payload", &format_args!("\"{}\"", self.payload.escape_ascii()))
            .field("topic", &self.topic)
            .field("key", &format_args!("\"{}\"", self.key.escape_ascii()))
            .field("headers", &self.headers().collect::<Vec<_>>())
            .finish()
    }
}

/// The events of a [`Delivery`] or [`Batch`], in order.
#[derive(Clone)]
pub struct Iter<'a> {
    columns: &'a types::Batch,
    index: usize,
    payload_start: usize,
    key_start: usize,
    headers: &'a [(u32, String, String)],
    numbers: Numbers<'a>,
}

impl<'a> Iter<'a> {
    fn new(columns: &'a types::Batch, runs: &'a [(u64, u32)]) -> Self {
        let numbers = Numbers { runs, next: 0, left: 0 };
        Self { columns, index: 0, payload_start: 0, key_start: 0, headers: &columns.headers, numbers }
    }
}

impl fmt::Debug for Iter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Iter").field("index", &self.index).field("len", &self.len()).finish()
    }
}

impl<'a> Iterator for Iter<'a> {
    type Item = Event<'a>;

    fn next(&mut self) -> Option<Event<'a>> {
        let columns = self.columns;
        let payload = cut(&columns.payloads, *columns.ends.get(self.index)?, &mut self.payload_start);
        let key = columns.key_ends.get(self.index).map_or(&[][..], |&end| cut(&columns.keys, end, &mut self.key_start));
        let topic = columns.topic_of.get(self.index).map(|&topic| columns.topics[usize::from(topic)].as_str());
        let index = u32::try_from(self.index).expect("`ends` is u32 and the host allows far fewer events");
        let own = self.headers.iter().take_while(|(event, ..)| *event == index).count();
        let (headers, others) = self.headers.split_at(own);
        self.headers = others;
        self.index += 1;
        Some(Event { index, seq: self.numbers.advance(), payload, topic, key, headers })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.columns.ends.len() - self.index;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Iter<'_> {}

fn cut<'a>(bytes: &'a [u8], end: u32, start: &mut usize) -> &'a [u8] {
    let piece = &bytes[*start..end as usize];
    *start = end as usize;
    piece
}

/// Counts through runs of (first, count); past the last run it just counts on.
#[derive(Clone)]
struct Numbers<'a> {
    runs: &'a [(u64, u32)],
    next: u64,
    left: u32,
}

impl Numbers<'_> {
    fn advance(&mut self) -> u64 {
        while let (0, Some((&(first, count), others))) = (self.left, self.runs.split_first()) {
            (self.next, self.left, self.runs) = (first, count, others);
        }
        let number = self.next;
        self.left = self.left.saturating_sub(1);
        self.next += 1;
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns() -> types::Batch {
        types::Batch {
            payloads: b"alphabeta\xff".to_vec(),
            ends: vec![5, 9, 9, 10],
            topics: vec!["x".into(), "y".into()],
            topic_of: vec![0, 1, 1, 0],
            keys: b"k1k22".to_vec(),
            key_ends: vec![2, 2, 5, 5],
            headers: vec![(1, "a".into(), "1".into()), (1, "a".into(), "2".into()), (3, "b".into(), "3".into())],
        }
    }

    #[test]
    fn events_are_cut_from_the_columns() {
        let batch = Batch::new(columns());
        let events: Vec<_> = batch.iter().map(|event| (event.payload, event.topic, event.key)).collect();
        let expected: [(&[u8], _, &[u8]); 4] = [
            (b"alpha", Some("x"), b"k1"),
            (b"beta", Some("y"), b""),
            (b"", Some("y"), b"k22"),
            (b"\xff", Some("x"), b""),
        ];
        assert_eq!(events, expected);
        assert_eq!(batch.iter().map(|event| event.headers().count()).collect::<Vec<_>>(), [0, 2, 0, 1]);
        assert_eq!(batch.iter().nth(1).unwrap().headers().collect::<Vec<_>>(), [("a", "1"), ("a", "2")]);
    }

    #[test]
    fn empty_columns_mean_no_topic_and_no_key() {
        let bare = types::Batch {
            topics: vec![],
            topic_of: vec![],
            keys: vec![],
            key_ends: vec![],
            headers: vec![],
            ..columns()
        };
        let batch = Batch::new(bare);
        assert!(batch.iter().all(|event| event.topic.is_none() && event.key.is_empty()));
        assert_eq!(batch.iter().len(), 4);
    }

    #[test]
    fn numbers_follow_the_runs() {
        let delivery = Delivery::new(types::Delivery {
            source: "counter".into(),
            epoch: 7,
            attempt: 2,
            seqs: vec![(10, 1), (99, 0), (20, 3)],
            events: columns(),
        });
        assert_eq!(delivery.iter().map(|event| event.seq).collect::<Vec<_>>(), [10, 20, 21, 22]);
        assert_eq!(delivery.iter().map(|event| event.index).collect::<Vec<_>>(), [0, 1, 2, 3]);
        assert_eq!((delivery.source(), delivery.epoch(), delivery.attempt(), delivery.len()), ("counter", 7, 2, 4));
    }

    #[test]
    fn a_rejection_names_its_event() {
        let batch = Batch::new(columns());
        let event = batch.iter().nth(2).unwrap();
        assert_eq!(event.reject("no"), Rejection { index: 2, retry: false, reason: "no".into() });
        assert_eq!(event.retry("busy"), Rejection { index: 2, retry: true, reason: "busy".into() });
    }
}
