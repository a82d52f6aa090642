//! What a record says. The README of `host/check` lists the same as a table.

use serde::{Deserialize, Serialize};

use crate::values::{Boot, Epoch, Run, Text};

/// Something that happened, where and when.
///
/// Records of one (node, boot) are in the order of `n`, which counts from 0 without a gap.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Record {
    /// Unit: nanoseconds of `CLOCK_MONOTONIC`, which all processes of a machine share; in one process
    /// under virtual time, nanoseconds since its start.
    pub t_mono: u64,
    /// For people. Unit: milliseconds since 1970.
    pub t_wall: u64,
    /// Who says it; `fault` for whoever does the harm.
    pub node: Text,
    /// In which start of its process.
    pub boot: Boot,
    /// Counts this process's records.
    pub n: u64,
    /// What.
    #[serde(flatten)]
    pub event: Event,
}

/// Which end of a subscription.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// The one that asks and processes.
    Consumer,
    /// The one that emits and sends.
    Producer,
}

/// What happened.
///
/// `stage` is always `PIPELINE/STAGE`. At a producer `epoch` is its own. At a consumer `epoch` is that
/// of the `source`, and `own` that of the claim or start of the consuming stage; (node, boot, stage,
/// own) is one run of its guest. `sub` is the number of a subscription at the end that writes the
/// record; the two ends have different ones.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(tag = "ev")]
pub enum Event {
    /// The process runs a node.
    #[serde(rename = "node.start")]
    NodeStart {},
    /// The node has ended in good order.
    #[serde(rename = "node.stop")]
    NodeStop {},
    /// A peer is connected: its keys and its `Hello` were accepted.
    #[serde(rename = "peer.up")]
    PeerUp {
        /// Who.
        peer: Text,
        /// In which start of its process.
        peer_boot: Boot,
    },
    /// A peer is gone.
    #[serde(rename = "peer.down")]
    PeerDown {
        /// Who.
        peer: Text,
        /// Why it is taken for gone.
        reason: Text,
    },
    /// What this node is among those that agree.
    #[serde(rename = "role")]
    Role {
        /// `leader`, `follower`, `candidate` or `learner`.
        role: Text,
        /// In which term.
        term: u64,
    },

    /// This node was told that it owns a name.
    #[serde(rename = "claim.granted")]
    ClaimGranted {
        /// The name.
        stage: Text,
        /// In which epoch.
        epoch: Epoch,
        /// The checkpoint that came with the grant: the number of its last event.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ckpt: Option<u64>,
    },
    /// This node gave a name up.
    #[serde(rename = "claim.released")]
    ClaimReleased {
        /// The name.
        stage: Text,
        /// In which epoch it was held.
        epoch: Epoch,
    },
    /// This node learned that a name of its own is another's.
    #[serde(rename = "claim.lost")]
    ClaimLost {
        /// The name.
        stage: Text,
        /// In which epoch it was held.
        epoch: Epoch,
        /// Who has it, if anybody has already.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        to: Option<Text>,
        /// In which epoch.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        by: Option<Epoch>,
    },
    /// The state machine that all nodes share has applied a change of a claim.
    #[serde(rename = "claim.applied")]
    ClaimApplied {
        /// Place in the log.
        index: u64,
        /// The name.
        stage: Text,
        /// In which epoch.
        epoch: Epoch,
        /// Whose it is from here on; absent: nobody's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        owner: Option<Text>,
    },
    /// What this node has learned of who owns a name.
    #[serde(rename = "owner")]
    Owner {
        /// The name.
        stage: Text,
        /// Who; absent: nobody.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        owner: Option<Text>,
        /// In which epoch.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        epoch: Option<Epoch>,
    },
    /// This node may not count on its claims: it could not renew its lease.
    #[serde(rename = "lease.lost")]
    LeaseLost {},
    /// It may again.
    #[serde(rename = "lease.regained")]
    LeaseRegained {},
    /// A stage is held: nothing is asked of its guest and nothing sent.
    #[serde(rename = "suspended")]
    Suspended {
        /// Which.
        stage: Text,
        /// Its epoch.
        epoch: Epoch,
        /// Why.
        reason: Text,
    },
    /// A held stage goes on.
    #[serde(rename = "resumed")]
    Resumed {
        /// Which.
        stage: Text,
        /// Its epoch.
        epoch: Epoch,
    },

