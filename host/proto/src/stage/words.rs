//! What goes into a stage's state machine, and what comes out.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;

use crate::{
    batch::Batch,
    checkpoints::Committed,
    consumer::{GatherBy, Owner, UpstreamOptions, take_runs},
    dispatch::AboveMax,
    ids::{Epoch, NodeName, Seq, StageName, SubId},
    message::{Envelope, Reason, SeqRun},
    producer::DemandMode,
    rate::RateLimit,
    requests::RequestNo,
    select::InstanceId,
};

/// Something happened.
#[derive(Debug)]
pub enum Input {
    /// A source has this owner now, or none that is known.
    Owner {
        /// The source.
        source: StageName,
        /// Its owner.
        owner: Option<Owner>,
    },
    /// Subscribe once, by hand, whatever the options say.
    Subscribe {
        /// To what and how.
        options: UpstreamOptions,
        /// Where it is.
        owner: Owner,
    },
    /// A message came in.
    Received {
        /// On which subscription.
        sub: SubId,
        /// What was said.
        envelope: Envelope,
    },
    /// Nothing more can come on this subscription or leave by it.
    Down {
        /// Which.
        sub: SubId,
        /// Why.
        reason: Reason,
    },
    /// We, as the consumer, want to end a subscription.
    Cancel {
        /// Which.
        sub: SubId,
        /// What to tell the producer.
        reason: Reason,
    },
    /// The call of this guest that was polled last has returned.
    Returned(GuestNo, Returned),
    /// So much memory a guest takes now: at its start, and after each call.
    Memory {
        /// Which.
        guest: GuestNo,
        /// All its memories together.
        bytes: u64,
    },
    /// The guest has events outside of any demand: from a timer, or from outside.
    Emit(Batch),
    /// Hold demand back, or let it through.
    SetDemandMode(DemandMode),
    /// The guest asks a source for more (GenStage's `ask/3`), during a call or after it. What is more than `max_demand`
    /// allows is cut off; what is asked for while the source has no owner is asked of the next.
    Asked {
        /// Of a subscription with [`AskMode::Manual`](crate::consumer::AskMode::Manual).
        source: StageName,
        /// Unit: events.
        count: u32,
    },
    /// As [`Input::Asked`], of a guest that has just begun, be it in the place of another one: what that one asked for
    /// and is still open is part of it.
    AskedAnew {
        /// As there.
        source: StageName,
        /// As there.
        count: u32,
    },
    /// Give the guest no more events and ask for none, until [`Input::Resume`]. The batch that it works on is finished;
    /// what else is here stays.
    Suspend,
    /// Go on after [`Input::Suspend`].
    Resume,
    /// No more events than this in a time from now on (Broadway's `update_rate_limiting`); `None`: as many as it can.
    SetRate(Option<RateLimit>),
    /// There are to be so many instances from now on; at least 1, and at most [`MAX_INSTANCES`].
    Resize(u32),
    /// A person sends a dead letter to its stage again, as one more attempt. [`Notice::Resent`] says when it was
    /// processed; until then the letter stays.
    Resend(Letter),
    /// Somebody asks the guest something. [`poll_answer`](super::Stage::poll_answer) gives the answer.
    Request {
        /// Counted by who hands it in.
        no: RequestNo,
        /// For the guest.
        request: Bytes,
        /// It is not made later than this.
        until: Duration,
    },
    /// What came of the last [`poll_commit`](super::Stage::poll_commit). That it came too late, of an owner
    /// that is none any more, is [`Input::Stop`] instead.
    Committed(Committed),
    /// Events of the inbox, as [`poll_fetch`](super::Stage::poll_fetch) has asked for.
    Arrived {
        /// The position of the first.
        first: u64,
        /// They themselves.
        events: Batch,
    },
    /// What came of the last [`poll_processed`](super::Stage::poll_processed).
    ProcessedRecorded(Committed),
    /// Letters of [`poll_letters`](super::Stage::poll_letters) are kept, or cannot be.
    Lettered {
        /// Which.
        letters: LettersNo,
        /// Whether they will be there after a crash.
        kept: bool,
    },
    /// End in good order: produce nothing new, hand out what there is.
    Drain(Reason),
    /// End now.
    Stop(Reason),
    /// The time of `poll_timeout` has come.
    Timeout,
}

/// One of the instances of a stage's plugin on its node.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct GuestNo(pub u32);

impl GuestNo {
    /// The one that there always is.
    pub const FIRST: Self = Self(0);
}

/// The most instances of one stage on one node.
pub const MAX_INSTANCES: u32 = 256;

/// How many instances of a stage run on one node, and how its events are divided among them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Concurrency {
    /// At least 1, and at most [`MAX_INSTANCES`].
    pub instances: u32,
    /// Events that are equal in this go to one instance, in order; others, and those that do not have it, to whichever is
    /// free. `None`: all go to whichever is free.
    pub by: Option<GatherBy>,
}

impl Default for Concurrency {
    fn default() -> Self {
        Self { instances: 1, by: Some(GatherBy::Key) }
    }
}

