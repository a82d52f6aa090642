//! Stages that people change while they run: demand held back and let through, suspension, rates; here, after a takeover,
//! and told apart from what the pipeline file says.

use forebay::{
    node::admin::{Mode, Order, Set, Setting, StageHolds, wire},
    runtime::{Role, StageError, native::Resumable},
};

use super::*;

in_both_modes! {
    accumulated_demand_is_let_through_and_events_come_in_order,
    events_that_nobody_could_ask_for_wait_and_are_counted,
    a_stage_says_what_it_cannot_obey,
}

/// Has a node obey, or carry on to another that does.
async fn order(node: &Node, stage: &str, set: Set) -> StageHolds {
    node.desk()
        .order_stage(Order { stage: stage.to_owned(), set: Some(set) })
        .await
        .unwrap_or_else(|why| panic!("{why}"))
}

async fn refused(node: &Node, stage: &str, set: Set) -> String {
    node.desk().order_stage(Order { stage: stage.to_owned(), set: Some(set) }).await.unwrap_err()
}

fn rate(text: &str) -> Set {
    Set::RateLimit(Some(text.to_owned()))
}

async fn stage(node: &Node, name: &str) -> wire::Stage {
    let status = node.desk().status().await.unwrap();
    status.stages.into_iter().find(|stage| stage.name == name).unwrap()
}

fn emitted(entries: &[Entry], by: &str) -> usize {
    entries.iter().filter(|entry| matches!(entry, Entry::Emitted { node, .. } if node == by)).count()
}

/// Waits until a figure stays as it is for a while: what was under way has come.
async fn settled(figure: impl Fn() -> usize) -> usize {
    let (mut last, began) = (figure(), Instant::now());
    loop {
        assert!(began.elapsed() < PATIENCE, "it goes on and on: {last}");
        tokio::time::sleep(Duration::from_millis(300)).await;
        let now = figure();
        if now == last {
            return now;
        }
        last = now;
    }
}

async fn accumulated_demand_is_let_through_and_events_come_in_order(world: World) {
    let gate = Gate::open();
    let text = numbers_with("demand = \"accumulate\"", "", (50, 25));
    let a = world.start(
        "a",
        &[],
        pipeline(&text, [("counter", counter(&world.log, u64::MAX)), ("sink", sink(&world.log, &gate))]),
    );
    let (_, epoch) = world.log.owner(0).await;
    world.log.subscribed("a", epoch).await;
    let made = || emitted(&world.log.entries(), "a");
    assert_eq!(settled(made).await, 0, "its file says so");
    let told = order(&a, "counter", Set::Demand(Some(Mode::Forward))).await.holds.demand.unwrap();
    assert_eq!((told.now, told.file, told.ordered.unwrap().node), (Mode::Forward, Mode::Accumulate, "a".to_owned()));
    world.log.until("events come", |entries| took(entries).count() > 200).await;
    // As its file says: that is no order.
    let told = order(&a, "numbers/counter", Set::Demand(Some(Mode::Accumulate))).await.holds.demand.unwrap();
    assert_eq!((told.now, told.ordered), (Mode::Accumulate, None));
    let held = settled(made).await;
    let came = settled(|| took(&world.log.entries()).count()).await;
    // What a call was making when the order came waits, and comes below with the rest.
    let waiting = stage(&a, "numbers/counter").await.in_hand.unwrap().buffered as usize;
    assert_eq!(came + waiting, held, "and none is lost");
    order(&a, "counter", Set::Demand(Some(Mode::Forward))).await;
    world.log.until("events come again", |entries| took(entries).count() > held + 200).await;
    order(&a, "counter", rate("1/h")).await;
    let slow = settled(made).await;
    order(&a, "counter", rate("off")).await;
    world.log.until("events come as before", |entries| took(entries).count() > slow + 200).await;
    end(a).await;
    let numbers: Vec<_> = took(&world.log.entries()).map(|took| took.number).collect();
    assert_eq!(numbers, (0..numbers.len() as u64).collect::<Vec<_>>());
}

