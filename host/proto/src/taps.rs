//! Looking at a running stage's events without taking any away: what its node keeps for who looks, what nodes ask each
//! other for of it, and how who reads knows what was missed.
//!
//! ```text
//! stage --- each call, copied ---> Ring: bounded, the oldest goes ---> pages ---> Follower: in order, missed events told
//! ```
//!
//! A page says of each entry how many events went before it in all, also while nobody looked: so a reader that comes
//! late, or again, knows how many it has missed.

mod follower;
mod kept;

use std::time::Duration;

use bytes::Bytes;

pub use self::{
    follower::{Follower, Heard},
    kept::Ring,
};
use crate::{
    batch::Batch,
    ids::{Epoch, Seq, StageName},
    message::SeqRun,
    names::GlobalName,
    pipeline::Limits,
    stage::{Rejected, Role},
};

/// Entries that a ring keeps, and that a page has. Unit: entries. As many calls of a stage as a reader may fall behind.
pub const ENTRIES_MAX: usize = 4096;

/// What a ring keeps at most. Unit: bytes. Enough for a batch of the largest size with what a stage makes of it.
pub const RING_BYTES: usize = 16 << 20;

/// A longer entry is not kept, and counted as missed. Unit: bytes: a page of one must fit a frame.
pub const ENTRY_BYTES_MAX: usize = 7 << 20;

/// A page ends with the entry that brings it here. Unit: bytes.
pub const PAGE_BYTES: usize = 1 << 20;

/// The longest that a page is waited for if there is nothing to tell.
pub const WAIT_MAX: Duration = Duration::from_secs(2);

/// The longest config of a stage, as of the file it comes from. Unit: bytes.
pub const CONFIG_BYTES_MAX: usize = crate::pipeline::FILE_BYTES_MAX;

/// The longest text of a guest in an entry; longer ones are cut. Unit: bytes.
pub const TEXT_BYTES_MAX: usize = 1024;

/// Of the reasons of one call's rejections so much is kept; those after it are empty. Unit: bytes.
pub const REASONS_BYTES_MAX: usize = 1 << 20;

/// Which kinds of entries are wanted.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Kinds(u8);

impl Kinds {
    /// None.
    pub const NONE: Self = Self(0);
    /// What the stage is given.
    pub const GIVEN: Self = Self(1);
    /// What it answers.
    pub const ANSWERED: Self = Self(2);
    /// Its states.
    pub const STATES: Self = Self(4);
    /// All there are.
    pub const ALL: Self = Self(7);

    /// As one number.
    pub fn bits(self) -> u8 {
        self.0
    }

    /// The inverse of [`Kinds::bits`]; `None` if there is no such kind.
    pub fn from_bits(bits: u8) -> Option<Self> {
        (bits <= Self::ALL.0).then_some(Self(bits))
    }

    /// Those of either.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether any of `other` is among them.
    pub fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// A request for what a stage was given and answered. Its pages are asked for one after the other.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Request {
    /// The stage.
    pub name: GlobalName,
    /// Which entries are wanted. None: only what the stage is.
    pub kinds: Kinds,
    /// Where the reader is.
    pub at: Cursor,
    /// How long to wait for an entry, at most [`WAIT_MAX`]; in whole milliseconds.
    pub wait: Duration,
}

/// Where a reader is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Cursor {
    /// The run of the stage it reads of: a random number; 0 at the beginning.
    pub run: u64,
    /// The number of the entry it wants next.
    pub next: u64,
}

/// What came of a request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Answer {
    /// What there is.
    Page(Box<Page>),
    /// The stage does not run there now, with the reason; later it may.
    NotHere(String),
    /// It is not told, with the reason.
    Refused(String),
}

impl Answer {
    /// Whether it belongs to a request; a peer may answer anything.
    ///
    /// # Errors
    /// With what is wrong.
    pub fn check(self, asked: &Request) -> Result<Self, &'static str> {
        let Self::Page(page) = &self else { return Ok(self) };
        let is_new = page.at.run != asked.at.run;
        if is_new != page.about.is_some() || is_new && !page.entries.is_empty() {
            return Err("the page is of another run, or says that it is when it is not");
        }
        if !is_new && page.at.next < asked.at.next {
            return Err("the page goes back");
        }
        match page.entries.iter().all(|numbered| asked.kinds.has(numbered.entry.kind())) {
            true => Ok(self),
            false => Err("the page has entries that were not asked for"),
        }
    }
}

