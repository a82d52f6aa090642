//! Notices when virtual time stands still: a task that is always ready keeps tokio from advancing the clock, and the
//! run from ever coming to its end. On a real node it would take a processor for itself.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::Duration,
};

static STEPS: AtomicU64 = AtomicU64::new(0);
static SEED: AtomicU64 = AtomicU64::new(0);

/// A run begins.
pub(crate) fn begin(seed: u64) {
    SEED.store(seed, Ordering::Relaxed);
}

/// Virtual time has passed.
pub(crate) fn step() {
    STEPS.fetch_add(1, Ordering::Relaxed);
}

/// Ends the process with code 1 once no run of it has made a step for so long. Unit: real time.
pub fn watch(limit: Duration) {
    thread::spawn(move || {
        let mut before = STEPS.load(Ordering::Relaxed);
        loop {
            thread::sleep(limit);
            let now = STEPS.load(Ordering::Relaxed);
            if now == before {
                let seed = SEED.load(Ordering::Relaxed);
                println!("seed {seed}: BROKEN time stands still for {limit:?}: a task never waits");
                std::process::exit(1);
            }
            before = now;
        }
    });
}
