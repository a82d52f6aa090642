//! Events as they stand in a question: text or Base64, with what a batch knows of an event.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use forebay_proto::batch::{Batch, BatchLimits, Columns};
use serde::{Deserialize, Serialize};

/// One event. Has either `text` or `base64`.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct IngestEvent {
    /// The payload, if it is text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The payload, if it is any bytes: standard Base64 with padding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base64: Option<String>,
    /// The key, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<IngestKey>,
    /// The topic, if it has one. Beside events that have one, those that have none get the empty one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    /// Headers by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
}

/// A key: a text, or `{"base64": "..."}`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(untagged)]
pub enum IngestKey {
    /// As text.
    Text(String),
    /// As any bytes.
    Bytes {
        /// Standard Base64 with padding.
        base64: String,
    },
}

impl IngestEvent {
    /// Its payload, as bytes.
    ///
    /// # Errors
    /// What was found, and what was expected.
    pub(crate) fn payload(&self) -> Result<Vec<u8>, String> {
        match (&self.text, &self.base64) {
            (Some(text), None) => Ok(text.clone().into_bytes()),
            (None, Some(text)) => decode("`base64`", text),
            (Some(_), Some(_)) => Err("has both `text` and `base64`; expected one of them".to_owned()),
            (None, None) => Err("has no payload; expected `text` or `base64`".to_owned()),
        }
    }
}

impl IngestKey {
    /// The key, as bytes.
    ///
    /// # Errors
    /// What was found, and what was expected.
    pub(crate) fn bytes(&self) -> Result<Vec<u8>, String> {
        match self {
            Self::Text(text) => Ok(text.clone().into_bytes()),
            Self::Bytes { base64 } => decode("a `key`", base64),
        }
    }
}

/// The batch of these events.
///
/// # Errors
/// Which event is wrong, what was found, and what was expected.
pub(crate) fn batch(events: &[IngestEvent]) -> Result<Batch, String> {
    let mut columns = Columns::default();
    let any_topics = events.iter().any(|event| event.topic.is_some());
    let any_keys = events.iter().any(|event| event.key.is_some());
    let mut topics = BTreeMap::new();
    for (index, event) in events.iter().enumerate() {
        let wrong = |what: String| format!("event {index} {what}");
        columns.payloads.extend_from_slice(&event.payload().map_err(wrong)?);
        columns.ends.push(narrow(columns.payloads.len())?);
        if any_topics {
            let topic = event.topic.as_deref().unwrap_or_default();
            let next = topics.len();
            let of = *topics.entry(topic).or_insert(next);
            columns.topic_of.push(
                u16::try_from(of).map_err(|_| wrong(format!("has topic number {of}; a batch has at most 65536")))?,
            );
        }
        if any_keys {
            if let Some(key) = &event.key {
                columns.keys.extend_from_slice(&key.bytes().map_err(wrong)?);
            }
            columns.key_ends.push(narrow(columns.keys.len())?);
        }
        let headers = event.headers.iter().map(|(name, value)| (index, name.clone(), value.clone()));
        for (index, name, value) in headers {
            columns.headers.push((narrow(index)?, name, value));
        }
    }
    let mut named: Vec<_> = topics.into_iter().collect();
    named.sort_by_key(|(_, number)| *number);
    columns.topics = named.into_iter().map(|(topic, _)| topic.to_owned()).collect();
    Batch::new(columns, &BatchLimits { events_max: u32::MAX, bytes_max: u32::MAX }).map_err(|error| error.to_string())
}

/// A line of 2 MiB holds less than that; who calls from elsewhere is told.
fn narrow(number: usize) -> Result<u32, String> {
    u32::try_from(number).map_err(|_| "the events have 4 GiB or more; send fewer in one".to_owned())
}

fn decode(what: &str, text: &str) -> Result<Vec<u8>, String> {
    STANDARD.decode(text).map_err(|error| format!("has {what} that cannot be read: {error}; expected standard Base64"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Batch, String> {
        let events: Vec<IngestEvent> = serde_json::from_str(json).map_err(|error| error.to_string())?;
        batch(&events)
    }

    #[test]
    fn all_that_an_event_can_have_is_read() {
        let json = r#"[{"text":"ä"},
            {"base64":"/wA=","key":"k","topic":"t","headers":{"n":"1","m":"2"}},
            {"text":"","key":{"base64":"/w=="},"topic":"u"}, {"text":"x","topic":"t"}]"#;
        let batch = read(json).unwrap();
        let payloads: Vec<_> = batch.iter().map(|event| event.payload).collect();
        assert_eq!(payloads, ["ä".as_bytes(), &[255, 0], b"", b"x"]);
        let keys: Vec<_> = batch.iter().map(|event| event.key).collect();
        assert_eq!(keys, [&b""[..], b"k", &[255], b""]);
        let topics: Vec<_> = batch.iter().map(|event| event.topic.unwrap()).collect();
        assert_eq!(topics, ["", "t", "u", "t"]);
        assert_eq!(batch.headers().collect::<Vec<_>>(), [(1, "m", "2"), (1, "n", "1")]);
        let plain = read(r#"[{"text":"a"}]"#).unwrap();
        assert_eq!((plain.event(0).topic, plain.event(0).key), (None, &b""[..]));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_event() {
        for (json, part) in [
            (r#"[{"text":"a"},{}]"#, "event 1 has no payload"),
            (r#"[{"text":"a","base64":""}]"#, "event 0 has both"),
            (r#"[{"base64":"a"}]"#, "event 0 has `base64` that cannot be read"),
            (r#"[{"text":"a","key":{"base64":"?"}}]"#, "event 0 has a `key` that cannot be read"),
            (r#"[{"text":"a","colour":"red"}]"#, "unknown field `colour`"),
        ] {
            let told = read(json).unwrap_err();
            assert!(told.contains(part), "{part:?} in {told}");
        }
    }
}
