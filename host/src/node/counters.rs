//! How often a node refused or lost something, by kind, since it started.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use forebay_proto::message::{Message, Reason};

/// A kind of refusal or loss.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Count {
    /// A subscription to an owner of another epoch.
    StaleSubscriptions,
    /// An ask, with its acknowledgements, for an owner of another epoch.
    StaleAsks,
    /// Events of an owner of another epoch.
    StaleEvents,
    /// A subscription that broke the protocol.
    RefusedSubscriptions,
    /// An ask that broke the protocol: it acknowledged what was not sent, or asked for too much.
    RefusedAsks,
    /// Events that broke the protocol: nobody asked for them.
    RefusedEvents,
    /// Events that did not fit a producer's buffer.
    DiscardedEvents,
    /// Copies of events that waited for a consumer that was lost, and are given up.
    GivenUpEvents,
    /// Events that belong to no partition.
    UnroutableEvents,
    /// Events that no consumer selects.
    UnwantedEvents,
    /// Events that a stage could not keep up with, and that its subscription says to drop.
    DroppedEvents,
    /// Events that a guest rejected.
    RejectedEvents,
    /// Guest calls that asked for another try.
    RetriedCalls,
    /// Guest calls with events that the guest did not survive.
    TrappedCalls,
    /// Events that were given up and are kept.
    DeadLetters,
    /// Events that were given up and could not be kept: they are tried again.
    UnkeptLetters,
    /// Times a guest gave no state to put on record.
    MissedSnapshots,
    /// Guests that gave way to fresh ones for the memory they took.
    RecycledInstances,
    /// Times that this failed.
    FailedRecyclings,
    /// Claims that were too late: another node has the name.
    HeldClaims,
    /// Claims that the group refused.
    RefusedClaims,
    /// Claims that the group did not answer.
    UnansweredClaims,
    /// Names of this node that the group gave away.
    FencedOwners,
    /// Names that two nodes owned that can reach each other.
    Conflicts,
    /// Times this node lost the group.
    QuorumLosses,
}

use Count::*;

const ALL: [(Count, &str); 25] = [
    (StaleSubscriptions, "stale_subscriptions"),
    (StaleAsks, "stale_asks"),
    (StaleEvents, "stale_events"),
    (RefusedSubscriptions, "refused_subscriptions"),
    (RefusedAsks, "refused_asks"),
    (RefusedEvents, "refused_events"),
    (DiscardedEvents, "discarded_events"),
    (GivenUpEvents, "given_up_events"),
    (UnroutableEvents, "unroutable_events"),
    (UnwantedEvents, "unwanted_events"),
    (DroppedEvents, "dropped_events"),
    (RejectedEvents, "rejected_events"),
    (RetriedCalls, "retried_calls"),
    (TrappedCalls, "trapped_calls"),
    (DeadLetters, "dead_letters"),
    (UnkeptLetters, "unkept_letters"),
    (MissedSnapshots, "missed_snapshots"),
    (RecycledInstances, "recycled_instances"),
    (FailedRecyclings, "failed_recyclings"),
    (HeldClaims, "held_claims"),
    (RefusedClaims, "refused_claims"),
    (UnansweredClaims, "unanswered_claims"),
    (FencedOwners, "fenced_owners"),
    (Conflicts, "conflicts"),
    (QuorumLosses, "quorum_losses"),
];

/// Counts of all kinds. Clones count together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counters(Arc<[AtomicU64; ALL.len()]>);

impl Counters {
    pub(crate) fn one(&self, what: Count) {
        self.many(what, 1);
    }

    pub(crate) fn many(&self, what: Count, how_many: u64) {
        self.0[what as usize].fetch_add(how_many, Ordering::Relaxed);
    }

    /// A message that a stage refused for this reason.
    pub(crate) fn refused(&self, message: MessageKind, reason: &Reason) {
        self.one(match (message, reason) {
            (MessageKind::Subscribe, Reason::StaleEpoch) => StaleSubscriptions,
            (MessageKind::Ask, Reason::StaleEpoch) => StaleAsks,
            (MessageKind::Events, Reason::StaleEpoch) => StaleEvents,
            (MessageKind::Subscribe, _) => RefusedSubscriptions,
            (MessageKind::Ask, _) => RefusedAsks,
            (MessageKind::Events, _) => RefusedEvents,
        });
    }

    /// All counts with their names, in a fixed order.
    pub(crate) fn read(&self) -> Vec<(String, u64)> {
        ALL.iter().map(|(what, name)| ((*name).to_owned(), self.0[*what as usize].load(Ordering::Relaxed))).collect()
    }
}

/// What a message is, as far as counters tell them apart.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum MessageKind {
    Subscribe,
    Ask,
    Events,
}

impl MessageKind {
    /// `None`: it cannot be refused.
    pub(crate) fn of(message: &Message) -> Option<Self> {
        match message {
            Message::Subscribe(_) => Some(Self::Subscribe),
            Message::Ask { .. } | Message::Retry { .. } | Message::Processed { .. } => Some(Self::Ask),
            Message::Events(_) => Some(Self::Events),
            Message::Cancel(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_own_place_and_name() {
        let counters = Counters::default();
        for (place, (what, _)) in ALL.iter().enumerate() {
            assert_eq!(*what as usize, place, "{what:?}");
            counters.many(*what, place as u64 + 1);
        }
        counters.refused(MessageKind::Ask, &Reason::StaleEpoch);
        counters.refused(MessageKind::Events, &Reason::NotOwner);
        let read = counters.read();
        let of = |name: &str| read.iter().find(|(known, _)| known == name).map(|(_, count)| *count);
        assert_eq!((of("stale_asks"), of("refused_events"), of("quorum_losses")), (Some(3), Some(7), Some(25)));
        let names: std::collections::BTreeSet<_> = read.iter().map(|(name, _)| name).collect();
        assert_eq!(names.len(), ALL.len());
    }
}
