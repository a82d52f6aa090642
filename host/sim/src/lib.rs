//! Whole clusters of Forebay's own state machines on a fake network, from a seed.
//!
//! Everything the core decides is the real code: stages, claims, placement. Around it all is made up:
//! time, the network, guests, faults. One seed is one run, the same on every machine. A run writes
//! down what happened; laws are checked on that log afterwards. See `README.md`.

mod agenda;
mod facts;
mod guest;
mod laws;
mod network;
mod node;
mod oracle;
mod routing;
mod workload;
mod world;

pub use oracle::Coverage;

/// What came of one seed.
#[derive(Debug)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// The laws that were broken: name, and where first.
    pub violations: Vec<(&'static str, String)>,
    /// How often each kind of trouble occurred.
    pub coverage: Coverage,
    /// What happened, one line each.
    story: oracle::Run,
}

impl Report {
    /// What happened: virtual time, who, what.
    pub fn story(&self) -> impl Iterator<Item = String> {
        self.story.facts.iter().map(ToString::to_string)
    }

    /// The pipeline and the cluster of this seed, one line each.
    pub fn setting(&self) -> Vec<String> {
        let workload = &self.story.workload;
        let mut lines = vec![format!("{} nodes, in the end in groups {:?}", workload.nodes, workload.groups)];
        lines.extend(workload.stages.iter().map(|plan| format!("{plan:?}")));
        lines
    }
}

/// Runs one seed and checks all laws.
pub fn run(seed: u64) -> Report {
    let run = world::World::run(seed);
    let check = |(name, check): &(&'static str, laws::Check)| {
        let violation = check(&run).err()?;
        Some((*name, format!("at {:.3}s: {}", violation.at.as_secs_f64(), violation.what)))
    };
    let violations = laws::LAWS.iter().filter_map(check).collect();
    Report { seed, violations, coverage: Coverage::of(&run), story: run }
}
