//! Looking at stages of running nodes: `forebay tap`, `record` and `replay`, on one node and between several.

use std::path::Path;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use forebay::node::admin::{self, Tap, Tapped};
use forebay_proto::{
    batch::BatchLimits,
    taps::{Answer, Answered, Counts, Entry, Follower, Given, Heard, Kinds},
    wire::{self, Frame},
};

use super::*;
use crate::process::{Outcome, Process, forebay, json_lines, prebuilt, run};

/// Reads a stage by way of some node.
struct Reader {
    stage: &'static str,
    on: Option<&'static str>,
    follower: Follower,
}

/// What a reader was told, in order.
#[derive(Debug, Default)]
struct Told {
    /// Runs it has met, and on which nodes.
    runs: Vec<(String, Epoch)>,
    /// The numbers of events that the stage emitted or was given.
    numbers: Vec<u64>,
    missed: Counts,
}

impl Reader {
    fn new(stage: &'static str, on: Option<&'static str>, kinds: Kinds) -> Self {
        Self { stage, on, follower: Follower::new(kinds) }
    }

    /// Asks for a page, and adds what it says.
    async fn poll(&mut self, by: &Node, told: &mut Told) {
        let (at, kinds) = self.follower.asks();
        let (stage, on) = (self.stage.to_owned(), self.on.map(str::to_owned));
        let asked = Tap { stage, node: on, kinds: kinds.bits(), run: at.run, next: at.next, wait_ms: 100 };
        let (node, page) = match by.desk().tap(asked).await.unwrap() {
            Tapped::Page { node, page, .. } => (node, page),
            Tapped::NotThere(_) => return tokio::time::sleep(Duration::from_millis(20)).await,
        };
        let limits = BatchLimits { events_max: u32::MAX, bytes_max: u32::MAX };
        let frame = wire::decode(&STANDARD.decode(page).unwrap().into(), &limits);
        let Ok(Frame::TapTold(Answer::Page(page))) = frame else { panic!("{frame:?}") };
        for heard in self.follower.take(*page) {
            match heard {
                Heard::Began(about) => told.runs.push((node.clone(), about.epoch)),
                Heard::Missed(missed) => told.missed = told.missed.and(missed),
                Heard::Entry(Entry::Answered(Answered::Done { first, events, .. })) => {
                    told.numbers.extend((first.0..).take(events.len()));
                }
                Heard::Entry(Entry::Given(Given::Events { runs, .. })) => {
                    told.numbers.extend(runs.iter().flat_map(|run| run.first.0..run.end().0));
                }
                Heard::Entry(_) => {}
            }
        }
    }

    /// Until what was told is enough.
    async fn until(&mut self, by: &Node, told: &mut Told, what: &str, is_enough: impl Fn(&Told) -> bool) {
        let reading = async {
            while !is_enough(told) {
                self.poll(by, told).await;
            }
        };
        let done = tokio::time::timeout(PATIENCE, reading).await;
        assert!(done.is_ok(), "waited in vain for {what}: {told:?}");
    }
}

/// Consecutive numbers.
#[track_caller]
fn assert_row(numbers: &[u64]) {
    let gap = numbers.windows(2).find(|pair| pair[1] != pair[0] + 1);
    assert_eq!(gap, None, "{numbers:?}");
}

async fn an_owner_is_looked_at_by_way_of_another_node_and_followed_when_it_moves(world: World) {
    let gate = Gate::open();
    let mut nodes = world.start_three(&gate).await;
    let (owner, epoch) = world.log.owner(0).await;
    let other = ABC.into_iter().find(|name| *name != owner).unwrap();
    let (mut reader, mut told) = (Reader::new("counter", None, Kinds::ANSWERED), Told::default());
    reader.until(&nodes[other], &mut told, "events", |told| told.numbers.len() >= 50).await;
    assert_eq!(told.runs, [(owner.clone(), epoch)]);
    assert_eq!(told.missed, Counts::default());
    assert_row(&told.numbers);
    assert!(told.numbers[0] > 0, "it has begun to look in the middle");
    // Killed: it says nothing.
    drop(nodes.remove(owner.as_str()));
    reader.until(&nodes[other], &mut told, "the next owner", |told| told.runs.len() >= 2).await;
    let (next, later) = told.runs[1].clone();
    assert!(next != owner && later > epoch, "{:?}", told.runs);
    told.numbers.clear();
    reader.until(&nodes[other], &mut told, "its events", |told| told.numbers.len() >= 20).await;
    assert_row(&told.numbers);
}

