//! What a run is held to.

use std::{collections::HashSet, str::FromStr, time::Duration};

use forebay_trace::{Run, Text};

/// How the nodes agreed on owners, and so what was promised.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Agreement {
    /// At most one accepted owner per name.
    #[default]
    Quorum,
    /// One owner in each group of nodes that reach each other.
    Islands,
}

impl FromStr for Agreement {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "quorum" => Ok(Self::Quorum),
            "islands" => Ok(Self::Islands),
            _ => Err(format!("`{text}` is no agreement; expected `quorum` or `islands`")),
        }
    }
}

/// The serials a source was to give out, each to be processed at least once by the end.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Truth {
    /// The source, as `PIPELINE/STAGE`.
    pub source: Text,
    /// Its serials.
    pub serials: Run,
}

impl FromStr for Truth {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = || {
            let (source, range) = text.split_once('=')?;
            let (first, end) = range.split_once("..")?;
            let first = first.parse::<u64>().ok()?;
            let count = end.parse::<u64>().ok()?.checked_sub(first)?;
            Some(Self { source: source.into(), serials: Run { first, count } })
        };
        parsed().ok_or_else(|| format!("`{text}` is no truth; expected PIPELINE/STAGE=FIRST..END"))
    }
}

/// The least that must have happened for the run to say anything.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Minimum {
    /// Names granted in a later epoch than before.
    pub takeovers: u64,
    /// Events emitted or sent in an epoch after a later one was granted.
    pub zombies: u64,
    /// Messages of another epoch refused, at either end.
    pub stale: u64,
    /// Messages of events with an attempt above 1.
    pub redeliveries: u64,
    /// Checkpoints refused.
    pub fenced: u64,
}

impl FromStr for Minimum {
    type Err = String;

    /// `takeovers=3,stale=1`.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut minimum = Self::default();
        for part in text.split(',') {
            let wrong =
                || format!("`{part}` in `{text}`; expected takeovers, zombies, stale, redeliveries or fenced, =N");
            let (name, number) = part.split_once('=').ok_or_else(wrong)?;
            let field = match name {
                "takeovers" => &mut minimum.takeovers,
                "zombies" => &mut minimum.zombies,
                "stale" => &mut minimum.stale,
                "redeliveries" => &mut minimum.redeliveries,
                "fenced" => &mut minimum.fenced,
                _ => return Err(wrong()),
            };
            *field = number.parse().map_err(|_| wrong())?;
        }
        Ok(minimum)
    }
}

/// Stages, as `PIPELINE/STAGE`, whose events do not each go to any one consumer in the order of their numbers, which is
/// what holds otherwise. Traces do not say how a stage dispatches.
#[derive(Clone, Debug, Default)]
pub struct Dispatching {
    /// Every event may be for several instances of a consumer (`broadcast`).
    pub broadcast: HashSet<Text>,
    /// Order holds within a partition only, and one may be moved with what waits for it (`partition`).
    pub partition: HashSet<Text>,
    /// Some events may be selected by no consumer (`topics`), and are then never processed.
    pub selected: HashSet<Text>,
    /// Consumers with several instances (`concurrency`), which are done with what they were given in any order.
    pub several: HashSet<Text>,
}

/// See the fields; the default is a run in quorum mode of which nothing more is known.
#[derive(Clone, Debug)]
pub struct Options {
    /// How owners were agreed on.
    pub agreement: Agreement,
    /// The run ended with everything handed out: what was emitted in an epoch that ended in good order
    /// must have been processed.
    pub drained: bool,
    /// What sources were to give out.
    pub truths: Vec<Truth>,
    /// The most serials processed more than once, per takeover. `None`: any number.
    pub repeats_max: Option<u64>,
    /// How long after the loss of its lease a node may still emit and send: a guest call in flight.
    /// Default 500 ms.
    pub lease_slack: Duration,
    /// How long after a refused checkpoint a guest may run on. Default 1 s.
    pub fenced_slack: Duration,
    /// What must have happened.
    pub minimum: Minimum,
    /// How stages dispatch, if not all by demand and to whoever asks.
    pub dispatching: Dispatching,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            agreement: Agreement::default(),
            drained: false,
            truths: Vec::new(),
            repeats_max: None,
            lease_slack: Duration::from_millis(500),
            fenced_slack: Duration::from_secs(1),
            minimum: Minimum::default(),
            dispatching: Dispatching::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_truth_and_a_minimum_are_read_from_arguments() {
        let truth: Truth = "p/s=1000..1010".parse().unwrap();
        assert_eq!((&*truth.source, truth.serials), ("p/s", Run { first: 1000, count: 10 }));
        assert!("p/s=10..9".parse::<Truth>().is_err() && "p/s".parse::<Truth>().is_err());
        let minimum: Minimum = "takeovers=3,stale=1".parse().unwrap();
        assert_eq!(minimum, Minimum { takeovers: 3, stale: 1, ..Minimum::default() });
        assert!("takeover=3".parse::<Minimum>().is_err() && "stale=x".parse::<Minimum>().is_err());
    }
}
