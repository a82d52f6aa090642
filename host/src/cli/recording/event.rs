//! One event in JSON: text as text, anything else in Base64.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use forebay_proto::batch::{Batch, Columns};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use super::checked;

/// Bytes that stand in Base64, the standard one with padding.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(in crate::cli) struct Bytes64(pub(in crate::cli) Vec<u8>);

impl Serialize for Bytes64 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Bytes64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = STANDARD.decode(&text);
        bytes.map(Self).map_err(|error| D::Error::custom(format!("expected standard Base64 with padding: {error}")))
    }
}

/// An event. Of `payload` and `key` the one with `_base64` stands where the bytes are no UTF-8.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(in crate::cli) struct EventLine {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    payload: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    payload_base64: Option<Bytes64>,
    /// None if events of the batch have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) topic: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key_base64: Option<Bytes64>,
    /// Names and values, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(in crate::cli) headers: Vec<(String, String)>,
}

impl EventLine {
    /// The events of a batch.
    pub(in crate::cli) fn all(events: &Batch) -> Vec<Self> {
        let mut lines: Vec<_> = events
            .iter()
            .map(|event| {
                let (payload, payload_base64) = text_or_not(event.payload);
                let (key, key_base64) = if event.key.is_empty() { (None, None) } else { text_or_not(event.key) };
                let topic = event.topic.map(str::to_owned);
                Self { payload, payload_base64, topic, key, key_base64, headers: Vec::new() }
            })
            .collect();
        for (event, name, value) in events.headers() {
            lines[event as usize].headers.push((name.to_owned(), value.to_owned()));
        }
        lines
    }

    /// The inverse of [`EventLine::all`].
    ///
    /// # Errors
    /// With the reason: an event has two payloads or none, or one has a topic and another has none.
    pub(super) fn batch(lines: Vec<Self>) -> Result<Batch, String> {
        let mut columns = Columns::default();
        let (any_topics, any_keys) =
            (lines.iter().any(|line| line.topic.is_some()), lines.iter().any(|line| line.key_bytes().is_some()));
        let end = |bytes: &[u8]| u32::try_from(bytes.len()).map_err(|_| "more than 4 GiB of events".to_owned());
        for (index, line) in lines.into_iter().enumerate() {
            let both = |name: &str| format!("event {index} has both `{name}` and `{name}_base64`");
            if line.payload.is_some() && line.payload_base64.is_some() {
                return Err(both("payload"));
            }
            if line.key.is_some() && line.key_base64.is_some() {
                return Err(both("key"));
            }
            let payload = line.payload_bytes();
            columns
                .payloads
                .extend(payload.ok_or_else(|| format!("event {index} has neither `payload` nor `payload_base64`"))?);
            columns.ends.push(end(&columns.payloads)?);
            if any_keys {
                columns.keys.extend(line.key_bytes().unwrap_or_default());
                columns.key_ends.push(end(&columns.keys)?);
            }
            match line.topic {
                Some(topic) => put_topic(&mut columns, topic)?,
                None if any_topics => {
                    return Err(format!("event {index} has no topic; all of a batch have a topic, or none has"));
                }
                None => {}
            }
            let event = u32::try_from(index).map_err(|_| "more than 2^32 events".to_owned())?;
            columns.headers.extend(line.headers.into_iter().map(|(name, value)| (event, name, value)));
        }
        checked(columns)
    }

    pub(in crate::cli) fn payload_bytes(&self) -> Option<Vec<u8>> {
        bytes(self.payload.as_deref(), self.payload_base64.as_ref())
    }

    /// None if it is empty.
    pub(in crate::cli) fn key_bytes(&self) -> Option<Vec<u8>> {
        bytes(self.key.as_deref(), self.key_base64.as_ref())
    }
}

fn put_topic(columns: &mut Columns, topic: String) -> Result<(), String> {
    let known = columns.topics.iter().rposition(|known| *known == topic);
    let index = known.unwrap_or_else(|| {
        columns.topics.push(topic);
        columns.topics.len() - 1
    });
    let index = u16::try_from(index).map_err(|_| "more than 65,536 topics in one batch".to_owned())?;
    columns.topic_of.push(index);
    Ok(())
}

fn bytes(text: Option<&str>, base64: Option<&Bytes64>) -> Option<Vec<u8>> {
    text.map(|text| text.as_bytes().to_vec()).or_else(|| base64.map(|bytes| bytes.0.clone()))
}

fn text_or_not(bytes: &[u8]) -> (Option<String>, Option<Bytes64>) {
    match std::str::from_utf8(bytes) {
        Ok(text) => (Some(text.to_owned()), None),
        Err(_) => (None, Some(Bytes64(bytes.to_vec()))),
    }
}
