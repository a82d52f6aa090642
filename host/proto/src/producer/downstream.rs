//! One subscription as its producer sees it: what it granted, and what it has not acknowledged.

use crate::{
    chunks::Chunks,
    message::{Demand, SeqRun},
};

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Downstream {
    demand: Demand,
    /// All events asked for and acknowledged since the start.
    granted: u64,
    acked: u64,
    /// Sent and not acknowledged, in the order of sending. Never more than `demand.max()` events.
    unacked: Chunks,
}

impl Downstream {
    pub(super) fn new(demand: Demand) -> Self {
        Self { demand, granted: 0, acked: 0, unacked: Chunks::default() }
    }

    pub(crate) fn unacked(&self) -> &Chunks {
        &self.unacked
    }

    pub(super) fn into_unacked(self) -> Chunks {
        self.unacked
    }

    /// These were sent to it.
    pub(super) fn sent(&mut self, events: Chunks) {
        self.unacked.append(events);
    }

    /// What was sent and is to be sent again.
    pub(super) fn take_back(&mut self, runs: &[SeqRun]) -> Result<Chunks, String> {
        let mut taken = Chunks::default();
        for &run in runs {
            let part = self.unacked.extract(run);
            let known = part.len() as u64;
            taken.append(part);
            if known != u64::from(run.count) {
                self.unacked.merge(taken);
                return Err(not_sent(run, known, "given back"));
            }
            self.acked += known;
        }
        Ok(taken)
    }

    /// Takes acknowledgements and new demand; says how much is new, or how the protocol was broken.
    pub(super) fn on_ask(&mut self, granted: u64, acked: &[SeqRun]) -> Result<u32, String> {
        for &run in acked {
            let known = self.unacked.remove(run);
            if known != u64::from(run.count) {
                return Err(not_sent(run, known, "acknowledged"));
            }
            self.acked += known;
        }
        let before = self.granted;
        let Some(more) = granted.checked_sub(before) else {
            return Err(format!("demand fell from {before} to {granted}; it only rises"));
        };
        let open = granted - self.acked;
        let max = self.demand.max();
        if open > u64::from(max) {
            return Err(format!("{open} events asked for and not acknowledged, max_demand is {max}"));
        }
        self.granted = granted;
        Ok(u32::try_from(more).expect("no more than max_demand, as just checked"))
    }
}

fn not_sent(run: SeqRun, known: u64, what: &str) -> String {
    format!("{} events from {} on {what}, {known} of them were sent", run.count, run.first.0)
}
