//! Who owns which global name: claims, their order, and when to make one.
//!
//! - [`Claim`] and its order ([`Claim::beats`]): which of two claims of one name stands.
//! - [`Islands`]: the table of a node that agrees with whom it can reach, and with nobody else.
//! - [`Placement`]: when this node should claim a name that has no owner.
//! - [`quorum`]: the table that a majority agrees on.
//! - [`preference`]: which node should own a name, by rendezvous hashing.

mod change;
mod islands;
mod merge;
mod placement;
mod prefer;
pub mod quorum;

pub use change::Change;
pub use islands::{Fenced, Islands};
pub use merge::merge;
pub use placement::Placement;
pub use prefer::preference;

use std::{cmp::Reverse, fmt};

use crate::ids::{BootId, Epoch, NodeName, PipelineName, Seq, StageName};

/// The name of a stage that has one owner in the cluster.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct GlobalName {
    /// The pipeline it belongs to; names of different pipelines never clash.
    pub pipeline: PipelineName,
    /// The stage.
    pub stage: StageName,
}

impl fmt::Display for GlobalName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.pipeline, self.stage)
    }
}

/// One node's claim to own a name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Claim {
    /// What is claimed.
    pub name: GlobalName,
    /// Who claims it.
    pub node: NodeName,
    /// In which start of its process.
    pub boot: BootId,
    /// Higher than any the node knew of for this name.
    pub epoch: Epoch,
    /// When, on the claiming node's clock. Unit: milliseconds since 1970. Only ever compared with
    /// other claims; a wrong clock changes which of two equal claims stands, nothing else.
    pub claimed_at_ms: u64,
    /// The last checkpoint. Zero: none.
    pub progress: Seq,
}

impl Claim {
    /// Whether this claim stands against `other` when two islands meet.
    ///
    /// Most progress, then the higher epoch, then the older claim, then the lower node name. It is a
    /// total order over claims of one name, so that all nodes come to the same winner in whatever
    /// order they meet. The epoch goes before the age because it counts successions: whoever took
    /// over from a node that was thought dead stands against that node when it comes back, and a
    /// fresh node does not win against an island with a history.
    pub fn beats(&self, other: &Self) -> bool {
        self.rank() > other.rank()
    }

    fn rank(&self) -> impl Ord + '_ {
        let identity = Reverse((&self.node, self.boot, self.epoch.tag));
        (self.progress, self.epoch.lamport, Reverse(self.claimed_at_ms), identity)
    }
}
