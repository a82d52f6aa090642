//! Real components in wasmtime, well-behaved and not, and files that are none.

use std::{
    collections::BTreeMap,
    io::Write,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use forebay::runtime::{
    CallError, Grants, Instance, LineKind, LoadError, Plugin, Rejection, Role, StageError, StartError, Trap, wasm::Wasm,
};
use forebay_proto::batch::Batch;
use rand::{RngExt, SeedableRng, rngs::SmallRng};
use tokio::sync::Mutex;

use crate::runtime::{assert_finished, bounded, delivery, spec, started, texts};

pub(crate) fn path_of(name: &str) -> PathBuf {
    let component = forebay_artifacts::ALL.iter().find(|component| component.name == name);
    component.unwrap_or_else(|| panic!("no component {name}")).path()
}

fn bytes_of(name: &str) -> Vec<u8> {
    std::fs::read(path_of(name)).unwrap()
}

/// One for all tests here, with no cache on disk.
pub(crate) fn wasm() -> Wasm {
    static WASM: std::sync::OnceLock<Wasm> = std::sync::OnceLock::new();
    WASM.get_or_init(|| Wasm::new(None).unwrap()).clone()
}

/// A plugin by its name. Compiled once for all tests, which takes a second each in a debug build.
pub(crate) async fn plugin(name: &str) -> Arc<dyn Plugin> {
    static LOADED: Mutex<BTreeMap<String, Arc<dyn Plugin>>> = Mutex::const_new(BTreeMap::new());
    let mut loaded = LOADED.lock().await;
    if let Some(plugin) = loaded.get(name) {
        return Arc::clone(plugin);
    }
    // The visitor alone imports more than every plugin is given.
    let grants = Grants { resolve: name == "visitor", ..Grants::default() };
    let plugin = wasm().load(&path_of(name), &grants).await.unwrap_or_else(|error| panic!("{error}"));
    loaded.insert(name.to_owned(), Arc::clone(&plugin));
    plugin
}

/// Loads `bytes` from a file; gives the error's text.
async fn refusal(bytes: &[u8]) -> String {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    let error = wasm().load(file.path(), &Grants::default()).await.expect_err("no plugin");
    assert!(error.to_string().contains(&*file.path().to_string_lossy()), "{error} names the file");
    error.to_string()
}

/// A component whose names are changed, to others of the same length.
pub(crate) fn renamed(name: &str, changes: &[(&str, &str)]) -> Vec<u8> {
    changes.iter().fold(bytes_of(name), |bytes, (from, to)| {
        assert_eq!(from.len(), to.len());
        let (from, mut bytes) = (from.as_bytes(), bytes);
        let at: Vec<_> = bytes.windows(from.len()).enumerate().filter(|(_, b)| *b == from).map(|(at, _)| at).collect();
        assert!(!at.is_empty(), "{} is in {name}", String::from_utf8_lossy(from));
        at.into_iter().for_each(|at| bytes[at..at + to.len()].copy_from_slice(to.as_bytes()));
        bytes
    })
}

#[tokio::test]
async fn every_component_runs_in_its_role() {
    for component in forebay_artifacts::ALL {
        let role = plugin(component.name).await.role().to_string();
        let expected = match component.role {
            forebay_artifacts::Role::Producer => "producer",
            forebay_artifacts::Role::ProducerConsumer => "producer-consumer",
            forebay_artifacts::Role::Consumer => "consumer",
        };
        assert_eq!(role, expected, "{}", component.name);
        match component.name {
            "counter" => counter_counts().await,
            "double" => double_doubles().await,
            "printer" => printer_prints_through_the_host().await,
            "asker" => asker_asks_for_more_each_time_it_has_all().await,
            "tally" => tally_tells_its_sum_when_it_is_terminated().await,
            "bench-source" | "bench-sink" => what_a_bench_emits_is_counted_with_its_age().await,
            name @ ("misbehaver" | "leaker") => counts(name).await,
            "misbehaving-consumer" => misbehaving_consumer_prints_if_left_alone().await,
            name @ ("misbehaving-relay" | "leaking-relay") => passes_on(name).await,
            // What it can do is what `grants` is about.
            "visitor" => {
                assert!(started(&plugin("visitor").await, "{}").await.handle_demand(1).await.unwrap().events.is_empty())
            }
            other => panic!("the component {other} has no test; write one and call it here"),
        }
    }
}

async fn counter_counts() {
    let counter = plugin("counter").await;
    assert_eq!(counter.role(), Role::Producer);
    let mut instance = started(&counter, r#"{"start": 1000}"#).await;
    assert_eq!(texts(&instance.handle_demand(3).await.unwrap().events), ["1000", "1001", "1002"]);
    let more = instance.handle_demand(1).await.unwrap();
    assert_eq!((texts(&more.events), more.finished), (vec!["1003".to_owned()], false));
    instance.terminate("done").await.unwrap();
}

async fn double_doubles() {
    let mut instance = started(&plugin("double").await, "null").await;
    let output = instance.handle_events(delivery(Batch::from_payloads(["a", "b"]))).await.unwrap();
    assert_eq!((texts(&output.events).concat(), output.rejections), ("aabb".to_owned(), vec![]));
}

async fn what_a_bench_emits_is_counted_with_its_age() {
    let mut source = started(&plugin("bench-source").await, r#"{"payload_bytes": 20, "batch": 3}"#).await;
    let events = source.handle_demand(5).await.unwrap().events;
    assert!(events.len() == 3 && events.iter().all(|event| event.payload.len() == 20));
    let mut sink = started(&plugin("bench-sink").await, r#"{"latency": true}"#).await;
    sink.handle_events(delivery(events)).await.unwrap();
    let answer = String::from_utf8(sink.handle_call("{}".into()).await.unwrap().to_vec()).unwrap();
    assert!(answer.starts_with(r#"{"events":3,"bytes":60,"latency":[["#), "{answer}");
}

async fn printer_prints_through_the_host() {
    let (spec, heard) = spec("null");
    let mut instance = plugin("printer").await.start(spec).await.unwrap();
    let output = instance.handle_events(delivery(Batch::from_payloads(["1", "2"]))).await.unwrap();
    assert!(output.events.is_empty() && output.rejections.is_empty());
    assert_eq!(heard.lines(), [(LineKind::Stdout, "node-1: [1, 2]".to_owned())]);
}

async fn asker_asks_for_more_each_time_it_has_all() {
    let asker = plugin("asker").await;
    assert!(asker.can_ask() && !plugin("printer").await.can_ask() && !plugin("tally").await.can_ask());
    let (given, heard) = spec(r#"{"source":"source"}"#);
    let mut instance = asker.start(given).await.unwrap();
    let asked = |instance: &mut Box<dyn Instance>| -> Vec<_> {
        instance.take_asked().into_iter().map(|(source, count)| format!("{count} of {source}")).collect()
    };
    assert_eq!(asked(&mut instance), ["1 of source"]);
    for (payloads, expected) in [(&["1"][..], &["2 of source"][..]), (&["2"], &[]), (&["3"], &["3 of source"])] {
        instance.handle_events(delivery(Batch::from_payloads(payloads))).await.unwrap();
        assert_eq!(asked(&mut instance), expected);
    }
    assert_eq!(heard.texts(), ["node-1: [1]", "node-1: [2]", "node-1: [3]"]);
    let too_many = instance.handle_events(delivery(Batch::from_payloads(["4"; 5]))).await.unwrap_err();
    assert!(
        matches!(&too_many, CallError::Stage(StageError::Fatal(why)) if why == "5 events came, but 3 were asked for")
    );
    let refused = asker.start(spec(r#"{"source":"nobody"}"#).0).await.unwrap_err().to_string();
    let expected = "`nobody` cannot be asked; the subscriptions of this stage with `ask = \"manual\"` are to `source`";
    assert!(refused.contains(expected), "{refused}");
}

async fn tally_tells_its_sum_when_it_is_terminated() {
    let (spec, heard) = spec("null");
    let mut instance = plugin("tally").await.start(spec).await.unwrap();
    instance.handle_events(delivery(Batch::from_payloads(["1", "22", "333"]))).await.unwrap();
    instance.terminate("done").await.unwrap();
    let sum = "1d685e541db65fd2dcee8d583733afd4ace8210cfc54193312eed6a64387c78d";
    assert_eq!(heard.texts(), [format!(r#"{{"events":3,"bytes":9,"sha256":"{sum}"}}"#)]);
}

async fn counts(name: &str) {
    let mut instance = started(&plugin(name).await, "null").await;
    assert_eq!(texts(&instance.handle_demand(2).await.unwrap().events), ["0", "1"]);
}

async fn misbehaving_consumer_prints_if_left_alone() {
    let (spec, heard) = spec("null");
    let mut instance = plugin("misbehaving-consumer").await.start(spec).await.unwrap();
    instance.handle_events(delivery(Batch::from_payloads(["a"]))).await.unwrap();
    assert_eq!(heard.texts(), ["node-1: [a]"]);
}

async fn passes_on(name: &str) {
    let mut instance = started(&plugin(name).await, "null").await;
    let output = instance.handle_events(delivery(Batch::from_payloads(["a", "b"]))).await.unwrap();
    assert_eq!(texts(&output.events), ["a", "b"]);
}

/// Calls the misbehaving producer once, in `mode`, and gives the error's text. The instance must be
/// finished after it, and the plugin good for another.
async fn trapped(mode: &str) -> String {
    let plugin = plugin("misbehaver").await;
    let mut instance = started(&plugin, &format!(r#"{{"mode": "{mode}"}}"#)).await;
    let error = match bounded(instance.handle_demand(3)).await {
        Err(CallError::Trap(trap)) => trap.to_string(),
        other => panic!("{mode}: expected a trap, found {other:?}"),
    };
    assert_finished(&mut instance).await;
    assert_eq!(started(&plugin, "null").await.handle_demand(1).await.unwrap().events.len(), 1);
    error
}

#[tokio::test]
async fn a_panic_is_a_trap_and_its_words_go_to_the_log() {
    let (spec, heard) = spec(r#"{"mode": "panic", "at": 2}"#);
    let mut instance = plugin("misbehaver").await.start(spec).await.unwrap();
    assert_eq!(instance.handle_demand(1).await.unwrap().events.len(), 1);
    let error = instance.handle_demand(1).await.unwrap_err().to_string();
    assert!(
        error.starts_with("handle-demand trapped: wasm trap: wasm `unreachable` instruction executed; in "),
        "{error}"
    );
    drop(instance);
    let words = heard.texts().concat();
    assert!(words.contains("told to panic in call 2"), "{words}");
}

#[tokio::test]
async fn an_abort_is_a_trap() {
    let error = trapped("unreachable").await;
    assert!(error.starts_with("handle-demand trapped: wasm trap: wasm `unreachable` instruction executed"), "{error}");
    assert!(!error.contains('\n'), "one line: {error}");
}

#[tokio::test]
async fn a_guest_that_spins_is_ended_at_its_limit() {
    let plugin = plugin("misbehaver").await;
    let mut instance = started(&plugin, r#"{"mode": "loop"}"#).await;
    let before = Instant::now();
    let error = bounded(instance.handle_demand(1)).await.unwrap_err();
    assert_eq!(error, CallError::Trap(Trap::TimedOut { call: "handle-demand", limit: Duration::from_millis(500) }));
    assert!(before.elapsed() >= Duration::from_millis(500));
    assert_finished(&mut instance).await;
}

/// On one thread: only because the spinning guest yields does the other get to run at all.
#[tokio::test(flavor = "current_thread")]
async fn a_guest_that_spins_does_not_hold_up_others() {
    let mut spinning = started(&plugin("misbehaver").await, r#"{"mode": "loop"}"#).await;
    let mut other = started(&plugin("counter").await, "null").await;
    tokio::select! {
        biased;
        _ = spinning.handle_demand(1) => panic!("the others were held up until the spinning guest was ended"),
        produced = async {
            for _ in 0..10 {
                other.handle_demand(1).await.unwrap();
                tokio::task::yield_now().await;
            }
            other.handle_demand(1).await
        } => assert_eq!(texts(&produced.unwrap().events), ["10"]),
    }
    // Its call was dropped in the middle.
    assert_finished(&mut spinning).await;
}

#[tokio::test]
async fn memory_ends_at_the_limit() {
    let error = trapped("grow").await;
    assert!(
        error.starts_with("handle-demand trapped after memory was refused at 67108864 bytes; raise `limits.memory`"),
        "{error}"
    );
}

#[tokio::test]
async fn memory_that_is_too_small_to_begin_with_stops_the_start() {
    let (mut spec, _) = spec("null");
    spec.limits.memory_bytes = 65_536;
    let error = plugin("misbehaver").await.start(spec).await.unwrap_err().to_string();
    assert!(error.contains("misbehaver.wasm` could not be instantiated: memory minimum size of"), "{error}");
}

#[tokio::test]
async fn deep_recursion_is_a_trap() {
    let error = trapped("recurse").await;
    // Whose stack ends first is the guest's matter: wasm's own, or the one its compiler keeps in memory.
    let stack = ["call stack exhausted", "out of bounds memory access"].map(|end| format!("wasm trap: {end}; in "));
    assert!(stack.iter().any(|end| error.contains(end)), "{error}");
    assert!(error.ends_with(" < ..."), "{error}");
}

#[tokio::test]
async fn more_than_demanded_is_not_taken() {
    let error = trapped("too_many").await;
    assert_eq!(error, "handle-demand broke the contract: 4 events were returned, 3 were asked for; none was taken");
}

#[tokio::test]
async fn columns_that_contradict_each_other_are_named() {
    let error = trapped("bad_columns").await;
    assert_eq!(
        error,
        "handle-demand broke the contract: the last of column `ends` is 6, but there are 5 bytes; they must be equal"
    );
}

#[tokio::test]
async fn an_event_beyond_the_limit_is_refused_with_its_size() {
    let error = trapped("huge_event").await;
    assert!(error.contains("broke the contract: a batch of 16777220 bytes, 4194304 are allowed"), "{error}");
}

#[tokio::test]
async fn what_a_guest_hands_over_is_bounded_before_it_is_copied() {
    let (mut spec, _) = spec(r#"{"mode": "huge_event"}"#);
    spec.limits.batch.bytes_max = 1 << 20;
    let mut instance = plugin("misbehaver").await.start(spec).await.unwrap();
    let error = instance.handle_demand(1).await.unwrap_err().to_string();
    assert!(error.contains("broke the contract: ") && error.contains("too much data"), "{error}");
}

#[tokio::test]
async fn a_guest_that_sleeps_is_ended_two_ticks_after_its_limit() {
    let before = Instant::now();
    let error = trapped("sleep").await;
    assert_eq!(error, "handle-demand took longer than 500ms; raise `limits.call_time` or do less in one call");
    // The upper bound is far off what a loaded machine needs, and far below the hour it would sleep.
    assert!((Duration::from_millis(520)..Duration::from_secs(10)).contains(&before.elapsed()));
}

#[tokio::test]
async fn a_log_flood_is_dropped_and_counted() {
    let (mut spec, heard) = spec(r#"{"mode": "log_flood"}"#);
    spec.limits.call_time = Duration::from_secs(30);
    let mut instance = plugin("misbehaver").await.start(spec).await.unwrap();
    assert_eq!(bounded(instance.handle_demand(1)).await.unwrap().events.len(), 1);
    drop(instance);
    let lines = heard.texts();
    assert_eq!(lines.len() as u64 + heard.dropped(), 100_001);
    assert!((10_000..20_000).contains(&lines.len()), "{} lines at 1,000 a second", lines.len());
    assert!(lines.iter().all(|line| line.len() <= 8192 && !line.contains(char::is_control)));
}

#[tokio::test]
async fn a_long_line_is_cut() {
    let (mut spec, heard) = spec(r#"{"mode": "log_flood"}"#);
    spec.limits.log_lines_per_second = 1_000_000;
    spec.limits.call_time = Duration::from_secs(30);
    let mut instance = plugin("misbehaver").await.start(spec).await.unwrap();
    bounded(instance.handle_demand(1)).await.unwrap();
    let lines = heard.texts();
    assert_eq!((lines.len(), heard.dropped()), (100_001, 0));
    assert_eq!(lines.last().unwrap().len(), 8192);
}

#[tokio::test]
async fn an_error_of_init_is_told_in_its_words() {
    let (spec, _) = spec(r#"{"mode": "init_error"}"#);
    let error = plugin("misbehaver").await.start(spec).await.unwrap_err().to_string();
    assert_eq!(error, "`init` of stage `stage-1` failed: told to fail in init");
}

#[tokio::test]
async fn a_panic_in_init_is_a_trap() {
    let (spec, heard) = spec(r#"{"mode": "init_panic"}"#);
    let error = plugin("misbehaver").await.start(spec).await.unwrap_err();
    assert!(matches!(&error, StartError::Trap(Trap::Guest { call: "init", .. })), "{error:?}");
    assert!(heard.texts().concat().contains("told to panic in init"));
}

#[tokio::test]
async fn errors_of_a_guest_leave_it_whole() {
    let plugin = plugin("misbehaver").await;
    let mut instance = started(&plugin, r#"{"mode": "error_retry"}"#).await;
    let error = instance.handle_demand(1).await.unwrap_err().to_string();
    assert_eq!(error, "the stage asks for another try: told to fail in call 1");
    assert_eq!(texts(&instance.handle_demand(1).await.unwrap().events), ["0"]);
    let mut instance = started(&plugin, r#"{"mode": "error_fatal"}"#).await;
    let error = instance.handle_demand(1).await.unwrap_err().to_string();
    assert_eq!(error, "the stage gave up: told to end in call 1");
}

#[tokio::test]
async fn a_consumer_rejects_what_it_was_given_and_nothing_else() {
    let plugin = plugin("misbehaving-consumer").await;
    let events = || delivery(Batch::from_payloads(["a", "b"]));
    let mut instance = started(&plugin, r#"{"mode": "reject"}"#).await;
    let rejection = Rejection { index: 0, retry: false, reason: "told to reject it".into() };
    assert_eq!(instance.handle_events(events()).await.unwrap().rejections, [rejection]);
    let mut instance = started(&plugin, r#"{"mode": "reject_out_of_range"}"#).await;
    let error = instance.handle_events(events()).await.unwrap_err().to_string();
    let expected = "handle-events broke the contract: rejection of event 2, but 2 were delivered, counted from 0";
    assert_eq!(error, expected);
    assert_finished(&mut instance).await;
}

#[tokio::test]
async fn files_that_are_no_component_are_named() {
    let cases: &[(&[u8], &str)] = &[
        (b"", "it is empty, 0 bytes"),
        (b"\0asm\x01\0\0\0", "it is a core module; a component is needed: make one with `wasm-tools component new"),
        (b"\x7fELF\x02\x01\x01", "it is an ELF file"),
        (b"\x1f\x8b\x08\0", "it is a gzip file"),
        (b"<!DOCTYPE html><html>", "it is an HTML page"),
        (b"(component)", "it is WebAssembly text"),
    ];
    for (bytes, expected) in cases {
        let error = refusal(bytes).await;
        assert!(error.contains(expected), "{error}");
    }
}

#[tokio::test]
async fn what_is_no_regular_file_is_refused_without_waiting() {
    let folder = tempfile::tempdir().unwrap();
    let error = wasm().load(folder.path(), &Grants::default()).await.expect_err("a directory").to_string();
    assert!(error.contains("it is a directory; expected a file"), "{error}");

    let fifo = folder.path().join("fifo");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let error = bounded(wasm().load(&fifo, &Grants::default())).await.expect_err("a FIFO").to_string();
    assert!(error.contains("it is a FIFO"), "{error}");

    let error = wasm().load(Path::new("/dev/zero"), &Grants::default()).await.expect_err("a device").to_string();
    assert!(error.contains("it is a device"), "{error}");

    let missing = wasm().load(&folder.path().join("missing"), &Grants::default()).await.expect_err("nothing there");
    assert!(matches!(&missing, LoadError::Read { source, .. } if source.kind() == std::io::ErrorKind::NotFound));
}

#[tokio::test]
async fn a_file_that_is_too_large_is_refused_before_it_is_read() {
    let file = tempfile::NamedTempFile::new().unwrap();
    // Sparse: reading it would take a terabyte of memory.
    file.as_file().set_len(1 << 40).unwrap();
    let error = bounded(wasm().load(file.path(), &Grants::default())).await.expect_err("too large").to_string();
    assert!(error.contains("it has 1099511627776 bytes; a plugin has at most 67108864"), "{error}");
}

#[tokio::test]
async fn a_truncated_component_is_refused_wherever_it_ends() {
    let bytes = bytes_of("double");
    for part in 1..64 {
        let error = bounded(refusal(&bytes[..bytes.len() * part / 64])).await;
        let place = error.contains("offset 0x") || error.contains("section range");
        assert!(error.contains("is not valid") && place, "{part}/64: {error}");
    }
}

#[tokio::test]
async fn flipped_bits_never_crash_or_hang() {
    let bytes = bytes_of("double");
    let mut random = SmallRng::seed_from_u64(1);
    let files: Vec<Vec<u8>> = (0..200)
        .map(|_| {
            let mut bytes = bytes.clone();
            let bit = random.random_range(0..bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            bytes
        })
        .collect();
    let half = files.len() / 2;
    let (one, other) = tokio::join!(load_and_run(&files[..half]), load_and_run(&files[half..]));
    // Most flips hit code or data that stays valid; some must not.
    let refused = one + other;
    assert!((20..200).contains(&refused), "{refused} of 200 were refused");
}

/// How many of the files were refused. The others are run for a call; what they do is their matter.
async fn load_and_run(files: &[Vec<u8>]) -> usize {
    let mut refused = 0;
    for bytes in files {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        let Ok(plugin) = bounded(wasm().load(file.path(), &Grants::default())).await else {
            refused += 1;
            continue;
        };
        if let Ok(mut instance) = bounded(plugin.start(spec("null").0)).await {
            let _ = bounded(instance.handle_events(delivery(Batch::from_payloads(["a"])))).await;
        }
    }
    refused
}

#[tokio::test]
async fn another_version_of_the_wit_is_refused_with_both_named() {
    let error =
        refusal(&renamed("counter", &[("forebay:stage/lifecycle@0.1.1", "forebay:stage/lifecycle@0.2.0")])).await;
    assert!(
        error.contains("built for forebay:stage 0.2.0 (`forebay:stage/lifecycle@0.2.0`), this host speaks 0.1.1"),
        "{error}"
    );
    assert!(error.contains("before 1.0 the minor versions must be the same"), "{error}");
}

#[tokio::test]
async fn a_newer_patch_version_of_the_wit_runs() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&renamed("counter", &[("@0.1.1", "@0.1.9")])).unwrap();
    let counter = wasm().load(file.path(), &Grants::default()).await.unwrap();
    assert_eq!(texts(&started(&counter, "null").await.handle_demand(2).await.unwrap().events), ["0", "1"]);
}

#[tokio::test]
async fn another_world_is_refused_with_its_exports() {
    let error = refusal(&renamed("counter", &[("forebay:stage/", "forbear:stage/")])).await;
    assert!(error.contains("it is a component of another world"), "{error}");
    assert!(error.contains("expected the exports `forebay:stage/lifecycle@0.1.1`"), "{error}");
    assert!(error.contains("`forbear:stage/produce@0.1.1`"), "{error}");
}

#[tokio::test]
async fn a_missing_lifecycle_is_named() {
    let error = refusal(&renamed("counter", &[("stage/lifecycle@", "stage/likecycle@")])).await;
    assert!(error.contains("the export `forebay:stage/lifecycle@0.1.1` is missing"), "{error}");
}

#[tokio::test]
async fn a_missing_function_is_named_with_its_type() {
    let error = refusal(&renamed("counter", &[("forebay:stage/produce@", "forebay:stage/consume@")])).await;
    assert!(error.contains("`forebay:stage/consume@0.1.1` has no function `handle-events`; expected"), "{error}");
}

#[tokio::test]
async fn a_function_of_another_type_is_named_with_the_expected_one() {
    let changes = [("forebay:stage/produce@", "forebay:stage/consume@"), ("handle-demand", "handle-events")];
    let error = refusal(&renamed("counter", &changes)).await;
    assert!(error.contains("`handle-events` of `forebay:stage/consume@0.1.1` has another type"), "{error}");
    assert!(error.contains("expected `handle-events: func(delivery: delivery)"), "{error}");
}

#[tokio::test]
async fn an_import_that_nobody_provides_is_refused_when_loading() {
    let http = renamed("counter", &[("wasi:filesystem/preopens@", "wasi:http/client-handler@")]);
    let error = refusal(&http).await;
    assert!(error.contains("it imports `wasi:http/client-handler@0.2."), "{error}");
    assert!(error.contains("which is not provided") && error.contains("HTTP is not provided: use"), "{error}");
    let changed = renamed("counter", &[("wasi:filesystem/preopens@", "wasi:sockets/tcp-sockets@")]);
    let error = refusal(&changed).await;
    assert!(error.contains("it imports `wasi:sockets/tcp-sockets@0.2."), "{error}");
    assert!(error.contains("which is not provided"), "{error}");

    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&changed).unwrap();
    let inspection = wasm().inspect(file.path()).await.unwrap();
    let sockets = inspection.imports.iter().find(|import| import.name.starts_with("wasi:sockets")).unwrap();
    assert!(!sockets.provided && sockets.grant.is_none(), "{sockets:?}");
    assert!(inspection.refusal.unwrap().contains("not provided"));

    let visitor = wasm().inspect(&path_of("visitor")).await.unwrap();
    assert_eq!(visitor.refusal, None);
    let tcp = visitor.imports.iter().find(|import| import.name.starts_with("wasi:sockets/tcp@")).unwrap();
    assert_eq!((tcp.provided, tcp.grant.as_deref()), (true, Some("grants = { tcp = [\"HOST:PORT\"] }")));
}

#[tokio::test]
async fn inspection_tells_what_a_plugin_is() {
    let inspection = wasm().inspect(&path_of("counter")).await.unwrap();
    assert_eq!(inspection.role.as_deref(), Some("producer"));
    assert_eq!(inspection.world.as_deref(), Some("forebay:stage/producer@0.1.1"));
    assert_eq!((inspection.wit_version.as_deref(), inspection.refusal.as_deref()), (Some("0.1.1"), None));
    assert_eq!(inspection.optional, ["checkpoint"]);
    assert!(inspection.imports.iter().all(|import| import.provided), "{:?}", inspection.imports);
    assert!(inspection.exports.contains(&"forebay:stage/produce@0.1.1".to_owned()));
    assert_eq!(inspection.size_bytes, bytes_of("counter").len() as u64);
    assert_eq!(inspection.digest, plugin("counter").await.digest());
}

/// The compiled entry in a cache that holds one.
fn entry_in(cache: &Path) -> PathBuf {
    let files = std::fs::read_dir(cache).unwrap().map(|file| file.unwrap().path());
    let mut entries: Vec<_> = files.filter(|file| file.extension().is_some_and(|end| end == "cwasm")).collect();
    assert_eq!(entries.len(), 1, "{entries:?}");
    entries.remove(0)
}

#[tokio::test]
async fn compiled_code_is_kept_and_private() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("a/cache");
    let first = Wasm::new(Some(cache.clone())).unwrap().load(&path_of("double"), &Grants::default()).await.unwrap();
    let entry = entry_in(&cache);
    for (path, mode) in [(&cache, 0o700), (&entry, 0o600), (&cache.join("key"), 0o600)] {
        assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o777, mode, "{}", path.display());
    }
    let written = std::fs::metadata(&entry).unwrap().modified().unwrap();
    let second = Wasm::new(Some(cache.clone())).unwrap().load(&path_of("double"), &Grants::default()).await.unwrap();
    assert_eq!(first.digest(), second.digest());
    assert_eq!(std::fs::metadata(&entry).unwrap().modified().unwrap(), written, "taken from the cache, not rewritten");
    let mut instance = started(&second, "null").await;
    assert_eq!(instance.handle_events(delivery(Batch::from_payloads(["a"]))).await.unwrap().events.len(), 2);
}

#[tokio::test]
async fn a_poisoned_cache_entry_is_compiled_anew() {
    let folder = tempfile::tempdir().unwrap();
    let wasm = Wasm::new(Some(folder.path().join("cache"))).unwrap();
    wasm.load(&path_of("double"), &Grants::default()).await.unwrap();
    let entry = entry_in(&folder.path().join("cache"));
    let good = std::fs::read(&entry).unwrap();
    let middle = good.len() / 2;
    let mut flipped = good.clone();
    flipped[middle] ^= 1;
    for poison in [flipped, good[..middle].to_vec(), Vec::new(), [&[0; 32][..], &good[32..]].concat()] {
        std::fs::write(&entry, &poison).unwrap();
        let plugin = wasm.load(&path_of("double"), &Grants::default()).await.unwrap();
        started(&plugin, "null").await;
        assert_eq!(std::fs::read(&entry).unwrap().len(), good.len(), "written anew");
        assert_ne!(std::fs::read(&entry).unwrap(), poison);
    }
}

#[tokio::test]
async fn an_entry_of_another_plugin_or_another_key_is_not_taken() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, theirs) = (folder.path().join("ours"), folder.path().join("theirs"));
    Wasm::new(Some(theirs.clone())).unwrap().load(&path_of("counter"), &Grants::default()).await.unwrap();
    let wasm = Wasm::new(Some(ours.clone())).unwrap();
    wasm.load(&path_of("double"), &Grants::default()).await.unwrap();
    let double = entry_in(&ours);
    // Their counter, under the name that our double has.
    std::fs::copy(entry_in(&theirs), &double).unwrap();
    assert_eq!(wasm.load(&path_of("double"), &Grants::default()).await.unwrap().role(), Role::ProducerConsumer);
    // Our own double, under the name that our counter will have.
    let name = entry_in(&theirs).file_name().unwrap().to_owned();
    std::fs::copy(&double, ours.join(name)).unwrap();
    assert_eq!(wasm.load(&path_of("counter"), &Grants::default()).await.unwrap().role(), Role::Producer);
}

#[test]
fn a_cache_that_others_can_write_is_refused() {
    use std::{error::Error, os::unix::fs::PermissionsExt};
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let error = Wasm::new(Some(folder.path().to_owned())).expect_err("open to others");
    let source = error.source().unwrap().to_string();
    assert!(source.contains("is open to others (mode 0755"), "{source}");
}
