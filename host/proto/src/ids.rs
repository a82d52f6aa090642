//! Identifiers and names. Newtypes, so that a stage can never be passed where a node is meant.

use std::{fmt, str::FromStr};

/// The longest name of a node, a stage, a pipeline or a plugin, in bytes.
///
/// 63 is what a DNS label takes, so that a node's name fits its certificate.
pub const NAME_BYTES_MAX: usize = 63;

/// A text is no name.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "`{found}` is no name: expected 1 to 63 of the characters a-z, 0-9, `.`, `_` and `-`, beginning with a letter or digit"
)]
pub struct NameError {
    /// The text, with control characters escaped and cut to 80 characters.
    pub found: String,
}

fn check_name(text: &str) -> Result<(), NameError> {
    let first = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let further = |c: char| first(c) || matches!(c, '.' | '_' | '-');
    let ok = text.len() <= NAME_BYTES_MAX && text.starts_with(first) && text.chars().all(further);
    if ok {
        return Ok(());
    }
    let found = text.escape_debug().take(80).collect();
    Err(NameError { found })
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub struct $name(std::sync::Arc<str>);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                check_name(text).map(|()| Self(text.into()))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }
    };
}

name! {
    /// A node of the cluster, by the name in its certificate.
    NodeName
}
name! {
    /// An operator of the cluster, by the name in their certificate.
    OperatorName
}
name! {
    /// A stage, by its name in the pipeline file.
    StageName
}
name! {
    /// A pipeline.
    PipelineName
}
name! {
    /// A plugin in the cluster's store.
    PluginName
}
name! {
    /// A partition of what a stage emits: its number, or the name it was given.
    PartitionName
}

/// One start of a node's process. A connection belongs to a (node, boot).
///
/// Random, not counted: a node whose data was lost must still differ from its former self.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct BootId(pub u64);

/// One subscription of a consuming stage. Unique per consuming instance; never used again.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SubId(pub u64);

impl SubId {
    /// No subscription: events that a person sends to a stage again.
    pub const RESENT: Self = Self(0);
    /// No subscription: events of the stage's inbox.
    pub const INBOX: Self = Self(u64::MAX);
}

impl fmt::Display for SubId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s{}", self.0)
    }
}

/// The number of an event, counted by its source's host from 0 in every epoch.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Seq(pub u64);

/// The epoch of a claim: of two claims of one name the later has the higher.
///
/// In `islands` mode it rises with every claim its node has heard of; equal ones in `lamport` come from
/// islands that had not met. In `quorum` mode it is the claim's place in the log, see
/// [`Epoch::of_log`]. A cluster is in one mode, so that the two are never compared. The wire and the
/// guest see it as one number, see [`Epoch::to_u64`].
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Epoch {
    /// One more than the highest the claiming node knew of for the name. Below 2^32.
    pub lamport: u32,
    /// Tells apart claims of the same height: from the boot of the claiming node.
    pub tag: u32,
}

impl Epoch {
    /// The epoch of the claim at `index` of the group's log: 16 bits of generation, which a forced
    /// recovery raises, above 48 of index. A log has fewer entries than that in any lifetime.
    pub fn of_log(generation: u16, index: u64) -> Self {
        Self::from_u64(u64::from(generation) << 48 | index & ((1 << 48) - 1))
    }

    /// `lamport` in the upper half, `tag` in the lower: the order of epochs is kept.
    pub fn to_u64(self) -> u64 {
        u64::from(self.lamport) << 32 | u64::from(self.tag)
    }

    /// The inverse of [`Epoch::to_u64`].
    pub fn from_u64(number: u64) -> Self {
        let half = |n: u64| u32::try_from(n & u64::from(u32::MAX)).expect("masked to 32 bits");
        Self { lamport: half(number >> 32), tag: half(number) }
    }
}

/// Of islands: the height, a dot and the tag. Of a log: the index, after a recovery with the generation
/// before it. The two are told apart by their size: islands count from 1, so that only a log has
/// numbers below 2^32, and no name sees 65,536 successions.
impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.lamport >> 16, self.lamport) {
            (0, 0) => write!(f, "{}", self.tag),
            (0, lamport) => write!(f, "{lamport}.{:08x}", self.tag),
            (generation, _) => write!(f, "{generation}-{}", self.to_u64() & ((1 << 48) - 1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_lower_case_ascii_and_short() {
        for good in ["a", "node-1", "n.1_x", &"x".repeat(63)] {
            assert!(good.parse::<NodeName>().is_ok(), "{good}");
        }
        for bad in ["", "A", "-a", ".a", "a b", "a/b", "..", "ä", "a\0", "\u{1b}[31m", &"x".repeat(64)] {
            assert!(bad.parse::<NodeName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_refused_name_is_shown_without_control_characters() {
        let error = "\u{1b}[31m".parse::<StageName>().unwrap_err().to_string();
        assert!(error.starts_with(r"`\u{1b}[31m` is no name"), "{error}");
    }

    #[test]
    fn an_epoch_is_one_number_in_the_same_order() {
        let low = Epoch { lamport: 1, tag: u32::MAX };
        let high = Epoch { lamport: 2, tag: 0 };
        assert!(low < high && low.to_u64() < high.to_u64());
        assert_eq!(Epoch::from_u64(low.to_u64()), low);
    }
}