/// Entries of one run of a stage.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Page {
    /// Where the reader is after it.
    pub at: Cursor,
    /// What runs, if the reader was not in this run; then there are no entries yet, and what comes from now on is told.
    pub about: Option<About>,
    /// At most [`ENTRIES_MAX`].
    pub entries: Vec<Numbered>,
}

/// What a stage is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct About {
    /// What it does with events.
    pub role: Role,
    /// The epoch of its claim, or of this start.
    pub epoch: Epoch,
    /// Its plugin: `sha256:` and 64 digits, or a name of a built-in one.
    pub plugin: String,
    /// Its config as JSON.
    pub config: String,
    /// What it may use. In whole milliseconds.
    pub limits: Limits,
}

/// How many events a stage was given and has emitted.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counts {
    /// Given to it, each time anew.
    pub given: u64,
    /// Emitted by it.
    pub emitted: u64,
}

impl Counts {
    /// Those of either.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { given: self.given.saturating_add(other.given), emitted: self.emitted.saturating_add(other.emitted) }
    }

    /// Those that `earlier` lacks, of these kinds.
    #[must_use]
    pub fn since(self, earlier: Self, kinds: Kinds) -> Self {
        let of = |kind, now: u64, then| if kinds.has(kind) { now.saturating_sub(then) } else { 0 };
        Self {
            given: of(Kinds::GIVEN, self.given, earlier.given),
            emitted: of(Kinds::ANSWERED, self.emitted, earlier.emitted),
        }
    }

    /// Whether there are none.
    pub fn is_zero(self) -> bool {
        self == Self::default()
    }
}

/// An entry and what went before it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Numbered {
    /// Events of this run before it.
    pub before: Counts,
    /// The entry.
    pub entry: Entry,
}

/// A moment of a stage. What it is given and what it answers to that follow each other, for it has one call at a time.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Entry {
    /// It is called.
    Given(Given),
    /// It has answered.
    Answered(Answered),
    /// Its state after all before, to go on from.
    State(Bytes),
}

/// What a stage is called with.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Given {
    /// Events are wanted of it.
    Demand(u32),
    /// Events of another stage.
    Events {
        /// The stage that emitted them.
        source: StageName,
        /// Its epoch.
        epoch: Epoch,
        /// 1 the first time.
        attempt: u32,
        /// Their numbers.
        runs: Vec<SeqRun>,
        /// They themselves.
        events: Batch,
    },
    /// Events of its inbox.
    Inbox {
        /// The position of the first.
        first: u64,
        /// They themselves.
        events: Batch,
    },
    /// Its time has come.
    Tick,
}

impl Given {
    /// The events, if it has any.
    pub fn events(&self) -> Option<&Batch> {
        match self {
            Self::Events { events, .. } | Self::Inbox { events, .. } => Some(events),
            Self::Demand(_) | Self::Tick => None,
        }
    }
}

/// What a stage answers.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Answered {
    /// It has done what it was called for.
    Done {
        /// The number of the first event.
        first: Seq,
        /// What it emits.
        events: Batch,
        /// What it could not process; [`cut_reasons`] has cut the reasons.
        rejected: Vec<Rejected>,
    },
    /// It wants the call again, later, for this reason.
    Retry(String),
    /// It did not survive the call, or cannot go on, for this reason.
    Lost(String),
}

impl Entry {
    /// Its kind.
    pub fn kind(&self) -> Kinds {
        match self {
            Self::Given(_) => Kinds::GIVEN,
            Self::Answered(_) => Kinds::ANSWERED,
            Self::State(_) => Kinds::STATES,
        }
    }

    /// The events in it.
    pub fn counts(&self) -> Counts {
        match self {
            Self::Given(given) => Counts { given: given.events().map_or(0, |events| events.len() as u64), emitted: 0 },
            Self::Answered(Answered::Done { events, .. }) => Counts { given: 0, emitted: events.len() as u64 },
            Self::Answered(_) | Self::State(_) => Counts::default(),
        }
    }

    /// An upper bound of its bytes on the wire and in memory.
    pub fn bytes(&self) -> usize {
        const FIXED: usize = 160;
        let rejected = |rejected: &[Rejected]| rejected.iter().map(|one| 40 + one.reason.len()).sum::<usize>();
        FIXED
            + match self {
                Self::Given(Given::Events { runs, events, .. }) => 16 * runs.len() + events.bytes(),
                Self::Given(Given::Inbox { events, .. }) => events.bytes(),
                Self::Given(Given::Demand(_) | Given::Tick) => 0,
                Self::Answered(Answered::Done { events, rejected: no, .. }) => events.bytes() + rejected(no),
                Self::Answered(Answered::Retry(why) | Answered::Lost(why)) => why.len(),
                Self::State(state) => state.len(),
            }
    }

