//! What is kept of an event that could not be processed.

use forebay_proto::{
    batch::{Batch, BatchLimits, Columns},
    ids::{Epoch, PipelineName, Seq, StageName},
    letters::REASON_BYTES_MAX,
};

/// Why an event could not be processed: a guest's words, or a trap's message and backtrace.
///
/// At most 16 KiB; longer texts are cut. Not safe for a terminal.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Reason(Box<str>);

impl Reason {
    /// The reason as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<T: AsRef<str>> From<T> for Reason {
    fn from(text: T) -> Self {
        let text = text.as_ref();
        Self(text[..text.floor_char_boundary(REASON_BYTES_MAX)].into())
    }
}

/// An event that a stage could not process for good.
///
/// (pipeline, stage, source, epoch, seq) name it: the same put again is the same letter.
#[derive(Clone, Debug)]
pub struct Letter {
    /// Of which pipeline.
    pub pipeline: PipelineName,
    /// The stage that could not process it.
    pub stage: StageName,
    /// The stage that emitted it.
    pub source: StageName,
    /// The epoch of that stage.
    pub epoch: Epoch,
    /// Its number in that epoch.
    pub seq: Seq,
    /// How often it was tried.
    pub attempts: u32,
    /// When it was given up, by the clock of this node. Unit: milliseconds since 1970.
    pub at_ms: u64,
    /// Why.
    pub reason: Reason,
    /// The event: exactly one, with its topic, key and headers.
    pub event: Batch,
}

/// A batch of one event that holds nothing of the batch it was taken from.
///
/// # Panics
/// If there is not exactly one event.
pub(super) fn alone(event: &Batch) -> Batch {
    assert_eq!(event.len(), 1, "a letter holds one event");
    let found = event.event(0);
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).expect("a column is shorter than 4 GiB");
    let columns = Columns {
        payloads: found.payload.to_vec(),
        ends: vec![length(found.payload)],
        topics: found.topic.iter().map(|topic| (*topic).to_owned()).collect(),
        topic_of: found.topic.iter().map(|_| 0).collect(),
        keys: found.key.to_vec(),
        key_ends: if found.key.is_empty() { Vec::new() } else { vec![length(found.key)] },
        headers: event.headers().map(|(event, name, value)| (event, name.to_owned(), value.to_owned())).collect(),
    };
    Batch::new(columns, &NO_LIMITS).expect("columns of one event that was checked before")
}

/// What was accepted once is accepted again, whatever the limits are now.
pub(super) const NO_LIMITS: BatchLimits = BatchLimits { events_max: 1, bytes_max: u32::MAX };

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_cut_between_characters() {
        let long = format!("x{}", "ä".repeat(REASON_BYTES_MAX));
        let reason = Reason::from(&long);
        assert_eq!(reason.as_str().len(), REASON_BYTES_MAX - 1, "an ä has two bytes, and one x stands before");
        assert!(long.starts_with(reason.as_str()));
        assert_eq!(Reason::from("short").as_str(), "short");
    }
}
