//! The edge of one stage: what goes into its state machine and comes out, as records.

use std::{collections::BTreeMap, sync::Arc};

use forebay_proto::{
    batch::Batch,
    checkpoints::Commit,
    ids::{NodeName, Seq, SubId},
    message::{Envelope, Events, Message, Reason},
    names::Fenced,
    stage::{Call, GuestNo, Input, Letter, Notice, Rejected, Returned, Transmit},
};
use forebay_trace::{Epoch, Event, Run, Side, Text, runs_of};

use super::{Tracing, number, runs};

/// Writes the records of one run of a stage.
#[derive(Debug)]
pub(in crate::node) struct StageTrace {
    tracing: Arc<Tracing>,
    stage: Text,
    epoch: Epoch,
    node: Text,
    /// The other ends: of subscriptions to us, and of ours.
    consumers: BTreeMap<SubId, Peer>,
    sources: BTreeMap<SubId, Source>,
    calls: BTreeMap<GuestNo, Calling>,
    /// The number the next event emitted will have.
    next_seq: u64,
    /// The epoch of the last message that came in.
    heard: Epoch,
}

#[derive(Debug)]
struct Peer {
    consumer: Text,
    node: Text,
}

#[derive(Debug)]
struct Source {
    stage: Text,
    epoch: Epoch,
    node: Text,
}

#[derive(Debug)]
enum Calling {
    Demand(u64),
    Ingest,
    Tick,
    Events { sub: SubId, source: Text, epoch: Epoch, attempt: u32, runs: Vec<Run>, serials: Vec<Run> },
}

/// What a message says, to be written once the state machine has not refused it.
#[derive(Debug)]
pub(in crate::node) struct Incoming {
    pub(in crate::node) sub: SubId,
    events: Vec<Event>,
}

impl StageTrace {
    pub(super) fn new(tracing: Arc<Tracing>, stage: Text, epoch: Epoch, node: Text, first: Seq) -> Self {
        let (consumers, sources) = (BTreeMap::new(), BTreeMap::new());
        let (next_seq, heard) = (first.0, Epoch(0));
        Self { tracing, stage, epoch, node, consumers, sources, calls: BTreeMap::new(), next_seq, heard }
    }

    fn write(&self, event: Event) {
        self.tracing.writer.write(event);
    }

    pub(in crate::node) fn started(&self) {
        let ckpt = last_before(Seq(self.next_seq));
        self.write(Event::InstStart { stage: self.stage.clone(), epoch: self.epoch, digest: None, ckpt });
    }

    /// A checkpoint is about to be put on record.
    pub(in crate::node) fn proposes(&self, commit: &Commit) {
        let (stage, epoch) = (self.stage.clone(), self.epoch);
        let (prev, seq) = (last_before(commit.previous), last_before(commit.seq).unwrap_or_default());
        self.write(Event::CkptProposed { stage, epoch, prev, seq });
    }

    /// What writes down what came of it.
    pub(in crate::node) fn checkpoints(&self) -> CheckpointTrace {
        CheckpointTrace { tracing: Arc::clone(&self.tracing), stage: self.stage.clone(), epoch: self.epoch }
    }

    /// The stage waits for the group, or goes on.
    pub(in crate::node) fn waits(&self, waits: bool) {
        let (stage, epoch) = (self.stage.clone(), self.epoch);
        self.write(match waits {
            true => Event::Suspended { stage, epoch, reason: "no word of the group".into() },
            false => Event::Resumed { stage, epoch },
        });
    }

    /// A consumer is about to begin with us; from another node, or from this one.
    pub(in crate::node) fn accepted(&mut self, sub: SubId, from: Option<&NodeName>) {
        let node = from.map_or_else(|| self.node.clone(), |node| node.as_str().into());
        self.consumers.insert(sub, Peer { consumer: "".into(), node });
    }

