//! Groups by themselves: what belongs together, when a group is full, what is taken and what is dropped.

use super::*;
use crate::{
    batch::{BatchLimits, Columns},
    ids::Seq,
};

const SUB: SubId = SubId(1);

fn gather(size: u32, by: Option<GatherBy>, bytes_max: usize) -> Gather {
    Gather::new(Gathering { size, timeout: Duration::from_secs(1), by }, bytes_max)
}

fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// Events named by their numbers; the key of each, its topic and its header `h` is the letter given for it.
fn events(first: u64, letters: &str) -> Events {
    let mut columns = Columns::default();
    for (index, letter) in letters.chars().enumerate() {
        let letter = letter.to_string();
        columns.payloads.extend((first + index as u64).to_string().bytes());
        columns.ends.push(u32::try_from(columns.payloads.len()).unwrap());
        columns.keys.extend(letter.bytes());
        columns.key_ends.push(u32::try_from(columns.keys.len()).unwrap());
        let topic = columns.topics.iter().position(|topic| *topic == letter).unwrap_or(columns.topics.len());
        if topic == columns.topics.len() {
            columns.topics.push(letter.clone());
        }
        columns.topic_of.push(u16::try_from(topic).unwrap());
        let event = u32::try_from(index).unwrap();
        columns.headers.extend([(event, "other".into(), "x".into()), (event, "h".into(), letter)]);
        columns.headers.push((event, "h".into(), "second".into()));
    }
    let count = u32::try_from(letters.len()).unwrap();
    let events = Batch::new(columns, &BatchLimits::default()).unwrap();
    Events { attempt: 1, runs: vec![SeqRun { first: Seq(first), count }], events }
}

/// The numbers of a batch, once by its runs and once by what is in it.
fn numbers(gathered: &Gathered) -> Vec<u64> {
    let numbers: Vec<_> = gathered.runs.iter().flat_map(|run| run.first.0..run.end().0).collect();
    let payload = |event: crate::batch::Event<'_>| std::str::from_utf8(event.payload).unwrap().parse::<u64>().unwrap();
    assert_eq!(numbers, gathered.events.iter().map(payload).collect::<Vec<_>>(), "numbers stay with their events");
    numbers
}

fn take_ready(gather: &mut Gather, now: Duration) -> Option<Vec<u64>> {
    let no = gather.ready(now)?;
    let most = gather.call_events(no);
    let gathered = gather.take(no).unwrap();
    assert!(gathered.events.len() <= most as usize);
    Some(numbers(&gathered))
}

#[test]
fn messages_are_joined_up_to_the_size_and_the_rest_waits_from_when_it_came() {
    let mut gather = gather(4, None, usize::MAX);
    gather.add(millis(0), SUB, events(0, "aaa"));
    assert_eq!((gather.ready(millis(999)), gather.deadline()), (None, Some(millis(1000))));
    gather.add(millis(500), SUB, events(3, "bbb"));
    assert_eq!(take_ready(&mut gather, millis(500)), Some(vec![0, 1, 2, 3]));
    assert_eq!((gather.waiting(SUB), gather.deadline()), (2, Some(millis(1500))));
    assert_eq!(take_ready(&mut gather, millis(1499)), None);
    assert_eq!(take_ready(&mut gather, millis(1500)), Some(vec![4, 5]));
    assert_eq!((gather.len(), gather.waiting(SUB), gather.deadline()), (0, 0, None));
}

#[test]
fn events_of_one_value_go_together_whatever_it_is_of() {
    for by in [GatherBy::Key, GatherBy::Topic, GatherBy::Header("h".into())] {
        let mut gather = gather(3, Some(by.clone()), usize::MAX);
        gather.add(millis(0), SUB, events(0, "aabab"));
        assert_eq!(take_ready(&mut gather, millis(0)), Some(vec![0, 1, 3]), "{by:?}");
        assert_eq!(take_ready(&mut gather, millis(0)), None);
        gather.add(millis(1), SUB, events(5, "cb"));
        assert_eq!(take_ready(&mut gather, millis(1)), Some(vec![2, 4, 6]));
        assert_eq!(take_ready(&mut gather, millis(1001)), Some(vec![5]));
    }
}

