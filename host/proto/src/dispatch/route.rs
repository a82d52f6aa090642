//! Which partition an event belongs to.

use std::ops::Range;

use super::options::{PartitionBy, PartitionOptions};
use crate::batch::{Batch, joined, of_each};

/// The 64-bit FNV-1a hash (Fowler, Noll and Vo, 1991): the same everywhere and in every release, so that an event
/// belongs to the same partition whichever node sees to it.
pub(crate) fn hash(bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, step)
}

/// The partitions of a batch: stretches of one each. `None`: these have none.
pub(super) fn route(options: &PartitionOptions, batch: &Batch) -> Vec<(Option<usize>, Range<usize>)> {
    let hashed = |bytes: &[u8]| {
        let partition = hash(bytes) % options.partitions.len() as u64;
        Some(usize::try_from(partition).expect("below the number of partitions"))
    };
    match &options.by {
        PartitionBy::Topic => {
            let of_topics: Vec<_> = batch.topics().iter().map(|topic| hashed(topic.as_bytes())).collect();
            let of =
                |(topic, range): (Option<usize>, _)| (topic.map_or_else(|| hashed(b""), |at| of_topics[at]), range);
            joined(batch.topic_runs().into_iter().map(of))
        }
        PartitionBy::Key => of_each(batch.iter().map(|event| hashed(event.key))),
        PartitionBy::Header(name) => {
            of_each(batch.first_headers(name).into_iter().map(|value| hashed(value?.as_bytes())))
        }
        PartitionBy::Number(name) => {
            let named = |value: &str| options.partitions.iter().position(|partition| partition.as_str() == value);
            of_each(batch.first_headers(name).into_iter().map(|value| named(value?)))
        }
    }
}

/// What is wrong with the first event that has no partition, in words.
pub(super) fn why_none(options: &PartitionOptions, batch: &Batch) -> String {
    match &options.by {
        PartitionBy::Key | PartitionBy::Topic => "it has one".to_owned(),
        PartitionBy::Header(name) | PartitionBy::Number(name) => match batch.first_headers(name).first() {
            Some(Some(value)) => {
                let value: String = value.escape_debug().take(80).collect();
                format!("header `{name}` holds `{value}`, which is no partition")
            }
            _ => format!("it has no header `{name}`"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        batch::{BatchLimits, Columns},
        dispatch::numbered_partitions,
    };
    use std::time::Duration;

    fn options(by: PartitionBy, count: u32) -> PartitionOptions {
        PartitionOptions { by, partitions: numbered_partitions(count), away: Duration::ZERO }
    }

    fn batch() -> Batch {
        let header = |event, value: &str| (event, "p".to_owned(), value.to_owned());
        let columns = Columns {
            ends: vec![0; 4],
            topics: vec!["x".into(), "y".into()],
            topic_of: vec![0, 1, 1, 0],
            keys: b"aab".to_vec(),
            key_ends: vec![1, 2, 3, 3],
            headers: vec![header(0, "1"), header(0, "0"), header(1, "1"), header(2, "9")],
            ..Columns::default()
        };
        Batch::new(columns, &BatchLimits::default()).unwrap()
    }

    #[test]
    fn the_hash_is_the_published_one() {
        // The authors' test vectors: http://www.isthe.com/chongo/tech/comp/fnv/
        assert_eq!(hash(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(hash(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(hash(b"foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn equal_keys_and_topics_have_one_partition() {
        let [a, b, none] = [&b"a"[..], b"b", b""].map(|key| Some((hash(key) % 5) as usize));
        assert_eq!(route(&options(PartitionBy::Key, 5), &batch()), [(a, 0..2), (b, 2..3), (none, 3..4)]);
        let [x, y] = [&b"x"[..], b"y"].map(|topic| Some((hash(topic) % 5) as usize));
        assert_eq!(route(&options(PartitionBy::Topic, 5), &batch()), [(x, 0..1), (y, 1..3), (x, 3..4)]);
        assert_eq!(route(&options(PartitionBy::Topic, 5), &Batch::from_payloads(["1"])), [(none, 0..1)]);
    }

    #[test]
    fn a_header_is_hashed_or_is_the_partition() {
        let number = options(PartitionBy::Number("p".into()), 3);
        assert_eq!(route(&number, &batch()), [(Some(1), 0..2), (None, 2..4)]);
        assert_eq!(why_none(&number, &batch().slice(2..3)), "header `p` holds `9`, which is no partition");
        assert_eq!(why_none(&number, &batch().slice(3..4)), "it has no header `p`");
        let header = options(PartitionBy::Header("p".into()), 1);
        assert_eq!(route(&header, &batch()), [(Some(0), 0..3), (None, 3..4)]);
    }
}
