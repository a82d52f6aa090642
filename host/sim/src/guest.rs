//! Fake guests: what plugins do, well or badly.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use bytes::Bytes;
use forebay_proto::{
    batch::Batch,
    ids::{Epoch, Seq},
    message::SeqRun,
    recycle::Marks,
    stage::{Call, GuestNo, Rejected, Returned, Role},
};
use rand::{RngExt, rngs::SmallRng};

use crate::{
    facts::{EventId, Instance, StageNo, seqs},
    node::stage_no,
};

/// What a guest does with events.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Habit {
    /// Numbered events, of which it gives less than asked now and then.
    Counter {
        /// How often it gives all. Percent.
        full: u32,
        /// It gives the rest later by itself, and is never asked again for it.
        owes: bool,
    },
    /// Passes on.
    Same,
    /// Three of each.
    Triple,
    /// Every second.
    Half,
    /// Takes.
    Sink,
}

impl Habit {
    pub(crate) fn random(rng: &mut SmallRng, role: Role) -> Self {
        match role {
            Role::Producer => Self::Counter { full: rng.random_range(10..80), owes: rng.random_bool(0.3) },
            Role::ProducerConsumer => [Self::Same, Self::Triple, Self::Half][rng.random_range(0..3)],
            Role::Consumer => Self::Sink,
        }
    }
}

/// How well it behaves while faults are on, and how fast it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manners {
    /// Per call. Percent.
    pub(crate) trap: u32,
    /// Per call. Percent.
    pub(crate) retry: u32,
    /// Per event. Percent.
    pub(crate) reject: u32,
    /// Longest call. Unit: microseconds.
    pub(crate) slow_us: u64,
}

impl Manners {
    pub(crate) fn random(rng: &mut SmallRng, is_good: bool) -> Self {
        let sometimes = |rng: &mut SmallRng, most| if rng.random_bool(0.35) { rng.random_range(1..most) } else { 0 };
        let (trap, retry, reject) = (sometimes(rng, 8), sometimes(rng, 25), sometimes(rng, 10));
        let slow_us = if rng.random_bool(0.2) { 150_000 } else { rng.random_range(2_000..40_000) };
        if is_good { Self { trap: 0, retry: 0, reject: 0, slow_us } } else { Self { trap, retry, reject, slow_us } }
    }
}

/// What the outside world is like at present.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Phase {
    Faults,
    Calm,
    /// Producers come to their end.
    Closing,
}

/// How a call went.
#[derive(Debug)]
pub(crate) enum Outcome {
    Returned(Returned),
    Trapped,
}

#[derive(Debug)]
pub(crate) struct Guest {
    habit: Habit,
    manners: Manners,
    emitted: u64,
    /// Asked for, not given, and to be given by itself.
    owed: u64,
    /// Its state: the events it has processed.
    known: BTreeSet<EventId>,
    /// What it was when it was last taken.
    taken: BTreeSet<EventId>,
    /// Some is lost with each call.
    memory: BTreeMap<GuestNo, u64>,
    /// Whom it asks itself, and how much it keeps open.
    sources: Vec<(StageNo, u32)>,
    /// What it is about to ask for.
    wishes: Vec<(StageNo, u32)>,
}

/// A guest with this much gives way to another.
pub(crate) const MARKS: Marks = Marks { mark: 40, limit: 50 };

impl Guest {
    /// It asks these sources for so much itself.
    pub(crate) fn new(habit: Habit, manners: Manners, sources: Vec<(StageNo, u32)>) -> Self {
        let (known, taken, wishes) = (BTreeSet::new(), BTreeSet::new(), sources.clone());
        Self { habit, manners, emitted: 0, owed: 0, known, taken, memory: BTreeMap::new(), sources, wishes }
    }

    /// What it asks for next, if it asks at all.
    pub(crate) fn take_wish(&mut self) -> Option<(StageNo, u32)> {
        self.wishes.pop()
    }

