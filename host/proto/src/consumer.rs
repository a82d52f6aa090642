//! The consuming half of a stage: subscribes, cuts messages into batches, asks for more and
//! acknowledges.
//!
//! Messages are handled one after the other, in the order they came, whatever their source. Each is
//! cut into batches of at most `max_demand - min_demand` events; batches never span messages. The
//! end of a subscription waits in the same queue, behind the events that came before it. Of a stage that
//! gathers the events wait in groups beside that queue instead.

mod asking;
mod calls;
mod fence;
mod gather;
mod in_hand;
mod lanes;
mod options;
mod overflow;
mod subscription;

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use fence::Fence;
use gather::Gather;
pub use gather::{GatherBy, Gathering};
use in_hand::Recent;
pub(crate) use in_hand::{InHand, push_number};
pub(crate) use lanes::lane_of;
pub use options::{AskMode, CancelMode, UpstreamOptions, WhenFull};
use subscription::Subscription;

use crate::{
    backoff::Backoff,
    batch::Batch,
    ids::{Epoch, NodeName, PipelineName, Seq, StageName, SubId},
    message::{Events, Message, Reason, SeqRun, Subscribe},
    select::InstanceId,
    stage::{Ending, Letter, Notice, Outputs},
};

/// Who owns a source at present.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Owner {
    /// Where it runs.
    pub node: NodeName,
    /// The epoch of its claim.
    pub epoch: Epoch,
}

#[derive(Debug)]
struct Upstream {
    options: UpstreamOptions,
    owner: Option<Owner>,
    /// The latest subscription, while it lasts.
    sub: Option<SubId>,
    retry_at: Option<Duration>,
    backoff: Backoff,
}

#[derive(Debug)]
enum Queued {
    Events(SubId, Events),
    Ended(SubId, Ending, Reason),
    /// By a person.
    Resent(Letter),
}

/// A message being handled, and how far it is.
#[derive(Debug)]
struct Current {
    sub: SubId,
    attempt: u32,
    runs: VecDeque<SeqRun>,
    rest: Batch,
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Consumer {
    pipeline: PipelineName,
    name: StageName,
    instance: InstanceId,
    upstreams: Vec<Upstream>,
    fences: BTreeMap<StageName, Fence>,
    subs: BTreeMap<SubId, Subscription>,
    queue: VecDeque<Queued>,
    current: Option<Current>,
    gather: Option<Gather>,
    /// There will be a call at this time, if nothing happens before.
    call_at: Option<Duration>,
    recent: BTreeMap<StageName, Recent>,
    /// What guests asked for, by source, while there was nobody to ask. Unit: events.
    unsent_asks: BTreeMap<StageName, u32>,
    /// Nothing is asked for, and the guest is given nothing.
    suspended: bool,
    /// It ends: what comes in now goes back with the rest.
    draining: bool,
}

impl Consumer {
    pub(crate) fn new(
        pipeline: PipelineName,
        name: StageName,
        instance: InstanceId,
        upstreams: Vec<UpstreamOptions>,
        fenced: impl IntoIterator<Item = StageName>,
    ) -> Self {
        let upstream = |options| Upstream { options, owner: None, sub: None, retry_at: None, backoff: Backoff::LINK };
        let upstreams = upstreams.into_iter().map(upstream).collect();
        let fences = fenced.into_iter().map(|source| (source, Fence::default())).collect();
        let (subs, queue) = (BTreeMap::new(), VecDeque::new());
        Self {
            pipeline,
            name,
            instance,
            upstreams,
            fences,
            subs,
            queue,
            current: None,
            gather: None,
            call_at: None,
            recent: BTreeMap::new(),
            unsent_asks: BTreeMap::new(),
            suspended: false,
            draining: false,
        }
    }

    /// Calls are made with what was gathered, of so many bytes at most.
    pub(crate) fn gathering(mut self, options: Option<Gathering>, bytes_max: usize) -> Self {
        self.gather = options.map(|options| Gather::new(options, bytes_max));
        self
    }

    /// There are so many instances, of which each is given events of its own; `None`: one.
    pub(crate) fn set_lanes(&mut self, lanes: Option<(GatherBy, usize)>) {
        if let Some(gather) = &mut self.gather {
            gather.set_lanes(lanes);
        }
    }

