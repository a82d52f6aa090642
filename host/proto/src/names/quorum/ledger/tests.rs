//! Cases of the ledger, and its laws under whatever is proposed.

use bytes::Bytes;
use proptest::prelude::*;

use super::*;

fn name(stage: &str) -> GlobalName {
    GlobalName { pipeline: "p".parse().unwrap(), stage: stage.parse().unwrap() }
}

fn node(name: &str) -> NodeName {
    name.parse().unwrap()
}

fn addr() -> Option<SocketAddr> {
    Some("10.0.0.1:7440".parse().unwrap())
}

/// A ledger and the place of the next command in the log.
#[derive(Default)]
struct Log {
    ledger: Ledger,
    index: u64,
}

impl Log {
    fn apply(&mut self, command: Command) -> Applied {
        self.index += 1;
        let proposal = Proposal { at_ms: 1000 * self.index, command };
        let proposal = Proposal::decode(&proposal.encode()).unwrap();
        let applied = self.ledger.apply(self.index, proposal);
        assert_eq!(Outcome::decode(&applied.outcome.encode()).unwrap(), applied.outcome);
        assert_eq!(Ledger::decode(&self.ledger.encode()).unwrap(), self.ledger);
        applied
    }

    fn boot(&mut self, name: &str, boot: u64) -> Applied {
        let admit = Command::Admit { node: node(name), store: 1, addr: addr() };
        let Outcome::Admitted(member) = self.apply(admit).outcome else { panic!("not admitted") };
        let pipelines = vec![];
        self.apply(Command::Boot { node: node(name), member, boot: BootId(boot), addr: addr(), pipelines })
    }

    fn claim(&mut self, of: &str, boot: u64, request: u64) -> Outcome {
        self.apply(Command::Claim { name: name("s"), node: node(of), boot: BootId(boot), request }).outcome
    }

    fn claimed(&mut self, of: &str, boot: u64, request: u64) -> Claim {
        match self.claim(of, boot, request) {
            Outcome::Claimed(claim) => claim,
            other => panic!("{other:?}"),
        }
    }

    fn checkpoint(&mut self, epoch: Epoch, previous: u64, seq: u64) -> Outcome {
        let snapshot = Bytes::from(format!("at {seq}"));
        self.apply(Command::Checkpoint { name: name("s"), epoch, previous: Seq(previous), seq: Seq(seq), snapshot })
            .outcome
    }

    fn ends(&self) -> Vec<String> {
        let term = |term: &Term| term.end.as_ref().map_or("lasts".to_owned(), |(_, end)| end.to_string());
        self.ledger.names[&name("s")].history().map(term).collect()
    }
}

fn two_nodes() -> Log {
    let mut log = Log::default();
    log.boot("a", 1);
    log.boot("b", 1);
    log
}

#[test]
fn a_claim_is_granted_once_and_its_epoch_is_its_place_in_the_log() {
    let mut log = two_nodes();
    let claim = log.claimed("a", 1, 1);
    assert_eq!(claim.epoch.to_u64(), log.index);
    assert_eq!(log.claim("b", 1, 1), Outcome::Held(claim.clone()));
    assert_eq!(log.claim("a", 1, 1), Outcome::Claimed(claim.clone()), "proposed again as its answer was lost");
    let renewed = log.claimed("a", 1, 2);
    assert!(renewed.epoch > claim.epoch, "a new instance has a new epoch");
    assert_eq!(log.ends(), ["claimed anew for a new instance", "lasts"]);
}

#[test]
fn a_lost_nodes_claims_end_but_not_those_of_its_later_start() {
    let mut log = two_nodes();
    log.claimed("a", 1, 1);
    let vacate = |boot| Command::Vacate { node: node("a"), boot: BootId(boot), why: "silent for 1 s".into() };
    assert_eq!(log.apply(vacate(9)).changed, []);
    assert_eq!(log.apply(vacate(1)).changed, [name("s")]);
    log.boot("a", 2);
    let second = log.claimed("a", 2, 1);
    assert_eq!(log.apply(vacate(1)).changed, []);
    assert_eq!(log.ledger.claim_of(&name("s")), Some(&second));
    assert_eq!(log.ends(), ["node lost: silent for 1 s", "lasts"]);
}

