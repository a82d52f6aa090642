//! What a member may propose: for itself, and what operators order. Nothing in the name of another.

use super::{Command, Ledger};
use crate::{
    deploy::{OFFERS_MAX, check_signature},
    ids::NodeName,
    inbox::Parcel,
};

/// The longest reason for the history, in bytes.
pub const WHY_BYTES_MAX: usize = 1024;

/// How many names may ever be claimed in a group: each is kept for good.
pub const NAMES_MAX: usize = 10_000;

impl Ledger {
    /// Whether `peer` may propose this, as far as this ledger knows: it may lag, and then the command itself
    /// comes to nothing.
    ///
    /// # Errors
    /// With the reason.
    pub fn allows(&self, peer: &NodeName, command: &Command) -> Result<(), String> {
        match command {
            Command::Boot { node, .. } | Command::Claim { node, .. } if node != peer => {
                Err(format!("{peer} speaks for {node}"))
            }
            Command::Claim { name, .. } if self.record(name).is_none() && self.names.len() >= NAMES_MAX => {
                Err(format!("{NAMES_MAX} names are known in this group, and no more are allowed"))
            }
            Command::Release { why, .. } if why.len() > WHY_BYTES_MAX => {
                Err(format!("a reason of {} bytes, at most {WHY_BYTES_MAX} are allowed", why.len()))
            }
            Command::Release { name, epoch, .. }
            | Command::Checkpoint { name, epoch, .. }
            | Command::Processed { name, epoch, .. } => {
                let claim = self.record(name).and_then(|record| record.claim());
                match claim.filter(|claim| claim.epoch == *epoch && claim.node != *peer) {
                    Some(claim) => Err(format!("{peer} speaks for {}, who owns {name}", claim.node)),
                    None => Ok(()),
                }
            }
            Command::Vacate { .. } => Err("only the leader itself ends claims of others".to_owned()),
            Command::Admit { .. }
            | Command::Boot { .. }
            | Command::Claim { .. }
            | Command::Drain { .. }
            | Command::Remove { .. } => Ok(()),
            Command::Deployment { pipeline, order } => {
                order.allowed_of(peer, self.deployments.contains_key(pipeline), self.deployments.len())
            }
            Command::Offer { name, offer } => {
                if offer.node != *peer {
                    return Err(format!("{peer} speaks for {}", offer.node));
                }
                if self.offers.len() >= OFFERS_MAX && !self.offers.contains_key(name) {
                    return Err(format!("{OFFERS_MAX} plugins are known by name, and no more are allowed"));
                }
                offer.signature.as_deref().map_or(Ok(()), check_signature)
            }
            Command::StageOrder { name, by, .. } => match by.node == *peer {
                true => self.ordered.has_room(name),
                false => Err(format!("{peer} speaks for {}", by.node)),
            },
            // Any member may be sent events. What it cannot take is refused here, so that the log does not keep it.
            Command::Ingest { count, events, .. } => {
                Parcel::check(*count, events.clone()).map(drop).map_err(|error| error.to_string())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ids::{BootId, Epoch, Seq},
        names::{
            GlobalName,
            quorum::{MemberNo, Outcome, Proposal},
        },
    };

    fn node(name: &str) -> NodeName {
        name.parse().unwrap()
    }

    fn name() -> GlobalName {
        GlobalName { pipeline: "p".parse().unwrap(), stage: "s".parse().unwrap() }
    }

    fn boot(of: &str) -> Command {
        Command::Boot { node: node(of), member: MemberNo(1), boot: BootId(7), addr: None, pipelines: Vec::new() }
    }

    fn claim(of: &str) -> Command {
        Command::Claim { name: name(), node: node(of), boot: BootId(7), request: 1 }
    }

    /// `a` owns the name, in the epoch that is given.
    fn owned_by_a() -> (Ledger, Epoch) {
        let mut ledger = Ledger::default();
        let admit = Command::Admit { node: node("a"), store: 1, addr: None };
        let commands = [admit, boot("a"), claim("a")].into_iter().zip(1..);
        let outcomes = commands.map(|(command, index)| ledger.apply(index, Proposal { at_ms: 0, command }).outcome);
        match outcomes.last() {
            Some(Outcome::Claimed(claim)) => (ledger, claim.epoch),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn nobody_speaks_for_another() {
        let (ledger, epoch) = owned_by_a();
        let why = || "w".to_owned();
        let snapshot = bytes::Bytes::new();
        for command in [
            boot("a"),
            claim("a"),
            Command::Release { name: name(), epoch, why: why() },
            Command::Checkpoint { name: name(), epoch, previous: Seq(0), seq: Seq(1), snapshot },
            Command::Processed { name: name(), epoch, upto: 0 },
        ] {
            assert_eq!(ledger.allows(&node("a"), &command), Ok(()), "{command:?}");
            let refused = ledger.allows(&node("b"), &command).unwrap_err();
            assert!(refused.starts_with("b speaks for a"), "{refused}");
        }
        let vacate = Command::Vacate { node: node("b"), boot: BootId(7), why: why() };
        assert!(ledger.allows(&node("b"), &vacate).is_err(), "not even for itself");
        let order = Command::Drain { node: node("a"), drain: true };
        assert_eq!(ledger.allows(&node("b"), &order), Ok(()), "operators ask any node");
    }

    #[test]
    fn any_member_is_sent_events_but_none_that_cannot_be_read() {
        let (ledger, _) = owned_by_a();
        let ingest = |count, events| Command::Ingest { name: name(), client: 7, request: 1, count, events };
        let two = crate::batch::Batch::from_payloads(["x", "y"]).encode();
        assert_eq!(ledger.allows(&node("b"), &ingest(2, two.clone())), Ok(()));
        assert!(ledger.allows(&node("b"), &ingest(3, two.clone())).unwrap_err().contains("2 events, said to have 3"));
        assert!(ledger.allows(&node("b"), &ingest(2, two.slice(1..))).is_err());
        let long = crate::batch::Batch::from_payloads([vec![0; crate::inbox::PARCEL_BYTES_MAX]]).encode();
        assert!(ledger.allows(&node("b"), &ingest(1, long)).unwrap_err().contains("takes 1048576 at once"));
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let (mut ledger, epoch) = owned_by_a();
        let long = Command::Release { name: name(), epoch, why: "w".repeat(WHY_BYTES_MAX + 1) };
        assert!(ledger.allows(&node("a"), &long).unwrap_err().contains("a reason of 1025 bytes"));
        let another = |number: usize| {
            let name = GlobalName { pipeline: "p".parse().unwrap(), stage: format!("s{number}").parse().unwrap() };
            Command::Claim { name, node: node("a"), boot: BootId(7), request: 2 }
        };
        for number in 1..NAMES_MAX {
            assert_eq!(ledger.allows(&node("a"), &another(number)), Ok(()));
            ledger.apply(number as u64 + 9, Proposal { at_ms: 0, command: another(number) });
        }
        assert!(ledger.allows(&node("a"), &another(NAMES_MAX)).is_err());
        assert_eq!(ledger.allows(&node("a"), &another(1)), Ok(()), "it is known");
    }
}
