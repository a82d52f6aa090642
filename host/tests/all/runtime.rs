//! The suite that every kind of instance passes: wasm guests and native closures alike.

use std::{
    future::Future,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use forebay::runtime::{
    Asks, CALL_BYTES_MAX, CallError, GuestDelivery, GuestOutput, Instance, InstanceSpec, Limits, LineKind, Output,
    Plugin, Produced, Rejection, Role, StageError, StartError, Trap,
    native::{Native, Resumable},
};
use forebay_proto::{
    batch::{Batch, BatchLimits, Columns},
    ids::{Epoch, Seq, StageName},
    message::SeqRun,
};

use crate::plugins::plugin;

/// Remembers what guests said.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    lines: Mutex<Vec<(LineKind, String)>>,
    dropped: Mutex<u64>,
}

impl Heard {
    pub(crate) fn lines(&self) -> Vec<(LineKind, String)> {
        self.lines.lock().unwrap().clone()
    }

    pub(crate) fn texts(&self) -> Vec<String> {
        self.lines().into_iter().map(|(_, text)| text).collect()
    }

    pub(crate) fn dropped(&self) -> u64 {
        *self.dropped.lock().unwrap()
    }
}

impl GuestOutput for Heard {
    fn line(&self, _: &StageName, kind: LineKind, line: &str) {
        self.lines.lock().unwrap().push((kind, line.to_owned()));
    }

    fn dropped(&self, _: &StageName, count: u64) {
        *self.dropped.lock().unwrap() += count;
    }
}

/// Limits of tests: a tenth of the default time, for some tests wait until it is over.
pub(crate) fn limits() -> Limits {
    Limits { call_time: Duration::from_millis(500), ..Limits::default() }
}

pub(crate) fn spec(config: &str) -> (InstanceSpec, Arc<Heard>) {
    let heard = Arc::new(Heard::default());
    let spec = InstanceSpec {
        pipeline: "test".parse().unwrap(),
        stage: "stage-1".parse().unwrap(),
        node: "node-1".parse().unwrap(),
        instance: 0,
        config: config.to_owned(),
        limits: limits(),
        restore: None,
        asks: Asks::of(["source".parse().unwrap()]),
        output: Arc::clone(&heard) as _,
    };
    (spec, heard)
}

pub(crate) fn delivery(events: Batch) -> GuestDelivery {
    let runs = vec![SeqRun { first: Seq(7), count: u32::try_from(events.len()).unwrap() }];
    let epoch = Epoch { lamport: 3, tag: 4 };
    GuestDelivery { source: "source".parse().unwrap(), epoch, attempt: 1, runs, events }
}

pub(crate) fn texts(batch: &Batch) -> Vec<String> {
    batch.iter().map(|event| String::from_utf8_lossy(event.payload).into_owned()).collect()
}

/// No test may hang: a hang is what many of them are about.
pub(crate) async fn bounded<T>(test: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), test).await.expect("done within a minute")
}

pub(crate) async fn started(plugin: &Arc<dyn Plugin>, config: &str) -> Box<dyn Instance> {
    plugin.start(spec(config).0).await.unwrap_or_else(|error| panic!("{plugin:?} with {config}: {error}"))
}

/// A call after the end reaches no guest, whatever it is.
pub(crate) async fn assert_finished(instance: &mut Box<dyn Instance>) {
    let finished = |result: Result<(), CallError>| match result {
        Err(CallError::Trap(Trap::Finished { .. })) => {}
        other => panic!("expected a finished instance, found {other:?}"),
    };
    finished(instance.handle_demand(1).await.map(drop));
    finished(instance.handle_events(delivery(Batch::default())).await.map(drop));
    finished(instance.handle_tick().await.map(drop));
    finished(instance.handle_call(Bytes::new()).await.map(drop));
    finished(instance.terminate("again").await);
}

/// One plugin of each role. Producer and consumer take `{"mode": ..., "at": ...}` and misbehave so on
/// call number `at`; the producer counts from 0; the producer-consumer emits each event twice.
struct Kit {
    producer: Arc<dyn Plugin>,
    producer_consumer: Arc<dyn Plugin>,
    consumer: Arc<dyn Plugin>,
    /// A producer that emits `tick` at each tick, and answers as [`Ticking`] does.
    ticking: Arc<dyn Plugin>,
    /// A consumer that emits an event at a tick if its mode says so.
    ticking_consumer: Arc<dyn Plugin>,
}

