//! Dead letters that an operator sends to their stages again.

use forebay_proto::names::GlobalName;

use super::{core::Core, stage::Resend};
use crate::dlq::{Letter, LetterId};

/// What became of a letter that was to be resent; else why not.
pub(super) type Resent = (LetterId, Result<(), String>);

impl Core {
    pub(super) fn resend(&mut self, letters: Vec<(LetterId, Letter)>) -> Vec<Resent> {
        letters.into_iter().map(|(id, letter)| (id, self.redeliver(letter, id))).collect()
    }

    /// Gives a letter's event to its stage as another attempt. The letter stays until it is processed.
    ///
    /// # Errors
    /// With the reason: the stage does not run here, or has enough to do.
    fn redeliver(&mut self, letter: Letter, id: LetterId) -> Result<(), String> {
        let name = GlobalName { pipeline: letter.pipeline.clone(), stage: letter.stage.clone() };
        let owner = self.registry.lookup(&name).map(|claim| claim.node);
        let Some(running) = self.stage_mut(&name).and_then(|state| state.running.as_ref()) else {
            return Err(match owner {
                Some(owner) => format!(
                    "stage `{name}` does not run on this node, but on {owner}: move it here (`forebay drain {owner}`) or wait"
                ),
                None => format!("stage `{name}` does not run on this node"),
            });
        };
        let full = |_| format!("stage `{name}` has too many letters to try already; resend the rest later");
        running.resends.try_send(Resend { id, letter }).map_err(full)
    }
}
