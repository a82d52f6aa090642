//! Stages that fail: started again, given up, and what becomes of events in their hands.

use std::sync::atomic::AtomicU32;

use forebay::runtime::{InstanceSpec, Rejection, StageError};

use super::*;

/// As [`NUMBERS`], with as many restarts of either stage, and pauses that a test has time for.
fn numbers_text(max: u32) -> String {
    numbers_with(max, &format!("max = {max}"), "temporary")
}

fn numbers_with(counter_max: u32, sink_restart: &str, cancel: &str) -> String {
    let pauses = r#"within = "60s", backoff = "20ms", backoff_max = "1s""#;
    format!(
        r#"
        name = "numbers"
        [stages.counter]
        plugin = "native"
        scope = "global"
        poll = "10ms"
        restart = {{ max = {counter_max}, {pauses} }}
        [stages.sink]
        plugin = "native"
        restart = {{ {sink_restart}, {pauses} }}
        subscribe = [{{ to = "counter", max_demand = 5, min_demand = 0, cancel = "{cancel}" }}]
    "#
    )
}

/// Counts without end; an instance of which `fails` is so panics once it has emitted twenty or more.
/// `fails` is given the number of the start, from 1.
fn failing_counter(fails: impl Fn(&InstanceSpec, u32) -> bool + Send + Sync + 'static) -> Arc<dyn Plugin> {
    let starts = AtomicU32::new(0);
    Native::producer("failing", move |spec| {
        let fails = fails(spec, starts.fetch_add(1, Ordering::Relaxed) + 1);
        let mut next = 0;
        Ok(move |demand: u32| {
            assert!(!(fails && next >= 20), "told to fail");
            let numbers = next..next + u64::from(demand);
            next = numbers.end;
            Ok(of_numbers(numbers).into())
        })
    })
}

/// A sink that does `trouble` before it takes a batch; it is given the number of the call of all
/// instances, from 1.
fn failing_sink(
    log: &Log,
    trouble: impl Fn(&str, u32) -> Result<(), StageError> + Send + Sync + 'static,
) -> Arc<dyn Plugin> {
    let (log, calls, trouble) = (log.clone(), Arc::new(AtomicU32::new(0)), Arc::new(trouble));
    Native::consumer("failing-sink", move |spec| {
        let (log, calls, trouble, node) = (log.clone(), calls.clone(), trouble.clone(), spec.node.to_string());
        Ok(move |delivery: GuestDelivery| {
            std::thread::sleep(Duration::from_millis(5));
            trouble(&node, calls.fetch_add(1, Ordering::Relaxed) + 1)?;
            note(&log, &node, &delivery);
            Ok(Vec::new())
        })
    })
}

fn restarts(entries: &[Entry], of: &str) -> Vec<Duration> {
    let after = |(_, event): (&str, &NodeEvent)| match event {
        NodeEvent::Restarting { stage, after, .. } if stage.as_str() == of => Some(*after),
        _ => None,
    };
    events(entries).filter_map(after).collect()
}

