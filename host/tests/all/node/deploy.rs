//! Pipelines that are deployed to running nodes: rolled out, replaced, turned back, paused and taken away.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
};

use async_trait::async_trait;
use bytes::Bytes;
use forebay::{
    node::{
        LoadFailure, Loader,
        admin::{self, Set},
    },
    runtime::{StageError, native::Resumable},
};
use forebay_proto::{
    blob::{BlobInfo, Digest},
    deploy::{self, Deployment, NewRevision, Order, PluginVersion, Standing},
    ids::PipelineName,
    names::quorum::Command,
    pipeline,
};

use super::*;

/// Pipelines and plugins of a test, as if every node had fetched them.
#[derive(Debug, Default)]
struct Shelf {
    texts: Mutex<HashMap<Digest, Bytes>>,
    plugins: Mutex<HashMap<Digest, Arc<dyn Plugin>>>,
    /// How often each plugin was asked for.
    asked: std::sync::atomic::AtomicUsize,
}

/// A loader of one node that refuses what the others take, with a long reason.
#[derive(Debug)]
struct Picky(Arc<Shelf>, Mutex<Option<&'static str>>);

#[async_trait]
impl Loader for Picky {
    async fn text(&self, blob: &BlobInfo) -> Result<Bytes, LoadFailure> {
        self.0.text(blob).await
    }

    async fn plugin(&self, stage: &pipeline::Stage, version: &PluginVersion) -> Result<Arc<dyn Plugin>, LoadFailure> {
        let why = *self.1.lock().unwrap();
        match why {
            Some("long") => Err(LoadFailure::Refused("it needs more than this. ".repeat(100))),
            Some(why) => Err(LoadFailure::Refused(why.to_owned())),
            None => self.0.plugin(stage, version).await,
        }
    }
}

#[async_trait]
impl Loader for Shelf {
    async fn text(&self, blob: &BlobInfo) -> Result<Bytes, LoadFailure> {
        let found = self.texts.lock().unwrap().get(&blob.digest).cloned();
        found.ok_or_else(|| LoadFailure::NotNow("no such text".to_owned()))
    }

    async fn plugin(&self, _: &pipeline::Stage, version: &PluginVersion) -> Result<Arc<dyn Plugin>, LoadFailure> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let PluginVersion::Blob { blob, .. } = version else { panic!("{version}") };
        let found = self.plugins.lock().unwrap().get(&blob.digest).cloned();
        found.ok_or_else(|| LoadFailure::Refused("no such plugin".to_owned()))
    }
}

fn blob(number: u64) -> BlobInfo {
    let mut digest = Digest([0; 32]);
    digest.0[..8].copy_from_slice(&number.to_le_bytes());
    BlobInfo { digest, bytes: 1, chunks: digest }
}

/// A cluster without pipelines, and what can be deployed to it.
struct Cluster {
    world: World,
    shelf: Arc<Shelf>,
    nodes: BTreeMap<&'static str, Node>,
    next: u64,
    /// How long a first node is watched.
    canary: Duration,
    /// The last that was deployed.
    last: Option<(Pipeline, BTreeMap<StageName, PluginVersion>)>,
}

impl Cluster {
    async fn start() -> Self {
        let (world, shelf) = (World::of_quorum(), Arc::default());
        let mut cluster =
            Self { world, shelf, nodes: BTreeMap::new(), next: 0, canary: Duration::from_millis(300), last: None };
        for (index, name) in ABC.into_iter().enumerate() {
            cluster.join(name, &ABC[..index]);
        }
        until_all_vote(cluster.nodes.values()).await;
        cluster
    }

    fn join(&mut self, name: &'static str, others: &[&str]) {
        let none = pipeline(NUMBERS, [("counter", finite(0)), ("sink", sink(&self.world.log, &Gate::open()))]);
        let mut options = self.world.joining(name, others, none);
        options.pipelines.clear();
        options.loader = Some(Arc::clone(&self.shelf) as _);
        self.nodes.insert(name, Node::start(options));
    }

    /// What one of the nodes knows of the pipeline.
    fn deployment(&self) -> Deployment {
        let (_, node) = self.nodes.last_key_value().unwrap();
        let registry = node.control().registry().unwrap();
        registry.as_quorum().unwrap().deployment(&name()).unwrap_or_default()
    }

