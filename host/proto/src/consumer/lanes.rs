//! Which of a stage's instances an event is for, where it has several.

use std::ops::Range;

use super::GatherBy;
use crate::{
    batch::{Batch, of_each},
    dispatch::hash,
};

/// The lanes of events, of so many: stretches of one each. `None`: these may be given to any instance.
pub(crate) fn lane_of(events: &Batch, by: &GatherBy, lanes: usize) -> Vec<(Option<usize>, Range<usize>)> {
    let lane = |value: &[u8]| {
        let lane = spread(hash(value)) % lanes as u64;
        usize::try_from(lane).expect("below the number of lanes")
    };
    alike(events, Some(by)).into_iter().map(|(value, range)| (value.map(lane), range)).collect()
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
    match by {
        None => vec![(None, 0..events.len())],
        Some(GatherBy::Key) => of_each(events.iter().map(|event| Some(event.key).filter(|key| !key.is_empty()))),
        Some(GatherBy::Topic) => of_each(events.iter().map(|event| event.topic.map(str::as_bytes))),
        Some(GatherBy::Header(name)) => {
            of_each(events.first_headers(name).into_iter().map(|value| value.map(str::as_bytes)))
        }
    }
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
