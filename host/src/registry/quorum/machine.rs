//! The ledger as the consensus protocol drives it, and what this node makes of its changes.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use forebay_proto::{
    ids::{BootId, Epoch, NodeName},
    names::{
        Change, Claim, GlobalName,
        quorum::{Applied, Command, Ledger, Outcome, Proposal, Record},
    },
    orders::OrderBook,
};
use tokio::sync::{Notify, watch};

use crate::registry::raft::Machine;

/// The ledger as this node has applied it, with the changes that its node was not told yet.
#[derive(Debug)]
pub(super) struct Agreed {
    node: NodeName,
    boot: BootId,
    table: Mutex<Table>,
    changed: Notify,
    /// Events may have been put into an inbox.
    ingested: watch::Sender<()>,
    /// What is to run, or can be, is another.
    deployed: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Table {
    ledger: Ledger,
    /// Claims that the group has granted this node and that are not in its own ledger yet: a follower
    /// hears what is agreed on with the next message of the leader.
    granted: BTreeMap<GlobalName, Claim>,
    changes: VecDeque<Change>,
    /// The node was told that its ledger has its own start.
    is_current: bool,
}

impl Agreed {
    pub(super) fn new(node: NodeName, boot: BootId) -> Arc<Self> {
        let (ingested, deployed) = (watch::Sender::new(()), watch::Sender::new(()));
        Arc::new(Self { node, boot, table: Mutex::default(), changed: Notify::new(), ingested, deployed })
    }

    /// A panic while the lock was held would have been in code of ours that changes the table in
    /// steps that leave it whole.
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at the ledger.
    pub(super) fn read<R>(&self, look: impl FnOnce(&Ledger) -> R) -> R {
        look(&self.table().ledger)
    }

    /// Who owns `name`, also by a claim that was granted a moment ago.
    pub(super) fn lookup(&self, name: &GlobalName) -> Option<Claim> {
        self.table().standing(name).cloned()
    }

    /// Whether that claim stands. Known before the node was told of its end.
    pub(super) fn stands(&self, name: &GlobalName, epoch: Epoch) -> bool {
        self.table().standing(name).map(|claim| claim.epoch) == Some(epoch)
    }

    /// The claims of this process.
    pub(super) fn own(&self) -> Vec<Claim> {
        let table = self.table();
        let names = table.ledger.names().map(|(name, _)| name).chain(table.granted.keys());
        let claims: BTreeMap<_, _> = names.filter_map(|name| Some((name, table.standing(name)?))).collect();
        claims.into_values().filter(|claim| self.is_ours(claim)).cloned().collect()
    }

    /// The group has granted this claim.
    pub(super) fn grant(&self, claim: Claim) {
        let mut table = self.table();
        let is_known = table.ledger.record(&claim.name).is_some_and(|record| record.last_epoch() >= claim.epoch);
        if is_known || table.granted.get(&claim.name).is_some_and(|other| other.epoch >= claim.epoch) {
            return;
        }
        table.changes.push_back(Change::Owner { name: claim.name.clone(), claim: Some(claim.clone()) });
        table.granted.insert(claim.name.clone(), claim);
        drop(table);
        self.changed.notify_one();
    }

    /// Tells the node something.
    pub(super) fn tell(&self, change: Change) {
        self.table().changes.push_back(change);
        self.changed.notify_one();
    }

    /// The next change.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(super) async fn next_change(&self) -> Change {
        loop {
            // Registered before the look, so that a change in between is not missed.
            let changed = self.changed.notified();
            if let Some(change) = self.table().changes.pop_front() {
                return change;
            }
            changed.await;
        }
    }

    /// Told whenever events may have been put into an inbox.
    pub(super) fn inbox_news(&self) -> watch::Receiver<()> {
        self.ingested.subscribe()
    }

    /// Told whenever what is to run, or can be, may be another.
    pub(super) fn deployment_news(&self) -> watch::Receiver<()> {
        self.deployed.subscribe()
    }

    fn is_ours(&self, claim: &Claim) -> bool {
        claim.node == self.node && claim.boot == self.boot
    }

    fn apply(&self, index: u64, proposal: Proposal) -> Outcome {
        let mut table = self.table();
        let ours = |table: &Table, name: &GlobalName| table.standing(name).filter(|claim| self.is_ours(claim)).cloned();
        let is_ingest = matches!(proposal.command, Command::Ingest { .. });
        // Whoever gave a name up knows of it; the others change no owner, and come often.
        let told = matches!(
            proposal.command,
            Command::Release { .. }
                | Command::Claim { .. }
                | Command::Checkpoint { .. }
                | Command::Ingest { .. }
                | Command::Processed { .. }
                | Command::Deployment { .. }
                | Command::Offer { .. }
                | Command::StageOrder { .. }
        );
        // A deployment takes orders away with their stages.
        let orders = matches!(proposal.command, Command::StageOrder { .. } | Command::Deployment { .. });
        let orders = orders.then(|| table.ledger.ordered().clone());
        let before: BTreeMap<_, _> = match told {
            true => BTreeMap::new(),
            false => table.ledger.names().filter_map(|(name, _)| Some((name.clone(), ours(&table, name)?))).collect(),
        };
        let checkpoint = checkpoint_of(&proposal.command);
        let Applied { outcome, changed, deployed } = table.ledger.apply(index, proposal);
        if outcome == Outcome::Done {
            table.changes.extend(checkpoint);
        }
        if let Some(before) = orders {
            table.tell_orders(&before);
        }
        self.tell_current(&mut table);
        for name in changed {
            let claim = table.ledger.claim_of(&name).cloned();
            if let Some(lost) = before.get(&name).filter(|own| table.has_lost(own)) {
                table.changes.push_back(Change::Lost { claim: lost.clone(), to: claim.clone() });
            }
            table.settle(&name, claim);
        }
        drop(table);
        self.changed.notify_one();
        if is_ingest {
            self.ingested.send_replace(());
        }
        if deployed {
            self.deployed.send_replace(());
        }
        outcome
    }

