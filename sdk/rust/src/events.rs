//! Events a stage emits, built up column by column.

use std::{collections::BTreeMap, fmt};

use crate::{Batch, Event, bindings::host::types};

/// Events to emit. Fields go straight into the columns that cross to the host; there is no
/// allocation per event, except for headers.
///
/// ```
/// # use forebay_sdk::Events;
/// # fn emit(events: &mut Events) {
/// events.push("bare payload");
/// events.push(b"\x01\x02").topic("meters.power").key("meter-7").header("unit", "W");
/// events.push_format(format_args!("{}", 42));
/// # }
/// # emit(&mut Events::default());
/// ```
#[derive(Default)]
pub struct Events {
    columns: types::Batch,
    topic_index: BTreeMap<String, u16>,
}

impl Events {
    /// Adds an event. What is returned sets its topic, key and headers, and may be dropped.
    ///
    /// # Panics
    /// If the payloads pass 4 GiB in all; the host refuses a batch long before.
    pub fn push(&mut self, payload: impl AsRef<[u8]>) -> Pushed<'_> {
        self.columns.payloads.extend_from_slice(payload.as_ref());
        self.end_event()
    }

    /// Adds an event whose payload is formatted in place: `push_format(format_args!("{n}"))`.
    ///
    /// # Panics
    /// As [`push`](Self::push), and if a `Display` implementation fails.
    pub fn push_format(&mut self, text: fmt::Arguments<'_>) -> Pushed<'_> {
        fmt::Write::write_fmt(&mut Tail(&mut self.columns.payloads), text).expect("writing to memory does not fail");
        self.end_event()
    }

    /// Adds a copy of an event that was delivered, with its topic, key and headers.
    ///
    /// # Panics
    /// As [`push`](Self::push) and [`Pushed::topic`].
    pub fn push_event(&mut self, event: &Event<'_>) -> Pushed<'_> {
        let mut pushed = self.push(event.payload);
        if let Some(topic) = event.topic {
            pushed = pushed.topic(topic);
        }
        if !event.key.is_empty() {
            pushed = pushed.key(event.key);
        }
        for (name, value) in event.headers() {
            pushed = pushed.header(name, value);
        }
        pushed
    }

    /// Makes room for further events, to spare growing the columns step by step.
    pub fn reserve(&mut self, events: usize, payload_bytes: usize) {
        self.columns.ends.reserve(events);
        self.columns.payloads.reserve(payload_bytes);
    }

    /// How many events so far.
    pub fn len(&self) -> usize {
        self.columns.ends.len()
    }

    /// Whether there is no event yet.
    pub fn is_empty(&self) -> bool {
        self.columns.ends.is_empty()
    }

    /// The columns themselves, for tests that emit what a host must refuse.
    #[doc(hidden)]
    pub fn columns_mut(&mut self) -> &mut types::Batch {
        &mut self.columns
    }

    pub(crate) fn into_columns(mut self) -> types::Batch {
        let events = self.len();
        if !self.columns.topic_of.is_empty() {
            self.fill_topics(events);
        }
        if !self.columns.key_ends.is_empty() {
            self.fill_keys(events);
        }
        self.columns
    }

    fn end_event(&mut self) -> Pushed<'_> {
        self.columns.ends.push(end_of(&self.columns.payloads));
        Pushed { events: self }
    }

    // The columns of topics and keys may be behind the events: they are filled when the next topic
    // or key is set, and at the end. So they stay empty for events that have none.

    fn fill_topics(&mut self, events: usize) {
        if self.columns.topic_of.len() < events {
            let none = self.topic_number("");
            self.columns.topic_of.resize(events, none);
        }
    }

    fn fill_keys(&mut self, events: usize) {
        if self.columns.key_ends.len() < events {
            self.columns.key_ends.resize(events, end_of(&self.columns.keys));
        }
    }

    fn topic_number(&mut self, topic: &str) -> u16 {
        // Neighbours mostly share their topic, which spares looking it up.
        if let Some(&last) = self.columns.topic_of.last()
            && self.columns.topics[usize::from(last)] == topic
        {
            return last;
        }
        if let Some(&known) = self.topic_index.get(topic) {
            return known;
        }
        let number = u16::try_from(self.columns.topics.len())
            .expect("at most 65,536 different topics fit one batch; emit smaller batches");
        self.columns.topics.push(topic.to_owned());
        self.topic_index.insert(topic.to_owned(), number);
        number
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").field("len", &self.len()).finish_non_exhaustive()
    }
}

