//! What of a stage can be seen from outside.

use super::{MAX_INSTANCES, Stage};
use crate::{
    ids::SubId,
    producer::DemandMode,
    rate::{Limiter, RateLimit},
};

impl Stage {
    /// Whether the producer has said that it has come to its end.
    pub fn is_finished(&self) -> bool {
        self.finished
    }

    /// Events that nobody asked for yet, redeliveries included.
    pub fn buffered(&self) -> usize {
        self.producer.buffered()
    }

    /// Events sent and not acknowledged.
    pub fn unacked(&self) -> usize {
        self.producer.unacked()
    }

    /// Messages received and not begun.
    pub fn queued(&self) -> usize {
        self.consumer.queued()
    }

    /// How many guests its events are divided among, and how many it is to have.
    pub fn instances(&self) -> (u32, u32) {
        (u32::try_from(self.pool.lanes()).unwrap_or(MAX_INSTANCES), self.pool.wanted())
    }

    /// Whether demand reaches the guest.
    pub fn demand_mode(&self) -> DemandMode {
        self.producer.mode()
    }

    /// How many events it handles in a time; `None`: as many as it can.
    pub fn rate_limit(&self) -> Option<RateLimit> {
        self.limiter.as_ref().map(Limiter::limit)
    }

    /// Whether the guest is given no events.
    pub fn is_suspended(&self) -> bool {
        self.consumer.is_suspended()
    }

    /// Whether this subscription is live, on either side.
    pub fn has_sub(&self, sub: SubId) -> bool {
        self.producer.has_sub(sub) || self.consumer.has_sub(sub)
    }
}
