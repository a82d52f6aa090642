//! Plugins built from other versions of the WIT than this host's, older and newer.
//!
//! Which changes a version may bring is held by `host/author/tests/wit`; here is what they come to when a plugin is
//! loaded.

use std::{fs, path::PathBuf, sync::Arc};

use bytes::Bytes;
use forebay::runtime::{Grants, LoadError, Plugin, Role};
use wasmtime::{
    Engine, Store,
    component::{Component, Linker},
};
use wit_component::{ComponentEncoder, StringEncoding, dummy_module, embed_component_metadata};
use wit_parser::{ManglingAndAbi, Resolve, WorldId};

use crate::{
    plugins::{renamed, wasm},
    runtime::{delivery, spec, started, texts},
};
use forebay_proto::batch::Batch;

const PRESENT: &str = include_str!("../../../wit/stage.wit");

/// The version that stands in a text of the WIT.
fn version(wit: &str) -> &str {
    let (_, rest) = wit.split_once("package forebay:stage@").expect("a package");
    rest.split_once(';').expect("its end").0
}

/// The present WIT with something added, as a version that does not exist yet.
fn newer(add_to_host: &str, besides: &str) -> String {
    const LOG: &str = "log: func(level: level, message: string);";
    assert_eq!(PRESENT.matches(LOG).count(), 1);
    let text = PRESENT.replace(LOG, &format!("{LOG} {add_to_host}")) + besides;
    text.replace(&format!("stage@{};", version(PRESENT)), &format!("stage@{};", NEWER))
}

/// A version of the present line that is not there.
const NEWER: &str = "0.1.77";

/// A world that joins these worlds of the package.
fn resolved(wit: &str, worlds: &[&str]) -> (Resolve, WorldId) {
    let mut resolve = Resolve::default();
    resolve.push_source("stage.wit", wit).unwrap();
    let version = version(wit);
    let joined: String = worlds.iter().map(|world| format!("include forebay:stage/{world}@{version};")).collect();
    let own = format!("package test:plugin; world stage {{ {joined} }}");
    let own = resolve.push_source("world.wit", &own).unwrap();
    let world = resolve.select_world(&[own], Some("stage")).unwrap();
    (resolve, world)
}

/// A component built from `wit`, whose code calls every function of `code` that its world imports. Its own functions do
/// nothing but trap.
fn component(wit: &str, code: &str, worlds: &[&str]) -> Vec<u8> {
    let (resolve, world) = resolved(code, worlds);
    let mut module = dummy_module(&resolve, world, ManglingAndAbi::Standard32);
    let (resolve, world) = resolved(wit, worlds);
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default().module(&module).unwrap().validate(true).encode().unwrap()
}

async fn load(component: Vec<u8>) -> Result<Arc<dyn Plugin>, LoadError> {
    wasm().load_bytes("a plugin of a test", Bytes::from(component), &Grants::default()).await
}

async fn refusal(component: Vec<u8>) -> String {
    load(component).await.expect_err("a plugin that asks for too much").to_string()
}

/// What was released of the present line: texts.
fn released() -> Vec<String> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../wit/released");
    let files = fs::read_dir(folder).unwrap().map(|folder| folder.unwrap().path().join("stage.wit"));
    let texts: Vec<_> = files.map(|file| fs::read_to_string(file).unwrap()).collect();
    let line = version(PRESENT).rsplit_once('.').unwrap().0;
    texts.into_iter().filter(|text| version(text).starts_with(line)).collect()
}

#[tokio::test]
async fn a_plugin_of_every_released_version_loads_in_each_role() {
    let released = released();
    assert!(!released.is_empty(), "nothing in wit/released: this test looks in the wrong place");
    let optional = ["optional-checkpoint", "optional-timer", "optional-ingest", "optional-call", "optional-terminate"];
    for wit in released {
        let roles =
            [(Role::Producer, "producer"), (Role::ProducerConsumer, "producer-consumer"), (Role::Consumer, "consumer")];
        for (role, world) in roles {
            let bare = load(component(&wit, &wit, &[world])).await.unwrap();
            assert_eq!(bare.role(), role);
            assert!(!bare.has_checkpoint() && !bare.has_timer() && !bare.has_call() && !bare.has_ingest());
            let full = load(component(&wit, &wit, &[&[world], &optional[..]].concat())).await.unwrap();
            assert_eq!(full.role(), role);
            assert!(full.has_checkpoint() && full.has_timer() && full.has_call());
            assert_eq!(full.has_ingest(), role == Role::Producer);
        }
    }
}

