//! Reads the traces of nodes and says which promises were broken, whether the run could have broken
//! them, and how long consumers waited after a fault.
//!
//! ```text
//! files -- merge --> records in causal order --> world (what is known so far)
//!                                            |-> laws, one file each --> violations
//!                                            |-> coverage: what the run went through
//!                                            '-> gaps: fault to next event elsewhere
//! ```
//!
//! Records are looked at one after the other and kept only where a law needs them to explain itself.
//! What they say is in the README, and in `forebay-trace`.
//!
//! ```
//! use forebay_check::{Options, Verdict, check};
//! use forebay_trace::{Clock, Collector, Event, Writer};
//!
//! let collector = Collector::default();
//! Writer::new("a", 7, Clock::Monotonic, collector.clone()).write(Event::NodeStart {});
//! let report = check(collector.take(), Options::default());
//! assert_eq!(report.verdict(), Verdict::Holds, "{report}");
//! ```

mod coverage;
mod gaps;
mod laws;
mod merge;
mod options;
mod ranges;
mod report;
mod world;

use std::sync::Arc;

use forebay_trace::Record;

pub use coverage::{Coverage, FaultSeen};
pub use gaps::Gap;
pub use merge::{MergeError, Merged, files};
pub use options::{Agreement, Dispatching, Minimum, Options, Truth};
pub use ranges::Ranges;
pub use report::{Report, Verdict, Violation};

/// A record, shared by those that keep it to explain themselves with.
pub(crate) type Fact = Arc<Record>;

/// Looks at records one by one. For a whole trace there is [`check`].
#[derive(Debug)]
pub struct Checker {
    world: world::World,
    laws: laws::Laws,
    coverage: coverage::Counting,
    gaps: gaps::Gaps,
}

impl Checker {
    /// Before the first record.
    pub fn new(options: Options) -> Self {
        let laws = laws::Laws::new(&options);
        let world = world::World::new(options);
        Self { world, laws, coverage: coverage::Counting::default(), gaps: gaps::Gaps::default() }
    }

    /// The next record. What happened because of another record comes after it.
    pub fn see(&mut self, record: Record) {
        let fact = Arc::new(record);
        self.world.learn(&fact);
        self.laws.see(&fact, &self.world);
        self.coverage.see(&fact, &self.world);
        self.gaps.see(&fact);
    }

    /// After the last record.
    pub fn finish(mut self) -> Report {
        self.laws.end(&self.world);
        let coverage = self.coverage.finish();
        let missing = coverage.missing(&self.world.options);
        Report { violations: self.laws.into_violations(), coverage, missing, gaps: self.gaps.finish() }
    }
}

/// Checks records that are in causal order: as one process collected them, or merged by [`files`].
pub fn check(records: impl IntoIterator<Item = Record>, options: Options) -> Report {
    let mut checker = Checker::new(options);
    records.into_iter().for_each(|record| checker.see(record));
    checker.finish()
}