/// Emits a number at each tick, whoever asks for it.
struct Ticker(u64);

impl Resumable for Ticker {
    fn handle_demand(&mut self, _: u32) -> Result<Produced, StageError> {
        Ok(Batch::default().into())
    }

    fn handle_tick(&mut self) -> Result<Batch, StageError> {
        self.0 += 1;
        Ok(of_numbers(self.0 - 1..self.0))
    }

    fn snapshot(&mut self) -> Result<Vec<u8>, String> {
        Ok(self.0.to_string().into_bytes())
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), String> {
        self.0 = String::from_utf8_lossy(snapshot).parse().map_err(|error| format!("{error}"))?;
        Ok(())
    }
}

async fn events_that_nobody_could_ask_for_wait_and_are_counted(world: World) {
    let gate = Gate::open();
    let text = numbers_with("tick = \"10ms\"", "", (50, 0));
    let ticker = Native::ticking("ticker", Role::Producer, |_| Ok(Ticker(0)));
    let a = world.start("a", &[], pipeline(&text, [("counter", ticker), ("sink", sink(&world.log, &gate))]));
    let (_, epoch) = world.log.owner(0).await;
    world.log.subscribed("a", epoch).await;
    world.log.until("events come", |entries| took(entries).count() > 2).await;
    order(&a, "counter", Set::Demand(Some(Mode::Accumulate))).await;
    let buffered = async || stage(&a, "numbers/counter").await.in_hand.unwrap().buffered;
    until("20 events wait", async || buffered().await >= 20).await;
    let taken = took(&world.log.entries()).count() as u64;
    order(&a, "counter", Set::Demand(None)).await;
    until("none waits", async || buffered().await < 5).await;
    world.log.until("all come", |entries| took(entries).count() as u64 >= taken + 20).await;
    gate.set(false);
    let _open = OpenAtEnd(&gate);
    gate.holds().await;
    until("what was sent and is not processed is counted", async || {
        stage(&a, "numbers/counter").await.in_hand.unwrap().unacked > 0
            && stage(&a, "numbers/sink").await.in_hand.unwrap().queued > 0
    })
    .await;
    gate.set(true);
    end(a).await;
    let numbers: Vec<_> = took(&world.log.entries()).map(|took| took.number).collect();
    assert_eq!(numbers, (0..numbers.len() as u64).collect::<Vec<_>>());
}

