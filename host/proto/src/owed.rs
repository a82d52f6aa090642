//! What is owed upstream: inputs whose outputs are not all settled yet.
//!
//! Every guest call of a stage that makes events of events turns one input into consecutive outputs. The
//! input is acknowledged once all of them are settled: acknowledged downstream, or discarded by a full
//! buffer. In whatever order that happens.

use std::collections::BTreeMap;

use crate::{ids::Seq, message::SeqRun};

#[derive(Debug)]
struct Debt<T> {
    what: T,
    end: Seq,
    left: u64,
}

/// Inputs by the number of their first output.
#[derive(Debug)]
pub(crate) struct Owed<T>(BTreeMap<Seq, Debt<T>>);

impl<T> Default for Owed<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<T> Owed<T> {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// An input became the outputs from `first` up to, not including, `end`. Given back if there are none.
    pub(crate) fn add(&mut self, what: T, first: Seq, end: Seq) -> Option<T> {
        let left = end.0 - first.0;
        if left == 0 {
            return Some(what);
        }
        self.0.insert(first, Debt { what, end, left });
        None
    }

    /// Outputs are settled, each once. Gives the inputs of which none is left.
    pub(crate) fn settle(&mut self, run: SeqRun) -> Vec<T> {
        let from = self.0.range(..=run.first).next_back().map_or(run.first, |(first, _)| *first);
        let mut paid = Vec::new();
        for (first, debt) in self.0.range_mut(from..run.end()) {
            let (start, end) = ((*first).max(run.first), debt.end.min(run.end()));
            debt.left = debt.left.saturating_sub(end.0.saturating_sub(start.0));
            if debt.left == 0 {
                paid.push(*first);
            }
        }
        paid.into_iter().filter_map(|first| self.0.remove(&first)).map(|debt| debt.what).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(first: u64, count: u32) -> SeqRun {
        SeqRun { first: Seq(first), count }
    }

    #[test]
    fn an_input_is_paid_when_all_its_outputs_are_settled_in_any_order() {
        let mut owed = Owed::default();
        assert_eq!(owed.add("none", Seq(0), Seq(0)), Some("none"));
        assert_eq!(owed.add("a", Seq(0), Seq(3)), None);
        assert_eq!(owed.add("b", Seq(3), Seq(5)), None);
        assert_eq!(owed.add("c", Seq(9), Seq(10)), None);
        assert_eq!(owed.settle(run(2, 3)), ["b"]);
        assert_eq!(owed.settle(run(0, 1)), [] as [&str; 0]);
        assert_eq!(owed.settle(run(5, 4)), [] as [&str; 0], "numbers of nobody");
        assert_eq!(owed.settle(run(1, 1)), ["a"]);
        assert_eq!(owed.settle(run(9, 1)), ["c"]);
        assert!(owed.is_empty());
    }

    #[test]
    fn one_run_can_pay_several() {
        let mut owed = Owed::default();
        for n in 0..4_u64 {
            owed.add(n, Seq(2 * n), Seq(2 * n + 2));
        }
        assert_eq!(owed.settle(run(1, 6)), [1, 2]);
        assert_eq!(owed.settle(run(0, 1)), [0]);
        assert_eq!(owed.settle(run(7, 1)), [3]);
    }
}
