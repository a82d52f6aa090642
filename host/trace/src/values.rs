//! The values records are made of, and how they look in JSON.

use std::{cell::RefCell, collections::HashSet, fmt, ops::Deref, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A 64-bit number as 16 hexadecimal digits: JSON's numbers are exact up to 2^53 only, and texts of one
/// length sort as the numbers do.
macro_rules! hex {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:016x}", self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                from.deserialize_str(HexVisitor).map(Self)
            }
        }
    };
}

hex! {
    /// The epoch of a claim as the wire carries it: later claims of a name have higher numbers.
    Epoch
}
hex! {
    /// One start of a node's process.
    Boot
}

struct HexVisitor;

impl de::Visitor<'_> for HexVisitor {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("up to 16 hexadecimal digits")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<u64, E> {
        u64::from_str_radix(text, 16).map_err(|_| E::invalid_value(de::Unexpected::Str(text), &self))
    }
}

/// A name or a reason. Cheap to clone; read from a trace, equal ones share their memory.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Text(Arc<str>);

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self)
    }
}

/// Different texts shared per thread; more are kept apart, so that reasons cannot fill the memory.
const SHARED_MAX: usize = 4096;

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_str(TextVisitor)
    }
}

struct TextVisitor;

impl de::Visitor<'_> for TextVisitor {
    type Value = Text;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Text, E> {
        thread_local!(static SHARED: RefCell<HashSet<Arc<str>>> = RefCell::default());
        SHARED.with_borrow_mut(|shared| {
            if let Some(known) = shared.get(text) {
                return Ok(Text(Arc::clone(known)));
            }
            let new: Arc<str> = text.into();
            if shared.len() < SHARED_MAX {
                shared.insert(Arc::clone(&new));
            }
            Ok(Text(new))
        })
    }
}

/// Consecutive numbers: `first`, `first + 1`, … `count` of them. `[first, count]` in JSON.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Run {
    /// The first.
    pub first: u64,
    /// How many.
    pub count: u64,
}

impl Run {
    /// The number after the last; the highest there is if it would not fit.
    pub fn end(self) -> u64 {
        self.first.saturating_add(self.count)
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.first, self.end())
    }
}

impl Serialize for Run {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        (self.first, self.count).serialize(to)
    }
}

impl<'de> Deserialize<'de> for Run {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let (first, count) = Deserialize::deserialize(from)?;
        Ok(Self { first, count })
    }
}

/// Numbers in their order, as runs.
pub fn runs_of(numbers: impl IntoIterator<Item = u64>) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for number in numbers {
        match runs.last_mut() {
            Some(run) if run.end() == number => run.count += 1,
            _ => runs.push(Run { first: number, count: 1 }),
        }
    }
    runs
}

/// How many numbers there are in runs.
pub fn runs_len(runs: &[Run]) -> u64 {
    runs.iter().fold(0, |sum, run| sum.saturating_add(run.count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_become_runs_in_their_order() {
        let run = |first, count| Run { first, count };
        assert_eq!(runs_of([3, 4, 5, 1, 2, 9]), [run(3, 3), run(1, 2), run(9, 1)]);
        assert_eq!(runs_len(&runs_of([3, 4, 5, 1, 2, 9])), 6);
    }

    #[test]
    fn a_run_at_the_end_of_all_numbers_does_not_overflow() {
        let run = Run { first: u64::MAX, count: 5 };
        assert_eq!((run.end(), runs_len(&[run, Run { first: 0, count: u64::MAX }])), (u64::MAX, u64::MAX));
    }

    #[test]
    fn an_epoch_is_sixteen_digits_and_read_from_fewer() {
        assert_eq!(serde_json::to_string(&Epoch(1 << 32 | 10)).unwrap(), r#""000000010000000a""#);
        assert_eq!(serde_json::from_str::<Epoch>(r#""1f""#).unwrap(), Epoch(31));
        assert!(serde_json::from_str::<Epoch>(r#""x""#).is_err());
    }
}
