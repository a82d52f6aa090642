//! One running stage: what it says and calls, carried out and noted.

use std::sync::Arc;

use forebay_proto::{
    batch::Batch,
    checkpoints::{Commit, Committed},
    consumer::{AskMode, UpstreamOptions},
    ids::Seq,
    message::{Envelope, Events, Message, Reason, SeqRun},
    select::InstanceId,
    stage::{Call, Concurrency, GuestNo, Input, Letter, Notice, Returned, StageOptions, Transmit},
};
use rand::RngExt;

use super::{Running, node_name, node_no, pipeline_name, stage_name, stage_no};
use crate::{
    agenda::{Due, Env},
    facts::{Instance, Numbered, Side, StreamNo, Visible, What},
    guest::{Guest, MARKS, Outcome, Phase, accepted, decode},
    network::Frame,
    routing::Routing,
    workload::StagePlan,
};

impl Running {
    pub(super) fn visible(&self) -> Visible {
        let stage = &self.stage;
        Visible { unacked: stage.unacked(), buffered: stage.buffered(), queued: stage.queued() }
    }

    /// Does all that waits in the pollers; says whether there was anything.
    pub(super) fn step(&mut self, env: &mut Env) -> bool {
        let mut moved = false;
        while let Some((source, count)) = self.guest.take_wish() {
            env.note(What::Asked { consumer: self.me, source, count });
            self.stage.handle(env.now, Input::Asked { source: stage_name(source), count });
        }
        for guest in self.stage.guests() {
            self.stage.handle(env.now, Input::Memory { guest, bytes: self.guest.memory(guest) });
        }
        while let Some(transmit) = self.stage.poll_transmit() {
            self.carry(env, transmit);
            moved = true;
        }
        while let Some(notice) = self.stage.poll_notice() {
            self.log(env, &notice);
        }
        while let Some((no, letters)) = self.stage.poll_letters() {
            // The disk may be full.
            let kept = env.phase != Phase::Faults || env.rng.random_bool(0.8);
            if kept {
                self.note_letters(env, &letters);
            }
            self.stage.handle(env.now, Input::Lettered { letters: no, kept });
            moved = true;
        }
        while let Some(commit) = self.stage.poll_commit(env.now) {
            self.record(env, &commit);
            moved = true;
        }
        for guest in self.stage.guests() {
            let Some(call) = self.stage.poll_call(env.now, guest) else { continue };
            self.note_call(env, guest, &call);
            let takes = self.guest.call_takes(&mut env.rng);
            env.after(takes, Due::Return(self.me.node, self.me.no, guest));
            self.calls.insert(guest, call);
            moved = true;
        }
        moved
    }

    /// The answer may be lost, or the question.
    fn record(&mut self, env: &mut Env, commit: &Commit) {
        let lot = if env.phase == Phase::Faults { env.rng.random_range(0..10) } else { 9 };
        if lot > 0 {
            self.recorded = Some((commit.seq, commit.snapshot.clone()));
            env.note(What::Recorded { instance: self.me, known: Arc::new(decode(&commit.snapshot)) });
        }
        let committed = if lot > 1 { Committed::Done } else { Committed::Unknown };
        self.stage.handle(env.now, Input::Committed(committed));
    }

    pub(super) fn carry(&mut self, env: &mut Env, transmit: Transmit) {
        match transmit {
            Transmit::Open { sub, node } => {
                let stream = env.open_stream(self.me.node, (self.me.no, sub), node_no(&node));
                self.subs.insert(sub, (stream, Side::Consumer));
            }
            Transmit::Send { sub, envelope } => {
                let Some(&(stream, side)) = self.subs.get(&sub) else { return };
                self.note_sent(env, stream, &envelope);
                env.send_frame(stream, side.other(), Frame::Envelope(envelope));
            }
            Transmit::Close { sub } => {
                if let Some(&(stream, side)) = self.subs.get(&sub) {
                    close(env, stream, side, "by the stage");
                }
            }
        }
    }

    pub(super) fn note_sent(&self, env: &mut Env, stream: StreamNo, envelope: &Envelope) {
        let consumer = self.me;
        match &envelope.message {
            Message::Subscribe(subscribe) => {
                let (source, demand) = (stage_no(&subscribe.producer), subscribe.demand);
                env.note(What::Subscribed { stream, consumer, source, epoch: envelope.epoch, demand });
            }
            Message::Ask { granted, acked } => {
                env.note(What::AskSent { stream, granted: *granted, acked: acked.clone() });
            }
            Message::Events(events) => env.note(What::EventsSent { stream, events: numbered(events) }),
            Message::Retry { runs, .. } => env.note(What::RetrySent { stream, runs: runs.clone() }),
            Message::Cancel(_) | Message::Processed { .. } => {}
        }
    }

    pub(super) fn log(&self, env: &mut Env, notice: &Notice) {
        match notice {
            Notice::ConsumerJoined { sub, .. } => {
                env.note(What::Joined { stream: self.subs[sub].0, producer: self.me });
            }
            Notice::Recycled { .. } => env.note(What::Recycled { instance: self.me }),
            Notice::Refused { sub, reason } => {
                let stale = *reason == Reason::StaleEpoch;
                env.note(What::Refused { stream: self.subs[sub].0, stale, why: reason.to_string() });
            }
            _ => {}
        }
    }

    pub(super) fn note_letters(&self, env: &mut Env, letters: &[Letter]) {
        for letter in letters {
            let (source, runs) = (stage_no(&letter.source), vec![SeqRun { first: letter.seq, count: 1 }]);
            env.note(What::Lettered { consumer: self.me, source, epoch: letter.epoch, runs });
        }
    }

