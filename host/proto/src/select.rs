//! What a subscription wants of its source: which topics, which partitions, and with whom it shares.

use std::{fmt, str::FromStr, sync::Arc};

use crate::ids::{NodeName, PartitionName};

/// The most patterns one subscription may have.
pub const PATTERNS_MAX: usize = 256;

/// The longest pattern, in bytes.
pub const PATTERN_BYTES_MAX: usize = 255;

/// The most partitions a stage may have.
pub const PARTITIONS_MAX: usize = 1024;

/// A text is no pattern of topics.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "`{found}` is no pattern of topics: expected 1 to 255 bytes of words with a `.` between them, each a word of visible \
     characters or `*`, which is any one word; `>` at the end is one or more words"
)]
pub struct PatternError {
    /// The text, with control characters escaped and cut to 80 characters.
    pub found: String,
}

/// Topics that a subscription selects, as NATS writes them: `a.b` is this topic; `a.*` any with one word in the place of
/// `*`; `a.>` any with one word or more in the place of `>`.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Pattern(Arc<str>);

impl Pattern {
    /// The pattern as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this topic is one of them.
    pub fn matches(&self, topic: &str) -> bool {
        let mut words = topic.split('.');
        for wanted in self.0.split('.') {
            match (wanted, words.next()) {
                (">", found) => return found.is_some(),
                ("*", Some(_)) => {}
                (wanted, found) if found == Some(wanted) => {}
                _ => return false,
            }
        }
        words.next().is_none()
    }
}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let is_word = |word: &str| {
            let is_plain = |c: char| !c.is_whitespace() && !c.is_control() && c != '*' && c != '>';
            word == "*" || !word.is_empty() && word.chars().all(is_plain)
        };
        let rest = match text.strip_suffix('>') {
            Some("") => "*",
            Some(rest) => rest.strip_suffix('.').unwrap_or(">"),
            None => text,
        };
        match text.len() <= PATTERN_BYTES_MAX && rest.split('.').all(is_word) {
            true => Ok(Self(text.into())),
            false => Err(PatternError { found: text.escape_debug().take(80).collect() }),
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Who of a consuming stage gets what its source hands to all: under the broadcast dispatcher.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Deliver {
    /// Each of its instances gets every event. GenStage's way.
    #[default]
    Each,
    /// The instances of the stage share the events, by demand.
    Shared,
}

/// What a subscription wants of its source.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Selection {
    /// With whom it shares.
    pub deliver: Deliver,
    /// Only events of these topics; empty: all events, also those without a topic (Galena's rule). At most
    /// [`PATTERNS_MAX`].
    pub topics: Vec<Pattern>,
    /// Exactly these partitions; empty: a fair share of those that nobody names. At most [`PARTITIONS_MAX`].
    pub partitions: Vec<PartitionName>,
}

/// Whether these patterns select events of this topic.
pub(crate) fn selects(patterns: &[Pattern], topic: Option<&str>) -> bool {
    patterns.is_empty() || topic.is_some_and(|topic| patterns.iter().any(|pattern| pattern.matches(topic)))
}

/// One instance of a consuming stage, wherever it is in its life: what is kept for one that was lost waits for it.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct InstanceId {
    /// Where it runs.
    pub node: NodeName,
    /// Which of the stage's instances there, counted from 0.
    pub number: u32,
}

impl InstanceId {
    /// The first instance on a node.
    pub fn first_on(node: NodeName) -> Self {
        Self { node, number: 0 }
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.number {
            0 => write!(f, "{}", self.node),
            number => write!(f, "{}#{number}", self.node),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, topic: &str) -> bool {
        pattern.parse::<Pattern>().unwrap().matches(topic)
    }

    #[test]
    fn wildcards_are_those_of_nats() {
        assert!(matches("a.b", "a.b") && !matches("a.b", "a.b.c") && !matches("a.b", "a"));
        assert!(matches("a.*", "a.b") && !matches("a.*", "a") && !matches("a.*", "a.b.c"));
        assert!(matches("*.b", "x.b") && !matches("*.b", "x.c"));
        assert!(matches("a.>", "a.b") && matches("a.>", "a.b.c") && !matches("a.>", "a") && !matches("a.>", "b.c"));
        assert!(matches(">", "a") && matches(">", "a.b"));
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        let long = "x".repeat(256);
        for bad in ["", ".", "a.", ".a", "a..b", "a*", "*a", "a>", "a.>.b", ">.a", ">>", "a b", "a\0", &long] {
            assert!(bad.parse::<Pattern>().is_err(), "{bad:?}");
        }
        for good in ["a", "A/b", "ä.*.c", "*", "*.>", "topic_1"] {
            assert!(good.parse::<Pattern>().is_ok(), "{good:?}");
        }
    }

    #[test]
    fn no_pattern_selects_all_and_some_select_no_event_without_a_topic() {
        let patterns = ["a".parse().unwrap()];
        assert!(selects(&[], None) && selects(&[], Some("x")));
        assert!(selects(&patterns, Some("a")) && !selects(&patterns, Some("x")) && !selects(&patterns, None));
    }
}
