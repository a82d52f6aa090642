//! What was measured, summed up: medians, ratios, percentiles.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    vitals::Used,
    work::{Way, Work},
};

/// At one moment.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    pub(super) at: Instant,
    /// Events that each consumer was given so far.
    pub(super) events: Vec<u64>,
    /// What each process has used so far.
    pub(super) used: Vec<Used>,
}

/// How old events were: how many of each age. Unit: nanoseconds.
#[derive(Clone, Debug, Default)]
pub(super) struct Ages(BTreeMap<u64, u64>);

impl Ages {
    pub(super) fn add(&mut self, counts: &[(u64, u64)]) {
        for (age, count) in counts {
            *self.0.entry(*age).or_default() += count;
        }
    }

    /// The age that so many of a million events do not pass.
    pub(super) fn percentile(&self, per_million: u64) -> Option<Duration> {
        let all = self.0.values().sum::<u64>();
        let mut left = (u128::from(all) * u128::from(per_million)).div_ceil(1_000_000).max(1);
        self.0.iter().find_map(|(age, count)| {
            left = left.saturating_sub(u128::from(*count));
            (left == 0).then(|| Duration::from_nanos(*age))
        })
    }
}

/// One measurement.
#[derive(Clone, Debug)]
pub(super) struct Taken {
    pub(super) before: Sample,
    pub(super) after: Sample,
    pub(super) ages: Ages,
}

/// What one measurement comes to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Figures {
    pub(super) events_per_second: f64,
    /// Processor time of all processes.
    pub(super) cpu_seconds_per_million: f64,
    /// What the consumer with the fewest events has of its fair share.
    pub(super) least_share: f64,
    /// Of the largest process, at the end. Unit: MiB.
    pub(super) resident_mib: f64,
    /// Of the largest process, since its start. Unit: MiB.
    pub(super) peak_mib: f64,
}

impl Taken {
    pub(super) fn figures(&self) -> Figures {
        let Self { before, after, .. } = self;
        let seconds = (after.at - before.at).as_secs_f64();
        let events: Vec<f64> = after
            .events
            .iter()
            .zip(&before.events)
            .map(|(after, before)| after.saturating_sub(*before) as f64)
            .collect();
        let all = events.iter().sum::<f64>();
        let cpu: Duration =
            after.used.iter().zip(&before.used).map(|(after, before)| after.cpu.saturating_sub(before.cpu)).sum();
        let most =
            |bytes: fn(&Used) -> u64| after.used.iter().map(bytes).max().unwrap_or(0) as f64 / f64::from(1 << 20);
        let least = events.iter().copied().fold(f64::INFINITY, f64::min);
        Figures {
            events_per_second: all / seconds,
            cpu_seconds_per_million: cpu.as_secs_f64() * 1e6 / all.max(1.0),
            least_share: least * events.len() as f64 / all.max(1.0),
            resident_mib: most(|used| used.resident),
            peak_mib: most(|used| used.peak),
        }
    }
}

/// All measurements of one way to do a work.
#[derive(Clone, Debug, Default)]
pub(super) struct Runs {
    pub(super) figures: Vec<Figures>,
    pub(super) ages: Ages,
}

impl Runs {
    pub(super) fn add(&mut self, taken: &Taken) {
        self.figures.push(taken.figures());
        for (age, count) in &taken.ages.0 {
            self.ages.add(&[(*age, *count)]);
        }
    }

    pub(super) fn median(&self, of: impl Fn(&Figures) -> f64) -> f64 {
        let mut values: Vec<f64> = self.figures.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        match (values.len(), values.len() / 2) {
            (0, _) => 0.0,
            (len, half) if len % 2 == 0 => f64::midpoint(values[half - 1], values[half]),
            (_, half) => values[half],
        }
    }

    fn of_all(&self, of: impl Fn(&Figures) -> f64) -> Vec<f64> {
        self.figures.iter().map(of).collect()
    }
}

/// Of one work, all its ways.
pub(super) struct Report<'a> {
    pub(super) work: &'a Work,
    pub(super) ways: &'a BTreeMap<Way, Runs>,
}

