//! Stages that act by the clock and answer questions, in whole nodes: `forebay call` from its arguments to the guest
//! and back, on one node and between several.

use std::{collections::VecDeque, path::Path};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use forebay::{
    node::admin::{self, Call, Called},
    runtime::{Output, Role, StageError, native::Resumable},
};

use super::*;
use crate::process::{Outcome, forebay, run_with_input};

/// Keeps what it is given until it ticks; answers how much that is.
#[derive(Default)]
struct Keeper {
    node: String,
    kept: VecDeque<u64>,
}

impl Resumable for Keeper {
    fn handle_events(&mut self, delivery: GuestDelivery) -> Result<Output, StageError> {
        self.kept.extend(numbers_of(&delivery.events));
        Ok(Output::default())
    }

    fn handle_tick(&mut self) -> Result<Batch, StageError> {
        Ok(of_numbers(self.kept.drain(..)))
    }

    fn handle_call(&mut self, request: &[u8]) -> Result<Vec<u8>, String> {
        match request {
            b"who" => Ok(self.node.clone().into_bytes()),
            b"kept" => Ok(self.kept.len().to_string().into_bytes()),
            b"echo\n\xff" => Ok(request.to_vec()),
            b"panic" => panic!("told to panic"),
            other => Err(format!("unknown request: {}", other.escape_ascii())),
        }
    }

    fn snapshot(&mut self) -> Result<Vec<u8>, String> {
        let kept: Vec<_> = self.kept.iter().map(u64::to_string).collect();
        Ok(kept.join(" ").into_bytes())
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), String> {
        let text = std::str::from_utf8(snapshot).map_err(|error| error.to_string())?;
        self.kept = text.split_whitespace().map(|number| number.parse().unwrap()).collect();
        Ok(())
    }
}

fn keeper(role: Role) -> Arc<dyn Plugin> {
    Native::ticking("keeper", role, |spec| Ok(Keeper { node: spec.node.to_string(), ..Keeper::default() }))
}

fn keeper_with_checkpoint() -> Arc<dyn Plugin> {
    let init = |spec: &forebay::runtime::InstanceSpec| Ok(Keeper { node: spec.node.to_string(), ..Keeper::default() });
    Native::ticking_stateful("keeper", Role::ProducerConsumer, init)
}

/// A counter, a keeper that passes on what it has kept at each tick, and a sink.
fn kept(tick: &str) -> String {
    format!(
        r#"
        name = "kept"
        [stages.counter]
        plugin = "native"
        [stages.keeper]
        plugin = "native"
        subscribe = [{{ to = "counter", max_demand = 5, min_demand = 4 }}]
        {tick}
        [stages.sink]
        plugin = "native"
        subscribe = [{{ to = "keeper", max_demand = 1000, min_demand = 0 }}]
        "#
    )
}

fn kept_of(world: &World, tick: &str, limit: u64, keeper: Arc<dyn Plugin>) -> LoadedPipeline {
    let (counter, sink) = (counter(&world.log, limit), sink(&world.log, &Gate::open()));
    pipeline(&kept(tick), [("counter", counter), ("keeper", keeper), ("sink", sink)])
}

