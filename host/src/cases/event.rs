//! Events of a cases file: those that are put in, those that are expected, and those that were seen.

use std::{collections::BTreeMap, fmt, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use forebay_proto::{batch::Batch, ids::NodeName};
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor, value::MapAccessDeserializer},
};
use serde_json::Value;

use crate::node::admin::{IngestEvent, IngestKey};

/// An event that is put in, and when.
#[derive(Clone, Debug)]
pub struct TimedEvent {
    /// The event.
    pub event: IngestEvent,
    /// Not before so long after the start.
    pub at: Duration,
}

/// What an event must be like; what it does not say may be anything.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pattern {
    /// The payload.
    pub payload: Option<Payload>,
    /// The topic.
    pub topic: Option<String>,
    /// The key.
    pub key: Option<Vec<u8>>,
    /// These headers, and any others.
    pub headers: BTreeMap<String, String>,
}

/// What a payload must be.
#[derive(Clone, Debug, PartialEq)]
pub enum Payload {
    /// These bytes.
    Bytes(Vec<u8>),
    /// JSON of this value, however it is written.
    Json(Value),
}

/// An event that a stage was given or emitted.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Seen {
    /// Its payload.
    pub payload: Vec<u8>,
    /// Its topic.
    pub topic: Option<String>,
    /// Its key; empty if it has none.
    pub key: Vec<u8>,
    /// Its headers.
    pub headers: BTreeMap<String, String>,
    /// On which node.
    pub node: NodeName,
    /// How long after the start.
    pub at: Duration,
}

impl Seen {
    /// The events of a batch.
    pub(super) fn all(batch: &Batch, node: &NodeName, at: Duration) -> Vec<Self> {
        let seen = batch.iter().map(|event| Self {
            payload: event.payload.to_vec(),
            topic: event.topic.map(str::to_owned),
            key: event.key.to_vec(),
            headers: BTreeMap::new(),
            node: node.clone(),
            at,
        });
        let mut seen: Vec<_> = seen.collect();
        for (event, name, value) in batch.headers() {
            if let Some(event) = seen.get_mut(event as usize) {
                event.headers.insert(name.to_owned(), value.to_owned());
            }
        }
        seen
    }
}

impl Pattern {
    /// Whether an event is like this. `json` is what its payload says as JSON, if it is that.
    pub(super) fn fits(&self, seen: &Seen, json: Option<&Value>) -> bool {
        let payload = match &self.payload {
            None => true,
            Some(Payload::Bytes(bytes)) => *bytes == seen.payload,
            Some(Payload::Json(value)) => json == Some(value),
        };
        let header = |(name, value): (&String, &String)| seen.headers.get(name) == Some(value);
        payload
            && self.topic.as_ref().is_none_or(|topic| seen.topic.as_ref() == Some(topic))
            && self.key.as_ref().is_none_or(|key| *key == seen.key)
            && self.headers.iter().all(header)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.payload {
            None => f.write_str("any payload")?,
            Some(Payload::Bytes(bytes)) => write_bytes(f, bytes)?,
            Some(Payload::Json(value)) => write!(f, "json {value}")?,
        }
        write_rest(f, self.topic.as_deref(), self.key.as_deref().unwrap_or_default(), &self.headers)
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_bytes(f, &self.payload)?;
        write_rest(f, self.topic.as_deref(), &self.key, &self.headers)
    }
}

/// Text as text; any other bytes in Base64, as a file would have them.
fn write_bytes(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    match std::str::from_utf8(bytes) {
        Ok(text) => write!(f, "{text:?}"),
        Err(_) => write!(f, "base64 {:?}", STANDARD.encode(bytes)),
    }
}

