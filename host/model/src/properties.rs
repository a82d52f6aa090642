//! What must hold in every state, and what must be met in some for a search to prove anything.

use stateright::Property;

use crate::model::Protocol;
use crate::world::World;

/// No two runs of a producer send under the same epoch.
pub const ONE_RUN_PER_EPOCH: &str = "one run per epoch";
/// Each event up to the checkpoint was processed: the promise at-least-once is made of.
pub const NOTHING_LOST: &str = "nothing lost";
/// A checkpoint is never replaced by one that reaches less far.
pub const CHECKPOINT_NEVER_GOES_BACK: &str = "checkpoint never goes back";
/// A checkpoint is never replaced by one with another event of the same number.
pub const CHECKPOINT_KEEPS_ITS_EVENTS: &str = "checkpoint keeps its events";
/// A consumer takes no batch of an epoch older than one it remembers.
pub const NO_STALE_BATCH_TAKEN: &str = "no stale batch taken";

/// What must hold in every state.
pub const LAWS: [&str; 5] =
    [ONE_RUN_PER_EPOCH, NOTHING_LOST, CHECKPOINT_NEVER_GOES_BACK, CHECKPOINT_KEEPS_ITS_EVENTS, NO_STALE_BATCH_TAKEN];

/// Two hosts run a producer at the same time.
pub const ZOMBIE: &str = "zombie coexists";
/// All events were checkpointed although the stage was claimed more than once.
pub const DRAINED_AFTER_TAKEOVER: &str = "full drain after takeover";
/// A number was processed under two epochs.
pub const DUPLICATE: &str = "duplicate delivery";
/// A host without the claim, vacated or superseded, still runs the producer.
pub const OWNER_NOT_TOLD: &str = "vacated owner goes on";
/// A successor starts from a checkpoint that is not empty.
pub const RESTORED: &str = "successor restores a checkpoint";

/// What a search must have met.
pub const SIGHTS: [&str; 5] = [ZOMBIE, DRAINED_AFTER_TAKEOVER, DUPLICATE, OWNER_NOT_TOLD, RESTORED];

/// All of them, for stateright.
pub(crate) fn all() -> Vec<Property<Protocol>> {
    vec![
        Property::always(ONE_RUN_PER_EPOCH, |_, world| one_run_per_epoch(world)),
        Property::always(NOTHING_LOST, |_, world| nothing_lost(world)),
        Property::always(CHECKPOINT_NEVER_GOES_BACK, |_, world: &World| !world.seen.checkpoint_went_back),
        Property::always(CHECKPOINT_KEEPS_ITS_EVENTS, |_, world: &World| !world.seen.checkpoint_rewritten),
        Property::always(NO_STALE_BATCH_TAKEN, |_, world: &World| !world.seen.stale_batch_taken),
        Property::sometimes(ZOMBIE, |_, world: &World| world.hosts.iter().all(|host| host.producer.is_some())),
        Property::sometimes(DRAINED_AFTER_TAKEOVER, drained_after_takeover),
        Property::sometimes(DUPLICATE, |_, world| has_duplicate(world)),
        Property::sometimes(OWNER_NOT_TOLD, |_, world| vacated_owner_goes_on(world)),
        Property::sometimes(RESTORED, |_, world| successor_restores(world)),
    ]
}

fn one_run_per_epoch(world: &World) -> bool {
    // In order of epochs, so that two of the same epoch and different runs have neighbours that differ
    // in run.
    let mut neighbours = world.batches.iter().zip(world.batches.iter().skip(1));
    let runs_differ = neighbours.any(|(one, next)| one.epoch == next.epoch && one.event.run != next.event.run);
    let [first, second] = &world.hosts;
    let epoch_is_shared =
        first.producer.as_ref().zip(second.producer.as_ref()).is_some_and(|(one, other)| one.epoch == other.epoch);
    !runs_differ && !epoch_is_shared
}

fn nothing_lost(world: &World) -> bool {
    world.record.checkpoint.events().all(|event| world.is_safe(event))
}

fn drained_after_takeover(model: &Protocol, world: &World) -> bool {
    world.record.checkpoint.last() == model.bounds.events && world.record.epoch >= 2
}

fn has_duplicate(world: &World) -> bool {
    let again = |(index, batch): (usize, &crate::event::Batch)| {
        world.processed.iter().skip(index + 1).any(|other| other.event.seq == batch.event.seq)
    };
    world.processed.iter().enumerate().any(again)
}

fn vacated_owner_goes_on(world: &World) -> bool {
    let newest = |host: &crate::host::Host| host.producer.as_ref().is_some_and(|own| own.epoch == world.record.epoch);
    world.record.owner.is_none() && world.hosts.iter().any(newest)
}

fn successor_restores(world: &World) -> bool {
    let restored = |host: &crate::host::Host| host.producer.as_ref().is_some_and(|own| own.restored() > 0);
    world.hosts.iter().any(restored)
}
