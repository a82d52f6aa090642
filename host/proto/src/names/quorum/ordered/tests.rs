//! Orders of stages in the log, in snapshots, and through deployments.

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::{
    blob::{BlobInfo, Digest},
    deploy::{Change, Move, NewRevision, Order, PluginVersion, Step},
    ids::{NodeName, StageName},
    names::quorum::{Command, MemberNo, Proposal},
};

fn name(stage: &str) -> GlobalName {
    GlobalName { pipeline: "p".parse().unwrap(), stage: stage.parse().unwrap() }
}

fn node(name: &str) -> NodeName {
    name.parse().unwrap()
}

fn by(name: &str) -> By {
    By { node: node(name), operator: Some("ann".parse().unwrap()) }
}

fn apply(ledger: &mut Ledger, command: Command) -> Outcome {
    let encoded = Proposal { at_ms: 9, command }.encode();
    ledger.apply(1, Proposal::decode(&encoded).unwrap()).outcome
}

fn order(ledger: &mut Ledger, stage: &str, order: StageOrder) -> Outcome {
    apply(ledger, Command::StageOrder { name: name(stage), by: by("a"), order })
}

fn deployment(order: Order) -> Command {
    Command::Deployment { pipeline: "p".parse().unwrap(), order }
}

fn revision(after: u64, plugins: &[&str], steps: &[(Change, &[&str])]) -> Command {
    let digest = Digest([u8::try_from(after).unwrap(); 32]);
    let stages = |names: &[&str]| names.iter().map(|name| name.parse().unwrap()).collect::<Vec<StageName>>();
    let new = NewRevision {
        text: BlobInfo { digest, bytes: 1, chunks: digest },
        plugins: stages(plugins).into_iter().map(|name| (name, PluginVersion::Builtin("inbox".into()))).collect(),
        by: node("a"),
        why: String::new(),
        steps: steps.iter().map(|(change, names)| Step { change: *change, stages: stages(names) }).collect(),
        canary: Duration::ZERO,
        beside: (after > 0).then_some(after),
    };
    deployment(Order::Deploy { after, new: Box::new(new) })
}

/// Lets the revision on its way reach its end.
fn finish(ledger: &mut Ledger, revision: u64, steps: u32) {
    for at in 0..=steps {
        let next = deployment(Order::Advance { revision, at, to: Move::Next });
        assert_eq!(apply(ledger, next), Outcome::Done);
    }
}

fn ordered(ledger: &Ledger) -> Vec<String> {
    ledger.ordered().iter().map(|(name, _)| name.stage.to_string()).collect()
}

/// Stages `s` and `t` of revision 1, both suspended.
fn two_suspended() -> Ledger {
    let mut ledger = Ledger::default();
    apply(&mut ledger, revision(0, &["s", "t"], &[(Change::Start, &["s", "t"])]));
    finish(&mut ledger, 1, 1);
    for stage in ["s", "t"] {
        assert_eq!(order(&mut ledger, stage, StageOrder::Suspend(true)), Outcome::Done);
    }
    ledger
}

#[test]
fn an_order_goes_with_its_stage_once_a_deployment_has_taken_it_away() {
    let mut ledger = two_suspended();
    apply(&mut ledger, revision(1, &["s"], &[(Change::Stop, &["t"])]));
    assert_eq!(ordered(&ledger), ["s", "t"], "it may be taken back");
    apply(&mut ledger, deployment(Order::Back { revision: 2, why: "test".into() }));
    assert_eq!(ordered(&ledger), ["s", "t"], "it was");
    // The revision that was taken back is the latest, and that in force the first.
    assert_eq!(apply(&mut ledger, revision_beside(2, 1)), Outcome::Done);
    finish(&mut ledger, 3, 1);
    assert_eq!(ordered(&ledger), ["s"]);
    apply(&mut ledger, deployment(Order::Pause(true)));
    assert_eq!(ordered(&ledger), ["s"], "it goes on where it was");
    apply(&mut ledger, deployment(Order::Undeploy));
    assert_eq!(ordered(&ledger), [""; 0]);
}

/// One without `t`, after `after` and in place of `beside`.
fn revision_beside(after: u64, beside: u64) -> Command {
    match revision(after, &["s"], &[(Change::Stop, &["t"])]) {
        Command::Deployment { pipeline, order: Order::Deploy { after, mut new } } => {
            new.beside = Some(beside);
            Command::Deployment { pipeline, order: Order::Deploy { after, new } }
        }
        other => other,
    }
}

