//! What nodes ask each other's stages: an operator may ask any node, and the stage may run on another.

use std::time::Duration;

use bytes::Bytes;

use crate::ids::{PipelineName, StageName};

/// The longest request, and the longest answer. Unit: bytes. People and their scripts ask; what is longer is data, for
/// which there are events.
pub const BYTES_MAX: usize = 1 << 20;

/// The longest that a request may wait for its turn and its answer.
pub const WITHIN_MAX: Duration = Duration::from_secs(60);

/// The longest error of a guest. Unit: bytes.
pub const REFUSAL_BYTES_MAX: usize = 8 << 10;

/// Something for a stage's guest.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Request {
    /// The pipeline.
    pub pipeline: PipelineName,
    /// The stage.
    pub stage: StageName,
    /// How long it may take in all, at most [`WITHIN_MAX`]; in whole milliseconds.
    pub within: Duration,
    /// The request itself, at most [`BYTES_MAX`].
    pub request: Bytes,
}

/// What came of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Answer {
    /// The guest's answer, at most [`BYTES_MAX`].
    Given(Bytes),
    /// The guest's error, at most [`REFUSAL_BYTES_MAX`]. Not safe for a terminal when it comes from a peer.
    Refused(String),
    /// The guest was not asked, with the reason.
    NotMade(String),
    /// The guest may have been asked, and nobody knows what came of it, with the reason.
    Unknown(String),
}
