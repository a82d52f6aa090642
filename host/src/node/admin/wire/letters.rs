//! Questions about dead letters and their answers. Each answer is bounded; what is longer comes in parts.

use serde::{Deserialize, Serialize};

/// A question about the dead letters of one node.
///
/// ```json
/// {"node":"b","show":{"id":7,"from":0}}
/// ```
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct LettersAsked {
    /// Of which node; none: of the one that is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// What is asked.
    #[serde(flatten)]
    pub question: LettersQuestion,
}

/// What is asked about dead letters.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LettersQuestion {
    /// A page of them.
    List {
        /// Of this pipeline only.
        pipeline: Option<String>,
        /// Of stages of this name only.
        stage: Option<String>,
        /// Above this number only.
        after: Option<u64>,
    },
    /// One, with a part of its event.
    Show {
        /// Which.
        id: u64,
        /// From which byte of the event on.
        from: u64,
    },
    /// Have their events processed once more; at most 100.
    Resend {
        /// Which.
        ids: Vec<u64>,
    },
    /// Remove them for good; at most 1,000.
    Drop {
        /// Which.
        ids: Vec<u64>,
    },
}

/// What a node answers about dead letters.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AboutLetters {
    /// To `List`.
    Page(LettersPage),
    /// To `Show`.
    Part(Box<LetterPart>),
    /// To `Resend` and `Drop`: what became of each, in the order asked.
    Outcomes(Vec<OutcomeOf>),
}

/// Some letters, by number.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct LettersPage {
    /// At most 200.
    pub letters: Vec<Letter>,
    /// Whether there are more above the last.
    pub more: bool,
}

/// A letter, as a list shows it.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Letter {
    /// The node where it lies.
    pub node: String,
    /// Its number on its node.
    pub id: u64,
    /// When it was given up. Unit: milliseconds since 1970.
    pub at_ms: u64,
    /// Of which pipeline.
    pub pipeline: String,
    /// The stage that could not process it.
    pub stage: String,
    /// The stage that emitted it.
    pub source: String,
    /// In which epoch.
    pub epoch: String,
    /// Under which number.
    pub seq: u64,
    /// How often it was tried.
    pub attempts: u32,
    /// The length of its payload.
    pub payload_bytes: u64,
    /// The first line of the reason, cut to 200 bytes.
    pub reason: String,
}

/// A letter with a part of its event.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct LetterPart {
    /// As in a list.
    pub letter: Letter,
    /// The whole reason, at most 16 KiB.
    pub reason: String,
    /// The length of the event. It is a batch of one, as in an events frame.
    pub event_bytes: u64,
    /// The bytes asked for, at most 256 KiB, in hexadecimal.
    pub part: String,
}

/// What became of one letter.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct OutcomeOf {
    /// Which.
    pub id: u64,
    /// What.
    pub outcome: Outcome,
}

/// What became of a letter.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// What was asked for.
    Done,
    /// There is none of that number.
    Unknown,
    /// It was refused, with the reason.
    Refused(String),
}

/// How many letters a node keeps.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct LettersKept {
    /// Letters.
    pub letters: u64,
    /// Their bytes.
    pub bytes: u64,
    /// How many fit.
    pub letters_max: u64,
    /// How many bytes fit.
    pub bytes_max: u64,
    /// Whether the next one is refused, or the last one was and none was removed since.
    pub full: bool,
}
