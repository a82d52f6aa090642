//! What survives the loss of a node: how far a source is, and what a stage in between holds.

use std::sync::Mutex;

use forebay::runtime::{Output, Role, StageError, native::Resumable};

use super::*;

/// Counts, and can be moved.
struct Counter {
    log: Log,
    node: String,
    next: u64,
    limit: u64,
    /// Panics in the call that would emit this number, once.
    trap: Option<Arc<AtomicU64>>,
}

impl Resumable for Counter {
    fn handle_demand(&mut self, demand: u32) -> Result<Produced, StageError> {
        // As slow as an outside world.
        std::thread::sleep(Duration::from_millis(1));
        let numbers = self.next..self.limit.min(self.next + u64::from(demand));
        if let Some(trap) = &self.trap
            && numbers.contains(&trap.load(Ordering::Relaxed))
        {
            trap.store(u64::MAX, Ordering::Relaxed);
            panic!("told to fail");
        }
        self.next = numbers.end;
        for number in numbers.clone() {
            self.log.push(Entry::Emitted { node: self.node.clone(), number });
        }
        Ok(of_numbers(numbers).into())
    }

    fn snapshot(&mut self) -> Result<Vec<u8>, String> {
        Ok(self.next.to_le_bytes().into())
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), String> {
        self.next = u64::from_le_bytes(snapshot.try_into().map_err(|_| "expected 8 bytes")?);
        Ok(())
    }
}

pub(super) fn movable(log: &Log, limit: u64, trap: Option<u64>) -> Arc<dyn Plugin> {
    let (log, trap) = (log.clone(), trap.map(|at| Arc::new(AtomicU64::new(at))));
    Native::resumable("counter", move |spec| {
        let (log, node, trap) = (log.clone(), spec.node.to_string(), trap.clone());
        Ok(Counter { log, node, next: 0, limit, trap })
    })
}

/// With a checkpoint so often that tests need not wait for it.
fn often() -> String {
    numbers_with(r#"checkpoint = "50ms""#, "", (5, 0))
}

/// All numbers taken in an epoch, in the order they came.
fn of_epoch(log: &Log, epoch: Epoch) -> Vec<u64> {
    took(&log.entries()).filter(|took| took.epoch == epoch).map(|took| took.number).collect()
}

async fn until_number(log: &Log, number: u64) {
    log.until("numbers come", |entries| took(entries).any(|took| took.number >= number)).await;
}

/// Three nodes, each with a sink that has subscribed to the one counter.
async fn start_abc(world: &World, gate: &Gate) -> BTreeMap<&'static str, Node> {
    let mut nodes = BTreeMap::new();
    for (index, name) in ABC.into_iter().enumerate() {
        let numbers =
            pipeline(&often(), [("counter", movable(&world.log, u64::MAX, None)), ("sink", sink(&world.log, gate))]);
        nodes.insert(name, world.start(name, &ABC[..index], numbers));
        let (_, epoch) = world.log.owner(0).await;
        world.log.subscribed(name, epoch).await;
    }
    nodes
}

async fn start_voting_abc(world: &World, gate: &Gate) -> BTreeMap<&'static str, Node> {
    let nodes = start_abc(world, gate).await;
    until_all_vote(nodes.values()).await;
    nodes
}