async fn consumers_of_a_stage_that_is_looked_at_get_every_event_once(world: World) {
    const LIMIT: u64 = 400;
    let gate = Gate::open();
    gate.set(false);
    let _open = OpenAtEnd(&gate);
    let numbers = || pipeline(NUMBERS, [("counter", counter(&world.log, LIMIT)), ("sink", sink(&world.log, &gate))]);
    let _a = world.start("a", &[], numbers());
    let (_, epoch) = world.log.owner(0).await;
    let b = world.start("b", &["a"], numbers());
    for node in ["a", "b"] {
        world.log.subscribed(node, epoch).await;
    }
    let mut emitted = (Reader::new("numbers/counter", None, Kinds::ANSWERED), Told::default());
    let mut given = (Reader::new("sink", Some("a"), Kinds::GIVEN), Told::default());
    emitted.0.until(&b, &mut emitted.1, "the counter", |told| !told.runs.is_empty()).await;
    given.0.until(&b, &mut given.1, "the sink of a", |told| !told.runs.is_empty()).await;
    gate.set(true);
    let all = |entries: &[super::Entry]| took(entries).count() as u64 >= LIMIT;
    while !all(&world.log.entries()) {
        emitted.0.poll(&b, &mut emitted.1).await;
        given.0.poll(&b, &mut given.1).await;
    }
    emitted.0.until(&b, &mut emitted.1, "the last", |told| told.numbers.last() == Some(&(LIMIT - 1))).await;
    let entries = world.log.entries();
    assert_eq!(counts(&entries, epoch), (0..LIMIT).map(|number| (number, 1)).collect());
    assert_row(&emitted.1.numbers);
    let of_a = took(&entries).filter(|took| took.node == "a").map(|took| took.number).collect::<Vec<_>>();
    given.0.until(&b, &mut given.1, "the last of a", |told| told.numbers.last() == of_a.last()).await;
    assert!(of_a.ends_with(&given.1.numbers), "{of_a:?} end with {:?}", given.1.numbers);
    assert_eq!((emitted.1.missed, given.1.missed), (Counts::default(), Counts::default()));
}

in_both_modes! {
    an_owner_is_looked_at_by_way_of_another_node_and_followed_when_it_moves,
    consumers_of_a_stage_that_is_looked_at_get_every_event_once,
}

/// 200 events of half a megabyte, of which a ring keeps 30.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_reader_that_is_slow_misses_events_and_is_told_how_many_and_slows_nobody() {
    const LIMIT: u64 = 200;
    let (world, taken) = (World::new(), Arc::new(AtomicU64::new(0)));
    let begin = Arc::new(AtomicBool::new(false));
    let may = Arc::clone(&begin);
    let large = Native::producer("large", move |_| {
        let (mut left, may) = (LIMIT, Arc::clone(&may));
        Ok(move |demand: u32| {
            // One by one until somebody looks.
            let wanted = if may.load(Ordering::Relaxed) { left.min(demand.into()) } else { u64::from(left == LIMIT) };
            left -= wanted;
            Ok(Batch::from_payloads((0..wanted).map(|_| vec![b'x'; 1 << 19])).into())
        })
    });
    let counted = Arc::clone(&taken);
    let sink = Native::consumer("sink", move |_| {
        let taken = Arc::clone(&counted);
        Ok(move |delivery: GuestDelivery| {
            taken.fetch_add(delivery.events.len() as u64, Ordering::Relaxed);
            Ok(Vec::new())
        })
    });
    let node = world.start("a", &[], pipeline(NUMBERS, [("counter", large), ("sink", sink)]));
    until("one is taken", async || taken.load(Ordering::Relaxed) == 1).await;
    let (mut reader, mut told) = (Reader::new("counter", None, Kinds::ALL), Told::default());
    reader.until(&node, &mut told, "the stage", |told| !told.runs.is_empty()).await;
    begin.store(true, Ordering::Relaxed);
    // One entry, so that it is known from where on the rest is missed.
    reader.until(&node, &mut told, "one entry", |told| !told.numbers.is_empty()).await;
    until("all are taken", async || taken.load(Ordering::Relaxed) == LIMIT).await;
    reader.until(&node, &mut told, "the last", |told| told.numbers.last() == Some(&(LIMIT - 1))).await;
    assert!(told.missed.emitted > 0, "{told:?}");
    assert_eq!(told.numbers[0] + told.numbers.len() as u64 + told.missed.emitted, LIMIT, "{told:?}");
    end(node).await;
}

/// A node that is asked by commands.
struct Asked {
    node: Node,
    data: tempfile::TempDir,
    _admin: admin::AdminSocket,
}

impl Asked {
    fn start(world: &World, node: &str, join: &[&str], loaded: LoadedPipeline) -> Self {
        let data = tempfile::tempdir().unwrap();
        let admin = admin::bind(data.path()).unwrap();
        let node = Node::start(world.joining(node, join, loaded));
        let admin = admin.serve(node.desk());
        Self { node, data, _admin: admin }
    }

