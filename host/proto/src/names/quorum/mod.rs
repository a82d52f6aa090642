//! Agreement by a quorum: what the nodes agree on, and what each decides by itself around it.
//!
//! - [`Ledger`]: the replicated state machine. Every node applies the same [`Command`]s in the same
//!   order and holds the same claims, epochs, checkpoints and node records.
//! - [`Leases`]: for the leader, whose claims to take away because their node is not heard any more.
//! - [`Tenure`]: for an owner, whether it may go on just now.
//! - [`voters()`]: which members vote.
//! - [`Founding`]: whether a node without data founds a group, joins one, or waits.
//!
//! Safety comes from epochs alone: an epoch is the place of the claim in the log, so no two claims
//! share one and a later one is higher. Leases only bound how long a former owner goes on.

mod allowed;
mod command;
mod deployments;
mod encoding;
mod founding;
mod history;
mod inboxes;
mod leases;
mod ledger;
mod ordered;
mod request;
mod snapshot;
mod voters;

pub use allowed::{NAMES_MAX, WHY_BYTES_MAX};
pub use command::{Command, Outcome, Proposal};
pub use encoding::EncodingError;
pub use founding::{Founding, Step, Stranger};
pub use history::{End, HISTORY_LEN, Term};
pub use inboxes::{INBOXES_BYTES_MAX, INBOXES_MAX};
pub use leases::{LEASE_DEFAULT, Leases, Tenure};
pub use ledger::{Applied, Checkpoint, Ledger, MemberNo, NodeRecord, PipelineRecord, Record};
pub use request::{Answer, GroupId, Request};
pub use voters::{Candidate, voters};