    /// What goes into the state machine.
    pub(in crate::node) fn input(&mut self, input: &Input) -> Option<Incoming> {
        match input {
            Input::Received { sub, envelope } => self.received(*sub, envelope),
            Input::Returned(guest, returned) => {
                self.returned(*guest, returned);
                None
            }
            Input::Emit(events) => {
                self.emit(events, None);
                None
            }
            _ => None,
        }
    }

    /// The state machine has taken it.
    pub(in crate::node) fn taken(&self, incoming: Incoming) {
        incoming.events.into_iter().for_each(|event| self.write(event));
    }

    fn received(&mut self, sub: SubId, Envelope { epoch, message }: &Envelope) -> Option<Incoming> {
        self.heard = number(*epoch);
        let events = match message {
            Message::Events(events) => vec![self.recv(sub, events)?],
            Message::Ask { granted, acked } if self.heard == self.epoch => {
                let peer = self.consumers.get(&sub)?;
                let (stage, epoch, runs) = (self.stage.clone(), self.epoch, runs(acked));
                let demand = Event::Demand { stage: stage.clone(), epoch, sub: sub.0, granted: *granted };
                let (consumer, from) = (peer.consumer.clone(), peer.node.clone());
                let ack = Event::AckRecv { stage, epoch, sub: sub.0, consumer, from, runs };
                if acked.is_empty() { vec![demand] } else { vec![ack, demand] }
            }
            Message::Subscribe(subscribe) => {
                let peer = self.consumers.get_mut(&sub)?;
                peer.consumer = format!("{}/{}", subscribe.pipeline, subscribe.consumer).into();
                return None;
            }
            _ => return None,
        };
        Some(Incoming { sub, events })
    }

    fn recv(&self, sub: SubId, events: &Events) -> Option<Event> {
        let source = self.sources.get(&sub)?;
        Some(Event::Recv {
            stage: self.stage.clone(),
            own: self.epoch,
            source: source.stage.clone(),
            epoch: self.heard,
            sub: sub.0,
            attempt: events.attempt,
            runs: runs(&events.runs),
            serials: self.serials(&events.events),
        })
    }

    /// What writes down that these are kept as dead letters.
    pub(in crate::node) fn dead(&self, letters: &[Letter]) -> DeadTrace {
        let event = |letter: &Letter| {
            let known = self.sources.values().find(|source| source.epoch == number(letter.epoch));
            let stage = known.map_or_else(|| letter.source.as_str().into(), |source| source.stage.clone());
            let runs = vec![Run { first: letter.seq.0, count: 1 }];
            let (epoch, serials) = (number(letter.epoch), self.serials(&letter.event));
            Event::Dead { stage, epoch, consumer: self.stage.clone(), runs, serials }
        };
        DeadTrace { tracing: Arc::clone(&self.tracing), events: letters.iter().map(event).collect() }
    }

    /// A call is about to be made.
    pub(in crate::node) fn calling(&mut self, guest: GuestNo, call: &Call) {
        let calling = match call {
            Call::HandleIngest { .. } => Calling::Ingest,
            Call::HandleTick => Calling::Tick,
            Call::HandleCall { .. } | Call::Snapshot | Call::Renew | Call::Recycle | Call::Retire => return,
            Call::HandleDemand { demand } => Calling::Demand(u64::from(*demand)),
            Call::HandleEvents { sub, epoch, attempt, runs: seqs, events, .. } => {
                let source = self.sources.get(sub).map_or_else(|| "".into(), |source| source.stage.clone());
                let (runs, serials) = (runs(seqs), self.serials(events));
                Calling::Events { sub: *sub, source, epoch: number(*epoch), attempt: *attempt, runs, serials }
            }
        };
        self.calls.insert(guest, calling);
    }

