//! Going on alone, out of what one stopped member has, when a quorum is gone for good.

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use forebay_proto::{
    ids::NodeName,
    names::quorum::{GroupId, Ledger, MemberNo, Outcome, Proposal},
};

use super::{Home, HomeError, Place, join::new_group};
use crate::{
    registry::raft::{self, Machine, MemberId, RecoverError, Recovered, Survey},
    wall::now_ms,
};

/// What a stopped member has of its group.
#[derive(Debug)]
pub struct Remains {
    directory: PathBuf,
    node: NodeName,
    place: Place,
    group: GroupId,
    member: MemberNo,
    survey: Survey,
    ledger: Ledger,
}

/// A member cannot go on alone. Its data is as it was.
#[derive(Debug, thiserror::Error)]
pub enum NoRecovery {
    /// It never belonged to a group.
    #[error("{} holds no place in a group: there is nothing to recover", .0.display())]
    NoPlace(PathBuf),
    /// It does not any more.
    #[error("{0} was removed from its group; recover from another member's data")]
    Removed(NodeName),
    /// Its place cannot be read or written.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// Its log or state cannot be read, or not be written anew.
    #[error(transparent)]
    Store(#[from] RecoverError),
}

impl Remains {
    /// Reads what the stopped node `node` has in `directory`, its `raft` directory. Blocks.
    ///
    /// # Errors
    /// [`NoRecovery`].
    pub fn read(directory: &Path, node: &NodeName) -> Result<Self, NoRecovery> {
        let mut machine = LedgerOnly::default();
        // First, for it puts a directory in place that an interrupted recovery left beside.
        let survey = match raft::survey(directory, &mut machine) {
            Err(RecoverError::Empty(path)) => return Err(NoRecovery::NoPlace(path)),
            other => other?,
        };
        let no_place = || NoRecovery::NoPlace(directory.to_owned());
        let place = Home::look(directory, node)?.ok_or_else(no_place)?;
        let (group, member) = place.member.ok_or_else(no_place)?;
        if machine.0.node(node).is_none_or(|record| record.member != member) {
            return Err(NoRecovery::Removed(node.clone()));
        }
        Ok(Self {
            directory: directory.to_owned(),
            node: node.clone(),
            place,
            group,
            member,
            survey,
            ledger: machine.0,
        })
    }

    /// The group it belongs to.
    pub fn group(&self) -> GroupId {
        self.group
    }

    /// What the log holds.
    pub fn survey(&self) -> &Survey {
        &self.survey
    }

    /// The ledger as of the last entry.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The other voters, with where they were last reached, as far as that is known.
    pub fn other_voters(&self) -> Vec<(NodeName, Option<SocketAddr>)> {
        let others = self.survey.voters.iter().filter(|(member, _)| member.0 != self.member.0);
        others.map(|(_, node)| (node.clone(), self.ledger.node(node).and_then(|record| record.addr))).collect()
    }

    /// Makes it the only member of a new group, whose epochs are above all that the lost quorum gave.
    /// Former members must join anew, with fresh data. Blocks.
    ///
    /// # Errors
    /// [`NoRecovery`].
    pub fn recover(self) -> Result<(GroupId, Recovered), NoRecovery> {
        let at_ms = now_ms();
        let group = new_group();
        let place = Place { member: Some((group, self.member)), began: true, ..self.place };
        let mut machine = LedgerOnly::default();
        let recovered = raft::recover_with(
            &self.directory,
            MemberId(self.member.0),
            &self.node,
            &mut machine,
            |machine| machine.0.recover(&self.node, at_ms),
            |fresh| Home::Directory(fresh.to_owned()).save(&self.node, place).map_err(io::Error::other),
        )?;
        Ok((group, recovered))
    }
}

/// The ledger with nobody to be told of its changes.
#[derive(Default)]
struct LedgerOnly(Ledger);

impl Machine for LedgerOnly {
    fn apply(&mut self, index: u64, command: &[u8]) -> Vec<u8> {
        let outcome = match Proposal::decode(command) {
            Ok(proposal) => self.0.apply(index, proposal).outcome,
            Err(error) => Outcome::Refused(format!("the proposal cannot be read: {error}")),
        };
        outcome.encode().into()
    }

    fn snapshot(&self) -> Vec<u8> {
        self.0.encode().into()
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), String> {
        self.0 = Ledger::decode(snapshot).map_err(|error| format!("snapshot of the ledger: {error}"))?;
        Ok(())
    }
}