    /// Whether nothing received waits for the guest.
    pub(crate) fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.current.is_none() && !self.has_gathered()
    }

    pub(crate) fn has_sub(&self, sub: SubId) -> bool {
        self.subs.get(&sub).is_some_and(|subscription| !subscription.ended)
    }

    /// Received and not processed yet. Unit: messages, and groups of what is gathered.
    pub(crate) fn queued(&self) -> usize {
        self.queue.len() + self.gather.as_ref().map_or(0, Gather::len)
    }

    /// When something is to be done without a message.
    pub(crate) fn timeout(&self) -> Option<Duration> {
        self.upstreams.iter().filter_map(|upstream| upstream.retry_at).min()
    }

    /// A source has a new owner, or none.
    ///
    /// An older subscription is left to end by itself: an owner that lost its name drains first and
    /// wants its acknowledgements, one that died is reported as down. Of a source that is fenced, an
    /// older subscription ends at once, and an older owner is no owner.
    pub(crate) fn on_owner(&mut self, source: &StageName, owner: Option<&Owner>, ids: &mut SubIds, out: &mut Outputs) {
        let changed = |upstream: &&mut Upstream| upstream.options.source == *source && upstream.owner.as_ref() != owner;
        if owner.is_some_and(|owner| self.is_former(source, owner.epoch)) {
            return;
        }
        let Some(upstream) = self.upstreams.iter_mut().find(changed) else { return };
        upstream.owner = owner.cloned();
        upstream.sub = None;
        upstream.retry_at = None;
        upstream.backoff.reset();
        let options = upstream.options.clone();
        let Some(owner) = owner.cloned() else { return };
        self.fence(source, owner.epoch, out);
        // One that was taken for replaced and was not, after all: the subscription still stands.
        let standing = self.subs.iter().find(|(_, subscription)| subscription.is_with(source, owner.epoch));
        if let Some(sub) = standing.map(|(sub, _)| *sub) {
            self.remember(sub, source);
        } else {
            let sub = self.subscribe(&options, &owner, ids, out);
            self.remember(sub, &options.source);
        }
    }

    /// Begins one subscription.
    pub(crate) fn subscribe(
        &mut self,
        options: &UpstreamOptions,
        owner: &Owner,
        ids: &mut SubIds,
        out: &mut Outputs,
    ) -> SubId {
        self.fence(&options.source, owner.epoch, out);
        let sub = ids.issue();
        let demand = options.demand;
        let subscribe = Subscribe {
            pipeline: self.pipeline.clone(),
            producer: options.source.clone(),
            consumer: self.name.clone(),
            instance: self.instance.clone(),
            demand: overflow::stated(demand, options.when_full),
            select: options.select.clone(),
        };
        out.open(sub, owner.node.clone());
        out.send(sub, owner.epoch, Message::Subscribe(subscribe));
        if let Some(recent) = self.recent.get(&options.source).filter(|recent| recent.epoch == owner.epoch) {
            out.send(sub, owner.epoch, Message::Processed { runs: recent.runs.iter().copied().collect() });
        }
        let granted = self.first_ask(options);
        if granted > 0 {
            out.send(sub, owner.epoch, Message::Ask { granted: granted.into(), acked: Vec::new() });
        }
        let mut subscription = Subscription::new(options, owner.epoch, granted, self.gather.is_some());
        subscription.refills &= !self.suspended;
        self.subs.insert(sub, subscription);
        let (source, owner) = (options.source.clone(), owner.clone());
        out.notice(Notice::Subscribed { sub, source, owner });
        sub
    }

    fn remember(&mut self, sub: SubId, source: &StageName) {
        if let Some(upstream) = self.upstreams.iter_mut().find(|upstream| upstream.options.source == *source) {
            upstream.sub = Some(sub);
        }
    }