#[test]
fn a_process_that_starts_again_ends_its_former_claims_and_its_former_self_claims_nothing() {
    let mut log = two_nodes();
    log.claimed("a", 1, 1);
    assert_eq!(log.boot("a", 2).changed, [name("s")]);
    assert_eq!(log.claim("a", 1, 5), Outcome::Refused("a has started again since".into()));
    log.claimed("b", 1, 1);
    assert_eq!(log.boot("a", 2).changed, [], "said twice");
    assert_eq!(log.ends(), ["the node's process started again", "lasts"]);
}

#[test]
fn a_node_whose_data_was_lost_is_another_member() {
    let mut log = two_nodes();
    let former = log.ledger.nodes[&node("a")].member;
    log.claimed("a", 1, 1);
    let admitted = log.apply(Command::Admit { node: node("a"), store: 2, addr: addr() });
    assert_eq!(admitted.outcome, Outcome::Admitted(MemberNo(log.index)));
    assert_eq!(admitted.changed, [name("s")]);
    assert_eq!(log.ledger.retired(), [former]);
    let pipelines = vec![];
    let late = Command::Boot { node: node("a"), member: former, boot: BootId(3), addr: addr(), pipelines };
    assert!(matches!(log.apply(late).outcome, Outcome::Refused(_)), "the former member is none any more");
}

#[test]
fn a_checkpoint_counts_only_for_the_owners_epoch_and_in_order() {
    let mut log = two_nodes();
    let first = log.claimed("a", 1, 1);
    assert_eq!(log.checkpoint(first.epoch, 0, 5), Outcome::Done);
    assert_eq!(log.checkpoint(first.epoch, 0, 5), Outcome::Done, "proposed again as its answer was lost");
    for (previous, seq) in [(0, 9), (5, 5), (5, 4)] {
        assert!(matches!(log.checkpoint(first.epoch, previous, seq), Outcome::Fenced(_)));
    }
    log.apply(Command::Vacate { node: node("a"), boot: BootId(1), why: String::new() });
    assert!(matches!(log.checkpoint(first.epoch, 5, 9), Outcome::Fenced(_)), "no owner any more");
    let second = log.claimed("b", 1, 1);
    assert_eq!(second.progress, Seq(5), "a successor goes on where the last checkpoint was");
    assert!(matches!(log.checkpoint(first.epoch, 5, 9), Outcome::Fenced(_)), "a former owner");
    assert_eq!(log.checkpoint(second.epoch, 5, 9), Outcome::Done);
    assert_eq!(log.ledger.names[&name("s")].checkpoint().unwrap().snapshot, "at 9");
}

#[test]
fn a_draining_node_keeps_what_it_owns_and_gets_nothing_more() {
    let mut log = two_nodes();
    let claim = log.claimed("a", 1, 1);
    log.apply(Command::Drain { node: node("a"), drain: true });
    assert_eq!(log.claim("a", 1, 1), Outcome::Claimed(claim.clone()));
    assert_eq!(log.claim("a", 1, 2), Outcome::Refused("a is draining".into()));
    log.apply(Command::Release { name: name("s"), epoch: claim.epoch, why: "drained".into() });
    assert_eq!(log.claim("a", 1, 3), Outcome::Refused("a is draining".into()));
    log.apply(Command::Drain { node: node("a"), drain: false });
    log.claimed("a", 1, 4);
}

#[test]
fn after_a_recovery_epochs_are_above_all_that_were() {
    let mut log = two_nodes();
    let before = log.claimed("b", 1, 1);
    log.index += 1_000_000;
    let lost = log.claimed("b", 1, 2);
    log.index -= 1_000_000;
    log.apply(Command::Drain { node: node("a"), drain: true });
    log.ledger.recover(&node("a"), 0);
    assert_eq!(log.ledger.nodes().map(|(node, _)| node.as_str()).collect::<Vec<_>>(), ["a"]);
    let after = log.claimed("a", 1, 1);
    assert!(after.epoch > lost.epoch && lost.epoch > before.epoch);
    assert_eq!(after.epoch.to_string(), format!("1-{}", log.index));
}

#[test]
fn a_history_is_bounded() {
    let mut log = two_nodes();
    for request in 0..100 {
        log.claimed("a", 1, request);
    }
    assert_eq!(log.ends().len(), super::super::HISTORY_LEN);
    assert_eq!(log.ends().last().unwrap(), "lasts");
}

