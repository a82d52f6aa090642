//! Stretches of a batch's events that are equal in something, and the headers they are compared by.

use std::ops::Range;

use super::Batch;

impl Batch {
    /// The first value of a header, for each event.
    pub(crate) fn first_headers(&self, name: &str) -> Vec<Option<&str>> {
        let mut values = vec![None; self.len()];
        for (event, found, value) in self.headers() {
            if found == name {
                values[event as usize].get_or_insert(value);
            }
        }
        values
    }
}

/// Stretches of equal neighbours, of what is known of each event.
pub(crate) fn of_each<K: PartialEq>(known: impl Iterator<Item = K>) -> Vec<(K, Range<usize>)> {
    joined(known.enumerate().map(|(at, known)| (known, at..at + 1)))
}

/// The same, of what is known of each stretch.
pub(crate) fn joined<K: PartialEq>(parts: impl Iterator<Item = (K, Range<usize>)>) -> Vec<(K, Range<usize>)> {
    let mut joined: Vec<(K, Range<usize>)> = Vec::new();
    for (known, range) in parts {
        match joined.last_mut() {
            Some((last, before)) if *last == known => before.end = range.end,
            _ => joined.push((known, range)),
        }
    }
    joined
}
