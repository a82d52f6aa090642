//! Stages that ask their sources themselves, in whole nodes (GenStage's `{:manual, state}` and `GenStage.ask/3`): they
//! get what they asked for and not one event more.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use forebay::{
    node::admin::{Call, Called},
    runtime::{Asks, Output, Role, StageError, native, native::Resumable},
};

use super::*;

in_both_modes! {
    a_guest_gets_what_it_asked_for_and_no_more_across_nodes,
    what_was_asked_for_and_did_not_come_is_asked_of_the_next_owner,
}

/// [`NUMBERS`] with a sink that asks.
fn asking() -> String {
    numbers_with("", "", (100, 50)).replace("min_demand = 50", "min_demand = 50, ask = \"manual\"")
}

fn asked_of(log: &Log, limit: u64, sink: Arc<dyn Plugin>) -> LoadedPipeline {
    pipeline(&asking(), [("counter", counter(log, limit)), ("sink", sink)])
}

/// Asks for 1 event, and when it has all, for one more than before, up to `rounds`. More than it asked for is its error.
fn rising(log: &Log, rounds: u32) -> Arc<dyn Plugin> {
    let log = log.clone();
    Native::consumer("rising", move |spec| {
        let (log, asks, node) = (log.clone(), spec.asks.clone(), spec.node.to_string());
        asks.ask("counter", 1)?;
        let (mut round, mut open) = (1, 1);
        Ok(move |delivery: GuestDelivery| {
            note(&log, &node, &delivery);
            let came = delivery.events.len();
            open = usize::checked_sub(open, came)
                .ok_or_else(|| StageError::Fatal(format!("{came} events came, {open} were asked for")))?;
            if open == 0 && round < rounds {
                round += 1;
                asks.ask("counter", round).map_err(StageError::Fatal)?;
                open = round as usize;
            }
            Ok(Vec::new())
        })
    })
}

/// Asks for `count` events once, on the node c.
fn on_c(log: &Log, count: u32) -> Arc<dyn Plugin> {
    let log = log.clone();
    Native::consumer("on-c", move |spec| {
        let (log, node) = (log.clone(), spec.node.to_string());
        if node == "c" {
            spec.asks.ask("counter", count)?;
        }
        Ok(move |delivery: GuestDelivery| {
            note(&log, &node, &delivery);
            Ok(Vec::new())
        })
    })
}

fn emitted(log: &Log) -> usize {
    log.entries().iter().filter(|entry| matches!(entry, Entry::Emitted { .. })).count()
}

fn numbers_taken(entries: &[Entry]) -> BTreeMap<u64, usize> {
    let mut numbers = BTreeMap::new();
    took(entries).for_each(|took| *numbers.entry(took.number).or_default() += 1);
    numbers
}

async fn a_guest_gets_what_it_asked_for_and_no_more_across_nodes(world: World) {
    // 1 + 2 + ... + 8.
    const EACH: usize = 36;
    let numbers = || asked_of(&world.log, u64::MAX, rising(&world.log, 8));
    let a = world.start("a", &[], numbers());
    let (_, epoch) = world.log.owner(0).await;
    let b = world.start("b", &["a"], numbers());
    world.log.subscribed("b", epoch).await;
    let taken = |entries: &[Entry], node: &str| took(entries).filter(|took| took.node == node).count();
    world.log.until("both have all they asked for", |all| took(all).count() >= 2 * EACH).await;
    for node in [b, a] {
        end(node).await;
    }
    let entries = world.log.entries();
    assert_eq!((taken(&entries, "a"), taken(&entries, "b")), (EACH, EACH));
    assert_eq!(numbers_taken(&entries), (0..2 * EACH as u64).map(|number| (number, 1)).collect());
    assert_eq!(emitted(&world.log), 2 * EACH, "nobody asked for more, though max_demand is 100");
}

