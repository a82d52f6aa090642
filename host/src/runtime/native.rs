//! Stages that are Rust closures: for tests, and for sources built into the host.
//!
//! A closure is held to the same contract as a guest: what it returns is checked, and a panic ends
//! its instance, not the node. What it cannot be given is a time limit.

mod bench;
mod inbox;
mod lines;
mod print;
mod sample;

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use forebay_proto::{batch::Batch, ids::StageName};

use super::{
    Asks, CallError, GuestDelivery, Instance, InstanceSpec, Output, Plugin, Produced, Rejection, Role, StageError,
    StartError, Trap, check,
};
pub use bench::{bench_relay, bench_sink, bench_source};
pub use inbox::inbox;
pub use lines::lines;
pub use print::print;
pub use sample::sample;

/// The names of the built-in stages that need nothing but their config: those that can be deployed.
pub const NAMES: [&str; 6] = ["bench-relay", "bench-sink", "bench-source", "inbox", "print", "sample"];

/// One of [`NAMES`].
pub fn named(name: &str) -> Option<Arc<dyn Plugin>> {
    match name {
        "bench-relay" => Some(bench_relay()),
        "bench-sink" => Some(bench_sink()),
        "bench-source" => Some(bench_source()),
        "inbox" => Some(inbox()),
        "print" => Some(print()),
        "sample" => Some(sample()),
        _ => None,
    }
}

/// The config of a built-in stage; none in the file is an empty table.
///
/// # Errors
/// Names the key.
fn config<C: serde::de::DeserializeOwned>(spec: &InstanceSpec) -> Result<C, String> {
    let text = if spec.config == "null" { "{}" } else { &spec.config };
    serde_json::from_str(text).map_err(|error| format!("`config`: {error}"))
}

/// A duration in the config of a built-in stage; none is zero.
///
/// # Errors
/// Names the key.
fn duration(key: &str, text: Option<String>) -> Result<Duration, String> {
    let Some(text) = text else { return Ok(Duration::ZERO) };
    humantime::parse_duration(&text)
        .map_err(|error| format!("`{key}` is {text:?}; expected a duration such as \"500ms\": {error}"))
}

/// Answers `handle_demand`.
type Produce = Box<dyn FnMut(u32) -> Result<Produced, StageError> + Send>;
/// Answers `handle_events`, of a consumer too.
type Transform = Box<dyn FnMut(GuestDelivery) -> Result<Output, StageError> + Send>;

/// A stage with more than one kind of call. Which of them it has says the constructor, and [`Native`]'s options.
pub trait Resumable: Send {
    /// Makes up to `demand` events. For a producer.
    ///
    /// # Errors
    /// The stage's own.
    fn handle_demand(&mut self, demand: u32) -> Result<Produced, StageError> {
        Err(StageError::Fatal(format!("{demand} events wanted of what is no producer")))
    }

    /// Takes one batch, and gives what it makes of it. For a producer-consumer or a consumer.
    ///
    /// # Errors
    /// The stage's own.
    fn handle_events(&mut self, delivery: GuestDelivery) -> Result<Output, StageError> {
        Err(StageError::Fatal(format!("events of `{}` for what is a producer", delivery.source)))
    }

    /// What is emitted in place of events from outside.
    ///
    /// # Errors
    /// The stage's own.
    fn handle_ingest(&mut self, events: Batch) -> Result<Batch, StageError> {
        Ok(events)
    }

    /// Acts by the clock.
    ///
    /// # Errors
    /// The stage's own.
    fn handle_tick(&mut self) -> Result<Batch, StageError> {
        Ok(Batch::default())
    }

    /// Answers a question.
    ///
    /// # Errors
    /// For whoever asked.
    fn handle_call(&mut self, request: &[u8]) -> Result<Vec<u8>, String> {
        Err(format!("a request of {} bytes for what answers none", request.len()))
    }

    /// The whole state.
    ///
    /// # Errors
    /// For a person.
    fn snapshot(&mut self) -> Result<Vec<u8>, String>;

