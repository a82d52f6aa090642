//! Who owned a name, from when to when, and why it changed.

use std::{collections::VecDeque, fmt};

use crate::ids::{BootId, Epoch, NodeName};

/// How many terms of a name are kept: a day of hourly failovers and some. Older ones are dropped.
pub const HISTORY_LEN: usize = 32;

/// One claim from its beginning to its end.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Term {
    /// Who owned.
    pub node: NodeName,
    /// In which start.
    pub boot: BootId,
    /// In which epoch.
    pub epoch: Epoch,
    /// By the owner's clock. Unit: milliseconds since 1970.
    pub from_ms: u64,
    /// When by the clock of who ended it, and why; `None` while it lasts.
    pub end: Option<(u64, End)>,
}

/// Why a claim ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum End {
    /// Its owner gave it up, with the reason.
    Released(String),
    /// Its node was not heard any more, with what was seen of that.
    Lost(String),
    /// Its node's process started again.
    Restarted,
    /// The same process claimed anew, for a new instance.
    Renewed,
    /// Its node was removed.
    Removed,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Released(why) => write!(f, "released: {why}"),
            Self::Lost(why) => write!(f, "node lost: {why}"),
            Self::Restarted => write!(f, "the node's process started again"),
            Self::Renewed => write!(f, "claimed anew for a new instance"),
            Self::Removed => write!(f, "the node was removed"),
        }
    }
}

/// Begins a term at the end of a name's history.
pub(super) fn begin(history: &mut VecDeque<Term>, term: Term) {
    if history.len() == HISTORY_LEN {
        history.pop_front();
    }
    history.push_back(term);
}

/// Ends the term of `epoch`, if it is the last.
pub(super) fn end(history: &mut VecDeque<Term>, epoch: Epoch, at_ms: u64, end: End) {
    if let Some(term) = history.back_mut().filter(|term| term.epoch == epoch && term.end.is_none()) {
        term.end = Some((at_ms, end));
    }
}