    /// Subscribes again where the time has come.
    pub(crate) fn on_timeout(&mut self, now: Duration, ids: &mut SubIds, out: &mut Outputs) {
        let due: Vec<_> = self
            .upstreams
            .iter_mut()
            .filter(|upstream| upstream.retry_at.is_some_and(|at| at <= now))
            .map(|upstream| {
                upstream.retry_at = None;
                (upstream.options.clone(), upstream.owner.clone())
            })
            .collect();
        for (options, owner) in due {
            let Some(owner) = owner else { continue };
            let sub = self.subscribe(&options, &owner, ids, out);
            self.remember(sub, &options.source);
        }
    }

    pub(crate) fn on_events(&mut self, now: Duration, sub: SubId, epoch: Epoch, events: Events, out: &mut Outputs) {
        let Some(subscription) = self.subs.get_mut(&sub).filter(|subscription| !subscription.ended) else {
            return self.refuse_unknown(sub, epoch, out);
        };
        match subscription.admit(epoch, &events) {
            Ok(()) if events.events.is_empty() || self.draining => {}
            Ok(()) => {
                let source = subscription.source.clone();
                if let Some(upstream) = self.upstreams.iter_mut().find(|upstream| upstream.options.source == source) {
                    upstream.backoff.reset();
                }
                let arrived = u32::try_from(events.events.len()).expect("a batch has fewer events than 2^32");
                match &mut self.gather {
                    Some(gather) => gather.add(now, sub, events),
                    None => self.queue.push_back(Queued::Events(sub, events)),
                }
                self.make_room(sub, arrived, out);
            }
            Err(reason) => {
                out.notice(Notice::Refused { sub, reason: reason.clone() });
                out.send(sub, epoch, Message::Cancel(reason.clone()));
                self.on_ended(sub, Ending::Cancelled, reason, out);
            }
        }
    }

    /// Events on a subscription that has ended. One whose end waits in the queue has its way until then.
    fn refuse_unknown(&self, sub: SubId, epoch: Epoch, out: &mut Outputs) {
        let reason = if self.is_fenced(sub) {
            out.notice(Notice::Refused { sub, reason: Reason::StaleEpoch });
            Reason::StaleEpoch
        } else {
            Reason::UnknownSubscription
        };
        out.send(sub, epoch, Message::Cancel(reason));
        out.close(sub);
    }

    /// We want to end a subscription; the producer's answer ends it. What is on its way until then
    /// is handled.
    pub(crate) fn cancel(&mut self, sub: SubId, reason: Reason, out: &mut Outputs) {
        if let Some(subscription) = self.subs.get(&sub) {
            out.send(sub, subscription.epoch, Message::Cancel(reason));
        }
    }

    /// The producer cancelled, or the way to it is gone.
    pub(crate) fn on_ended(&mut self, sub: SubId, ending: Ending, reason: Reason, out: &mut Outputs) {
        if let Some(subscription) = self.subs.get_mut(&sub).filter(|subscription| !subscription.ended) {
            subscription.ended = true;
            let coming = subscription.coming();
            self.keep_asked(sub, coming, out);
            // One that ends takes nothing more off the queue.
            if !self.draining {
                self.queue.push_back(Queued::Ended(sub, ending, reason));
            }
        }
    }

    /// A person sends a dead letter to this stage again.
    pub(crate) fn resend(&mut self, letter: Letter) {
        if !self.draining {
            self.queue.push_back(Queued::Resent(letter));
        }
    }

    /// These are done with: acknowledges them, and asks for more where it is time.
    pub(crate) fn acknowledge(&mut self, done: InHand, out: &mut Outputs) {
        if done.sub == SubId::RESENT {
            let InHand { source, epoch, runs, .. } = done;
            return out.notice(Notice::Resent { source, epoch, runs });
        }
        self.remember_processed(&done);
        let count = done.count();
        let Some(subscription) = self.subs.get_mut(&done.sub).filter(|subscription| !subscription.ended) else {
            return self.tell_processed(done, out);
        };
        subscription.count_done(count);
        self.grant_unsent(done.sub);
        let Some(subscription) = self.subs.get(&done.sub) else { return };
        let ask = Message::Ask { granted: subscription.granted, acked: done.runs };
        out.send(done.sub, subscription.epoch, ask);
    }

