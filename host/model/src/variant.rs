//! The protocol as it is, and the shortcuts that somebody will think of.

/// Which protocol is searched. All but the first three have one rule less than Forebay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Variant {
    /// The protocol; a producer that runs again makes other events of the same numbers.
    AsDesigned,
    /// The protocol; a producer that runs again makes the same events.
    DeterministicProducer,
    /// Consumers take batches of epochs older than one they have seen. They should not, but safety does
    /// not hang on it: a consumer may lose its memory.
    ConsumerDoesNotFence,
    /// Checkpoints are written whoever owns the stage by now.
    CheckpointWithoutCompareAndSet,
    /// A checkpoint reaches to the last event sent.
    CheckpointOfLastSent,
    /// A checkpoint reaches to the largest acknowledged number, over gaps.
    CheckpointOfLargestAcknowledged,
    /// A consumer acknowledges what it received and has not processed yet.
    AcknowledgedOnReceipt,
    /// A producer that crashed starts again under the epoch it had.
    RestartKeepsEpoch,
    /// A consumer skips, and acknowledges, numbers that it has processed, whatever their epoch.
    ConsumerDeduplicatesBySeq,
    /// A producer counts acknowledgements of other epochs.
    AcknowledgementOfAnyEpoch,
}

impl Variant {
    /// All of them, in the order of the table in `README.md`.
    pub const ALL: [Self; 10] = [
        Self::AsDesigned,
        Self::DeterministicProducer,
        Self::ConsumerDoesNotFence,
        Self::CheckpointWithoutCompareAndSet,
        Self::CheckpointOfLastSent,
        Self::CheckpointOfLargestAcknowledged,
        Self::AcknowledgedOnReceipt,
        Self::RestartKeepsEpoch,
        Self::ConsumerDeduplicatesBySeq,
        Self::AcknowledgementOfAnyEpoch,
    ];
}