pub(super) async fn all_taken(log: &Log, limit: u64) {
    log.until("all numbers are taken", |entries| {
        took(entries).map(|took| took.number).collect::<BTreeSet<_>>().len() as u64 >= limit
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_producer_that_fails_starts_again_in_a_new_epoch_after_a_growing_pause() {
    let (world, gate) = (World::new(), Gate::open());
    let plugins = [("counter", failing_counter(|_, start| start <= 2)), ("sink", sink(&world.log, &gate))];
    let node = world.start("a", &[], pipeline(&numbers_text(5), plugins));
    let third = world
        .log
        .event(0, "a third epoch", |_, event| match event {
            NodeEvent::Owner(claim) if claim.epoch.lamport == 3 => Some(claim.epoch),
            _ => None,
        })
        .await;
    world.log.taken_by(0, &["a"], third).await;
    let entries = world.log.entries();
    assert_eq!(restarts(&entries, "counter"), [20, 40].map(Duration::from_millis));
    let reason = events(&entries).find_map(|(_, event)| match event {
        NodeEvent::Restarting { reason, .. } => Some(reason.clone()),
        _ => None,
    });
    assert!(reason.unwrap().contains("panicked: told to fail"));
    for lamport in 1..=3 {
        let of_epoch = took(&entries).filter(|took| took.epoch.lamport == lamport).map(|took| took.number);
        let numbers: Vec<_> = of_epoch.collect();
        assert_eq!(numbers, (0..numbers.len() as u64).collect::<Vec<_>>(), "each instance begins anew");
    }
    assert!(end(node).await.gave_up.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_producer_that_fails_too_often_is_given_up_and_another_node_takes_its_name() {
    let (world, gate) = (World::new(), Gate::open());
    let text = numbers_text(2);
    let fails_on_a = || failing_counter(|spec, _| spec.node.as_str() == "a");
    let numbers = || pipeline(&text, [("counter", fails_on_a()), ("sink", sink(&world.log, &gate))]);
    let a = world.start("a", &[], numbers());
    world.log.owner(0).await;
    let _b = world.start("b", &["a"], numbers());
    let reason = world
        .log
        .event(0, "a gives up", |node, event| match event {
            NodeEvent::GaveUp { stage, reason } if node == "a" && stage.as_str() == "counter" => Some(reason.clone()),
            _ => None,
        })
        .await;
    assert!(reason.starts_with("failed again after 2 restarts in 60s: "), "{reason}");
    let epoch = world
        .log
        .event(0, "b owns it", |node, event| match event {
            NodeEvent::Owner(claim) if node == "b" => Some(claim.epoch),
            _ => None,
        })
        .await;
    world.log.taken_by(0, &["a", "b"], epoch).await;
    let mark = world.log.mark();
    world.log.taken_by(mark, &["a", "b"], epoch).await;
    let gave_up: Vec<_> = end(a).await.gave_up.into_iter().map(|(stage, _)| stage.to_string()).collect();
    assert_eq!(gave_up, ["counter"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_consumer_that_fails_gets_its_events_again_in_a_second_attempt() {
    const LIMIT: u64 = 100;
    let (world, text) = (World::new(), numbers_text(5));
    let sink = failing_sink(&world.log, |_, call| {
        assert!(call != 3, "told to fail");
        Ok(())
    });
    let node = world.start("a", &[], pipeline(&text, [("counter", counter(&world.log, LIMIT)), ("sink", sink)]));
    let (_, epoch) = world.log.owner(0).await;
    all_taken(&world.log, LIMIT).await;
    assert_eq!(end(node).await, NodeExit { gave_up: Vec::new(), cut_short: Vec::new(), expelled: None });
    let entries = world.log.entries();
    assert_eq!(counts(&entries, epoch), (0..LIMIT).map(|number| (number, 1)).collect());
    let again: Vec<_> = took(&entries).filter(|took| took.attempt == 2).map(|took| took.number).collect();
    assert_eq!(again, [10, 11, 12, 13, 14], "the third batch of five");
    assert!(restarts(&entries, "sink").is_empty(), "another guest takes its place in the same stage");
    let told =
        |event: &NodeEvent| matches!(event, NodeEvent::Counted { what, .. } if what.contains("did not survive a call"));
    assert_eq!(events(&entries).filter(|(_, event)| told(event)).count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_events_of_a_consumer_that_is_given_up_go_to_another() {
    const LIMIT: u64 = 300;
    // Without a restart no event is taken for poison either.
    let (world, text) = (World::new(), numbers_text(0));
    let sink = || {
        failing_sink(&world.log, |node, _| {
            assert!(node != "b", "told to fail");
            Ok(())
        })
    };
    let numbers = || pipeline(&text, [("counter", counter(&world.log, LIMIT)), ("sink", sink())]);
    let a = world.start("a", &[], numbers());
    let (_, epoch) = world.log.owner(0).await;
    let b = world.start("b", &["a"], numbers());
    world
        .log
        .event(0, "b gives up its sink", |node, event| match event {
            NodeEvent::GaveUp { stage, .. } if node == "b" && stage.as_str() == "sink" => Some(()),
            _ => None,
        })
        .await;
    all_taken(&world.log, LIMIT).await;
    end(b).await;
    assert_eq!(end(a).await, NodeExit { gave_up: Vec::new(), cut_short: Vec::new(), expelled: None });
    let entries = world.log.entries();
    assert_eq!(counts(&entries, epoch), (0..LIMIT).map(|number| (number, 1)).collect());
    assert!(took(&entries).all(|took| took.node == "a"));
    assert!(took(&entries).any(|took| took.attempt > 1), "b had some before");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_consumer_that_asks_for_another_try_gets_the_same_batch_later() {
    const LIMIT: u64 = 50;
    let world = World::new();
    let sink = failing_sink(&world.log, |_, call| match call {
        2 => Err(StageError::Retry("not now".to_owned())),
        _ => Ok(()),
    });
    let _node = world.start("a", &[], pipeline(NUMBERS, [("counter", counter(&world.log, LIMIT)), ("sink", sink)]));
    all_taken(&world.log, LIMIT).await;
    let entries = world.log.entries();
    let numbers: Vec<_> = took(&entries).map(|took| took.number).collect();
    assert_eq!(numbers, (0..LIMIT).collect::<Vec<_>>(), "in order, each once");
    let again: Vec<_> = took(&entries).filter(|took| took.attempt == 2).map(|took| took.number).collect();
    assert_eq!(again, [5, 6, 7, 8, 9]);
    assert!(restarts(&entries, "sink").is_empty(), "saying no is not failing");
    let counted =
        events(&entries).any(|(_, event)| matches!(event, NodeEvent::Counted { what, .. } if what.contains("not now")));
    assert!(counted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_stage_whose_init_or_call_fails_for_good_starts_again() {
    let (world, gate) = (World::new(), Gate::open());
    let starts = AtomicU32::new(0);
    let picky = Native::producer("picky", move |_| {
        let start = starts.fetch_add(1, Ordering::Relaxed);
        match start {
            0 => Err("no config".to_owned()),
            _ => Ok(move |demand: u32| match start {
                1 => Err(StageError::Fatal("cannot go on".to_owned())),
                _ => Ok(of_numbers(0..u64::from(demand)).into()),
            }),
        }
    });
    let plugins = [("counter", picky), ("sink", sink(&world.log, &gate))];
    let _node = world.start("a", &[], pipeline(&numbers_text(5), plugins));
    world.log.until("some are taken", |entries| took(entries).count() > 0).await;
    let entries = world.log.entries();
    let reasons: Vec<_> = events(&entries)
        .filter_map(|(_, event)| match event {
            NodeEvent::Restarting { reason, .. } => Some(reason.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(reasons, ["`init` of stage `counter` failed: no config", "the stage gave up: cannot go on"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_event_that_a_consumer_rejects_is_reported_and_done_with() {
    let world = World::new();
    let log = world.log.clone();
    let rejecting = Native::consumer("rejecting", move |spec| {
        let (log, node) = (log.clone(), spec.node.to_string());
        Ok(move |delivery: GuestDelivery| {
            note(&log, &node, &delivery);
            Ok(vec![Rejection { index: 1, retry: false, reason: "odd".to_owned() }])
        })
    });
    let _node = world.start("a", &[], pipeline(NUMBERS, [("counter", counter(&world.log, 10)), ("sink", rejecting)]));
    world.log.until("all ten are taken", |entries| took(entries).count() == 10).await;
    world
        .log
        .event(0, "a count", |_, event| match event {
            NodeEvent::Counted { what, .. } if what == "event 1 of a batch was rejected: odd" => Some(()),
            _ => None,
        })
        .await;
}

#[derive(Clone, Copy, Debug)]
enum AtItsEnd {
    Stops,
    SubscribesAgain,
}
use AtItsEnd::*;

/// What the sink of `node` does when its subscription of `old` ends.
async fn assert_sink(world: &World, node: &str, old: Epoch, what: AtItsEnd, how: &str) {
    let stops = world
        .log
        .event(0, &format!("{how}: {what:?}"), |by, event| match event {
            NodeEvent::Stopped { stage, .. } if by == node && stage.as_str() == "sink" => Some(true),
            NodeEvent::Subscribed { owner, .. } if by == node && owner.epoch > old => Some(false),
            _ => None,
        })
        .await;
    assert_eq!(stops, matches!(what, Stops), "{how}: {what:?}\n{}", world.log.told());
}

/// The counter starts again after it has failed, the sink never, so that its end shows.
fn with_cancel(mode: &str) -> String {
    numbers_with(5, "policy = \"temporary\"", mode)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_failed_source_stops_permanent_and_transient_consumers() {
    for (mode, expected) in [("permanent", Stops), ("transient", Stops), ("temporary", SubscribesAgain)] {
        let (world, gate) = (World::new(), Gate::open());
        let plugins = [("counter", failing_counter(|_, start| start == 1)), ("sink", sink(&world.log, &gate))];
        let _node = world.start("a", &[], pipeline(&with_cancel(mode), plugins));
        let (_, epoch) = world.log.owner(0).await;
        assert_sink(&world, "a", epoch, expected, mode).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_source_that_leaves_stops_permanent_consumers_only() {
    for (mode, expected) in [("permanent", Stops), ("transient", SubscribesAgain), ("temporary", SubscribesAgain)] {
        let (world, gate) = (World::new(), Gate::open());
        let plugins = || [("counter", counter(&world.log, u64::MAX)), ("sink", sink(&world.log, &gate))];
        let a = world.start("a", &[], pipeline(&with_cancel(mode), plugins()));
        let (_, epoch) = world.log.owner(0).await;
        let _b = world.start("b", &["a"], pipeline(&with_cancel(mode), plugins()));
        world.log.taken_by(0, &["b"], epoch).await;
        end(a).await;
        assert_sink(&world, "b", epoch, expected, mode).await;
    }
}