    /// Goes on from what `snapshot` gave.
    ///
    /// # Errors
    /// For a person.
    fn restore(&mut self, snapshot: &[u8]) -> Result<(), String>;
}

enum Calls {
    Resume(Box<dyn Resumable>),
    Produce(Produce),
    Transform(Transform),
}

type Start = Box<dyn Fn(&InstanceSpec) -> Result<Calls, String> + Send + Sync>;

/// A plugin made of closures. Each start calls its `init`, which gives the closure of one instance;
/// an `Err` of `init` is the guest's words in [`StartError::Init`].
///
/// ```
/// use forebay::runtime::{Plugin, Role, native::Native};
/// use forebay_proto::batch::Batch;
///
/// let ones = Native::producer("ones", |_spec| {
///     Ok(|demand: u32| Ok(Batch::from_payloads(vec!["1"; demand as usize]).into()))
/// });
/// assert_eq!((ones.role(), ones.digest()), (Role::Producer, "builtin:ones"));
/// ```
pub struct Native {
    has_checkpoint: bool,
    has_ingest: bool,
    has_timer: bool,
    has_call: bool,
    role: Role,
    digest: String,
    start: Start,
}

impl Native {
    /// A producer; its closure is given the demand.
    pub fn producer<I, C>(name: &str, init: I) -> Arc<dyn Plugin>
    where
        I: Fn(&InstanceSpec) -> Result<C, String> + Send + Sync + 'static,
        C: FnMut(u32) -> Result<Produced, StageError> + Send + 'static,
    {
        Self::plugin(name, Role::Producer, Box::new(move |spec| Ok(Calls::Produce(Box::new(init(spec)?)))))
    }

    /// A producer with a checkpoint and an inbox.
    pub fn resumable<I, R>(name: &str, init: I) -> Arc<dyn Plugin>
    where
        I: Fn(&InstanceSpec) -> Result<R, String> + Send + Sync + 'static,
        R: Resumable + 'static,
    {
        Self::stateful(name, Role::Producer, init)
    }

    /// A stage of this role with a checkpoint; a producer has an inbox, too.
    pub fn stateful<I, R>(name: &str, role: Role, init: I) -> Arc<dyn Plugin>
    where
        I: Fn(&InstanceSpec) -> Result<R, String> + Send + Sync + 'static,
        R: Resumable + 'static,
    {
        Arc::new(Self { has_checkpoint: true, has_ingest: role == Role::Producer, role, ..Self::resuming(name, init) })
    }

    /// A producer with an inbox and nothing to put on record.
    pub fn ingesting<I, R>(name: &str, init: I) -> Arc<dyn Plugin>
    where
        I: Fn(&InstanceSpec) -> Result<R, String> + Send + Sync + 'static,
        R: Resumable + 'static,
    {
        Arc::new(Self::resuming(name, init))
    }

    /// A stage of this role with a timer that answers questions, and nothing to put on record.
    pub fn ticking<I, R>(name: &str, role: Role, init: I) -> Arc<dyn Plugin>
    where
        I: Fn(&InstanceSpec) -> Result<R, String> + Send + Sync + 'static,
        R: Resumable + 'static,
    {
        Arc::new(Self { has_ingest: false, has_timer: true, has_call: true, role, ..Self::resuming(name, init) })
    }

    /// As [`Native::ticking`], with a checkpoint.
    pub fn ticking_stateful<I, R>(name: &str, role: Role, init: I) -> Arc<dyn Plugin>
    where
        I: Fn(&InstanceSpec) -> Result<R, String> + Send + Sync + 'static,
        R: Resumable + 'static,
    {
        let resuming = Self::resuming(name, init);
        let has_ingest = role == Role::Producer;
        Arc::new(Self { has_checkpoint: true, has_ingest, has_timer: true, has_call: true, role, ..resuming })
    }

    fn resuming<I, R>(name: &str, init: I) -> Self
    where
        I: Fn(&InstanceSpec) -> Result<R, String> + Send + Sync + 'static,
        R: Resumable + 'static,
    {
        let start: Start = Box::new(move |spec| Ok(Calls::Resume(Box::new(init(spec)?))));
        let digest = format!("builtin:{name}");
        let role = Role::Producer;
        Self { has_checkpoint: false, has_ingest: true, has_timer: false, has_call: false, role, digest, start }
    }

