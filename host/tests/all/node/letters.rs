//! Events that cannot be processed: tried again, found among others, kept, and sent again.

use forebay::{
    dlq::{Bounds, DeadLetters, Filter, Letter},
    runtime::{Plugin, Rejection},
};

use super::*;

/// A sink that does this with its events; 0-based calls are counted over all its instances.
fn judge(
    log: &Log,
    judge: impl Fn(u32, u32, &[u64]) -> Vec<Rejection> + Send + Sync + 'static,
) -> (Arc<dyn Plugin>, Arc<AtomicU64>) {
    let (log, calls, judge) = (log.clone(), Arc::new(AtomicU64::new(0)), Arc::new(judge));
    let counted = Arc::clone(&calls);
    let plugin = Native::consumer("judge", move |spec| {
        let (log, node, judge, calls) = (log.clone(), spec.node.to_string(), Arc::clone(&judge), Arc::clone(&counted));
        Ok(move |delivery: GuestDelivery| {
            let call = u32::try_from(calls.fetch_add(1, Ordering::Relaxed)).unwrap();
            let rejected = judge(call, delivery.attempt, &numbers_of(&delivery.events));
            note(&log, &node, &delivery);
            Ok(rejected)
        })
    });
    (plugin, calls)
}

fn rejection(index: usize, retry: bool) -> Rejection {
    Rejection { index: u32::try_from(index).unwrap(), retry, reason: "odd".to_owned() }
}

/// In batches of a thousand, each event tried three times.
fn batches() -> String {
    numbers_with("", r#"retry = { attempts = 3, backoff = "10ms" }"#, (2000, 1000))
}

/// A node with its letters, on a counter to `limit`.
fn start(world: &World, limit: u64, sink: Arc<dyn Plugin>, bounds: Bounds) -> (Node, DeadLetters) {
    let letters = DeadLetters::in_memory(bounds);
    let numbers = pipeline(&batches(), [("counter", counter(&world.log, limit)), ("sink", sink)]);
    let options = NodeOptions { dead_letters: letters.clone(), ..world.joining("a", &[], numbers) };
    (Node::start(options), letters)
}

async fn all(letters: &DeadLetters) -> Vec<Letter> {
    let mut found = Vec::new();
    for summary in letters.list(&Filter::default(), None, 1000).await {
        found.push(letters.get(summary.id).await.unwrap().unwrap());
    }
    found
}

async fn until_letters(letters: &DeadLetters, count: u64) {
    until(&format!("there are {count} letters"), async || letters.count().letters == count).await;
}

fn numbers(letters: &[Letter]) -> Vec<u64> {
    letters.iter().flat_map(|letter| numbers_of(&letter.event)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_rejected_event_is_tried_again_and_kept_once_that_is_enough() {
    let world = World::new();
    // 3 never works, 5 the second time, 7 is not worth another try.
    let (sink, _) = judge(&world.log, |_, attempt, numbers| {
        let is_bad = |number: u64| matches!((number, attempt), (3, _) | (5, 1) | (7, _));
        let bad = numbers.iter().enumerate().filter(|(_, number)| is_bad(**number));
        bad.map(|(index, number)| rejection(index, *number != 7)).collect()
    });
    let (node, letters) = start(&world, 10, sink, Bounds::default());
    until_letters(&letters, 2).await;
    world
        .log
        .until("5 works in the end", |entries| took(entries).any(|took| (took.number, took.attempt) == (5, 2)))
        .await;
    let kept = all(&letters).await;
    let found: BTreeSet<_> =
        kept.iter().map(|letter| (numbers_of(&letter.event)[0], letter.attempts, letter.seq.0)).collect();
    assert_eq!(found, [(3, 3, 3), (7, 1, 7)].into());
    assert!(kept.iter().all(|letter| letter.reason.as_str() == "odd" && letter.source.as_str() == "counter"));
    assert_eq!(end(node).await.cut_short, Vec::<StageName>::new(), "nothing is left unacknowledged");
}

/// The figure of the README: 21 calls more than without the poison event.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_poison_event_of_a_thousand_is_found_and_the_others_are_processed() {
    let world = World::new();
    let (sink, calls) = judge(&world.log, |_, _, numbers| {
        assert!(!numbers.contains(&777), "told to fail");
        Vec::new()
    });
    let (node, letters) = start(&world, 1000, sink, Bounds::default());
    until_letters(&letters, 1).await;
    world.log.until("the others are taken", |entries| took(entries).count() == 999).await;
    let entries = world.log.entries();
    let numbers: Vec<_> = took(&entries).map(|took| took.number).collect();
    assert_eq!(numbers, (0..1000).filter(|number| *number != 777).collect::<Vec<_>>(), "once, and in order");
    let kept = all(&letters).await;
    assert_eq!(numbers_of(&kept[0].event), [777]);
    assert!(kept[0].reason.as_str().contains("told to fail"), "{}", kept[0].reason.as_str());
    let (calls, batches) = (calls.load(Ordering::Relaxed), 1);
    assert!(calls <= batches + 21, "{calls} calls for one batch of 1,000");
    end(node).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_letter_is_sent_again_and_gone_once_it_is_processed() {
    let world = World::new();
    let mended = Arc::new(AtomicBool::new(false));
    let is_mended = Arc::clone(&mended);
    let (sink, _) = judge(&world.log, move |_, _, numbers| {
        let bad = numbers.iter().enumerate().filter(|(_, number)| **number == 4 && !is_mended.load(Ordering::Relaxed));
        bad.map(|(index, _)| rejection(index, false)).collect()
    });
    let (node, letters) = start(&world, 10, sink, Bounds::default());
    until_letters(&letters, 1).await;
    let summaries = letters.list(&Filter::default(), None, 10).await;
    let id = summaries[0].id;
    let resend = async || node.desk().resend(vec![id]).await;
    resend().await.unwrap();
    let tried =
        |attempt| move |entries: &[Entry]| took(entries).any(|took| (took.number, took.attempt) == (4, attempt));
    world.log.until("it is tried again", tried(2)).await;
    let again = async || letters.get(id).await.unwrap().is_some_and(|letter| letter.attempts == 2);
    until("it is the same letter, with one more attempt", again).await;
    mended.store(true, Ordering::Relaxed);
    resend().await.unwrap();
    world.log.until("it is tried once more", tried(3)).await;
    until_letters(&letters, 0).await;
    end(node).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_finds_no_room_among_the_letters_stays_with_its_source() {
    let world = World::new();
    let (sink, _) = judge(&world.log, |_, _, numbers| {
        let bad = numbers.iter().enumerate().filter(|(_, number)| matches!(**number, 2 | 6));
        bad.map(|(index, _)| rejection(index, false)).collect()
    });
    // A call's letters are kept together, or none of them.
    let bounds = Bounds { letters_max: 1, ..Bounds::default() };
    let (node, letters) = start(&world, 10, sink, bounds);
    world
        .log
        .until("they are tried again", |entries| took(entries).any(|took| (took.number, took.attempt) == (6, 2)))
        .await;
    assert_eq!(letters.count().letters, 0);
    assert!(numbers(&all(&letters).await).is_empty());
    node.control().stop();
}
