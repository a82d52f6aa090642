//! What came of all upgrades: the table of it, and whether the laws held.

use std::{
    fmt::{self, Write},
    time::Duration,
};

use serde_json::{Value, json};

use super::versions::Change;
use crate::run::{Spread, Verdict};

/// What came of one deploy.
#[derive(Clone, Debug)]
pub(super) struct Upgrade {
    pub(super) number: usize,
    pub(super) change: Change,
    /// Of `forebay deploy`.
    pub(super) took: Duration,
    /// The longest gap of each consumer, from its begin to the next one's.
    pub(super) gaps: Vec<Duration>,
    /// Events that came again.
    pub(super) repeated: u64,
    /// Of a bad version.
    pub(super) back: Option<Back>,
}

/// How a bad version was rolled back.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Back {
    /// From the trap until `deploy` said that it was rolled back.
    pub(super) told: Duration,
    /// From the trap until every consumer had taken events again with the former version.
    pub(super) from_trap: Duration,
    /// The same from the begin of `deploy`.
    pub(super) from_start: Duration,
}

/// What must hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Laws {
    /// The longest gap in an upgrade.
    pub(super) gap: Duration,
    /// From a trap until all is as before.
    pub(super) back: Duration,
    /// Unit: events a second.
    pub(super) rate: u32,
}

/// All of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Report {
    pub(super) upgrades: Vec<Upgrade>,
    /// Numbers that came, each once.
    pub(super) taken: u64,
    pub(super) lost: u64,
    /// For how long the load was on.
    pub(super) lasted: Duration,
    /// For how much of that time somebody on this machine waited for a processor, if the kernel tells. Unit: percent.
    pub(super) pressed: Option<u64>,
    pub(super) broken: Vec<String>,
    pub(super) inconclusive: Vec<String>,
}

/// The load was there: so much of the rate must have come. Unit: percent.
const RATE_PERCENT_MIN: u128 = 95;

impl Upgrade {
    fn longest(&self) -> Duration {
        self.gaps.iter().copied().max().unwrap_or_default()
    }

    pub(super) fn json(&self) -> Value {
        let back = self.back.map(|back| {
            json!({"told_ms": ms(back.told), "from_trap_ms": ms(back.from_trap), "from_start_ms": ms(back.from_start)})
        });
        json!({
            "kind": "upgrade",
            "number": self.number,
            "stage": self.change.stage.name(),
            "bad": self.change.is_bad,
            "took_ms": ms(self.took),
            "gaps_ms": self.gaps.iter().map(|gap| ms(*gap)).collect::<Vec<_>>(),
            "repeated": self.repeated,
            "back": back,
        })
    }
}

impl fmt::Display for Upgrade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gaps: Vec<_> = self.gaps.iter().map(|gap| ms(*gap).to_string()).collect();
        let bad = if self.change.is_bad { "BAD" } else { "" };
        write!(
            f,
            "{:<8} {bad:<3} {:>5.2} s  longest gaps {} ms  repeated {}",
            self.change.stage.name(),
            self.took.as_secs_f64(),
            gaps.join(" "),
            self.repeated
        )?;
        let Some(back) = self.back else { return Ok(()) };
        let [told, trap, start] = [back.told, back.from_trap, back.from_start].map(ms);
        write!(f, "  told {told} ms and well {trap} ms after the trap, {start} ms after the begin")
    }
}

impl Report {
    /// Looks whether the laws held.
    pub(super) fn judge(&mut self, laws: Laws) {
        let broken = |upgrade: &Upgrade, what: String| {
            let bad = if upgrade.change.is_bad { ", bad" } else { "" };
            format!("upgrade {} ({}{bad}): {what}", upgrade.number, upgrade.change.stage.name())
        };
        let mut found = Vec::new();
        for upgrade in &self.upgrades {
            if upgrade.longest() > laws.gap && !upgrade.change.is_bad {
                found.push(broken(upgrade, format!("a gap of {} ms", ms(upgrade.longest()))));
            }
            if upgrade.repeated > 0 && !upgrade.change.is_bad {
                found.push(broken(upgrade, format!("{} events came again", upgrade.repeated)));
            }
            if let Some(back) = upgrade.back.filter(|back| back.from_trap > laws.back) {
                found.push(broken(upgrade, format!("all was well {} ms after the trap", ms(back.from_trap))));
            }
        }
        self.broken.extend(found);
        if self.lost > 0 {
            self.broken.push(format!("{} events were lost", self.lost));
        }
        let least = u128::from(laws.rate) * self.lasted.as_millis() / 1000 * RATE_PERCENT_MIN / 100;
        if u128::from(self.taken) < least {
            let text = format!("only {} events came in {:.1} s", self.taken, self.lasted.as_secs_f64());
            self.inconclusive.push(format!("{text}, {:.0} a second", self.rate()));
        }
    }

    pub(super) fn verdict(&self) -> Verdict {
        match (self.broken.is_empty(), self.inconclusive.is_empty()) {
            (false, _) => Verdict::Broken,
            (true, false) => Verdict::Inconclusive,
            (true, true) => Verdict::Passed,
        }
    }

    /// Unit: events a second.
    fn rate(&self) -> f64 {
        // Exact up to 2^53.
        self.taken as f64 / self.lasted.as_secs_f64().max(0.001)
    }

    fn of(&self, is_bad: bool) -> impl Iterator<Item = &Upgrade> {
        self.upgrades.iter().filter(move |upgrade| upgrade.change.is_bad == is_bad)
    }

    fn repeated(&self, is_bad: bool) -> u64 {
        self.of(is_bad).map(|upgrade| upgrade.repeated).sum()
    }