    fn returned(&mut self, guest: GuestNo, returned: &Returned) {
        let call = self.calls.remove(&guest);
        match (call, returned) {
            (Some(Calling::Events { sub, attempt, runs, .. }), Returned::Retry | Returned::Trapped(_)) => {
                let (stage, own) = (self.stage.clone(), self.epoch);
                self.write(Event::Retry { stage, own, sub: sub.0, attempt, runs });
            }
            (Some(Calling::Ingest), Returned::Ingested(events)) => self.emit(events, None),
            (Some(Calling::Tick), Returned::Ticked(events)) => self.emit(events, None),
            (Some(Calling::Demand(asked)), Returned::Produced { events, .. }) => self.emit(events, Some(asked)),
            (
                Some(Calling::Events { sub, source, epoch, attempt, runs, serials }),
                Returned::Processed { events, rejected },
            ) => {
                let (stage, own) = (self.stage.clone(), self.epoch);
                let runs = without(&runs, rejected);
                let serials = if rejected.is_empty() { serials } else { Vec::new() };
                self.write(Event::Handled { stage, own, source, epoch, sub: sub.0, attempt, runs, serials });
                self.emit(events, None);
            }
            _ => {}
        }
    }

    fn emit(&mut self, events: &Batch, asked: Option<u64>) {
        let (first, count) = (self.next_seq, events.len() as u64);
        if count == 0 {
            return;
        }
        self.next_seq += count;
        let (stage, epoch, serials) = (self.stage.clone(), self.epoch, self.serials(events));
        self.write(Event::Emit { stage, epoch, first, count, asked, serials });
    }

    /// What is about to leave.
    pub(in crate::node) fn transmit(&mut self, transmit: &Transmit) {
        match transmit {
            Transmit::Open { sub, node } => {
                let (stage, epoch, node) = ("".into(), Epoch(0), node.as_str().into());
                self.sources.insert(*sub, Source { stage, epoch, node });
            }
            Transmit::Send { sub, envelope } => self.sent(*sub, envelope),
            Transmit::Close { sub } => {
                self.consumers.remove(sub);
            }
        }
    }

    fn sent(&mut self, sub: SubId, Envelope { epoch, message }: &Envelope) {
        let (stage, own, epoch) = (self.stage.clone(), self.epoch, number(*epoch));
        match message {
            Message::Subscribe(subscribe) => {
                let Some(known) = self.sources.get_mut(&sub) else { return };
                known.stage = format!("{}/{}", subscribe.pipeline, subscribe.producer).into();
                known.epoch = epoch;
                let (source, from) = (known.stage.clone(), known.node.clone());
                let (max, min) = (subscribe.demand.max().into(), subscribe.demand.min().into());
                self.write(Event::Subscribed { stage, own, source, epoch, sub: sub.0, from, max, min });
            }
            Message::Ask { granted, acked } => {
                let Some(known) = self.sources.get(&sub) else { return };
                let (source, runs, granted) = (known.stage.clone(), runs(acked), *granted);
                self.write(Event::AckSent { stage, own, source, epoch, sub: sub.0, runs, granted });
            }
            Message::Events(events) => {
                let Some(peer) = self.consumers.get(&sub) else { return };
                let (consumer, to) = (peer.consumer.clone(), peer.node.clone());
                let (attempt, runs, serials) = (events.attempt, runs(&events.runs), self.serials(&events.events));
                self.write(Event::Send { stage, epoch, sub: sub.0, consumer, to, attempt, runs, serials });
            }
            Message::Cancel(_) | Message::Retry { .. } | Message::Processed { .. } => {}
        }
    }