fn command() -> impl Strategy<Value = Command> {
    let who = prop_oneof![Just("a"), Just("b")].prop_map(node);
    let boot = (1..3u64).prop_map(BootId);
    let what = prop_oneof![Just("s"), Just("t")].prop_map(name);
    let epoch = (0..40u64).prop_map(Epoch::from_u64);
    let inbox = what.clone();
    prop_oneof![
        (who.clone(), 1..3u64).prop_map(|(node, store)| Command::Admit { node, store, addr: addr() }),
        (who.clone(), 1..10u64, boot.clone()).prop_map(|(node, member, boot)| {
            Command::Boot { node, member: MemberNo(member), boot, addr: addr(), pipelines: vec![] }
        }),
        (what.clone(), who.clone(), boot.clone(), 0..3u64).prop_map(|(name, node, boot, request)| Command::Claim {
            name,
            node,
            boot,
            request
        }),
        (what.clone(), epoch.clone()).prop_map(|(name, epoch)| Command::Release { name, epoch, why: "w".into() }),
        (what, epoch, 0..4u64, 0..6u64).prop_map(|(name, epoch, previous, seq)| Command::Checkpoint {
            name,
            epoch,
            previous: Seq(previous),
            seq: Seq(seq),
            snapshot: Bytes::new()
        }),
        (who.clone(), boot).prop_map(|(node, boot)| Command::Vacate { node, boot, why: "gone".into() }),
        (inbox.clone(), 0..3u64, 0..4u64, 1..4u32).prop_map(|(name, client, request, count)| {
            let events = crate::batch::Batch::from_payloads(vec!["e"; count as usize]).encode();
            Command::Ingest { name, client: client.into(), request, count, events }
        }),
        (inbox, 0..40u64, 0..9u64)
            .prop_map(|(name, epoch, upto)| { Command::Processed { name, epoch: Epoch::from_u64(epoch), upto } }),
        (who, any::<bool>()).prop_map(|(node, drain)| Command::Drain { node, drain }),
    ]
}

proptest! {
    /// The laws of the claim record, whatever is proposed.
    #[test]
    fn epochs_rise_and_checkpoints_never_go_back(commands in prop::collection::vec(command(), 1..60)) {
        let mut log = two_nodes();
        let mut last = Epoch::default();
        let mut progress = Seq(0);
        let mut inbox = (0, 0);
        for command in commands {
            if let Outcome::Claimed(claim) = log.apply(command).outcome && claim.epoch.to_u64() == log.index {
                prop_assert!(claim.epoch > last);
                last = claim.epoch;
            }
            let record = log.ledger.names.get(&name("s"));
            let seq = record.and_then(Record::checkpoint).map_or(Seq(0), |checkpoint| checkpoint.seq);
            prop_assert!(seq >= progress);
            progress = seq;
            if let Some(queue) = log.ledger.inbox(&name("s")) {
                let now = (queue.position(), queue.end());
                prop_assert!(now.0 >= inbox.0 && now.1 >= inbox.1 && now.0 <= now.1);
                inbox = now;
            }
            for claim in log.ledger.claims() {
                prop_assert!(log.ledger.node(&claim.node).is_some_and(|node| node.boot == Some(claim.boot)));
            }
        }
    }

    #[test]
    fn bytes_of_anybody_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200), version in 1..=4u8) {
        let mut bytes = bytes;
        if let Some(first) = bytes.first_mut() { *first = version; }
        drop((Proposal::decode(&bytes), Outcome::decode(&bytes), Ledger::decode(&bytes)));
    }
}

#[test]
fn pipelines_that_were_forgotten_make_room() {
    use crate::deploy::{Change, NewRevision, Order, PluginVersion, Step};
    let mut log = Log::default();
    log.boot("a", 1);
    let order = |number: usize, order| Command::Deployment { pipeline: format!("p{number}").parse().unwrap(), order };
    for number in 0..=256 {
        let digest = crate::blob::Digest([1; 32]);
        let new = NewRevision {
            text: crate::blob::BlobInfo { digest, bytes: 1, chunks: digest },
            plugins: [("s".parse().unwrap(), PluginVersion::Builtin("inbox".into()))].into(),
            by: node("a"),
            why: String::new(),
            steps: vec![Step { change: Change::Start, stages: vec!["s".parse().unwrap()] }],
            canary: std::time::Duration::ZERO,
            beside: None,
        };
        let deploy = order(number, Order::Deploy { after: 0, new: Box::new(new) });
        assert_eq!(log.ledger.allows(&node("a"), &deploy), Ok(()), "pipeline {number}");
        for command in [deploy, order(number, Order::Undeploy), order(number, Order::Forget)] {
            assert_eq!(log.apply(command).outcome, Outcome::Done);
        }
    }
}
