//! What a path does to datagrams, and what became of them.

use std::time::Duration;

/// The way from one address to another.
#[derive(Clone, Debug, PartialEq)]
pub struct Path {
    /// The least time a datagram takes. At least as long as the steps in which machines are run, if each has a
    /// runtime of its own: what one sends in a step must not be due at another within the same.
    pub delay: Duration,
    /// Up to so much is added, evenly distributed; datagrams may overtake each other.
    pub jitter: Duration,
    /// The probability that a datagram is lost.
    pub loss: f64,
    /// The probability that a datagram arrives twice.
    pub duplication: f64,
    /// Nothing passes.
    pub cut: bool,
}

impl Default for Path {
    /// A good network within one data centre, as coarse as tokio's timers are.
    fn default() -> Self {
        let millisecond = Duration::from_millis(1);
        Self { delay: millisecond, jitter: millisecond, loss: 0.0, duplication: 0.0, cut: false }
    }
}

/// What became of the datagrams of a network.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Traffic {
    /// Handed over by those who send.
    pub sent: u64,
    /// The bytes of these, without what UDP and IP put before them.
    pub bytes: u64,
    /// Lost by chance.
    pub lost: u64,
    /// Lost because the path was cut.
    pub cut: u64,
    /// That arrived twice.
    pub doubled: u64,
    /// That came where nobody listened.
    pub unheard: u64,
    /// Dropped because the receiver had too many unread.
    pub overflowed: u64,
}