    /// A producer-consumer.
    pub fn producer_consumer<I, C>(name: &str, init: I) -> Arc<dyn Plugin>
    where
        I: Fn(&InstanceSpec) -> Result<C, String> + Send + Sync + 'static,
        C: FnMut(GuestDelivery) -> Result<Output, StageError> + Send + 'static,
    {
        Self::plugin(name, Role::ProducerConsumer, Box::new(move |spec| Ok(Calls::Transform(Box::new(init(spec)?)))))
    }

    /// A consumer; its closure returns what it could not process.
    pub fn consumer<I, C>(name: &str, init: I) -> Arc<dyn Plugin>
    where
        I: Fn(&InstanceSpec) -> Result<C, String> + Send + Sync + 'static,
        C: FnMut(GuestDelivery) -> Result<Vec<Rejection>, StageError> + Send + 'static,
    {
        let start: Start = Box::new(move |spec| {
            let mut consume = init(spec)?;
            Ok(Calls::Transform(Box::new(move |delivery| {
                let rejections = consume(delivery)?;
                Ok(Output { rejections, ..Output::default() })
            })))
        });
        Self::plugin(name, Role::Consumer, start)
    }

    fn plugin(name: &str, role: Role, start: Start) -> Arc<dyn Plugin> {
        let digest = format!("builtin:{name}");
        let (has_checkpoint, has_ingest, has_timer, has_call) = (false, false, false, false);
        Arc::new(Self { has_checkpoint, has_ingest, has_timer, has_call, role, digest, start })
    }
}

impl fmt::Debug for Native {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Native").field("role", &self.role).field("digest", &self.digest).finish_non_exhaustive()
    }
}

#[async_trait]
impl Plugin for Native {
    fn role(&self) -> Role {
        self.role
    }

    fn digest(&self) -> &str {
        &self.digest
    }

    fn has_checkpoint(&self) -> bool {
        self.has_checkpoint
    }

    fn has_ingest(&self) -> bool {
        self.has_ingest
    }

    fn has_timer(&self) -> bool {
        self.has_timer
    }

    fn has_call(&self) -> bool {
        self.has_call
    }

    /// Nobody can see what a closure does: it is given [`InstanceSpec::asks`].
    fn can_ask(&self) -> bool {
        self.role != Role::Producer
    }

    async fn start(&self, mut spec: InstanceSpec) -> Result<Box<dyn Instance>, StartError> {
        spec.asks = spec.asks.fresh();
        let mut calls = caught("init", || (self.start)(&spec))?
            .map_err(|message| StartError::Init { stage: spec.stage.clone(), message: check::clean(&message) })?;
        if let (Calls::Resume(resumable), Some(snapshot)) = (&mut calls, &spec.restore) {
            caught("restore", || resumable.restore(snapshot))?.map_err(|message| StartError::Restore {
                stage: spec.stage.clone(),
                bytes: snapshot.len(),
                message: check::clean(&message),
            })?;
        }
        Ok(Box::new(NativeInstance { role: self.role, asks: spec.asks, calls: Some(calls) }))
    }
}

/// A started closure. `calls` is gone once the instance is finished.
struct NativeInstance {
    role: Role,
    asks: Asks,
    calls: Option<Calls>,
}

impl NativeInstance {
    fn calls(&mut self, call: &'static str) -> Result<Calls, Trap> {
        self.calls.take().ok_or(Trap::Finished { call })
    }
}

impl fmt::Debug for NativeInstance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NativeInstance").field("finished", &self.calls.is_none()).finish_non_exhaustive()
    }
}

