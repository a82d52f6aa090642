//! What a stage does with what comes back from its guest: passes outputs on, acknowledges inputs, and
//! sees to those that could not be processed.

use std::time::Duration;

use super::{Ack, Call, GuestNo, Held, Letter, LettersNo, Notice, Rejected, Returned, Role, Stage};
use crate::{
    batch::Batch,
    checkpoints::{Checkpoints, Committed},
    consumer::InHand,
    ids::{Seq, StageName, SubId},
    message::{Reason, SeqRun},
    poison::{Verdict, again},
    recycle::Recycler,
    requests::Answer,
};

/// How long events wait for which no dead letter could be written: until somebody has made room.
const LETTER_AGAIN: Duration = Duration::from_secs(5);

impl Stage {
    pub(super) fn on_returned(&mut self, now: Duration, guest: GuestNo, returned: Returned) {
        let at = self.pool.find(guest).expect("a return follows a call");
        let guest = self.pool.get(at);
        let call = guest.calling.take().expect("a return follows a call");
        if !matches!(returned, Returned::Retry | Returned::Recycled { .. } | Returned::NotRecycled(_)) {
            guest.backoff.reset();
        }
        match (call, returned) {
            (Call::Snapshot, Returned::Snapshot(snapshot)) => {
                if let Some(checkpoints) = &mut self.checkpoints {
                    let seq = checkpoints.on_snapshot(now, self.producer.next_seq(), snapshot);
                    if let Some(skipped) = self.producer.skip_to(seq) {
                        self.out.notice(Notice::Skipped(skipped));
                    }
                }
            }
            (call @ Call::HandleIngest { .. }, Returned::Ingested(events)) => {
                self.count_made(now, events.len());
                self.on_ingested(&call, events);
            }
            (Call::Snapshot, Returned::NoSnapshot(why)) => self.on_no_snapshot(now, why),
            (Call::HandleTick, Returned::Ticked(events)) => {
                self.touch();
                self.count_made(now, events.len());
                self.producer.emit_unasked(events, &mut self.out);
            }
            (Call::HandleCall { no, .. }, Returned::Answered(answer)) => {
                self.touch();
                self.requests.answer(no, answer.map_or_else(Answer::Refused, Answer::Given));
            }
            (Call::HandleCall { no, .. }, Returned::Trapped(why)) => {
                self.requests.answer(no, Answer::Lost(why.clone()));
                self.on_lost_in_request(now, at, why);
            }
            (Call::Renew, Returned::Renewed) => self.on_renewed(at),
            (Call::Retire, Returned::Retired) => self.pool.retire(at),
            (Call::Recycle, Returned::Recycled { memory_bytes }) => self.on_recycled(now, at, memory_bytes),
            (Call::Recycle, Returned::NotRecycled(why)) => self.on_not_recycled(now, at, why),
            (call, Returned::Retry) => self.hold(now, at, call),
            (Call::HandleDemand { .. }, Returned::Produced { events, finished }) => {
                self.count_made(now, events.len());
                self.sizes.count(&events);
                self.producer.emit(events, &mut self.out);
                let guest = self.pool.get(at);
                guest.poll_at = self.poll.map(|poll| now + poll);
                guest.finished |= finished;
                // Only when all have come to their ends has the stage.
                if !self.finished && self.pool.iter().all(|guest| guest.finished) {
                    self.finished = true;
                    self.out.notice(Notice::Finished);
                }
            }
            (call @ Call::HandleEvents { .. }, Returned::Processed { events, rejected }) => {
                self.on_processed(&call, events, rejected);
            }
            (call @ (Call::HandleEvents { .. } | Call::HandleIngest { .. }), Returned::Trapped(why)) => {
                self.on_trapped(now, at, call, &why)
            }
            (call, returned) => panic!("{call:?} cannot return {returned:?}: the driver mixed up two calls"),
        }
    }

