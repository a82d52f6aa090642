//! Events that cannot be processed: tried again, found among others, kept, and sent again.

use forebay::{
    dlq::{Bounds, DeadLetters, Filter, Letter, LetterId},
    node::admin::wire::{AboutLetters, LettersAsked, LettersQuestion, Outcome},
    runtime::{Plugin, Rejection},
};
use forebay_proto::batch::BatchLimits;

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

/// Has letters of a node processed once more.
pub(super) async fn resend(node: &Node, ids: Vec<LetterId>) {
    let question = LettersQuestion::Resend { ids: ids.iter().map(|id| id.0).collect() };
    let answer = node.desk().dead_letters(LettersAsked { node: None, question }).await.unwrap();
    let AboutLetters::Outcomes(outcomes) = answer else { panic!("{answer:?}") };
    assert!(outcomes.iter().all(|of| of.outcome == Outcome::Done), "{outcomes:?}");
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
    resend(&node, vec![id]).await;
    let tried =
        |attempt| move |entries: &[Entry]| took(entries).any(|took| (took.number, took.attempt) == (4, attempt));
    world.log.until("it is tried again", tried(2)).await;
    let again = async || letters.get(id).await.unwrap().is_some_and(|letter| letter.attempts == 2);
    until("it is the same letter, with one more attempt", again).await;
    mended.store(true, Ordering::Relaxed);
    resend(&node, vec![id]).await;
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

/// Asks `asked` for a letter's event as an operator does, part by part.
async fn event_of(asked: &Node, node: &str, id: u64) -> Batch {
    let mut bytes = Vec::new();
    loop {
        let question = LettersQuestion::Show { id, from: bytes.len() as u64 };
        let AboutLetters::Part(part) = about(asked, Some(node), question).await.unwrap() else { panic!("a part") };
        assert_eq!((&*part.letter.node, part.letter.id), (node, id));
        let digit = |at: usize| u8::from_str_radix(&part.part[at..at + 2], 16).unwrap();
        bytes.extend((0..part.part.len()).step_by(2).map(digit));
        if bytes.len() as u64 >= part.event_bytes {
            return Batch::decode(&bytes, &BatchLimits { events_max: 1, bytes_max: u32::MAX }).unwrap();
        }
    }
}

/// The numbers of all letters of a node, page by page.
async fn ids_of(asked: &Node, node: Option<&str>) -> Vec<u64> {
    let mut ids = Vec::new();
    loop {
        let question = LettersQuestion::List { pipeline: None, stage: None, after: ids.last().copied() };
        let AboutLetters::Page(page) = about(asked, node, question).await.unwrap() else { panic!("a page") };
        assert!(page.letters.len() <= 200 && page.letters.iter().all(|letter| node.is_none_or(|it| it == letter.node)));
        ids.extend(page.letters.iter().map(|letter| letter.id));
        if !page.more {
            return ids;
        }
    }
}

async fn about(asked: &Node, node: Option<&str>, question: LettersQuestion) -> Result<AboutLetters, String> {
    asked.desk().dead_letters(LettersAsked { node: node.map(str::to_owned), question }).await
}

async fn outcomes(asked: &Node, node: &str, question: LettersQuestion) -> Vec<Outcome> {
    match about(asked, Some(node), question).await {
        Ok(AboutLetters::Outcomes(outcomes)) => outcomes.into_iter().map(|of| of.outcome).collect(),
        other => panic!("{other:?}"),
    }
}

async fn letters_of_all_nodes_are_reached_from_any(world: World) {
    let gate = Gate::open();
    let mut stores = BTreeMap::new();
    let mut nodes = BTreeMap::new();
    for (index, name) in ABC.into_iter().enumerate() {
        let letters = DeadLetters::in_memory(Bounds::default());
        let numbers = pipeline(NUMBERS, [("counter", counter(&world.log, 0)), ("sink", sink(&world.log, &gate))]);
        let options = world.joining(name, &ABC[..index], numbers);
        nodes.insert(name, Node::start(NodeOptions { dead_letters: letters.clone(), ..options }));
        stores.insert(name, letters);
        let (_, epoch) = world.log.owner(0).await;
        world.log.subscribed(name, epoch).await;
    }
    if world.quorum.is_some() {
        until_all_vote(nodes.values()).await;
    }
    for name in ABC {
        until(&format!("{name} hears the others"), async || {
            let others = ABC.iter().filter(|other| **other != name);
            let heard = others.map(|other| first_page(&nodes[name], other));
            futures_util::future::join_all(heard).await.iter().all(Result::is_ok)
        })
        .await;
    }
    let long: Vec<u8> = (0..900_000_u32).map(|at| (at % 251) as u8).collect();
    let of_sink = |payload: &[u8]| {
        let (pipeline, source) = ("numbers".parse().unwrap(), "counter".parse().unwrap());
        Letter { pipeline, source, ..crate::dlq::letter("sink", 4242, payload) }
    };
    stores["b"].put((0..450).map(|seq| crate::dlq::letter("s", seq, b"x")).collect()).await.unwrap();
    stores["b"].put(vec![of_sink(b"4242")]).await.unwrap();
    stores["c"].put(vec![crate::dlq::letter("s", 0, &long)]).await.unwrap();

    for asked in nodes.values() {
        assert_eq!(ids_of(asked, Some("a")).await, Vec::<u64>::new());
        assert_eq!(ids_of(asked, Some("b")).await, (1..=451).collect::<Vec<_>>(), "over several pages");
        assert_eq!(ids_of(asked, Some("c")).await, [1]);
        assert_eq!(event_of(asked, "c", 1).await.event(0).payload, long);
    }
    assert_eq!(ids_of(&nodes["c"], None).await, [1], "its own, if no other is named");

    let asked = &nodes["a"];
    let resend = LettersQuestion::Resend { ids: vec![451, 1, 999] };
    let told = outcomes(asked, "b", resend).await;
    assert!(matches!(&told[..], [Outcome::Done, Outcome::Refused(_), Outcome::Unknown]), "{told:?}");
    let tried = |took: Took| (&*took.node, took.number, took.attempt) == ("b", 4242, 6);
    world.log.until("b tries it again", |entries| took(entries).any(tried)).await;
    until("it is gone once it is processed", async || ids_of(asked, Some("b")).await.len() == 450).await;

    let told = outcomes(asked, "c", LettersQuestion::Drop { ids: vec![1, 2] }).await;
    assert_eq!(told, [Outcome::Done, Outcome::Unknown]);
    assert_eq!((stores["c"].count().letters, stores["b"].count().letters), (0, 450), "there and nowhere else");
    let told = about(asked, Some("c"), LettersQuestion::Show { id: 1, from: 0 }).await.unwrap_err();
    assert_eq!(told, "there is no dead letter c:1");

    drop(nodes.remove("c"));
    let asked = &nodes["a"];
    let is_missed = async || first_page(asked, "c").await.is_err();
    until("c is missed", is_missed).await;
    for (node, why) in [("x", "a knows of no node `x`"), ("c", "c"), ("A", "`A` is no name")] {
        let told = first_page(asked, node).await.unwrap_err();
        assert!(told.contains(why), "{told}");
    }
    assert_eq!(ids_of(asked, Some("b")).await.len(), 450, "the others are heard");
}

/// Whether a node is heard: one page of its letters.
async fn first_page(asked: &Node, node: &str) -> Result<AboutLetters, String> {
    about(asked, Some(node), LettersQuestion::List { pipeline: None, stage: None, after: None }).await
}

in_both_modes!(letters_of_all_nodes_are_reached_from_any,);
