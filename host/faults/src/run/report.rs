//! What came of the faults, and the table of it.

use std::{collections::BTreeMap, fmt::Write, time::Duration};

use forebay_check::Coverage;
use serde_json::{Value, json};

use super::{confirmed::Arrived, kind::Kind, strike::Bite, sums::Sums};

/// What came of one fault.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) kind: Kind,
    pub(crate) bite: Bite,
    /// The longest time without a batch handled anywhere, from the fault's begin to the recovery.
    pub(crate) silence: Duration,
    /// From the fault's end until there was one owner and every node had handled events of it.
    pub(crate) recovery: Duration,
}

/// What came of all faults so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Report {
    outcomes: Vec<Outcome>,
    /// What the traces say that happened, as far as they were judged.
    pub(crate) seen: Seen,
    /// What a law was broken by, in words.
    pub(crate) broken: Vec<String>,
    /// Why the run says nothing, in words.
    pub(crate) inconclusive: Vec<String>,
    pub(crate) sums: Sums,
    /// Where clients pushed the numbers.
    pub(crate) arrived: Option<Arrived>,
}

/// What happened in the clusters of a run, by their traces.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Seen {
    handled: u64,
    takeovers: u64,
    zombies: u64,
    stale: u64,
    redeliveries: u64,
    fenced: u64,
}

impl std::ops::AddAssign<&Coverage> for Seen {
    fn add_assign(&mut self, coverage: &Coverage) {
        self.handled += coverage.handled;
        self.takeovers += coverage.takeovers;
        self.zombies += coverage.zombies;
        self.stale += coverage.stale;
        self.redeliveries += coverage.redeliveries;
        self.fenced += coverage.fenced;
    }
}

/// How a run ended, as an exit code.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    /// All faults bit and all laws held.
    Passed = 0,
    /// A law was broken.
    Broken = 1,
    /// No law was seen broken, but not all that was planned has happened.
    Inconclusive = 2,
}

impl Report {
    pub(crate) fn add(&mut self, number: usize, outcome: Outcome) {
        if let Bite::DidNot(why) = &outcome.bite {
            self.inconclusive.push(format!("fault {number}, {}, did not bite: {why}", outcome.kind));
        }
        self.outcomes.push(outcome);
    }

    pub(crate) fn verdict(&self) -> Verdict {
        match (self.broken.is_empty(), self.inconclusive.is_empty()) {
            (false, _) => Verdict::Broken,
            (true, false) => Verdict::Inconclusive,
            (true, true) => Verdict::Passed,
        }
    }

    fn by_kind(&self) -> BTreeMap<Kind, Figures> {
        let mut kinds: BTreeMap<Kind, Figures> = BTreeMap::new();
        for outcome in &self.outcomes {
            let figures = kinds.entry(outcome.kind).or_default();
            figures.silences.push(outcome.silence);
            figures.recoveries.push(outcome.recovery);
        }
        kinds
    }

    /// For people.
    pub(crate) fn table(&self) -> String {
        let mut text =
            format!("{:<16} {:>6} {:>23} {:>23}\n", "fault", "count", "longest silence, s", "recovered after, s");
        let _ = writeln!(text, "{:<16} {:>6} {:>12}{:>11} {:>12}{:>11}", "", "", "median", "max", "median", "max");
        for (kind, figures) in self.by_kind() {
            let (silence, recovery) = (Spread::of(&figures.silences), Spread::of(&figures.recoveries));
            let _ = writeln!(
                text,
                "{kind:<16} {:>6} {:>12.2}{:>11.2} {:>12.2}{:>11.2}",
                figures.silences.len(),
                silence.median.as_secs_f64(),
                silence.max.as_secs_f64(),
                recovery.median.as_secs_f64(),
                recovery.max.as_secs_f64()
            );
        }
        let Seen { handled, takeovers, zombies, stale, redeliveries, fenced } = self.seen;
        let (faults, broken) = (self.outcomes.len(), self.broken.len());
        let _ = writeln!(text, "\n{faults} faults, {takeovers} takeovers, {broken} broken laws");
        let _ = writeln!(
            text,
            "{handled} events handled, {redeliveries} messages again; after a successor: {zombies} emits and sends, \
             {stale} stale messages refused, {fenced} checkpoints refused"
        );
        let _ = writeln!(text, "{}", self.arrived.map_or_else(|| self.sums.to_string(), |arrived| arrived.to_string()));
        for why in &self.inconclusive {
            let _ = writeln!(text, "INCONCLUSIVE {why}");
        }
        for law in &self.broken {
            let _ = writeln!(text, "BROKEN {law}");
        }
        text
    }

