//! A running component and its calls.
//!
//! A call takes the instance out of its place, and only a call that went well puts it back. So
//! whatever ends a call early, a trap, a time-out, or a caller that drops the future, the instance is
//! gone and cannot be entered again, which wasmtime would not survive unharmed.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use forebay_proto::{
    batch::{Batch, Columns},
    ids::StageName,
};
use wasmtime::{
    Store,
    component::{ComponentNamedList, Instance as ComponentInstance, Lift, Lower, TypedFunc},
};

use super::{
    super::{CallError, GuestDelivery, Instance, Limits, Output, Produced, Rejection, Role, StageError, Trap, check},
    engine::TickingEngine,
    signature::Exports,
    store::{self, State},
    trap,
    wit::{
        Scratch, WitBatch, WitContext, WitDelivery, WitStageError, WitView,
        calls::{
            CallParams, CallResult, ConsumeResult, EventsParams, IngestParams, InitParams, InitResult, ProduceParams,
            ProduceResult, RestoreParams, RestoreResult, SnapshotResult, TerminateParams, TransformResult,
        },
    },
};

const HANDLE_DEMAND: &str = "handle-demand";
const HANDLE_EVENTS: &str = "handle-events";
const HANDLE_INGEST: &str = "handle-ingest";
const HANDLE_TICK: &str = "handle-tick";
const HANDLE_CALL: &str = "handle-call";
const SNAPSHOT: &str = "snapshot";

/// An instance of a component, for as long as it is whole.
pub(super) struct WasmInstance {
    running: Option<Box<Running>>,
    /// Without its ticker no limit of time would hold.
    _engine: Arc<TickingEngine>,
}

/// A store, the instance in it, and its functions.
pub(super) struct Running {
    store: Store<State>,
    scratch: Scratch,
    limits: Limits,
    init: TypedFunc<InitParams, InitResult>,
    main: Main,
    terminate: Option<TypedFunc<TerminateParams<'static>, ()>>,
    snapshot: Option<TypedFunc<(), SnapshotResult>>,
    restore: Option<TypedFunc<RestoreParams<'static>, RestoreResult>>,
    ingest: Option<TypedFunc<IngestParams<'static>, ProduceResult>>,
    timer: Option<TypedFunc<(), ProduceResult>>,
    answer: Option<TypedFunc<CallParams<'static>, CallResult>>,
}