impl Kit {
    async fn wasm() -> Self {
        let (producer, producer_consumer, consumer) =
            (plugin("misbehaver").await, plugin("double").await, plugin("misbehaving-consumer").await);
        let (ticking, ticking_consumer) = (Arc::clone(&producer), Arc::clone(&consumer));
        Self { producer, producer_consumer, consumer, ticking, ticking_consumer }
    }

    fn native() -> Self {
        Self {
            producer: Native::producer("misbehaver", native_producer),
            producer_consumer: Native::producer_consumer("double", |_| Ok(native_double)),
            consumer: Native::consumer("misbehaving-consumer", native_consumer),
            ticking: Native::ticking("misbehaver", Role::Producer, |_| Ok(Ticking::default())),
            ticking_consumer: Native::ticking("misbehaving-consumer", Role::Consumer, |spec| {
                Ok(Ticking { is_silent: !spec.config.contains("tick_emits"), next: 0 })
            }),
        }
    }

    fn all(&self) -> [&Arc<dyn Plugin>; 3] {
        [&self.producer, &self.producer_consumer, &self.consumer]
    }
}

/// What the misbehaving guests do, as closures.
fn mode_at_call(spec: &InstanceSpec) -> Result<impl FnMut() -> Result<String, StageError> + Send + use<>, String> {
    let config: serde_json::Value = serde_json::from_str(&spec.config).map_err(|error| error.to_string())?;
    let mode = config["mode"].as_str().unwrap_or("ok").to_owned();
    let at = config["at"].as_u64().unwrap_or(1);
    match &*mode {
        "init_error" => return Err("told to fail in init".to_owned()),
        "init_panic" => panic!("told to panic in init"),
        _ => {}
    }
    let mut call = 0;
    Ok(move || {
        call += 1;
        match &*mode {
            _ if call != at => Ok("ok".to_owned()),
            "panic" => panic!("told to panic in call {call}"),
            "error_retry" => Err(StageError::Retry(format!("told to fail in call {call}"))),
            "error_fatal" => Err(StageError::Fatal(format!("told to end in call {call}"))),
            mode => Ok(mode.to_owned()),
        }
    })
}

fn native_producer(
    spec: &InstanceSpec,
) -> Result<impl FnMut(u32) -> Result<Produced, StageError> + Send + use<>, String> {
    let (mut mode, mut next) = (mode_at_call(spec)?, 0);
    Ok(move |demand| {
        let count = demand + u32::from(mode()? == "too_many");
        let numbers = next..next + count;
        next = numbers.end;
        Ok(Batch::from_payloads(numbers.map(|number| number.to_string())).into())
    })
}

fn native_consumer(
    spec: &InstanceSpec,
) -> Result<impl FnMut(GuestDelivery) -> Result<Vec<Rejection>, StageError> + Send + use<>, String> {
    let mut mode = mode_at_call(spec)?;
    Ok(move |delivery: GuestDelivery| {
        let index = match &*mode()? {
            "reject" => 0,
            "reject_out_of_range" => u32::try_from(delivery.events.len()).unwrap(),
            _ => return Ok(vec![]),
        };
        Ok(vec![Rejection { index, retry: false, reason: "told to reject it".into() }])
    })
}

fn native_double(delivery: GuestDelivery) -> Result<Output, StageError> {
    let each = (0..delivery.events.len()).map(|at| delivery.events.slice(at..at + 1));
    let twice: Vec<_> = each.flat_map(|one| [one.clone(), one]).collect();
    Ok(Output { events: Batch::pack(twice, usize::MAX).remove(0), rejections: vec![] })
}

/// What the misbehaving guests do at ticks and requests.
#[derive(Default)]
struct Ticking {
    next: u64,
    is_silent: bool,
}

impl Resumable for Ticking {
    fn handle_demand(&mut self, demand: u32) -> Result<Produced, StageError> {
        let numbers = self.next..self.next + u64::from(demand);
        self.next = numbers.end;
        Ok(Batch::from_payloads(numbers.map(|number| number.to_string())).into())
    }

    fn handle_tick(&mut self) -> Result<Batch, StageError> {
        Ok(if self.is_silent { Batch::default() } else { Batch::from_payloads(["tick"]) })
    }