    async fn order(&self, order: Order) {
        let (_, node) = self.nodes.last_key_value().unwrap();
        let registry = node.control().registry().unwrap();
        let command = Command::Deployment { pipeline: name(), order };
        registry.as_quorum().unwrap().order(command).await.unwrap_or_else(|why| panic!("{why}"));
    }

    /// Deploys these plugins; each is a version of its own.
    async fn deploy<const N: usize>(&mut self, text: &str, plugins: [(&str, Arc<dyn Plugin>); N]) -> u64 {
        let pipeline = Pipeline::parse(text, "test.toml").unwrap_or_else(|error| panic!("{error}"));
        self.next += 1;
        let text_blob = blob(self.next);
        self.shelf.texts.lock().unwrap().insert(text_blob.digest, Bytes::from(text.to_owned()));
        let mut versions = BTreeMap::new();
        for (stage, plugin) in plugins {
            let mut shelf = self.shelf.plugins.lock().unwrap();
            let known = shelf.iter().find(|(_, known)| known.digest() == plugin.digest()).map(|(digest, _)| *digest);
            self.next += 1;
            let blob = known.map_or(blob(self.next), |digest| BlobInfo { digest, bytes: 1, chunks: digest });
            shelf.insert(blob.digest, plugin);
            versions.insert(stage.parse().unwrap(), PluginVersion::Blob { blob, signature: None });
        }
        let former = self.last.as_ref();
        let found = deploy::differences(former.map(|(old, plugins)| (old, plugins)), (&pipeline, &versions));
        let steps = deploy::steps(former.map(|(old, _)| old), &pipeline, &found);
        let (after, by) = (self.deployment().latest(), self.nodes.last_key_value().unwrap().0.parse().unwrap());
        let (why, canary) = ("a test".to_owned(), self.canary);
        let beside = self.deployment().current().map(|revision| revision.number);
        let new = NewRevision { text: text_blob, plugins: versions.clone(), by, why, steps, canary, beside };
        self.order(Order::Deploy { after, new: Box::new(new) }).await;
        self.last = Some((pipeline, versions));
        after + 1
    }

    /// Waits until a revision has come to its end, and says to which.
    async fn ended(&self, revision: u64) -> Standing {
        let found = || self.deployment().revision(revision).map(|revision| revision.standing.clone());
        until(&format!("revision {revision} has ended; {}", self.world.log.told()), async || {
            found().is_some_and(|standing| standing != Standing::RollingOut)
        })
        .await;
        found().unwrap()
    }

    async fn rolled_out(&self, revision: u64) {
        let standing = self.ended(revision).await;
        assert!(matches!(standing, Standing::RolledOut { .. }), "{standing:?}\n{}", self.world.log.told());
    }
}

fn name() -> PipelineName {
    "numbers".parse().unwrap()
}

/// Counts, takes its state along, and is called so.
struct Counting {
    log: Log,
    node: String,
    next: u64,
    version: u64,
}