    fn args<'a>(&'a self, args: &[&'a str]) -> Vec<&'a str> {
        let data: &Path = self.data.path();
        args.iter().copied().chain(["--data", data.to_str().unwrap()]).collect()
    }

    async fn command(&self, args: &[&str]) -> Outcome {
        command(&self.args(args)).await
    }
}

async fn command(args: &[&str]) -> Outcome {
    let command = forebay(args);
    tokio::task::spawn_blocking(move || run(command)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_command_shows_events_as_text_and_as_json() {
    let (world, gate) = (World::new(), Gate::open());
    let asked = Asked::start(&world, "a", &[], world.numbers(&gate));
    let (_, epoch) = world.log.owner(0).await;
    world.log.subscribed("a", epoch).await;
    let done = asked.command(&["tap", "counter", "--events", "7"]).await;
    done.assert_done();
    let lines: Vec<_> = done.stdout.lines().collect();
    assert_eq!(lines.len(), 7, "{done:#?}");
    let number: u64 = lines[0].rsplit(' ').next().unwrap().parse().unwrap();
    for (line, number) in lines.iter().zip(number..) {
        assert_eq!(*line, format!("counter {epoch}:{number}  {number}"));
    }
    assert!(done.stderr.starts_with(&format!("-- numbers/counter on a, a producer, epoch {epoch}\n")), "{done:#?}");
    assert!(done.stderr.ends_with("-- 7 events, 0 missed\n"), "{done:#?}");
    let done = asked.command(&["tap", "sink", "--events", "3", "--output", "json"]).await;
    done.assert_done();
    let lines = json_lines(&done.stdout);
    assert_eq!((lines[0]["what"].as_str(), lines[0]["role"].as_str()), (Some("following"), Some("consumer")));
    assert_eq!(lines.len(), 4, "{done:#?}");
    for line in &lines[1..] {
        let told = ["what", "node", "side", "source"].map(|field| line[field].as_str().unwrap());
        assert_eq!(told, ["event", "a", "given", "counter"]);
        assert_eq!(line["payload"], line["seq"].to_string());
        assert_eq!((line["attempt"].as_u64(), line["epoch"].as_str()), (Some(1), Some(&*epoch.to_string())));
    }
    let failed = asked.command(&["tap", "nobody"]).await;
    failed.assert_failed(69, "forebay: a knows no stage `nobody`; its stages are: numbers/counter, numbers/sink");
    asked.command(&["tap", "sink", "--node", "x"]).await.assert_failed(69, "forebay: a knows of no node `x`");
    end(asked.node).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_command_ends_after_its_time_and_on_a_signal() {
    let (world, gate) = (World::new(), Gate::open());
    let asked = Asked::start(&world, "a", &[], world.numbers(&gate));
    world.log.owner(0).await;
    let began = Instant::now();
    asked.command(&["tap", "counter", "--for", "500ms"]).await.assert_done();
    assert!(began.elapsed() >= Duration::from_millis(500));
    let mut process = Process::start(forebay(asked.args(&["tap", "counter"])));
    let process = tokio::task::spawn_blocking(move || {
        process.stdout_line(|line| line.starts_with("counter "));
        process
    });
    let process = process.await.unwrap();
    tokio::task::spawn_blocking(move || process.end("-INT")).await.unwrap();
    end(asked.node).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn instances_of_a_stage_are_shown_of_one_node_or_of_all() {
    let (world, gate) = (World::new(), Gate::open());
    let a = Asked::start(&world, "a", &[], world.numbers(&gate));
    let (_, epoch) = world.log.owner(0).await;
    let b = Asked::start(&world, "b", &["a"], world.numbers(&gate));
    world.log.taken_by(0, &["a", "b"], epoch).await;
    let nodes = async |args: &[&str]| {
        let done = a.command(&[&["tap", "sink", "--output", "json"], args].concat()).await;
        done.assert_done();
        let lines = json_lines(&done.stdout);
        let events = lines.into_iter().filter(|line| line["what"] == "event");
        events.map(|line| line["node"].as_str().unwrap().to_owned()).collect::<BTreeSet<_>>()
    };
    assert_eq!(nodes(&["--events", "5"]).await, ["a".to_owned()].into(), "that of the node asked");
    assert_eq!(nodes(&["--events", "5", "--node", "b"]).await, ["b".to_owned()].into());
    assert_eq!(nodes(&["--for", "2s", "--all-nodes"]).await, ["a".to_owned(), "b".to_owned()].into());
    end(b.node).await;
    end(a.node).await;
}

const DOUBLED: &str = r#"
    name = "doubled"
    [stages.counter]
    plugin = "native"
    [stages.double]
    plugin = "wasm"
    subscribe = [{ to = "counter", max_demand = 10, min_demand = 5 }]
    [stages.tally]
    plugin = "wasm"
    subscribe = [{ to = "double", max_demand = 20, min_demand = 10 }]
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_is_recorded_is_replayed_alike_with_the_same_plugin_and_not_with_another() {
    let world = World::new();
    let (double, tally) = (crate::plugins::plugin("double").await, crate::plugins::plugin("tally").await);
    let slow = Native::producer("counter", |_| {
        let mut next = 0;
        Ok(move |demand: u32| {
            std::thread::sleep(Duration::from_millis(2));
            let numbers = next..next + u64::from(demand);
            next = numbers.end;
            Ok(of_numbers(numbers).into())
        })
    });
    let asked =
        Asked::start(&world, "a", &[], pipeline(DOUBLED, [("counter", slow), ("double", double), ("tally", tally)]));
    let file = |name: &str| asked.data.path().join(name).display().to_string();
    let (doubled, tallied) = (file("doubled"), file("tallied"));
    let done = asked.command(&["record", "double", "--out", &doubled, "--events", "60"]).await;
    done.assert_done();
    assert!(done.stderr.contains(&format!("events in {doubled}, 0 missed")), "{done:#?}");
    let head = &json_lines(&std::fs::read_to_string(&doubled).unwrap())[0];
    let digest = crate::plugins::plugin("double").await.digest().to_owned();
    assert_eq!((head["what"].as_str(), head["version"].as_u64()), (Some("recording"), Some(1)));
    assert_eq!((head["stage"].as_str(), head["plugin"].as_str()), (Some("double"), Some(&*digest)));
    let again = asked.command(&["record", "double", "--out", &doubled]).await;
    again.assert_failed(73, &format!("forebay: {doubled} is there already"));
    asked.command(&["record", "tally", "--out", &tallied, "--events", "40"]).await.assert_done();
    end(asked.node).await;

    let plugin = |name: &str| prebuilt(name).display().to_string();
    let replay = async |file: &str, name: &str, more: &[&str]| {
        command(&[&["replay", file, "--plugin", &plugin(name)], more].concat()).await
    };
    let same = replay(&doubled, "double", &[]).await;
    same.assert_done();
    assert!(same.stdout.contains("calls replayed, 0 of them answered differently"), "{same:#?}");
    let other = replay(&doubled, "misbehaving-relay", &[]).await;
    assert_eq!(other.code, Some(1), "{other:#?}");
    assert!(other.stdout.contains("\n--- recorded\n+++ replayed\n@@ "), "{other:#?}");
    assert!(other.stdout.contains("\n-event {\"payload\":\""), "{other:#?}");
    let other = replay(&doubled, "misbehaving-relay", &["--output", "json"]).await;
    let lines = json_lines(&other.stdout);
    let (last, first) = (lines.last().unwrap(), &lines[0]);
    assert_eq!((first["what"].as_str(), last["what"].as_str()), (Some("different"), Some("replayed")));
    assert_eq!(last["different"].as_u64(), Some(lines.len() as u64 - 1));
    let tally = replay(&tallied, "tally", &[]).await;
    tally.assert_done();
    assert!(!tally.stdout.starts_with("0 calls"), "{tally:#?}");
    let role = replay(&tallied, "double", &[]).await;
    role.assert_failed(
        65,
        &format!("forebay: {} is a producer-consumer, but what was recorded is a consumer", plugin("double")),
    );
}

/// Of a plugin with a state: a recording that begins in the middle is replayed from the first state in it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_producer_with_a_state_is_replayed_from_there() {
    let world = World::new();
    let text = NUMBERS.replace("poll = \"10ms\"", "poll = \"10ms\"\ncheckpoint = \"100ms\"");
    let counter = crate::plugins::plugin("counter").await;
    let loaded = pipeline(&text, [("counter", counter), ("sink", sink(&world.log, &Gate::open()))]);
    let asked = Asked::start(&world, "a", &[], loaded);
    world.log.until("some are taken", |entries| took(entries).count() > 20).await;
    let file = asked.data.path().join("counted").display().to_string();
    asked.command(&["record", "counter", "--out", &file, "--events", "200"]).await.assert_done();
    end(asked.node).await;
    let states = json_lines(&std::fs::read_to_string(&file).unwrap());
    let states = states.iter().filter(|line| line["what"] == "state").count();
    assert!(states > 0, "none in the recording");
    let counter = prebuilt("counter").display().to_string();
    let same = command(&["replay", &file, "--plugin", &counter]).await;
    same.assert_done();
    assert!(same.stdout.contains("calls left out"), "those before the first state: {same:#?}");
}