    fn on_renewed(&mut self, at: usize) {
        let guest = self.pool.get(at);
        guest.renew = false;
        guest.recycler.iter_mut().for_each(Recycler::on_renewed);
    }

    pub(super) fn on_memory(&mut self, guest: GuestNo, bytes: u64) {
        if let Some(at) = self.pool.find(guest) {
            self.pool.get(at).recycler.iter_mut().for_each(|recycler| recycler.on_memory(bytes));
        }
    }

    /// Whether a guest gives way to a fresh one now. One that ends is not worth it.
    pub(super) fn begins_recycling(&mut self, now: Duration, at: usize) -> bool {
        let guest = self.pool.get(at);
        let ends = self.draining.is_some() || guest.finished;
        let due = guest.recycler.as_mut().filter(|recycler| !ends && recycler.is_due(now));
        due.map(|recycler| recycler.begin(now)).is_some()
    }

    fn on_recycled(&mut self, now: Duration, at: usize, after_bytes: u64) {
        let Some(recycler) = &mut self.pool.get(at).recycler else { return };
        let before_bytes = recycler.on_recycled(now);
        recycler.on_memory(after_bytes);
        self.out.notice(Notice::Recycled { before_bytes, after_bytes });
    }

    fn on_not_recycled(&mut self, now: Duration, at: usize, why: String) {
        self.pool.get(at).recycler.iter_mut().for_each(|recycler| recycler.on_failed(now));
        self.out.notice(Notice::NotRecycled { why });
    }

    fn on_no_snapshot(&mut self, now: Duration, why: String) {
        self.out.notice(Notice::NoSnapshot { why });
        if self.draining.is_some() {
            // There will be no better one.
            self.give_up_checkpoints();
        } else if let Some(checkpoints) = &mut self.checkpoints {
            checkpoints.on_no_snapshot(now);
        }
    }

    /// A stage that ends puts nothing more on record. What its guest was not given goes back.
    pub(super) fn give_up_checkpoints(&mut self) {
        self.forgets |= self.checkpoints.take().is_some();
        self.consumer.give_up_gathered();
    }

    /// The guest may have another state, though no event went in or came out.
    fn touch(&mut self) {
        if let Some(checkpoints) = &mut self.checkpoints {
            checkpoints.touch();
        }
    }

    /// The next events of the inbox, if somebody waits for what is made of them. The first guest is given them, so that
    /// they stay in order.
    pub(super) fn next_ingest(&mut self, now: Duration, at: usize) -> Option<Call> {
        let allowed =
            self.limiter.as_ref().is_none_or(|limiter| limiter.allowed_beside(now, 1, self.being_made()).is_some());
        let intake = self.intake.as_mut().filter(|_| at == 0 && allowed && self.producer.is_wanted())?;
        let (first, events) = intake.take()?;
        Some(Call::HandleIngest { first, events })
    }

    /// What a call with events has in hand; nothing, of any other.
    fn in_hand(&self, call: &Call) -> InHand {
        match call {
            Call::HandleEvents { sub, source, epoch, runs, .. } => {
                InHand { sub: *sub, source: source.clone(), epoch: *epoch, runs: runs.clone() }
            }
            Call::HandleIngest { first, events } => {
                let count = u32::try_from(events.len()).expect("a batch has fewer events than 2^32");
                self.of_inbox(vec![SeqRun { first: Seq(*first), count }])
            }
            _ => self.of_inbox(Vec::new()),
        }
    }

    fn of_inbox(&self, runs: Vec<SeqRun>) -> InHand {
        InHand { sub: SubId::INBOX, source: self.name.clone(), epoch: self.producer.epoch(), runs }
    }

    fn on_ingested(&mut self, call: &Call, outputs: Batch) {
        let in_hand = self.in_hand(call);
        let first = self.producer.next_seq();
        self.producer.emit(outputs, &mut self.out);
        self.count_processed(in_hand, first);
    }

