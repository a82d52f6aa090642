//! What two stages say to each other over one subscription.
//!
//! The same values cross a local mailbox or a QUIC stream; `wire` gives them bytes.
//!
//! ```text
//! consumer                                   producer
//!    | Subscribe(max 10, min 5) -------------> |
//!    | Ask(granted 10) ----------------------> |
//!    | <---------------------- Events(0..10)   |
//!    | Ask(granted 15, acked 0..5) ----------> |
//!    | Ask(granted 20, acked 5..10) ---------> |
//!    | Cancel(reason) -----------------------> |   either side may
//!    | <---------------------- Cancel(reason)  |   the producer confirms
//! ```

use std::{fmt, num::NonZeroU32, time::Duration};

use crate::{
    batch::Batch,
    ids::{Epoch, PipelineName, Seq, StageName},
    select::{InstanceId, Selection},
};

/// Consecutive event numbers: `first`, `first + 1`, ... `count` of them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SeqRun {
    /// The first number.
    pub first: Seq,
    /// How many; at least 1 in a message.
    pub count: u32,
}

impl SeqRun {
    /// The number after the last.
    pub fn end(self) -> Seq {
        Seq(self.first.0 + u64::from(self.count))
    }
}

/// How many events a subscription may have open, and when it asks for more.
///
/// As GenStage's `:max_demand` and `:min_demand`: a message is cut into batches of at most
/// `max - min` events, and when a batch takes what is open to `min` or below, the difference to
/// `max` is asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Demand {
    max: NonZeroU32,
    min: u32,
}

/// `min_demand` does not fit `max_demand`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("min_demand is {min} and max_demand {max}; min_demand must be below max_demand")]
pub struct DemandError {
    /// The `min_demand` given.
    pub min: u32,
    /// The `max_demand` given.
    pub max: u32,
}

impl Demand {
    /// GenStage's default for `max_demand`, in events.
    pub const MAX_DEFAULT: u32 = 1000;

    /// The most a pipeline file or a peer may ask for: a producer's host keeps that many events.
    pub const MAX_ALLOWED: u32 = 10_000_000;

    /// `min` defaults to half of `max`, rounded down.
    ///
    /// # Errors
    /// If `min` is not below `max`; so `max` is at least 1.
    pub fn new(max: u32, min: Option<u32>) -> Result<Self, DemandError> {
        let min = min.unwrap_or(max / 2);
        match NonZeroU32::new(max) {
            Some(max) if min < max.get() => Ok(Self { max, min }),
            _ => Err(DemandError { min, max }),
        }
    }

    /// The most events that may be asked for and not yet processed.
    pub fn max(self) -> u32 {
        self.max.get()
    }

    /// What may be left open before more is asked for.
    pub fn min(self) -> u32 {
        self.min
    }

    /// The most events of one guest call.
    pub fn batch_max(self) -> u32 {
        self.max() - self.min
    }
}

impl Default for Demand {
    fn default() -> Self {
        Self::new(Self::MAX_DEFAULT, None).expect("500 is below 1000")
    }
}

/// Why a subscription or a stage ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Reason {
    /// The work is done.
    Normal,
    /// Somebody ordered it, perhaps saying why.
    Shutdown(Option<String>),
    /// The other side does not know this subscription.
    UnknownSubscription,
    /// A second subscribe on one subscription.
    DuplicatedSubscription,
    /// The stage has no owner here.
    NotOwner,
    /// The message was of another epoch than the owner's.
    StaleEpoch,
    /// The other side, or the way to it, is gone.
    Unreachable(String),
    /// The other side broke the protocol; the text says how.
    Protocol(String),
    /// The stage failed; the text says how.
    Failed(String),
    /// The producer does not give what the subscription wants; the text says why.
    Refused(String),
}

impl Reason {
    /// Whether a transient subscription takes this end for a good one (GenStage: `:normal`,
    /// `:shutdown` and `{:shutdown, _}`).
    pub fn is_graceful(&self) -> bool {
        matches!(self, Self::Normal | Self::Shutdown(_))
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Normal => f.write_str("normal"),
            Self::Shutdown(None) => f.write_str("shutdown"),
            Self::Shutdown(Some(why)) => write!(f, "shutdown: {why}"),
            Self::UnknownSubscription => f.write_str("unknown subscription"),
            Self::DuplicatedSubscription => f.write_str("duplicated subscription"),
            Self::NotOwner => f.write_str("not the owner"),
            Self::StaleEpoch => f.write_str("stale epoch"),
            Self::Unreachable(why) => write!(f, "unreachable: {why}"),
            Self::Protocol(how) => write!(f, "protocol broken: {how}"),
            Self::Failed(how) => write!(f, "failed: {how}"),
            Self::Refused(why) => write!(f, "refused: {why}"),
        }
    }
}

/// The first message of a subscription.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Subscribe {
    /// The pipeline both stages belong to.
    pub pipeline: PipelineName,
    /// The producing stage.
    pub producer: StageName,
    /// The consuming stage.
    pub consumer: StageName,
    /// Which instance of it.
    pub instance: InstanceId,
    /// How much it will ask for.
    pub demand: Demand,
    /// What it wants.
    pub select: Selection,
}

impl Subscribe {
    /// A subscription that wants everything.
    pub fn new(
        pipeline: PipelineName,
        producer: StageName,
        consumer: StageName,
        instance: InstanceId,
        demand: Demand,
    ) -> Self {
        Self { pipeline, producer, consumer, instance, demand, select: Selection::default() }
    }
}

