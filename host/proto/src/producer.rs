//! The producing half of a stage: numbers events, hands them out, keeps them until acknowledged.
//!
//! An event, or each of its copies where the dispatcher makes some, is in one place at a time:
//!
//! ```text
//!  emit -> buffer --take--> dispatcher --next--> unacked of one subscription ---ack---> gone
//!                                ^                       |
//!                                |  lost, or given back  |
//!                                +-----------------------+
//! ```
//!
//! An event is settled once every copy is acknowledged, or was discarded.
//!
//! Invariants: the buffer is empty while the dispatcher has room, and nothing waits in the dispatcher for a
//! subscription that has open demand; a subscription is never sent more than it granted; the guest is never asked for
//! more than is open.

mod downstream;

use std::{collections::BTreeMap, time::Duration};

use crate::{
    batch::Batch,
    chunks::Chunks,
    dispatch::{Dispatcher, Ledger, Parting},
    ids::{Epoch, Seq, SubId},
    message::{Message, Reason, SeqRun, Subscribe},
    stage::{Ending, Notice, Outputs},
};
pub(crate) use downstream::Downstream;

/// The consumers, by their subscriptions.
pub(crate) type Subs = BTreeMap<SubId, Downstream>;

/// Which end of an overflowing buffer survives (GenStage's `:buffer_keep`).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Keep {
    /// The oldest.
    First,
    /// The newest.
    #[default]
    Last,
}

/// Events kept while nobody asks for them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct BufferOptions {
    /// Unit: events. `None`: not limited by count, which is right for a producer-consumer: it holds
    /// at most what one upstream message was turned into.
    pub size: Option<u64>,
    /// Which end survives.
    pub keep: Keep,
}

impl BufferOptions {
    /// GenStage's default for a producer, in events.
    pub const SIZE_DEFAULT: u64 = 10_000;

    /// How many events are kept where there must be a limit: at least one.
    pub(crate) fn size_max(&self) -> usize {
        usize::try_from(self.size.unwrap_or(Self::SIZE_DEFAULT).max(1)).unwrap_or(usize::MAX)
    }
}

impl Default for BufferOptions {
    fn default() -> Self {
        Self { size: Some(Self::SIZE_DEFAULT), keep: Keep::default() }
    }
}

/// Whether demand reaches the guest (GenStage's `:demand`).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum DemandMode {
    /// As it comes.
    #[default]
    Forward,
    /// Not before the mode is changed: until all consumers are there, say. Events wait as well.
    Accumulate,
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Producer {
    epoch: Epoch,
    dispatcher: Box<dyn Dispatcher>,
    buffer_options: BufferOptions,
    /// Unit: bytes.
    message_bytes_max: usize,
    mode: DemandMode,
    subs: Subs,
    /// Emitted, and not taken by the dispatcher yet.
    buffer: Chunks,
    next_seq: Seq,
    ledger: Ledger,
    /// Asked of the guest and not emitted since. Anything it emits counts, asked for or not.
    asked: u64,
    /// Sent and not acknowledged, over all subscriptions: it is looked at more often than there are acknowledgements.
    unacked: usize,
}

impl Producer {
    pub(crate) fn new(
        epoch: Epoch,
        dispatcher: Box<dyn Dispatcher>,
        buffer_options: BufferOptions,
        message_bytes_max: usize,
        mode: DemandMode,
        next_seq: Seq,
    ) -> Self {
        Self {
            epoch,
            dispatcher,
            buffer_options,
            message_bytes_max,
            mode,
            subs: Subs::new(),
            buffer: Chunks::default(),
            next_seq,
            ledger: Ledger::default(),
            asked: 0,
            unacked: 0,
        }
    }

    pub(crate) fn epoch(&self) -> Epoch {
        self.epoch
    }

    pub(crate) fn mode(&self) -> DemandMode {
        self.mode
    }

    pub(crate) fn set_mode(&mut self, mode: DemandMode, out: &mut Outputs) {
        self.mode = mode;
        self.flush(out);
    }

    /// The number of the next event.
    pub(crate) fn next_seq(&self) -> Seq {
        self.next_seq
    }

    /// The next number is `seq`: those between were given to no event.
    pub(crate) fn skip_to(&mut self, seq: Seq) -> Option<SeqRun> {
        let count = u32::try_from(seq.0.saturating_sub(self.next_seq.0)).ok().filter(|count| *count > 0)?;
        let skipped = SeqRun { first: self.next_seq, count };
        self.next_seq = seq;
        Some(skipped)
    }

    /// The time is this; told before anything else is.
    pub(crate) fn at(&mut self, now: Duration) {
        self.dispatcher.at(now, &mut self.ledger, &self.subs);
    }

    /// The lowest number that is not settled: all before it are.
    pub(crate) fn first_unsettled(&self) -> Seq {
        let first = match self.dispatcher.copies() {
            true => self.ledger.first_unsettled(),
            false => {
                let unacked = self.subs.values().filter_map(|sub| sub.unacked().first());
                unacked.chain(self.dispatcher.first()).min()
            }
        };
        first.into_iter().chain(self.buffer.first()).min().unwrap_or(self.next_seq)
    }

