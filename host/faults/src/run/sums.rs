//! Whether the numbers that a source has counted all came to the sinks: the sum that a user would make.

use std::{collections::BTreeSet, fmt};

use forebay_trace::{Event, Run};
use serde_json::{Value, json};

use crate::cluster::{SINK, inlet, is_stage};

/// What came of the numbers of one cluster, or of several.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Sums {
    /// On record as settled, by the last checkpoint.
    pub(crate) recorded: u64,
    /// Of those, taken by no sink.
    pub(crate) missing: u64,
    /// Taken by sinks, each once.
    pub(crate) taken: u64,
    /// Taken by sinks once more.
    pub(crate) repeated: u64,
}

impl std::ops::AddAssign for Sums {
    fn add_assign(&mut self, other: Self) {
        self.recorded += other.recorded;
        self.missing += other.missing;
        self.taken += other.taken;
        self.repeated += other.repeated;
    }
}

impl fmt::Display for Sums {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { recorded, missing, taken, repeated } = self;
        write!(
            f,
            "{taken} numbers came to the sinks, {repeated} of their events again; of {recorded} on record {missing} are \
             missing"
        )
    }
}

impl Sums {
    /// For programs.
    pub(crate) fn json(&self) -> Value {
        let Self { recorded, missing, taken, repeated } = self;
        json!({ "recorded": recorded, "missing": missing, "taken": taken, "repeated": repeated })
    }
}

/// Fed with all records of one cluster, in any order.
#[derive(Debug)]
pub(crate) struct Tally {
    /// How often each number comes to the sinks when nothing is lost or repeated.
    copies: u64,
    /// The stage that counts.
    numbers: &'static str,
    recorded: u64,
    taken: BTreeSet<u64>,
    handled: u64,
}

impl Tally {
    /// `chain`: of a cluster in which a stage stands between the numbers and the sinks, which doubles them.
    pub(crate) fn new(chain: bool) -> Self {
        let copies = if chain { 2 } else { 1 };
        Self { copies, numbers: inlet(chain), recorded: 0, taken: BTreeSet::new(), handled: 0 }
    }

    pub(crate) fn see(&mut self, event: &Event) {
        match event {
            Event::CkptApplied { stage, seq, .. } if is_stage(stage, self.numbers) => {
                self.recorded = self.recorded.max(seq + 1)
            }
            Event::Handled { stage, serials, .. } if is_stage(stage, SINK) => {
                for Run { first, count } in serials {
                    self.handled += count;
                    self.taken.extend(*first..first + count);
                }
            }
            _ => {}
        }
    }

    /// The counter counts from 0, so that a number is the place of its event.
    pub(crate) fn sums(&self) -> Sums {
        let missing = (0..self.recorded).filter(|number| !self.taken.contains(number)).count() as u64;
        let taken = self.taken.len() as u64;
        let repeated = self.handled.saturating_sub(self.copies * taken);
        Sums { recorded: self.recorded, missing, taken, repeated }
    }
}

#[cfg(test)]
mod tests {
    use forebay_trace::Epoch;

    use super::*;
    use crate::cluster::SOURCE;

    fn taken(first: u64, count: u64) -> Event {
        let (stage, source) = (format!("faults/{SINK}").as_str().into(), "faults/counter".into());
        let runs = vec![Run { first, count }];
        let (own, epoch, serials) = (Epoch(1), Epoch(1), runs.clone());
        Event::Handled { stage, own, source, epoch, sub: 1, attempt: 1, runs, serials }
    }

    fn recorded(seq: u64) -> Event {
        Event::CkptApplied {
            stage: format!("faults/{SOURCE}").as_str().into(),
            epoch: Epoch(1),
            prev: None,
            seq,
            digest: None,
        }
    }

    #[test]
    fn a_number_on_record_that_no_sink_took_is_missing() {
        let mut tally = Tally::new(false);
        [taken(0, 3), taken(4, 3), recorded(5), taken(4, 1)].iter().for_each(|event| tally.see(event));
        assert_eq!(tally.sums(), Sums { recorded: 6, missing: 1, taken: 6, repeated: 1 });
        let mut twice = Tally::new(true);
        [taken(0, 1), taken(0, 1), taken(1, 1), taken(1, 1), taken(1, 1)].iter().for_each(|event| twice.see(event));
        assert_eq!(twice.sums().repeated, 1);
    }
}
