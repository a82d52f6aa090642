//! The whole state of the model, and what each step does to it.

use std::collections::BTreeSet;

use crate::consumer::{Consumer, Reception};
use crate::event::{Acknowledgement, Batch, Event};
use crate::host::{Host, Producer};
use crate::record::{Decision, HostIndex, Proposal, Record};
use crate::variant::Variant;

/// Hosts that take turns in owning the stage. Two suffice for an owner and one that believes to be.
pub const HOSTS: usize = 2;

/// Everything there is, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct World {
    /// What the quorum agreed on.
    pub record: Record,
    /// Who may produce.
    pub hosts: [Host; HOSTS],
    /// Who consumes.
    pub consumer: Consumer,
    /// All batches ever sent: the network may deliver each again at any time, or never.
    pub batches: BTreeSet<Batch>,
    /// All acknowledgements ever sent.
    pub acknowledgements: BTreeSet<Acknowledgement>,
    /// All checkpoints ever proposed: one whose answer did not come may be committed later, or again.
    pub proposals: BTreeSet<Proposal>,
    /// What the consumer has processed, which no crash undoes.
    pub processed: BTreeSet<Batch>,
    /// Crashes of producers so far.
    pub producer_crashes: u8,
    /// Crashes of the consumer so far.
    pub consumer_crashes: u8,
    /// What happened that no later state shows.
    pub seen: Seen,
}

/// What happened that no later state shows. All of it is forbidden.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Seen {
    /// A checkpoint was replaced by one that reaches less far.
    pub checkpoint_went_back: bool,
    /// A checkpoint was replaced by one with another event of the same number.
    pub checkpoint_rewritten: bool,
    /// A consumer took a batch of an epoch older than one it remembered.
    pub stale_batch_taken: bool,
}

impl World {
    /// Grants the stage to a host; `None` if another has it.
    pub fn claim(&mut self, host: HostIndex) -> Option<()> {
        self.hosts[host].grant = Some(self.record.claim(host)?);
        Some(())
    }

    /// Starts the producer for the grant a host has.
    pub fn start(&mut self, host: HostIndex, variant: Variant) -> Option<()> {
        let grant = self.hosts[host].grant.take()?;
        self.hosts[host].producer = Some(Producer::restore(grant, variant));
        Some(())
    }

    /// Lets the producer of a host emit an event.
    pub fn emit(&mut self, host: HostIndex) -> Option<()> {
        let batch = self.hosts[host].producer.as_mut()?.emit();
        self.batches.insert(batch);
        Some(())
    }

    /// Gives the consumer a batch; `None` if it refuses it.
    pub fn deliver(&mut self, batch: Batch, variant: Variant) -> Option<()> {
        let stale = self.consumer.knows_newer_than(batch.epoch);
        match self.consumer.receive(batch, variant) {
            Reception::Refused => return None,
            Reception::Processed => {
                self.processed.insert(batch);
            }
            Reception::Postponed | Reception::Skipped => {}
        }
        self.seen.stale_batch_taken |= stale;
        self.acknowledgements.insert(Acknowledgement { epoch: batch.epoch, seq: batch.event.seq });
        Some(())
    }

    /// Lets the consumer process what it postponed.
    pub fn process_pending(&mut self, batch: Batch) {
        self.consumer.pending.remove(&batch);
        self.processed.insert(batch);
    }

    /// Gives a host an acknowledgement.
    pub fn acknowledge(&mut self, host: HostIndex, acknowledgement: Acknowledgement) -> Option<()> {
        self.hosts[host].producer.as_mut()?.acknowledge(acknowledgement);
        Some(())
    }

    /// Lets a host propose a checkpoint; `None` if nothing new is acknowledged.
    pub fn propose(&mut self, host: HostIndex, variant: Variant) -> Option<()> {
        let proposal = self.hosts[host].producer.as_ref()?.proposal(variant)?;
        self.proposals.insert(proposal);
        Some(())
    }

    /// Lets the quorum decide on a proposal; `None` if it is fenced.
    ///
    /// A fenced host does not learn of it here: it goes on as if the answer were lost, which is worse.
    pub fn decide(&mut self, proposal: Proposal, variant: Variant) -> Option<()> {
        let before = self.record.checkpoint.clone();
        if self.record.decide(proposal, variant) == Decision::Fenced {
            return None;
        }
        let after = &self.record.checkpoint;
        self.seen.checkpoint_went_back |= after.last() < before.last();
        self.seen.checkpoint_rewritten |= !after.agrees_with(&before);
        Some(())
    }

    /// Takes a host's memory: its producer, and a grant it had.
    pub fn crash_host(&mut self, host: HostIndex, variant: Variant) {
        self.producer_crashes += 1;
        let before = std::mem::take(&mut self.hosts[host]).producer;
        let Some(before) = before.filter(|producer| producer.epoch == self.record.epoch) else { return };
        if variant == Variant::RestartKeepsEpoch && self.record.owner == Some(host) {
            self.hosts[host].grant = Some(self.record.read_again(before.restarts + 1));
        }
    }

    /// Takes the consumer's memory.
    pub fn crash_consumer(&mut self) {
        self.consumer_crashes += 1;
        self.consumer = Consumer::default();
    }

    /// Whether an event was processed under any epoch, or will be unless the consumer crashes.
    pub fn is_safe(&self, event: Event) -> bool {
        self.processed.iter().chain(&self.consumer.pending).any(|batch| batch.event == event)
    }
}