    /// A guest runs.
    #[serde(rename = "inst.start")]
    InstStart {
        /// Of which stage.
        stage: Text,
        /// Its epoch.
        epoch: Epoch,
        /// Of the plugin's file.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        digest: Option<Text>,
        /// The checkpoint it was restored from: the number of its last event.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ckpt: Option<u64>,
    },
    /// A guest has ended.
    #[serde(rename = "inst.stop")]
    InstStop {
        /// Of which stage.
        stage: Text,
        /// Its epoch.
        epoch: Epoch,
        /// How, and why.
        reason: Text,
    },

    /// A guest has returned events. They are numbered from `first` on.
    #[serde(rename = "emit")]
    Emit {
        /// The stage.
        stage: Text,
        /// Its epoch.
        epoch: Epoch,
        /// The number of the first.
        first: u64,
        /// How many.
        count: u64,
        /// What the call had asked for; absent where it had not, as when a producer-consumer returns.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        asked: Option<u64>,
        /// What the payloads say, where they are numbers and it was wished for.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        serials: Vec<Run>,
    },
    /// Events nobody asked for were dropped, as the buffer's settings say.
    #[serde(rename = "discarded")]
    Discarded {
        /// The stage.
        stage: Text,
        /// Its epoch.
        epoch: Epoch,
        /// How many.
        count: u64,
    },
    /// Numbers that no event has: a checkpoint took them, before which nothing was emitted.
    #[serde(rename = "skipped")]
    Skipped {
        /// The stage.
        stage: Text,
        /// Its epoch.
        epoch: Epoch,
        /// The first of them.
        first: u64,
        /// How many.
        count: u64,
    },
    /// A consumer has subscribed to this producer.
    #[serde(rename = "joined")]
    Joined {
        /// The producer.
        stage: Text,
        /// Its epoch.
        epoch: Epoch,
        /// The subscription.
        sub: u64,
        /// The consumer.
        consumer: Text,
        /// The consumer's node.
        to: Text,
    },
    /// A producer has heard what a consumer asks for.
    #[serde(rename = "demand")]
    Demand {
        /// The producer.
        stage: Text,
        /// Its epoch.
        epoch: Epoch,
        /// The subscription.
        sub: u64,
        /// All events ever asked for on it.
        granted: u64,
    },
    /// A producer sends events. Written before they leave.
    #[serde(rename = "send")]
    Send {
        /// The producer.
        stage: Text,
        /// Its epoch.
        epoch: Epoch,
        /// The subscription.
        sub: u64,
        /// The consumer.
        consumer: Text,
        /// The consumer's node.
        to: Text,
        /// 1 for the first delivery.
        attempt: u32,
        /// Their numbers.
        runs: Vec<Run>,
        /// What the payloads say.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        serials: Vec<Run>,
    },
    /// A producer takes an acknowledgement for its own.
    #[serde(rename = "ack.recv")]
    AckRecv {
        /// The producer.
        stage: Text,
        /// Its epoch.
        epoch: Epoch,
        /// The subscription.
        sub: u64,
        /// The consumer.
        consumer: Text,
        /// The consumer's node.
        from: Text,
        /// What was acknowledged.
        runs: Vec<Run>,
    },
    /// A producer refuses a message of another epoch than its own.
    #[serde(rename = "ack.rejected")]
    AckRejected {
        /// The producer.
        stage: Text,
        /// Its epoch.
        epoch: Epoch,
        /// The subscription.
        sub: u64,
        /// The epoch of the message.
        found: Epoch,
    },