async fn a_stage_says_what_it_cannot_obey(world: World) {
    let gate = Gate::open();
    let a = world.start("a", &[], world.numbers(&gate));
    world.log.owner(0).await;
    let told = refused(&a, "nobody", Set::Suspended(true)).await;
    assert_eq!(told, "a knows no stage `nobody`; its stages are: numbers/counter, numbers/sink");
    let told = refused(&a, "sink", Set::Demand(Some(Mode::Accumulate))).await;
    assert!(
        told.starts_with("numbers/sink cannot obey: it is a consumer") && told.contains("forebay suspend"),
        "{told}"
    );
    let told = refused(&a, "counter", Set::Suspended(true)).await;
    assert!(
        told.starts_with("numbers/counter cannot obey: it is a producer") && told.contains("forebay demand"),
        "{told}"
    );
    let told = refused(&a, "counter", rate("0/s")).await;
    assert!(told.starts_with("expected `off`, EVENTS/TIME"), "{told}");
    let asked = a.desk().order_stage(Order { stage: "sink".to_owned(), set: None }).await.unwrap();
    assert_eq!((asked.holds.demand, asked.holds.suspended), (None, None));
    let off = || "off".to_owned();
    assert_eq!(asked.holds.rate_limit, Setting { now: off(), file: off(), ordered: None });
    end(a).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn on_islands_a_stage_obeys_the_node_it_runs_on() {
    let (world, gate) = (World::new(), Gate::open());
    let a = world.start("a", &[], world.numbers(&gate));
    world.log.owner(0).await;
    let b = world.start("b", &["a"], world.numbers(&gate));
    let (_, epoch) = world.log.owner(0).await;
    world.log.subscribed("b", epoch).await;
    let told = refused(&b, "counter", rate("5/s")).await;
    assert!(told.starts_with("numbers/counter is owned by a") && told.ends_with("ask a"), "{told}");
    assert!(order(&b, "sink", Set::Suspended(true)).await.holds.suspended.is_some());
    assert!(stage(&b, "numbers/sink").await.holds.suspended.is_some());
    assert!(stage(&a, "numbers/sink").await.holds.suspended.is_none(), "each island for itself");
}

/// The counter stays on b, and a or c has the sink.
const MOVING_SINK: &str = r#"
    name = "numbers"
    [stages.counter]
    plugin = "native"
    scope = "global"
    labels = ["source"]
    poll = "10ms"
    [stages.sink]
    plugin = "native"
    scope = "global"
    labels = ["sink"]
    subscribe = [{ to = "counter", max_demand = 5, min_demand = 0 }]
"#;

async fn owner_of_sink(world: &World, mark: usize) -> String {
    let pick = |node: &str, event: &NodeEvent| match event {
        NodeEvent::Owner(claim) if claim.name.stage.as_str() == "sink" => Some(node.to_owned()),
        _ => None,
    };
    world.log.event(mark, "an owner of the sink", pick).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_suspended_consumer_loses_nothing_and_its_successor_is_suspended_too() {
    let (world, gate) = (World::of_quorum(), Gate::open());
    let mut nodes = BTreeMap::new();
    for (index, (name, label)) in [("a", "sink"), ("b", "source"), ("c", "sink")].into_iter().enumerate() {
        let numbers =
            pipeline(MOVING_SINK, [("counter", counter(&world.log, u64::MAX)), ("sink", sink(&world.log, &gate))]);
        let labels = [label.to_owned()].into();
        nodes.insert(name, Node::start(NodeOptions { labels, ..world.joining(name, &ABC[..index], numbers) }));
        until_report(&nodes[name], "it is a member", |report| report.holds && report.members.len() > index).await;
    }
    until_all_vote(nodes.values()).await;
    let owner = owner_of_sink(&world, 0).await;
    world.log.until("events come", |entries| took(entries).count() > 50).await;
    // A node that does not run it.
    let by = order(&nodes["b"], "sink", Set::Suspended(true)).await.holds.suspended.unwrap();
    assert_eq!((by.node.as_str(), by.operator), ("b", None));
    let taken = || took(&world.log.entries()).count();
    let before = settled(taken).await;
    let mark = world.log.mark();
    drop(nodes.remove(owner.as_str()));
    let successor = owner_of_sink(&world, mark).await;
    assert_ne!(successor, owner);
    let subscribed = |node: &str, event: &NodeEvent| {
        matches!(event, NodeEvent::Subscribed { .. } if node == successor).then_some(())
    };
    world.log.event(mark, "the successor subscribes", subscribed).await;
    assert_eq!(settled(taken).await, before, "it is given nothing");
    let held = stage(&nodes[successor.as_str()], "numbers/sink").await.holds.suspended.unwrap();
    assert_eq!(held.node, "b", "who did it is known");
    assert!(order(&nodes[successor.as_str()], "sink", Set::Suspended(false)).await.holds.suspended.is_none());
    world.log.until("events come again", |entries| took(entries).count() > before + 50).await;
    for node in nodes.into_values() {
        end(node).await;
    }
    let numbers: BTreeSet<_> = took(&world.log.entries()).map(|took| took.number).collect();
    assert_eq!(numbers.last().copied(), Some(numbers.len() as u64 - 1), "none is missing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_suspended_stage_of_node_scope_is_given_nothing_when_its_node_starts_again_and_on_a_new_one() {
    let (world, gate) = (World::of_quorum(), Gate::open());
    let text = NUMBERS.replace("scope = \"global\"", "");
    let start = |node: &str, join: &[&str]| {
        let plugins = [("counter", counter(&world.log, u64::MAX)), ("sink", sink(&world.log, &gate))];
        world.start(node, join, pipeline(&text, plugins))
    };
    let a = start("a", &[]);
    world.log.until("events come", |entries| took(entries).count() > 20).await;
    until_report(&a, "it has a group", |report| report.holds).await;
    order(&a, "sink", Set::Suspended(true)).await;
    settled(|| took(&world.log.entries()).count()).await;
    end(a).await;
    let mark = world.log.mark();
    let a = start("a", &[]);
    // It hears of the order only once it is a member.
    let b = start("b", &["a"]);
    for node in ["a", "b"] {
        let subscribed =
            |by: &str, event: &NodeEvent| (by == node && matches!(event, NodeEvent::Subscribed { .. })).then_some(());
        world.log.event(mark, "the sink subscribes", subscribed).await;
    }
    assert_eq!(settled(|| took(&world.log.since(mark)).count()).await, 0);
    order(&b, "sink", Set::Suspended(false)).await;
    let takers = |entries: &[Entry]| took(entries).map(|took| took.node).collect::<BTreeSet<_>>().len();
    world.log.until("both take events again", |entries| takers(&entries[mark..]) == 2).await;
    for node in [b, a] {
        end(node).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_rate_holds_after_a_takeover() {
    let (world, gate) = (World::of_quorum(), Gate::open());
    let mut nodes = world.start_three(&gate).await;
    let (owner, _) = world.log.owner(0).await;
    let other = ABC.into_iter().find(|name| *name != owner).unwrap();
    assert_eq!(order(&nodes[other], "counter", rate("20/s")).await.holds.rate_limit.now, "20/1s");
    let held = async || stage(&nodes[owner.as_str()], "numbers/counter").await.holds.rate_limit.now;
    until("its owner has heard of it", async || held().await == "20/1s").await;
    let mark = world.log.mark();
    drop(nodes.remove(owner.as_str()));
    let (successor, _) = world.log.owner(mark).await;
    world.log.until("the successor makes events", |entries| emitted(&entries[mark..], &successor) >= 30).await;
    let entries = world.log.since(mark);
    let started = entries.iter().find_map(|entry| match entry {
        Entry::Event { node, event: NodeEvent::Started { stage }, at } => {
            (*node == successor && stage.as_str() == "counter").then_some(*at)
        }
        _ => None,
    });
    let (made, passed) = (emitted(&entries, &successor), started.unwrap().elapsed());
    assert!(made as f64 <= 2.0 + 20.0 * passed.as_secs_f64(), "{made} events in {passed:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_flood_of_losses_is_counted_and_told_in_few_lines() {
    let world = World::new();
    let gate = Gate::open();
    // No event has this header.
    let text = numbers_with("dispatcher = { kind = \"partition\", by = \"number:none\", partitions = 2 }", "", (50, 0));
    let a = world.start(
        "a",
        &[],
        pipeline(&text, [("counter", counter(&world.log, 5000)), ("sink", sink(&world.log, &gate))]),
    );
    until("all are counted", async || a.desk().status().await.unwrap().counts["unroutable_events"] == 5000).await;
    let counts = a.desk().status().await.unwrap().counts;
    assert_eq!((counts["discarded_events"], counts["given_up_events"], counts["unwanted_events"]), (0, 0, 0));
    let began = Instant::now();
    end(a).await;
    let entries = world.log.entries();
    let told: Vec<_> = events(&entries).filter(|(_, event)| matches!(event, NodeEvent::Counted { .. })).collect();
    assert!(!told.is_empty() && told.len() < 30, "{} lines, ended in {:?}", told.len(), began.elapsed());
}