    /// Takes over a ledger that was sent: what has changed by it is told as if it had just happened.
    fn replace(&self, ledger: Ledger) {
        let mut table = self.table();
        let names: Vec<_> = table.ledger.names().chain(ledger.names()).map(|(name, _)| name.clone()).collect();
        let before: BTreeMap<_, _> =
            names.into_iter().map(|name| (name.clone(), table.standing(&name).cloned())).collect();
        let former = std::mem::replace(&mut table.ledger, ledger);
        table.tell_orders(former.ordered());
        for (name, before) in before {
            let after = table.ledger.claim_of(&name).cloned();
            if before.as_ref().map(identity) == after.as_ref().map(identity) {
                continue;
            }
            if let Some(claim) = before.filter(|claim| self.is_ours(claim) && table.has_lost(claim)) {
                table.changes.push_back(Change::Lost { claim, to: after.clone() });
            }
            table.settle(&name, after);
        }
        self.tell_current(&mut table);
        drop(table);
        self.changed.notify_one();
        self.ingested.send_replace(());
        self.deployed.send_replace(());
    }

    /// Once the ledger has this start of the node it has all that was agreed on before.
    fn tell_current(&self, table: &mut Table) {
        if !table.is_current && table.ledger.node(&self.node).is_some_and(|node| node.boot == Some(self.boot)) {
            table.is_current = true;
            table.changes.push_back(Change::Current);
        }
    }
}

impl Table {
    fn standing(&self, name: &GlobalName) -> Option<&Claim> {
        let record = self.ledger.record(name);
        let last = record.map(Record::last_epoch).unwrap_or_default();
        let granted = self.granted.get(name).filter(|claim| claim.epoch > last);
        granted.or_else(|| record?.claim())
    }

    /// Whether the ledger has come to know of this claim and has another, or none, by now. A claim that
    /// was granted and that the ledger is still to hear of is not lost by what was agreed on before.
    fn has_lost(&self, own: &Claim) -> bool {
        let record = self.ledger.record(&own.name);
        let is_known = record.is_some_and(|record| own.epoch <= record.last_epoch());
        is_known && record.and_then(Record::claim).map(identity) != Some(identity(own))
    }

    /// Tells of which stages something else is ordered than before.
    fn tell_orders(&mut self, before: &OrderBook) {
        let names = self.ledger.ordered().differences(before);
        self.changes.extend(names.into_iter().map(Change::Ordered));
    }

    /// The ledger says now that this claim stands.
    fn settle(&mut self, name: &GlobalName, claim: Option<Claim>) {
        let granted = self.granted.get(name).map(|granted| granted.epoch);
        let last = self.ledger.record(name).map(Record::last_epoch);
        let (granted, last) = (granted.unwrap_or_default(), last.unwrap_or_default());
        // Something that happened before a grant that was told already.
        if granted > last {
            return;
        }
        self.granted.remove(name);
        let is_told = granted == last && claim.as_ref().is_some_and(|claim| claim.epoch == granted);
        if !is_told {
            self.changes.push_back(Change::Owner { name: name.clone(), claim });
        }
    }
}

fn checkpoint_of(command: &Command) -> Option<Change> {
    match command {
        Command::Checkpoint { name, epoch, previous, seq, .. } => {
            Some(Change::Checkpoint { name: name.clone(), epoch: *epoch, previous: *previous, seq: *seq })
        }
        _ => None,
    }
}

/// What makes a claim that claim: its progress does not.
fn identity(claim: &Claim) -> (&NodeName, BootId, Epoch) {
    (&claim.node, claim.boot, claim.epoch)
}

/// What the consensus protocol drives.
#[derive(Debug)]
pub(super) struct LedgerMachine(pub(super) Arc<Agreed>);

impl Machine for LedgerMachine {
    fn apply(&mut self, index: u64, command: &[u8]) -> Vec<u8> {
        let outcome = match Proposal::decode(command) {
            Ok(proposal) => self.0.apply(index, proposal),
            // Every member comes to the same, so they stay equal.
            Err(error) => Outcome::Refused(format!("the proposal cannot be read: {error}")),
        };
        outcome.encode().into()
    }

