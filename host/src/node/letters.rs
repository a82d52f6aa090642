//! Dead letters that an operator sends to their stages again.
//!
//! - `letters/desk.rs`: what a node answers about its letters.
//! - `letters/peer.rs`: requests about those of other nodes, and theirs about ours.

mod desk;
pub(super) mod peer;

use forebay_proto::names::GlobalName;

pub(super) use desk::LetterDesk;

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
        if letter.source == letter.stage {
            return self.ingest_again(&name, letter, id);
        }
        let owner = self.registry.lookup(&name).map(|claim| claim.node);
        let Some(running) = self.stage_mut(&name).and_then(|state| state.running.as_ref()) else {
            let here = &self.name;
            return Err(match owner {
                Some(owner) => format!(
                    "stage `{name}` does not run on {here}, but on {owner}: move it there (`forebay drain {owner}`) or wait"
                ),
                None => format!("stage `{name}` does not run on {here}"),
            });
        };
        let full = |_| format!("stage `{name}` has too many letters to try already; resend the rest later");
        running.resends.try_send(Box::new(Resend { id, letter })).map_err(full)
    }

    /// An event of the stage's inbox goes into that again; the letter goes once it is there.
    fn ingest_again(&mut self, name: &GlobalName, letter: Letter, id: LetterId) -> Result<(), String> {
        let scope = self.stage_mut(name).map(|state| state.settings.scope);
        let Some(scope) = scope else { return Err(format!("stage `{name}` may not run on {}", self.name)) };
        let (inbox, letters, name) = (self.durable.of(name, scope), self.letters.clone(), name.clone());
        // As a client of its own: the letter's number is taken once.
        let client = u128::from(self.boot.0) << 64 | u128::from(id.0);
        tokio::spawn(async move {
            match inbox.ingest(client, 1, letter.event).await {
                Ok(_) => drop(letters.remove(vec![id]).await),
                Err(error) => {
                    tracing::warn!(%name, %error, letter = %id, "the letter could not be put into the inbox again")
                }
            }
        });
        Ok(())
    }
}
