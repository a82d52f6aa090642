//! What is known of all letters without reading the disk.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Bound,
};

use forebay_proto::{
    ids::{Epoch, PipelineName, Seq, StageName},
    letters::LINE_BYTES_MAX,
};

use super::{Bounds, LetterId, letter::Letter};

/// What a list says of a letter.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Summary {
    /// Which.
    pub id: LetterId,
    /// Which event it holds.
    event: EventName,
    /// How often the event was tried.
    pub attempts: u32,
    /// When it was given up. Unit: milliseconds since 1970.
    pub at_ms: u64,
    /// The length of the payload. Unit: bytes.
    pub payload_bytes: u64,
    /// What it takes of the store. Unit: bytes.
    pub stored_bytes: u64,
    /// The reason's first line, cut to 200 bytes. Not safe for a terminal.
    pub first_line: Box<str>,
}

/// What names an event that a stage could not process.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) struct EventName {
    pipeline: PipelineName,
    stage: StageName,
    source: StageName,
    epoch: Epoch,
    seq: Seq,
}

impl Summary {
    /// Of a letter that was read.
    pub(crate) fn of(id: LetterId, letter: &Letter) -> Self {
        Self::new(id, letter, 0)
    }

    pub(super) fn new(id: LetterId, letter: &Letter, stored_bytes: u64) -> Self {
        let line = letter.reason.as_str().lines().next().unwrap_or_default();
        let event = EventName {
            pipeline: letter.pipeline.clone(),
            stage: letter.stage.clone(),
            source: letter.source.clone(),
            epoch: letter.epoch,
            seq: letter.seq,
        };
        Self {
            id,
            event,
            attempts: letter.attempts,
            at_ms: letter.at_ms,
            payload_bytes: letter.event.event(0).payload.len() as u64,
            stored_bytes,
            first_line: line[..line.floor_char_boundary(LINE_BYTES_MAX)].into(),
        }
    }

    /// Of which pipeline.
    pub fn pipeline(&self) -> &PipelineName {
        &self.event.pipeline
    }

    /// The stage that could not process it.
    pub fn stage(&self) -> &StageName {
        &self.event.stage
    }

    /// The stage that emitted it.
    pub fn source(&self) -> &StageName {
        &self.event.source
    }

    /// The epoch of that stage.
    pub fn epoch(&self) -> Epoch {
        self.event.epoch
    }

    /// Its number in that epoch.
    pub fn seq(&self) -> Seq {
        self.event.seq
    }
}

/// Which letters are meant; by default all.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Filter {
    /// Of this pipeline only.
    pub pipeline: Option<String>,
    /// Of stages of this name only.
    pub stage: Option<String>,
}

impl Filter {
    fn takes(&self, of: &EventName) -> bool {
        let pipeline = self.pipeline.as_deref().is_none_or(|name| name == of.pipeline.as_str());
        pipeline && self.stage.as_deref().is_none_or(|name| name == of.stage.as_str())
    }
}

/// All letters, by number and by event.
#[derive(Debug)]
pub(super) struct Index {
    letters: BTreeMap<LetterId, Summary>,
    by_event: HashMap<EventName, LetterId>,
    bytes: u64,
    next: LetterId,
}

/// What a change replaced; for taking it back.
#[derive(Debug)]
pub(super) struct Before {
    id: LetterId,
    letter: Option<Summary>,
    next: LetterId,
}

impl Index {
    /// An empty one that gives out numbers from `next` on.
    pub(super) fn new(next: LetterId) -> Self {
        Self { letters: BTreeMap::new(), by_event: HashMap::new(), bytes: 0, next }
    }

    pub(super) fn next(&self) -> LetterId {
        self.next
    }

    pub(super) fn len(&self) -> u64 {
        self.letters.len() as u64
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn contains(&self, id: LetterId) -> bool {
        self.letters.contains_key(&id)
    }

    /// Another letter of the same event.
    pub(super) fn same_event(&self, of: &Summary) -> Option<LetterId> {
        self.by_event.get(&of.event).copied()
    }

    /// Whether another letter of this many bytes fits, in place of `replaced` if that is there.
    pub(super) fn has_room(&self, bytes: u64, replaced: Option<LetterId>, bounds: &Bounds) -> bool {
        let replaced = replaced.and_then(|id| self.letters.get(&id));
        let letters = self.len() + u64::from(replaced.is_none());
        let bytes = self.bytes - replaced.map_or(0, |letter| letter.stored_bytes) + bytes;
        letters <= bounds.letters_max && bytes <= bounds.bytes_max
    }

    pub(super) fn insert(&mut self, letter: Summary) -> Before {
        let (id, next) = (letter.id, self.next);
        self.next = next.max(LetterId(id.0.saturating_add(1)));
        self.bytes += letter.stored_bytes;
        let former = self.letters.insert(id, letter.clone());
        self.forget(former.as_ref());
        self.by_event.insert(letter.event, id);
        Before { id, letter: former, next }
    }

    pub(super) fn remove(&mut self, id: LetterId) -> Before {
        let former = self.letters.remove(&id);
        self.forget(former.as_ref());
        Before { id, letter: former, next: self.next }
    }

    /// Takes a change back; the last one first.
    pub(super) fn undo(&mut self, before: Before) {
        match before.letter {
            Some(letter) => drop(self.insert(letter)),
            None => drop(self.remove(before.id)),
        }
        self.next = before.next;
    }

    fn forget(&mut self, former: Option<&Summary>) {
        if let Some(former) = former {
            self.bytes -= former.stored_bytes;
            self.by_event.remove(&former.event);
        }
    }

    /// Up to `max` letters above `after`, by number.
    pub(super) fn page(&self, filter: &Filter, after: Option<LetterId>, max: usize) -> Vec<Summary> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let above = self.letters.range((from, Bound::Unbounded)).map(|(_, letter)| letter);
        above.filter(|letter| filter.takes(&letter.event)).take(max).cloned().collect()
    }
}
