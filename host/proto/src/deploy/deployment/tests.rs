//! Roll-outs from their beginning to their end, and what becomes of them under any orders.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::{
    blob::{BlobInfo, Digest},
    deploy::{Order, PluginVersion, Step, encoding},
    wire::{Reader, Writer},
};

fn node(name: &str) -> NodeName {
    name.parse().unwrap()
}

fn stage(name: &str) -> StageName {
    name.parse().unwrap()
}

fn blob(version: u8) -> BlobInfo {
    BlobInfo { digest: Digest([version; 32]), bytes: 9, chunks: Digest([version; 32]) }
}

/// Two stages, `s` of this version; `t` never changes. In place of revision 1, unless both are new.
fn new(version: u8, steps: Vec<Step>) -> NewRevision {
    let beside = (steps != start()).then_some(1);
    let plugin = |version| PluginVersion::Blob { blob: blob(version), signature: Some("signed".to_owned()) };
    NewRevision {
        text: blob(version),
        plugins: [(stage("s"), plugin(version)), (stage("t"), PluginVersion::Builtin("inbox".into()))].into(),
        by: node("a"),
        why: "deployed".to_owned(),
        steps,
        canary: Duration::from_secs(5),
        beside,
    }
}

fn start() -> Vec<Step> {
    vec![Step { change: Change::Start, stages: vec![stage("s"), stage("t")] }]
}

fn replace() -> Vec<Step> {
    vec![Step { change: Change::Replace, stages: vec![stage("s")] }]
}

/// Revision 1 runs.
fn deployed() -> Deployment {
    let mut deployment = Deployment::default();
    deployment.deploy(1, 0, new(1, start())).unwrap();
    deployment.advance(2, 1, 0, Move::Next);
    deployment.advance(3, 1, 1, Move::Next);
    deployment
}

fn wanted(deployment: &Deployment, of: &str) -> Vec<(String, u64, bool)> {
    let wanted = deployment.wanted(&node(of));
    wanted.into_iter().map(|(stage, wanted)| (stage.to_string(), wanted.revision, wanted.on_trial)).collect()
}

fn runs(s: (u64, bool), t: (u64, bool)) -> Vec<(String, u64, bool)> {
    vec![("s".to_owned(), s.0, s.1), ("t".to_owned(), t.0, t.1)]
}

#[test]
fn a_first_revision_starts_once_it_is_fetched() {
    let mut deployment = Deployment::default();
    deployment.deploy(1, 0, new(1, start())).unwrap();
    assert_eq!((wanted(&deployment, "a"), deployment.current()), (vec![], None));
    deployment.advance(2, 1, 0, Move::Next);
    assert_eq!(wanted(&deployment, "a"), runs((1, true), (1, true)));
    deployment.advance(3, 1, 1, Move::Next);
    assert_eq!(wanted(&deployment, "a"), runs((1, false), (1, false)));
    assert_eq!(deployment.current().unwrap().standing, Standing::RolledOut { at_ms: 3 });
    assert_eq!(deployment, deployed());
}

#[test]
fn a_replacement_comes_to_one_node_first_and_then_to_all() {
    let mut deployment = deployed();
    deployment.deploy(4, 1, new(2, replace())).unwrap();
    deployment.advance(5, 2, 0, Move::Next);
    assert_eq!(deployment.rollout().unwrap().phase, Phase::Pending);
    assert_eq!(wanted(&deployment, "a"), runs((1, false), (1, false)), "nobody is first yet");
    deployment.advance(6, 2, 1, Move::Canary(node("b")));
    assert_eq!(wanted(&deployment, "a"), runs((1, false), (1, false)));
    assert_eq!(wanted(&deployment, "b"), runs((2, true), (1, false)));
    deployment.report(7, 2, 1, node("b"), Report::Well);
    deployment.advance(8, 2, 1, Move::Everywhere);
    assert_eq!(wanted(&deployment, "a"), runs((2, true), (1, false)));
    deployment.advance(9, 2, 1, Move::Next);
    assert_eq!(wanted(&deployment, "a"), runs((2, false), (2, false)), "what did not change is of it, too");
    assert_eq!(deployment.current().unwrap().number, 2);
}