#[derive(Clone, Copy)]
enum Main {
    Produce(TypedFunc<ProduceParams, ProduceResult>),
    Consume(TypedFunc<EventsParams<'static>, ConsumeResult>),
    Transform(TypedFunc<EventsParams<'static>, TransformResult>),
}

impl Main {
    fn role(self) -> Role {
        match self {
            Self::Produce(_) => Role::Producer,
            Self::Consume(_) => Role::Consumer,
            Self::Transform(_) => Role::ProducerConsumer,
        }
    }
}

impl Running {
    /// # Errors
    /// None that `exports` of the same component leaves possible; told like any other nevertheless.
    pub(super) fn new(
        mut store: Store<State>,
        instance: ComponentInstance,
        exports: &Exports,
        role: Role,
        limits: Limits,
    ) -> wasmtime::Result<Self> {
        let main = match role {
            Role::Producer => Main::Produce(instance.get_typed_func(&mut store, exports.main)?),
            Role::Consumer => Main::Consume(instance.get_typed_func(&mut store, exports.main)?),
            Role::ProducerConsumer => Main::Transform(instance.get_typed_func(&mut store, exports.main)?),
        };
        let init = instance.get_typed_func(&mut store, exports.init)?;
        let terminate = exports.terminate.as_ref().map(|index| instance.get_typed_func(&mut store, index));
        let terminate = terminate.transpose()?;
        let checkpoint = exports.checkpoint.as_ref();
        let snapshot = checkpoint.map(|found| instance.get_typed_func(&mut store, found.snapshot)).transpose()?;
        let restore = checkpoint.map(|found| instance.get_typed_func(&mut store, found.restore)).transpose()?;
        let ingest = exports.ingest.as_ref().map(|index| instance.get_typed_func(&mut store, index)).transpose()?;
        let timer = exports.timer.as_ref().map(|index| instance.get_typed_func(&mut store, index)).transpose()?;
        let answer = exports.call.as_ref().map(|index| instance.get_typed_func(&mut store, index)).transpose()?;
        Ok(Self {
            store,
            scratch: Scratch::default(),
            limits,
            init,
            main,
            terminate,
            snapshot,
            restore,
            ingest,
            timer,
            answer,
        })
    }

    /// Calls `restore`.
    ///
    /// # Errors
    /// [`Trap`]; the inner error is the guest's.
    pub(super) async fn restore(&mut self, snapshot: &Bytes) -> Result<Result<(), String>, Trap> {
        let Some(func) = self.restore else { return Ok(Err("the plugin has no `checkpoint` export".to_owned())) };
        let (outcome,) = self.call("restore", func, (&**snapshot,)).await?;
        Ok(outcome)
    }

    async fn snapshot(&mut self) -> Result<Result<Bytes, StageError>, Trap> {
        let Some(func) = self.snapshot else { return Err(check::not_exported(SNAPSHOT, "checkpoint")) };
        let (given,) = self.call(SNAPSHOT, func, ()).await?;
        Ok(check::snapshot(given))
    }

    async fn handle_ingest(&mut self, events: &Batch) -> Result<Result<Batch, WitStageError>, Trap> {
        let Some(func) = self.ingest else { return Err(check::not_exported(HANDLE_INGEST, "ingest")) };
        let params = (WitView::new(events, &mut self.scratch),);
        match call(&mut self.store, &self.limits, HANDLE_INGEST, func, params).await? {
            (Ok(batch),) => Ok(Ok(self.batch(HANDLE_INGEST, batch)?)),
            (Err(error),) => Ok(Err(error)),
        }
    }

    async fn handle_tick(&mut self) -> Result<Result<Batch, WitStageError>, Trap> {
        let Some(func) = self.timer else { return Err(check::not_exported(HANDLE_TICK, "timer")) };
        let batch = match self.call(HANDLE_TICK, func, ()).await? {
            (Ok(batch),) => self.batch(HANDLE_TICK, batch)?,
            (Err(error),) => return Ok(Err(error)),
        };
        check::tick(HANDLE_TICK, self.main.role(), &batch)?;
        Ok(Ok(batch))
    }

    async fn handle_call(&mut self, request: &Bytes) -> Result<Result<Bytes, StageError>, Trap> {
        let Some(func) = self.answer else { return Err(check::not_exported(HANDLE_CALL, "call")) };
        if let Err(refused) = check::request(request) {
            return Ok(Err(refused));
        }
        let (given,) = self.call(HANDLE_CALL, func, (&**request,)).await?;
        Ok(check::answer(given))
    }

    /// Calls `init`.
    ///
    /// # Errors
    /// [`Trap`]; the inner error is the guest's.
    pub(super) async fn init(&mut self, context: WitContext) -> Result<Result<(), String>, Trap> {
        let (outcome,) = self.call("init", self.init, (context,)).await?;
        Ok(outcome)
    }

    /// As [`call`], with parameters that borrow nothing of `self`.
    async fn call<P, R>(&mut self, call: &'static str, func: TypedFunc<P, R>, params: P) -> Result<R, Trap>
    where
        P: ComponentNamedList + Lower + Send + Sync,
        R: ComponentNamedList + Lift + Send + Sync + 'static,
    {
        self::call(&mut self.store, &self.limits, call, func, params).await
    }

    async fn handle_demand(&mut self, demand: u32) -> Result<Result<Batch, WitStageError>, Trap> {
        let Main::Produce(func) = self.main else { return Err(check::wrong_role(HANDLE_DEMAND, self.main.role())) };
        let batch = match self.call(HANDLE_DEMAND, func, (demand,)).await? {
            (Ok(batch),) => self.batch(HANDLE_DEMAND, batch)?,
            (Err(error),) => return Ok(Err(error)),
        };
        check::demand(HANDLE_DEMAND, &batch, demand)?;
        Ok(Ok(batch))
    }

    async fn handle_events(&mut self, delivery: &GuestDelivery) -> Result<Result<Output, WitStageError>, Trap> {
        let (store, limits) = (&mut self.store, &self.limits);
        let params = (WitDelivery::new(delivery, &mut self.scratch),);
        let (events, rejections) = match self.main {
            Main::Consume(func) => match call(store, limits, HANDLE_EVENTS, func, params).await? {
                (Ok(rejections),) => (Batch::default(), rejections),
                (Err(error),) => return Ok(Err(error)),
            },
            Main::Transform(func) => match call(store, limits, HANDLE_EVENTS, func, params).await? {
                (Ok(output),) => (self.batch(HANDLE_EVENTS, output.events)?, output.rejections),
                (Err(error),) => return Ok(Err(error)),
            },
            Main::Produce(_) => return Err(check::wrong_role(HANDLE_EVENTS, Role::Producer)),
        };
        let rejections: Vec<_> = rejections.into_iter().map(Rejection::from).collect();
        check::rejections(HANDLE_EVENTS, &rejections, delivery.events.len())?;
        Ok(Ok(Output { events, rejections }))
    }

    /// Checks columns where they enter the host.
    fn batch(&self, call: &'static str, batch: WitBatch) -> Result<Batch, Trap> {
        let checked = Batch::new(Columns::from(batch), &self.limits.batch);
        checked.map_err(|error| Trap::Contract { call, message: error.to_string() })
    }
}

/// One call, ended by its deadline. After an error the instance must not be called again.
async fn call<P, R>(
    store: &mut Store<State>,
    limits: &Limits,
    call: &'static str,
    func: TypedFunc<P, R>,
    params: P,
) -> Result<R, Trap>
where
    P: ComponentNamedList + Lower + Send + Sync,
    R: ComponentNamedList + Lift + Send + Sync + 'static,
{
    let limit = limits.call_time;
    store::arm(store, limit);
    // The epoch ends a guest that computes; the time-out, later, one that waits in the host. The
    // latter drops the call in the middle, which is why the instance is dropped with it.
    let outcome = tokio::time::timeout(store::patience(limit), func.call_async(&mut *store, params)).await;
    store.data().voice.settle();
    match outcome {
        Ok(Ok(returned)) => Ok(returned),
        Ok(Err(error)) => Err(trap::of(store, call, limits, &error)),
        Err(_elapsed) => Err(Trap::TimedOut { call, limit }),
    }
}

impl WasmInstance {
    pub(super) fn new(engine: Arc<TickingEngine>, running: Running) -> Self {
        Self { running: Some(Box::new(running)), _engine: engine }
    }

    fn take(&mut self, call: &'static str) -> Result<Box<Running>, Trap> {
        self.running.take().ok_or(Trap::Finished { call })
    }
}

impl fmt::Debug for WasmInstance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WasmInstance").field("finished", &self.running.is_none()).finish_non_exhaustive()
    }
}

#[async_trait]
impl Instance for WasmInstance {
    async fn handle_demand(&mut self, demand: u32) -> Result<Produced, CallError> {
        let mut running = self.take(HANDLE_DEMAND)?;
        let outcome = running.handle_demand(demand).await?;
        self.running = Some(running);
        Ok(outcome.map(Produced::from).map_err(StageError::from)?)
    }

