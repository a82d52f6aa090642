//! The inboxes of a group: events from outside for global stages, agreed on as everything else is.

use bytes::Bytes;

use super::{Command, Ledger, Outcome};
use crate::{
    ids::{Epoch, Seq},
    inbox::{Full, InboxQueue, NotTaken, Parcel},
    names::{Fenced, GlobalName},
};

/// How many stages of a group may have an inbox: each remembers its clients for good.
pub const INBOXES_MAX: usize = 256;

/// Bytes in all inboxes together. With all else below the longest snapshot that a member takes, 256 MiB: beyond
/// that no member could ever catch up.
pub const INBOXES_BYTES_MAX: u64 = 192 << 20;

impl Ledger {
    /// The inbox of a stage; `None` if nothing was ever put in.
    pub fn inbox(&self, name: &GlobalName) -> Option<&InboxQueue> {
        self.inboxes.get(name)
    }

    /// What would come of a command, if that is clear without proposing it: events that were taken before, or for
    /// which there is no room. So what is repeated, or refused, does not fill the log.
    ///
    /// Safe to say from any member's ledger: what it holds is agreed on. One that lags may say that there is no
    /// room when there is.
    pub fn foresee(&self, command: &Command) -> Option<Outcome> {
        let Command::Ingest { name, client, request, count, events } = command else { return None };
        match self.weigh(name, *client, *request, *count, events.len()) {
            Ok(first) => first.map(|first| Outcome::Ingested { first }),
            Err(why) => Some(why.into()),
        }
    }

    pub(super) fn ingest(
        &mut self,
        name: GlobalName,
        client: u128,
        request: u64,
        count: u32,
        events: Bytes,
    ) -> Outcome {
        let parcel = match Parcel::check(count, events) {
            Ok(parcel) => parcel,
            Err(error) => return Outcome::Refused(error.to_string()),
        };
        match self.weigh(&name, client, request, count, parcel.events().len()) {
            Ok(Some(first)) => return Outcome::Ingested { first },
            Ok(None) => {}
            Err(why) => return why.into(),
        }
        match self.inboxes.entry(name).or_default().ingest(client, request, &parcel) {
            Ok(placed) => Outcome::Ingested { first: placed.first },
            Err(why) => why.into(),
        }
    }

    pub(super) fn processed(&mut self, name: &GlobalName, epoch: Epoch, upto: u64) -> Outcome {
        let current = self.claim_of(name).map(|claim| (claim.epoch, claim.progress));
        if current.is_none_or(|(owner, _)| owner != epoch) {
            return Outcome::Fenced(Fenced { name: name.clone(), epoch, previous: upto, current });
        }
        let (processed, end) = match self.inboxes.get_mut(name) {
            Some(inbox) => (inbox.processed(upto), inbox.end()),
            None => (InboxQueue::default().processed(upto), 0),
        };
        // An owner that has processed what there never was is out of order, and must stop as well.
        let current = Some((epoch, Seq(end)));
        let beyond = |_| Outcome::Fenced(Fenced { name: name.clone(), epoch, previous: upto, current });
        processed.map_or_else(beyond, |_| Outcome::Done)
    }

    /// The rules of one inbox, and those of all of them.
    fn weigh(
        &self,
        name: &GlobalName,
        client: u128,
        request: u64,
        count: u32,
        bytes: usize,
    ) -> Result<Option<u64>, NotTaken> {
        let foreseen = match self.inboxes.get(name) {
            Some(inbox) => inbox.foresee(client, request, count, bytes)?,
            None if self.inboxes.len() >= INBOXES_MAX => {
                return Err(NotTaken::Refused(format!(
                    "{INBOXES_MAX} stages of this group have an inbox, and no more may"
                )));
            }
            None => InboxQueue::default().foresee(client, request, count, bytes)?,
        };
        let held: u64 = self.inboxes.values().map(InboxQueue::bytes).sum();
        match foreseen.is_some() || held + bytes as u64 <= INBOXES_BYTES_MAX {
            true => Ok(foreseen),
            false => Err(NotTaken::Full(Full::Group { bytes: held, bytes_max: INBOXES_BYTES_MAX })),
        }
    }
}

impl From<NotTaken> for Outcome {
    fn from(why: NotTaken) -> Self {
        match why {
            NotTaken::Full(full) => Self::Full(full),
            NotTaken::Refused(why) => Self::Refused(why),
        }
    }
}

#[cfg(test)]
mod tests;