impl From<Events> for Batch {
    fn from(events: Events) -> Self {
        Self::new(events.into_columns())
    }
}

/// The event that was pushed last, to be given a topic, key and headers.
#[derive(Debug)]
pub struct Pushed<'a> {
    events: &'a mut Events,
}

impl Pushed<'_> {
    /// Sets the topic: what subscriptions choose by. The empty topic means none.
    ///
    /// # Panics
    /// At the 65,537th different topic of one batch, which the columns cannot hold.
    pub fn topic(self, topic: &str) -> Self {
        let last = self.events.len() - 1;
        if topic.is_empty() && self.events.columns.topic_of.is_empty() {
            return self;
        }
        self.events.fill_topics(last);
        let number = self.events.topic_number(topic);
        self.events.columns.topic_of.truncate(last);
        self.events.columns.topic_of.push(number);
        self
    }

    /// Sets the key: events of one key go to the same consumer when the dispatcher partitions by it.
    ///
    /// # Panics
    /// If the keys pass 4 GiB in all.
    pub fn key(self, key: impl AsRef<[u8]>) -> Self {
        let last = self.events.len() - 1;
        self.events.fill_keys(last);
        let columns = &mut self.events.columns;
        columns.key_ends.truncate(last);
        let start = columns.key_ends.last().map_or(0, |&end| end as usize);
        columns.keys.truncate(start);
        columns.keys.extend_from_slice(key.as_ref());
        columns.key_ends.push(end_of(&columns.keys));
        self
    }

    /// Adds a header. The same name may be added more than once.
    pub fn header(self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let columns = &mut self.events.columns;
        let index = u32::try_from(columns.ends.len() - 1).expect("fewer events than bytes in 4 GiB");
        columns.headers.push((index, name.into(), value.into()));
        self
    }
}

fn end_of(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).expect("less than 4 GiB in one batch; emit smaller batches")
}

/// Appends formatted text.
struct Tail<'a>(&'a mut Vec<u8>);

impl fmt::Write for Tail<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bare_payloads_leave_the_other_columns_empty() {
        let mut events = Events::default();
        events.push("a").topic("");
        events.push_format(format_args!("{}-{}", 1, 2));
        events.push("");
        let columns = events.into_columns();
        assert_eq!((columns.payloads.as_slice(), columns.ends.as_slice()), (&b"a1-2"[..], &[1, 4, 4][..]));
        assert!(columns.topics.is_empty() && columns.topic_of.is_empty());
        assert!(columns.keys.is_empty() && columns.key_ends.is_empty() && columns.headers.is_empty());
    }

    #[test]
    fn a_late_topic_or_key_fills_the_events_before_it() {
        let mut events = Events::default();
        events.push("0");
        events.push("1");
        events.push("2").topic("t").key("kk");
        events.push("3");
        events.push("4").topic("u").topic("t").key("long").key("k").header("n", "v");
        let columns = events.into_columns();
        assert_eq!(columns.topics, ["", "t", "u"]);
        assert_eq!(columns.topic_of, [0, 0, 1, 0, 1]);
        assert_eq!((columns.keys.as_slice(), columns.key_ends.as_slice()), (&b"kkk"[..], &[0, 0, 2, 2, 3][..]));
        assert_eq!(columns.headers, [(4, "n".to_owned(), "v".to_owned())]);
    }

    #[test]
    fn a_topic_is_held_once() {
        let mut events = Events::default();
        for topic in ["a", "b", "a", "a", "b"] {
            events.push("x").topic(topic);
        }
        let columns = events.into_columns();
        assert_eq!(columns.topics, ["a", "b"]);
        assert_eq!(columns.topic_of, [0, 1, 0, 0, 1]);
    }

    #[test]
    fn copies_of_delivered_events_are_equal_to_them() {
        let mut events = Events::default();
        events.push("0");
        events.push("1").topic("t").key("k").header("a", "1").header("b", "2");
        events.push("2").key("l");
        let first = Batch::from(events);
        let mut copies = Events::default();
        for event in &first {
            copies.push_event(&event);
        }
        let second = Batch::from(copies);
        assert!(
            first
                .iter()
                .map(|event| event.headers().collect::<Vec<_>>())
                .eq(second.iter().map(|event| event.headers().collect::<Vec<_>>()))
        );
        assert!(
            first.iter().map(|e| (e.payload, e.topic, e.key)).eq(second.iter().map(|e| (e.payload, e.topic, e.key)))
        );
    }
}