fn write_rest(
    f: &mut fmt::Formatter<'_>,
    topic: Option<&str>,
    key: &[u8],
    headers: &BTreeMap<String, String>,
) -> fmt::Result {
    if let Some(topic) = topic {
        write!(f, ", topic {topic:?}")?;
    }
    if !key.is_empty() {
        f.write_str(", key ")?;
        write_bytes(f, key)?;
    }
    headers.iter().try_for_each(|(name, value)| write!(f, ", header {name:?} = {value:?}"))
}

/// An event as it stands in a file: a text, or a table.
#[derive(Debug)]
pub(super) struct EventText(EventTable);

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct EventTable {
    text: Option<String>,
    json: Option<Value>,
    json_text: Option<String>,
    base64: Option<String>,
    topic: Option<String>,
    key: Option<IngestKey>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    at: Option<String>,
}

impl<'de> Deserialize<'de> for EventText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EventVisitor;

        impl<'de> Visitor<'de> for EventVisitor {
            type Value = EventText;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an event: a text, or a table with `text`, `json`, `json_text` or `base64`")
            }

            fn visit_str<E>(self, text: &str) -> Result<EventText, E> {
                Ok(EventText(EventTable { text: Some(text.to_owned()), ..EventTable::default() }))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<EventText, A::Error> {
                EventTable::deserialize(MapAccessDeserializer::new(map)).map(EventText)
            }
        }

        deserializer.deserialize_any(EventVisitor)
    }
}

impl EventText {
    /// An event to put in.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn to_input(&self) -> Result<TimedEvent, String> {
        let event = &self.0;
        let at = event.at.as_ref().map_or(Ok(Duration::ZERO), |at| duration("at", at))?;
        let base64 = match self.payload()? {
            None => return Err("an event to put in needs one of `text`, `json`, `json_text` and `base64`".to_owned()),
            Some(Payload::Bytes(bytes)) => STANDARD.encode(bytes),
            Some(Payload::Json(value)) => STANDARD.encode(value.to_string()),
        };
        let (topic, key, headers) = (event.topic.clone(), event.key.clone(), event.headers.clone());
        self.key()?;
        Ok(TimedEvent { event: IngestEvent { text: None, base64: Some(base64), key, topic, headers }, at })
    }

    /// An event that is expected.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn to_pattern(&self) -> Result<Pattern, String> {
        if self.0.at.is_some() {
            return Err("an event that is expected has no `at`; that is for events to put in".to_owned());
        }
        let (topic, headers) = (self.0.topic.clone(), self.0.headers.clone());
        Ok(Pattern { payload: self.payload()?, topic, key: self.key()?, headers })
    }

    fn key(&self) -> Result<Option<Vec<u8>>, String> {
        self.0.key.as_ref().map(|key| key.bytes().map_err(|what| format!("an event {what}"))).transpose()
    }

    fn payload(&self) -> Result<Option<Payload>, String> {
        let EventTable { text, json, json_text, base64, .. } = &self.0;
        match (text, json, json_text, base64) {
            (None, None, None, None) => Ok(None),
            (Some(text), None, None, None) => Ok(Some(Payload::Bytes(text.clone().into_bytes()))),
            (None, Some(value), None, None) => Ok(Some(Payload::Json(value.clone()))),
            (None, None, Some(text), None) => match serde_json::from_str(text) {
                Ok(value) => Ok(Some(Payload::Json(value))),
                Err(error) => Err(format!("`json_text` is no JSON: {error}")),
            },
            (None, None, None, Some(text)) => match STANDARD.decode(text) {
                Ok(bytes) => Ok(Some(Payload::Bytes(bytes))),
                Err(error) => Err(format!("`base64` cannot be read: {error}; expected standard Base64 with padding")),
            },
            _ => Err("an event has one of `text`, `json`, `json_text` and `base64`; this one has several".to_owned()),
        }
    }
}

/// A duration in a file.
///
/// # Errors
/// Names the key.
pub(super) fn duration(key: &str, text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|error| format!("`{key}` is {text:?}; expected a duration such as \"500ms\" or \"1h\": {error}"))
}