impl Report<'_> {
    /// Events a second, as a part of what another way has.
    fn ratio(&self, way: Way, to: Way) -> Option<f64> {
        let rate = |way| Some(self.ways.get(&way)?.median(|found| found.events_per_second));
        Some(rate(way)? / rate(to).filter(|rate| *rate > 0.0)?)
    }

    pub(super) fn text(&self) -> String {
        let mut text = match self.work.rate {
            None => format!("{}\n", self.work.title()),
            Some(rate) => format!("{}, {} events/s\n", self.work.title(), grouped(f64::from(rate))),
        };
        for (way, runs) in self.ways {
            let mut line = if self.work.rate.is_some() { self.ages(runs) } else { self.throughput(*way, runs) };
            let least = runs.median(|found| found.least_share);
            if *way != Way::Raw && least < 0.95 {
                line += &format!("  least share {least:.2}");
            }
            text += &format!("  {:<7}{line}\n", way.name());
        }
        text
    }

    fn throughput(&self, way: Way, runs: &Runs) -> String {
        let rate = runs.median(|found| found.events_per_second);
        let mut line = format!(
            "{:>12} events/s {:>8.1} MB/s {:>8.3} CPU s per million {:>6.0} MiB",
            grouped(rate),
            rate * f64::from(self.work.payload.0) / 1e6,
            runs.median(|found| found.cpu_seconds_per_million),
            runs.median(|found| found.peak_mib),
        );
        let ratios = [Way::Native, Way::Raw].into_iter().filter(|to| *to != way && way != Way::Raw);
        for to in ratios {
            if let Some(ratio) = self.ratio(way, to) {
                line += &format!("  {ratio:.2} of {}", to.name());
            }
        }
        line
    }

    fn ages(&self, runs: &Runs) -> String {
        let us = |per_million| {
            let age = runs.ages.percentile(per_million).unwrap_or_default();
            format!("{:>8.1} us", age.as_secs_f64() * 1e6)
        };
        let rate = runs.median(|found| found.events_per_second);
        format!(
            "p50 {} p99 {} p99.9 {} at {} events/s {:>8.3} CPU s per million",
            us(500_000),
            us(990_000),
            us(999_000),
            grouped(rate),
            runs.median(|found| found.cpu_seconds_per_million),
        )
    }

    /// One object for each way.
    pub(super) fn json(&self) -> Vec<Value> {
        let us = |runs: &Runs, per_million| runs.ages.percentile(per_million).map(|age| age.as_secs_f64() * 1e6);
        let each = |(way, runs): (&Way, &Runs)| {
            let rate = runs.median(|found| found.events_per_second);
            json!({
                "work": self.work.title(),
                "topology": format!("{:?}", self.work.topology).to_lowercase(),
                "payload_bytes": self.work.payload.0,
                "max_demand": self.work.demand.max,
                "min_demand": self.work.demand.min,
                "consumers": usize::from(self.work.consumers) * self.work.topology.sinks(),
                "mtu": self.work.mtu,
                "threads": self.work.threads,
                "rate": self.work.rate,
                "way": way.name(),
                "runs": runs.figures.len(),
                "events_per_second": rate,
                "events_per_second_of_runs": runs.of_all(|found| found.events_per_second),
                "mb_per_second": rate * f64::from(self.work.payload.0) / 1e6,
                "cpu_seconds_per_million": runs.median(|found| found.cpu_seconds_per_million),
                "least_share": runs.median(|found| found.least_share),
                "resident_mib": runs.median(|found| found.resident_mib),
                "peak_mib": runs.median(|found| found.peak_mib),
                "of_native": self.ratio(*way, Way::Native),
                "of_raw": self.ratio(*way, Way::Raw),
                "latency_us": { "p50": us(runs, 500_000), "p99": us(runs, 990_000), "p99.9": us(runs, 999_000) },
            })
        };
        self.ways.iter().map(each).collect()
    }
}

/// With commas between thousands.
pub(super) fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_the_least_age_that_so_many_do_not_pass() {
        let mut ages = Ages::default();
        assert_eq!(ages.percentile(500_000), None);
        ages.add(&[(10, 98), (30, 1)]);
        ages.add(&[(30, 1)]);
        let at = |per_million| ages.percentile(per_million).map(|age| age.as_nanos());
        assert_eq!((at(500_000), at(980_000), at(980_001), at(1_000_000)), (Some(10), Some(10), Some(30), Some(30)));
    }

    #[test]
    fn figures_are_of_what_happened_between_two_samples() {
        let at = Instant::now();
        let used = |seconds| Used { cpu: Duration::from_secs(seconds), resident: 1 << 20, peak: 3 << 20 };
        let before = Sample { at, events: vec![100, 100], used: vec![used(1), used(1)] };
        let after =
            Sample { at: at + Duration::from_secs(2), events: vec![1_100, 3_100], used: vec![used(2), used(4)] };
        let found = Taken { before, after, ages: Ages::default() }.figures();
        assert_eq!((found.events_per_second, found.cpu_seconds_per_million), (2_000.0, 1_000.0));
        assert_eq!((found.least_share, found.resident_mib, found.peak_mib), (0.5, 1.0, 3.0));
    }

    #[test]
    fn numbers_are_grouped() {
        let texts = [1.0, 999.4, 1_000.0, 1_234_567.0].map(grouped);
        assert_eq!(texts, ["1", "999", "1,000", "1,234,567"]);
    }
}