/// Kills the owner: its successor repeats what was not on record, and leaves nothing out.
async fn lose_the_owner(world: &World, mut nodes: BTreeMap<&'static str, Node>) {
    let (owner, old) = world.log.owner(0).await;
    until_number(&world.log, 300).await;
    let mark = world.log.mark();
    drop(nodes.remove(&*owner).unwrap());
    let (_, new) = world.log.owner(mark).await;
    world.log.until("the successor has emitted", |entries| counts(entries, new).len() >= 50).await;
    let (before, after) = (of_epoch(&world.log, old), of_epoch(&world.log, new));
    let (first, highest) = (*after.iter().min().unwrap(), *before.iter().max().unwrap());
    assert!(first > 0, "it did not start over");
    assert!(first <= highest + 1, "{first} follows {highest}: nothing is left out");
    let missing: Vec<_> = (0..first).filter(|number| !before.contains(number)).collect();
    assert!(missing.is_empty(), "recorded as settled, and taken by nobody: {missing:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_successor_goes_on_from_the_last_checkpoint() {
    let (world, gate) = (World::of_quorum(), Gate::open());
    let nodes = start_voting_abc(&world, &gate).await;
    lose_the_owner(&world, nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_owner_that_leaves_in_good_order_repeats_nothing() {
    let (world, gate) = (World::of_quorum(), Gate::open());
    let mut nodes = start_voting_abc(&world, &gate).await;
    let (owner, old) = world.log.owner(0).await;
    until_number(&world.log, 200).await;
    let mark = world.log.mark();
    end(nodes.remove(&*owner).unwrap()).await;
    let (_, new) = world.log.owner(mark).await;
    world.log.until("the successor has emitted", |entries| counts(entries, new).len() >= 50).await;
    let (before, after) = (of_epoch(&world.log, old), of_epoch(&world.log, new));
    assert_eq!(*after.iter().min().unwrap(), before.iter().max().unwrap() + 1, "the very next number");
    assert_eq!(counts(&world.log.entries(), old).len(), before.len(), "each once");
}

/// Nobody but the peers knows how far it was, and in which state.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_successor_of_an_island_goes_on_from_what_its_peers_have_told() {
    let (world, gate) = (World::new(), Gate::open());
    let nodes = start_abc(&world, &gate).await;
    lose_the_owner(&world, nodes).await;
}

async fn a_source_that_fails_goes_on_from_its_last_checkpoint(world: World) {
    const LIMIT: u64 = 400;
    let gate = Gate::open();
    let numbers =
        pipeline(&often(), [("counter", movable(&world.log, LIMIT, Some(250))), ("sink", sink(&world.log, &gate))]);
    let node = world.start("a", &[], numbers);
    until_number(&world.log, LIMIT - 1).await;
    end(node).await;
    let entries = world.log.entries();
    let numbers: Vec<_> = took(&entries).map(|took| took.number).collect();
    let distinct: BTreeSet<_> = numbers.iter().copied().collect();
    assert_eq!(distinct, (0..LIMIT).collect(), "all came");
    assert!(numbers.len() < usize::try_from(LIMIT + 200).unwrap(), "it did not start over: {} taken", numbers.len());
    let epochs: BTreeSet<_> = took(&entries).map(|took| took.epoch).collect();
    assert_eq!(epochs.len(), 2);
}

in_both_modes!(a_source_that_fails_goes_on_from_its_last_checkpoint,);

const BETWEEN: &str = r#"
    name = "numbers"
    [stages.counter]
    plugin = "native"
    scope = "global"
    labels = ["source"]
    poll = "10ms"
    [stages.middle]
    plugin = "native"
    scope = "global"
    labels = ["middle"]
    ack = "ACK"
    checkpoint = "50ms"
    subscribe = [{ to = "counter", max_demand = 50, min_demand = 25 }]
    [stages.sink]
    plugin = "native"
    labels = ["sink"]
    subscribe = [{ to = "middle", max_demand = 5, min_demand = 0 }]
"#;

/// Who was said last to own a stage.
fn owner_of(entries: &[Entry], stage: &str) -> Option<String> {
    let owners = events(entries).filter_map(|(_, event)| match event {
        NodeEvent::Owner(claim) if claim.name.stage.as_str() == stage => Some(claim.node.to_string()),
        _ => None,
    });
    owners.last()
}

fn same() -> Arc<dyn Plugin> {
    Native::producer_consumer("same", |_| {
        Ok(|delivery: GuestDelivery| Ok(Output { events: delivery.events, ..Output::default() }))
    })
}

/// Numbers go from a over b to c; b dies while it holds some. Gives what was taken.
async fn lose_the_middle(ack: &str, middle: Arc<dyn Plugin>) -> BTreeSet<u64> {
    const LIMIT: u64 = 200;
    let (world, gate) = (World::of_quorum(), Gate::open());
    let _end = OpenAtEnd(&gate);
    let text = BETWEEN.replace("ACK", ack);
    let numbers = || {
        let plugins = [
            ("counter", counter(&world.log, LIMIT)),
            ("middle", Arc::clone(&middle)),
            ("sink", sink(&world.log, &gate)),
        ];
        pipeline(&text, plugins)
    };
    let labelled = |name: &str, join: &[&str], labels: &[&str]| {
        let labels = labels.iter().map(|label| (*label).to_owned()).collect();
        Node::start(NodeOptions { labels, ..world.joining(name, join, numbers()) })
    };
    let owner_of_middle = |entries: &[Entry]| owner_of(entries, "middle");
    let a = labelled("a", &[], &["source"]);
    let b = labelled("b", &["a"], &["middle"]);
    world.log.until("b has the middle", |entries| owner_of_middle(entries).is_some()).await;
    let c = labelled("c", &["a", "b"], &["sink", "middle"]);
    until_all_vote([&a, &b, &c]).await;
    until_number(&world.log, 20).await;
    gate.set(false);
    gate.holds().await;
    // What is under way fills every window.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let mark = world.log.mark();
    assert_eq!(owner_of_middle(&world.log.entries()).as_deref(), Some("b"));
    drop(b);
    gate.set(true);
    world.log.until("another has the middle", |entries| owner_of_middle(&entries[mark..]).is_some()).await;
    // By then all that can come has come.
    let settled = async {
        let mut last = 0;
        loop {
            tokio::time::sleep(Duration::from_millis(700)).await;
            let now = took(&world.log.entries()).count();
            if now == last {
                return;
            }
            last = now;
        }
    };
    tokio::time::timeout(PATIENCE, settled).await.expect("the numbers come to an end");
    drop((a, c));
    took(&world.log.entries()).map(|took| took.number).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_a_stage_in_between_holds_is_not_lost_with_it() {
    assert_eq!(lose_the_middle("late", same()).await, (0..200).collect());
}

/// So that the test above can fail: this is GenStage's way.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_a_stage_in_between_has_acknowledged_early_is_lost_with_it() {
    let taken = lose_the_middle("early", same()).await;
    assert!(taken.len() < 200, "some were on the way");
    assert!(taken.contains(&199), "it went on");
}

/// Collects numbers by tens and passes them on then: what it has so far is its state.
#[derive(Default)]
struct Tens(Vec<u64>);

impl Resumable for Tens {
    fn handle_events(&mut self, delivery: GuestDelivery) -> Result<Output, StageError> {
        self.0.extend(numbers_of(&delivery.events));
        let whole = self.0.len() - self.0.len() % 10;
        Ok(Output { events: of_numbers(self.0.drain(..whole)), ..Output::default() })
    }

    fn snapshot(&mut self) -> Result<Vec<u8>, String> {
        Ok(bytes_of(&self.0))
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), String> {
        self.0 = numbers_in(snapshot).collect();
        Ok(())
    }
}

fn bytes_of<'a>(numbers: impl IntoIterator<Item = &'a u64>) -> Vec<u8> {
    numbers.into_iter().flat_map(|number| number.to_le_bytes()).collect()
}

fn numbers_in(bytes: &[u8]) -> impl Iterator<Item = u64> {
    bytes.as_chunks().0.iter().map(|number| u64::from_le_bytes(*number))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_a_stage_keeps_over_several_calls_is_not_lost_with_it() {
    let tens = || Native::stateful("tens", Role::ProducerConsumer, |_| Ok(Tens::default()));
    // What comes twice is in it twice, and the last ten may wait for others.
    let whole: BTreeSet<_> = (0..190).collect();
    let late = lose_the_middle("late", tens()).await;
    assert!(late.is_superset(&whole), "lost: {:?}", whole.difference(&late));
    let early = lose_the_middle("early", tens()).await;
    assert!(!early.is_superset(&whole) && early.last() > Some(&150), "so that this can fail: {early:?}");
}

/// Knows which numbers it has seen, and tells.
struct Collector {
    seen: BTreeSet<u64>,
    told: Arc<Mutex<BTreeSet<u64>>>,
    /// Panics at this number, once.
    trap: Arc<AtomicU64>,
}

impl Resumable for Collector {
    fn handle_events(&mut self, delivery: GuestDelivery) -> Result<Output, StageError> {
        let numbers = numbers_of(&delivery.events);
        if numbers.contains(&self.trap.load(Ordering::Relaxed)) {
            self.trap.store(u64::MAX, Ordering::Relaxed);
            panic!("told to fail");
        }
        self.seen.extend(numbers);
        self.told.lock().unwrap().clone_from(&self.seen);
        Ok(Output::default())
    }

    fn snapshot(&mut self) -> Result<Vec<u8>, String> {
        Ok(bytes_of(&self.seen))
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), String> {
        self.seen = numbers_in(snapshot).collect();
        Ok(())
    }
}

const COLLECTED: &str = r#"
    name = "numbers"
    [stages.counter]
    plugin = "native"
    scope = "global"
    poll = "10ms"
    checkpoint = "50ms"
    [stages.collector]
    plugin = "native"
    scope = "global"
    checkpoint = "50ms"
    subscribe = [{ to = "counter", max_demand = 20, min_demand = 10 }]
"#;

/// A global consumer's node is killed, and its plugin fails once: what it knows in the end.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_a_consumer_knows_is_not_lost_with_it() {
    const LIMIT: u64 = 1500;
    let world = World::of_quorum();
    let (told, trap) = (Arc::new(Mutex::new(BTreeSet::new())), Arc::new(AtomicU64::new(700)));
    let collector = || {
        let (told, trap) = (Arc::clone(&told), Arc::clone(&trap));
        Native::stateful("collector", Role::Consumer, move |_| {
            Ok(Collector { seen: BTreeSet::new(), told: Arc::clone(&told), trap: Arc::clone(&trap) })
        })
    };
    let numbers = || pipeline(COLLECTED, [("counter", movable(&world.log, LIMIT, None)), ("collector", collector())]);
    let mut nodes = BTreeMap::new();
    for (index, name) in ABC.into_iter().enumerate() {
        nodes.insert(name.to_owned(), world.start(name, &ABC[..index], numbers()));
    }
    for node in nodes.values() {
        until_report(node, "all three vote", |report| votes(report) == 3 && !report.changing && report.holds).await;
    }
    let until = |number: u64| {
        let told = Arc::clone(&told);
        async move {
            let come = async {
                while !told.lock().unwrap().iter().any(|seen| *seen >= number) {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            tokio::time::timeout(PATIENCE, come).await.unwrap_or_else(|_| panic!("no number from {number} on"));
        }
    };
    until(300).await;
    let owner = owner_of(&world.log.entries(), "collector").unwrap();
    drop(nodes.remove(&owner).unwrap());
    told.lock().unwrap().clear();
    until(LIMIT - 1).await;
    assert_eq!(trap.load(Ordering::Relaxed), u64::MAX, "its plugin has failed");
    // What was given back when the plugin failed may come last.
    let all = async {
        while told.lock().unwrap().len() < usize::try_from(LIMIT).unwrap() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let come = tokio::time::timeout(Duration::from_secs(10), all).await;
    let missing: Vec<_> = (0..LIMIT).filter(|number| !told.lock().unwrap().contains(number)).collect();
    assert!(come.is_ok() && missing.is_empty(), "acknowledged, and not known to its successor: {missing:?}");
}
