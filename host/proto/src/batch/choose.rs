//! A choice of a batch's events, as a batch of its own.

use super::{Batch, Columns, piece};

impl Batch {
    /// The events at these places, which rise. Neighbours are a view of this batch; any other choice is copied once, and
    /// keeps the table of topics.
    ///
    /// # Panics
    /// If an index is outside the batch.
    #[must_use]
    pub fn choose(&self, indexes: &[usize]) -> Self {
        let (Some(first), Some(last)) = (indexes.first(), indexes.last()) else { return Self::default() };
        if last - first + 1 == indexes.len() {
            return self.slice(*first..last + 1);
        }
        let narrow = |n: usize| u32::try_from(n).expect("no more than the columns that it is taken from");
        let from = &*self.columns;
        let mut chosen = Columns { topics: from.topics.clone(), ..Columns::default() };
        for index in indexes {
            assert!(*index < self.len(), "event {index} of {}", self.len());
            let at = self.range.start + index;
            chosen.payloads.extend_from_slice(piece(&from.payloads, &from.ends, at));
            chosen.ends.push(narrow(chosen.payloads.len()));
            chosen.topic_of.extend(from.topic_of.get(at));
            if !from.key_ends.is_empty() {
                chosen.keys.extend_from_slice(piece(&from.keys, &from.key_ends, at));
                chosen.key_ends.push(narrow(chosen.keys.len()));
            }
        }
        for (event, name, value) in self.headers() {
            if let Ok(place) = indexes.binary_search(&(event as usize)) {
                chosen.headers.push((narrow(place), name.to_owned(), value.to_owned()));
            }
        }
        Self::made(chosen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::BatchLimits;

    fn batch() -> Batch {
        let header = |event, value: &str| (event, "h".to_owned(), value.to_owned());
        let columns = Columns {
            payloads: b"zeroonetwothree".to_vec(),
            ends: vec![4, 7, 10, 15],
            topics: vec!["x".into(), "y".into()],
            topic_of: vec![0, 1, 1, 0],
            keys: b"aab".to_vec(),
            key_ends: vec![1, 2, 3, 3],
            headers: vec![header(0, "1"), header(2, "2"), header(2, "3"), header(3, "4")],
        };
        Batch::new(columns, &BatchLimits::default()).unwrap()
    }

    #[test]
    fn chosen_events_keep_all_that_belongs_to_them() {
        for indexes in [vec![0, 2], vec![0, 1, 3], vec![1, 3], vec![0, 1, 2, 3], vec![2, 3], vec![1]] {
            let chosen = batch().choose(&indexes);
            let whole = batch();
            let events: Vec<_> = indexes.iter().map(|&index| whole.event(index)).collect();
            assert_eq!(chosen.iter().collect::<Vec<_>>(), events, "{indexes:?}");
            let of = |(event, name, value): (u32, &str, &str)| (event as usize, name.to_owned(), value.to_owned());
            let expected: Vec<_> = whole.headers().map(of).collect();
            let found: Vec<_> = chosen.headers().map(of).map(|(at, name, value)| (indexes[at], name, value)).collect();
            let expected: Vec<_> = expected.into_iter().filter(|(event, ..)| indexes.contains(event)).collect();
            assert_eq!(found, expected, "{indexes:?}");
            let checked = Batch::new(chosen.to_columns(), &BatchLimits::default());
            assert_eq!(checked.map(|batch| batch.len()), Ok(indexes.len()));
        }
        assert!(batch().choose(&[]).is_empty());
    }

    #[test]
    fn a_choice_of_a_view_counts_within_the_view() {
        let chosen = batch().slice(1..4).choose(&[0, 2]);
        let payloads: Vec<_> = chosen.iter().map(|event| event.payload).collect();
        assert_eq!(payloads, [&b"one"[..], b"three"]);
        assert_eq!(chosen.headers().collect::<Vec<_>>(), [(1, "h", "4")]);
    }

    #[test]
    fn neighbours_are_not_copied() {
        assert!(batch().choose(&[1]).len() == 1);
        let whole = batch();
        assert!(whole.choose(&[1, 2, 3]).shares_columns(&whole) && !whole.choose(&[1, 3]).shares_columns(&whole));
    }
}
