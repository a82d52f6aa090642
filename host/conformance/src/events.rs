//! Events as a case writes them down, and the columns they cross the border in.

use std::{collections::HashMap, fmt};

use forebay_proto::batch::{Batch, BatchLimits, Columns};

/// One event with all it carries. No topic and the empty topic are the same.
#[derive(Clone, Default, Eq, PartialEq)]
pub(crate) struct Event {
    pub(crate) payload: Vec<u8>,
    pub(crate) topic: String,
    pub(crate) key: Vec<u8>,
    pub(crate) headers: Vec<(String, String)>,
}

impl Event {
    /// A bare payload.
    pub(crate) fn of(payload: impl Into<Vec<u8>>) -> Self {
        Self { payload: payload.into(), ..Self::default() }
    }

    pub(crate) fn topic(self, topic: &str) -> Self {
        Self { topic: topic.to_owned(), ..self }
    }

    pub(crate) fn key(self, key: impl Into<Vec<u8>>) -> Self {
        Self { key: key.into(), ..self }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The events of a batch.
    pub(crate) fn all_of(batch: &Batch) -> Vec<Self> {
        let mut events: Vec<Self> = batch
            .iter()
            .map(|event| Self {
                payload: event.payload.to_vec(),
                topic: event.topic.unwrap_or_default().to_owned(),
                key: event.key.to_vec(),
                headers: Vec::new(),
            })
            .collect();
        for (event, name, value) in batch.headers() {
            events[event as usize].headers.push((name.to_owned(), value.to_owned()));
        }
        events
    }
}

/// Payloads as text where they are UTF-8; what is not set is left out.
impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Bytes(&self.payload))?;
        if !self.topic.is_empty() {
            write!(f, " topic {:?}", self.topic)?;
        }
        if !self.key.is_empty() {
            write!(f, " key {}", Bytes(&self.key))?;
        }
        if !self.headers.is_empty() {
            write!(f, " headers {:?}", self.headers)?;
        }
        Ok(())
    }
}

struct Bytes<'a>(&'a [u8]);

impl fmt::Display for Bytes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match std::str::from_utf8(self.0) {
            Ok(text) => write!(f, "{text:?}"),
            Err(_) => write!(f, "b\"{}\"", self.0.escape_ascii()),
        }
    }
}

/// Bare payloads.
pub(crate) fn bare<P: Into<Vec<u8>>>(payloads: impl IntoIterator<Item = P>) -> Vec<Event> {
    payloads.into_iter().map(Event::of).collect()
}

/// So many events of a few bytes each, no two alike, with topics, keys and headers on some of them.
pub(crate) fn assorted(count: usize) -> Vec<Event> {
    let event = |number: usize| {
        let event = Event::of(format!("event {number}"));
        match number % 4 {
            0 => event,
            1 => event.topic(["meters", "größen", "温度"][number % 3]),
            2 => event.key(format!("key {number}")),
            _ => event.topic("all").key([0xff, 0]).header("unit", "W").header("unit", "kW").header("名", "ü"),
        }
    };
    (0..count).map(event).collect()
}

/// Events that border on what may be: empty, a MiB, no text at all, and text of all kinds.
pub(crate) fn edges() -> Vec<Event> {
    vec![
        Event::of(""),
        Event::of(vec![b'm'; 1 << 20]).key("long"),
        Event::of([0xff, 0xfe, 0x00, 0x80]).topic("bytes").key([0xc3, 0x28]),
        Event::of([0, 0, 0]),
        Event::of("grüße 温度 🌡\u{10ffff}").topic("unicode 🌡").key("schlüssel").header("名", "ü🌡").header("", ""),
        Event::of("\u{feff}with a mark of byte order"),
        Event::of("line\r\nline\ttab\u{1b}[0m"),
        Event::of(""),
    ]
}

/// The batch of these events. Columns that nobody needs stay empty, as the WIT says.
///
/// # Panics
/// If they are more than a batch may hold: a mistake in a case.
pub(crate) fn batch(events: &[Event]) -> Batch {
    let mut columns = Columns::default();
    let any_topic = events.iter().any(|event| !event.topic.is_empty());
    let any_key = events.iter().any(|event| !event.key.is_empty());
    let mut topics = HashMap::new();
    for (index, event) in (0..).zip(events) {
        columns.payloads.extend_from_slice(&event.payload);
        columns.ends.push(end_of(&columns.payloads));
        if any_topic {
            let number = *topics.entry(&event.topic).or_insert_with(|| {
                columns.topics.push(event.topic.clone());
                u16::try_from(columns.topics.len() - 1).expect("a case has few topics")
            });
            columns.topic_of.push(number);
        }
        if any_key {
            columns.keys.extend_from_slice(&event.key);
            columns.key_ends.push(end_of(&columns.keys));
        }
        columns.headers.extend(event.headers.iter().map(|(name, value)| (index, name.clone(), value.clone())));
    }
    Batch::new(columns, &BatchLimits::default()).expect("a case keeps to the limits of a batch")
}

fn end_of(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).expect("a case is smaller than 4 GiB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_go_into_columns_and_come_back() {
        for events in [assorted(100), edges(), bare(["a", "b"]), Vec::new()] {
            assert_eq!(Event::all_of(&batch(&events)), events);
        }
        let columns = batch(&bare(["a"])).to_columns();
        assert!(columns.topics.is_empty() && columns.key_ends.is_empty(), "what nobody needs stays empty");
    }
}
