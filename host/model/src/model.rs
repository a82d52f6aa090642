//! Which steps are possible in a state: the part that stateright searches.

use stateright::{Model, Property};

use crate::event::{Acknowledgement, Batch, Epoch, Seq};
use crate::properties;
use crate::record::{HostIndex, Proposal};
use crate::variant::Variant;
use crate::world::{HOSTS, World};

/// How much of each thing there is. The search is complete within these bounds.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Events a producer has to emit.
    pub events: Seq,
    /// Claims that are granted, which is the last epoch.
    pub claims: Epoch,
    /// Crashes of hosts.
    pub producer_crashes: u8,
    /// Crashes of the consumer.
    pub consumer_crashes: u8,
}

impl Default for Bounds {
    /// Two events make gaps and orders, three claims an owner, a successor and one more; all seven
    /// shortcuts need no more than this to break (`tests/protocol.rs`).
    fn default() -> Self {
        Self { events: 2, claims: 3, producer_crashes: 1, consumer_crashes: 1 }
    }
}

/// One stage with its quorum, hosts, consumer and network.
#[derive(Clone, Copy, Debug)]
pub struct Protocol {
    /// Which rules hold.
    pub variant: Variant,
    /// How much of each thing there is.
    pub bounds: Bounds,
}

/// One step. Those that change nothing, such as a delivery that is refused, are left out.
///
/// Any possible one may be next, so there is no clock and no lease in this model: a lease makes an old
/// owner stop early, and an owner that stops takes fewer of these steps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The quorum grants the stage to a host.
    Claim(HostIndex),
    /// The quorum gives an owner up, as after a committed `NodeDown`, rightly or not.
    Vacate,
    /// A host restores a producer from the checkpoint of its grant. The grant may be old by then.
    Start(HostIndex),
    /// A producer emits its next event.
    Emit(HostIndex),
    /// The network hands a batch to the consumer, perhaps once more.
    Deliver(Batch),
    /// The consumer processes what it acknowledged before.
    ProcessPending(Batch),
    /// The network hands an acknowledgement to a host.
    Acknowledge(HostIndex, Acknowledgement),
    /// A host proposes a checkpoint.
    Propose(HostIndex),
    /// The quorum decides on a proposal, perhaps long after, perhaps once more.
    Decide(Proposal),
    /// A host loses its memory.
    CrashHost(HostIndex),
    /// The consumer loses its memory.
    CrashConsumer,
}

impl Model for Protocol {
    type State = World;
    type Action = Step;

    fn init_states(&self) -> Vec<World> {
        vec![World::default()]
    }

    fn actions(&self, world: &World, steps: &mut Vec<Step>) {
        self.steps_of_the_quorum(world, steps);
        for host in 0..HOSTS {
            self.steps_of_a_host(world, host, steps);
        }
        self.steps_of_the_consumer(world, steps);
    }

    fn next_state(&self, world: &World, step: Step) -> Option<World> {
        let mut next = world.clone();
        match step {
            Step::Claim(host) => next.claim(host)?,
            Step::Vacate => next.record.vacate(),
            Step::Start(host) => next.start(host, self.variant)?,
            Step::Emit(host) => next.emit(host)?,
            Step::Deliver(batch) => next.deliver(batch, self.variant)?,
            Step::ProcessPending(batch) => next.process_pending(batch),
            Step::Acknowledge(host, acknowledgement) => next.acknowledge(host, acknowledgement)?,
            Step::Propose(host) => next.propose(host, self.variant)?,
            Step::Decide(proposal) => next.decide(proposal, self.variant)?,
            Step::CrashHost(host) => next.crash_host(host, self.variant),
            Step::CrashConsumer => next.crash_consumer(),
        }
        (next != *world).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::all()
    }
}

impl Protocol {
    fn steps_of_the_quorum(&self, world: &World, steps: &mut Vec<Step>) {
        if world.record.owner.is_some() {
            steps.push(Step::Vacate);
        }
        if world.record.epoch < self.bounds.claims {
            // Hosts are alike, so whoever is first may be called host 0: fewer states.
            let hosts = if world.record.epoch == 0 { 1 } else { HOSTS };
            steps.extend((0..hosts).filter(|host| world.record.is_free_for(*host)).map(Step::Claim));
        }
        let decisive = world.proposals.iter().filter(|proposal| world.record.accepts(proposal, self.variant));
        steps.extend(decisive.cloned().map(Step::Decide));
    }

    fn steps_of_a_host(&self, world: &World, index: HostIndex, steps: &mut Vec<Step>) {
        let host = &world.hosts[index];
        if host.grant.is_some() {
            steps.push(Step::Start(index));
        }
        let Some(producer) = &host.producer else { return };
        if producer.last() < self.bounds.events {
            steps.push(Step::Emit(index));
        }
        let news = world.acknowledgements.iter().filter(|news| producer.awaits(**news, self.variant));
        steps.extend(news.map(|news| Step::Acknowledge(index, *news)));
        if producer.proposal(self.variant).is_some_and(|proposal| !world.proposals.contains(&proposal)) {
            steps.push(Step::Propose(index));
        }
        if world.producer_crashes < self.bounds.producer_crashes {
            steps.push(Step::CrashHost(index));
        }
    }

    fn steps_of_the_consumer(&self, world: &World, steps: &mut Vec<Step>) {
        let taken = world.batches.iter().filter(|batch| !world.consumer.refuses(batch.epoch, self.variant));
        steps.extend(taken.copied().map(Step::Deliver));
        steps.extend(world.consumer.pending.iter().copied().map(Step::ProcessPending));
        if world.consumer_crashes < self.bounds.consumer_crashes {
            steps.push(Step::CrashConsumer);
        }
    }
}