    /// For people.
    pub(super) fn table(&self) -> String {
        let mut text = format!("{:<34} {:>6} {:>8} {:>8} {:>8}\n", "", "count", "median", "90 %", "max");
        for (what, durations) in self.figures() {
            let Spread { median, p90, max } = Spread::of(&durations);
            let [median, p90, max] = [median, p90, max].map(ms);
            let _ = writeln!(text, "{what:<34} {:>6} {median:>8} {p90:>8} {max:>8}", durations.len());
        }
        let (good, bad) = (self.of(false).count(), self.of(true).count());
        let _ = writeln!(
            text,
            "\n{good} upgrades and {bad} bad versions in {:.1} s; {} events came, {:.0} a second: {} lost, {} repeated by \
             upgrades, {} after bad versions",
            self.lasted.as_secs_f64(),
            self.taken,
            self.rate(),
            self.lost,
            self.repeated(false),
            self.repeated(true)
        );
        if let Some(percent) = self.pressed {
            let _ = writeln!(text, "somebody on this machine waited for a processor for {percent} % of the time");
        }
        for why in &self.inconclusive {
            let _ = writeln!(text, "INCONCLUSIVE {why}");
        }
        for law in &self.broken {
            let _ = writeln!(text, "BROKEN {law}");
        }
        text
    }

    /// What is told of as median, nine tenths and longest.
    fn figures(&self) -> Vec<(String, Vec<Duration>)> {
        let mut figures = Vec::new();
        for is_bad in [false, true] {
            let what = if is_bad { "bad version of" } else { "upgrade of" };
            for stage in super::versions::Stage::ALL {
                let all: Vec<_> = self.of(is_bad).filter(|upgrade| upgrade.change.stage == stage).collect();
                if !all.is_empty() {
                    let gaps = all.iter().flat_map(|upgrade| upgrade.gaps.clone()).collect();
                    figures.push((format!("{what} {}: gaps, ms", stage.name()), gaps));
                    let took = all.iter().map(|upgrade| upgrade.took).collect();
                    figures.push((format!("{what} {}: deploy, ms", stage.name()), took));
                }
            }
        }
        let backs: Vec<_> = self.upgrades.iter().filter_map(|upgrade| upgrade.back).collect();
        if !backs.is_empty() {
            let of = |part: fn(&Back) -> Duration| backs.iter().map(part).collect();
            figures.push(("from trap to told of, ms".to_owned(), of(|back| back.told)));
            figures.push(("from trap to all well, ms".to_owned(), of(|back| back.from_trap)));
            figures.push(("from deploy to all well, ms".to_owned(), of(|back| back.from_start)));
        }
        figures
    }

    /// For programs.
    pub(super) fn json(&self) -> Value {
        let figures = self.figures().into_iter().map(|(what, durations)| (what, Spread::of(&durations).json()));
        json!({
            "kind": "summary",
            "upgrades": self.of(false).count(),
            "bad": self.of(true).count(),
            "taken": self.taken,
            "lost": self.lost,
            "pressed_percent": self.pressed,
            "repeated": self.repeated(false),
            "repeated_after_bad": self.repeated(true),
            "figures": figures.collect::<serde_json::Map<_, _>>(),
            "inconclusive": self.inconclusive,
            "broken": self.broken,
        })
    }
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::{super::versions::Stage, *};

    const LAWS: Laws = Laws { gap: Duration::from_millis(500), back: Duration::from_secs(5), rate: 100 };

    fn upgrade(is_bad: bool, gap: u64, repeated: u64, back: Option<u64>) -> Upgrade {
        let well = |ms| Back { told: Duration::ZERO, from_trap: Duration::from_millis(ms), from_start: Duration::ZERO };
        Upgrade {
            number: 1,
            change: Change { stage: Stage::Relay, is_bad },
            took: Duration::from_secs(2),
            gaps: vec![Duration::from_millis(20), Duration::from_millis(gap)],
            repeated,
            back: back.map(well),
        }
    }

    fn judged(upgrade: Upgrade, lost: u64, taken: u64) -> Report {
        let lasted = Duration::from_secs(10);
        let mut report = Report { upgrades: vec![upgrade], lost, taken, lasted, ..Report::default() };
        report.judge(LAWS);
        report
    }

    #[test]
    fn each_law_counts() {
        assert_eq!(judged(upgrade(false, 500, 0, None), 0, 950).verdict(), Verdict::Passed);
        assert_eq!(judged(upgrade(false, 501, 0, None), 0, 950).broken, ["upgrade 1 (relay): a gap of 501 ms"]);
        assert_eq!(judged(upgrade(false, 9, 3, None), 0, 950).broken, ["upgrade 1 (relay): 3 events came again"]);
        assert_eq!(judged(upgrade(true, 900, 3, Some(5_000)), 0, 950).verdict(), Verdict::Passed);
        let late = judged(upgrade(true, 900, 3, Some(5_001)), 0, 950);
        assert_eq!(late.broken, ["upgrade 1 (relay, bad): all was well 5001 ms after the trap"]);
        assert_eq!(judged(upgrade(false, 9, 0, None), 1, 950).broken, ["1 events were lost"]);
    }

    #[test]
    fn a_load_that_was_not_there_shows_nothing() {
        let light = judged(upgrade(false, 9, 0, None), 0, 949);
        assert_eq!(light.inconclusive, ["only 949 events came in 10.0 s, 95 a second"]);
        assert_eq!(light.verdict(), Verdict::Inconclusive);
    }

    #[test]
    fn figures_are_of_all_consumers() {
        let table = judged(upgrade(false, 30, 0, None), 0, 950).table();
        let gaps = table.lines().find(|line| line.starts_with("upgrade of relay: gaps")).unwrap();
        assert_eq!(gaps.split_whitespace().collect::<Vec<_>>()[5..], ["2", "20", "30", "30"]);
    }
}
