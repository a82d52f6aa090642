//! The topics of a batch as what selects events sees them: a table, and stretches that share an entry.

use std::ops::Range;

use super::Batch;

impl Batch {
    /// The topics that the events of this batch may have.
    pub(crate) fn topics(&self) -> &[String] {
        &self.columns.topics
    }

    /// Stretches of consecutive events with one topic, by its place in [`Batch::topics`]. `None`: these have none.
    ///
    /// Whoever selects by topic works once for each entry of the table, and compares no text for an event.
    pub(crate) fn topic_runs(&self) -> Vec<(Option<usize>, Range<usize>)> {
        let Some(topic_of) = self.columns.topic_of.get(self.range.clone()).filter(|column| !column.is_empty()) else {
            return if self.is_empty() { Vec::new() } else { vec![(None, 0..self.len())] };
        };
        let mut start = 0;
        let run = |run: &[u16]| {
            let range = start..start + run.len();
            start = range.end;
            (Some(usize::from(run[0])), range)
        };
        topic_of.chunk_by(|one, next| one == next).map(run).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{BatchLimits, Columns};

    #[test]
    fn runs_of_one_topic_are_found_within_a_view() {
        let topics = vec!["a".to_owned(), "b".to_owned()];
        let columns = Columns { ends: vec![0; 5], topics, topic_of: vec![0, 0, 1, 1, 0], ..Columns::default() };
        let batch = Batch::new(columns, &BatchLimits::default()).unwrap();
        assert_eq!(batch.topic_runs(), [(Some(0), 0..2), (Some(1), 2..4), (Some(0), 4..5)]);
        assert_eq!(batch.slice(1..4).topic_runs(), [(Some(0), 0..1), (Some(1), 1..3)]);
        assert_eq!(Batch::from_payloads(["x", "y"]).topic_runs(), [(None, 0..2)]);
        assert_eq!(Batch::default().topic_runs(), []);
    }
}