    fn snapshot(&self) -> Vec<u8> {
        self.0.read(Ledger::encode).into()
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), String> {
        let ledger = Ledger::decode(snapshot).map_err(|error| format!("snapshot of the ledger: {error}"))?;
        self.0.replace(ledger);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use forebay_proto::{
        ids::Seq,
        names::quorum::MemberNo,
        orders::{By, StageOrder},
    };

    use super::*;

    const BOOT: BootId = BootId(7);

    fn node() -> NodeName {
        "a".parse().unwrap()
    }

    fn name() -> GlobalName {
        GlobalName { pipeline: "p".parse().unwrap(), stage: "s".parse().unwrap() }
    }

    fn claim(request: u64) -> Command {
        Command::Claim { name: name(), node: node(), boot: BOOT, request }
    }

    fn vacate() -> Command {
        Command::Vacate { node: node(), boot: BOOT, why: "test".to_owned() }
    }

    fn checkpoint(epoch: Epoch) -> Command {
        Command::Checkpoint { name: name(), epoch, previous: Seq(0), seq: Seq(9), snapshot: Bytes::new() }
    }

    /// Lets node a boot in a ledger and claim the name there; that claim.
    fn claimed(agreed: &Agreed) -> Claim {
        let boot = Command::Boot { node: node(), member: MemberNo::FOUNDER, boot: BOOT, addr: None, pipelines: vec![] };
        apply(agreed, 1, Command::Admit { node: node(), store: 1, addr: None });
        apply(agreed, 2, boot);
        apply(agreed, 3, claim(1));
        agreed.lookup(&name()).unwrap()
    }

    fn apply(agreed: &Agreed, index: u64, command: Command) {
        agreed.apply(index, Proposal { at_ms: 0, command });
    }

    fn losses(agreed: &Agreed) -> Vec<Epoch> {
        let changes = std::mem::take(&mut agreed.table().changes);
        let lost = |change| match change {
            Change::Lost { claim, .. } => Some(claim.epoch),
            _ => None,
        };
        changes.into_iter().filter_map(lost).collect()
    }

    fn snapshot(agreed: &Agreed) -> Ledger {
        agreed.read(|ledger| Ledger::decode(&ledger.encode()).unwrap())
    }

    #[test]
    fn a_snapshot_with_a_checkpoint_of_a_claim_does_not_end_it() {
        let (owner, other) = (Agreed::new(node(), BOOT), Agreed::new("b".parse().unwrap(), BootId(8)));
        let own = claimed(&owner);
        claimed(&other);
        apply(&other, 4, checkpoint(own.epoch));
        owner.replace(snapshot(&other));
        assert_eq!(losses(&owner), []);
        assert_eq!(owner.lookup(&name()).map(|claim| claim.progress), Some(Seq(9)));
        apply(&other, 5, vacate());
        owner.replace(snapshot(&other));
        assert_eq!(losses(&owner), [own.epoch]);
    }

    #[test]
    fn a_node_is_told_what_is_ordered_of_a_stage_by_the_log_and_by_a_snapshot() {
        let (leader, follower) = (Agreed::new(node(), BOOT), Agreed::new("b".parse().unwrap(), BootId(8)));
        let by = By { node: node(), operator: None };
        let suspend = |on| Command::StageOrder { name: name(), by: by.clone(), order: StageOrder::Suspend(on) };
        let told = |agreed: &Agreed| {
            let changes = std::mem::take(&mut agreed.table().changes);
            changes.iter().filter(|change| **change == Change::Ordered(name())).count()
        };
        apply(&leader, 1, suspend(true));
        assert_eq!(told(&leader), 1);
        apply(&leader, 2, suspend(true));
        assert_eq!(told(&leader), 0, "nothing has changed");
        follower.replace(snapshot(&leader));
        assert_eq!((told(&follower), follower.read(|ledger| ledger.ordered().of(&name()).is_nothing())), (1, false));
        follower.replace(snapshot(&leader));
        assert_eq!(told(&follower), 0);
        apply(&leader, 3, suspend(false));
        follower.replace(snapshot(&leader));
        assert_eq!((told(&leader), told(&follower)), (1, 1));
    }

    /// The follower has the answer of the leader, and applies what was agreed on before it only now.
    #[test]
    fn a_claim_that_was_granted_is_not_lost_by_what_happened_before_it() {
        let (late, leader) = (Agreed::new(node(), BOOT), Agreed::new("b".parse().unwrap(), BootId(8)));
        claimed(&late);
        claimed(&leader);
        apply(&leader, 4, vacate());
        let before = snapshot(&leader);
        apply(&leader, 5, claim(2));
        let granted = leader.lookup(&name()).unwrap();
        late.grant(granted.clone());
        apply(&late, 4, vacate());
        assert_eq!((losses(&late), late.lookup(&name())), (vec![], Some(granted.clone())));
        late.replace(before);
        assert_eq!((losses(&late), late.lookup(&name())), (vec![], Some(granted.clone())));
        late.replace(snapshot(&leader));
        assert_eq!((losses(&late), late.lookup(&name())), (vec![], Some(granted.clone())));
        apply(&late, 6, vacate());
        assert_eq!(losses(&late), [granted.epoch]);
    }
}
