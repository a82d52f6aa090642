//! Which of a stage's instances an event is for, where it has several.

use std::{collections::BTreeMap, ops::Range};

use super::GatherBy;
use crate::{batch::Batch, dispatch::hash};

/// The lanes of events, of so many: stretches of one each. `None`: these may be given to any instance.
pub(crate) fn lane_of(events: &Batch, by: &GatherBy, lanes: usize) -> Vec<(Range<usize>, Option<usize>)> {
    let lane = |value: &[u8]| {
        let lane = spread(hash(value)) % lanes as u64;
        usize::try_from(lane).expect("below the number of lanes")
    };
    alike(events, Some(by)).into_iter().map(|(value, range)| (range, value.map(lane))).collect()
}

/// A hash that has nothing in common with the one a partition is found by: of the events of one partition all instances
/// get their share. The finalizer of SplitMix64 (Steele, Lea and Flood, 2014).
fn spread(mut hash: u64) -> u64 {
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

/// The ranges of neighbours that are equal in what counts, and what they have in common.
pub(super) fn alike<'b>(events: &'b Batch, by: Option<&GatherBy>) -> Vec<(Option<&'b [u8]>, Range<usize>)> {
    let Some(by) = by else { return vec![(None, 0..events.len())] };
    let headers = match by {
        GatherBy::Header(name) => first_headers(events, name),
        GatherBy::Key | GatherBy::Topic => BTreeMap::new(),
    };
    let mut ranges: Vec<(Option<&[u8]>, Range<usize>)> = Vec::new();
    for index in 0..events.len() {
        let event = events.event(index);
        let value = match by {
            GatherBy::Key => Some(event.key).filter(|key| !key.is_empty()),
            GatherBy::Topic => event.topic.map(str::as_bytes),
            GatherBy::Header(_) => headers.get(&index).map(|value| value.as_bytes()),
        };
        match ranges.last_mut() {
            Some((last, range)) if *last == value => range.end = index + 1,
            _ => ranges.push((value, index..index + 1)),
        }
    }
    ranges
}

fn first_headers<'b>(events: &'b Batch, name: &str) -> BTreeMap<usize, &'b str> {
    let mut headers = BTreeMap::new();
    for (event, of, value) in events.headers() {
        if of == name {
            headers.entry(event as usize).or_insert(value);
        }
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_one_partition_are_spread_over_all_lanes() {
        for (partitions, lanes) in [(4_u64, 4_u64), (8, 2), (2, 8)] {
            let mut counts = vec![0_usize; usize::try_from(lanes).unwrap()];
            let keys = (0..40_000_u32).map(|n| hash(format!("key-{n}").as_bytes()));
            let of_first: Vec<_> = keys.filter(|hash| hash % partitions == 0).collect();
            for hash in &of_first {
                counts[usize::try_from(spread(*hash) % lanes).unwrap()] += 1;
            }
            let mean = of_first.len() / counts.len();
            assert!(counts.iter().all(|count| count.abs_diff(mean) < mean / 5), "{counts:?} of {}", of_first.len());
        }
    }
}
