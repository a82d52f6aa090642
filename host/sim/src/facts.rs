//! What happened in a run: the one log that laws are checked on and stories are printed from.
//!
//! Facts are written where things cross the edge of the core (what goes in, what comes out of the
//! pollers), never from what the core believes of itself.

use std::{collections::BTreeSet, fmt, sync::Arc, time::Duration};

use forebay_proto::{
    ids::{BootId, Epoch},
    message::{Demand, SeqRun},
    names::Claim,
    stage::{GuestNo, Role},
};

pub(crate) use forebay_proto::ids::Seq;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty), $letter:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
        pub(crate) struct $name(pub(crate) $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($letter, "{}"), self.0)
            }
        }
    };
}

number!(
    /// A node of the cluster, whatever its boot.
    NodeNo(u8), "n");
number!(
    /// A stage of the pipeline, wherever it runs.
    StageNo(u8), "s");
number!(
    /// One run of a stage's guest, never used again.
    InstanceNo(u32), "i");
number!(
    /// One subscription as both ends see it, never used again.
    StreamNo(u32), "#");

/// Who does something.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Instance {
    pub(crate) no: InstanceNo,
    pub(crate) node: NodeNo,
    pub(crate) stage: StageNo,
    /// As a producer.
    pub(crate) epoch: Epoch,
}

impl fmt::Display for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}@{} ({})", self.node, self.stage, self.epoch, self.no)
    }
}

/// An event, by what identifies it for ever.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct EventId {
    pub(crate) stage: StageNo,
    pub(crate) epoch: Epoch,
    pub(crate) seq: Seq,
}

/// One end of a subscription.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Side {
    Consumer,
    Producer,
}

impl Side {
    pub(crate) fn other(self) -> Self {
        match self {
            Self::Consumer => Self::Producer,
            Self::Producer => Self::Consumer,
        }
    }
}

/// Events in a message or a call: their numbers and contents.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Numbered {
    pub(crate) attempt: u32,
    pub(crate) runs: Vec<SeqRun>,
    pub(crate) payloads: Vec<Vec<u8>>,
}

impl Numbered {
    pub(crate) fn seqs(&self) -> impl Iterator<Item = Seq> + '_ {
        seqs(&self.runs)
    }
}

/// The numbers in `runs`, one by one.
pub(crate) fn seqs(runs: &[SeqRun]) -> impl Iterator<Item = Seq> + '_ {
    runs.iter().flat_map(|run| (run.first.0..run.end().0).map(Seq))
}

/// How an instance came to its end.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Exit {
    Drained,
    /// Draining took too long.
    Cut,
    Trapped,
    Stopped(String),
    NodeDied,
}

/// Something wrong done to the cluster.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Fault {
    Crash(NodeNo),
    Restart(NodeNo),
    /// The process stands still (SIGSTOP) for so long.
    Pause(NodeNo, Duration),
    /// Nothing gets from one to the other; the way back is left.
    Cut(NodeNo, NodeNo),
    Heal(NodeNo, NodeNo),
    /// Delays are multiplied, both ways.
    Slow(NodeNo, NodeNo, u32),
    /// A consumer ends one of its subscriptions.
    Cancel(NodeNo),
    /// A consuming stage is drained and started anew.
    Recycle(NodeNo),
    /// A stage is to have another number of guests.
    Resize(NodeNo),
    /// A message of an old epoch comes out of the network on some subscription.
    Stale(NodeNo),
}

#[derive(Clone, Debug)]
pub(crate) struct Fact {
    pub(crate) at: Duration,
    pub(crate) what: What,
}

