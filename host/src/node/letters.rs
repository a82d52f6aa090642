//! Dead letters that an operator sends to their stages again.

use forebay_proto::names::GlobalName;

use super::core::Core;
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
    /// With the reason: the stage does not run here.
    pub(super) fn redeliver(&mut self, letter: Letter, _id: LetterId) -> Result<(), String> {
        let name = GlobalName { pipeline: letter.pipeline, stage: letter.stage };
        let running = self.stage_mut(&name).is_some_and(|state| state.running.is_some());
        Err(match running {
            true => format!("stage `{name}` runs here, but takes no event in again"),
            false => format!("stage `{name}` does not run on this node"),
        })
    }
}