    /// These became the events emitted since `first`.
    fn count_processed(&mut self, done: InHand, first: Seq) {
        let from_inbox = done.sub == SubId::INBOX;
        let is_late = self.ack == Ack::Late || from_inbox;
        // It comes again, to one that knows as much of it as is on record.
        if self.forgets && is_late {
            return;
        }
        let done = match &mut self.checkpoints {
            Some(checkpoints) if is_late => {
                let is_urgent = self.consumer.hold(&done);
                return checkpoints.add(done, is_urgent);
            }
            _ if is_late && (from_inbox || self.role == Role::ProducerConsumer) => {
                self.owed.add(done, first, self.producer.next_seq())
            }
            _ => Some(done),
        };
        if let Some(done) = done {
            self.acknowledge(done);
        }
    }

    /// A state is on record, or could not be put there.
    pub(super) fn on_committed(&mut self, now: Duration, committed: Committed) {
        let Some(checkpoints) = &mut self.checkpoints else { return };
        for done in checkpoints.on_committed(now, committed) {
            self.consumer.release(&done);
            self.acknowledge(done);
        }
    }

    /// What the guest knew since its state was last taken is gone with it: it is given all of that again.
    pub(super) fn on_state_lost(&mut self) {
        let Some(checkpoints) = &mut self.checkpoints else { return };
        for given in checkpoints.on_lost() {
            self.consumer.release(&given);
            match &mut self.intake {
                Some(intake) if given.sub == SubId::INBOX => intake.hand_out_again(&given.runs),
                _ => self.consumer.give_back(given, Duration::ZERO, &mut self.out),
            }
        }
        // There is no guest any more whose state could be taken.
        if self.draining.is_some() {
            self.give_up_checkpoints();
        }
    }

    /// These are done with, wherever they came from.
    fn acknowledge(&mut self, done: InHand) {
        match &mut self.intake {
            Some(intake) if done.sub == SubId::INBOX => intake.settle_runs(&done.runs),
            _ => self.consumer.acknowledge(done, &mut self.out),
        }
    }

    /// What was not rejected is acknowledged once its outputs are; the rest is to be tried again, or a
    /// dead letter.
    fn on_processed(&mut self, call: &Call, outputs: Batch, rejected: Vec<Rejected>) {
        let in_hand = self.in_hand(call);
        let first = self.producer.next_seq();
        self.producer.emit(outputs, &mut self.out);
        let good = if rejected.is_empty() { in_hand } else { self.see_to(call, in_hand, rejected) };
        if !good.runs.is_empty() || self.producer.next_seq() > first {
            self.count_processed(good, first);
        }
    }

    /// Gives back what was processed.
    fn see_to(&mut self, call: &Call, in_hand: InHand, mut rejected: Vec<Rejected>) -> InHand {
        let Call::HandleEvents { sub, attempt, .. } = call else { return in_hand };
        self.out.notice(Notice::Rejected { sub: *sub, rejected: rejected.clone() });
        rejected.sort_by_key(|rejected| rejected.index);
        let may_retry = |rejected: &Rejected| rejected.retry && *attempt < self.retry.attempts;
        let (retried, dead): (Vec<_>, Vec<_>) = rejected.into_iter().partition(may_retry);
        let indexes = |rejected: &[Rejected]| rejected.iter().map(|rejected| rejected.index).collect::<Vec<_>>();
        let mut all = [indexes(&retried), indexes(&dead)].concat();
        all.sort_unstable();
        let (_, good) = in_hand.clone().split(&all);
        if !retried.is_empty() {
            let (again, _) = in_hand.clone().split(&indexes(&retried));
            self.consumer.give_back(again, self.retry.pause(*attempt), &mut self.out);
        }
        if !dead.is_empty() {
            let (lost, _) = in_hand.split(&indexes(&dead));
            self.write_letters(call, lost, dead);
        }
        good
    }