#[derive(Clone, Debug)]
pub(crate) enum What {
    Fault(Fault),
    Calm,
    Closing,
    NodeStarted {
        node: NodeNo,
        boot: BootId,
    },
    Connected {
        one: NodeNo,
        other: NodeNo,
    },
    /// A node gives a connection up; whether it is because nothing came through for too long.
    Disconnected {
        node: NodeNo,
        peer: NodeNo,
        by_silence: bool,
    },
    /// A node hears a claim of a peer.
    Heard {
        node: NodeNo,
        boot: BootId,
        claim: Claim,
    },
    Claimed {
        stage: StageNo,
        node: NodeNo,
        boot: BootId,
        claim: Claim,
    },
    Released {
        stage: StageNo,
        node: NodeNo,
        epoch: Epoch,
    },
    Conflict {
        node: NodeNo,
        winner: Claim,
        loser: Claim,
    },
    Lost {
        node: NodeNo,
        stage: StageNo,
        epoch: Epoch,
    },
    Owner {
        node: NodeNo,
        stage: StageNo,
        claim: Option<Claim>,
    },
    Started {
        instance: Instance,
        role: Role,
    },
    Draining {
        instance: Instance,
    },
    /// A stage that drains and whose guest is idle, as a consumer, holds received messages back.
    Stuck {
        instance: Instance,
        queued: usize,
    },
    /// A stage wants to be woken at a time that has passed, and then does nothing.
    Spun {
        instance: Instance,
    },
    Ended {
        instance: Instance,
        exit: Exit,
    },
    Subscribed {
        stream: StreamNo,
        consumer: Instance,
        source: StageNo,
        epoch: Epoch,
        demand: Demand,
    },
    Joined {
        stream: StreamNo,
        producer: Instance,
    },
    /// Refused by a node or a stage.
    Refused {
        stream: StreamNo,
        stale: bool,
        why: String,
    },
    AskSent {
        stream: StreamNo,
        granted: u64,
        acked: Vec<SeqRun>,
    },
    AskTaken {
        stream: StreamNo,
        granted: u64,
        acked: Vec<SeqRun>,
    },
    /// Events are given back, to be delivered again.
    RetrySent {
        stream: StreamNo,
        runs: Vec<SeqRun>,
    },
    RetryTaken {
        stream: StreamNo,
        runs: Vec<SeqRun>,
    },
    /// Events of a subscription that was lost are told to be processed.
    ToldProcessed {
        stream: StreamNo,
        runs: Vec<SeqRun>,
    },
    /// Events are kept as dead letters.
    Lettered {
        consumer: Instance,
        source: StageNo,
        epoch: Epoch,
        runs: Vec<SeqRun>,
    },
    /// A stage has put its state on record, or starts with one: the events that it knows of.
    Recorded {
        instance: Instance,
        known: Arc<BTreeSet<EventId>>,
    },
    EventsSent {
        stream: StreamNo,
        events: Numbered,
    },
    EventsTaken {
        stream: StreamNo,
        events: Numbered,
    },
    /// A message of an old epoch was put into the stage at this end of the stream, in the wrong
    /// hands; what its host could see of it before and after.
    Forged {
        stream: StreamNo,
        to: Side,
        epoch: Epoch,
        before: Visible,
        after: Visible,
    },
    /// One end will neither send nor understand more.
    Closed {
        stream: StreamNo,
        side: Side,
        why: &'static str,
    },
    Demanded {
        producer: Instance,
        demand: u32,
    },
    /// A guest asks for events itself.
    Asked {
        consumer: Instance,
        source: StageNo,
        count: u32,
    },
    /// The call of `Demanded` is back.
    Answered {
        producer: Instance,
        /// It wants to be asked for so many again.
        retry: Option<u32>,
    },
    /// By a producer or producer-consumer, in the order of their numbers.
    Emitted {
        producer: Instance,
        payloads: Vec<Vec<u8>>,
    },
    Called {
        consumer: Instance,
        guest: GuestNo,
        stream: StreamNo,
        source: StageNo,
        epoch: Epoch,
        events: Numbered,
    },
    Processed {
        consumer: Instance,
        guest: GuestNo,
        stream: StreamNo,
        source: StageNo,
        epoch: Epoch,
        runs: Vec<SeqRun>,
    },
    WantsRetry {
        consumer: Instance,
        guest: GuestNo,
        stream: StreamNo,
        runs: Vec<SeqRun>,
    },
    Trapped {
        instance: Instance,
    },
    Recycled {
        instance: Instance,
    },
}

/// What a host can see of a stage.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Visible {
    pub(crate) unacked: usize,
    pub(crate) buffered: usize,
    pub(crate) queued: usize,
}

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>9.3}s  {}", self.at.as_secs_f64(), self.what)
    }
}

struct Runs<'a>(&'a [SeqRun]);

impl fmt::Display for Runs<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("nothing");
        }
        for (at, run) in self.0.iter().enumerate() {
            write!(f, "{}{}..{}", if at == 0 { "" } else { "," }, run.first.0, run.end().0)?;
        }
        Ok(())
    }
}

