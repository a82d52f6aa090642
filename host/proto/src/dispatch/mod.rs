//! Choosing which subscription gets which events.
//!
//! ```text
//!               take                          next
//! buffer ---------------> Dispatcher ----------------------> unacked of one subscription
//!  (of the producer)      what waits, by whom     ^              | lost, or given back
//!                                                 +--------------+
//! ```
//!
//! A dispatcher owns the open demand of every subscription, and the events that it has taken and nobody asked for yet.

mod broadcast;
mod demand;
mod demands;
mod history;
mod ledger;
mod options;
mod partition;
mod pool;
mod route;

use std::{fmt, time::Duration};

pub(crate) use ledger::Ledger;
pub use options::{
    AWAY_DEFAULT, DispatcherOptions, PARTITIONS_DEFAULT, PartitionBy, PartitionOptions, numbered_partitions,
};
pub(crate) use route::hash;

use crate::{
    chunks::Chunks,
    ids::{Seq, SubId},
    message::{Reason, SeqRun, Subscribe},
    producer::Subs,
};

/// How long after its start a producer that does not know its consumers yet discards nothing for want of them: ten
/// times what a consumer needs to hear of a new owner and to subscribe.
const SETTLING: Duration = Duration::from_secs(1);

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

/// How a subscription came to its end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Parting {
    /// The consumer does not want to go on.
    Left,
    /// It, or the way to it, is gone, and may come back.
    Lost,
}

/// A policy, and the events that wait by it. Events are settled through the [`Ledger`]: once for each copy.
///
/// The caller subscribes before it asks, and names no subscription after its end.
pub(crate) trait Dispatcher: fmt::Debug + Send {
    /// The time is this; called before anything else is.
    fn at(&mut self, now: Duration, ledger: &mut Ledger, subs: &Subs);

    /// When something is to be done without a message.
    fn timeout(&self) -> Option<Duration>;

    /// A subscription begins, with no open demand. `subs` does not hold it yet.
    ///
    /// # Errors
    /// Why it is refused; then nothing has changed.
    fn subscribe(&mut self, sub: SubId, subscribe: &Subscribe, ledger: &mut Ledger, subs: &Subs) -> Result<(), Reason>;

    /// Adds to the open demand of `sub`. Reports an ask above what is expected; it counts all the same.
    fn ask(&mut self, sub: SubId, count: u32) -> Option<AboveMax>;

    /// The consumer of `sub` has these no more: they were acknowledged, or came back.
    fn released(&mut self, sub: SubId, run: SeqRun, ledger: &mut Ledger);

    /// These came back from `sub`, to be delivered once more when it is `due`.
    fn put_later(&mut self, sub: SubId, due: Duration, events: Chunks);

    /// Of what is to be delivered once more, these were processed by the consumer of `sub` after all.
    fn processed(&mut self, sub: SubId, run: SeqRun, ledger: &mut Ledger);

    /// Forgets `sub` and its open demand. `unacked` was sent to it; `subs` does not hold it any more.
    fn end(&mut self, sub: SubId, parting: Parting, unacked: Chunks, ledger: &mut Ledger, subs: &Subs);

    /// How many events consumers wait for, of those the guest is yet to make.
    fn open(&self) -> u64;

    /// How many events can be taken now.
    fn room(&self) -> usize;

    /// Takes over events in the order of their numbers, at most as many as there is room for.
    fn take(&mut self, events: Chunks, ledger: &mut Ledger);

    /// What is to be sent next: events delivered equally often, and no more than was asked for.
    fn next(&mut self) -> Option<(SubId, Chunks)>;

    /// Discards what does not fit the buffer, after `added` events have come in; no more than those.
    fn trim(&mut self, added: usize, ledger: &mut Ledger);

    /// Taken, and never delivered, for want of somebody who asks; as far as this holds up whoever makes events.
    fn queued(&self) -> usize;

    /// Taken, and at present with no consumer.
    fn waiting(&self) -> usize;

    /// Whether events have several copies: then the [`Ledger`] knows which of them are settled.
    fn copies(&self) -> bool {
        false
    }

    /// The lowest number that waits here.
    fn first(&self) -> Option<Seq>;
}

#[cfg(test)]
mod tests;