    /// A consumer subscribes.
    #[serde(rename = "subscribed")]
    Subscribed {
        /// The consumer.
        stage: Text,
        /// Its epoch.
        own: Epoch,
        /// The producer.
        source: Text,
        /// The producer's epoch, as far as the consumer knows.
        epoch: Epoch,
        /// The subscription.
        sub: u64,
        /// The producer's node.
        from: Text,
        /// `max_demand`.
        max: u64,
        /// `min_demand`.
        min: u64,
    },
    /// A consumer takes events in.
    #[serde(rename = "recv")]
    Recv {
        /// The consumer.
        stage: Text,
        /// Its epoch.
        own: Epoch,
        /// The producer.
        source: Text,
        /// The producer's epoch.
        epoch: Epoch,
        /// The subscription.
        sub: u64,
        /// 1 for the first delivery.
        attempt: u32,
        /// Their numbers.
        runs: Vec<Run>,
        /// What the payloads say.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        serials: Vec<Run>,
    },
    /// A consumer refuses events of another epoch than its subscription's.
    #[serde(rename = "stale.rejected")]
    StaleRejected {
        /// The consumer.
        stage: Text,
        /// Its epoch.
        own: Epoch,
        /// The producer.
        source: Text,
        /// The epoch of the subscription.
        epoch: Epoch,
        /// The subscription.
        sub: u64,
        /// The epoch of the message.
        found: Epoch,
    },
    /// A consumer's guest has processed events.
    #[serde(rename = "handled")]
    Handled {
        /// The consumer.
        stage: Text,
        /// Its epoch.
        own: Epoch,
        /// The producer.
        source: Text,
        /// The producer's epoch.
        epoch: Epoch,
        /// The subscription.
        sub: u64,
        /// 1 for the first call with them.
        attempt: u32,
        /// Their numbers.
        runs: Vec<Run>,
        /// What the payloads say.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        serials: Vec<Run>,
    },
    /// A consumer's guest wants the call again.
    #[serde(rename = "retry")]
    Retry {
        /// The consumer.
        stage: Text,
        /// Its epoch.
        own: Epoch,
        /// The subscription.
        sub: u64,
        /// Which call it was.
        attempt: u32,
        /// The numbers of the events.
        runs: Vec<Run>,
    },
    /// A consumer acknowledges and asks. Written before it leaves.
    #[serde(rename = "ack.sent")]
    AckSent {
        /// The consumer.
        stage: Text,
        /// Its epoch.
        own: Epoch,
        /// The producer.
        source: Text,
        /// The producer's epoch.
        epoch: Epoch,
        /// The subscription.
        sub: u64,
        /// What is acknowledged.
        runs: Vec<Run>,
        /// All events ever asked for on it.
        granted: u64,
    },
    /// A subscription has ended here.
    #[serde(rename = "cancel")]
    Cancel {
        /// The stage at this end.
        stage: Text,
        /// Its epoch.
        own: Epoch,
        /// The subscription.
        sub: u64,
        /// Which end this is.
        side: Side,
        /// Why.
        reason: Text,
    },
    /// An event was given up after too many attempts, and recorded so that no one misses it unknowingly.
    #[serde(rename = "dead")]
    Dead {
        /// The producer.
        stage: Text,
        /// Its epoch.
        epoch: Epoch,
        /// Whose guest could not process it.
        consumer: Text,
        /// The numbers.
        runs: Vec<Run>,
        /// What the payloads say.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        serials: Vec<Run>,
    },

    /// An owner asks for its checkpoint to be recorded.
    #[serde(rename = "ckpt.proposed")]
    CkptProposed {
        /// The stage.
        stage: Text,
        /// Its epoch.
        epoch: Epoch,
        /// The number of the last event the record stands for.
        prev: Option<u64>,
        /// The number of the last event the checkpoint stands for.
        seq: u64,
    },
    /// A checkpoint is recorded.
    #[serde(rename = "ckpt.applied")]
    CkptApplied {
        /// The stage.
        stage: Text,
        /// The epoch of who proposed it.
        epoch: Epoch,
        /// The number of the last event of the one before.
        prev: Option<u64>,
        /// The number of the last event it stands for.
        seq: u64,
        /// Of its bytes.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        digest: Option<Text>,
    },
    /// A checkpoint, or another change, was refused: the name is held in another epoch.
    #[serde(rename = "ckpt.fenced")]
    CkptFenced {
        /// The stage.
        stage: Text,
        /// The epoch of who proposed it.
        epoch: Epoch,
        /// The epoch that stands.
        current: Epoch,
    },

    /// Harm begins. By the injector.
    #[serde(rename = "fault.begin")]
    FaultBegin {
        /// Tells the faults of a run apart.
        id: u64,
        /// What kind: `kill`, `pause`, `partition`, `one-way`, `loss`, `delay`, `restart`, `power`, …
        class: Text,
        /// The nodes it is done to.
        nodes: Vec<Text>,
        /// For people.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        detail: Option<Text>,
    },
    /// Harm is undone.
    #[serde(rename = "fault.end")]
    FaultEnd {
        /// Which.
        id: u64,
        /// Whether the injector itself saw that it had an effect (a process in state T, frames
        /// dropped); absent where only the trace can tell.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bit: Option<bool>,
    },
    /// Something a newer writer says.
    #[serde(other, rename = "unknown")]
    Unknown,
}