    /// The same, sharing no columns with larger batches: what is kept is then as long as it seems.
    #[must_use]
    pub(crate) fn detached(self) -> Self {
        match self {
            Self::Given(Given::Events { source, epoch, attempt, runs, events }) => {
                Self::Given(Given::Events { source, epoch, attempt, runs, events: events.detached() })
            }
            Self::Given(Given::Inbox { first, events }) => {
                Self::Given(Given::Inbox { first, events: events.detached() })
            }
            Self::Answered(Answered::Done { first, events, rejected }) => {
                Self::Answered(Answered::Done { first, events: events.detached(), rejected })
            }
            other => other,
        }
    }
}

/// A text of a guest as an entry has it.
pub fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(TEXT_BYTES_MAX)]
}

/// Rejections as an entry has them: each reason is cut, and those beyond [`REASONS_BYTES_MAX`] are empty. Sorted by event.
pub fn cut_reasons(rejected: &[Rejected]) -> Vec<Rejected> {
    let mut left = REASONS_BYTES_MAX;
    let mut cut_all: Vec<_> = rejected.iter().collect();
    cut_all.sort_by_key(|rejected| rejected.index);
    let reason = |reason: &str| {
        let kept = cut(reason);
        left = left.saturating_sub(kept.len());
        if left > 0 { kept.to_owned() } else { String::new() }
    };
    let reasons: Vec<_> = cut_all.iter().map(|rejected| &*rejected.reason).map(reason).collect();
    cut_all
        .into_iter()
        .zip(reasons)
        .map(|(&Rejected { index, retry, .. }, reason)| Rejected { index, retry, reason })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_cut_each_and_together() {
        let rejected = |index, length| Rejected { index, retry: true, reason: "ä".repeat(length) };
        let cut = cut_reasons(&[rejected(1, 1), rejected(0, 1000)]);
        assert_eq!(cut.iter().map(|one| (one.index, one.reason.len())).collect::<Vec<_>>(), [(0, 1024), (1, 2)]);
        let many: Vec<_> = (0..2000).map(|index| rejected(index, 512)).collect();
        let kept = cut_reasons(&many).iter().map(|one| one.reason.len()).sum::<usize>();
        assert!((REASONS_BYTES_MAX - TEXT_BYTES_MAX..=REASONS_BYTES_MAX).contains(&kept), "{kept}");
    }

    #[test]
    fn a_page_that_does_not_belong_to_its_request_is_not_believed() {
        let name = GlobalName { pipeline: "p".parse().unwrap(), stage: "s".parse().unwrap() };
        let at = Cursor { run: 7, next: 5 };
        let asked = Request { name, kinds: Kinds::GIVEN, at, wait: Duration::ZERO };
        let (plugin, config) = ("sha256:0".to_owned(), "null".to_owned());
        let about = About { role: Role::Producer, epoch: Epoch::default(), plugin, config, limits: Limits::default() };
        let page = |run, next, about: Option<&About>, entries: &[Entry]| {
            let numbered = |entry: &Entry| Numbered { before: Counts::default(), entry: entry.clone() };
            let entries = entries.iter().map(numbered).collect();
            Answer::Page(Box::new(Page { at: Cursor { run, next }, about: about.cloned(), entries })).check(&asked)
        };
        let (tick, state) = (Entry::Given(Given::Tick), Entry::State(Bytes::new()));
        assert!(page(7, 6, None, std::slice::from_ref(&tick)).is_ok());
        assert!(page(8, 0, Some(&about), &[]).is_ok());
        assert!(Answer::NotHere(String::new()).check(&asked).is_ok());
        for (wrong, why) in [
            (page(8, 6, None, &[]), "another run"),
            (page(7, 6, Some(&about), &[]), "another run"),
            (page(8, 6, Some(&about), &[tick]), "another run"),
            (page(7, 4, None, &[]), "goes back"),
            (page(7, 6, None, &[state]), "not asked for"),
        ] {
            let told = wrong.unwrap_err();
            assert!(told.contains(why), "{told}");
        }
    }

    #[test]
    fn kinds_are_told_apart() {
        assert_eq!(Kinds::from_bits(7), Some(Kinds::ALL));
        assert_eq!(Kinds::from_bits(8), None);
        assert!(Kinds::GIVEN.and(Kinds::STATES).has(Kinds::STATES));
        assert!(!Kinds::GIVEN.and(Kinds::STATES).has(Kinds::ANSWERED));
        assert!(!Kinds::NONE.has(Kinds::ALL));
    }
}