#[tokio::test]
async fn a_plugin_of_a_newer_version_runs_if_it_needs_nothing_new() {
    let changes = [("@0.1.1", "@0.1.7")];
    let counter = load(renamed("counter", &changes)).await.unwrap();
    let mut instance = started(&counter, r#"{"start":5}"#).await;
    assert_eq!(texts(&instance.handle_demand(2).await.unwrap().events), ["5", "6"]);
    assert_eq!(instance.snapshot().await.unwrap(), "7");

    // It calls the host, whose interface it knows by the newer name.
    let printer = load(renamed("printer", &changes)).await.unwrap();
    let (spec, heard) = spec("null");
    let mut instance = printer.start(spec).await.unwrap();
    instance.handle_events(delivery(Batch::from_payloads(["a"]))).await.unwrap();
    assert!(!heard.texts().is_empty(), "it logs through the host");

    // Built from a version whose `host` has more, of which it uses what was there before.
    let wit = newer("now: func() -> u64;", "interface audit { note: func(); } world optional-audit { export audit; }");
    let old_code = newer("", "");
    assert_eq!(load(component(&wit, &old_code, &["consumer"])).await.unwrap().role(), Role::Consumer);
}

#[tokio::test]
async fn versions_may_be_mixed_in_one_plugin() {
    let changes = [("stage/lifecycle@0.1.1", "stage/lifecycle@0.1.3"), ("stage/host@0.1.1", "stage/host@0.1.9")];
    let counter = load(renamed("counter", &changes)).await.unwrap();
    assert_eq!(texts(&started(&counter, "null").await.handle_demand(2).await.unwrap().events), ["0", "1"]);
}

#[tokio::test]
async fn a_function_that_this_host_lacks_is_named() {
    let wit = newer("now: func() -> u64;", "");
    let error = refusal(component(&wit, &wit, &["producer"])).await;
    assert!(error.contains("a plugin of a test cannot run here"), "{error}");
    assert!(error.contains("an import asks for more than this host provides"), "{error}");
    assert!(error.contains(&format!("`forebay:stage/host@{NEWER}`")) && error.contains("`now`"), "{error}");
}

#[tokio::test]
async fn an_interface_that_this_host_lacks_is_named() {
    let clock = "interface clock { now: func() -> u64; } world timed { import clock; }";
    let wit = newer("", clock);
    let error = refusal(component(&wit, &wit, &["producer", "timed"])).await;
    assert!(error.contains(&format!("it imports `forebay:stage/clock@{NEWER}`, which is not provided")), "{error}");
}

#[tokio::test]
async fn a_plugin_that_imports_demand_can_ask_and_a_producer_cannot() {
    for (world, can_ask) in [("consumer", true), ("producer-consumer", true), ("producer", false)] {
        let plugin = load(component(PRESENT, PRESENT, &[world, "optional-demand"])).await.unwrap();
        assert_eq!(plugin.can_ask(), can_ask, "{world}");
        assert_eq!(plugin.imports_granted(), Vec::<String>::new(), "it needs no grant");
        assert!(!load(component(PRESENT, PRESENT, &[world])).await.unwrap().can_ask(), "{world}");
    }
}

#[tokio::test]
async fn an_export_that_this_host_does_not_know_is_passed_over() {
    let wit = newer("", "interface audit { note: func(); } world optional-audit { export audit; }");
    let plugin = load(component(&wit, &wit, &["producer", "optional-audit", "optional-call"])).await.unwrap();
    assert!(plugin.role() == Role::Producer && plugin.has_call() && !plugin.has_timer());
}

/// What makes a plugin of another version load is how wasmtime looks up names, in either direction; `contract` judges
/// versions alike in both.
#[test]
fn a_newer_host_serves_a_plugin_of_an_older_version() {
    let engine = Engine::default();
    let wit = newer("", "").replace(NEWER, "0.1.0");
    let component = Component::from_binary(&engine, &component(&wit, &wit, &["consumer"])).unwrap();
    let instantiated = |provided: &str| {
        let mut linker = Linker::<()>::new(&engine);
        let mut host = linker.instance(&format!("forebay:stage/host@{provided}")).unwrap();
        host.func_new("log", |_, _, _, _| Ok(())).unwrap();
        host.func_new("now", |_, _, _, _| Ok(())).unwrap();
        linker.instantiate(Store::new(&engine, ()), &component).map(drop)
    };
    instantiated("0.1.0").unwrap();
    instantiated("0.1.7").unwrap();
    let error = format!("{:#}", instantiated("0.2.0").unwrap_err());
    assert!(error.contains("forebay:stage/host@0.1.0"), "{error}");
}