    /// What was settled since the last call.
    pub(crate) fn take_settled(&mut self) -> Vec<SeqRun> {
        self.ledger.take_settled()
    }

    /// When something is to be done without a message.
    pub(crate) fn timeout(&self) -> Option<Duration> {
        self.dispatcher.timeout()
    }

    /// Hands out what was to wait until now.
    pub(crate) fn on_timeout(&mut self, out: &mut Outputs) {
        self.flush(out);
    }

    pub(crate) fn buffered(&self) -> usize {
        self.buffer.len() + self.dispatcher.waiting()
    }

    /// Whether every event emitted was acknowledged.
    pub(crate) fn is_drained(&self) -> bool {
        self.buffered() == 0 && self.unacked == 0
    }

    /// Sent and not acknowledged, over all subscriptions.
    pub(crate) fn unacked(&self) -> usize {
        self.unacked
    }

    pub(crate) fn has_sub(&self, sub: SubId) -> bool {
        self.subs.contains_key(&sub)
    }

    /// What consumers wait for and the guest was not asked for yet.
    pub(crate) fn unasked(&self) -> u64 {
        match self.mode {
            DemandMode::Forward => self.dispatcher.open().saturating_sub(self.asked),
            DemandMode::Accumulate => 0,
        }
    }

    /// What guests were asked for, did not emit, and consumers still wait for; `being_made` is what they work on.
    pub(crate) fn overdue(&self, being_made: u64) -> u64 {
        match self.mode {
            DemandMode::Forward => self.dispatcher.open().min(self.asked.saturating_sub(being_made)),
            DemandMode::Accumulate => 0,
        }
    }

    /// How many events consumers wait for.
    pub(crate) fn wanted(&self) -> u32 {
        if self.is_wanted() { u32::try_from(self.dispatcher.open()).unwrap_or(u32::MAX) } else { 0 }
    }

    /// Whether consumers wait for events; what a producer-consumer looks at before it takes a message.
    pub(crate) fn is_wanted(&self) -> bool {
        self.mode == DemandMode::Forward && self.dispatcher.open() > 0
    }

    pub(crate) fn count_asked(&mut self, count: u32) {
        self.asked += u64::from(count);
    }

    /// The guest did not take what it was asked for.
    pub(crate) fn count_unasked(&mut self, count: u32) {
        self.asked = self.asked.saturating_sub(u64::from(count));
    }

    pub(crate) fn on_subscribe(&mut self, sub: SubId, subscribe: &Subscribe, out: &mut Outputs) {
        if self.has_sub(sub) {
            out.notice(Notice::Refused { sub, reason: Reason::DuplicatedSubscription });
            out.send(sub, self.epoch, Message::Cancel(Reason::DuplicatedSubscription));
            return;
        }
        if let Err(reason) = self.dispatcher.subscribe(sub, subscribe, &mut self.ledger, &self.subs) {
            out.notice(Notice::Refused { sub, reason: reason.clone() });
            out.send(sub, self.epoch, Message::Cancel(reason));
            return out.close(sub);
        }
        self.subs.insert(sub, Downstream::new(subscribe.demand));
        out.notice(Notice::ConsumerJoined { sub, consumer: subscribe.consumer.clone() });
        // Partitions may have found a holder.
        self.flush(out);
    }

    pub(crate) fn on_ask(&mut self, sub: SubId, granted: u64, acked: &[SeqRun], out: &mut Outputs) {
        let Some(downstream) = self.subs.get_mut(&sub) else {
            out.send(sub, self.epoch, Message::Cancel(Reason::UnknownSubscription));
            return;
        };
        let before = downstream.unacked().len();
        let taken = downstream.on_ask(granted, acked);
        self.unacked -= before - downstream.unacked().len();
        match taken {
            Ok(more) => {
                for &run in acked {
                    self.ledger.settle(run);
                    self.dispatcher.released(sub, run, &mut self.ledger);
                }
                let above = if more > 0 { self.dispatcher.ask(sub, more) } else { None };
                above.into_iter().for_each(|above| out.notice(Notice::DemandAboveMax(above)));
                self.flush(out);
            }
            Err(broken) => self.refuse(sub, broken, out),
        }
    }

    fn refuse(&mut self, sub: SubId, broken: String, out: &mut Outputs) {
        let reason = Reason::Protocol(broken);
        out.notice(Notice::Refused { sub, reason: reason.clone() });
        self.end(sub, Ending::Cancelled, reason, out);
    }

    /// A consumer could not process these.
    pub(crate) fn on_retry(&mut self, now: Duration, sub: SubId, after: Duration, runs: &[SeqRun], out: &mut Outputs) {
        let Some(downstream) = self.subs.get_mut(&sub) else {
            out.send(sub, self.epoch, Message::Cancel(Reason::UnknownSubscription));
            return;
        };
        let before = downstream.unacked().len();
        let taken = downstream.take_back(runs);
        self.unacked -= before - downstream.unacked().len();
        match taken {
            Ok(events) => {
                self.dispatcher.put_later(sub, now + after.min(RETRY_AFTER_MAX), events);
                for &run in runs {
                    self.dispatcher.released(sub, run, &mut self.ledger);
                }
                self.flush(out);
            }
            Err(broken) => self.refuse(sub, broken, out),
        }
    }

