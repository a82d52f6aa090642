//! Clocks and chance for guests in a simulation: both come from what the thread was given, not from the system.
//!
//! A simulation runs nodes on one thread with tokio's clock paused. On that thread guests see the same time as their host,
//! which begins at a date that is always the same; and what they take for random comes from a seed.

use std::{cell::Cell, time::Duration};

use rand::{SeedableRng as _, rngs::StdRng};
use tokio::time::Instant;
use wasmtime_wasi::{HostMonotonicClock, HostWallClock, WasiCtxBuilder};

/// When a simulation begins for guests. Unit: seconds since 1970; the first of January 2026.
const FIRST_DATE_SECS: u64 = 1_767_225_600;

/// What a guest's own clock shows then: some runtimes take 0 for a clock that does not work. Unit: nanoseconds.
const FIRST_NANOS: u64 = 1_000_000_000;

thread_local! {
    static SIMULATION: Cell<Option<Simulation>> = const { Cell::new(None) };
}

#[derive(Clone, Copy)]
struct Simulation {
    began: Instant,
    seed: u64,
    /// Instances so far: each has its own chance.
    instances: u64,
}

/// From now on guests that start on this thread see tokio's clock, and chance from this seed.
pub(crate) fn begin(seed: u64) {
    SIMULATION.set(Some(Simulation { began: Instant::now(), seed, instances: 0 }));
}

/// As before [`begin`].
pub(crate) fn end() {
    SIMULATION.set(None);
}

/// Gives a guest the clocks and the chance of its thread's simulation, if there is one.
pub(super) fn provide(wasi: &mut WasiCtxBuilder) {
    let Some(mut simulation) = SIMULATION.get() else { return };
    simulation.instances += 1;
    SIMULATION.set(Some(simulation));
    let number = (u128::from(simulation.seed) << 64) | u128::from(simulation.instances);
    let chance =
        |which: u64| StdRng::seed_from_u64(simulation.seed ^ (2 * simulation.instances + which).rotate_right(8));
    wasi.wall_clock(Clock(simulation.began)).monotonic_clock(Clock(simulation.began));
    wasi.secure_random(chance(0)).insecure_random(chance(1));
    wasi.insecure_random_seed(number);
}

/// Time since the simulation began.
struct Clock(Instant);

impl HostWallClock for Clock {
    fn resolution(&self) -> Duration {
        Duration::from_millis(1)
    }

    fn now(&self) -> Duration {
        Duration::from_secs(FIRST_DATE_SECS) + self.0.elapsed()
    }
}

impl HostMonotonicClock for Clock {
    fn resolution(&self) -> u64 {
        1_000_000
    }

    fn now(&self) -> u64 {
        FIRST_NANOS + u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX - FIRST_NANOS)
    }
}
