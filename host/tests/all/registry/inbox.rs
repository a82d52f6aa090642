//! What every inbox does: the contract of the trait, test by test; and those of a group, when answers and disks fail.

use forebay::inbox::{Inbox, InboxEvents, Inboxes, IngestError, LocalStore};
use forebay_proto::{
    batch::Batch,
    inbox::{Full, PARCEL_BYTES_MAX},
    pipeline::Scope,
};

use super::*;

/// An inbox, with the epochs of a former owner and of the present one.
struct Place {
    inbox: Arc<dyn Inbox>,
    former: Epoch,
    present: Epoch,
    /// What must live as long.
    _kept: Box<dyn std::any::Any + Send>,
}

impl Place {
    fn local(store: &LocalStore, kept: impl std::any::Any + Send) -> Self {
        let registry = Arc::new(IslandsRegistry::new("a".parse().unwrap(), BootId(1)));
        let inbox = Inboxes::new(registry, store.clone()).of(&name("s"), Scope::Global);
        Self { inbox, former: Epoch::from_u64(1), present: Epoch::from_u64(2), _kept: Box::new(kept) }
    }

    async fn memory() -> Self {
        Self::local(&LocalStore::in_memory("a".parse().unwrap()), ())
    }

    async fn disk() -> Self {
        let data = tempfile::tempdir().unwrap();
        let store = LocalStore::open("a".parse().unwrap(), data.path(), DiskRoom::of(data.path(), 1)).unwrap();
        Self::local(&store, data)
    }

    /// At the member that leads (0), or at the one that does not (1).
    async fn quorum(member: usize) -> Self {
        let group = Quorum::start().await;
        let registry = Arc::clone(&group.registries[member]);
        let former = registry.claim(&name("s")).await.unwrap().epoch;
        let present = registry.claim(&name("s")).await.unwrap().epoch;
        let inbox = inbox(&registry);
        Self { inbox, former, present, _kept: Box::new(group) }
    }

    async fn leader() -> Self {
        Self::quorum(0).await
    }

    async fn follower() -> Self {
        Self::quorum(1).await
    }
}

fn inbox(registry: &Arc<QuorumRegistry>) -> Arc<dyn Inbox> {
    let local = LocalStore::in_memory("none".parse().unwrap());
    Inboxes::new(Arc::clone(registry) as _, local).of(&name("s"), Scope::Global)
}

macro_rules! for_every_inbox {
    ($($name:ident,)*) => {
        for_every_inbox! { @ memory $($name,)* }
        for_every_inbox! { @ disk $($name,)* }
        for_every_inbox! { @ leader $($name,)* }
        for_every_inbox! { @ follower $($name,)* }
    };
    (@ $kind:ident $($name:ident,)*) => {
        mod $kind {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() { super::bounded(async { super::$name(super::Place::$kind().await).await }).await; })*
        }
    };
}

for_every_inbox! {
    positions_rise_and_a_repeated_request_is_taken_once,
    next_waits_gives_again_and_keeps_its_bounds,
    only_the_present_owner_says_what_is_processed,
    what_no_inbox_can_take_is_refused,
}

fn batch(events: &[&str]) -> Batch {
    Batch::from_payloads(events)
}

fn texts(events: &InboxEvents) -> Vec<String> {
    events.events.iter().map(|event| String::from_utf8_lossy(event.payload).into_owned()).collect()
}