impl Resumable for Counting {
    fn handle_demand(&mut self, demand: u32) -> Result<Produced, StageError> {
        std::thread::sleep(Duration::from_millis(1));
        let numbers = self.next..self.next + u64::from(demand);
        self.next = numbers.end;
        for number in numbers.clone() {
            self.log.push(Entry::Emitted { node: format!("{}{}", self.node, self.version), number });
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

fn counting(log: &Log, version: u64) -> Arc<dyn Plugin> {
    let log = log.clone();
    Native::resumable(&format!("counter-{version}"), move |spec| {
        Ok(Counting { log: log.clone(), node: spec.node.to_string(), next: 0, version })
    })
}

/// Notes what it takes; panics when it has taken `trap` of them.
fn noting(log: &Log, version: u64, trap: Option<usize>) -> Arc<dyn Plugin> {
    let log = log.clone();
    Native::consumer(&format!("sink-{version}"), move |spec| {
        let (log, node) = (log.clone(), format!("{}{version}", spec.node));
        let mut taken = 0;
        Ok(move |delivery: GuestDelivery| {
            std::thread::sleep(Duration::from_millis(1));
            taken += delivery.events.len();
            assert!(trap.is_none_or(|trap| taken < trap), "told to fail");
            note(&log, &node, &delivery);
            Ok(Vec::new())
        })
    })
}

fn often() -> String {
    numbers_with(r#"checkpoint = "50ms""#, "", (5, 0))
}

/// All numbers that were taken, by whatever version, each with how often.
fn all_taken(log: &Log) -> BTreeMap<u64, usize> {
    let mut counts = BTreeMap::new();
    for took in took(&log.entries()) {
        *counts.entry(took.number).or_default() += 1;
    }
    counts
}

/// Waits until each of these has taken something since.
async fn taken_by(log: &Log, mark: usize, takers: &[&str]) {
    log.until(&format!("{takers:?} take events"), |entries| {
        let found: BTreeSet<_> = took(&entries[mark..]).map(|took| took.node).collect();
        takers.iter().all(|taker| found.contains(*taker))
    })
    .await;
}

/// None is missing but at the end, and none came twice.
async fn each_once(log: &Log) {
    let mark = *all_taken(log).keys().last().unwrap();
    log.until("what was on its way has come", |entries| {
        let taken: BTreeSet<_> = took(entries).map(|took| took.number).collect();
        (0..=mark).all(|number| taken.contains(&number))
    })
    .await;
    let twice: Vec<_> = all_taken(log).into_iter().filter(|(_, count)| *count > 1).collect();
    assert!(twice.is_empty(), "{twice:?}\n{}", log.told());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn stages_are_replaced_one_after_the_other_and_no_event_is_lost_or_repeated() {
    let mut cluster = Cluster::start().await;
    let log = cluster.world.log.clone();
    let first = cluster.deploy(&often(), [("counter", counting(&log, 1)), ("sink", noting(&log, 1, None))]).await;
    cluster.rolled_out(first).await;
    taken_by(&log, 0, &["a1", "b1", "c1"]).await;
    let mark = log.mark();
    let second = cluster.deploy(&often(), [("counter", counting(&log, 2)), ("sink", noting(&log, 2, None))]).await;
    cluster.rolled_out(second).await;
    taken_by(&log, mark, &["a2", "b2", "c2"]).await;
    each_once(&log).await;
    let entries = log.since(mark);
    let emitters = entries.iter().filter_map(|entry| match entry {
        Entry::Emitted { node, .. } => Some(node.clone()),
        _ => None,
    });
    let owners: Vec<_> = emitters.collect::<BTreeSet<_>>().into_iter().collect();
    assert_eq!(owners.len(), 2, "one node had both versions, and its name stayed: {owners:?}");
    assert_eq!(owners[0][..1], owners[1][..1], "{owners:?}");
    // The first node with a new sink was alone with it for a while.
    let first_of = |taker: &str| took_at(&entries, taker);
    let mut order = ["a2", "b2", "c2"].map(|taker| (first_of(taker), taker));
    order.sort_unstable();
    let taken_between = entries[order[0].0..order[1].0].len();
    assert!(taken_between > 20, "{order:?}");
}

fn took_at(entries: &[Entry], taker: &str) -> usize {
    let is_it = |entry: &Entry| matches!(entry, Entry::Took { node, .. } if node == taker);
    entries.iter().position(is_it).unwrap_or_else(|| panic!("{taker} took nothing"))
}

/// Three nodes that run the first version, and its counter.
async fn counting_cluster() -> (Cluster, Log, Arc<dyn Plugin>) {
    let mut cluster = Cluster::start().await;
    let log = cluster.world.log.clone();
    let counter = counting(&log, 1);
    let first = cluster.deploy(&often(), [("counter", Arc::clone(&counter)), ("sink", noting(&log, 1, None))]).await;
    cluster.rolled_out(first).await;
    taken_by(&log, 0, &["a1", "b1", "c1"]).await;
    (cluster, log, counter)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_version_that_traps_is_turned_back_by_itself() {
    let (mut cluster, log, counter) = counting_cluster().await;
    // Long enough for a hundred events on a machine that does much else.
    cluster.canary = Duration::from_secs(15);
    let bad = cluster.deploy(&often(), [("counter", counter), ("sink", noting(&log, 2, Some(100)))]).await;
    let Standing::RolledBack { why, .. } = cluster.ended(bad).await else { panic!("{}", log.told()) };
    assert!(why.contains("sink: ") && why.contains("told to fail"), "{why}");
    let mark = log.mark();
    taken_by(&log, mark, &["a1", "b1", "c1"]).await;
    let entries = log.entries();
    let of_second: BTreeSet<_> = took(&entries).filter(|took| took.node.ends_with('2')).map(|took| took.node).collect();
    assert_eq!(of_second.len(), 1, "it came to one node only: {of_second:?}");
    let taken = all_taken(&log);
    each_once_but(&log, &taken).await;
}

/// Notes what it takes; that of the first node to start panics as soon as another node's has taken something.
fn noting_until_others_follow(log: &Log, version: u64) -> Arc<dyn Plugin> {
    let (log, starts, others) = (log.clone(), AtomicUsize::new(0), Arc::new(AtomicBool::new(false)));
    Native::consumer(&format!("sink-{version}"), move |spec| {
        let (log, node, others) = (log.clone(), format!("{}{version}", spec.node), Arc::clone(&others));
        let is_first = starts.fetch_add(1, Ordering::SeqCst) == 0;
        Ok(move |delivery: GuestDelivery| {
            std::thread::sleep(Duration::from_millis(1));
            assert!(!is_first || !others.load(Ordering::SeqCst), "told to fail late");
            others.fetch_or(!is_first, Ordering::SeqCst);
            note(&log, &node, &delivery);
            Ok(Vec::new())
        })
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_version_that_traps_on_the_first_node_while_the_others_follow_is_turned_back() {
    let (mut cluster, log, counter) = counting_cluster().await;
    let bad = cluster.deploy(&often(), [("counter", counter), ("sink", noting_until_others_follow(&log, 2))]).await;
    let Standing::RolledBack { why, .. } = cluster.ended(bad).await else { panic!("{}", log.told()) };
    assert!(why.contains("sink: ") && why.contains("told to fail late"), "{why}");
    let mark = log.mark();
    taken_by(&log, mark, &["a1", "b1", "c1"]).await;
    each_once_but(&log, &all_taken(&log)).await;
}

/// None is missing; what a failed version had in hand may come again.
async fn each_once_but(log: &Log, taken: &BTreeMap<u64, usize>) {
    let mark = *taken.keys().last().unwrap();
    log.until("what was on its way has come", |entries| {
        let taken: BTreeSet<_> = took(entries).map(|took| took.number).collect();
        (0..=mark).all(|number| taken.contains(&number))
    })
    .await;
    assert!(all_taken(log).values().all(|count| *count <= 2), "{}", log.told());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_source_that_does_not_start_is_turned_back_and_goes_on_where_it_was() {
    let mut cluster = Cluster::start().await;
    let log = cluster.world.log.clone();
    let sink = noting(&log, 1, None);
    let first = cluster.deploy(&often(), [("counter", counting(&log, 1)), ("sink", Arc::clone(&sink))]).await;
    cluster.rolled_out(first).await;
    taken_by(&log, 0, &["a1", "b1", "c1"]).await;
    let broken: Arc<dyn Plugin> = Native::producer("broken", |_| {
        Err::<fn(u32) -> Result<Produced, StageError>, _>("it needs a database".to_owned())
    });
    let bad = cluster.deploy(&often(), [("counter", broken), ("sink", Arc::clone(&sink))]).await;
    let Standing::RolledBack { why, .. } = cluster.ended(bad).await else { panic!("{}", log.told()) };
    assert!(why.contains("counter: ") && why.contains("it needs a database"), "{why}");
    let mark = log.mark();
    taken_by(&log, mark, &["a1", "b1", "c1"]).await;
    each_once(&log).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_cannot_be_loaded_changes_nothing() {
    let mut cluster = Cluster::start().await;
    let log = cluster.world.log.clone();
    let (counter, sink) = (counting(&log, 1), noting(&log, 1, None));
    let first = cluster.deploy(&often(), [("counter", Arc::clone(&counter)), ("sink", Arc::clone(&sink))]).await;
    cluster.rolled_out(first).await;
    let before = log.mark();
    // A consumer where a producer is needed.
    let bad = cluster.deploy(&often(), [("counter", Arc::clone(&sink)), ("sink", sink)]).await;
    let Standing::RolledBack { why, .. } = cluster.ended(bad).await else { panic!("{}", log.told()) };
    assert!(why.contains("stage `counter` is a consumer and subscribes to nothing"), "{why}");
    let entries = log.since(before);
    let stopped = events(&entries).any(|(_, event)| matches!(event, NodeEvent::Stopped { .. }));
    assert!(!stopped, "{}", log.told());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_node_that_was_away_comes_to_run_what_the_others_run() {
    let mut cluster = Cluster::start().await;
    let log = cluster.world.log.clone();
    let counter = counting(&log, 1);
    let deploy = |version| [("counter", Arc::clone(&counter)), ("sink", noting(&log, version, None))];
    let first = cluster.deploy(&often(), deploy(1)).await;
    cluster.rolled_out(first).await;
    taken_by(&log, 0, &["a1", "b1", "c1"]).await;
    end(cluster.nodes.remove("a").unwrap()).await;
    for version in [2, 3] {
        let revision = cluster.deploy(&often(), deploy(version)).await;
        cluster.rolled_out(revision).await;
    }
    let mark = log.mark();
    cluster.join("a", &["b", "c"]);
    taken_by(&log, mark, &["a3", "b3", "c3"]).await;
    let entries = log.since(mark);
    let old = took(&entries).filter(|took| took.node == "a1" || took.node == "a2").count();
    assert_eq!(old, 0, "it never ran what is not to run any more");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_paused_pipeline_goes_on_where_it_was_and_one_that_is_undeployed_ends() {
    let mut cluster = Cluster::start().await;
    let log = cluster.world.log.clone();
    let first = cluster.deploy(&often(), [("counter", counting(&log, 1)), ("sink", noting(&log, 1, None))]).await;
    cluster.rolled_out(first).await;
    taken_by(&log, 0, &["a1", "b1", "c1"]).await;
    let mark = log.mark();
    cluster.order(Order::Pause(true)).await;
    all_stopped(&log, mark).await;
    let (quiet, taken) = (log.mark(), all_taken(&log).len());
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(all_taken(&log).len(), taken, "nothing runs");
    cluster.order(Order::Pause(false)).await;
    taken_by(&log, quiet, &["a1", "b1", "c1"]).await;
    each_once(&log).await;
    let mark = log.mark();
    cluster.order(Order::Undeploy).await;
    all_stopped(&log, mark).await;
    let registry = cluster.nodes["a"].control().registry().unwrap();
    until("nobody owns it", async || registry.lookup(&counter_name()).is_none()).await;
    cluster.order(Order::Forget).await;
    until("it is forgotten", async || cluster.deployment() == Deployment::default()).await;
    let again = cluster.deploy(&often(), [("counter", counting(&log, 9)), ("sink", noting(&log, 9, None))]).await;
    let mark = log.mark();
    cluster.rolled_out(again).await;
    log.until("it begins anew", |entries| took(&entries[mark..]).any(|took| took.number == 0)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn stages_come_and_go_while_the_others_run_on() {
    let (mut cluster, log, counter) = counting_cluster().await;
    let (began, mark) = (Instant::now(), log.mark());
    let renamed = often().replace("stages.sink", "stages.drain");
    let second = cluster.deploy(&renamed, [("counter", counter), ("drain", noting(&log, 2, None))]).await;
    cluster.rolled_out(second).await;
    taken_by(&log, mark, &["a2", "b2", "c2"]).await;
    assert!(began.elapsed() < Duration::from_secs(8), "those that went did not wait for a source that stays");
    let mark = log.mark();
    taken_by(&log, mark, &["a2", "b2", "c2"]).await;
    assert_eq!(took(&log.since(mark)).filter(|took| took.node.ends_with('1')).count(), 0);
    each_once(&log).await;
    let owners = events(&log.entries()).filter(|(_, event)| matches!(event, NodeEvent::Owner(_))).count();
    assert_eq!(owners, 1, "the counter was not touched");
}

/// Waits until the counter and all three sinks have ended.
async fn all_stopped(log: &Log, mark: usize) {
    log.until("all stages have ended", |entries| {
        events(&entries[mark..]).filter(|(_, event)| matches!(event, NodeEvent::Stopped { .. })).count() >= 4
    })
    .await;
}

/// A producer that does not start.
fn broken(why: &str) -> Arc<dyn Plugin> {
    let why = why.to_owned();
    Native::producer("broken", move |_| Err::<fn(u32) -> Result<Produced, StageError>, _>(why.clone()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_new_stage_that_does_not_start_is_turned_back() {
    let mut cluster = Cluster::start().await;
    let log = cluster.world.log.clone();
    let plugins = [("counter", broken("it needs a database")), ("sink", noting(&log, 1, None))];
    let first = cluster.deploy(&often(), plugins).await;
    let Standing::RolledBack { why, .. } = cluster.ended(first).await else { panic!("{}", log.told()) };
    assert!(why.contains("it needs a database"), "{why}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_long_reason_of_a_follower_turns_it_back_too() {
    let mut cluster = Cluster::start().await;
    let log = cluster.world.log.clone();
    let picky = Arc::new(Picky(Arc::clone(&cluster.shelf), Mutex::default()));
    let none = pipeline(NUMBERS, [("counter", finite(0)), ("sink", sink(&log, &Gate::open()))]);
    let mut options = cluster.world.joining("d", &["a", "b", "c"], none);
    options.pipelines.clear();
    options.loader = Some(Arc::clone(&picky) as _);
    let d = Node::start(options);
    until("d is current", async || {
        d.control().registry().is_some_and(|registry| registry.as_quorum().unwrap().is_current())
    })
    .await;
    *picky.1.lock().unwrap() = Some("long");
    let first = cluster.deploy(&often(), [("counter", counting(&log, 1)), ("sink", noting(&log, 1, None))]).await;
    let Standing::RolledBack { why, .. } = cluster.ended(first).await else { panic!("{}", log.told()) };
    assert!(why.contains("it needs more than this"), "{why}");
    end(d).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_loader_that_panics_is_a_failure_and_not_tried_without_pause() {
    let cluster = Cluster::start().await;
    let log = cluster.world.log.clone();
    let pipeline = Pipeline::parse(&often(), "test.toml").unwrap();
    let text = blob(77);
    cluster.shelf.texts.lock().unwrap().insert(text.digest, Bytes::from(often()));
    let plugins = ["counter", "sink"].map(|stage| (stage.parse().unwrap(), PluginVersion::Builtin("inbox".into())));
    let plugins: BTreeMap<StageName, _> = plugins.into();
    let steps = deploy::steps(None, &pipeline, &deploy::differences(None, (&pipeline, &plugins)));
    let (by, why, canary) = ("c".parse().unwrap(), String::new(), Duration::from_millis(300));
    let new = NewRevision { text, plugins, by, why, steps, canary, beside: None };
    cluster.order(Order::Deploy { after: 0, new: Box::new(new) }).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let asked = cluster.shelf.asked.load(Ordering::Relaxed);
    assert!(asked < 30, "{asked} times in 3 s; {:?}\n{}", cluster.deployment().rollout(), log.told().len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_was_ordered_of_a_stage_holds_for_its_next_version_and_goes_with_the_stage() {
    let (mut cluster, log, counter) = counting_cluster().await;
    let order = async |cluster: &Cluster, set: Set| {
        let order = admin::Order { stage: "sink".to_owned(), set: Some(set) };
        cluster.nodes["a"].desk().order_stage(order).await.unwrap_or_else(|why| panic!("{why}"))
    };
    order(&cluster, Set::Suspended(true)).await;
    let second = cluster.deploy(&often(), [("counter", Arc::clone(&counter)), ("sink", noting(&log, 2, None))]).await;
    cluster.rolled_out(second).await;
    let mark = log.mark();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(took(&log.since(mark)).count(), 0, "of no node, the new version is suspended too");
    order(&cluster, Set::Suspended(false)).await;
    taken_by(&log, mark, &["a2", "b2", "c2"]).await;
    each_once(&log).await;

    order(&cluster, Set::RateLimit(Some("9/s".to_owned()))).await;
    let sink = GlobalName { pipeline: name(), stage: "sink".parse().unwrap() };
    let ordered = |node: &Node| node.control().registry().unwrap().ordered(&sink);
    until("all have heard of it", async || cluster.nodes.values().all(|node| ordered(node).rate.is_some())).await;
    let text = often();
    let alone = cluster.deploy(&text[..text.find("[stages.sink]").unwrap()], [("counter", counter)]).await;
    cluster.rolled_out(alone).await;
    until("it went with its stage", async || cluster.nodes.values().all(|node| ordered(node).is_nothing())).await;
}
