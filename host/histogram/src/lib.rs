//! What openraft uses of the crate `base2histogram`, in its place (`[patch.crates-io]` in the workspace's manifest).
//!
//! openraft counts how long its batches are, in a few histograms that nobody reads here. With the first of them that crate
//! fills tables for 16 widths of buckets, of which openraft uses one: 26 MiB, half of what an idle node took. This
//! one computes a bucket instead of looking it up: its counts are the same, of values to a quarter.
//!
//! To be dropped when the crate fills its tables when they are wanted.

use std::{fmt, marker::PhantomData};

/// Values of each power of two are told apart by so many bits.
const BITS: u32 = 2;

const PER_POWER: usize = 1 << BITS;

/// Whatever a `u64` can be.
const BUCKETS: usize = (u64::BITS - BITS + 1) as usize * PER_POWER;

/// How often values came. `T` is not used here.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Histogram<T = ()> {
    counts: Vec<u64>,
    total: u64,
    of: PhantomData<T>,
}

impl<T> Default for Histogram<T> {
    fn default() -> Self {
        Self { counts: vec![0; BUCKETS], total: 0, of: PhantomData }
    }
}

impl<T> Histogram<T> {
    /// Of nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// A value came.
    pub fn record(&mut self, value: u64) {
        self.record_n(value, 1);
    }

    /// A value came `n` times.
    pub fn record_n(&mut self, value: u64, n: u64) {
        let count = &mut self.counts[bucket(value)];
        *count = count.saturating_add(n);
        self.total = self.total.saturating_add(n);
    }

    /// The usual ones, each as the least value of its bucket; 0 of nothing.
    pub fn percentile_stats(&self) -> PercentileStats {
        let at = |per_mille: u64| self.least(per_mille);
        PercentileStats {
            samples: self.total,
            p0_1: at(1),
            p1: at(10),
            p5: at(50),
            p10: at(100),
            p50: at(500),
            p90: at(900),
            p99: at(990),
            p99_9: at(999),
        }
    }

    fn least(&self, per_mille: u64) -> u64 {
        let wanted = (u128::from(self.total) * u128::from(per_mille)).div_ceil(1000);
        let mut found = 0;
        let reaches = |count: &u64| {
            found += u128::from(*count);
            found >= wanted
        };
        if wanted == 0 { 0 } else { self.counts.iter().position(reaches).map_or(0, least_of) }
    }
}

fn bucket(value: u64) -> usize {
    let power = u64::BITS - value.leading_zeros();
    // What has no more bits than that has a bucket of its own.
    let shift = power.saturating_sub(BITS + 1);
    (value >> shift) as usize + shift as usize * PER_POWER
}

fn least_of(bucket: usize) -> u64 {
    let shift = (bucket / PER_POWER).saturating_sub(1);
    ((bucket - shift * PER_POWER) as u64) << shift
}

/// Values that so many of the recorded ones do not pass.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(missing_docs, reason = "the fields are what their names say")]
pub struct PercentileStats {
    pub samples: u64,
    pub p0_1: u64,
    pub p1: u64,
    pub p5: u64,
    pub p10: u64,
    pub p50: u64,
    pub p90: u64,
    pub p99: u64,
    pub p99_9: u64,
}

impl fmt::Display for PercentileStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { samples, p50, p90, p99, p99_9, .. } = self;
        write!(f, "{samples} values, p50 {p50}, p90 {p90}, p99 {p99}, p99.9 {p99_9}")
    }
}

/// Histograms below each other: a line of percentiles for each.
#[derive(Clone, Debug, Default)]
pub struct AsciiChart(Vec<(String, PercentileStats)>);

impl AsciiChart {
    /// Of nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// And this one.
    #[must_use]
    pub fn add<T>(mut self, name: impl Into<String>, histogram: Histogram<T>) -> Self {
        self.0.push((name.into(), histogram.percentile_stats()));
        self
    }
}

impl fmt::Display for AsciiChart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(name, stats)| writeln!(f, "{name}: {stats}"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_bucket_holds_what_is_at_most_a_quarter_more_than_its_least(value in any::<u64>(), small in 0..10_u64) {
            for value in [value, value >> 40, small] {
                let least = least_of(bucket(value));
                prop_assert!(bucket(value) < BUCKETS && least <= value && value - least <= least / 4);
                prop_assert_eq!(bucket(least), bucket(value));
            }
        }
    }

    #[test]
    fn percentiles_are_those_of_what_came() {
        let mut histogram = Histogram::<()>::new();
        assert_eq!(histogram.percentile_stats().p99, 0);
        histogram.record_n(3, 990);
        (0..9).for_each(|_| histogram.record(64));
        histogram.record(u64::MAX);
        let stats = histogram.percentile_stats();
        assert_eq!((stats.samples, stats.p50, stats.p99, stats.p99_9), (1000, 3, 3, 64));
        let chart = AsciiChart::new().add("length", histogram).to_string();
        assert_eq!(chart, "length: 1000 values, p50 3, p90 3, p99 3, p99.9 64\n");
    }
}
