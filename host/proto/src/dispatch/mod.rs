//! Choosing which subscription gets which events.

mod demand;

pub use demand::DemandDispatcher;

use std::{fmt, ops::Range};

use crate::{batch::Batch, ids::SubId};

/// A subscription asked for more than the dispatcher expects of one ask.
///
/// As GenStage warns: a consumer that asks for much more than the others takes their share.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct AboveMax {
    /// What is expected at most: given, or learned from the first ask.
    pub max: u32,
    /// What was asked.
    pub asked: u32,
}

/// A share of dispatched events: who gets which, by index.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Share {
    /// Who.
    pub sub: SubId,
    /// Which of the dispatched events.
    pub events: Range<usize>,
}

/// A pure policy: it owns the open demand of every subscription, and nothing else.
///
/// The caller subscribes before it asks, and never asks for a subscription that was cancelled; an
/// implementation may treat either as a bug.
pub trait Dispatcher: fmt::Debug + Send {
    /// A subscription begins, with no open demand.
    fn subscribe(&mut self, sub: SubId);

    /// Adds to the open demand of `sub`. Reports an ask above what is expected; it counts all the same.
    fn ask(&mut self, sub: SubId, count: u32) -> Option<AboveMax>;

    /// Forgets `sub` and its open demand.
    fn cancel(&mut self, sub: SubId);

    /// How many further events can be dispatched now. Unit: events.
    fn open(&self) -> u64;

    /// Hands out `events`, of which there are at most [`Dispatcher::open`], and lowers the open
    /// demand. Shares come in the order in which they are to be sent.
    fn dispatch(&mut self, events: &[Batch]) -> Vec<Share>;
}