    /// One for each of `rejected`, whose events those of `in_hand` are.
    fn write_letters(&mut self, call: &Call, in_hand: InHand, rejected: Vec<Rejected>) {
        let (attempts, events) = match call {
            Call::HandleEvents { attempt, events, .. } => (*attempt, events),
            // Whatever is in an inbox was tried as a whole, and in parts.
            Call::HandleIngest { events, .. } => (2, events),
            _ => return,
        };
        let numbers = in_hand.runs.iter().flat_map(|run| run.first.0..run.end().0);
        let letter = |(seq, rejected): (u64, Rejected)| {
            let index = rejected.index as usize;
            Letter {
                source: in_hand.source.clone(),
                epoch: in_hand.epoch,
                seq: Seq(seq),
                attempts,
                reason: rejected.reason,
                event: events.slice(index..index + 1),
            }
        };
        let letters: Vec<_> = numbers.zip(rejected).map(letter).collect();
        let no = self.next_letters;
        self.next_letters = LettersNo(no.0 + 1);
        self.letters.insert(no, in_hand);
        self.unsent_letters.push_back((no, letters));
    }

    /// Letters are on disk, or could not be written; then their events stay where they came from.
    pub(super) fn on_lettered(&mut self, letters: LettersNo, kept: bool) {
        let Some(in_hand) = self.letters.remove(&letters) else { return };
        // One that was sent again is kept as it was.
        if in_hand.sub == SubId::RESENT {
            return;
        }
        if kept {
            self.acknowledge(in_hand);
        } else if in_hand.sub == SubId::INBOX {
            let why = "its plugin does not survive an event of its inbox, which cannot be kept as a dead letter";
            self.stop(Reason::Failed(why.to_owned()));
        } else {
            self.consumer.give_back(in_hand, LETTER_AGAIN, &mut self.out);
        }
    }

    /// Another guest takes its place before the next call; after a pause, if that happens often.
    pub(super) fn on_guest_lost(&mut self, now: Duration, at: usize) {
        let guest = self.pool.get(at);
        guest.renew = true;
        if let Some(pause) = guest.suspects.pause(now) {
            guest.held = Some(Held { until: now + pause, call: None });
        }
        // A stage that ends starts no other: what it was to get goes back.
        if self.draining.is_some() {
            guest.lane.clear();
            self.consumer.give_up_gathered();
        }
    }

    /// The guest did not survive a call with events: they are tried again on another, in ever smaller parts.
    fn on_trapped(&mut self, now: Duration, at: usize, call: Call, why: &str) {
        self.on_guest_lost(now, at);
        let in_hand = self.in_hand(&call);
        self.on_state_lost();
        let is_fenced = self.consumer.is_fenced(in_hand.sub);
        if self.draining.is_some() || is_fenced {
            return self.pool.drop_if(|part| matches!(part, Call::HandleEvents { sub, .. } if *sub == in_hand.sub));
        }
        let rejected = || vec![Rejected { index: 0, retry: false, reason: why.to_owned() }];
        let by_others = self.pool.found_by_others(now, at);
        match self.pool.get(at).suspects.on_trap(now, call, by_others) {
            Verdict::Tried => self.out.notice(Notice::Trapped { why: why.to_owned() }),
            Verdict::Poison(call) => {
                self.out.notice(Notice::Rejected { sub: in_hand.sub, rejected: rejected() });
                self.write_letters(&call, in_hand, rejected());
            }
            Verdict::TooMany(found) => {
                let why = format!("it does not survive {} events, one after the other; of the last: {why}", found + 1);
                self.stop(Reason::Failed(why));
            }
        }
    }

    /// How many events of a source the guest was given, or one before it, and is to be given again. Unit: events.
    pub(super) fn to_be_given_again(&self, source: &StageName) -> u32 {
        let counts = self.pool.iter().flat_map(|guest| {
            let held = guest.held.iter().filter_map(|held| held.call.as_ref());
            guest.suspects.parts().chain(held).map(|call| match call {
                Call::HandleEvents { source: of, events, .. } if of == source => events.len(),
                _ => 0,
            })
        });
        u32::try_from(counts.sum::<usize>()).unwrap_or(u32::MAX)
    }