impl fmt::Display for Numbered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Runs(&self.runs))?;
        if self.attempt > 1 {
            write!(f, " (attempt {})", self.attempt)?;
        }
        Ok(())
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fault(fault) => write!(f, "--  FAULT {fault:?}"),
            Self::Calm => write!(f, "--  faults off"),
            Self::Closing => write!(f, "--  producers come to their end"),
            Self::NodeStarted { node, boot } => write!(f, "{node}  starts, boot {:x}", boot.0),
            Self::Connected { one, other } => write!(f, "{one}  connects with {other}"),
            Self::Disconnected { node, peer, by_silence } => {
                write!(f, "{node}  has lost {peer}{}", if *by_silence { ", it was silent too long" } else { "" })
            }
            Self::Heard { node, claim, .. } => write!(f, "{node}  hears that {}", Said(claim)),
            Self::Claimed { node, claim, .. } => write!(f, "{node}  claims: {}", Said(claim)),
            Self::Released { stage, node, epoch } => write!(f, "{node}  gives {stage}@{epoch} up"),
            Self::Conflict { node, winner, loser } => {
                write!(f, "{node}  name conflict: {} stands, {} does not", Said(winner), Said(loser))
            }
            Self::Lost { node, stage, epoch } => write!(f, "{node}  has lost {stage}@{epoch}"),
            Self::Owner { node, stage, claim: None } => write!(f, "{node}  knows no owner of {stage}"),
            Self::Owner { node, claim: Some(claim), .. } => write!(f, "{node}  owner: {}", Said(claim)),
            Self::Started { instance, role } => write!(f, "{instance} starts as {role}"),
            Self::Draining { instance } => write!(f, "{instance} drains"),
            Self::Stuck { instance, queued } => write!(f, "{instance} is STUCK draining with {queued} messages"),
            Self::Spun { instance } => write!(f, "{instance} SPINS"),
            Self::Ended { instance, exit } => write!(f, "{instance} ends: {exit:?}"),
            Self::Subscribed { stream, consumer, source, epoch, demand } => {
                let (max, min) = (demand.max(), demand.min());
                write!(f, "{consumer} subscribes {stream} to {source}@{epoch}, demand {max}/{min}")
            }
            Self::Joined { stream, producer } => write!(f, "{producer} accepts {stream}"),
            Self::Refused { stream, why, .. } => write!(f, "{stream} refused: {why}"),
            Self::AskSent { stream, granted, acked } => {
                write!(f, "{stream} -> ask, granted {granted}, acked {}", Runs(acked))
            }
            Self::AskTaken { stream, granted, acked } => {
                write!(f, "{stream} takes ask, granted {granted}, acked {}", Runs(acked))
            }
            Self::RetrySent { stream, runs } => write!(f, "{stream} -> retry {}", Runs(runs)),
            Self::RetryTaken { stream, runs } => write!(f, "{stream} takes retry {}", Runs(runs)),
            Self::ToldProcessed { stream, runs } => write!(f, "{stream} is told of processed {}", Runs(runs)),
            Self::Lettered { consumer, source, epoch, runs } => {
                write!(f, "{consumer} keeps dead letters of {source}@{epoch} {}", Runs(runs))
            }
            Self::Recorded { instance, known } => write!(f, "{instance} knows {} events on record", known.len()),
            Self::EventsSent { stream, events } => write!(f, "{stream} <- events {events}"),
            Self::EventsTaken { stream, events } => write!(f, "{stream} takes events {events}"),
            Self::Forged { stream, to, epoch, .. } => write!(f, "{stream} a message of epoch {epoch} to the {to:?}"),
            Self::Closed { stream, side, why } => write!(f, "{stream} closed by the {side:?}: {why}"),
            Self::Demanded { producer, demand } => write!(f, "{producer} guest is asked for {demand}"),
            Self::Asked { consumer, source, count } => write!(f, "{consumer} guest asks {source} for {count}"),
            Self::Answered { producer, retry } => {
                write!(
                    f,
                    "{producer} guest {}",
                    if retry.is_some() { "wants to be asked again" } else { "has answered" }
                )
            }
            Self::Emitted { producer, payloads } => write!(f, "{producer} emits {}", payloads.len()),
            Self::Called { consumer, guest, stream, source, epoch, events } => {
                write!(f, "{consumer} guest {} gets {source}@{epoch} {events} of {stream}", guest.0)
            }
            Self::Processed { consumer, guest, source, epoch, runs, .. } => {
                write!(f, "{consumer} guest {} has processed {source}@{epoch} {}", guest.0, Runs(runs))
            }
            Self::WantsRetry { consumer, guest, runs, .. } => {
                write!(f, "{consumer} guest {} wants {} again", guest.0, Runs(runs))
            }
            Self::Trapped { instance } => write!(f, "{instance} guest traps"),
            Self::Recycled { instance } => write!(f, "{instance} guest gives way to a fresh one"),
        }
    }
}

struct Said<'a>(&'a Claim);

impl fmt::Display for Said<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Claim { name, node, epoch, claimed_at_ms, progress, .. } = self.0;
        write!(f, "{node} owns {}@{epoch} since {claimed_at_ms}, progress {}", name.stage, progress.0)
    }
}