/// When a producer-consumer acknowledges what it made other events of.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Ack {
    /// Once its own events are acknowledged: nothing is lost with this stage or one behind it.
    #[default]
    Late,
    /// As soon as its guest has returned, as in GenStage: what it holds is lost with it.
    Early,
}

/// What happens to events that a guest could not process.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RetryPolicy {
    /// After so many attempts an event is a dead letter. At least 1.
    pub attempts: u32,
    /// The pause before the second attempt; each further one doubles it.
    pub backoff: Duration,
    /// The longest pause.
    pub backoff_max: Duration,
}

impl Default for RetryPolicy {
    /// Five attempts within three seconds: SEMANTICS 2.7.
    fn default() -> Self {
        Self { attempts: 5, backoff: Duration::from_millis(200), backoff_max: Duration::from_secs(30) }
    }
}

impl RetryPolicy {
    /// The pause after so many attempts.
    pub(crate) fn pause(&self, attempts: u32) -> Duration {
        let factor = 1_u32.checked_shl(attempts.saturating_sub(1)).unwrap_or(u32::MAX);
        self.backoff.saturating_mul(factor).min(self.backoff_max)
    }
}

/// Counts the rows of letters of one stage.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct LettersNo(pub u64);

/// An event that is not tried any more.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Letter {
    /// The stage that emitted it.
    pub source: StageName,
    /// In this epoch.
    pub epoch: Epoch,
    /// With this number.
    pub seq: Seq,
    /// How often it was delivered.
    pub attempts: u32,
    /// The guest's words, or what it did not survive.
    pub reason: String,
    /// The one event.
    pub event: Batch,
}

/// What came back from the guest. A fatal error, and a trap in another call than
/// [`Call::HandleEvents`], [`Call::HandleIngest`] and [`Call::HandleCall`], is [`Input::Stop`] instead.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Returned {
    /// From [`Call::HandleDemand`].
    Produced {
        /// The events.
        events: Batch,
        /// The producer has come to its end and is not to be asked again.
        finished: bool,
    },
    /// From [`Call::HandleEvents`].
    Processed {
        /// What to pass on; empty from a consumer.
        events: Batch,
        /// What could not be processed, each event once.
        rejected: Vec<Rejected>,
    },
    /// From [`Call::HandleIngest`]: what is emitted in their place.
    Ingested(Batch),
    /// From [`Call::Snapshot`]: the state.
    Snapshot(Bytes),
    /// From [`Call::Snapshot`]: the guest gave none, for this reason.
    NoSnapshot(String),
    /// From [`Call::HandleTick`]: the events, asked for or not; none of a consumer.
    Ticked(Batch),
    /// From [`Call::HandleCall`]: the guest's answer, or its error.
    Answered(Result<Bytes, String>),
    /// From [`Call::Renew`].
    Renewed,
    /// From [`Call::Retire`].
    Retired,
    /// From [`Call::Recycle`].
    Recycled {
        /// What the fresh guest takes.
        memory_bytes: u64,
    },
    /// From [`Call::Recycle`]: the guest is the one that was there before, for this reason.
    NotRecycled(String),
    /// From a call with events or with a request: the guest did not survive it, or took too long.
    Trapped(String),
    /// From either: the guest wants the call again, later. The same events; or to be asked for what
    /// is wanted then.
    Retry,
}

/// An event the guest could not process.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Rejected {
    /// Its index in the call's batch.
    pub index: u32,
    /// Whether another attempt may succeed.
    pub retry: bool,
    /// The guest's words.
    pub reason: String,
}

/// A call to make into the guest.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Call {
    /// Ask for events.
    HandleDemand {
        /// How many at most.
        demand: u32,
    },
    /// Hand over events.
    HandleEvents {
        /// On which subscription they came.
        sub: SubId,
        /// From which stage.
        source: StageName,
        /// In which epoch.
        epoch: Epoch,
        /// 1 the first time.
        attempt: u32,
        /// Their numbers.
        runs: Vec<SeqRun>,
        /// They themselves.
        events: Batch,
    },
    /// Hand over events of the stage's inbox.
    HandleIngest {
        /// The position of the first.
        first: u64,
        /// They themselves.
        events: Batch,
    },
    /// Its time has come.
    HandleTick,
    /// Ask it something.
    HandleCall {
        /// Whose answer it is.
        no: RequestNo,
        /// The question.
        request: Bytes,
    },
    /// Ask for the state.
    Snapshot,
    /// Start another guest in place of the one that did not survive its last call, or the first one of this number.
    Renew,
    /// Let the guest end: there are to be fewer.
    Retire,
    /// Start another guest in the place of one that is whole, for the memory it takes: with its state, if it has a
    /// checkpoint. That state is of this moment and is no checkpoint: what a guest that is renewed later begins with is
    /// still what [`Call::Snapshot`] gave last.
    Recycle,
}

