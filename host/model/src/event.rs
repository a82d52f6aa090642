//! Events, and what carries them and their acknowledgements through the network.

/// What a claim was granted under; larger is newer, 0 is before the first.
pub type Epoch = u8;

/// The number of an event in its stage, from 1 without gaps.
pub type Seq = u8;

/// Which run of the producer made an event.
///
/// A producer that is not deterministic makes another event of the same number when it runs again, so
/// two events are the same only if number and run are. All runs of a deterministic producer are equal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Run {
    /// The epoch the run was started under.
    pub epoch: Epoch,
    /// How often the producer was started before under this epoch: 0 wherever epochs are not kept.
    pub restarts: u8,
}

/// One event: its number and its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Event {
    /// Its number.
    pub seq: Seq,
    /// Whose it is, which stands for its content.
    pub run: Run,
}

/// A message with one event. Larger batches are several of these that travel together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Batch {
    /// Under which epoch it was sent.
    pub epoch: Epoch,
    /// The event.
    pub event: Event,
}

/// A consumer's word that it is done with the event of this number, sent under this epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Acknowledgement {
    /// The epoch of the batch.
    pub epoch: Epoch,
    /// The number of the event.
    pub seq: Seq,
}

/// The events of a stage from number 1 on, of which each has one run.
///
/// It is also a producer's snapshot: what it would restore is where it was after its last event.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct History(Vec<Run>);

impl History {
    /// The number of the last event, 0 if there is none.
    pub fn last(&self) -> Seq {
        Seq::try_from(self.0.len()).expect("a model has few events")
    }

    /// Adds the next event, and gives it.
    pub fn append(&mut self, run: Run) -> Event {
        self.0.push(run);
        Event { seq: self.last(), run }
    }

    /// The events up to and with number `last`.
    pub fn up_to(&self, last: Seq) -> Self {
        Self(self.0[..usize::from(last)].to_vec())
    }

    /// Whether all events of both agree as far as both go.
    pub fn agrees_with(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).all(|(ours, theirs)| ours == theirs)
    }

    /// The events in order.
    pub fn events(&self) -> impl Iterator<Item = Event> {
        (1..).zip(&self.0).map(|(seq, run)| Event { seq, run: *run })
    }
}
