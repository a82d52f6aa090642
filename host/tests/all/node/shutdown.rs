//! How a node ends: in order, and what is left when it is not given the time.

use forebay::runtime::{StageError, native};
use tokio::io::{AsyncWriteExt, BufReader};

use super::{supervision::all_taken, *};

const ENDED: NodeExit = NodeExit { gave_up: Vec::new(), cut_short: Vec::new(), expelled: None };

fn stopped(entries: &[Entry], of: &str) -> Vec<String> {
    let stage = |(node, event): (&str, &NodeEvent)| match event {
        NodeEvent::Stopped { stage, .. } if node == of => Some(stage.to_string()),
        _ => None,
    };
    events(entries).filter_map(stage).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_node_alone_loses_nothing_and_ends_its_sources_first() {
    let (world, gate) = (World::new(), Gate::open());
    let node = world.start("a", &[], world.numbers(&gate));
    let (_, epoch) = world.log.owner(0).await;
    world.log.taken_by(0, &["a"], epoch).await;
    assert_eq!(end(node).await, ENDED);
    let entries = world.log.entries();
    let emitted = entries.iter().filter(|entry| matches!(entry, Entry::Emitted { .. })).count();
    assert_eq!(counts(&entries, epoch), (0..emitted as u64).map(|number| (number, 1)).collect());
    assert_eq!(stopped(&entries, "a"), ["counter", "sink"]);
    let draining = events(&entries).position(|(_, event)| matches!(event, NodeEvent::Draining)).unwrap();
    let first_stop = events(&entries).position(|(_, event)| matches!(event, NodeEvent::Stopped { .. })).unwrap();
    assert!(draining < first_stop);
}

/// Batches of one, ten events at a time: while it works on one it holds nine that it has not begun.
#[tokio::test(flavor = "multi_thread", worker_threads = 6)]
async fn a_consumer_that_leaves_gives_back_what_it_has_not_begun() {
    const LIMIT: u64 = 200;
    let text = numbers_with("", "", (10, 9));
    let (world, here, there) = (World::new(), Gate::open(), Gate::open());
    let _open = OpenAtEnd(&there);
    there.set(false);
    let numbers =
        |gate: &Gate| pipeline(&text, [("counter", counter(&world.log, LIMIT)), ("sink", sink(&world.log, gate))]);
    here.set(false);
    let a = world.start("a", &[], numbers(&here));
    let (_, epoch) = world.log.owner(0).await;
    let b = world.start("b", &["a"], numbers(&there));
    world.log.subscribed("b", epoch).await;
    here.set(true);
    // All but the ten that b has asked for.
    world.log.until("a takes the rest", |entries| took(entries).count() as u64 >= LIMIT - 10).await;
    there.holds().await;
    let leaving = tokio::spawn(end(b));
    let draining = |node: &str, event: &NodeEvent| (node == "b" && matches!(event, NodeEvent::Draining)).then_some(());
    world.log.event(0, "b is draining", draining).await;
    // The order reaches the stage a moment later, and nothing tells when.
    tokio::time::sleep(Duration::from_millis(100)).await;
    there.set(true);
    assert_eq!(leaving.await.unwrap(), ENDED);
    all_taken(&world.log, LIMIT).await;
    let entries = world.log.entries();
    assert_eq!(counts(&entries, epoch), (0..LIMIT).map(|number| (number, 1)).collect());
    let (by_b, again): (Vec<_>, Vec<_>) =
        took(&entries).filter(|took| took.node == "b" || took.attempt > 1).partition(|took| took.node == "b");
    assert_eq!(by_b.len(), 1, "the batch in its hands was finished: {by_b:?}");
    assert_eq!(again.len(), 9, "the others were handed out again: {again:?}");
    end(a).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_second_order_ends_a_node_at_once() {
    let (world, gate) = (World::new(), Gate::open());
    let _open = OpenAtEnd(&gate);
    let options = world.options("a", world.numbers(&gate));
    let mut node = Node::start(NodeOptions { join: Vec::new(), drain_timeout: Duration::from_secs(3600), ..options });
    let (_, epoch) = world.log.owner(0).await;
    world.log.taken_by(0, &["a"], epoch).await;
    gate.set(false);
    gate.holds().await;
    node.control().drain();
    let waited = tokio::time::timeout(Duration::from_millis(300), node.wait()).await;
    assert!(waited.is_err(), "the sink holds events, and there is an hour");
    node.control().stop();
    let begun = Instant::now();
    tokio::time::timeout(PATIENCE, node.wait()).await.expect("the node ends");
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_does_not_drain_in_time_is_cut_short_and_named() {
    let (world, gate) = (World::new(), Gate::open());
    let _open = OpenAtEnd(&gate);
    let options = world.options("a", world.numbers(&gate));
    let drain_timeout = Duration::from_millis(200);
    let node = Node::start(NodeOptions { join: Vec::new(), drain_timeout, ..options });
    let (_, epoch) = world.log.owner(0).await;
    world.log.taken_by(0, &["a"], epoch).await;
    gate.set(false);
    gate.holds().await;
    let exit = end(node).await;
    let named: Vec<_> = exit.cut_short.iter().map(StageName::as_str).collect();
    assert!(named.contains(&"counter"), "the sink still had its events when the time was over: {named:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_node_told_so_ends_when_all_is_produced_and_processed() {
    let (world, gate) = (World::new(), Gate::open());
    let finite = pipeline(NUMBERS, [("counter", finite(777)), ("sink", sink(&world.log, &gate))]);
    let options = world.options("a", finite);
    let mut node = Node::start(NodeOptions { join: Vec::new(), until_finished: true, ..options });
    let exit = tokio::time::timeout(PATIENCE, node.wait()).await.expect("the node ends by itself");
    assert_eq!(exit, ENDED);
    let (_, epoch) = world.log.owner(0).await;
    assert_eq!(counts(&world.log.entries(), epoch), (0..777).map(|number| (number, 1)).collect());
    let finished = |(_, event): (&str, &NodeEvent)| matches!(event, NodeEvent::Finished { .. });
    assert_eq!(events(&world.log.entries()).filter(|event| finished(*event)).count(), 1);
}

/// 130 MB took 15 s in place of 2.5: after each piece the source was asked for the rest by the poll only.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn lines_that_come_in_pieces_do_not_wait_for_the_next_poll() {
    let (world, gate) = (World::new(), Gate::open());
    let (mut writer, reader) = tokio::io::duplex(8);
    let reader = std::sync::Mutex::new(Some(reader));
    let source = native::lines(move |_| {
        let reader = reader.lock().unwrap().take();
        reader.map(BufReader::new).ok_or_else(|| std::io::Error::other("opened twice"))
    });
    let text = NUMBERS.replace(r#"poll = "10ms""#, r#"poll = "1h""#);
    let lines = pipeline(&text, [("counter", source), ("sink", sink(&world.log, &gate))]);
    let mut node = Node::start(NodeOptions { join: Vec::new(), until_finished: true, ..world.options("a", lines) });
    tokio::spawn(async move {
        for number in 0..100 {
            writer.write_all(format!("{number}\n").as_bytes()).await.unwrap();
        }
    });
    let exit = tokio::time::timeout(PATIENCE, node.wait()).await.expect("the node ends by itself");
    assert_eq!(exit, ENDED);
    let (_, epoch) = world.log.owner(0).await;
    assert_eq!(counts(&world.log.entries(), epoch), (0..100).map(|number| (number, 1)).collect());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_end_of_an_input_does_not_wait_for_a_sink_that_gave_up() {
    let world = World::new();
    let broken = Native::consumer("broken", |_| Ok(|_| Err(StageError::Fatal("always".into()))));
    let text = format!("{NUMBERS}restart = {{ max = 0 }}\n");
    let options = world.options("a", pipeline(&text, [("counter", finite(50)), ("sink", broken)]));
    let drain_timeout = Duration::from_millis(100);
    let mut node = Node::start(NodeOptions { join: Vec::new(), until_finished: true, drain_timeout, ..options });
    let exit = tokio::time::timeout(PATIENCE, node.wait()).await.expect("the node ends by itself");
    assert_eq!(exit.gave_up.len(), 1, "{exit:?}");
    assert!(exit.gave_up[0].1.starts_with("failed, and is not to be restarted"), "{exit:?}");
    assert_eq!(exit.cut_short, ["counter".parse().unwrap()], "what nobody took is reported");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_node_that_leaves_says_so_to_its_peers() {
    let (world, gate) = (World::new(), Gate::open());
    let mut nodes = world.start_three(&gate).await;
    let mark = world.log.mark();
    end(nodes.remove("c").unwrap()).await;
    for left in ["a", "b"] {
        let reason = world
            .log
            .event(mark, "c is gone", |node, event| match event {
                NodeEvent::PeerDown { peer, reason } if node == left && peer.as_str() == "c" => Some(reason.clone()),
                _ => None,
            })
            .await;
        assert!(reason.contains("shutting down"), "{reason}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn draining_twice_is_one_order() {
    let (world, gate) = (World::new(), Gate::open());
    let mut node = world.start("a", &[], world.numbers(&gate));
    let (_, epoch) = world.log.owner(0).await;
    world.log.taken_by(0, &["a"], epoch).await;
    node.control().drain();
    node.control().drain();
    assert_eq!(tokio::time::timeout(PATIENCE, node.wait()).await.expect("the node ends"), ENDED);
}
