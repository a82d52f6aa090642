//! Events are numbers. Which topic, key and partition one has follows from its number alone, so that whoever judges
//! need not ask the nodes.

use std::fmt;

const COLOURS: [&str; 3] = ["red", "green", "blue"];
const SHAPES: [&str; 3] = ["round", "square", "flat"];

/// Different keys; more than a stage has partitions.
const KEYS: u64 = 23;

/// Spreads consecutive numbers (splitmix64's finalizer).
fn mixed(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// Which of so many.
fn one_of(number: u64, count: usize) -> usize {
    usize::try_from(number % count as u64).expect("below a usize")
}

fn words_of(number: u64) -> (usize, usize) {
    let chance = mixed(number);
    (one_of(chance, COLOURS.len()), one_of(chance >> 32, SHAPES.len()))
}

/// The topic of an event.
pub fn topic_of(number: u64) -> String {
    let (colour, shape) = words_of(number);
    format!("{}.{}", COLOURS[colour], SHAPES[shape])
}

/// The key of an event.
pub fn key_of(number: u64) -> String {
    format!("key {}", mixed(number.wrapping_add(1 << 40)) % KEYS)
}

/// Topics that a subscription selects.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Pattern {
    /// This colour with whatever shape.
    Colour(usize),
    /// This shape of whatever colour.
    Shape(usize),
    /// This topic.
    Topic(usize, usize),
}

impl Pattern {
    /// The `one`-th of all there are; there are always more numbers than patterns.
    pub(crate) fn of(one: usize) -> Self {
        match one % 15 {
            colour @ 0..3 => Self::Colour(colour),
            shape @ 3..6 => Self::Shape(shape - 3),
            topic => Self::Topic((topic - 6) / 3, (topic - 6) % 3),
        }
    }

    pub(crate) fn selects(self, number: u64) -> bool {
        let (colour, shape) = words_of(number);
        match self {
            Self::Colour(wanted) => wanted == colour,
            Self::Shape(wanted) => wanted == shape,
            Self::Topic(wanted, of) => (wanted, of) == (colour, shape),
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Colour(colour) => write!(f, "{}.>", COLOURS[colour]),
            Self::Shape(shape) => write!(f, "*.{}", SHAPES[shape]),
            Self::Topic(colour, shape) => write!(f, "{}.{}", COLOURS[colour], SHAPES[shape]),
        }
    }
}

/// The partition of a key: FNV-1a of 64 bits, modulo the number of partitions, as the table of keys says.
pub(crate) fn partition_of(key: &str, partitions: u32) -> u32 {
    let fold = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let hash = key.bytes().fold(0xcbf2_9ce4_8422_2325, fold);
    u32::try_from(hash % u64::from(partitions)).expect("below a u32")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_topic_and_many_keys_occur() {
        let topics: BTreeSet<_> = (0..200).map(topic_of).collect();
        let keys: BTreeSet<_> = (0..500).map(key_of).collect();
        assert_eq!((topics.len(), keys.len()), (9, 23));
    }

    #[test]
    fn patterns_mean_here_what_they_mean_to_a_node() {
        for pattern in (0..15).map(Pattern::of) {
            let of_a_node: forebay_proto::select::Pattern = pattern.to_string().parse().unwrap();
            for number in 0..100 {
                assert_eq!(pattern.selects(number), of_a_node.matches(&topic_of(number)), "{pattern} {number}");
            }
        }
    }

    #[test]
    fn partitions_are_those_of_fnv_1a() {
        // The test vector of draft-eastlake-fnv for "foobar": 0x85944171f73967e8.
        assert_eq!(partition_of("foobar", 1 << 16), 0x67e8);
    }
}
