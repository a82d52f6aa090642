//! Guests that leak: fresh instances take their places, and every event comes once, in order.

use super::*;
use crate::plugins::plugin;

const MIB: u64 = 1 << 20;

/// A source, whatever is between, and a sink that takes all of `source`.
fn leaking(source: &str, middle: &str, sink: &str) -> String {
    format!(
        r#"
        name = "leaking"
        [stages.source]
        plugin = "native"
        poll = "10ms"
        {source}
        {middle}
        [stages.sink]
        plugin = "native"
        subscribe = [{{ to = "{sink}", max_demand = 400, min_demand = 200 }}]
    "#
    )
}

/// How often a fresh instance took over, with what both took.
fn recycled(entries: &[Entry]) -> Vec<(u64, u64)> {
    let recycled = events(entries).filter_map(|(_, event)| match event {
        NodeEvent::Recycled { before_bytes, after_bytes, .. } => Some((*before_bytes, *after_bytes)),
        _ => None,
    });
    recycled.collect()
}

fn counted(entries: &[Entry]) -> Vec<String> {
    let counted = events(entries).filter_map(|(_, event)| match event {
        NodeEvent::Counted { what, .. } => Some(what.clone()),
        _ => None,
    });
    counted.collect()
}

/// Whether the last number taken is this.
fn is_last(entries: &[Entry], number: u64) -> bool {
    let last = entries.iter().rev().find_map(|entry| match entry {
        Entry::Took { number, .. } => Some(*number),
        _ => None,
    });
    last == Some(number)
}

/// Runs until `is_over`, and gives all that happened. Every number was taken once, in order, and no stage was started
/// twice.
async fn every_number_once(
    text: &str,
    plugins: Vec<(&str, Arc<dyn Plugin>)>,
    is_over: impl Fn(&[Entry]) -> bool,
) -> Vec<Entry> {
    let (world, gate) = (World::new(), Gate::open());
    let stages = plugins.len() + 1;
    let parsed = Pipeline::parse(text, "test.toml").unwrap_or_else(|error| panic!("{error}"));
    let mut all: Plugins = plugins.into_iter().map(|(stage, plugin)| (stage.parse().unwrap(), plugin)).collect();
    all.insert("sink".parse().unwrap(), sink(&world.log, &gate));
    let node = world.start("a", &[], LoadedPipeline::new(parsed, all).unwrap());
    world.log.until("it is over", is_over).await;
    end(node).await;
    let entries = world.log.entries();
    let numbers: Vec<_> = took(&entries).map(|took| took.number).collect();
    assert_eq!(numbers, (0..numbers.len() as u64).collect::<Vec<_>>());
    let started = events(&entries).filter(|(_, event)| matches!(event, NodeEvent::Started { .. })).count();
    assert_eq!(started, stages, "no stage failed");
    entries
}

/// 20 MiB are lost, of 4 that there are.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_source_that_leaks_goes_on_in_fresh_instances_with_its_state() {
    const LIMIT: u64 = 20_000;
    let text = leaking(&format!("limits = {{ memory = \"4MiB\" }}\nconfig = {{ limit = {LIMIT} }}"), "", "source");
    let entries =
        every_number_once(&text, vec![("source", plugin("leaker").await)], |entries| is_last(entries, LIMIT - 1)).await;
    let recycled = recycled(&entries);
    assert!(recycled.len() >= 8, "{recycled:?}");
    assert!(recycled.iter().all(|(before, after)| *before >= 3 * MIB && *after < 2 * MIB), "{recycled:?}");
    assert_eq!(counted(&entries), [""; 0]);
}

/// Its checkpoints go on record all the while: what they cover must not be what a fresh instance was given.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_stage_that_leaks_and_puts_its_state_on_record_does_so_too() {
    const LIMIT: u64 = 20_000;
    let keys = format!(
        "scope = \"global\"\ncheckpoint = \"5ms\"\nlimits = {{ memory = \"4MiB\" }}\nconfig = {{ limit = {LIMIT} }}"
    );
    let entries =
        every_number_once(&leaking(&keys, "", "source"), vec![("source", plugin("leaker").await)], |entries| {
            is_last(entries, LIMIT - 1)
        })
        .await;
    assert!(recycled(&entries).len() >= 8);
}

/// The next attempt works, a second later.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_guest_whose_snapshot_fails_is_kept_and_tried_again() {
    let keys =
        "recycle = \"2MiB\"\ncheckpoint = \"off\"\nlimits = { memory = \"1GiB\" }\nconfig = { snapshots_fail = 1 }";
    let plugins = vec![("source", plugin("leaker").await)];
    let is_over = |entries: &[Entry]| !recycled(entries).is_empty();
    let entries = every_number_once(&leaking(keys, "", "source"), plugins, is_over).await;
    let counted = counted(&entries);
    assert!(counted[0].contains("told to fail in snapshot 1"), "{counted:?}");
    let recycled = recycled(&entries);
    assert!(!recycled.is_empty() && recycled.len() <= counted.len(), "{recycled:?} after {counted:?}");
}

fn relay(keys: &str) -> String {
    let relay = format!(
        "[stages.relay]\nplugin = \"native\"\nlimits = {{ memory = \"4MiB\" }}\n{keys}\n\
         subscribe = [{{ to = \"source\", max_demand = 100, min_demand = 50 }}]"
    );
    leaking("", &relay, "relay")
}

/// It has no checkpoint, and is replaced just before its end.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_stage_without_a_state_that_leaks_is_replaced_as_a_last_resort() {
    const LIMIT: u64 = 10_000;
    let plugins = |log: &Log, relay| vec![("source", counter(log, LIMIT)), ("relay", relay)];
    let plugins = plugins(&Log::new(), plugin("leaking-relay").await);
    let entries = every_number_once(&relay(""), plugins, |entries| is_last(entries, LIMIT - 1)).await;
    let recycled = recycled(&entries);
    assert!(recycled.len() >= 2, "{recycled:?}");
    assert!(recycled.iter().all(|(before, _)| *before >= 4 * MIB / 16 * 15), "{recycled:?}");
    assert_eq!(counted(&entries), [""; 0]);
}

/// What it does not survive is tried again on another.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_stage_that_is_never_replaced_traps_when_its_memory_is_used_up() {
    const LIMIT: u64 = 10_000;
    let plugins = vec![("source", counter(&Log::new(), LIMIT)), ("relay", plugin("leaking-relay").await)];
    let entries = every_number_once(&relay("recycle = \"off\""), plugins, |entries| is_last(entries, LIMIT - 1)).await;
    assert_eq!(recycled(&entries), []);
    let counted = counted(&entries);
    assert!(counted[0].contains("did not survive a call"), "{counted:?}");
}