    fn handle_call(&mut self, request: &[u8]) -> Result<Vec<u8>, String> {
        match request {
            b"next" => Ok(self.next.to_string().into_bytes()),
            b"panic" => panic!("told to panic in a call"),
            b"huge" => Ok(vec![b'x'; 2 * CALL_BYTES_MAX]),
            other => Err(format!("unknown request: {}", other.escape_ascii())),
        }
    }

    fn snapshot(&mut self) -> Result<Vec<u8>, String> {
        Err("it has none".to_owned())
    }

    fn restore(&mut self, _: &[u8]) -> Result<(), String> {
        Err("it takes none".to_owned())
    }
}

/// Runs each fact over both kits.
macro_rules! suite {
    ($($fact:ident)*) => {
        mod wasm {
            $(#[tokio::test] async fn $fact() { super::bounded(super::$fact(super::Kit::wasm().await)).await })*
        }
        mod native {
            $(#[tokio::test] async fn $fact() { super::bounded(super::$fact(super::Kit::native())).await })*
        }
    };
}

suite! {
    a_plugin_tells_its_role_and_digest
    a_producer_gives_no_more_than_asked
    more_than_asked_ends_the_instance_and_none_is_taken
    a_producer_consumer_keeps_topics_keys_and_headers
    a_view_of_a_batch_arrives_as_just_its_events
    a_consumer_takes_a_batch_and_returns_none
    rejections_are_of_delivered_events
    an_error_leaves_the_instance_whole
    a_panic_ends_the_instance_only
    a_call_of_another_role_ends_the_instance
    nothing_follows_terminate
    init_may_refuse
    a_panic_in_init_is_a_trap
    instances_do_not_share_state
    a_tick_emits_what_nobody_asked_for
    a_tick_of_a_consumer_emits_nothing
    a_request_is_answered_between_other_calls
    what_a_guest_refuses_is_for_whoever_asked
    requests_and_answers_are_bounded
    a_panic_in_a_request_ends_the_instance
    a_plugin_without_timer_and_call_has_neither
}

fn mode(mode: &str, at: u32) -> String {
    format!(r#"{{"mode": "{mode}", "at": {at}}}"#)
}

fn trap(error: CallError) -> Trap {
    match error {
        CallError::Trap(trap) => trap,
        CallError::Stage(error) => panic!("expected a trap, found {error:?}"),
    }
}

async fn a_plugin_tells_its_role_and_digest(kit: Kit) {
    assert_eq!(kit.all().map(|plugin| plugin.role()), [Role::Producer, Role::ProducerConsumer, Role::Consumer]);
    for plugin in kit.all() {
        let digest = plugin.digest();
        let hex = digest.strip_prefix("sha256:").is_some_and(|hex| hex.len() == 64);
        assert!(hex || digest.starts_with("builtin:"), "{digest}");
    }
}

async fn a_producer_gives_no_more_than_asked(kit: Kit) {
    let mut instance = started(&kit.producer, "null").await;
    assert_eq!(texts(&instance.handle_demand(1).await.unwrap().events), ["0"]);
    let produced = instance.handle_demand(3).await.unwrap();
    assert_eq!((texts(&produced.events).join(" "), produced.finished), ("1 2 3".to_owned(), false));
    instance.terminate("done").await.unwrap();
}

async fn more_than_asked_ends_the_instance_and_none_is_taken(kit: Kit) {
    let mut instance = started(&kit.producer, &mode("too_many", 2)).await;
    instance.handle_demand(5).await.unwrap();
    let trap = trap(instance.handle_demand(5).await.unwrap_err());
    assert!(matches!(trap, Trap::Contract { call: "handle-demand", .. }), "{trap:?}");
    assert!(trap.to_string().contains("6 events were returned, 5 were asked for"), "{trap}");
    assert_finished(&mut instance).await;
}

async fn a_producer_consumer_keeps_topics_keys_and_headers(kit: Kit) {
    let columns = Columns {
        payloads: b"onetwo".to_vec(),
        ends: vec![3, 6],
        topics: vec!["x".into(), "y".into()],
        topic_of: vec![1, 0],
        keys: b"k".to_vec(),
        key_ends: vec![0, 1],
        headers: vec![(1, "name".into(), "value".into())],
    };
    let batch = Batch::new(columns, &BatchLimits::default()).unwrap();
    let mut instance = started(&kit.producer_consumer, "null").await;
    let output = instance.handle_events(delivery(batch.clone())).await.unwrap();
    let (one, two) = (batch.slice(0..1), batch.slice(1..2));
    assert_eq!(output.events, Batch::pack([one.clone(), one, two.clone(), two], usize::MAX)[0]);
    assert_eq!(output.rejections, []);
}

async fn a_view_of_a_batch_arrives_as_just_its_events(kit: Kit) {
    let whole = Batch::from_payloads((0..100).map(|number| number.to_string()));
    let mut instance = started(&kit.producer_consumer, "null").await;
    let output = instance.handle_events(delivery(whole.slice(98..100))).await.unwrap();
    assert_eq!(texts(&output.events), ["98", "98", "99", "99"]);
}

async fn a_consumer_takes_a_batch_and_returns_none(kit: Kit) {
    let mut instance = started(&kit.consumer, "null").await;
    for batch in [Batch::from_payloads(["a", "b"]), Batch::default()] {
        let output = instance.handle_events(delivery(batch)).await.unwrap();
        assert!(output.events.is_empty() && output.rejections.is_empty());
    }
}

async fn rejections_are_of_delivered_events(kit: Kit) {
    let events = || delivery(Batch::from_payloads(["a", "b"]));
    let mut instance = started(&kit.consumer, &mode("reject", 1)).await;
    let rejected = instance.handle_events(events()).await.unwrap().rejections;
    assert_eq!(rejected, [Rejection { index: 0, retry: false, reason: "told to reject it".into() }]);
    instance.handle_events(events()).await.unwrap();

    let mut instance = started(&kit.consumer, &mode("reject_out_of_range", 1)).await;
    let trap = trap(instance.handle_events(events()).await.unwrap_err());
    assert!(trap.to_string().contains("rejection of event 2, but 2 were delivered"), "{trap}");
    assert_finished(&mut instance).await;
}

async fn an_error_leaves_the_instance_whole(kit: Kit) {
    let retry = StageError::Retry("told to fail in call 2".into());
    let fatal = StageError::Fatal("told to end in call 2".into());
    for (name, expected) in [("error_retry", retry), ("error_fatal", fatal)] {
        let mut instance = started(&kit.producer, &mode(name, 2)).await;
        assert_eq!(texts(&instance.handle_demand(1).await.unwrap().events), ["0"]);
        assert_eq!(instance.handle_demand(1).await.unwrap_err(), CallError::Stage(expected));
        assert_eq!(texts(&instance.handle_demand(1).await.unwrap().events), ["1"]);
    }
}

async fn a_panic_ends_the_instance_only(kit: Kit) {
    let mut instance = started(&kit.producer, &mode("panic", 1)).await;
    let mut other = started(&kit.producer, "null").await;
    let trap = trap(instance.handle_demand(1).await.unwrap_err());
    assert!(matches!(trap, Trap::Guest { call: "handle-demand", .. }), "{trap:?}");
    assert_finished(&mut instance).await;
    assert_eq!(other.handle_demand(2).await.unwrap().events.len(), 2);
    assert_eq!(started(&kit.producer, "null").await.handle_demand(1).await.unwrap().events.len(), 1);
}

async fn a_call_of_another_role_ends_the_instance(kit: Kit) {
    let mut producer = started(&kit.producer, "null").await;
    let trap_of_producer = trap(producer.handle_events(delivery(Batch::default())).await.unwrap_err());
    assert!(matches!(trap_of_producer, Trap::Contract { .. }), "{trap_of_producer:?}");
    assert_finished(&mut producer).await;
    let mut consumer = started(&kit.consumer, "null").await;
    let trap = trap(consumer.handle_demand(1).await.unwrap_err());
    assert!(trap.to_string().contains("the plugin is a consumer, which has no such call"), "{trap}");
    assert_finished(&mut consumer).await;
}

async fn nothing_follows_terminate(kit: Kit) {
    for plugin in kit.all() {
        let mut instance = started(plugin, "null").await;
        instance.terminate("done").await.unwrap();
        assert_finished(&mut instance).await;
    }
}

async fn init_may_refuse(kit: Kit) {
    let stage = "stage-1".parse().unwrap();
    let expected = StartError::Init { stage, message: "told to fail in init".into() };
    assert_eq!(kit.producer.start(spec(&mode("init_error", 1)).0).await.unwrap_err(), expected);
}

async fn a_panic_in_init_is_a_trap(kit: Kit) {
    let error = kit.consumer.start(spec(&mode("init_panic", 1)).0).await.unwrap_err();
    assert!(matches!(error, StartError::Trap(Trap::Guest { call: "init", .. })), "{error:?}");
}

async fn instances_do_not_share_state(kit: Kit) {
    let mut one = started(&kit.producer, "null").await;
    let mut other = started(&kit.producer, "null").await;
    one.handle_demand(3).await.unwrap();
    assert_eq!(texts(&other.handle_demand(1).await.unwrap().events), ["0"]);
}

async fn a_tick_emits_what_nobody_asked_for(kit: Kit) {
    assert!(kit.ticking.has_timer());
    let mut instance = started(&kit.ticking, "null").await;
    assert_eq!(texts(&instance.handle_tick().await.unwrap()), ["tick"]);
    assert_eq!(texts(&instance.handle_demand(1).await.unwrap().events), ["0"]);
    assert_eq!(texts(&instance.handle_tick().await.unwrap()), ["tick"]);
}

async fn a_tick_of_a_consumer_emits_nothing(kit: Kit) {
    let mut silent = started(&kit.ticking_consumer, "{}").await;
    assert!(silent.handle_tick().await.unwrap().is_empty());
    let mut instance = started(&kit.ticking_consumer, r#"{"mode": "tick_emits"}"#).await;
    let trap = trap(instance.handle_tick().await.unwrap_err());
    assert!(matches!(trap, Trap::Contract { call: "handle-tick", .. }), "{trap:?}");
    assert!(trap.to_string().contains("1 events were returned by a consumer"), "{trap}");
    assert_finished(&mut instance).await;
}

async fn a_request_is_answered_between_other_calls(kit: Kit) {
    assert!(kit.ticking.has_call());
    let mut instance = started(&kit.ticking, "null").await;
    assert_eq!(instance.handle_call("next".into()).await.unwrap(), "0");
    instance.handle_demand(12).await.unwrap();
    assert_eq!(instance.handle_call("next".into()).await.unwrap(), "12");
}

async fn what_a_guest_refuses_is_for_whoever_asked(kit: Kit) {
    let mut instance = started(&kit.ticking, "null").await;
    let refused = StageError::Refused("unknown request: what\\x1b".into());
    assert_eq!(instance.handle_call("what\x1b".into()).await.unwrap_err(), CallError::Stage(refused));
    assert_eq!(instance.handle_call("next".into()).await.unwrap(), "0", "the instance is whole");
}

async fn requests_and_answers_are_bounded(kit: Kit) {
    let mut instance = started(&kit.ticking, "null").await;
    let refusal = |error| match error {
        CallError::Stage(StageError::Refused(text)) => text,
        other => panic!("expected a refusal, found {other:?}"),
    };
    let long = refusal(instance.handle_call(vec![b'x'; CALL_BYTES_MAX + 1].into()).await.unwrap_err());
    assert_eq!(long, "it has 1048577 bytes; at most 1048576 are taken");
    let huge = refusal(instance.handle_call("huge".into()).await.unwrap_err());
    assert_eq!(huge, "its answer has 2097152 bytes; at most 1048576 are taken");
    assert_eq!(instance.handle_call("next".into()).await.unwrap(), "0", "the instance is whole");
}

async fn a_panic_in_a_request_ends_the_instance(kit: Kit) {
    let mut instance = started(&kit.ticking, "null").await;
    let trap = trap(instance.handle_call("panic".into()).await.unwrap_err());
    assert!(matches!(trap, Trap::Guest { call: "handle-call", .. }), "{trap:?}");
    assert_finished(&mut instance).await;
}

async fn a_plugin_without_timer_and_call_has_neither(kit: Kit) {
    assert!(!kit.producer_consumer.has_timer() && !kit.producer_consumer.has_call());
    let mut instance = started(&kit.producer_consumer, "null").await;
    let tick = trap(instance.handle_tick().await.unwrap_err());
    assert_eq!(tick.to_string(), "handle-tick broke the contract: the plugin has no `timer` export");
    let mut instance = started(&kit.producer_consumer, "null").await;
    let call = trap(instance.handle_call(Bytes::new()).await.unwrap_err());
    assert_eq!(call.to_string(), "handle-call broke the contract: the plugin has no `call` export");
}