#[test]
fn one_fault_turns_it_back_wherever_it_is() {
    for steps in 0..=1 {
        let mut deployment = deployed();
        deployment.deploy(4, 1, new(2, replace())).unwrap();
        (0..steps).for_each(|at| deployment.advance(5, 2, at, Move::Next));
        deployment.report(6, 2, steps, node("b"), Report::Failed("it trapped".to_owned()));
        assert_eq!(wanted(&deployment, "b"), runs((1, false), (1, false)));
        let why = "on b: it trapped".to_owned();
        assert_eq!(deployment.revision(2).unwrap().standing, Standing::RolledBack { at_ms: 6, why });
        assert_eq!((deployment.latest(), deployment.current().unwrap().number), (2, 1));
        // And the next has a number of its own.
        deployment.deploy(7, 2, new(3, replace())).unwrap();
        assert_eq!(deployment.latest(), 3);
    }
}

#[test]
fn words_of_another_step_or_revision_change_nothing() {
    let mut deployment = deployed();
    deployment.deploy(4, 1, new(2, replace())).unwrap();
    deployment.advance(5, 2, 0, Move::Next);
    let before = deployment.clone();
    deployment.advance(6, 2, 0, Move::Next);
    deployment.advance(6, 1, 1, Move::Back("late".to_owned()));
    deployment.report(6, 2, 0, node("b"), Report::Failed("late".to_owned()));
    deployment.back(6, 1, "late".to_owned());
    assert_eq!(deployment, before);
}

#[test]
fn of_two_that_deploy_at_once_one_is_told_to_look_again() {
    let mut deployment = deployed();
    deployment.deploy(4, 1, new(2, replace())).unwrap();
    assert_eq!(deployment.deploy(5, 1, new(2, replace())), Ok(()), "the same again");
    let busy = deployment.deploy(5, 2, new(3, replace())).unwrap_err();
    assert_eq!(busy.0, "revision 2 is being rolled out; wait for it, or roll it back");
    deployment.back(6, 2, "an operator".to_owned());
    let late = deployment.deploy(7, 1, new(3, replace())).unwrap_err();
    assert_eq!(late.0, "revision 2 came meanwhile; look at the plan again");
}

#[test]
fn a_plan_that_was_made_beside_something_else_is_refused() {
    let mut deployment = deployed();
    deployment.undeploy(4);
    let old = deployment.deploy(5, 1, new(2, replace())).unwrap_err();
    assert_eq!(old.0, "what runs is another meanwhile; look at the plan again");
    deployment.deploy(6, 1, new(2, start())).unwrap();
    let mut running = deployed();
    for steps in [Vec::new(), vec![Step { change: Change::Stop, stages: vec![stage("s")] }]] {
        let odd =
            NewRevision { plugins: [(stage("u"), PluginVersion::Builtin("inbox".into()))].into(), ..new(2, steps) };
        let odd = running.deploy(5, 1, NewRevision { beside: Some(1), ..odd }).unwrap_err();
        assert!(odd.0.contains("do not say what becomes of stage `u`"), "{odd}");
    }
    assert!(running.deploy(5, u64::MAX, new(2, replace())).is_err());
    assert_eq!(running, deployed());
}

#[test]
fn a_paused_pipeline_wants_nothing_and_goes_on_where_it_was() {
    let mut deployment = deployed();
    deployment.pause(true).unwrap();
    assert_eq!(wanted(&deployment, "a"), []);
    assert!(deployment.deploy(4, 1, new(2, replace())).is_err());
    deployment.pause(false).unwrap();
    assert_eq!(deployment, deployed());
    deployment.undeploy(5);
    assert_eq!((wanted(&deployment, "a"), deployment.latest(), deployment.current()), (vec![], 1, None));
}

#[test]
fn old_revisions_go_and_what_runs_stays() {
    let mut deployment = deployed();
    for number in 2..40 {
        // Each is taken back, so that the first runs on.
        deployment.deploy(1, number - 1, new(number as u8, replace())).unwrap();
        deployment.back(2, number, "no".to_owned());
    }
    let numbers: Vec<_> = deployment.revisions().map(|revision| revision.number).collect();
    assert_eq!(numbers, [1].into_iter().chain(25..40).collect::<Vec<_>>());
}