    /// For programs: the same as one object.
    pub(crate) fn json(&self) -> Value {
        let kinds = self.by_kind().into_iter().map(|(kind, figures)| {
            let (silence, recovery) = (Spread::of(&figures.silences), Spread::of(&figures.recoveries));
            let value = json!({
                "count": figures.silences.len(),
                "silence_ms": silence.json(),
                "recovery_ms": recovery.json(),
            });
            (kind.name().to_owned(), value)
        });
        let numbers = self.arrived.map_or_else(|| self.sums.json(), |arrived| arrived.json());
        json!({
            "kind": "summary",
            "faults": self.outcomes.len(),
            "kinds": kinds.collect::<serde_json::Map<_, _>>(),
            "handled": self.seen.handled,
            "takeovers": self.seen.takeovers,
            "zombies": self.seen.zombies,
            "stale_refused": self.seen.stale,
            "redeliveries": self.seen.redeliveries,
            "checkpoints_refused": self.seen.fenced,
            "numbers": numbers,
            "inconclusive": self.inconclusive,
            "broken": self.broken,
        })
    }
}

#[derive(Debug, Default)]
struct Figures {
    silences: Vec<Duration>,
    recoveries: Vec<Duration>,
}

/// The middle, the ninth tenth and the end of some durations.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: Duration,
    pub(crate) p90: Duration,
    pub(crate) max: Duration,
}

impl Spread {
    /// All 0 of none. Nearest rank: each figure is one that was measured.
    pub(crate) fn of(durations: &[Duration]) -> Self {
        let mut sorted = durations.to_vec();
        sorted.sort_unstable();
        let rank = |percent: usize| {
            let rank = (sorted.len() * percent).div_ceil(100).max(1);
            sorted.get(rank - 1).copied().unwrap_or_default()
        };
        Self { median: rank(50), p90: rank(90), max: rank(100) }
    }

    /// In milliseconds.
    pub(crate) fn json(&self) -> Value {
        let ms = |duration: Duration| u64::try_from(duration.as_millis()).ok();
        json!({"median": ms(self.median), "p90": ms(self.p90), "max": ms(self.max)})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn outcome(kind: Kind, silence: u64) -> Outcome {
        Outcome { kind, bite: Bite::Bit(String::new()), silence: ms(silence), recovery: ms(10) }
    }

    #[test]
    fn a_spread_is_of_values_that_were_measured() {
        let durations: Vec<_> = (1..=10).rev().map(ms).collect();
        assert_eq!(Spread::of(&durations), Spread { median: ms(5), p90: ms(9), max: ms(10) });
        assert_eq!(Spread::of(&[ms(7)]), Spread { median: ms(7), p90: ms(7), max: ms(7) });
        assert_eq!(Spread::of(&[]), Spread::default());
    }

    #[test]
    fn a_fault_without_a_bite_makes_a_run_inconclusive_and_a_broken_law_outweighs_it() {
        let mut report = Report::default();
        report.add(1, outcome(Kind::Loss, 20));
        assert_eq!(report.verdict(), Verdict::Passed);
        report.add(2, Outcome { bite: Bite::DidNot("none".to_owned()), ..outcome(Kind::Loss, 20) });
        assert_eq!(report.verdict(), Verdict::Inconclusive);
        assert_eq!(report.inconclusive, ["fault 2, loss, did not bite: none"]);
        report.broken.push("a law".to_owned());
        assert_eq!(report.verdict(), Verdict::Broken);
    }

    #[test]
    fn figures_are_by_kind() {
        let mut report = Report::default();
        for silence in [100, 300, 200] {
            report.add(1, outcome(Kind::KillOwner, silence));
        }
        report.add(4, outcome(Kind::Loss, 5));
        let json = report.json();
        assert_eq!(json["kinds"]["kill-owner"]["silence_ms"], json!({"median": 200, "p90": 300, "max": 300}));
        assert_eq!(json["kinds"]["loss"]["count"], 1);
        let table = report.table();
        assert!(table.contains("kill-owner            3         0.20       0.30"), "{table}");
    }
}