fn taken(world: &World) -> Vec<u64> {
    took(&world.log.entries()).map(|took| took.number).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_a_guest_keeps_is_passed_on_at_its_ticks() {
    let world = World::new();
    let node = world.start("a", &[], kept_of(&world, r#"tick = "50ms""#, 40, keeper(Role::ProducerConsumer)));
    world.log.until("all 40 are taken", |entries| took(entries).count() == 40).await;
    assert_eq!(taken(&world), (0..40).collect::<Vec<_>>());
    end(node).await;
}

/// In virtual time, so that the moments are exact.
#[tokio::test(start_paused = true)]
async fn ticks_come_an_interval_after_the_start_and_after_each_other() {
    let world = World::new();
    let began = tokio::time::Instant::now();
    let node = world.start("a", &[], kept_of(&world, r#"tick = "9s""#, 7, keeper(Role::ProducerConsumer)));
    world.log.until("the first tick passes all on", |entries| took(entries).count() == 7).await;
    let after = began.elapsed();
    assert!((9_000..9_100).contains(&after.as_millis()), "{after:?}");
    drop(node);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_node_that_ends_has_its_guests_pass_on_what_they_keep() {
    for keeper in [keeper(Role::ProducerConsumer), keeper_with_checkpoint()] {
        let world = World::new();
        let node = world.start("a", &[], kept_of(&world, r#"tick = "1h""#, 3, keeper));
        let asked = || Call { stage: "keeper".into(), node: None, within_ms: 5000, request: STANDARD.encode("kept") };
        let three = Ok(Called::Given(STANDARD.encode("3")));
        until("three are kept", async || node.desk().call(asked()).await == three).await;
        assert_eq!(taken(&world), [] as [u64; 0], "an hour is not over");
        end(node).await;
        assert_eq!(taken(&world), [0, 1, 2]);
    }
}

#[tokio::test]
async fn a_tick_for_a_plugin_without_a_timer_is_refused_when_the_pipeline_is_loaded() {
    let world = World::new();
    let parsed = Pipeline::parse(&NUMBERS.replace("poll =", "tick = \"1s\"\npoll ="), "test.toml").unwrap();
    let plugins: Plugins = [("counter", counter(&world.log, 1)), ("sink", sink(&world.log, &Gate::open()))]
        .into_iter()
        .map(|(stage, plugin)| (stage.parse().unwrap(), plugin))
        .collect();
    let refused = LoadedPipeline::new(parsed, plugins).unwrap_err().to_string();
    let expected = "stage `counter` has the key `tick`, but its plugin does not export `timer`; remove `tick`, or \
                    build the plugin with `timer`";
    assert_eq!(refused, expected);
}

const TICKING: &str = r#"
    name = "ticking"
    [stages.source]
    plugin = "wasm"
    tick = "20ms"
    limits = { call_time = "2s" }
    [stages.sink]
    plugin = "native"
    subscribe = [{ to = "source", max_demand = 10, min_demand = 0 }]
"#;

/// A node with a component that ticks and answers, and how many of its ticks were taken.
async fn ticking(world: &World) -> (Node, Arc<AtomicU64>) {
    let ticks = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&ticks);
    let sink = Native::consumer("sink", move |_| {
        let ticks = Arc::clone(&counted);
        Ok(move |delivery: GuestDelivery| {
            std::thread::sleep(Duration::from_millis(1));
            let is_tick = |event: &forebay_proto::batch::Event<'_>| event.payload == b"tick";
            ticks.fetch_add(delivery.events.iter().filter(is_tick).count() as u64, Ordering::Relaxed);
            Ok(Vec::new())
        })
    });
    let source = crate::plugins::plugin("misbehaver").await;
    let node = world.start("a", &[], pipeline(TICKING, [("source", source), ("sink", sink)]));
    until("it ticks between its other events", async || ticks.load(Ordering::Relaxed) >= 5).await;
    (node, ticks)
}

async fn ask_source(node: &Node, request: &str, within_ms: u64) -> Called {
    let request = STANDARD.encode(request);
    node.desk().call(Call { stage: "ticking/source".into(), node: None, within_ms, request }).await.unwrap()
}

/// The next number of the component.
async fn next_number(node: &Node) -> u64 {
    match ask_source(node, "next", 10_000).await {
        Called::Given(answer) => String::from_utf8(STANDARD.decode(answer).unwrap()).unwrap().parse().unwrap(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_component_ticks_and_answers_and_is_renewed_when_a_request_ends_it() {
    let world = World::new();
    let (node, ticks) = ticking(&world).await;
    assert!(next_number(&node).await > 0);
    assert_eq!(ask_source(&node, "what", 5000).await, Called::Refused("unknown request: what".to_owned()));
    let lost = ask_source(&node, "panic", 5000).await;
    assert!(matches!(&lost, Called::Unknown(why) if why.contains("did not survive the request")), "{lost:?}");
    let before = ticks.load(Ordering::Relaxed);
    until("another instance ticks", async || ticks.load(Ordering::Relaxed) > before + 3).await;
    next_number(&node).await;
    let is_restart = |event: &NodeEvent| matches!(event, NodeEvent::Restarting { .. });
    let restarts = events(&world.log.entries()).filter(|(_, event)| is_restart(event)).count();
    assert_eq!(restarts, 0, "the stage itself goes on");
    end(node).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn requests_are_bounded_in_time_whatever_the_guest_does() {
    let world = World::new();
    let (node, _) = ticking(&world).await;
    // It spins until the limit of its call.
    let spinning = ask_source(&node, "loop", 50).await;
    let told = "ticking/source did not answer within 50ms; it may still be at it";
    assert_eq!(spinning, Called::Unknown(told.to_owned()));
    let behind = ask_source(&node, "next", 50).await;
    assert!(
        matches!(&behind, Called::NotMade(why) if why.contains("had other calls to finish for 50ms")),
        "{behind:?}"
    );
    // After its end, on another instance.
    next_number(&node).await;
    end(node).await;
}

const ANSWERING: &str = r#"
    name = "p"
    [stages.one]
    plugin = "native"
    scope = "global"
    [stages.each]
    plugin = "native"
    [stages.silent]
    plugin = "native"
"#;

/// A node that can be asked.
struct Asked {
    node: Node,
    data: tempfile::TempDir,
    _admin: admin::AdminSocket,
}

impl Asked {
    fn start(world: &World, node: &str, join: &[&str]) -> Self {
        let keepers = [("one", keeper(Role::Producer)), ("each", keeper(Role::Producer))];
        let [one, each] = keepers;
        let loaded = pipeline(ANSWERING, [one, each, ("silent", finite(0))]);
        let data = tempfile::tempdir().unwrap();
        let admin = admin::bind(data.path()).unwrap();
        let node = Node::start(world.joining(node, join, loaded));
        let admin = admin.serve(node.desk());
        Self { node, data, _admin: admin }
    }

    async fn command(&self, args: &[&str], input: &[u8]) -> Outcome {
        let data: &Path = self.data.path();
        let args = ["call"].into_iter().chain(args.iter().copied()).chain(["--data", data.to_str().unwrap()]);
        let (command, input) = (forebay(args), input.to_owned());
        tokio::task::spawn_blocking(move || run_with_input(command, Some(&input))).await.unwrap()
    }

    async fn ask(&self, stage: &str, node: Option<&str>, request: &str) -> Result<Called, String> {
        let (node, request) = (node.map(str::to_owned), STANDARD.encode(request));
        self.node.desk().call(Call { stage: stage.to_owned(), node, within_ms: 5000, request }).await
    }
}

fn given(answer: &str) -> Result<Called, String> {
    Ok(Called::Given(STANDARD.encode(answer)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_command_prints_the_answer_as_it_is() {
    let world = World::new();
    let asked = Asked::start(&world, "a", &[]);
    until("the stage runs", async || asked.ask("each", None, "who").await == given("a")).await;
    let done = asked.command(&["p/each", "who"], b"").await;
    done.assert_done();
    assert_eq!(done.stdout.trim_end(), "a");
    let done = asked.command(&["each", "-"], b"echo\n\xff").await;
    done.assert_done();
    assert!(done.stdout.starts_with("echo\n"), "{done:?}");
    end(asked.node).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_comes_to_nothing_is_told_with_the_reason_and_a_code() {
    let world = World::new();
    let asked = Asked::start(&world, "a", &[]);
    until("the stage runs", async || asked.ask("each", None, "who").await == given("a")).await;
    let failed = async |args: &[&str], code: i32, told: &str| {
        asked.command(args, b"").await.assert_failed(code, &format!("forebay: {told}"));
    };
    failed(&["each", "what\x1b"], 76, "the stage refused the request: unknown request: what\\x1b").await;
    failed(&["nobody", "x"], 69, "a knows no stage `nobody`; its stages are: p/each, p/one, p/silent").await;
    failed(&["silent", "x"], 69, "p/silent answers no requests: its plugin does not export `call`").await;
    failed(&["each", "who", "--node", "x"], 69, "a knows of no node `x`").await;
    asked.command(&["each", "who", "--within", "2m"], b"").await.assert_failed(64, "error: invalid value '2m'");
    failed(&["each", "panic"], 69, "p/each did not survive the request: handle-call trapped: panicked: told to").await;
    until("another instance answers", async || asked.ask("each", None, "who").await == given("a")).await;
    let long = "x".repeat((1 << 20) + 1);
    let told = asked.command(&["each", "-"], long.as_bytes()).await;
    told.assert_failed(65, "forebay: the request has more than 1048576 bytes");
    end(asked.node).await;
}

async fn any_node_is_asked_for_stages_of_all(world: World) {
    let nodes: Vec<_> = ABC.iter().enumerate().map(|(at, name)| Asked::start(&world, name, &ABC[..at])).collect();
    for asked in &nodes {
        for name in ABC {
            until("each node's instance is reached", async || {
                asked.ask("each", Some(name), "who").await == given(name)
            })
            .await;
        }
        until("the owner is reached", async || matches!(asked.ask("one", None, "who").await, Ok(Called::Given(_))))
            .await;
    }
    let own = nodes[1].ask("each", None, "who").await;
    assert_eq!(own, given("b"), "that of the node asked, if no other is named");
    let owners = async || {
        let mut owners = Vec::new();
        for asked in &nodes {
            owners.push(asked.ask("one", None, "who").await);
        }
        owners
    };
    until("all agree on the owner", async || {
        let owners = owners().await;
        owners[0].is_ok() && owners.iter().all(|owner| *owner == owners[0])
    })
    .await;
    let owner = owners().await.remove(0);
    let other = ABC.into_iter().find(|name| given(name) != owner).unwrap();
    let told = nodes[0].ask("one", Some(other), "who").await.unwrap();
    assert_eq!(told, Called::NotMade(format!("p/one does not run on {other} just now")));
    let refused = nodes[0].ask("each", Some("c"), "what").await;
    assert_eq!(refused, Ok(Called::Refused("unknown request: what".to_owned())), "of another node, too");
}

in_both_modes!(any_node_is_asked_for_stages_of_all,);