#[test]
fn a_deployment_leaves_the_orders_of_stages_that_stay_and_of_other_pipelines() {
    let mut ledger = two_suspended();
    let other = GlobalName { pipeline: "other".parse().unwrap(), stage: "t".parse().unwrap() };
    let rate = StageOrder::Rate(Some(Some(RateLimit { events: 5, per: Duration::from_secs(1) })));
    apply(&mut ledger, Command::StageOrder { name: other.clone(), by: by("b"), order: rate });
    apply(&mut ledger, revision(1, &["s", "t"], &[(Change::Replace, &["s"])]));
    finish(&mut ledger, 2, 1);
    assert_eq!(ledger.ordered().iter().len(), 3);
    assert!(ledger.ordered().of(&name("s")).suspended.is_some());
    apply(&mut ledger, deployment(Order::Undeploy));
    assert_eq!(ledger.ordered().iter().map(|(name, _)| name).collect::<Vec<_>>(), [&other]);
}

#[test]
fn what_is_forgotten_of_a_pipeline_takes_its_orders_with_it() {
    let mut ledger = Ledger::default();
    order(&mut ledger, "s", StageOrder::Suspend(true));
    assert_eq!(apply(&mut ledger, deployment(Order::Forget)), Outcome::Done);
    assert_eq!(ledger.ordered().iter().len(), 0);
}

#[test]
fn nobody_orders_in_the_name_of_another_node() {
    let ledger = Ledger::default();
    let command = Command::StageOrder { name: name("s"), by: by("a"), order: StageOrder::Suspend(true) };
    assert_eq!(ledger.allows(&node("a"), &command), Ok(()));
    assert_eq!(ledger.allows(&node("b"), &command), Err("b speaks for a".to_owned()));
}

/// As the release before orders wrote it, to the byte: the same without a list of them.
#[test]
fn what_version_3_wrote_is_read() {
    let ledger = [&[3][..], &3u16.to_le_bytes(), &[0; 8], &1u32.to_le_bytes(), &9u64.to_le_bytes(), &[0; 12]].concat();
    let read = Ledger::decode(&ledger).unwrap();
    assert_eq!((read.generation(), read.retired(), read.ordered().iter().len()), (3, &[MemberNo(9)][..], 0));
    assert_eq!(Ledger::decode(&read.encode()), Ok(read));
    let remove = [&[3][..], &5u64.to_le_bytes(), &[8, 1, b'a']].concat();
    let expected = Proposal { at_ms: 5, command: Command::Remove { node: node("a") } };
    assert_eq!(Proposal::decode(&remove), Ok(expected));
}

#[test]
fn the_bytes_of_an_order_are_these() {
    let command =
        Command::StageOrder { name: name("s"), by: by("a"), order: StageOrder::Demand(Some(DemandMode::Accumulate)) };
    let encoded = Proposal { at_ms: 5, command }.encode();
    let names = [13, 1, b'p', 1, b's', 1, b'a', 1, 3, b'a', b'n', b'n'];
    let expected = [&[4][..], &5u64.to_le_bytes(), &names, &[1, 1, 2]].concat();
    assert_eq!(encoded, Bytes::from(expected));
    for (kind, rest) in [
        (0, &[][..]),
        (5, &[]),
        (4, &[1, 0, 0, 0, 0]),
        (4, &[1, 1, 1, 0, 0]),
        (1, &[1, 3]),
        (2, &[2]),
        (3, &[1, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]),
    ] {
        let wrong = [&[4][..], &5u64.to_le_bytes(), &names, &[kind], rest].concat();
        assert!(Proposal::decode(&wrong).is_err(), "{kind}");
    }
}

fn any_order() -> impl Strategy<Value = StageOrder> {
    let mode = prop_oneof![Just(DemandMode::Forward), Just(DemandMode::Accumulate)];
    let limit =
        (1..=u32::MAX, 1..=u64::MAX).prop_map(|(events, nanos)| RateLimit { events, per: Duration::from_nanos(nanos) });
    prop_oneof![
        prop::option::of(mode).prop_map(StageOrder::Demand),
        any::<bool>().prop_map(StageOrder::Suspend),
        prop::option::of(prop::option::of(limit)).prop_map(StageOrder::Rate),
        prop::option::of(1..=256_u32).prop_map(StageOrder::Resize),
    ]
}

proptest! {
    #[test]
    fn whatever_is_ordered_is_kept_through_log_and_snapshot(
        orders in prop::collection::vec((0..3_usize, any_order(), any::<bool>(), any::<u64>()), 0..40),
    ) {
        let mut ledger = Ledger::default();
        let mut expected = OrderBook::default();
        for (stage, order, by_operator, at_ms) in orders {
            let name = name(["s", "t", "u"][stage]);
            let by = By { operator: by("a").operator.filter(|_| by_operator), ..by("a") };
            expected.obey(name.clone(), at_ms, by.clone(), order).unwrap();
            let proposal = Proposal { at_ms, command: Command::StageOrder { name, by, order } };
            let read = Proposal::decode(&proposal.encode()).unwrap();
            prop_assert_eq!(&read, &proposal);
            ledger.apply(1, read);
        }
        prop_assert_eq!(ledger.ordered(), &expected);
        prop_assert_eq!(Ledger::decode(&ledger.encode()), Ok(ledger));
    }
}
