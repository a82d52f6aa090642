//! Cases of an inbox, and its laws against a plain list.

use proptest::prelude::*;

use super::*;

fn parcel(events: &[&str]) -> Parcel {
    Parcel::pack(&Batch::from_payloads(events)).unwrap()
}

/// Where the first event of a request is.
fn put(queue: &mut InboxQueue, client: u128, request: u64, parcel: &Parcel) -> Result<u64, NotTaken> {
    queue.ingest(client, request, parcel).map(|placed| placed.first)
}

fn payloads(queue: &InboxQueue, from: u64) -> Vec<String> {
    let mut all = Vec::new();
    for entry in queue.entries_from(from) {
        let skipped = usize::try_from(from.saturating_sub(entry.first)).unwrap();
        let batch = entry.read().unwrap();
        all.extend(batch.iter().skip(skipped).map(|event| String::from_utf8(event.payload.to_vec()).unwrap()));
    }
    all
}

#[test]
fn events_stand_in_order_until_they_are_processed() {
    let mut queue = InboxQueue::default();
    assert_eq!(put(&mut queue, 1, 1, &parcel(&["a", "b", "c"])), Ok(0));
    assert_eq!(put(&mut queue, 2, 1, &parcel(&["d", "e"])), Ok(3));
    assert_eq!(payloads(&queue, 0), ["a", "b", "c", "d", "e"]);
    assert_eq!(payloads(&queue, 2), ["c", "d", "e"]);
    assert_eq!(queue.processed(2), Ok(Vec::new()), "an entry is dropped as a whole");
    assert_eq!((queue.position(), queue.events()), (2, 5));
    assert_eq!(queue.processed(3).unwrap().len(), 1);
    assert_eq!(queue.processed(1), Ok(Vec::new()));
    assert_eq!((queue.position(), queue.end(), queue.events()), (3, 5, 2), "it never goes back");
    assert!(queue.processed(6).unwrap_err().contains("the inbox ends at 5"));
    queue.processed(5).unwrap();
    assert_eq!((queue.events(), queue.bytes()), (0, 0));
    assert_eq!(put(&mut queue, 1, 2, &parcel(&["f"])), Ok(5), "positions never come back");
}

#[test]
fn a_request_that_is_repeated_is_taken_once_also_when_it_was_processed() {
    let mut queue = InboxQueue::default();
    assert_eq!(put(&mut queue, 7, 4, &parcel(&["a"])), Ok(0));
    assert_eq!(put(&mut queue, 7, 4, &parcel(&["a"])), Ok(0));
    queue.processed(1).unwrap();
    assert_eq!(put(&mut queue, 7, 4, &parcel(&["a"])), Ok(0));
    assert_eq!(queue.events(), 0);
    let refused = |result: Result<u64, NotTaken>| match result {
        Err(NotTaken::Refused(why)) => why,
        other => panic!("{other:?}"),
    };
    assert!(refused(put(&mut queue, 7, 4, &parcel(&["a", "b"]))).contains("taken before with 1 events, and has 2 now"));
    assert!(refused(put(&mut queue, 7, 3, &parcel(&["late"]))).contains("numbers must rise"));
    assert_eq!(put(&mut queue, 8, 3, &parcel(&["b"])), Ok(1), "another client counts by itself");
}

#[test]
fn a_full_inbox_says_how_full_it_is_and_takes_again_what_was_taken() {
    let mut queue = InboxQueue::default();
    let long = Parcel::pack(&Batch::from_payloads([vec![b'x'; 1_000_000]])).unwrap();
    let mut taken = 0;
    let full = loop {
        match put(&mut queue, 1, taken, &long) {
            Ok(_) => taken += 1,
            Err(NotTaken::Full(full)) => break full,
            Err(other) => panic!("{other}"),
        }
    };
    assert_eq!(taken, BYTES_MAX / (long.events().len() as u64 + ENTRY_BYTES));
    let text = full.to_string();
    assert!(text.contains(&format!("holds {taken} events of {} bytes", queue.bytes())), "{text}");
    assert!(text.contains("takes 1000000 events or 67108864 bytes"), "{text}");
    assert_eq!(put(&mut queue, 1, taken - 1, &long), Ok(taken - 1), "taken before");
    queue.processed(1).unwrap();
    assert_eq!(put(&mut queue, 1, taken, &long), Ok(taken));
}

#[test]
fn small_events_are_bounded_by_their_number() {
    let mut queue = InboxQueue::default();
    let many = Parcel::pack(&Batch::from_payloads(vec![""; 200_000])).unwrap();
    for request in 0..5 {
        put(&mut queue, 1, request, &many).unwrap();
    }
    assert_eq!(queue.events(), EVENTS_MAX);
    let one_more = put(&mut queue, 1, 5, &parcel(&["x"]));
    assert!(matches!(one_more, Err(NotTaken::Full(Full::Inbox { events: EVENTS_MAX, .. }))), "{one_more:?}");
}

