//! One component in engines of other settings than the host's, by wasmtime alone.
//!
//! The host's own are in `host/src/runtime/wasm/engine.rs`; here stands what they are weighed against.

use std::{fmt, fs, rc::Rc};

use tokio::runtime::{Builder, Runtime};
use wasmtime::{
    Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Store,
    component::{
        Component, ComponentNamedList, ComponentType, Instance, InstancePre, Lift, Linker, Lower, ResourceTable,
        TypedFunc,
    },
};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::stages::{COUNTER, path_of};

/// What an engine is set to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting {
    epochs: bool,
    pooling: bool,
}

impl Setting {
    /// The first is the host's.
    pub(crate) const ALL: [Self; 4] = [
        Self { epochs: true, pooling: false },
        Self { epochs: false, pooling: false },
        Self { epochs: true, pooling: true },
        Self { epochs: false, pooling: true },
    ];
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let epochs = if self.epochs { "epochs" } else { "no epochs" };
        write!(f, "{epochs}, {}", if self.pooling { "pooling" } else { "on demand" })
    }
}

/// Instances, memories and tables of the pool: more than [`crate::memory`] makes.
const POOL: u32 = 2_000;
/// The default of `limits.memory`.
const MEMORY_BYTES: usize = 64 << 20;

struct State {
    wasi: WasiCtx,
    table: ResourceTable,
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

#[derive(ComponentType, Lift)]
#[component(record)]
#[expect(dead_code, reason = "lifted as the host would, and dropped")]
struct Events {
    payloads: Vec<u8>,
    ends: Vec<u32>,
    topics: Vec<String>,
    #[component(name = "topic-of")]
    topic_of: Vec<u16>,
    keys: Vec<u8>,
    #[component(name = "key-ends")]
    key_ends: Vec<u32>,
    headers: Vec<(u32, String, String)>,
}

#[derive(ComponentType, Lift)]
#[component(variant)]
#[expect(dead_code, reason = "never met")]
enum No {
    #[component(name = "retry")]
    Retry(String),
    #[component(name = "fatal")]
    Fatal(String),
    #[component(name = "other")]
    Other(String),
}

#[derive(ComponentType, Lower)]
#[component(record)]
struct Context {
    pipeline: String,
    stage: String,
    node: String,
    instance: u32,
    config: String,
    attributes: Vec<(String, String)>,
}

#[derive(ComponentType, Lift)]
#[component(enum)]
#[repr(u8)]
#[expect(dead_code, reason = "made by lifting")]
enum Level {
    #[component(name = "trace")]
    Trace,
    #[component(name = "debug")]
    Debug,
    #[component(name = "info")]
    Info,
    #[component(name = "warn")]
    Warn,
    #[component(name = "error")]
    Error,
}

type Demand = TypedFunc<(u32,), (Result<Events, No>,)>;
type Init = TypedFunc<(Context,), (Result<(), String>,)>;

/// The counter, compiled for one setting.
pub(crate) struct Variant {
    setting: Setting,
    pre: InstancePre<State>,
    tokio: Rc<Runtime>,
}

impl Variant {
    pub(crate) fn new(setting: Setting) -> Self {
        let mut config = Config::new();
        config
            .wasm_component_model(true)
            .wasm_memory64(false)
            .concurrency_support(false)
            .epoch_interruption(setting.epochs);
        if setting.pooling {
            config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool()));
        }
        let engine = Engine::new(&config).expect("wasmtime works here");
        let bytes = fs::read(path_of("counter")).expect("a plugin of ours");
        let component = Component::from_binary(&engine, &bytes).expect("it compiles");
        let mut linker = Linker::<State>::new(&engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker).expect("WASI");
        let mut host = linker.instance("forebay:stage/host@0.1.1").expect("a name");
        host.func_wrap("log", |_, (_, _): (Level, String)| Ok(())).expect("the only one of that name");
        let pre = linker.instantiate_pre(&component).expect("all it imports is there");
        let tokio = Rc::new(Builder::new_current_thread().enable_all().build().expect("a runtime"));
        Self { setting, pre, tokio }
    }

    /// Without its `init`.
    pub(crate) fn instance(&self) -> Running {
        let state = State { wasi: WasiCtx::builder().build(), table: ResourceTable::new() };
        let mut store = Store::new(self.pre.engine(), state);
        if self.setting.epochs {
            // Nothing advances this engine's epoch: what is measured is looking at it.
            store.set_epoch_deadline(1);
        }
        let instance = self.tokio.block_on(self.pre.instantiate_async(&mut store)).expect("it starts");
        let demand = function(&mut store, &instance, "forebay:stage/produce@0.1.1", "handle-demand");
        Running { store, instance, demand, tokio: Rc::clone(&self.tokio) }
    }
}

/// One that is running.
pub(crate) struct Running {
    store: Store<State>,
    instance: Instance,
    demand: Demand,
    tokio: Rc<Runtime>,
}

impl Running {
    /// As the host's counter is configured.
    pub(crate) fn begun(mut self) -> Self {
        let name = || "bench".to_owned();
        let (pipeline, stage, node, config) = (name(), name(), name(), COUNTER.to_owned());
        let context = Context { pipeline, stage, node, instance: 0, config, attributes: Vec::new() };
        let init: Init = function(&mut self.store, &self.instance, "forebay:stage/lifecycle@0.1.1", "init");
        let begun = self.tokio.block_on(init.call_async(&mut self.store, (context,)));
        begun.expect("no trap").0.expect("it begins");
        self
    }

    /// Gives how many events came.
    pub(crate) fn demand(&mut self, count: u32) -> usize {
        let made = self.tokio.block_on(self.demand.call_async(&mut self.store, (count,)));
        let Ok((Ok(events),)) = made else { panic!("events were asked for") };
        events.ends.len()
    }
}

fn function<P, R>(store: &mut Store<State>, instance: &Instance, interface: &str, name: &str) -> TypedFunc<P, R>
where
    P: ComponentNamedList + Lower,
    R: ComponentNamedList + Lift,
{
    let interface = instance.get_export_index(&mut *store, None, interface).expect("an interface of ours");
    let index = instance.get_export_index(&mut *store, Some(&interface), name).expect("its function");
    instance.get_typed_func(store, index).expect("as the WIT says")
}

fn pool() -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(POOL)
        .total_core_instances(10 * POOL)
        .total_memories(POOL)
        .total_tables(10 * POOL)
        .total_stacks(POOL)
        .max_memory_size(MEMORY_BYTES)
        .table_elements(100_000);
    pool
}
