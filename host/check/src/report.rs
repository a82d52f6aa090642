//! What came of a check, for people and for exit codes.

use std::fmt;

use forebay_trace::Record;

use crate::{coverage::Coverage, gaps::Gap};

/// A promise that was not kept.
#[derive(Clone, Debug)]
pub struct Violation {
    /// Which law, by the name of its file.
    pub law: &'static str,
    /// What is wrong.
    pub what: String,
    /// The records that show it, in their order. The last one broke the law.
    pub slice: Vec<Record>,
}

/// What to make of a run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// All laws held, and the run went through what it was to go through.
    Holds,
    /// A law was broken.
    Broken,
    /// No law was broken, but the run cannot show that they hold.
    Inconclusive,
}

impl Verdict {
    /// 0, 1 or 2.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Holds => 0,
            Self::Broken => 1,
            Self::Inconclusive => 2,
        }
    }
}

/// What came of a check.
#[derive(Clone, Debug)]
pub struct Report {
    /// What was not kept; at most [`Report::VIOLATIONS_MAX`] of each law.
    pub violations: Vec<Violation>,
    /// What the run went through.
    pub coverage: Coverage,
    /// Why the run is not enough, if it is not.
    pub missing: Vec<String>,
    /// How long consumers waited after each fault that hit an owner.
    pub gaps: Vec<Gap>,
}

impl Report {
    /// Violations of one law that are kept: the first explain the rest.
    pub const VIOLATIONS_MAX: usize = 10;

    /// What to make of it.
    pub fn verdict(&self) -> Verdict {
        match (self.violations.is_empty(), self.missing.is_empty()) {
            (false, _) => Verdict::Broken,
            (true, false) => Verdict::Inconclusive,
            (true, true) => Verdict::Holds,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Violation { law, what, slice } in &self.violations {
            writeln!(f, "BROKEN {law}: {what}")?;
            for record in slice {
                // As its process wrote it, to be found there.
                writeln!(f, "    {}", serde_json::to_string(record).unwrap_or_else(|_| format!("{record:?}")))?;
            }
        }
        write!(f, "{}", self.coverage)?;
        gaps(f, &self.gaps)?;
        for missing in &self.missing {
            writeln!(f, "MISSING {missing}")?;
        }
        match self.verdict() {
            Verdict::Holds => write!(f, "all laws held"),
            Verdict::Broken => write!(f, "{} violations", self.violations.len()),
            Verdict::Inconclusive => write!(f, "no law was broken, but the run is not enough to say that they hold"),
        }
    }
}

fn gaps(f: &mut fmt::Formatter<'_>, gaps: &[Gap]) -> fmt::Result {
    let mut classes: Vec<_> = gaps.iter().map(|gap| &gap.class).collect();
    classes.sort();
    classes.dedup();
    for class in classes {
        let of_class = || gaps.iter().filter(|gap| gap.class == *class);
        let mut times: Vec<_> = of_class().filter_map(|gap| gap.time).collect();
        times.sort();
        let never = of_class().count() - times.len();
        write!(f, "gap after {class}: ")?;
        if let (Some(median), Some(max)) = (times.get((times.len().max(1) - 1) / 2), times.last()) {
            write!(f, "median {median:.1?}, max {max:.1?} of {}", times.len())?;
        }
        writeln!(f, "{}", if never > 0 { format!(", {never} without a further event") } else { String::new() })?;
    }
    Ok(())
}
