//! Who gets which events across nodes: broadcast, partitions, topics, and slow consumers among quick ones.

use std::{collections::HashMap, sync::Mutex};

use forebay::{node::admin, runtime::native::inbox};
use forebay_proto::batch::{BatchLimits, Columns};

use super::{resume::movable, *};
use crate::process::{forebay, run_with_input};

/// An event as a consumer saw it.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Seen {
    node: String,
    stage: String,
    source: String,
    topic: Option<String>,
    key: String,
    text: String,
    attempt: u32,
}

/// What all consumers of a test saw, in this order.
#[derive(Clone, Debug, Default)]
struct Book(Arc<Mutex<Vec<Seen>>>);

impl Book {
    /// A consumer that notes what it gets, after a pause for each batch.
    fn reader(&self, pause: Duration) -> Arc<dyn Plugin> {
        let book = self.clone();
        Native::consumer("reader", move |spec| {
            let (book, node, stage) = (book.clone(), spec.node.to_string(), spec.stage.to_string());
            Ok(move |delivery: GuestDelivery| {
                std::thread::sleep(pause);
                book.0.lock().unwrap().extend(delivery.events.iter().map(|event| Seen {
                    node: node.clone(),
                    stage: stage.clone(),
                    source: delivery.source.to_string(),
                    topic: event.topic.map(str::to_owned),
                    key: String::from_utf8_lossy(event.key).into_owned(),
                    text: String::from_utf8_lossy(event.payload).into_owned(),
                    attempt: delivery.attempt,
                }));
                Ok(Vec::new())
            })
        })
    }

    fn all(&self) -> Vec<Seen> {
        self.0.lock().unwrap().clone()
    }

    fn of(&self, stage: &str, node: &str) -> Vec<Seen> {
        self.all().into_iter().filter(|seen| seen.stage == stage && seen.node == node).collect()
    }

    fn count(&self, stage: &str) -> usize {
        self.0.lock().unwrap().iter().filter(|seen| seen.stage == stage).count()
    }
}

/// Numbers with their last digit as the key.
fn keyed(limit: u64) -> Arc<dyn Plugin> {
    Native::producer("keyed", move |_| {
        let mut next = 0;
        Ok(move |demand: u32| {
            let mut columns = Columns::default();
            while next < limit && columns.ends.len() < demand as usize {
                columns.payloads.extend_from_slice(next.to_string().as_bytes());
                columns.ends.push(columns.payloads.len() as u32);
                columns.keys.extend_from_slice((next % 10).to_string().as_bytes());
                columns.key_ends.push(columns.keys.len() as u32);
                next += 1;
            }
            Ok(Batch::new(columns, &BatchLimits::default()).unwrap().into())
        })
    })
}

fn numbers(world: &World, dispatcher: &str, source: Arc<dyn Plugin>, gate: &Gate) -> LoadedPipeline {
    let text = numbers_with(dispatcher, "", (50, 25));
    pipeline(&text, [("counter", source), ("sink", sink(&world.log, gate))])
}

