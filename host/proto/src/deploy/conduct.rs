//! What the leader says next of a roll-out, from what it sees.

use std::{collections::BTreeSet, time::Duration};

use super::{Move, Phase, Report, Rollout};
use crate::ids::{NodeName, StageName};

/// How long nodes that are there are waited for.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// To fetch and load what is new: for 64 MiB over a slow network, and the compiler.
    pub fetch: Duration,
    /// To take a step, besides the time for which it is watched.
    pub step: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { fetch: Duration::from_secs(600), step: Duration::from_secs(120) }
    }
}

/// The next move, if it is time for one. `present` are the nodes that are there, `owner` tells who owns a stage, and
/// `waited` for how long this leader has seen the roll-out as it is, and `gone` for how long its first node has not been
/// there.
pub fn next_move(
    rollout: &Rollout,
    present: &BTreeSet<NodeName>,
    owner: impl Fn(&StageName) -> Option<NodeName>,
    (waited, gone): (Duration, Option<Duration>),
    patience: Patience,
) -> Option<Move> {
    let unheard = |node: &&NodeName| !rollout.reports.contains_key(*node);
    let Some(step) = rollout.step() else {
        let missing: Vec<_> = present.iter().filter(unheard).collect();
        return due(&missing, "fetched and loaded it", waited, patience.fetch);
    };
    match &rollout.phase {
        Phase::Pending => {
            let owner = step.stages.iter().find_map(owner).filter(|owner| present.contains(owner));
            Some(owner.or_else(|| present.first().cloned()).map_or(Move::Everywhere, Move::Canary))
        }
        Phase::Canary(canary) => match rollout.reports.get(canary) {
            Some(Report::Well) => Some(Move::Everywhere),
            // It was none: the next is asked to be it.
            Some(_) => Some(present.iter().find(unheard).cloned().map_or(Move::Everywhere, Move::Canary)),
            // It is gone, and what it runs is not known.
            None if gone.is_some_and(|gone| gone > GONE) => {
                Some(Move::Back(format!("{canary}, the first node to run it, is gone")))
            }
            None => due(&[canary], "run it", waited, patience.step + rollout.canary),
        },
        Phase::Everywhere => {
            let missing: Vec<_> = present.iter().filter(unheard).collect();
            due(&missing, "run it", waited, patience.step + rollout.canary)
        }
    }
}

/// How long a first node that is gone is waited for: it may have been a moment without a connection.
const GONE: Duration = Duration::from_secs(3);

fn due(missing: &[&NodeName], what: &str, waited: Duration, patience: Duration) -> Option<Move> {
    if missing.is_empty() {
        return Some(Move::Next);
    }
    let names: Vec<_> = missing.iter().map(|node| node.as_str()).collect();
    let why = || format!("{} did not say within {} s that it {what}", names.join(", "), patience.as_secs());
    (waited > patience).then(|| Move::Back(why()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::deploy::{Change, Step};

    fn node(name: &str) -> NodeName {
        name.parse().unwrap()
    }

    fn rollout(at: u32, phase: Phase, reports: &[(&str, Report)]) -> Rollout {
        Rollout {
            revision: 2,
            former: BTreeMap::new(),
            steps: vec![Step { change: Change::Replace, stages: vec!["s".parse().unwrap()] }],
            at,
            phase,
            reports: reports.iter().map(|(name, report)| (node(name), report.clone())).collect(),
            canary: Duration::from_secs(5),
        }
    }

    fn moved(rollout: &Rollout, owner: Option<&str>, waited: u64) -> Option<Move> {
        let present = ["a", "b", "c"].map(node).into();
        let waited = Duration::from_secs(waited);
        let is_there = |canary: &NodeName| ["a", "b", "c"].contains(&canary.as_str());
        let gone = matches!(&rollout.phase, Phase::Canary(canary) if !is_there(canary)).then_some(waited);
        next_move(rollout, &present, |_| owner.map(node), (waited, gone), Patience::default())
    }

    #[test]
    fn all_that_are_there_fetch_before_anything_changes() {
        let two = [("a", Report::Well), ("c", Report::Well)];
        assert_eq!(moved(&rollout(0, Phase::Everywhere, &two), None, 5), None);
        let three = [two[0].clone(), two[1].clone(), ("b", Report::Well)];
        assert_eq!(moved(&rollout(0, Phase::Everywhere, &three), None, 5), Some(Move::Next));
        let Some(Move::Back(why)) = moved(&rollout(0, Phase::Everywhere, &two), None, 601) else { panic!() };
        assert_eq!(why, "b did not say within 600 s that it fetched and loaded it");
    }

    #[test]
    fn the_owner_is_first_and_else_the_first_that_runs_it() {
        assert_eq!(moved(&rollout(1, Phase::Pending, &[]), Some("b"), 0), Some(Move::Canary(node("b"))));
        assert_eq!(moved(&rollout(1, Phase::Pending, &[]), Some("z"), 0), Some(Move::Canary(node("a"))), "z is away");
        let not_a = rollout(1, Phase::Canary(node("a")), &[("a", Report::NotHere)]);
        assert_eq!(moved(&not_a, None, 0), Some(Move::Canary(node("b"))));
        let nobody = [("a", Report::NotHere), ("b", Report::NotHere), ("c", Report::NotHere)];
        assert_eq!(moved(&rollout(1, Phase::Canary(node("c")), &nobody), None, 0), Some(Move::Everywhere));
    }

    #[test]
    fn the_others_follow_the_first_once_it_does_well() {
        assert_eq!(moved(&rollout(1, Phase::Canary(node("a")), &[]), None, 60), None);
        let well = [("a", Report::Well)];
        assert_eq!(moved(&rollout(1, Phase::Canary(node("a")), &well), None, 0), Some(Move::Everywhere));
        assert_eq!(moved(&rollout(1, Phase::Everywhere, &well), None, 0), None);
        assert!(matches!(moved(&rollout(1, Phase::Everywhere, &well), None, 126), Some(Move::Back(_))));
    }

    #[test]
    fn a_first_node_that_is_gone_turns_it_back() {
        let gone = rollout(1, Phase::Canary(node("z")), &[]);
        assert_eq!(moved(&gone, None, 3), None, "it may be back in a moment");
        let Some(Move::Back(why)) = moved(&gone, None, 4) else { panic!() };
        assert_eq!(why, "z, the first node to run it, is gone");
    }
}