    /// One that asks wants as many again as it was given.
    fn wish(&mut self, source: StageNo, count: usize) {
        if self.sources.iter().any(|(other, _)| *other == source) {
            self.wishes.push((source, u32::try_from(count).expect("a small batch")));
        }
    }

    /// Begins with this state.
    pub(crate) fn restore(&mut self, known: BTreeSet<EventId>) {
        (self.known, self.taken) = (known.clone(), known);
    }

    /// Another takes its place.
    /// What its stage has emitted is not forgotten by the others.
    fn renew(&mut self, no: GuestNo) {
        let (state, mut memory) = (std::mem::take(&mut self.taken), std::mem::take(&mut self.memory));
        memory.remove(&no);
        let (emitted, owed) = (self.emitted, self.owed);
        *self =
            Self { emitted, owed, memory, ..Self::new(self.habit, self.manners, std::mem::take(&mut self.sources)) };
        self.restore(state);
    }

    /// A fresh one goes on where it is. What was taken last stays what one begins with that is renewed.
    fn recycle(&mut self, no: GuestNo) -> Returned {
        self.memory.remove(&no);
        Returned::Recycled { memory_bytes: self.memory(no) }
    }

    pub(crate) fn memory(&self, no: GuestNo) -> u64 {
        1 + self.memory.get(&no).copied().unwrap_or_default()
    }

    fn snapshot(&mut self) -> Returned {
        self.taken.clone_from(&self.known);
        Returned::Snapshot(encode(&self.known))
    }

    fn learn(&mut self, call: &Call, rejected: &[Rejected]) {
        let Call::HandleEvents { source, epoch, runs, .. } = call else { return };
        let events = accepted(runs, rejected);
        let id = |seq| EventId { stage: stage_no(source), epoch: *epoch, seq };
        self.known.extend(seqs(&events).map(id));
    }

    pub(crate) fn call_takes(&self, rng: &mut SmallRng) -> Duration {
        Duration::from_micros(rng.random_range(500..=self.manners.slow_us))
    }

    pub(crate) fn answer(
        &mut self,
        rng: &mut SmallRng,
        phase: Phase,
        (me, no): (Instance, GuestNo),
        call: &Call,
    ) -> Outcome {
        if phase == Phase::Faults {
            let lot = rng.random_range(0..100);
            if *call == Call::Renew {
                self.renew(no);
                return Outcome::Returned(Returned::Renewed);
            }
            if lot < self.manners.trap {
                // The one way the host starts the whole stage again, the other only the guest.
                let spares = matches!(call, Call::HandleEvents { .. }) && rng.random_bool(0.7);
                return if spares { Outcome::Returned(Returned::Trapped("trap".into())) } else { Outcome::Trapped };
            }
            if lot < self.manners.trap + self.manners.retry {
                let why = || "not now".to_owned();
                return Outcome::Returned(match call {
                    Call::Snapshot => Returned::NoSnapshot(why()),
                    Call::Recycle => Returned::NotRecycled(why()),
                    _ => Returned::Retry,
                });
            }
        }
        *self.memory.entry(no).or_default() += 1;
        Outcome::Returned(match call {
            Call::HandleDemand { demand } => self.produce(rng, phase, me, *demand),
            Call::HandleEvents { source, events, .. } => {
                self.wish(stage_no(source), events.len());
                let rejected = self.reject(rng, phase, events.len());
                self.learn(call, &rejected);
                Returned::Processed { events: self.transform(events), rejected }
            }
            Call::Retire => {
                self.memory.remove(&no);
                Returned::Retired
            }
            Call::Renew => {
                self.renew(no);
                Returned::Renewed
            }
            Call::Snapshot => self.snapshot(),
            Call::HandleTick => Returned::Ticked(self.pay(rng, phase, me)),
            Call::Recycle => self.recycle(no),
            Call::HandleIngest { .. } => unreachable!("no stage of the simulator has an inbox"),
            Call::HandleCall { .. } => unreachable!("nobody asks a stage of the simulator anything"),
        })
    }