    pub(super) fn note_call(&self, env: &mut Env, guest: GuestNo, call: &Call) {
        match call {
            Call::HandleIngest { .. }
            | Call::HandleTick
            | Call::HandleCall { .. }
            | Call::Snapshot
            | Call::Renew
            | Call::Retire
            | Call::Recycle => {}
            Call::HandleDemand { demand } => env.note(What::Demanded { producer: self.me, demand: *demand }),
            Call::HandleEvents { sub, source, epoch, attempt, runs, events } => {
                let events = Numbered { attempt: *attempt, runs: runs.clone(), payloads: payloads(events) };
                let (stream, source) = (self.subs[sub].0, stage_no(source));
                env.note(What::Called { consumer: self.me, guest, stream, source, epoch: *epoch, events });
            }
        }
    }

    pub(super) fn note_outcome(&self, env: &mut Env, guest: GuestNo, call: &Call, outcome: &Outcome) {
        let me = self.me;
        let Outcome::Returned(returned) = outcome else {
            env.note(What::Trapped { instance: me });
            return;
        };
        match (call, returned) {
            (Call::HandleDemand { demand }, Returned::Retry) => {
                env.note(What::Answered { producer: me, retry: Some(*demand) });
            }
            (Call::HandleEvents { sub, runs, .. }, Returned::Retry | Returned::Trapped(_)) => {
                env.note(What::WantsRetry { consumer: me, guest, stream: self.subs[sub].0, runs: runs.clone() });
            }
            (Call::HandleEvents { sub, source, epoch, runs, .. }, Returned::Processed { events, rejected }) => {
                let (stream, source, runs) = (self.subs[sub].0, stage_no(source), accepted(runs, rejected));
                env.note(What::Processed { consumer: me, guest, stream, source, epoch: *epoch, runs });
                env.note(What::Emitted { producer: me, payloads: payloads(events) });
            }
            (
                _,
                Returned::Renewed
                | Returned::Retired
                | Returned::Snapshot(_)
                | Returned::NoSnapshot(_)
                | Returned::Recycled { .. }
                | Returned::NotRecycled(_)
                | Returned::Ingested(_)
                | Returned::Answered(_)
                | Returned::Retry,
            ) => {}
            (_, Returned::Ticked(events)) => env.note(What::Emitted { producer: me, payloads: payloads(events) }),
            (_, Returned::Trapped(_)) => env.note(What::Trapped { instance: me }),
            (_, Returned::Produced { events, .. } | Returned::Processed { events, .. }) => {
                env.note(What::Answered { producer: me, retry: None });
                env.note(What::Emitted { producer: me, payloads: payloads(events) });
            }
        }
    }
}

/// What the stage's state machine is told.
pub(super) fn options(me: Instance, plan: &StagePlan, routing: &Routing, first_seq: Seq) -> StageOptions {
    let ask = if plan.flow.manual.is_some() { AskMode::Manual } else { AskMode::Auto };
    let upstream = |&(source, demand, cancel): &(_, _, _)| UpstreamOptions {
        cancel,
        ask,
        select: routing.selection(plan.no, source),
        ..UpstreamOptions::new(stage_name(source), demand)
    };
    StageOptions {
        instance: InstanceId::first_on(node_name(me.node)),
        dispatcher: routing.dispatcher(plan.no),
        epoch: me.epoch,
        first_seq,
        checkpoint: plan.checkpoint,
        recycle: Some(MARKS),
        poll: plan.poll,
        tick: plan.tick,
        upstreams: plan.upstreams.iter().map(upstream).collect(),
        batch: plan.flow.batch.clone(),
        rate_limit: plan.flow.rate,
        concurrency: Concurrency { instances: plan.flow.instances, ..Concurrency::default() },
        call_events_max: plan.call_events_max,
        ack: plan.ack,
        message_bytes_max: plan.message_bytes_max,
        ..StageOptions::new(pipeline_name(), stage_name(plan.no), plan.role)
    }
}

/// A guest at its start.
pub(super) fn guest(env: &mut Env, me: Instance, plan: &StagePlan, state: Option<&[u8]>) -> Guest {
    let open = |max: u32| plan.flow.manual.map(|open| open.min(max));
    let sources = plan.upstreams.iter().filter_map(|(source, demand, _)| Some((*source, open(demand.max())?)));
    let mut guest = Guest::new(plan.habit, plan.manners, sources.collect());
    if let Some(known) = state.map(decode) {
        env.note(What::Recorded { instance: me, known: Arc::new(known.clone()) });
        guest.restore(known);
    }
    guest
}

/// What a guest has returned, with its events as `dress` makes them.
pub(super) fn dressed(returned: Returned, dress: impl Fn(Batch) -> Batch) -> Returned {
    match returned {
        Returned::Produced { events, finished } => Returned::Produced { events: dress(events), finished },
        Returned::Processed { events, rejected } => Returned::Processed { events: dress(events), rejected },
        Returned::Ticked(events) => Returned::Ticked(dress(events)),
        other => other,
    }
}

pub(super) fn payloads(events: &Batch) -> Vec<Vec<u8>> {
    events.iter().map(|event| event.payload.to_vec()).collect()
}

pub(super) fn numbered(events: &Events) -> Numbered {
    Numbered { attempt: events.attempt, runs: events.runs.clone(), payloads: payloads(&events.events) }
}

/// Closes one end, if it is open: the other side learns of it behind what was said before.
pub(super) fn close(env: &mut Env, stream: StreamNo, side: Side, why: &'static str) {
    if env.network.stream(stream).is_some_and(|stream| stream.end(side).is_open) {
        env.send_frame(stream, side.other(), Frame::Fin);
        env.network.stream_mut(stream).expect("just seen").end_mut(side).is_open = false;
        env.note(What::Closed { stream, side, why });
    }
}