#[test]
fn clients_are_bounded_and_the_one_quiet_for_longest_is_forgotten() {
    let mut queue = InboxQueue::default();
    for client in 0..CLIENTS_MAX as u128 {
        put(&mut queue, client, 1, &parcel(&["x"])).unwrap();
    }
    put(&mut queue, 0, 2, &parcel(&["x"])).unwrap();
    put(&mut queue, u128::MAX, 1, &parcel(&["x"])).unwrap();
    assert_eq!(queue.clients().len(), CLIENTS_MAX);
    assert_eq!(queue.foresee(0, 2, 1, 1), Ok(Some(CLIENTS_MAX as u64)), "it spoke lately");
    assert_eq!(queue.foresee(1, 1, 1, 1), Ok(None), "forgotten");
}

#[test]
fn a_parcel_is_checked_and_bounded() {
    let two = Batch::from_payloads(["x", "y"]);
    assert_eq!(Parcel::check(2, two.encode()).unwrap(), Parcel::pack(&two).unwrap());
    assert_eq!(Parcel::pack(&Batch::default()), Err(ParcelError::Empty));
    assert_eq!(Parcel::check(0, Batch::default().encode()), Err(ParcelError::Empty));
    assert_eq!(Parcel::check(3, two.encode()), Err(ParcelError::Count { found: 2, said: 3 }));
    let mut damaged = two.encode().to_vec();
    damaged.pop();
    assert!(matches!(Parcel::check(2, damaged.into()), Err(ParcelError::Wire(_))));
    let largest = Batch::from_payloads([vec![0; PARCEL_BYTES_MAX - 13]]);
    assert_eq!(largest.encode().len(), PARCEL_BYTES_MAX);
    assert!(Parcel::pack(&largest).is_ok());
    let longer = Parcel::pack(&Batch::from_payloads([vec![0; PARCEL_BYTES_MAX - 12]])).unwrap_err().to_string();
    assert!(longer.contains("1048577 bytes, an inbox takes 1048576 at once"), "{longer}");
}

#[test]
fn what_is_put_together_wrongly_is_refused() {
    let entry = |first, count| Entry { first, count, events: Bytes::new() };
    let restored = |position, end, entries: Vec<Entry>| InboxQueue::restore(position, end, entries, []);
    assert!(restored(3, 5, vec![entry(2, 3)]).is_ok());
    for (position, end, entries) in [
        (0, 5, vec![]),
        (1, 5, vec![entry(2, 3)]),
        (5, 5, vec![entry(2, 3)]),
        (2, 6, vec![entry(2, 3)]),
        (2, 5, vec![entry(2, 1), entry(4, 1)]),
        (2, 2, vec![entry(2, 0)]),
        (u64::MAX, u64::MAX, vec![entry(u64::MAX, 1)]),
    ] {
        assert!(restored(position, end, entries.clone()).is_err(), "{position} {end} {entries:?}");
    }
}

#[derive(Clone, Debug)]
enum Step {
    Ingest(u128, u64, Vec<String>),
    Processed(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let events = prop::collection::vec("[a-z]{0,3}", 1..4);
    prop_oneof![
        3 => (0..3u128, 0..6u64, events).prop_map(|(client, request, events)| Step::Ingest(client, request, events)),
        1 => (0..20u64).prop_map(Step::Processed),
    ]
}

/// What an inbox is, told in the simplest way.
#[derive(Default)]
struct Model {
    all: Vec<String>,
    position: u64,
    last: BTreeMap<u128, (u64, u64, usize)>,
}

impl Model {
    fn ingest(&mut self, client: u128, request: u64, events: &[String]) -> Option<u64> {
        match self.last.get(&client) {
            Some(&(last, first, count)) if last == request => return (count == events.len()).then_some(first),
            Some(&(last, ..)) if last > request => return None,
            _ => {}
        }
        let first = self.all.len() as u64;
        self.last.insert(client, (request, first, events.len()));
        self.all.extend_from_slice(events);
        Some(first)
    }
}

proptest! {
    /// Nothing is lost, doubled or put in another order; positions rise and never come back; a fork decides the
    /// same; and what is kept is put together again as it was.
    #[test]
    fn an_inbox_is_a_list_that_is_read_from_the_front(steps in prop::collection::vec(step(), 1..40)) {
        let (mut queue, mut model) = (InboxQueue::default(), Model::default());
        for step in steps {
            match step {
                Step::Ingest(client, request, events) => {
                    let parcel = Parcel::pack(&Batch::from_payloads(&events)).unwrap();
                    let expected = model.ingest(client, request, &events);
                    prop_assert_eq!(put(&mut queue.fork(), client, request, &parcel).ok(), expected);
                    prop_assert_eq!(put(&mut queue, client, request, &parcel).ok(), expected);
                }
                Step::Processed(upto) => {
                    let done = queue.processed(upto).is_ok();
                    prop_assert_eq!(done, upto <= model.all.len() as u64);
                    if done { model.position = model.position.max(upto); }
                }
            }
            prop_assert_eq!((queue.position(), queue.end()), (model.position, model.all.len() as u64));
            let left = &model.all[usize::try_from(model.position).unwrap()..];
            prop_assert_eq!(payloads(&queue, model.position), left);
            let entries: Vec<_> = queue.entries_from(0).cloned().collect();
            prop_assert_eq!(queue.bytes(), entries.iter().map(Entry::cost).sum::<u64>());
            let again = InboxQueue::restore(queue.position(), queue.end(), entries, queue.clients());
            prop_assert_eq!(again.as_ref(), Ok(&queue));
        }
    }
}
