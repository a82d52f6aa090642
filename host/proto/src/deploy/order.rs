//! What is proposed to the group about a pipeline.

use super::{
    DEPLOYMENTS_MAX, Deployment, Move, NewRevision, NotDeployed, PluginVersion, Report, SIGNATURE_BYTES_MAX, STAGES_MAX,
};
use crate::{
    blob::BlobInfo,
    ids::{NAME_BYTES_MAX, NodeName},
    names::quorum::WHY_BYTES_MAX,
};

/// A change of one pipeline's [`Deployment`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Order {
    /// A new revision begins its way.
    Deploy {
        /// The latest revision that its proposer knows of: another one meanwhile refuses it.
        after: u64,
        /// What is deployed.
        new: Box<NewRevision>,
    },
    /// A node says how a step went there.
    Report {
        /// Of which revision.
        revision: u64,
        /// Which step, see [`Rollout::at`](super::Rollout::at).
        at: u32,
        /// Which node.
        node: NodeName,
        /// What it says.
        report: Report,
    },
    /// The leader says what comes next.
    Advance {
        /// Of which revision.
        revision: u64,
        /// After which step.
        at: u32,
        /// What comes.
        to: Move,
    },
    /// An operator wants a revision taken back that is on its way.
    Back {
        /// Which.
        revision: u64,
        /// For the history.
        why: String,
    },
    /// All stages end in good order until it is resumed, or start again.
    Pause(bool),
    /// All stages end in good order, for good.
    Undeploy,
    /// What is kept of a pipeline that is not deployed goes: checkpoints, events in inboxes, and its revisions.
    Forget,
}

/// A plugin that nodes may use by its name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Offer {
    /// Its file.
    pub blob: BlobInfo,
    /// Who vouches for it: the text of a minisign signature.
    pub signature: Option<String>,
    /// The node it was found on.
    pub node: NodeName,
    /// Unit: milliseconds since 1970.
    pub at_ms: u64,
}

/// How many plugins a group knows by name.
pub const OFFERS_MAX: usize = 1000;

impl Order {
    /// Whether `peer` may propose this, as [`Ledger::allows`](crate::names::quorum::Ledger::allows).
    ///
    /// # Errors
    /// With the reason.
    pub fn allowed_of(&self, peer: &NodeName, is_known: bool, known: usize) -> Result<(), String> {
        let (speaks, why) = match self {
            Self::Deploy { new, .. } => {
                if !is_known && known >= DEPLOYMENTS_MAX {
                    return Err(format!("{DEPLOYMENTS_MAX} pipelines are deployed, and no more are allowed"));
                }
                check(new)?;
                (Some(&new.by), &new.why)
            }
            Self::Report { node, report: Report::Failed(why), .. } => (Some(node), why),
            Self::Report { node, .. } => (Some(node), &NOTHING),
            Self::Advance { .. } => return Err("only the leader itself conducts a roll-out".to_owned()),
            Self::Back { why, .. } => (None, why),
            Self::Pause(_) | Self::Undeploy | Self::Forget => (None, &NOTHING),
        };
        if why.len() > WHY_BYTES_MAX {
            return Err(format!("a reason of {} bytes, at most {WHY_BYTES_MAX} are allowed", why.len()));
        }
        match speaks.filter(|node| *node != peer) {
            Some(node) => Err(format!("{peer} speaks for {node}")),
            None => Ok(()),
        }
    }
}

const NOTHING: String = String::new();

fn check(new: &NewRevision) -> Result<(), String> {
    let (stages, steps) = (new.plugins.len(), new.steps.iter().map(|step| step.stages.len()).sum::<usize>());
    // What is replaced and what stops are two pipelines' stages.
    if stages == 0 || stages > STAGES_MAX || steps > 2 * STAGES_MAX || new.steps.len() > 2 * STAGES_MAX {
        return Err(format!("a pipeline of {stages} stages; 1 to {STAGES_MAX} can be deployed"));
    }
    if new.steps.is_empty() || new.steps.iter().any(|step| step.stages.is_empty()) {
        return Err("a revision without steps, or with an empty one".to_owned());
    }
    new.plugins.values().try_for_each(|plugin| match plugin {
        PluginVersion::Blob { signature: Some(signature), .. } => check_signature(signature),
        PluginVersion::Builtin(name) if name.len() > NAME_BYTES_MAX => {
            Err(format!("the name of a built-in stage with {} bytes; at most {NAME_BYTES_MAX} are taken", name.len()))
        }
        _ => Ok(()),
    })
}

/// # Errors
/// If it is too long to be one.
pub fn check_signature(signature: &str) -> Result<(), String> {
    match signature.len() {
        0..=SIGNATURE_BYTES_MAX => Ok(()),
        bytes => Err(format!("a signature of {bytes} bytes; at most {SIGNATURE_BYTES_MAX} are taken")),
    }
}

impl Deployment {
    /// Carries an order out; `Forget` is the ledger's.
    ///
    /// # Errors
    /// [`NotDeployed`].
    pub fn obey(&mut self, at_ms: u64, order: Order) -> Result<(), NotDeployed> {
        match order {
            Order::Deploy { after, new } => return self.deploy(at_ms, after, *new),
            Order::Report { revision, at, node, report } => self.report(at_ms, revision, at, node, report),
            Order::Advance { revision, at, to } => self.advance(at_ms, revision, at, to),
            Order::Back { revision, why } => self.back(at_ms, revision, why),
            Order::Pause(paused) => return self.pause(paused),
            Order::Undeploy => self.undeploy(at_ms),
            Order::Forget => {}
        }
        Ok(())
    }
}
