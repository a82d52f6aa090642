//! What a registry tells its node.

use std::net::SocketAddr;

use super::{Claim, GlobalName};
use crate::ids::{Epoch, Seq};

/// Something that the rest of the node must know.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Change {
    /// A checkpoint is on record, of whatever owner.
    Checkpoint {
        /// Of which name.
        name: GlobalName,
        /// Of its owner.
        epoch: Epoch,
        /// The one before.
        previous: Seq,
        /// Everything before this is settled.
        seq: Seq,
    },
    /// All that was agreed on before this node started is known here now. Told once, and only in quorum mode.
    Current,
    /// Something else is ordered of a stage: see [`Ordered`](crate::orders::Ordered).
    Ordered(GlobalName),
    /// A name has another owner now, or none.
    Owner {
        /// The name.
        name: GlobalName,
        /// The claim that stands.
        claim: Option<Claim>,
    },
    /// Two nodes that can reach each other own one name. Reported once by every node that sees it.
    /// Only in islands mode.
    Conflict {
        /// The claim that stands.
        winner: Claim,
        /// The claim that does not.
        loser: Claim,
    },
    /// This node has lost a name it owned, and not by its own word: its stage must end. In islands
    /// mode it drains; in quorum mode it is fenced, and nothing that it says counts any more.
    Lost {
        /// What was ours.
        claim: Claim,
        /// What stands instead, if anything does already.
        to: Option<Claim>,
    },
    /// Our own claims have changed: tell every peer. Only in islands mode.
    Announce,
    /// A checkpoint of a name of ours is on record here: tell every peer. Only in islands mode.
    Share(GlobalName),
    /// The group can be reached, or not, with the reason: while it cannot, global stages here wait.
    /// Only in quorum mode.
    Quorum {
        /// Whether owners here may go on.
        holds: bool,
        /// What is known of the cause.
        why: String,
    },
    /// This node leads its group now, or no more. Only in quorum mode, for whoever watches.
    Leads {
        /// Whether it does.
        leads: bool,
        /// The term in which that was seen.
        term: u64,
    },
    /// Where the members of the group were last reached: to be connected to. Only in quorum mode.
    Addresses(Vec<SocketAddr>),
    /// An operator has ordered that this node shall own nothing, or may again. Only in quorum mode.
    Draining(bool),
    /// This node was removed from the group, or its place was taken by other data of the same name:
    /// it must end. Only in quorum mode.
    Removed(String),
    /// What the registry keeps on disk cannot be used, or not written: the node must end, for it can
    /// promise nothing any more. Only in quorum mode.
    Failed(String),
}