    /// A consumer had processed these on a subscription that was lost.
    pub(crate) fn on_processed(&mut self, sub: SubId, runs: &[SeqRun], out: &mut Outputs) {
        if !self.has_sub(sub) {
            return out.send(sub, self.epoch, Message::Cancel(Reason::UnknownSubscription));
        }
        for &run in runs {
            // Sent to it again, it will be acknowledged again.
            self.dispatcher.processed(sub, run, &mut self.ledger);
        }
        self.flush(out);
    }

    /// The subscription is over; its unacknowledged events go to whoever has open demand.
    ///
    /// The consumer is told even if it is down, as GenStage does: it may be the link that is.
    pub(crate) fn end(&mut self, sub: SubId, ending: Ending, reason: Reason, out: &mut Outputs) {
        let Some(downstream) = self.subs.remove(&sub) else { return };
        // One that somebody ordered to end may be on its way to another version or place.
        let has_left = ending == Ending::Cancelled && reason == Reason::Normal;
        let parting = if has_left { Parting::Left } else { Parting::Lost };
        out.send(sub, self.epoch, Message::Cancel(reason.clone()));
        out.close(sub);
        out.notice(Notice::Ended { sub, ending, reason });
        let unacked = downstream.into_unacked();
        self.unacked -= unacked.len();
        self.dispatcher.end(sub, parting, unacked, &mut self.ledger, &self.subs);
        self.flush(out);
    }

    /// The stage stops: every consumer is told.
    pub(crate) fn stop(&mut self, reason: &Reason, out: &mut Outputs) {
        self.unacked = 0;
        for sub in std::mem::take(&mut self.subs).into_keys() {
            out.send(sub, self.epoch, Message::Cancel(reason.clone()));
            out.close(sub);
        }
    }

    /// The guest emitted `events`, asked for or not. What nobody asks for and the buffer does not hold is discarded.
    pub(crate) fn emit(&mut self, events: Batch, out: &mut Outputs) {
        let count = events.len();
        self.emit_unasked(events, out);
        self.trim_buffer(count, out);
    }

    /// The guest emitted `events` by the clock: nothing is discarded, for it is not called again before there
    /// [is room](Self::has_room). So the buffer holds one batch more than its size at most.
    pub(crate) fn emit_unasked(&mut self, events: Batch, out: &mut Outputs) {
        if events.is_empty() {
            return;
        }
        let count = events.len() as u64;
        self.asked = self.asked.saturating_sub(count);
        self.buffer.append(Chunks::new(self.next_seq, events));
        self.next_seq.0 += count;
        self.flush(out);
    }

    /// Whether fewer events wait that nobody asked for than the buffer holds.
    pub(crate) fn has_room(&self) -> bool {
        self.buffer.len() + self.dispatcher.queued() < self.buffer_options.size_max()
    }

    /// Sends what waits to whoever has open demand: what the dispatcher has, then what it takes of the buffer.
    fn flush(&mut self, out: &mut Outputs) {
        while self.mode == DemandMode::Forward {
            while let Some((sub, events)) = self.dispatcher.next() {
                self.send(sub, events, out);
            }
            let room = self.dispatcher.room();
            if room == 0 || self.buffer.is_empty() {
                break;
            }
            self.dispatcher.take(self.buffer.take_front(room), &mut self.ledger);
        }
        self.ledger.take_notices().into_iter().for_each(|notice| out.notice(notice));
    }

    fn send(&mut self, sub: SubId, mut events: Chunks, out: &mut Outputs) {
        events.count_attempt();
        for message in events.to_messages(self.message_bytes_max) {
            out.send(sub, self.epoch, Message::Events(message));
        }
        let downstream = self.subs.get_mut(&sub).expect("the dispatcher knows only live subscriptions");
        self.unacked += events.len();
        downstream.sent(events);
    }

    /// Discards of what nobody asks for what the buffer does not hold; no more than has come in with the last `added`.
    fn trim_buffer(&mut self, added: usize, out: &mut Outputs) {
        if let Some(size) = self.buffer_options.size {
            let excess = self.buffer.len().saturating_sub(usize::try_from(size).unwrap_or(usize::MAX)).min(added);
            let discarded = match self.buffer_options.keep {
                Keep::Last => self.buffer.take_front(excess),
                Keep::First => self.buffer.take_back(excess),
            };
            discarded.runs().into_iter().for_each(|run| self.ledger.settle(run));
            if excess > 0 {
                out.notice(Notice::Discarded { count: excess as u64 });
            }
        }
        self.dispatcher.trim(added, &mut self.ledger);
        self.ledger.take_notices().into_iter().for_each(|notice| out.notice(notice));
    }
}

/// The longest pause a consumer can ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);