impl Call {
    /// Takes the first `count` events off a call with events, as a call of their own; `None` of any other.
    pub(crate) fn take_front(&mut self, count: usize) -> Option<Self> {
        match self {
            Self::HandleEvents { sub, source, epoch, attempt, runs, events } => {
                let front = events.take_front(count);
                let mut rest = VecDeque::from(std::mem::take(runs));
                let of_front = take_runs(&mut rest, front.len());
                *runs = rest.into();
                let (sub, source, epoch, attempt) = (*sub, source.clone(), *epoch, *attempt);
                Some(Self::HandleEvents { sub, source, epoch, attempt, runs: of_front, events: front })
            }
            Self::HandleIngest { first, events } => {
                let (of_front, front) = (*first, events.take_front(count));
                *first += front.len() as u64;
                Some(Self::HandleIngest { first: of_front, events: front })
            }
            _ => None,
        }
    }
}

/// Something to do on the way to another stage. In order per subscription.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Transmit {
    /// Make a way for this subscription, to the source's owner on `node`.
    Open {
        /// Which.
        sub: SubId,
        /// Where to.
        node: NodeName,
    },
    /// Send. Harmless where the way is already closed.
    Send {
        /// On which subscription.
        sub: SubId,
        /// What.
        envelope: Envelope,
    },
    /// Nothing more will be sent or understood on this subscription.
    Close {
        /// Which.
        sub: SubId,
    },
}

/// How a subscription ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Ending {
    /// One side said so.
    Cancelled,
    /// The other side, or the way to it, is gone.
    Down,
}

/// Something worth a line in the log or a counter.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Notice {
    /// We subscribed to a source.
    Subscribed {
        /// The subscription.
        sub: SubId,
        /// To what.
        source: StageName,
        /// Where.
        owner: Owner,
    },
    /// A consumer subscribed to us.
    ConsumerJoined {
        /// The subscription.
        sub: SubId,
        /// Who.
        consumer: StageName,
    },
    /// A subscription ended (GenStage's `handle_cancel`).
    Ended {
        /// The subscription.
        sub: SubId,
        /// How.
        ending: Ending,
        /// Why.
        reason: Reason,
    },
    /// A message was refused.
    Refused {
        /// On which subscription.
        sub: SubId,
        /// Why.
        reason: Reason,
    },
    /// A consumer asks for more at once than the dispatcher expects.
    DemandAboveMax(AboveMax),
    /// Events were dropped because the stage could not keep up, as its subscription says.
    Dropped {
        /// On which subscription they came.
        sub: SubId,
        /// How many.
        count: u64,
    },
    /// The buffer overflowed and dropped events.
    Discarded {
        /// How many.
        count: u64,
    },
    /// Events were settled that no consumer selects.
    Unwanted {
        /// How many.
        count: u64,
    },
    /// Events were settled that belong to no partition.
    Unroutable {
        /// How many.
        count: u64,
        /// What was found of the first.
        found: String,
    },
    /// Copies were discarded that waited for a consumer that was lost: it was away for too long, or there were too many.
    GivenUp {
        /// The stage.
        consumer: StageName,
        /// Which instance of it; `None`: they share.
        instance: Option<InstanceId>,
        /// How many.
        count: u64,
    },
    /// The guest could not process events.
    Rejected {
        /// On which subscription they came.
        sub: SubId,
        /// Which, and why.
        rejected: Vec<Rejected>,
    },
    /// The guest did not survive a call with events; they are tried again on another.
    Trapped {
        /// What happened.
        why: String,
    },
    /// The guest did not survive a request; another takes its place.
    LostInRequest {
        /// What happened.
        why: String,
    },
    /// The guest gave no state to put on record; the former one stands.
    NoSnapshot {
        /// Its words.
        why: String,
    },
    /// Events are divided among so many instances now.
    Resized {
        /// How many.
        instances: u32,
    },
    /// Another guest has taken the place of one that took much memory.
    Recycled {
        /// What that one took.
        before_bytes: u64,
        /// What this one takes.
        after_bytes: u64,
    },
    /// No other guest could take its place; this is tried again later.
    NotRecycled {
        /// Why.
        why: String,
    },
    /// Events that were sent again by a person are processed.
    Resent {
        /// The stage that had emitted them.
        source: StageName,
        /// In this epoch.
        epoch: Epoch,
        /// With these numbers.
        runs: Vec<SeqRun>,
    },
    /// No event has these numbers: a checkpoint took them, before which nothing was emitted.
    Skipped(SeqRun),
    /// The producer has come to its end.
    Finished,
    /// A producer was told to subscribe; nothing came of it.
    NotAConsumer {
        /// To what.
        source: StageName,
    },
    /// A consumer was told to hold demand back; nothing came of it.
    NotAProducer,
    /// A producer was told to suspend its consumption; nothing came of it.
    NothingToSuspend,
    /// The guest asked for more than `max_demand` allows.
    AskCut {
        /// Of this source.
        source: StageName,
        /// So much.
        asked: u32,
        /// So much of it was asked for.
        granted: u32,
    },
    /// The guest asked a source that it cannot ask; nothing came of it.
    AskRefused {
        /// Which.
        source: StageName,
        /// Why, and what to do.
        why: &'static str,
    },
    /// The end of a subscription stops the stage.
    Stopping {
        /// Why.
        reason: Reason,
    },
}
