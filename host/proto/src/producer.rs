//! The producing half of a stage: numbers events, hands them out, keeps them until acknowledged.
//!
//! An event is in one place at a time:
//!
//! ```text
//!  emit -> buffer ----dispatch----> unacked of one subscription ---ack---> gone
//!                                        |            ^
//!                                        | lost       | dispatch
//!                                        v            |
//!                                       again --------+        (before the buffer, oldest first)
//!                                         ^
//!                   later, for a pause ---+        what a consumer could not process
//! ```
//!
//! An event is settled once it is acknowledged, or was discarded.
//!
//! Invariants: the buffer and `again` are empty while a subscription has open demand; a
//! subscription is never sent more than it granted; the guest is never asked for more than is open.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    batch::Batch,
    chunks::Chunks,
    dispatch::Dispatcher,
    ids::{Epoch, Seq, SubId},
    message::{Demand, Message, Reason, SeqRun, Subscribe},
    stage::{Ending, Notice, Outputs},
};

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

#[derive(Debug)]
struct Downstream {
    demand: Demand,
    /// All events asked for, sent and acknowledged since the start.
    granted: u64,
    sent: u64,
    acked: u64,
    /// Sent and not acknowledged, in the order of sending. Never more than `demand.max()` events.
    unacked: Chunks,
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
    subs: BTreeMap<SubId, Downstream>,
    again: Chunks,
    /// To be delivered again, not before then.
    later: Vec<(Duration, Chunks)>,
    buffer: Chunks,
    next_seq: Seq,
    /// Since they were last taken.
    settled: Vec<SeqRun>,
    /// Asked of the guest and not emitted since. Anything it emits counts, asked for or not.
    asked: u64,
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
            subs: BTreeMap::new(),
            again: Chunks::default(),
            later: Vec::new(),
            buffer: Chunks::default(),
            next_seq,
            settled: Vec::new(),
            asked: 0,
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

    /// The lowest number that is not settled: all before it are.
    pub(crate) fn first_unsettled(&self) -> Seq {
        let waiting = self.later.iter().map(|(_, events)| events).chain([&self.again, &self.buffer]);
        let all = self.subs.values().map(|sub| &sub.unacked).chain(waiting);
        all.filter_map(Chunks::first).min().unwrap_or(self.next_seq)
    }

    /// What was settled since the last call.
    pub(crate) fn take_settled(&mut self) -> Vec<SeqRun> {
        std::mem::take(&mut self.settled)
    }

    /// When something is to be done without a message.
    pub(crate) fn timeout(&self) -> Option<Duration> {
        self.later.iter().map(|(due, _)| *due).min()
    }

    /// Hands out what was to wait until now.
    pub(crate) fn on_timeout(&mut self, now: Duration, out: &mut Outputs) {
        for (_, events) in self.later.extract_if(.., |(due, _)| *due <= now) {
            self.again.merge(events);
        }
        self.flush(out);
    }

    pub(crate) fn buffered(&self) -> usize {
        self.buffer.len() + self.again.len() + self.later.iter().map(|(_, events)| events.len()).sum::<usize>()
    }

    /// What can be sent as soon as somebody asks.
    fn ready(&self) -> usize {
        self.buffer.len() + self.again.len()
    }

    /// Whether every event emitted was acknowledged.
    pub(crate) fn is_drained(&self) -> bool {
        self.buffered() == 0 && self.subs.values().all(|sub| sub.unacked.is_empty())
    }

