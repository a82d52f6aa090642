//! What belongs to one instance inside its wasmtime store: its limits, its WASI, its voice.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use forebay_proto::pipeline::Grants;
use wasmtime::{Engine, ResourceLimiter, Store, UpdateDeadline};
use wasmtime_wasi::{ResourceTable, WasiCtx, WasiCtxView, WasiView, sockets::WasiSocketsCtxView};

use super::{
    super::{Asks, InstanceSpec, Limits},
    access::{self, Found},
    engine::TICK,
    lookup::{Lookups, LookupsView},
    output::Voice,
};

/// Core instances, memories and tables a component may have. The largest seen is StarlingMonkey's,
/// with 12 instances and 3 memories; a bound here keeps a component from costing by their number.
const ITEMS_MAX: usize = 100;
/// Handles a guest may hold at a time.
const HANDLES_MAX: usize = 10_000;

/// The data of one instance's store.
pub(super) struct State {
    wasi: WasiCtx,
    table: ResourceTable,
    lookups: Lookups,
    /// Where its lines go.
    pub(super) voice: Voice,
    /// What it asks its sources for.
    pub(super) asks: Asks,
    /// What it has of memory and tables.
    pub(super) limiter: Limiter,
    /// When the present call is to end.
    deadline: Instant,
}

/// A store with every limit set; guests in it yield each tick and trap at their deadline.
///
/// # Errors
/// What is granted, but not there.
pub(super) fn new(engine: &Engine, spec: &InstanceSpec, grants: &Arc<Grants>) -> Result<Store<State>, String> {
    let voice = Voice::new(spec.stage.clone(), spec.output.clone(), spec.limits.log_lines_per_second);
    let mut table = ResourceTable::new();
    table.set_max_capacity(HANDLES_MAX);
    let found = Found::default();
    let state = State {
        wasi: access::context(grants, &found, &voice)?,
        table,
        lookups: Lookups::new(Arc::clone(grants), found),
        voice,
        asks: spec.asks.fresh(),
        limiter: Limiter::new(&spec.limits),
        deadline: Instant::now(),
    };
    let mut store = Store::new(engine, state);
    store.limiter(|state| &mut state.limiter);
    store.set_hostcall_fuel(hostcall_bytes_max(&spec.limits));
    store.epoch_deadline_callback(|context| match Instant::now() < context.data().deadline {
        true => Ok(UpdateDeadline::Yield(1)),
        false => Ok(UpdateDeadline::Interrupt),
    });
    Ok(store)
}

/// Makes ready for one call of at most `limit`.
pub(super) fn arm(store: &mut Store<State>, limit: Duration) {
    let state = store.data_mut();
    state.deadline = Instant::now() + limit;
    state.limiter.refused = false;
    store.set_epoch_deadline(1);
}

/// How long a call is waited for: the guest ends itself by the tick after its deadline, unless the
/// host is what it waits in.
pub(super) fn patience(limit: Duration) -> Duration {
    limit + 2 * TICK
}

/// How many bytes the host makes of what a guest hands over in one call.
///
/// A batch at its limit takes up to five times its size in the host (a header of 12 bytes becomes
/// 56), and a batch beyond it should still arrive, to be refused by a check that names the sizes.
fn hostcall_bytes_max(limits: &Limits) -> usize {
    8 * limits.batch.bytes_max as usize + (1 << 20)
}

impl State {
    pub(super) fn lookups(&mut self) -> LookupsView<'_> {
        let sockets = WasiSocketsCtxView { ctx: self.wasi.sockets(), table: &mut self.table };
        LookupsView { lookups: &mut self.lookups, sockets }
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

/// Counts what all memories and tables of a store take together, and refuses what is too much.
pub(super) struct Limiter {
    memory: Account,
    table: Account,
    /// Whether memory was refused during the present call.
    pub(super) refused: bool,
}

/// One kind of goods.
struct Account {
    used: usize,
    max: usize,
    /// What the last growth added, to be given back if it failed after all.
    last: usize,
}

impl Account {
    fn new(max: usize) -> Self {
        Self { used: 0, max, last: 0 }
    }

    fn grow(&mut self, current: usize, desired: usize) -> bool {
        let more = desired.saturating_sub(current);
        let fits = more <= self.max - self.used;
        self.last = if fits { more } else { 0 };
        self.used += self.last;
        fits
    }

    fn undo(&mut self) {
        self.used -= std::mem::take(&mut self.last);
    }
}

impl Limiter {
    fn new(limits: &Limits) -> Self {
        let memory = Account::new(usize::try_from(limits.memory_bytes).unwrap_or(usize::MAX));
        Self { memory, table: Account::new(limits.table_elements as usize), refused: false }
    }

    /// What all memories take together.
    pub(super) fn memory_bytes(&self) -> u64 {
        self.memory.used as u64
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let granted = self.memory.grow(current, desired);
        self.refused |= !granted;
        Ok(granted)
    }

    fn memory_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        self.memory.undo();
        Ok(())
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self.table.grow(current, desired))
    }

    fn table_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        self.table.undo();
        Ok(())
    }

    fn instances(&self) -> usize {
        ITEMS_MAX
    }

    fn tables(&self) -> usize {
        ITEMS_MAX
    }

    fn memories(&self) -> usize {
        ITEMS_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memories_are_counted_together() {
        let mut limiter = Limiter::new(&Limits { memory_bytes: 100, ..Limits::default() });
        assert!(limiter.memory_growing(0, 60, None).unwrap());
        assert!(limiter.memory_growing(0, 40, None).unwrap());
        assert!(!limiter.refused);
        assert_eq!(limiter.memory_bytes(), 100);
        assert!(!limiter.memory_growing(60, 61, None).unwrap());
        assert!(limiter.refused);
    }

    #[test]
    fn a_growth_that_failed_is_given_back() {
        let mut limiter = Limiter::new(&Limits { memory_bytes: 100, ..Limits::default() });
        assert!(limiter.memory_growing(0, 90, None).unwrap());
        limiter.memory_grow_failed(wasmtime::Error::msg("no such address space")).unwrap();
        assert!(limiter.memory_growing(0, 100, None).unwrap());
    }
}
