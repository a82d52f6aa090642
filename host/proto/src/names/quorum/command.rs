//! What nodes propose to the group, and what comes of it.

use std::net::SocketAddr;

use bytes::Bytes;

use super::{MemberNo, PipelineRecord};
use crate::{
    deploy::{Offer, Order},
    ids::{BootId, Epoch, NodeName, PipelineName, PluginName, Seq},
    inbox::Full,
    names::{Claim, Fenced, GlobalName},
    orders::{By, StageOrder},
};

/// A command with the proposer's clock, which is for people: nothing is decided by it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Proposal {
    /// Unit: milliseconds since 1970.
    pub at_ms: u64,
    /// What is proposed.
    pub command: Command,
}

/// A change of the [`Ledger`](super::Ledger). Each may be applied twice, for a proposal whose answer
/// was lost is made again.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Command {
    /// Takes a node in. Its number is the place of this command in the log, so it is never given
    /// twice; a store that was admitted before keeps its number.
    Admit {
        /// By its certificate.
        node: NodeName,
        /// Random, made with the node's data: other data is another member, which must not vote for
        /// the former one.
        store: u64,
        /// Where it is reached, if it knows.
        addr: Option<SocketAddr>,
    },
    /// A process of an admitted node has started; claims of its former processes end.
    Boot {
        /// Which node.
        node: NodeName,
        /// Its member number: that of lost data is refused.
        member: MemberNo,
        /// The start.
        boot: BootId,
        /// Where it is reached, if it knows.
        addr: Option<SocketAddr>,
        /// What it runs.
        pipelines: Vec<PipelineRecord>,
    },
    /// Claims a name that has no owner, or anew for its owner: every instance needs an epoch.
    Claim {
        /// What.
        name: GlobalName,
        /// For which node.
        node: NodeName,
        /// For which start of it.
        boot: BootId,
        /// The proposer's number of this wish: made again, it gives the same claim.
        request: u64,
    },
    /// Gives a name up.
    Release {
        /// What.
        name: GlobalName,
        /// The claim's.
        epoch: Epoch,
        /// For the history.
        why: String,
    },
    /// Records how far a stage has come: a compare-and-set on epoch and former checkpoint.
    Checkpoint {
        /// Whose.
        name: GlobalName,
        /// The claim's.
        epoch: Epoch,
        /// The checkpoint it follows.
        previous: Seq,
        /// Everything before this is processed.
        seq: Seq,
        /// What the next owner's guest is given.
        snapshot: Bytes,
    },
    /// The leader's word that a process is not heard any more: its claims end.
    Vacate {
        /// Which node.
        node: NodeName,
        /// Which start of it; a later one is not touched.
        boot: BootId,
        /// For the history.
        why: String,
    },
    /// An operator's order: the node shall own nothing from now on, or may again.
    Drain {
        /// Which node.
        node: NodeName,
        /// Whether it drains.
        drain: bool,
    },
    /// An operator's order: the node is a member no more. Its number never comes back.
    Remove {
        /// Which node.
        node: NodeName,
    },
    /// Puts events from outside into a stage's inbox. The same request of a client is taken once, see
    /// [`InboxQueue::foresee`](crate::inbox::InboxQueue::foresee).
    Ingest {
        /// Whose inbox.
        name: GlobalName,
        /// Who sends them: random, chosen by itself.
        client: u128,
        /// The client's number of this request: rising.
        request: u64,
        /// How many events.
        count: u32,
        /// One encoded batch of at most [`PARCEL_BYTES_MAX`](crate::inbox::PARCEL_BYTES_MAX).
        events: Bytes,
    },
    /// Events of a stage's inbox are processed: a compare-and-set on the epoch. Never goes back.
    Processed {
        /// Whose inbox.
        name: GlobalName,
        /// The claim's.
        epoch: Epoch,
        /// Everything before this is processed.
        upto: u64,
    },
    /// Changes what is to run of a pipeline.
    Deployment {
        /// Which.
        pipeline: PipelineName,
        /// How.
        order: Order,
    },
    /// A plugin can be used by its name from now on, in place of the former one of that name.
    Offer {
        /// Its name.
        name: PluginName,
        /// Its file, and where it was found.
        offer: Offer,
    },
    /// A person's order to a stage, wherever it runs.
    StageOrder {
        /// Which stage, also one that every node has its own of.
        name: GlobalName,
        /// Who ordered it.
        by: By,
        /// What is ordered.
        order: StageOrder,
    },
}

/// What came of a command.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// It is so now.
    Done,
    /// The node is a member with this number.
    Admitted(MemberNo),
    /// The claim that stands now, and it is the proposer's.
    Claimed(Claim),
    /// The name is another node's.
    Held(Claim),
    /// The checkpoint is not that of the owner, or out of order.
    Fenced(Fenced),
    /// It cannot be so, and proposing it again will not help.
    Refused(String),
    /// The events are in the inbox.
    Ingested {
        /// The position of the first.
        first: u64,
    },
    /// There is no room for the events just now; nothing has changed.
    Full(Full),
}