#[test]
fn events_without_a_value_belong_together() {
    let bare = |first: u64| {
        let runs = vec![SeqRun { first: Seq(first), count: 1 }];
        Events { attempt: 1, runs, events: Batch::from_payloads([first.to_string()]) }
    };
    for by in [GatherBy::Key, GatherBy::Topic, GatherBy::Header("h".into())] {
        let mut gather = gather(2, Some(by), usize::MAX);
        gather.add(millis(0), SUB, bare(0));
        gather.add(millis(0), SUB, events(1, "a"));
        gather.add(millis(0), SUB, bare(2));
        assert_eq!(take_ready(&mut gather, millis(0)), Some(vec![0, 2]));
    }
}

#[test]
fn attempts_and_subscriptions_are_never_mixed() {
    let mut gather = gather(2, None, usize::MAX);
    gather.add(millis(0), SUB, events(0, "a"));
    gather.add(millis(0), SUB, Events { attempt: 2, ..events(7, "a") });
    gather.add(millis(0), SubId(2), events(0, "a"));
    assert_eq!((gather.ready(millis(0)), gather.len()), (None, 3));
    gather.add(millis(0), SUB, Events { attempt: 2, ..events(9, "a") });
    let taken = gather.take(gather.ready(millis(0)).unwrap()).unwrap();
    assert_eq!((taken.sub, taken.attempt, numbers(&taken)), (SUB, 2, vec![7, 9]));
    assert_eq!(gather.forget(SUB), 1);
    assert_eq!((gather.oldest_of(SUB), gather.waiting(SubId(2))), (None, 1));
}

#[test]
fn a_call_has_no_more_bytes_than_a_message_may_have() {
    let size = events(0, "aa").events.bytes();
    let mut gather = gather(1000, None, 2 * size);
    gather.add(millis(0), SUB, events(0, "aa"));
    assert_eq!(gather.ready(millis(0)), None);
    gather.add(millis(0), SUB, events(2, "aa"));
    gather.add(millis(0), SUB, events(4, "aa"));
    assert_eq!(take_ready(&mut gather, millis(0)), Some(vec![0, 1, 2, 3]));
    assert_eq!(take_ready(&mut gather, millis(0)), None);
    let mut small = self::gather(1000, None, 1);
    small.add(millis(0), SUB, events(0, "aa"));
    assert_eq!(take_ready(&mut small, millis(0)), Some(vec![0, 1]), "one that is too large by itself goes alone");
}

#[test]
fn more_topics_than_one_batch_can_name_make_two_calls() {
    let many = |first: u64| {
        let topics: Vec<String> = (0..40_000).map(|n| format!("{first}.{n}")).collect();
        let payloads = first.to_string().into_bytes();
        let columns = Columns {
            ends: vec![u32::try_from(payloads.len()).unwrap()],
            payloads,
            topics,
            topic_of: vec![7],
            ..Columns::default()
        };
        let events = Batch::new(columns, &BatchLimits::default()).unwrap();
        Events { attempt: 1, runs: vec![SeqRun { first: Seq(first), count: 1 }], events }
    };
    let mut gather = gather(3, None, usize::MAX);
    (0..3).for_each(|first| gather.add(millis(0), SUB, many(first)));
    assert_eq!(take_ready(&mut gather, millis(0)), Some(vec![0]));
    assert_eq!(gather.waiting(SUB), 2);
    assert_eq!(take_ready(&mut gather, millis(1000)), Some(vec![1]));
    assert_eq!(take_ready(&mut gather, millis(1000)), Some(vec![2]));
}

#[test]
fn the_oldest_or_the_newest_are_dropped_over_all_groups() {
    let dropped = |when_full, excess| {
        let mut gather = gather(9, Some(GatherBy::Key), usize::MAX);
        gather.add(millis(0), SUB, events(0, "aabb"));
        gather.add(millis(0), SUB, events(4, "aa"));
        gather.add(millis(0), SubId(2), events(0, "aa"));
        let dropped = gather.drop_events(SUB, excess, when_full);
        assert_eq!(gather.waiting(SubId(2)), 2);
        let left = gather.waiting(SUB);
        let dropped: Vec<_> = dropped.iter().flat_map(|run| run.first.0..run.end().0).collect();
        assert_eq!(dropped.len() + left as usize, 6);
        dropped
    };
    assert_eq!(dropped(WhenFull::DropOldest, 3), [0, 1, 2]);
    assert_eq!(dropped(WhenFull::DropNewest, 3), [4, 5, 3]);
    assert_eq!(dropped(WhenFull::DropOldest, 99).len(), 6, "all there are");
}