    /// The next part of a batch that the guest did not survive.
    pub(super) fn next_suspect(&mut self, at: usize) -> Option<Call> {
        let ends = self.draining.is_some();
        let guest = self.pool.get(at);
        if ends {
            guest.suspects.clear();
        }
        guest.suspects.next()
    }

    /// Of a stage that ends: what was gathered for its guest. If nobody waits for what is made of it, it goes back
    /// instead.
    pub(super) fn next_flushed(&mut self, now: Duration, at: usize) -> Option<Call> {
        let call = if self.takes_events() { self.next_events(now, at) } else { None };
        let is_left = call.is_none() && !self.pool.has_events() && self.consumer.has_gathered();
        if is_left && !self.pool.is_changing() {
            self.consumer.give_up_gathered();
            self.pay();
        }
        call
    }

    /// Whether the guest may be given events now: not while it is suspended, and a producer-consumer's only while somebody
    /// waits for what it makes.
    pub(super) fn takes_events(&self) -> bool {
        !self.consumer.is_suspended() && (self.role == Role::Consumer || self.producer.is_wanted())
    }

    pub(super) fn wants_snapshot(&self, now: Duration) -> bool {
        let Some(checkpoints) = &self.checkpoints else { return false };
        // The last one, after which nothing more happens.
        let is_last = (self.draining.is_some() || self.finished) && self.has_settled() && !self.owes_last_tick();
        let may = self.draining.is_none() || is_last;
        may && checkpoints.is_due(now, self.producer.next_seq(), is_last)
    }

    fn hold(&mut self, now: Duration, at: usize, call: Call) {
        let call = match call {
            Call::HandleDemand { demand } => {
                self.producer.count_unasked(demand);
                None
            }
            call => Some(again(call)),
        };
        let is_fenced = matches!(&call, Some(Call::HandleEvents { sub, .. }) if self.consumer.is_fenced(*sub));
        // Otherwise its events go back to their producer.
        if self.draining.is_none() && !is_fenced {
            let guest = self.pool.get(at);
            guest.held = Some(Held { until: now + guest.backoff.fail(), call });
        }
    }

    /// A call that was to be made, or repeated, with events of a former owner is not.
    pub(super) fn abandon_fenced(&mut self) {
        let consumer = &self.consumer;
        let is_fenced = |call: &Call| matches!(call, Call::HandleEvents { sub, .. } if consumer.is_fenced(*sub));
        self.pool.drop_if(is_fenced);
        for guest in self.pool.iter_mut() {
            guest.held.take_if(|held| held.call.as_ref().is_some_and(is_fenced));
        }
    }

    pub(super) fn drain(&mut self, reason: Reason) {
        self.consumer.drain();
        for guest in self.pool.iter_mut() {
            guest.suspects.clear();
            guest.lane.clear();
            guest.held = None;
        }
        if let Some(intake) = &mut self.intake {
            intake.stop();
        }
        self.requests.end();
        self.draining = Some(reason);
        if self.pool.has_lost_one() {
            self.give_up_checkpoints();
        } else if !self.takes_events() {
            self.consumer.give_up_gathered();
        }
    }

    /// Acknowledges what is settled downstream by now. One that ends takes leave of its producers once
    /// nothing is left to acknowledge to them.
    pub(super) fn pay(&mut self) {
        for run in self.producer.take_settled() {
            for done in self.owed.settle(run) {
                self.acknowledge(done);
            }
        }
        if let Some(reason) = &self.draining
            && !self.pool.has_events()
            && !self.consumer.has_gathered()
            && self.owed.is_empty()
            && self.letters.is_empty()
            && self.checkpoints.as_ref().is_none_or(Checkpoints::covers_all)
        {
            self.consumer.stop(reason, &mut self.out);
        }
    }
}