async fn what_was_asked_for_and_did_not_come_is_asked_of_the_next_owner(world: World) {
    let mut nodes = BTreeMap::new();
    for (index, name) in ABC.into_iter().enumerate() {
        // The first owner has no more than 3.
        let limit = if name == "a" { 3 } else { u64::MAX };
        nodes.insert(name, world.start(name, &ABC[..index], asked_of(&world.log, limit, on_c(&world.log, 10))));
        let (_, epoch) = world.log.owner(0).await;
        world.log.subscribed(name, epoch).await;
    }
    if world.quorum.is_some() {
        until_all_vote(nodes.values()).await;
    }
    world.log.until("what there is has come", |all| took(all).count() == 3).await;
    let mark = world.log.mark();
    drop(nodes.remove("a"));
    let (_, new) = world.log.owner(mark).await;
    world.log.until("the rest has come", |all| took(all).count() >= 10).await;
    for node in nodes.into_values() {
        end(node).await;
    }
    let taken: Vec<_> = took(&world.log.entries()).map(|took| (took.number, took.epoch == new)).collect();
    let expected = (0..3).map(|number| (number, false)).chain((0..7).map(|number| (number, true)));
    assert_eq!(taken, expected.collect::<Vec<_>>());
    assert_eq!(emitted(&world.log), 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_fresh_guest_that_asks_for_as_much_as_the_one_before_it_gets_no_more_than_that() {
    let world = World::new();
    let (log, panics) = (world.log.clone(), Arc::new(AtomicBool::new(true)));
    let sink = Native::consumer("fragile", move |spec| {
        let (log, panics, node) = (log.clone(), Arc::clone(&panics), spec.node.to_string());
        spec.asks.ask("counter", 4)?;
        Ok(move |delivery: GuestDelivery| {
            assert!(!panics.swap(false, Ordering::Relaxed), "told to panic");
            note(&log, &node, &delivery);
            Ok(Vec::new())
        })
    });
    let node = world.start("a", &[], asked_of(&world.log, u64::MAX, sink));
    world.log.until("all that was asked for is taken", |all| took(all).count() >= 4).await;
    end(node).await;
    let entries = world.log.entries();
    assert!(took(&entries).any(|took| took.attempt > 1), "the guest did not survive the first call");
    assert_eq!(numbers_taken(&entries), (0..4).map(|number| (number, 1)).collect());
    assert_eq!(emitted(&world.log), 4);
}

/// Asks when it is told to, in `handle-call`: for as many as the request says, and fails if that begins with `fail`.
struct Told {
    log: Log,
    asks: Asks,
}

impl Resumable for Told {
    fn handle_events(&mut self, delivery: GuestDelivery) -> Result<Output, StageError> {
        note(&self.log, "a", &delivery);
        Ok(Output::default())
    }

    fn handle_call(&mut self, request: &[u8]) -> Result<Vec<u8>, String> {
        let text = String::from_utf8_lossy(request);
        let (source, count) =
            text.trim_start_matches("fail ").split_once(' ').ok_or("expected a source and a count")?;
        self.asks.ask(source, count.parse().map_err(|_| "no count")?)?;
        if text.starts_with("fail") { Err("told to fail".to_owned()) } else { Ok(b"asked".to_vec()) }
    }

    fn snapshot(&mut self) -> Result<Vec<u8>, String> {
        Ok(Vec::new())
    }

    fn restore(&mut self, _: &[u8]) -> Result<(), String> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_call_that_fails_has_asked_for_nothing_and_another_source_cannot_be_asked() {
    let world = World::new();
    let log = world.log.clone();
    let told =
        Native::ticking("told", Role::Consumer, move |spec| Ok(Told { log: log.clone(), asks: spec.asks.clone() }));
    let node = world.start("a", &[], asked_of(&world.log, u64::MAX, told));
    let (_, epoch) = world.log.owner(0).await;
    world.log.subscribed("a", epoch).await;
    let call = async |request: &str| {
        let call = Call { stage: "sink".into(), node: None, within_ms: 5000, request: STANDARD.encode(request) };
        node.desk().call(call).await.unwrap()
    };
    let refused = format!("{:?}", call("fail counter 5").await);
    assert!(refused.contains("told to fail"), "{refused}");
    let refused = format!("{:?}", call("sink 5").await);
    let expected =
        "`sink` cannot be asked; the subscriptions of this stage with `ask = \\\"manual\\\"` are to `counter`";
    assert!(refused.contains(expected), "{refused}");
    for _ in 0..2 {
        assert_eq!(call("counter 2").await, Called::Given(STANDARD.encode("asked")));
    }
    world.log.until("what was asked for is taken", |all| took(all).count() >= 4).await;
    end(node).await;
    assert_eq!((took(&world.log.entries()).count(), emitted(&world.log)), (4, 4));
}

#[tokio::test]
async fn a_plugin_that_cannot_ask_is_refused_when_the_pipeline_is_loaded() {
    let world = World::new();
    let parsed = Pipeline::parse(&asking(), "test.toml").unwrap();
    let plugins: Plugins = [("counter", counter(&world.log, 1)), ("sink", native::print())]
        .into_iter()
        .map(|(stage, plugin)| (stage.parse().unwrap(), plugin))
        .collect();
    let refused = LoadedPipeline::new(parsed, plugins).unwrap_err().to_string();
    let expected = "stage `sink` subscribes to `counter` with `ask = \"manual\"`, but its plugin never asks: it does not \
                    import `forebay:stage/demand`; call the SDK's `ask` in the plugin and build it again, or remove `ask`";
    assert_eq!(refused, expected);
}