/// A follower hears a little later what was agreed on.
async fn position_is(inbox: &dyn Inbox, position: u64) {
    while inbox.position() != position {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn positions_rise_and_a_repeated_request_is_taken_once(place: Place) {
    let inbox = &place.inbox;
    assert_eq!(inbox.ingest(1, 1, batch(&["a", "b"])).await.unwrap(), 0);
    assert_eq!(inbox.ingest(1, 1, batch(&["a", "b"])).await.unwrap(), 0);
    assert_eq!(inbox.ingest(2, 1, batch(&["c"])).await.unwrap(), 2);
    assert!(matches!(inbox.ingest(1, 0, batch(&["late"])).await, Err(IngestError::Refused(_))));
    inbox.processed(place.present, 3).await.unwrap();
    assert_eq!(inbox.ingest(2, 1, batch(&["c"])).await.unwrap(), 2, "also when it was processed");
    assert_eq!(inbox.ingest(1, 2, batch(&["d"])).await.unwrap(), 3, "positions never come back");
    position_is(&**inbox, 3).await;
    assert_eq!(texts(&inbox.next(0, 9, 1 << 20).await), ["d"]);
}

async fn next_waits_gives_again_and_keeps_its_bounds(place: Place) {
    let inbox = &place.inbox;
    for _ in 0..3 {
        assert!(tokio::time::timeout(Duration::from_millis(1), inbox.next(0, 9, 99)).await.is_err());
    }
    let pushing = async {
        tokio::task::yield_now().await;
        inbox.ingest(1, 1, batch(&["a", "b", "c"])).await.unwrap();
        inbox.ingest(1, 2, batch(&["d"])).await.unwrap();
    };
    let (first, ()) = tokio::join!(inbox.next(0, 2, 1 << 20), pushing);
    assert_eq!((first.first, texts(&first)), (0, vec!["a".to_owned(), "b".to_owned()]));
    let rest = async {
        loop {
            let rest = inbox.next(first.end(), 9, 1 << 20).await;
            if rest.end() == 4 {
                return rest;
            }
        }
    };
    assert_eq!(texts(&rest.await), ["c", "d"]);
    assert_eq!(texts(&inbox.next(0, 9, 0).await), ["a"], "at least one, and again");
}

async fn only_the_present_owner_says_what_is_processed(place: Place) {
    let inbox = &place.inbox;
    inbox.ingest(1, 1, batch(&["a", "b", "c"])).await.unwrap();
    inbox.processed(place.present, 1).await.unwrap();
    let late = inbox.processed(place.former, 3).await.unwrap_err();
    assert!(matches!(late, CheckpointError::Fenced(_)), "{late}");
    inbox.processed(place.present, 2).await.unwrap();
    inbox.processed(place.present, 1).await.unwrap();
    position_is(&**inbox, 2).await;
    assert_eq!(texts(&inbox.next(0, 9, 1 << 20).await), ["c"]);
    let beyond = inbox.processed(place.present, 4).await.unwrap_err();
    assert!(matches!(&beyond, CheckpointError::Fenced(fenced) if fenced.current.unwrap().1 == Seq(3)), "{beyond}");
}

async fn what_no_inbox_can_take_is_refused(place: Place) {
    let inbox = &place.inbox;
    for (events, why) in [
        (Batch::default(), "a batch of no events"),
        (Batch::from_payloads([vec![0; PARCEL_BYTES_MAX]]), "an inbox takes 1048576 at once"),
    ] {
        let refused = inbox.ingest(1, 1, events).await.unwrap_err();
        assert!(matches!(&refused, IngestError::Refused(_)) && refused.to_string().contains(why), "{refused}");
    }
    let largest = Batch::from_payloads([vec![0; PARCEL_BYTES_MAX - 13]]);
    assert_eq!(inbox.ingest(1, 1, largest).await.unwrap(), 0);
}

#[tokio::test]
async fn events_whose_answers_are_lost_are_taken_once_and_by_all_members() {
    bounded(async {
        let group = Quorum::start().await;
        let [a, b] = &group.registries;
        group.way.lost_answers.store(3, Ordering::Relaxed);
        assert_eq!(inbox(b).ingest(7, 1, batch(&["x", "y"])).await.unwrap(), 0);
        assert_eq!(group.way.lost_answers.load(Ordering::Relaxed), 0, "all three were lost");
        for registry in [a, b] {
            assert_eq!(texts(&inbox(registry).next(0, 9, 99).await), ["x", "y"]);
            assert_eq!(registry.read_inbox(&name("s"), |inbox| inbox.unwrap().end()), 2);
        }
    })
    .await;
}

#[tokio::test]
async fn a_full_inbox_and_a_repeated_request_add_nothing_to_the_log() {
    bounded(async {
        let group = Quorum::start().await;
        let [a, b] = &group.registries;
        let many = Batch::from_payloads(vec![""; 250_000]);
        for request in 0..4 {
            inbox(a).ingest(1, request, many.clone()).await.unwrap();
        }
        group.exchange().await;
        let before = a.report().applied;
        for registry in [a, b] {
            let full = inbox(registry).ingest(2, 1, batch(&["x"])).await.unwrap_err();
            assert!(matches!(full, IngestError::Full(Full::Inbox { events: 1_000_000, .. })), "{full}");
            assert_eq!(inbox(registry).ingest(1, 3, many.clone()).await.unwrap(), 750_000);
        }
        assert_eq!(a.report().applied, before);
    })
    .await;
}

#[tokio::test]
async fn a_low_disk_of_the_node_asked_or_of_the_leader_refuses_until_there_is_room() {
    bounded(async {
        let group = Quorum::start().await;
        let [a, b] = &group.registries;
        let of_b = inbox(b);
        assert_eq!(of_b.ingest(1, 1, batch(&["kept"])).await.unwrap(), 0);
        for (request, low) in [(2, "a"), (3, "b")] {
            group.way.low.lock().unwrap().insert(low.parse().unwrap());
            let refused = of_b.ingest(1, request, batch(&["x"])).await.unwrap_err();
            assert!(
                matches!(&refused, IngestError::Full(Full::Disk { node, free: 5, reserve: 10 }) if node.as_str() == low)
            );
            let text = refused.to_string();
            assert!(text.contains(&format!("5 bytes are free on the disk of {low}, and 10 are kept")), "{text}");
            // What makes room goes on.
            let claim = b.claim(&name("s")).await.unwrap();
            of_b.processed(claim.epoch, 0).await.unwrap();
            group.way.low.lock().unwrap().clear();
            assert_eq!(of_b.ingest(1, request, batch(&["x"])).await.unwrap(), request - 1);
        }
        assert_eq!(texts(&inbox(a).next(0, 9, 999).await), ["kept", "x", "x"]);
    })
    .await;
}

/// Only the owner's node, whatever a peer says.
#[tokio::test]
async fn a_peer_says_of_no_others_events_that_they_are_processed() {
    bounded(async {
        let group = Quorum::start().await;
        let a = &group.registries[0];
        let claim = a.claim(&name("s")).await.unwrap();
        inbox(a).ingest(1, 1, batch(&["x"])).await.unwrap();
        let command = Command::Processed { name: name("s"), epoch: claim.epoch, upto: 1 };
        let request = Request::Propose { group: a.group().unwrap(), proposal: Proposal { at_ms: 0, command }.encode() };
        let answer = a.answer(&"b".parse().unwrap(), "127.0.0.1:1".parse().unwrap(), request.encode()).await;
        let refused = Answer::Refused("b speaks for a, who owns p/s".to_owned());
        assert_eq!(Answer::decode(&answer).unwrap(), refused);
        assert_eq!(inbox(a).position(), 0);
    })
    .await;
}

/// The log is let go of by bytes, and a member that comes late is sent a snapshot with the inbox.
#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_comes_late_has_all_events() {
    bounded(async {
        let way = Arc::<Way>::default();
        let (a, _) = Quorum::member(&way, "a", 1, 1);
        while !a.report().holds {
            a.next_change().await;
        }
        let long = Batch::from_payloads([vec![b'x'; PARCEL_BYTES_MAX / 2]]);
        for request in 0..80 {
            assert_eq!(inbox(&a).ingest(1, request, long.clone()).await.unwrap(), request);
        }
        let (b, _) = Quorum::member(&way, "b", 2, 0);
        while b.read_inbox(&name("s"), |inbox| inbox.is_none_or(|inbox| inbox.end() < 80)) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let all = inbox(&b).next(0, 1000, usize::MAX).await;
        assert_eq!((all.first, all.events.len()), (0, 80));
    })
    .await;
}