    fn remember_processed(&mut self, done: &InHand) {
        let upstream = self.upstreams.iter().find(|upstream| upstream.options.source == done.source);
        let Some(events_max) = upstream.map(|upstream| 2 * u64::from(upstream.options.demand.max())) else { return };
        let new = || Recent { epoch: done.epoch, runs: VecDeque::new(), events: 0 };
        let recent = self.recent.entry(done.source.clone()).or_insert_with(new);
        if recent.epoch < done.epoch {
            *recent = new();
        }
        if recent.epoch == done.epoch {
            recent.add(&done.runs, events_max);
        }
    }

    /// What was received on a subscription that was lost since; another to the same owner may stand.
    fn tell_processed(&mut self, done: InHand, out: &mut Outputs) {
        let standing = self.subs.iter().find(|(_, subscription)| subscription.is_with(&done.source, done.epoch));
        if let Some((sub, _)) = standing {
            out.send(*sub, done.epoch, Message::Processed { runs: done.runs });
        }
    }

    /// These could not be processed: their producer delivers them again, after a pause.
    pub(crate) fn give_back(&mut self, again: InHand, after: Duration, out: &mut Outputs) {
        let count = again.count();
        let Some(subscription) = self.subs.get_mut(&again.sub).filter(|subscription| !subscription.ended) else {
            return self.keep_asked(again.sub, count, out);
        };
        out.send(again.sub, subscription.epoch, Message::Retry { after, runs: again.runs });
        let granted = subscription.granted;
        subscription.count_done(count);
        if subscription.granted > granted {
            subscription.send_ask(again.sub, out);
        }
        // Its guest has asked for them, and is not to do so again.
        self.keep_asked(again.sub, count, out);
    }

    fn finish(
        &mut self,
        now: Duration,
        sub: SubId,
        ending: Ending,
        reason: Reason,
        out: &mut Outputs,
    ) -> Result<(), Reason> {
        let Some(subscription) = self.subs.remove(&sub) else { return Ok(()) };
        out.close(sub);
        out.notice(Notice::Ended { sub, ending, reason: reason.clone() });
        let stops = match subscription.cancel {
            CancelMode::Permanent => true,
            CancelMode::Transient => !reason.is_graceful(),
            CancelMode::Temporary => false,
        };
        if stops {
            return Err(reason);
        }
        if let Some(upstream) = self.upstreams.iter_mut().find(|upstream| upstream.sub == Some(sub)) {
            upstream.sub = None;
            upstream.retry_at = upstream.owner.as_ref().map(|_| now + upstream.backoff.fail());
        }
        Ok(())
    }

    /// Ends consuming in good order: what the guest has not begun is not begun any more, and nothing is
    /// asked for. `stop` gives it back to its producers, once the rest is acknowledged. What was gathered counts as
    /// begun.
    pub(crate) fn drain(&mut self) {
        self.draining = true;
        self.upstreams.clear();
        self.queue.clear();
        self.current = None;
    }

    /// Tells every producer that this consumer is gone. What came in meanwhile goes back to them.
    pub(crate) fn stop(&mut self, reason: &Reason, out: &mut Outputs) {
        self.queue.clear();
        self.current = None;
        self.give_up_gathered();
        for (sub, subscription) in std::mem::take(&mut self.subs) {
            if !subscription.ended {
                out.send(sub, subscription.epoch, Message::Cancel(reason.clone()));
            }
            out.close(sub);
        }
    }
}

/// Takes the numbers of the next `count` events.
pub(crate) fn take_runs(runs: &mut VecDeque<SeqRun>, mut count: usize) -> Vec<SeqRun> {
    let mut taken = Vec::new();
    while count > 0 {
        let Some(run) = runs.pop_front() else { break };
        let here = u32::try_from(count).unwrap_or(u32::MAX).min(run.count);
        taken.push(SeqRun { first: run.first, count: here });
        if here < run.count {
            runs.push_front(SeqRun { first: Seq(run.first.0 + u64::from(here)), count: run.count - here });
        }
        count -= here as usize;
    }
    taken
}

/// Gives out subscription ids, each once.
#[derive(Debug, Default)]
pub(crate) struct SubIds(u64);

impl SubIds {
    pub(crate) fn issue(&mut self) -> SubId {
        self.0 += 1;
        SubId(self.0)
    }
}