    async fn handle_events(&mut self, delivery: GuestDelivery) -> Result<Output, CallError> {
        let mut running = self.take(HANDLE_EVENTS)?;
        let outcome = running.handle_events(&delivery).await?;
        self.running = Some(running);
        Ok(outcome.map_err(StageError::from)?)
    }

    async fn snapshot(&mut self) -> Result<Bytes, CallError> {
        let mut running = self.take(SNAPSHOT)?;
        let outcome = running.snapshot().await?;
        self.running = Some(running);
        Ok(outcome?)
    }

    async fn handle_ingest(&mut self, events: Batch) -> Result<Batch, CallError> {
        let mut running = self.take(HANDLE_INGEST)?;
        let outcome = running.handle_ingest(&events).await?;
        self.running = Some(running);
        Ok(outcome.map_err(StageError::from)?)
    }

    async fn handle_tick(&mut self) -> Result<Batch, CallError> {
        let mut running = self.take(HANDLE_TICK)?;
        let outcome = running.handle_tick().await?;
        self.running = Some(running);
        Ok(outcome.map_err(StageError::from)?)
    }

    async fn handle_call(&mut self, request: Bytes) -> Result<Bytes, CallError> {
        let mut running = self.take(HANDLE_CALL)?;
        let outcome = running.handle_call(&request).await?;
        self.running = Some(running);
        Ok(outcome?)
    }

    fn take_asked(&mut self) -> Vec<(StageName, u32)> {
        self.running.as_ref().map_or_else(Vec::new, |running| running.store.data().asks.take())
    }

    fn gives_way(&self) -> bool {
        true
    }

    fn memory_bytes(&self) -> u64 {
        self.running.as_ref().map_or(0, |running| running.store.data().limiter.memory_bytes())
    }

    async fn terminate(&mut self, reason: &str) -> Result<(), CallError> {
        let mut running = self.take("terminate")?;
        if let Some(func) = running.terminate {
            running.call("terminate", func, (reason,)).await?;
        }
        Ok(())
    }
}