    /// What the state machine wants to be known.
    pub(in crate::node) fn notice(&mut self, notice: &Notice) {
        let (stage, own) = (self.stage.clone(), self.epoch);
        match notice {
            Notice::Refused { sub, reason: Reason::StaleEpoch } => self.write(self.refused(*sub)),
            Notice::Ended { sub, reason, .. } => {
                let side = if self.sources.remove(sub).is_some() { Side::Consumer } else { Side::Producer };
                let reason = reason.to_string().into();
                self.write(Event::Cancel { stage, own, sub: sub.0, side, reason });
            }
            Notice::ConsumerJoined { sub, .. } => {
                let Some(peer) = self.consumers.get(sub) else { return };
                let (consumer, to) = (peer.consumer.clone(), peer.node.clone());
                self.write(Event::Joined { stage, epoch: own, sub: sub.0, consumer, to });
            }
            Notice::Skipped(run) => {
                self.next_seq = run.end().0;
                let (first, count) = (run.first.0, u64::from(run.count));
                self.write(Event::Skipped { stage, epoch: own, first, count });
            }
            Notice::Discarded { count } => self.write(Event::Discarded { stage, epoch: own, count: *count }),
            _ => {}
        }
    }

    fn refused(&self, sub: SubId) -> Event {
        let (stage, own, found) = (self.stage.clone(), self.epoch, self.heard);
        match self.sources.get(&sub) {
            Some(Source { stage: source, epoch, .. }) => {
                Event::StaleRejected { stage, own, source: source.clone(), epoch: *epoch, sub: sub.0, found }
            }
            None => Event::AckRejected { stage, epoch: own, sub: sub.0, found },
        }
    }

    /// The numbers in the payloads; none where one has none.
    fn serials(&self, events: &Batch) -> Vec<Run> {
        if !self.tracing.serials {
            return Vec::new();
        }
        let numbers: Option<Vec<u64>> = events.iter().map(|event| serial(event.payload)).collect();
        runs_of(numbers.unwrap_or_default())
    }
}

/// Writes down that events are kept as dead letters, once they are.
#[derive(Debug)]
pub(in crate::node) struct DeadTrace {
    tracing: Arc<Tracing>,
    events: Vec<Event>,
}

impl DeadTrace {
    pub(in crate::node) fn write(self) {
        self.events.into_iter().for_each(|event| self.tracing.writer.write(event));
    }
}

/// Writes down that a checkpoint came too late. That one is on record is heard of by all nodes.
#[derive(Debug)]
pub(in crate::node) struct CheckpointTrace {
    tracing: Arc<Tracing>,
    stage: Text,
    epoch: Epoch,
}

impl CheckpointTrace {
    pub(in crate::node) fn fenced(self, fenced: &Fenced) {
        let Self { tracing, stage, epoch } = self;
        let current = fenced.current.map_or(Epoch(0), |(epoch, _)| number(epoch));
        tracing.writer.write(Event::CkptFenced { stage, epoch, current });
    }
}

/// In records a checkpoint is the number of its last event.
pub(super) fn last_before(seq: Seq) -> Option<u64> {
    seq.0.checked_sub(1)
}

/// The numbers of events that were not rejected.
fn without(runs: &[Run], rejected: &[Rejected]) -> Vec<Run> {
    if rejected.is_empty() {
        return runs.to_vec();
    }
    let numbers = runs.iter().flat_map(|run| run.first..run.first + run.count);
    let is_rejected = |index: usize| rejected.iter().any(|rejected| rejected.index as usize == index);
    runs_of(numbers.enumerate().filter(|(index, _)| !is_rejected(*index)).map(|(_, number)| number))
}

/// The decimal number that a payload begins with, or the number its 8 bytes are.
fn serial(payload: &[u8]) -> Option<u64> {
    let digits = payload.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if digits > 0 {
        return std::str::from_utf8(&payload[..digits]).ok()?.parse().ok();
    }
    payload.try_into().ok().map(u64::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_serial_of_a_payload_is_its_leading_number() {
        let cases: [(&[u8], Option<u64>); 6] = [
            (b"1042", Some(1042)),
            (b"0007 seven", Some(7)),
            (b"x1", None),
            (b"", None),
            (b"99999999999999999999", None),
            (&[0x2a, 0, 0, 0, 0, 0, 0, 0], Some(42)),
        ];
        for (payload, expected) in cases {
            assert_eq!(serial(payload), expected, "{payload:?}");
        }
    }
}
