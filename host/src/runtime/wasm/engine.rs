//! The wasmtime engine, and the thread that advances its clock.

use std::{
    num::NonZeroUsize,
    sync::mpsc::{self, RecvTimeoutError},
    thread::{self, JoinHandle},
    time::Duration,
};

use wasmtime::{Config, Engine, OptLevel};

use super::trap;

/// How often running guests are looked at: they yield then, and end if their time is up.
///
/// A spinning guest delays others on its thread by one tick; a shorter tick costs every guest a
/// check of the clock more often. 10 ms stopped a spinning guest 0.7 ms after a limit of 100 ms.
pub(super) const TICK: Duration = Duration::from_millis(10);

/// Stack of a guest's own frames. Unit: bytes; wasmtime's default.
const WASM_STACK_BYTES: usize = 512 << 10;
/// Stack of a call's fiber. What is above [`WASM_STACK_BYTES`] is left to host functions: 1.5 MiB,
/// as in wasmtime's defaults. Reserved, not touched, until it is used.
const FIBER_STACK_BYTES: usize = 2 << 20;

const _: () = assert!(FIBER_STACK_BYTES >= WASM_STACK_BYTES + (1 << 20), "host functions need stack too");

/// An engine whose epoch advances every [`TICK`] for as long as this value lives.
pub(super) struct TickingEngine {
    engine: Engine,
    /// Dropping it is what tells the ticker to end.
    stop: Option<mpsc::Sender<()>>,
    ticker: Option<JoinHandle<()>>,
}

impl TickingEngine {
    /// # Errors
    /// What wasmtime says, when this machine is none it can compile for.
    pub(super) fn new() -> wasmtime::Result<Self> {
        let engine = Engine::new(&config())?;
        let (stop, stopped) = mpsc::channel();
        let ticked = engine.clone();
        let tick = move || {
            while stopped.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                ticked.increment_epoch();
            }
        };
        let ticker = thread::Builder::new().name("wasm-ticker".into()).spawn(tick)?;
        Ok(Self { engine, stop: Some(stop), ticker: Some(ticker) })
    }

    pub(super) fn engine(&self) -> &Engine {
        &self.engine
    }
}

impl Drop for TickingEngine {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(ticker) = self.ticker.take() {
            // It can only have panicked if `increment_epoch` did, and then there is nothing to add.
            let _ = ticker.join();
        }
    }
}

/// Threads, garbage collection, exceptions and component-model async are not compiled in at all.
///
/// Memory is allocated as instances need it: the pooling allocator spares no time of a call (1.28 us against 1.25), 7 of
/// the 30 us of a start, and takes 7 KiB more for each idle instance; and it fixes the number of instances and the size of
/// their memories at the start. (`cargo bench --workspace --bench guest`)
pub(super) fn config() -> Config {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .wasm_memory64(false)
        // Costs 3.5 us a call when on (measured 4.5 against 1.0), and no plugin needs it.
        .concurrency_support(false)
        .epoch_interruption(true)
        .max_wasm_stack(WASM_STACK_BYTES)
        .async_stack_size(FIBER_STACK_BYTES)
        .wasm_backtrace_max_frames(NonZeroUsize::new(trap::FRAMES_MAX + 1))
        .cranelift_opt_level(OptLevel::Speed);
    config
}
