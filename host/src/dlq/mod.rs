//! Dead letters: events that a stage could not process for good, kept on the node where they failed.
//!
//! - `letter.rs`: what is kept of an event.
//! - `codec.rs`: its bytes on disk.
//! - `index.rs`: what is known of all letters without reading the disk.
//! - `database.rs`: the file, `DATA/dead-letters.redb`.
//! - `backend.rs`: where the database lies.
//! - `store.rs`: [`DeadLetters`], and the one writer at a time.
//!
//! A letter is on disk before its event is acknowledged. When the store is full nothing is thrown away: the
//! letter is refused, and who holds the event keeps it unacknowledged.

mod backend;
mod codec;
mod database;
mod index;
mod letter;
mod store;
#[cfg(test)]
mod tests;

use std::io;

pub use codec::Damaged;
pub use forebay_proto::letters::LetterId;
pub use index::{Filter, Summary};
pub use letter::{Letter, Reason};
pub use store::DeadLetters;

/// How much is kept at most. Configured as `dead_letters`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Bounds {
    /// Unit: letters. Default 10,000: what a person can still look through. Each costs about 500 bytes of
    /// memory besides the disk.
    pub letters_max: u64,
    /// Unit: bytes of all letters. Default 64 MiB. The file may take twice as much, as redb writes beside
    /// what it replaces.
    pub bytes_max: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { letters_max: 10_000, bytes_max: 64 << 20 }
    }
}

/// How much is kept.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Count {
    /// Letters.
    pub letters: u64,
    /// Unit: bytes of all letters.
    pub bytes: u64,
    /// What fits.
    pub bounds: Bounds,
    /// Whether the next letter is refused, or the last one was, and none was removed since.
    pub is_full: bool,
}

/// Letters were not kept. Their events must stay unacknowledged.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PutError {
    /// There is no room.
    #[error(
        "the dead letters are full: {letters} of {letters_max} letters, {bytes} of {bytes_max} bytes; resend or drop some with `forebay dlq`, or raise `dead_letters`"
    )]
    Full {
        /// Letters that are kept.
        letters: u64,
        /// Their bytes.
        bytes: u64,
        /// How many letters fit.
        letters_max: u64,
        /// How many bytes fit.
        bytes_max: u64,
    },
    /// The disk says no.
    #[error(transparent)]
    Io(#[from] DiskError),
}

/// The disk did not do what was asked for.
///
/// When it was full, the store is as it was, and the same can be asked for again. When data could not be
/// flushed, what is on disk is not known: nothing is written from then on until the node is started again.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{place} cannot be used")]
pub struct DiskError {
    /// Which file.
    pub place: String,
    /// What the disk says. Shared: a commit may fail for several.
    #[source]
    pub source: std::sync::Arc<io::Error>,
}

/// The store cannot be opened.
#[derive(Clone, Debug, thiserror::Error)]
pub enum OpenError {
    /// It is damaged.
    #[error("{place} is damaged; move it away to start without the letters in it")]
    Damaged {
        /// Which file.
        place: String,
        /// What is wrong.
        #[source]
        source: Damaged,
    },
    /// The disk says no.
    #[error(transparent)]
    Disk(#[from] DiskError),
}
