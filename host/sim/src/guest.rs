//! Fake guests: what plugins do, well or badly.

use std::time::Duration;

use forebay_proto::{
    batch::Batch,
    stage::{Call, Rejected, Returned, Role},
};
use rand::{RngExt, rngs::SmallRng};

use crate::facts::Instance;

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
}

impl Guest {
    pub(crate) fn new(habit: Habit, manners: Manners) -> Self {
        Self { habit, manners, emitted: 0, owed: 0 }
    }

    pub(crate) fn call_takes(&self, rng: &mut SmallRng) -> Duration {
        Duration::from_micros(rng.random_range(500..=self.manners.slow_us))
    }

    pub(crate) fn answer(&mut self, rng: &mut SmallRng, phase: Phase, me: Instance, call: &Call) -> Outcome {
        if phase == Phase::Faults {
            let lot = rng.random_range(0..100);
            if *call == Call::Renew {
                *self = Self::new(self.habit, self.manners);
                return Outcome::Returned(Returned::Renewed);
            }
            if lot < self.manners.trap {
                // The one way the host starts the whole stage again, the other only the guest.
                let spares = matches!(call, Call::HandleEvents { .. }) && rng.random_bool(0.7);
                return if spares { Outcome::Returned(Returned::Trapped("trap".into())) } else { Outcome::Trapped };
            }
            if lot < self.manners.trap + self.manners.retry {
                return Outcome::Returned(Returned::Retry);
            }
        }
        Outcome::Returned(match call {
            Call::HandleDemand { demand } => self.produce(rng, phase, me, *demand),
            Call::HandleEvents { events, .. } => {
                let rejected = self.reject(rng, phase, events.len());
                Returned::Processed { events: self.transform(events), rejected }
            }
            Call::Renew => {
                *self = Self::new(self.habit, self.manners);
                Returned::Renewed
            }
            Call::Snapshot => unreachable!("no stage of the simulator has a state to move"),
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