    /// What it cannot process. It passes something on for these as well, which changes nothing here.
    fn reject(&self, rng: &mut SmallRng, phase: Phase, count: usize) -> Vec<Rejected> {
        if phase != Phase::Faults || self.manners.reject == 0 {
            return Vec::new();
        }
        let mut rejected = Vec::new();
        for index in 0..u32::try_from(count).expect("a small batch") {
            if rng.random_range(0..100) < self.manners.reject {
                rejected.push(Rejected { index, retry: rng.random_bool(0.6), reason: "no".into() });
            }
        }
        rejected
    }

    fn produce(&mut self, rng: &mut SmallRng, phase: Phase, me: Instance, demand: u32) -> Returned {
        let Habit::Counter { full, owes } = self.habit else { unreachable!("only counters are asked") };
        if phase == Phase::Closing {
            self.owed = 0;
            return Returned::Produced { events: Batch::default(), finished: true };
        }
        let given = match rng.random_range(0..100) {
            lot if lot < full => demand,
            lot if lot < full + 10 => 0,
            _ => rng.random_range(0..=demand),
        };
        if owes {
            self.owed += u64::from(demand - given);
        }
        Returned::Produced { events: self.count(me, u64::from(given)), finished: false }
    }

    /// Part of what it still owes.
    pub(crate) fn pay(&mut self, rng: &mut SmallRng, phase: Phase, me: Instance) -> Batch {
        if phase == Phase::Closing {
            self.owed = 0;
        }
        let paid = if self.owed == 0 { 0 } else { rng.random_range(1..=self.owed) };
        self.owed -= paid;
        self.count(me, paid)
    }

    pub(crate) fn owes(&self) -> bool {
        self.owed > 0
    }

    /// The next events; each says where it comes from and which it is.
    fn count(&mut self, me: Instance, count: u64) -> Batch {
        let first = self.emitted;
        self.emitted += count;
        let payload = |n: u64| [vec![me.stage.0], me.epoch.to_u64().to_be_bytes().to_vec(), n.to_be_bytes().to_vec()];
        Batch::from_payloads((first..first + count).map(|n| payload(n).concat()))
    }

    fn transform(&self, events: &Batch) -> Batch {
        let payloads = events.iter().map(|event| event.payload);
        match self.habit {
            Habit::Same => events.clone(),
            Habit::Triple => Batch::from_payloads(payloads.flat_map(|payload| [payload; 3])),
            Habit::Half => Batch::from_payloads(payloads.filter(|payload| payload.last().is_some_and(|n| n % 2 == 0))),
            Habit::Counter { .. } | Habit::Sink => Batch::default(),
        }
    }
}

/// The numbers of events that were not rejected.
pub(crate) fn accepted(runs: &[SeqRun], rejected: &[Rejected]) -> Vec<SeqRun> {
    let is_rejected = |index: usize| rejected.iter().any(|rejected| rejected.index as usize == index);
    let kept = seqs(runs).enumerate().filter(|(index, _)| !is_rejected(*index));
    kept.map(|(_, first)| SeqRun { first, count: 1 }).collect()
}

fn encode(known: &BTreeSet<EventId>) -> Bytes {
    let event =
        |id: &EventId| [vec![id.stage.0], id.epoch.to_u64().to_be_bytes().into(), id.seq.0.to_be_bytes().into()];
    known.iter().flat_map(event).flatten().collect()
}

/// The state in a snapshot.
pub(crate) fn decode(snapshot: &[u8]) -> BTreeSet<EventId> {
    let number = |bytes: &[u8]| u64::from_be_bytes(bytes.try_into().expect("8 bytes"));
    let event = |id: &[u8]| EventId {
        stage: StageNo(id[0]),
        epoch: Epoch::from_u64(number(&id[1..9])),
        seq: Seq(number(&id[9..])),
    };
    snapshot.chunks_exact(17).map(event).collect()
}