    /// Sent and not acknowledged, over all subscriptions.
    pub(crate) fn unacked(&self) -> usize {
        self.subs.values().map(|sub| sub.unacked.len()).sum()
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

    /// What the guest was asked for, did not emit, and consumers still wait for.
    pub(crate) fn overdue(&self) -> u64 {
        match self.mode {
            DemandMode::Forward => self.dispatcher.open().min(self.asked),
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
        self.dispatcher.subscribe(sub);
        let unacked = Chunks::default();
        let downstream = Downstream { demand: subscribe.demand, granted: 0, sent: 0, acked: 0, unacked };
        self.subs.insert(sub, downstream);
        out.notice(Notice::ConsumerJoined { sub, consumer: subscribe.consumer.clone() });
    }

    pub(crate) fn on_ask(&mut self, sub: SubId, granted: u64, acked: &[SeqRun], out: &mut Outputs) {
        let Some(downstream) = self.subs.get_mut(&sub) else {
            out.send(sub, self.epoch, Message::Cancel(Reason::UnknownSubscription));
            return;
        };
        let asked = downstream.on_ask(granted, acked);
        if asked.is_ok() {
            self.settled.extend_from_slice(acked);
        }
        match asked {
            Ok(0) => {}
            Ok(more) => {
                if let Some(above) = self.dispatcher.ask(sub, more) {
                    out.notice(Notice::DemandAboveMax(above));
                }
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
        match downstream.take_back(runs) {
            Ok(events) => self.later.push((now + after.min(RETRY_AFTER_MAX), events)),
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
            let waiting = self.later.iter_mut().map(|(_, events)| events).chain([&mut self.again]);
            for events in waiting {
                self.settled.extend(events.extract(run).runs());
            }
        }
        self.later.retain(|(_, events)| !events.is_empty());
    }

    /// The subscription is over; its unacknowledged events go to whoever has open demand.
    ///
    /// The consumer is told even if it is down, as GenStage does: it may be the link that is.
    pub(crate) fn end(&mut self, sub: SubId, ending: Ending, reason: Reason, out: &mut Outputs) {
        let Some(downstream) = self.subs.remove(&sub) else { return };
        self.dispatcher.cancel(sub);
        out.send(sub, self.epoch, Message::Cancel(reason.clone()));
        out.close(sub);
        out.notice(Notice::Ended { sub, ending, reason });
        self.again.merge(downstream.unacked);
        self.flush(out);
    }

    /// The stage stops: every consumer is told.
    pub(crate) fn stop(&mut self, reason: &Reason, out: &mut Outputs) {
        for sub in std::mem::take(&mut self.subs).into_keys() {
            self.dispatcher.cancel(sub);
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
        let size = self.buffer_options.size.unwrap_or(BufferOptions::SIZE_DEFAULT);
        (self.buffer.len() as u64) < size.max(1)
    }

    /// Sends what waits to whoever has open demand: redeliveries first, then the buffer.
    fn flush(&mut self, out: &mut Outputs) {
        while self.is_wanted() && self.ready() > 0 {
            let open = usize::try_from(self.dispatcher.open()).unwrap_or(usize::MAX);
            let source = if self.again.is_empty() { &mut self.buffer } else { &mut self.again };
            let ready = source.take_front_alike(open);
            self.dispatch(ready, out);
        }
    }

    fn dispatch(&mut self, mut ready: Chunks, out: &mut Outputs) {
        ready.count_attempt();
        for share in self.dispatcher.dispatch(&ready.batches()) {
            let part = ready.slice(share.events);
            let downstream = self.subs.get_mut(&share.sub).expect("the dispatcher knows only live subscriptions");
            downstream.sent += part.len() as u64;
            for message in part.to_messages(self.message_bytes_max) {
                out.send(share.sub, self.epoch, Message::Events(message));
            }
            downstream.unacked.append(part);
        }
    }

    /// Discards of the buffer what it does not hold; no more than has come in with the last `added`.
    fn trim_buffer(&mut self, added: usize, out: &mut Outputs) {
        let Some(size) = self.buffer_options.size else { return };
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let excess = self.buffer.len().saturating_sub(size).min(added);
        if excess == 0 {
            return;
        }
        let discarded = match self.buffer_options.keep {
            Keep::Last => self.buffer.take_front(excess),
            Keep::First => {
                let kept = self.buffer.take_front(self.buffer.len() - excess);
                std::mem::replace(&mut self.buffer, kept)
            }
        };
        self.settled.extend(discarded.runs());
        out.notice(Notice::Discarded { count: excess as u64 });
    }
}

/// The longest pause a consumer can ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);

fn not_sent(run: SeqRun, known: u64, what: &str) -> String {
    format!("{} events from {} on {what}, {known} of them were sent", run.count, run.first.0)
}

impl Downstream {
    /// What was sent and is to be sent again.
    fn take_back(&mut self, runs: &[SeqRun]) -> Result<Chunks, String> {
        let mut taken = Chunks::default();
        for &run in runs {
            let part = self.unacked.extract(run);
            let known = part.len() as u64;
            taken.append(part);
            if known != u64::from(run.count) {
                self.unacked.merge(taken);
                return Err(not_sent(run, known, "given back"));
            }
            self.acked += known;
        }
        Ok(taken)
    }

    /// Takes acknowledgements and new demand; says how much is new, or how the protocol was broken.
    fn on_ask(&mut self, granted: u64, acked: &[SeqRun]) -> Result<u32, String> {
        for &run in acked {
            let known = self.unacked.remove(run);
            if known != u64::from(run.count) {
                return Err(not_sent(run, known, "acknowledged"));
            }
            self.acked += known;
        }
        let before = self.granted;
        let Some(more) = granted.checked_sub(before) else {
            return Err(format!("demand fell from {before} to {granted}; it only rises"));
        };
        let open = granted - self.acked;
        let max = self.demand.max();
        if open > u64::from(max) {
            return Err(format!("{open} events asked for and not acknowledged, max_demand is {max}"));
        }
        self.granted = granted;
        Ok(u32::try_from(more).expect("no more than max_demand, as just checked"))
    }
}
