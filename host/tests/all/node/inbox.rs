//! Events from outside on their way through a stage: confirmed, processed, and there again after their
//! owner is gone.

use forebay::{
    dlq::{Bounds, DeadLetters},
    inbox::{Inbox as _, LocalStore},
    runtime::{StageError, native::Resumable},
};
use forebay_proto::pipeline::Scope;

use super::*;

/// Passes on what is pushed into it.
struct Inlet {
    taken: u64,
    poison: Option<u64>,
}

impl Resumable for Inlet {
    fn handle_demand(&mut self, _: u32) -> Result<Produced, StageError> {
        Ok(Produced::default())
    }

    fn handle_ingest(&mut self, events: Batch) -> Result<Batch, StageError> {
        let numbers = numbers_of(&events);
        assert!(!self.poison.is_some_and(|poison| numbers.contains(&poison)), "told to fail");
        self.taken += numbers.len() as u64;
        Ok(events)
    }

    fn snapshot(&mut self) -> Result<Vec<u8>, String> {
        Ok(self.taken.to_le_bytes().into())
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), String> {
        self.taken = u64::from_le_bytes(snapshot.try_into().map_err(|_| "expected 8 bytes")?);
        Ok(())
    }
}

fn inlet(poison: Option<u64>) -> Arc<dyn Plugin> {
    Native::resumable("inlet", move |_| Ok(Inlet { taken: 0, poison }))
}

/// The inlet stands where the counter does, and is of this scope.
fn of_scope(scope: &str) -> String {
    numbers_with(r#"checkpoint = "50ms""#, "", (20, 10)).replace("global", scope)
}

async fn all_numbers(log: &Log, count: u64) {
    let all = |entries: &[Entry]| {
        let found: BTreeSet<_> = took(entries).map(|took| took.number).collect();
        found.len() as u64 == count
    };
    log.until("all that was confirmed is taken", all).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_was_confirmed_is_processed_although_its_owners_die() {
    const COUNT: u64 = 600;
    let (world, gate) = (World::of_quorum(), Gate::open());
    let text = of_scope("global");
    let mut nodes = BTreeMap::new();
    for (index, name) in ABC.into_iter().enumerate() {
        let numbers = pipeline(&text, [("counter", inlet(None)), ("sink", sink(&world.log, &gate))]);
        nodes.insert(name, world.start(name, &ABC[..index], numbers));
        world.log.owner(0).await;
    }
    until_all_vote(nodes.values()).await;
    let (owner, _) = world.log.owner(0).await;
    let other = *ABC.iter().find(|name| **name != owner).unwrap();
    let inbox = {
        let registry = nodes[other].control().registry().unwrap();
        forebay::inbox::Inboxes::new(registry, LocalStore::in_memory(other.parse().unwrap()))
            .of(&counter_name(), Scope::Global)
    };
    for request in 0..COUNT / 20 {
        let first = 20 * request;
        let batch = || of_numbers(first..first + 20);
        // The former owner led as well, so that the group is without a leader for a moment.
        while inbox.ingest(7, request, batch()).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        if request == 12 {
            drop(nodes.remove(&*owner));
        }
    }
    all_numbers(&world.log, COUNT).await;
    let entries = world.log.entries();
    let epochs: BTreeSet<_> = took(&entries).map(|took| took.epoch).collect();
    assert_eq!(epochs.len(), 2, "two owners");
    until("what is processed is dropped from the inbox", async || inbox.position() >= COUNT).await;
    assert_eq!(inbox.position(), COUNT);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_a_plugin_does_not_survive_of_its_inbox_becomes_a_letter_and_can_be_sent_again() {
    let (world, gate) = (World::new(), Gate::open());
    let (store, letters) = (LocalStore::in_memory("a".parse().unwrap()), DeadLetters::in_memory(Bounds::default()));
    let text = of_scope("node");
    let start = |poison| {
        let numbers = pipeline(&text, [("counter", inlet(poison)), ("sink", sink(&world.log, &gate))]);
        let options = world.joining("a", &[], numbers);
        Node::start(NodeOptions { inboxes: store.clone(), dead_letters: letters.clone(), ..options })
    };
    let node = start(Some(33));
    let inbox = store.inbox(counter_name());
    inbox.ingest(1, 1, of_numbers(0..100)).await.unwrap();
    // Some come twice: when the plugin fails, what it was given since its state was last taken is given again.
    let others = |entries: &[Entry]| took(entries).map(|took| took.number).collect::<BTreeSet<_>>().len() == 99;
    world.log.until("the others are taken", others).await;
    let is_letter = async || letters.count().letters > 0 && inbox.position() >= 100;
    until("it is a letter, and not in the inbox any more", is_letter).await;
    end(node).await;

    let node = start(None);
    let ids: Vec<_> = letters.list(&forebay::dlq::Filter::default(), None, 9).await.iter().map(|it| it.id).collect();
    letters::resend(&node, ids).await;
    all_numbers(&world.log, 100).await;
    until("the letter is gone", async || letters.count().letters == 0).await;
    end(node).await;
}

/// All nodes lose their power while events are pushed in as fast as they are confirmed.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_was_confirmed_is_there_after_all_nodes_died_at_once() {
    let (world, gate) = (World::of_quorum(), Gate::open());
    let text = of_scope("global");
    let start = |name: &str, join: &[&str]| {
        let numbers = pipeline(&text, [("counter", inlet(None)), ("sink", sink(&world.log, &gate))]);
        world.start(name, join, numbers)
    };
    let mut nodes = Vec::new();
    for (index, name) in ABC.into_iter().enumerate() {
        nodes.push(start(name, &ABC[..index]));
        world.log.owner(0).await;
    }
    until_all_vote(&nodes).await;
    // Their consumers hold back, so that most is still in the inbox when they die.
    gate.set(false);
    let registry = nodes[1].control().registry().unwrap();
    let inbox = forebay::inbox::Inboxes::new(registry, LocalStore::in_memory("b".parse().unwrap()))
        .of(&counter_name(), Scope::Global);
    let (mut confirmed, began) = (BTreeSet::new(), std::time::Instant::now());
    let pushing = async {
        for request in 0.. {
            let numbers = 10 * request..10 * request + 10;
            match inbox.ingest(7, request, of_numbers(numbers.clone())).await {
                Ok(_) => confirmed.extend(numbers),
                Err(_) => return,
            }
        }
    };
    let dying = async {
        tokio::time::sleep(Duration::from_millis(700)).await;
        nodes.clear();
        // What was asked for then is not answered any more.
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    tokio::select! { () = pushing => {} () = dying => {} }
    drop(inbox);
    gate.set(true);
    assert!(confirmed.len() >= 100, "{} confirmed in {:?}", confirmed.len(), began.elapsed());
    let mark = world.log.mark();
    let _nodes: Vec<_> = [("a", ["b", "c"]), ("b", ["a", "c"]), ("c", ["a", "b"])]
        .into_iter()
        .map(|(name, join)| {
            // The dead may hold their address for a moment.
            while world.network.bind(world.addr(name), name.parse().unwrap()).is_err() {
                std::thread::sleep(Duration::from_millis(5));
            }
            start(name, &join)
        })
        .collect();
    world.log.owner(mark).await;
    let all = |entries: &[Entry]| {
        let taken: BTreeSet<_> = took(entries).map(|took| took.number).collect();
        taken.is_superset(&confirmed)
    };
    world.log.until("all that was confirmed is taken", all).await;
}
