//! One event, as it is sent.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};

/// An event for a stage.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Event {
    payload: Vec<u8>,
    key: Option<Vec<u8>>,
    topic: Option<String>,
    headers: Vec<(String, String)>,
}

impl Event {
    /// With a text as its payload.
    pub fn text(payload: impl Into<String>) -> Self {
        Self::bytes(payload.into())
    }

    /// With any bytes as its payload.
    pub fn bytes(payload: impl Into<Vec<u8>>) -> Self {
        Self { payload: payload.into(), key: None, topic: None, headers: Vec::new() }
    }

    /// With a key.
    #[must_use]
    pub fn key(self, key: impl Into<Vec<u8>>) -> Self {
        Self { key: Some(key.into()), ..self }
    }

    /// With a topic.
    #[must_use]
    pub fn topic(self, topic: impl Into<String>) -> Self {
        Self { topic: Some(topic.into()), ..self }
    }

    /// With one more header. Of two of the same name the later one counts.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Whether it was given a topic.
    pub fn has_topic(&self) -> bool {
        self.topic.is_some()
    }

    /// Whether it was given a key.
    pub fn has_key(&self) -> bool {
        self.key.is_some()
    }

    /// The length of the payload in bytes.
    pub fn payload_len(&self) -> usize {
        self.payload.len()
    }

    pub(crate) fn to_json(&self) -> Value {
        let mut fields = Map::new();
        match readable(&self.payload) {
            Some(text) => fields.insert("text".to_owned(), json!(text)),
            None => fields.insert("base64".to_owned(), json!(STANDARD.encode(&self.payload))),
        };
        if let Some(key) = &self.key {
            let value = readable(key).map_or_else(|| json!({ "base64": STANDARD.encode(key) }), |text| json!(text));
            fields.insert("key".to_owned(), value);
        }
        if let Some(topic) = &self.topic {
            fields.insert("topic".to_owned(), json!(topic));
        }
        if !self.headers.is_empty() {
            let headers: Map<_, _> = self.headers.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
            fields.insert("headers".to_owned(), Value::Object(headers));
        }
        Value::Object(fields)
    }
}

/// As text, unless it would be longer so than in Base64: a control character takes six bytes of JSON.
fn readable(bytes: &[u8]) -> Option<&str> {
    let escaped = bytes.iter().filter(|byte| byte.is_ascii_control() || matches!(byte, b'"' | b'\\')).count();
    std::str::from_utf8(bytes).ok().filter(|text| 5 * escaped <= text.len() / 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_text_where_that_is_short() {
        assert_eq!(
            Event::text("ä \"one\" line of text that is long").to_json()["text"],
            "ä \"one\" line of text that is long"
        );
        assert_eq!(Event::bytes([255]).to_json(), json!({ "base64": "/w==" }));
        assert_eq!(Event::bytes([0; 6]).to_json(), json!({ "base64": "AAAAAAAA" }));
        let whole = Event::text("x").key([255]).topic("t").header("n", "1").header("n", "2").to_json();
        assert_eq!(whole, json!({ "text": "x", "key": { "base64": "/w==" }, "topic": "t", "headers": { "n": "2" } }));
    }
}
