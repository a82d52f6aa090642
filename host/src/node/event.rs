//! What a node tells whoever watches it: owners, conflicts, subscriptions, restarts, guests' lines.
//!
//! The same events become lines for people, JSON for programs, and what tests wait for.

use std::fmt;

use forebay_proto::{
    consumer::Owner,
    ids::{NodeName, StageName},
    message::Reason,
    names::Claim,
};

use crate::runtime::{GuestOutput, LineKind};

/// Something that happened on a node.
#[derive(Clone, Debug)]
pub enum NodeEvent {
    /// The node answers at this address.
    Listening(std::net::SocketAddr),
    /// A peer is connected.
    PeerUp(NodeName),
    /// A peer is gone.
    PeerDown {
        /// Who.
        peer: NodeName,
        /// Why it is taken for gone.
        reason: String,
    },
    /// This node owns a global stage now and has started it.
    Owner(Claim),
    /// Two nodes that can reach each other own one name.
    Conflict {
        /// Who keeps it.
        winner: Claim,
        /// Who does not.
        loser: Claim,
    },
    /// A stage runs here.
    Started {
        /// Which.
        stage: StageName,
    },
    /// A stage of ours has ended and will not be restarted by its supervisor.
    Stopped {
        /// Which.
        stage: StageName,
        /// Why.
        reason: String,
    },
    /// A stage of ours failed and starts again.
    Restarting {
        /// Which.
        stage: StageName,
        /// Why it failed.
        reason: String,
        /// How long until it starts.
        after: std::time::Duration,
    },
    /// A stage of ours failed too often and stays down here.
    GaveUp {
        /// Which.
        stage: StageName,
        /// What to look at.
        reason: String,
    },
    /// A stage of ours consumes from a source.
    Subscribed {
        /// The consumer.
        stage: StageName,
        /// The source.
        source: StageName,
        /// Where it is.
        owner: Owner,
    },
    /// A subscription of ours has ended.
    Unsubscribed {
        /// The stage.
        stage: StageName,
        /// Why.
        reason: Reason,
    },
    /// Something was refused or lost, and counted.
    Counted {
        /// Which stage.
        stage: StageName,
        /// What, and how many where it was several.
        what: String,
    },
    /// A fresh instance has taken the place of one that took much memory, with its state if it has a checkpoint.
    Recycled {
        /// Of which stage.
        stage: StageName,
        /// What that one took.
        before_bytes: u64,
        /// What this one takes.
        after_bytes: u64,
    },
    /// The events of a stage are divided among so many instances from now on.
    Resized {
        /// Which.
        stage: StageName,
        /// How many.
        instances: u32,
    },
    /// A producer has come to its end.
    Finished {
        /// Which.
        stage: StageName,
    },
    /// The group can be reached, or not: while it cannot, global stages of this node wait.
    Quorum {
        /// Whether they go on.
        holds: bool,
        /// What is known of the cause.
        why: String,
    },
    /// A global stage of ours was given to another node, or nobody, without our word: it ends.
    Fenced {
        /// Our claim that is none any more.
        claim: Claim,
        /// What stands instead, if anything does already.
        to: Option<Claim>,
    },
    /// An operator has ordered that this node shall own nothing, or may again.
    DrainOrdered(bool),
    /// The node takes part in its group no more, with the reason, and ends.
    Expelled(String),
    /// The node is shutting down.
    Draining,
}

/// Takes a node's events and its guests' lines. Called from tasks, so it must not block for long.
pub trait Observer: GuestOutput {
    /// Something happened.
    fn event(&self, node: &NodeName, event: &NodeEvent);
}

/// Drops everything.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl GuestOutput for Silent {
    fn line(&self, _: &StageName, _: LineKind, _: &str) {}

    fn dropped(&self, _: &StageName, _: u64) {}
}

impl Observer for Silent {
    fn event(&self, _: &NodeName, _: &NodeEvent) {}
}

impl fmt::Display for NodeEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listening(addr) => write!(f, "listening on {addr}"),
            Self::PeerUp(peer) => write!(f, "connected to {peer}"),
            Self::PeerDown { peer, reason } => write!(f, "lost {peer}: {reason}"),
            Self::Owner(claim) => write!(f, "owns `{}` in epoch {}", claim.name.stage, claim.epoch),
            Self::Conflict { winner, loser } => write!(
                f,
                "name conflict: `{}` is owned by {} (epoch {}) and {} (epoch {}); {} keeps it",
                winner.name.stage, winner.node, winner.epoch, loser.node, loser.epoch, winner.node
            ),
            Self::Started { stage } => write!(f, "started `{stage}`"),
            Self::Stopped { stage, reason } => write!(f, "stopped `{stage}`: {reason}"),
            Self::Restarting { stage, reason, after } => {
                write!(f, "`{stage}` failed, starts again in {after:?}: {reason}")
            }
            Self::GaveUp { stage, reason } => write!(f, "`{stage}` stays down: {reason}"),
            Self::Subscribed { stage, source, owner } => {
                write!(f, "`{stage}` subscribed to `{source}` on {} (epoch {})", owner.node, owner.epoch)
            }
            Self::Unsubscribed { stage, reason } => write!(f, "a subscription of `{stage}` ended: {reason}"),
            Self::Counted { stage, what } => write!(f, "`{stage}`: {what}"),
            Self::Recycled { stage, before_bytes, after_bytes } => {
                write!(
                    f,
                    "a fresh instance of `{stage}` took over: {after_bytes} bytes of memory instead of {before_bytes}"
                )
            }
            Self::Resized { stage, instances: 1 } => write!(f, "`{stage}` runs in one instance"),
            Self::Resized { stage, instances } => write!(f, "`{stage}` runs in {instances} instances"),
            Self::Finished { stage } => write!(f, "`{stage}` has come to its end"),
            Self::Quorum { holds: true, why } => write!(f, "global stages go on: {why}"),
            Self::Quorum { holds: false, why } => write!(f, "no quorum, global stages wait: {why}"),
            Self::Fenced { claim, to: Some(to) } => {
                write!(
                    f,
                    "`{}` is owned by {} now (epoch {}); ours of epoch {} ends",
                    claim.name.stage, to.node, to.epoch, claim.epoch
                )
            }
            Self::Fenced { claim, to: None } => {
                write!(f, "`{}` was taken from this node; ours of epoch {} ends", claim.name.stage, claim.epoch)
            }
            Self::DrainOrdered(true) => write!(f, "ordered to drain: its global stages move to other nodes"),
            Self::DrainOrdered(false) => write!(f, "ordered to take part again"),
            Self::Expelled(why) => write!(f, "takes part no more: {why}"),
            Self::Draining => write!(f, "shutting down"),
        }
    }
}