/// Events on their way to a consumer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Events {
    /// 1 for the first delivery, one more for each further one.
    pub attempt: u32,
    /// The numbers of the events, in their order; the counts add up to `events.len()`.
    pub runs: Vec<SeqRun>,
    /// The events.
    pub events: Batch,
}

/// One message. It travels with the epoch of the producer it is for or from, see [`Envelope`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Message {
    /// Consumer to producer: begin.
    Subscribe(Subscribe),
    /// Consumer to producer: grant demand and acknowledge.
    ///
    /// `granted` is the sum of all demand since the start, not what is new: a message lost or
    /// repeated cannot leak credit. `acked` is what was processed since the last message, as a set;
    /// never "everything up to".
    Ask {
        /// All events ever asked for on this subscription.
        granted: u64,
        /// Events processed since the last ask.
        acked: Vec<SeqRun>,
    },
    /// Consumer to producer: these could not be processed; deliver them again, to whoever asks, after a
    /// pause. Counts as answered: the next `Ask` may grant as much more.
    Retry {
        /// How long to wait.
        after: Duration,
        /// Which.
        runs: Vec<SeqRun>,
    },
    /// Consumer to producer: these of the same epoch were processed, but the subscription they came on was
    /// lost before, or with, their acknowledgement. What is not to be delivered again anyway is ignored.
    Processed {
        /// Which.
        runs: Vec<SeqRun>,
    },
    /// Producer to consumer: events.
    Events(Events),
    /// Either side: the subscription is over. A producer answers with the same reason.
    Cancel(Reason),
}

/// A message with the epoch of the producer's claim.
///
/// A receiver refuses a message whose epoch is not that of the subscription.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Envelope {
    /// The producer's epoch, as far as the sender knows.
    pub epoch: Epoch,
    /// What is said.
    pub message: Message,
}

impl Envelope {
    /// Runs of one message at most, when messages are joined: 48 KiB of them.
    const RUNS_MAX: usize = 4096;

    /// Says what this and `next` say, if one message can: asks of one epoch, of which `next` is the later. Gives `next`
    /// back if it must be said by itself.
    #[must_use]
    pub fn join(&mut self, next: Self) -> Option<Self> {
        let Message::Ask { granted, acked } = &mut self.message else { return Some(next) };
        match next.message {
            Message::Ask { granted: later, acked: more }
                if next.epoch == self.epoch && acked.len() + more.len() <= Self::RUNS_MAX =>
            {
                *granted = later.max(*granted);
                more.into_iter().for_each(|run| push_run(acked, run));
                None
            }
            message => Some(Self { message, ..next }),
        }
    }
}

/// Adds a run to others, lengthening the last one if it goes on from there.
pub(crate) fn push_run(runs: &mut Vec<SeqRun>, run: SeqRun) {
    if let Some(last) = runs.last_mut()
        && last.end() == run.first
        && let Some(count) = last.count.checked_add(run.count)
    {
        last.count = count;
    } else {
        runs.push(run);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(epoch: u64, granted: u64, acked: &[(u64, u32)]) -> Envelope {
        let acked = acked.iter().map(|&(first, count)| SeqRun { first: Seq(first), count }).collect();
        Envelope { epoch: Epoch::from_u64(epoch), message: Message::Ask { granted, acked } }
    }

    #[test]
    fn asks_of_one_epoch_are_said_in_one() {
        let mut first = ask(1, 15, &[(0, 5)]);
        assert_eq!(first.join(ask(1, 15, &[])), None);
        assert_eq!(first.join(ask(1, 25, &[(5, 5), (20, 1)])), None);
        assert_eq!(first.join(ask(1, 26, &[(21, u32::MAX)])), None);
        assert_eq!(first, ask(1, 26, &[(0, 10), (20, 1), (21, u32::MAX)]), "a count has 32 bits");
    }

    #[test]
    fn what_is_no_ask_or_of_another_epoch_is_said_by_itself() {
        let other = Envelope { epoch: Epoch::from_u64(1), message: Message::Cancel(Reason::Normal) };
        for (mut first, next) in [
            (ask(1, 5, &[]), ask(2, 10, &[])),
            (ask(1, 5, &[]), other.clone()),
            (other.clone(), ask(1, 5, &[])),
            (ask(1, 5, &[(0, 1); 4000]), ask(1, 10, &[(9, 1); 97])),
        ] {
            let before = first.clone();
            assert_eq!(first.join(next.clone()), Some(next));
            assert_eq!(first, before);
        }
    }

    #[test]
    fn min_demand_defaults_to_half_and_stays_below_max() {
        let demand = Demand::new(5, None).unwrap();
        assert_eq!((demand.max(), demand.min(), demand.batch_max()), (5, 2, 3));
        assert_eq!(Demand::new(1, None).unwrap().min(), 0);
        assert_eq!(Demand::new(0, None), Err(DemandError { min: 0, max: 0 }));
        assert!(Demand::new(5, Some(5)).is_err());
    }

    #[test]
    fn only_normal_and_shutdown_are_graceful() {
        assert!(Reason::Normal.is_graceful() && Reason::Shutdown(Some("closing".into())).is_graceful());
        assert!(!Reason::Failed("boom".into()).is_graceful() && !Reason::UnknownSubscription.is_graceful());
    }
}
