//! The inboxes of a group: having events put in by a majority, and reading them from this member's ledger.

use forebay_proto::{
    ids::Epoch,
    inbox::{Full, InboxQueue, Parcel},
    names::{
        GlobalName,
        quorum::{Command, Outcome},
    },
};
use tokio::sync::watch;

use super::{Inner, QuorumRegistry};
use crate::registry::{CheckpointError, IngestError};

impl QuorumRegistry {
    /// Has events put into a stage's inbox. Once this returns their position, a majority has them on disk.
    ///
    /// # Errors
    /// [`IngestError::Full`], [`IngestError::Refused`], [`IngestError::Unknown`]. Bounded in time.
    ///
    /// # Cancel safety
    /// Whether they were taken is not known; ask again with the same numbers.
    pub async fn ingest(
        &self,
        name: &GlobalName,
        client: u128,
        request: u64,
        parcel: &Parcel,
    ) -> Result<u64, IngestError> {
        let (name, count, events) = (name.clone(), parcel.count(), parcel.events().clone());
        let command = Command::Ingest { name, client, request, count, events };
        let outcome = match self.inner.without_proposing(&command) {
            Some(outcome) => outcome,
            None => self.inner.propose(command).await.map_err(IngestError::Unknown)?,
        };
        match outcome {
            Outcome::Ingested { first } => Ok(first),
            Outcome::Full(full) => Err(IngestError::Full(full)),
            Outcome::Refused(why) => Err(IngestError::Refused(why)),
            other => Err(IngestError::Unknown(format!("an answer to something else: {other:?}"))),
        }
    }

    /// Has it recorded that events before `upto` are processed.
    ///
    /// # Errors
    /// [`CheckpointError`]. Bounded in time.
    ///
    /// # Cancel safety
    /// Whether it was recorded is not known; state it again.
    pub async fn processed(&self, name: &GlobalName, epoch: Epoch, upto: u64) -> Result<(), CheckpointError> {
        let command = Command::Processed { name: name.clone(), epoch, upto };
        match self.inner.propose(command).await.map_err(CheckpointError::Unknown)? {
            Outcome::Done => Ok(()),
            Outcome::Fenced(fenced) => Err(CheckpointError::Fenced(fenced)),
            other => Err(CheckpointError::Unknown(format!("an answer to something else: {other:?}"))),
        }
    }

    /// Looks at a stage's inbox as this member's ledger has it. `None`: nothing was ever put in, as far as it knows.
    pub fn read_inbox<R>(&self, name: &GlobalName, look: impl FnOnce(Option<&InboxQueue>) -> R) -> R {
        self.inner.agreed.read(|ledger| look(ledger.inbox(name)))
    }

    /// Told whenever events may have been put into any inbox. What was there before is not told.
    pub fn inbox_news(&self) -> watch::Receiver<()> {
        self.inner.agreed.inbox_news()
    }
}

impl Inner {
    /// What comes of a command that this node need not have agreed on: events that were taken before, and those
    /// that it has no room for.
    pub(super) fn without_proposing(&self, command: &Command) -> Option<Outcome> {
        // First, for what was taken stays taken on a full disk too.
        if let Some(outcome) = self.agreed.read(|ledger| ledger.foresee(command)) {
            return Some(outcome);
        }
        let low = matches!(command, Command::Ingest { .. }).then(|| self.options.room.check().err()).flatten()?;
        Some(Outcome::Full(Full::Disk { node: self.me.node.clone(), free: low.free, reserve: low.reserve }))
    }
}