/// What each node's sink took, first deliveries only, in order.
fn firsts(log: &Log, node: &str) -> Vec<u64> {
    took(&log.entries()).filter(|took| took.node == node && took.attempt == 1).map(|took| took.number).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_that_broadcasts_gives_every_event_to_every_node() {
    const LIMIT: u64 = 1000;
    let (world, gate) = (World::new(), Gate::open());
    let mut nodes = Vec::new();
    for (index, name) in ABC.into_iter().enumerate() {
        let numbers = numbers(&world, r#"dispatcher = "broadcast""#, counter(&world.log, LIMIT), &gate);
        nodes.push(world.start(name, &ABC[..index], numbers));
    }
    let everything: Vec<_> = (0..LIMIT).collect();
    world
        .log
        .until("all have all", |entries| {
            ABC.iter().all(|name| took(entries).filter(|took| took.node == *name).count() >= LIMIT as usize)
        })
        .await;
    for name in ABC {
        assert_eq!(firsts(&world.log, name), everything, "{name}: each once, in order");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_takeover_of_one_that_broadcasts_costs_no_node_an_event() {
    let (world, gate) = (World::of_quorum(), Gate::open());
    let mut nodes = BTreeMap::new();
    let keys = "dispatcher = \"broadcast\"\ncheckpoint = \"50ms\"";
    for (index, name) in ABC.into_iter().enumerate() {
        let numbers = numbers(&world, keys, movable(&world.log, u64::MAX, None), &gate);
        nodes.insert(name, world.start(name, &ABC[..index], numbers));
    }
    until_all_vote(nodes.values()).await;
    let (owner, old) = world.log.owner(0).await;
    world.log.taken_by(0, &ABC, old).await;
    let mark = world.log.mark();
    drop(nodes.remove(&*owner).unwrap());
    let (_, new) = world.log.owner(mark).await;
    let left: Vec<_> = ABC.into_iter().filter(|name| *name != owner).collect();
    world.log.taken_by(mark, &left, new).await;
    let mark = world.log.mark();
    let later = |entries: &[Entry], name: &str| took(&entries[mark..]).filter(|took| took.node == name).count() >= 200;
    world.log.until("the successor goes on", |entries| left.iter().all(|name| later(entries, name))).await;
    for name in left {
        let entries = world.log.entries();
        let all: BTreeSet<_> = took(&entries).filter(|took| took.node == name).map(|took| took.number).collect();
        let last = *all.last().unwrap();
        let missing: Vec<_> = (0..last).filter(|number| !all.contains(number)).collect();
        assert!(missing.is_empty(), "{name} was at {last} and never got {missing:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn partitions_are_shared_out_over_the_nodes_and_each_key_keeps_its_order() {
    const LIMIT: u64 = 3000;
    let (world, book) = (World::new(), Book::default());
    let keys = r#"dispatcher = { kind = "partition", by = "key", partitions = 12 }"#;
    let text = numbers_with(keys, "", (50, 25));
    let mut nodes = Vec::new();
    for (index, name) in ABC.into_iter().enumerate() {
        let reader = book.reader(Duration::from_millis(2));
        nodes.push(world.start(name, &ABC[..index], pipeline(&text, [("counter", keyed(LIMIT)), ("sink", reader)])));
    }
    until("all have come", async || book.count("sink") >= LIMIT as usize).await;
    let seen = book.all();
    let texts: BTreeSet<_> = seen.iter().map(|seen| seen.text.parse::<u64>().unwrap()).collect();
    assert_eq!((texts.len(), seen.len()), (LIMIT as usize, LIMIT as usize), "each once");
    let mut last: HashMap<&str, u64> = HashMap::new();
    for event in &seen {
        let number = event.text.parse().unwrap();
        let before = last.insert(&event.key, number);
        assert!(before.is_none_or(|before| before < number), "of key {} {number} came after {before:?}", event.key);
    }
    for name in ABC {
        assert!(!book.of("sink", name).is_empty(), "{name} has no share");
    }
}

const TOPICS: &str = include_str!("../../../../examples/topics/pipeline.toml");

/// Galena's example: two producers that are pushed into from outside, three consumers on three nodes.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_consumer_gets_the_topics_it_selects_wherever_it_runs() {
    let (world, book) = (World::of_quorum(), Book::default());
    let stages = [("a", "europe"), ("b", "alarms"), ("c", "archive")];
    let (mut nodes, mut desk) = (Vec::new(), None);
    for (index, (name, label)) in stages.into_iter().enumerate() {
        let plugin = |stage| {
            let builtin = stage == "orders" || stage == "weather";
            (stage, if builtin { inbox() } else { book.reader(Duration::ZERO) })
        };
        let loaded = pipeline(TOPICS, ["orders", "weather", "europe", "alarms", "archive"].map(plugin));
        let labels = BTreeSet::from([label.to_owned()]);
        let node = Node::start(NodeOptions { labels, ..world.joining(name, &ABC[..index], loaded) });
        if name == "c" {
            let data = tempfile::tempdir().unwrap();
            let admin = admin::bind(data.path()).unwrap().serve(node.desk());
            desk = Some((data, admin));
        }
        nodes.push(node);
    }
    let (data, _admin) = desk.unwrap();
    until_all_vote(&nodes).await;
    let subscribed = |entries: &[Entry]| {
        events(entries).filter(|(_, event)| matches!(event, NodeEvent::Subscribed { .. })).count() >= 5
    };
    world.log.until("all have subscribed", subscribed).await;
    let pushed = [
        ("orders", "orders.eu.new", "1"),
        ("weather", "weather.storm", "2"),
        ("orders", "orders.us.new", "3"),
        ("orders", "orders.us.cancelled", "4"),
        ("weather", "weather.sun", "5"),
        ("orders", "orders.eu.cancelled", "6"),
    ];
    for (stage, topic, text) in pushed {
        let command = forebay(["ingest", stage, "--topic", topic, "--data", data.path().to_str().unwrap()]);
        let done = tokio::task::spawn_blocking(move || run_with_input(command, Some(text.as_bytes()))).await.unwrap();
        done.assert_done();
    }
    until("all have come", async || {
        book.count("archive") == 6 && book.count("alarms") == 3 && book.count("europe") == 2
    })
    .await;
    let got = |stage, node| {
        let seen = book.of(stage, node).into_iter().map(|seen| (seen.source, seen.topic.unwrap(), seen.text));
        let mut seen: Vec<_> = seen.collect();
        seen.sort_by(|one, other| one.2.cmp(&other.2));
        seen
    };
    let of = |numbers: &[&str]| -> Vec<_> {
        let chosen = pushed.iter().filter(|(_, _, text)| numbers.contains(text));
        chosen.map(|(stage, topic, text)| (stage.to_string(), topic.to_string(), text.to_string())).collect()
    };
    assert_eq!(got("europe", "a"), of(&["1", "6"]));
    assert_eq!(got("alarms", "b"), of(&["2", "4", "6"]));
    assert_eq!(got("archive", "c"), of(&["1", "2", "3", "4", "5", "6"]));
    for node in nodes {
        end(node).await;
    }
    assert_eq!(book.all().len(), 11, "nobody got what it did not select: {:?}", book.all());
}

/// One source with a slow consumer and a quick one.
fn slow_and_quick(source: &str, slow: &str, book: &Book) -> LoadedPipeline {
    let text = format!(
        "name = \"p\"\n\
         [stages.counter]\nplugin = \"native\"\n{source}\n\
         [stages.slow]\nplugin = \"native\"\n\
         subscribe = [{{ to = \"counter\", max_demand = 10, min_demand = 5{slow} }}]\n\
         [stages.quick]\nplugin = \"native\"\n\
         subscribe = [{{ to = \"counter\", max_demand = 10, min_demand = 5 }}]\n"
    );
    let (slow, quick) = (book.reader(Duration::from_millis(50)), book.reader(Duration::ZERO));
    pipeline(&text, [("counter", counter(&Log::new(), u64::MAX)), ("slow", slow), ("quick", quick)])
}

/// How many events the slow one takes while the quick one takes so many.
async fn slow_while_quick_takes(quick: usize, source: &str, slow: &str) -> usize {
    let (world, book) = (World::new(), Book::default());
    let _node = world.start("a", &[], slow_and_quick(source, slow, &book));
    // Who has not subscribed yet is not waited for.
    until("both have begun", async || book.count("slow") > 0 && book.count("quick") > 0).await;
    let slow_had = book.count("slow");
    let quick_had = book.count("quick");
    until("the quick one has taken them", async || book.count("quick") >= quick_had + quick).await;
    book.count("slow") - slow_had
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_slow_consumer_holds_up_its_siblings_as_the_dispatcher_says() {
    let by_demand = slow_while_quick_takes(5000, "", "").await;
    assert!(by_demand < 2500, "it took {by_demand} while the other took 5000");
    // Broadcast goes at its pace, but for what it may have open.
    let in_step = slow_while_quick_takes(60, r#"dispatcher = "broadcast""#, "").await;
    assert!(in_step >= 60 - 20, "it took {in_step} while the other took 60");
    let dropping = slow_while_quick_takes(5000, r#"dispatcher = "broadcast""#, r#", when_full = "drop-oldest""#).await;
    assert!(dropping < 2500, "it took {dropping} while the other took 5000");
}