#[async_trait]
impl Instance for NativeInstance {
    async fn handle_demand(&mut self, demand: u32) -> Result<Produced, CallError> {
        const CALL: &str = "handle-demand";
        // Taken out and put back only when all went well: so a trap on any path ends the instance.
        let mut calls = self.calls(CALL)?;
        let outcome = match &mut calls {
            Calls::Produce(produce) => caught(CALL, || produce(demand))?,
            Calls::Resume(resumable) => caught(CALL, || resumable.handle_demand(demand))?,
            Calls::Transform(_) => return Err(check::wrong_role(CALL, self.role).into()),
        };
        if let Ok(produced) = &outcome {
            check::demand(CALL, &produced.events, demand)?;
        }
        self.calls = Some(calls);
        Ok(outcome.map_err(check::clean_error)?)
    }

    async fn handle_events(&mut self, delivery: GuestDelivery) -> Result<Output, CallError> {
        const CALL: &str = "handle-events";
        let mut calls = self.calls(CALL)?;
        let delivered = delivery.events.len();
        let mut outcome = match &mut calls {
            Calls::Transform(transform) => caught(CALL, || transform(delivery))?,
            Calls::Resume(resumable) if self.role != Role::Producer => {
                caught(CALL, || resumable.handle_events(delivery))?
            }
            Calls::Resume(_) | Calls::Produce(_) => return Err(check::wrong_role(CALL, self.role).into()),
        };
        if let Ok(output) = &mut outcome {
            check::rejections(CALL, &output.rejections, delivered)?;
            output.rejections.iter_mut().for_each(check::clean_rejection);
        }
        self.calls = Some(calls);
        Ok(outcome.map_err(check::clean_error)?)
    }

    async fn snapshot(&mut self) -> Result<Bytes, CallError> {
        const CALL: &str = "snapshot";
        let Calls::Resume(mut resumable) = self.calls(CALL)? else {
            return Err(check::not_exported(CALL, "checkpoint").into());
        };
        let outcome = caught(CALL, || resumable.snapshot())?;
        self.calls = Some(Calls::Resume(resumable));
        Ok(check::snapshot(outcome)?)
    }

    async fn handle_ingest(&mut self, events: Batch) -> Result<Batch, CallError> {
        const CALL: &str = "handle-ingest";
        let Calls::Resume(mut resumable) = self.calls(CALL)? else {
            return Err(check::not_exported(CALL, "ingest").into());
        };
        let outcome = caught(CALL, || resumable.handle_ingest(events))?;
        self.calls = Some(Calls::Resume(resumable));
        Ok(outcome.map_err(check::clean_error)?)
    }

    async fn handle_tick(&mut self) -> Result<Batch, CallError> {
        const CALL: &str = "handle-tick";
        let Calls::Resume(mut resumable) = self.calls(CALL)? else {
            return Err(check::not_exported(CALL, "timer").into());
        };
        let outcome = caught(CALL, || resumable.handle_tick())?;
        if let Ok(events) = &outcome {
            check::tick(CALL, self.role, events)?;
        }
        self.calls = Some(Calls::Resume(resumable));
        Ok(outcome.map_err(check::clean_error)?)
    }

    async fn handle_call(&mut self, request: Bytes) -> Result<Bytes, CallError> {
        const CALL: &str = "handle-call";
        let Calls::Resume(mut resumable) = self.calls(CALL)? else {
            return Err(check::not_exported(CALL, "call").into());
        };
        let outcome = match check::request(&request) {
            Ok(()) => check::answer(caught(CALL, || resumable.handle_call(&request))?),
            Err(refused) => Err(refused),
        };
        self.calls = Some(Calls::Resume(resumable));
        Ok(outcome?)
    }

    fn take_asked(&mut self) -> Vec<(StageName, u32)> {
        let asked = self.asks.take();
        if self.calls.is_some() { asked } else { Vec::new() }
    }

    async fn terminate(&mut self, _reason: &str) -> Result<(), CallError> {
        self.calls("terminate")?;
        Ok(())
    }
}

/// A panic of the closure is to the host what a trap of a guest is.
fn caught<T>(call: &'static str, run: impl FnOnce() -> T) -> Result<T, Trap> {
    // The closure is dropped after a panic, so nobody sees what state it was left in.
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic| {
        let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        Trap::Guest { call, message: format!("panicked: {}", check::clean(text.unwrap_or("not with a text"))) }
    })
}