fn any_order() -> impl Strategy<Value = Order> {
    let (number, at) = (0..6u64, 0..4u32);
    let report = prop_oneof![
        4 => Just(Report::Well),
        1 => Just(Report::NotHere),
        1 => Just(Report::Failed("why".to_owned()))
    ];
    let to = prop_oneof![
        1 => Just(Move::Canary(node("b"))),
        1 => Just(Move::Everywhere),
        6 => Just(Move::Next),
        1 => Just(Move::Back("why".to_owned()))
    ];
    prop_oneof![
        3 => (number.clone(), any::<bool>()).prop_map(|(after, first)| {
            let steps = if first { start() } else { replace() };
            let new = NewRevision { beside: after.checked_sub(1).filter(|_| !first), ..new(after as u8, steps) };
            Order::Deploy { after, new: Box::new(new) }
        }),
        3 => (number.clone(), at.clone(), report)
            .prop_map(|(revision, at, report)| Order::Report { revision, at, node: node("b"), report }),
        8 => (number.clone(), at, to).prop_map(|(revision, at, to)| Order::Advance { revision, at, to }),
        1 => number.prop_map(|revision| Order::Back { revision, why: "why".to_owned() }),
        1 => any::<bool>().prop_map(Order::Pause),
        1 => Just(Order::Undeploy),
    ]
}

proptest! {
    /// Whatever is ordered: what runs is remembered, an end is an end, and the bytes are the same.
    #[test]
    fn laws_of_deployments(orders in prop::collection::vec(any_order(), 1..60)) {
        let mut deployment = Deployment::default();
        for (at_ms, order) in orders.into_iter().enumerate() {
            let before = deployment.clone();
            let mut writer = Writer::default();
            encoding::write_order(&mut writer, &order);
            let bytes = writer.finish();
            let mut reader = Reader::new(&bytes);
            prop_assert_eq!(&encoding::read_order(&mut reader).unwrap(), &order);
            let refused = deployment.obey(at_ms as u64, order).is_err();
            prop_assert!(!refused || deployment == before);
            for name in ["a", "b"] {
                for wanted in deployment.wanted(&node(name)).values() {
                    prop_assert!(deployment.revision(wanted.revision).is_some());
                    prop_assert_eq!(wanted.on_trial, wanted.on_trial && deployment.rollout().is_some());
                }
            }
            for revision in before.revisions().filter(|revision| revision.standing != Standing::RollingOut) {
                let now = deployment.revision(revision.number);
                prop_assert!(now.is_none_or(|now| now == revision), "an end is an end");
            }
            prop_assert!(deployment.latest() >= before.latest());
            let mut writer = Writer::default();
            encoding::write_deployment(&mut writer, &deployment);
            let bytes = writer.finish();
            let mut reader = Reader::new(&bytes);
            prop_assert_eq!(&encoding::read_deployment(&mut reader).unwrap(), &deployment);
            prop_assert!(reader.finish().is_ok());
        }
    }
}

#[test]
fn a_failure_after_it_was_well_is_a_failure() {
    let mut deployment = deployed();
    deployment.deploy(4, 1, new(2, replace())).unwrap();
    deployment.advance(5, 2, 0, Move::Next);
    deployment.report(6, 2, 1, node("b"), Report::Well);
    deployment.report(7, 2, 1, node("b"), Report::Failed("later".to_owned()));
    assert!(deployment.rollout().is_none());
}
#[test]
fn a_revision_without_steps_or_with_steps_of_others_is_refused() {
    let check = |new: NewRevision| Order::Deploy { after: 0, new: Box::new(new) }.allowed_of(&node("a"), true, 1);
    assert!(check(new(1, start())).is_ok());
    assert!(check(new(1, vec![])).is_err(), "it would be in force at once, untried");
    let ghost = vec![Step { change: Change::Start, stages: vec![stage("ghost")] }];
    let ghost = Deployment::default().deploy(1, 0, NewRevision { beside: None, ..new(1, ghost) });
    assert!(ghost.is_err(), "no node could ever fit it");
}

#[test]
fn a_built_in_name_is_bounded() {
    let mut huge = new(1, start());
    huge.plugins.insert(stage("u"), PluginVersion::Builtin("x".repeat(1 << 19)));
    let order = Order::Deploy { after: 0, new: Box::new(huge) };
    assert!(order.allowed_of(&node("a"), true, 1).is_err());
}
