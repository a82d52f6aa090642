//! Who gets which events when consumers come, go and are lost: what the recorded runs cannot show.

mod world;

use std::time::Duration;

use super::{DispatcherOptions, PartitionBy, PartitionOptions, numbered_partitions};
use crate::{
    ids::SubId,
    message::Reason,
    producer::{BufferOptions, Keep},
    select::{Deliver, Selection},
    stage::Notice,
};
use world::World;

fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn broadcast() -> DispatcherOptions {
    DispatcherOptions::Broadcast { away: millis(10_000) }
}

fn partition(partitions: u32) -> DispatcherOptions {
    let by = PartitionBy::Number("p".into());
    DispatcherOptions::Partition(PartitionOptions {
        by,
        partitions: numbered_partitions(partitions),
        away: millis(10_000),
    })
}

fn everything() -> Selection {
    Selection::default()
}

fn topics(patterns: &[&str]) -> Selection {
    Selection { topics: patterns.iter().map(|pattern| pattern.parse().unwrap()).collect(), ..Selection::default() }
}

fn shared() -> Selection {
    Selection { deliver: Deliver::Shared, ..Selection::default() }
}

fn pinned(partitions: &[u32]) -> Selection {
    let partitions = partitions.iter().map(|number| number.to_string().parse().unwrap()).collect();
    Selection { partitions, ..Selection::default() }
}

/// One past its start, so that no event is kept for consumers that nobody has heard of.
fn settled(dispatcher: DispatcherOptions, size: u64) -> World {
    let mut world = World::new(dispatcher, BufferOptions { size: Some(size), keep: Keep::Last });
    world.at(millis(20_000));
    world
}

fn gone() -> Reason {
    Reason::Unreachable("gone".into())
}

#[test]
fn a_lost_consumer_gets_what_it_missed_when_it_comes_back_and_holds_up_nobody_meanwhile() {
    let mut world = settled(broadcast(), 100);
    let (a, b) = (world.join("a", 0, everything(), 10), world.join("b", 0, everything(), 10));
    world.emit(0..3);
    assert_eq!((world.sent(a), world.sent(b)), (vec![0, 1, 2], vec![0, 1, 2]));
    world.ack(a, 0..3, 10);
    world.ack(b, 0..1, 10);
    world.down(b, gone());
    world.emit(3..6);
    assert_eq!(world.sent(a), [3, 4, 5]);
    world.ack(a, 3..6, 10);
    assert_eq!(world.first_unsettled(), 1, "what the lost one has not acknowledged is not settled");
    let back = world.join("b", 0, everything(), 10);
    assert_eq!(world.sent(back), [1, 2, 3, 4, 5]);
    world.ack(back, 1..6, 10);
    assert_eq!((world.first_unsettled(), world.buffered()), (6, 0));
}

#[test]
fn a_consumer_that_leaves_takes_its_copies_with_it() {
    let mut world = settled(broadcast(), 100);
    let (a, b) = (world.join("a", 0, everything(), 10), world.join("b", 0, everything(), 10));
    world.emit(0..3);
    world.ack(a, 0..3, 10);
    world.cancel(b, Reason::Normal);
    assert_eq!(world.first_unsettled(), 3);
    world.emit(3..4);
    let back = world.join("b", 0, everything(), 10);
    assert_eq!(world.sent(back), [] as [u64; 0]);
}

/// As when another version takes its place.
#[test]
fn a_consumer_that_was_told_to_end_finds_what_it_missed_when_it_comes_back() {
    let mut world = settled(broadcast(), 100);
    let (a, b) = (world.join("a", 0, everything(), 10), world.join("b", 0, everything(), 10));
    world.emit(0..3);
    world.ack(a, 0..3, 10);
    world.ack(b, 0..3, 10);
    world.cancel(b, Reason::Shutdown(Some("another version takes its place".to_owned())));
    world.emit(3..5);
    assert_eq!(world.sent(a), [0, 1, 2, 3, 4]);
    let back = world.join("b", 0, everything(), 10);
    assert_eq!(world.sent(back), [3, 4]);
}

#[test]
fn what_waits_for_a_lost_consumer_is_bounded_and_given_up_in_the_end() {
    let mut world = settled(broadcast(), 4);
    let (a, b) = (world.join("a", 0, everything(), 100), world.join("b", 0, everything(), 100));
    world.emit(0..2);
    world.down(b, gone());
    world.emit(2..7);
    assert_eq!(world.given_up(), [3], "the oldest three of seven");
    world.ack(a, 0..7, 100);
    assert_eq!((world.first_unsettled(), world.buffered()), (3, 4));
    assert_eq!(world.timeout(), Some(millis(30_000)));
    world.at(millis(29_999));
    assert_eq!(world.buffered(), 4);
    world.at(millis(30_000));
    assert_eq!((world.given_up(), world.first_unsettled(), world.buffered()), (vec![4], 7, 0));
    let late = world.join("b", 0, everything(), 100);
    assert_eq!(world.sent(late), [] as [u64; 0]);
}

#[test]
fn with_keep_first_the_newest_do_not_wait() {
    let mut world = World::new(broadcast(), BufferOptions { size: Some(4), keep: Keep::First });
    world.at(millis(20_000));
    let (_, b) = (world.join("a", 0, everything(), 100), world.join("b", 0, everything(), 100));
    world.down(b, gone());
    world.emit(0..6);
    let back = world.join("b", 0, everything(), 100);
    assert_eq!(world.sent(back), [0, 1, 2, 3]);
}

#[test]
fn instances_that_share_get_each_event_once_and_take_over_from_a_lost_one() {
    let mut world = settled(broadcast(), 100);
    let (one, two) = (world.join("w", 0, shared(), 2), world.join("w", 1, shared(), 2));
    let other = world.join("log", 0, everything(), 100);
    world.emit(0..4);
    assert_eq!((world.sent(one), world.sent(two), world.sent(other)), (vec![0, 1], vec![2, 3], vec![0, 1, 2, 3]));
    world.ack(two, 2..4, 4);
    world.down(one, gone());
    assert_eq!(world.sent(two), [0, 1]);
    world.ack(two, 0..2, 4);
    world.ack(other, 0..4, 100);
    assert_eq!(world.first_unsettled(), 4);
}

#[test]
fn in_the_first_second_whoever_comes_gets_all_since_the_start() {
    let mut world = World::new(broadcast(), BufferOptions { size: Some(5), keep: Keep::Last });
    world.at(millis(0));
    let a = world.join("a", 0, everything(), 100);
    assert_eq!(world.asked(), 5, "no more than can be kept");
    world.emit(0..5);
    world.ack(a, 0..5, 100);
    assert_eq!((world.asked(), world.first_unsettled()), (0, 0));
    world.at(millis(900));
    let b = world.join("b", 0, everything(), 100);
    assert_eq!(world.sent(b), [0, 1, 2, 3, 4]);
    assert_eq!(world.timeout(), Some(millis(1000)));
    world.at(millis(1000));
    assert!(world.asked() > 0);
    assert_eq!(world.first_unsettled(), 0);
    world.ack(b, 0..5, 100);
    assert_eq!(world.first_unsettled(), 5);
    // What is settled is still given to one that comes late, and changes nothing.
    let c = world.join("c", 0, everything(), 100);
    assert_eq!((world.sent(c), world.first_unsettled()), (vec![0, 1, 2, 3, 4], 5));
    world.ack(c, 0..5, 100);
    assert_eq!(world.settled(), 5);
    world.at(millis(10_000));
    let d = world.join("d", 0, everything(), 100);
    assert_eq!(world.sent(d), [] as [u64; 0]);
}

#[test]
fn a_group_that_refuses_events_pays_no_demand_for_them() {
    let mut world = settled(broadcast(), 100);
    let (a, all) = (world.join("a", 0, topics(&["a.*"]), 2), world.join("all", 0, everything(), 10));
    world.emit_topics(&["a.x", "b", "b", "a.y", "b"]);
    assert_eq!((world.sent(a), world.sent(all)), (vec![0, 3], vec![0, 1, 2, 3]));
    world.ack(all, 0..4, 10);
    assert_eq!(world.first_unsettled(), 0);
    world.ack(a, 0..1, 4);
    world.ack(a, 3..4, 4);
    assert_eq!((world.sent(all), world.first_unsettled()), (vec![4], 4));
}

#[test]
fn under_demand_events_without_a_free_consumer_hold_up_no_others() {
    let mut world = settled(DispatcherOptions::default(), 100);
    let (a, b) = (world.join("a", 0, topics(&["a.>"]), 1), world.join("b", 0, topics(&["b"]), 10));
    world.emit_topics(&["a.x", "a.y", "b", "a.x.y", "b"]);
    assert_eq!((world.sent(a), world.sent(b)), (vec![0], vec![2, 4]));
    world.ack(a, 0..1, 4);
    assert_eq!(world.sent(a), [1, 3]);
}

#[test]
fn one_that_selects_several_topics_gets_them_in_order() {
    let mut world = settled(DispatcherOptions::default(), 100);
    let both = world.join("both", 0, topics(&["a", "b"]), 0);
    let a = world.join("a", 0, topics(&["a"]), 0);
    world.emit_topics(&["a", "b", "b", "a", "b", "a", "b"]);
    world.ask(both, 5);
    assert_eq!(world.sent(both), [0, 1, 2, 3, 4]);
    world.ask(a, 5);
    assert_eq!(world.sent(a), [5]);
    world.ask(both, 9);
    assert_eq!(world.sent(both), [6]);
    world.down(both, gone());
    world.ask(a, 9);
    let back = world.join("both", 0, topics(&["a", "b"]), 9);
    assert_eq!((world.sent(a), world.sent(back)), (vec![0, 3], vec![1, 2, 4, 6]));
}

#[test]
fn under_demand_what_waits_is_bounded_and_what_nobody_selects_is_settled() {
    let mut world = settled(DispatcherOptions::default(), 3);
    let (a, b) = (world.join("a", 0, topics(&["a"]), 1), world.join("b", 0, topics(&["b"]), 100));
    assert_eq!(world.asked(), 3, "no more than could wait");
    world.emit_topics(&["c", "c"]);
    assert_eq!((world.unwanted(), world.settled()), (2, 2));
    world.emit_topics(&["a", "a", "a", "a"]);
    assert_eq!((world.sent(a), world.asked()), (vec![2], 0));
    world.emit_topics(&["a", "b"]);
    assert_eq!((world.sent(b), world.notices(&Notice::Discarded { count: 1 })), (vec![7], 1));
    world.ack(a, 2..3, 9);
    assert_eq!(world.sent(a), [4, 5, 6]);
}

#[test]
fn under_demand_events_of_a_lost_consumer_wait_for_it() {
    let mut world = settled(DispatcherOptions::default(), 100);
    let (a, _) = (world.join("a", 0, topics(&["a"]), 9), world.join("b", 0, topics(&["b"]), 9));
    world.emit_topics(&["a", "a"]);
    world.down(a, gone());
    world.emit_topics(&["a", "c"]);
    assert_eq!((world.unwanted(), world.settled()), (1, 1));
    let back = world.join("a", 0, topics(&["a"]), 9);
    assert_eq!(world.sent(back), [0, 1, 2]);
    world.down(back, gone());
    world.at(millis(30_000));
    assert_eq!((world.unwanted(), world.settled()), (4, 4));
}

#[test]
fn partitions_are_shared_out_and_moved_when_their_holder_has_acknowledged_all() {
    let mut world = settled(partition(4), 100);
    let one = world.join("w", 0, everything(), 100);
    world.emit_partitions(&[0, 1, 2, 3]);
    assert_eq!(world.sent(one), [0, 1, 2, 3]);
    let two = world.join("w", 1, everything(), 100);
    world.emit_partitions(&[0, 1, 2, 3]);
    assert_eq!((world.sent(one), world.sent(two)), (vec![4, 5], vec![]), "two partitions are being moved");
    world.ack(one, 2..3, 100);
    assert_eq!(world.sent(two), [6]);
    world.ack(one, 0..2, 100);
    world.ack(one, 3..6, 100);
    assert_eq!(world.sent(two), [7]);
}

#[test]
fn of_a_lost_holder_what_was_not_acknowledged_comes_first() {
    let mut world = settled(partition(2), 100);
    let (one, two) = (world.join("w", 0, everything(), 100), world.join("w", 1, everything(), 100));
    world.emit_partitions(&[0, 1, 0, 1]);
    assert_eq!((world.sent(one), world.sent(two)), (vec![0, 2], vec![1, 3]));
    world.down(two, gone());
    world.emit_partitions(&[1, 0]);
    assert_eq!(world.sent(one), [5], "the other partition waits for its holder");
    let back = world.join("w", 1, everything(), 100);
    assert_eq!(world.sent(back), [1, 3, 4]);
    world.down(back, gone());
    world.at(millis(30_000));
    assert_eq!(world.sent(one), [1, 3, 4], "it did not come back");
}

#[test]
fn a_named_partition_is_its_own_and_waits_longer_than_its_holder() {
    let mut world = settled(partition(2), 100);
    let one = world.join("w", 0, everything(), 100);
    let own = world.join("x", 0, pinned(&[1]), 100);
    world.emit_partitions(&[0, 1]);
    assert_eq!((world.sent(one), world.sent(own)), (vec![0], vec![1]));
    let refused = world.join("y", 0, pinned(&[1]), 100);
    let taken = Reason::Refused("partition `1` is taken by `x` on n0".into());
    assert_eq!(world.cancelled(refused), Some(taken));
    world.cancel(own, Reason::Normal);
    assert_eq!(world.sent(one), [1], "nobody names it any more");
}

#[test]
fn the_queue_of_partitions_without_a_consumer_is_bounded_by_asking_for_less() {
    let mut world = settled(partition(2), 3);
    let own = world.join("x", 0, pinned(&[0]), 10);
    assert_eq!(world.asked(), 10);
    world.emit_partitions(&[1, 1, 0, 1, 1]);
    assert_eq!((world.sent(own), world.buffered()), (vec![2], 4));
    assert_eq!(world.asked(), 0, "three wait for partition 1");
}

#[test]
fn an_event_without_a_partition_ends_nothing() {
    let mut world = settled(partition(2), 100);
    let one = world.join("w", 0, everything(), 100);
    world.emit_partitions(&[0, 9, 1]);
    assert_eq!((world.sent(one), world.settled()), (vec![0, 2], 1));
    let found = "header `p` holds `9`, which is no partition".to_owned();
    assert_eq!(world.notices(&Notice::Unroutable { count: 1, found }), 1);
}

#[test]
fn what_one_of_a_group_gives_back_goes_to_the_group_again() {
    let mut world = settled(broadcast(), 100);
    let (a, b) = (world.join("a", 0, everything(), 10), world.join("b", 0, everything(), 10));
    world.emit(0..2);
    assert_eq!((world.sent(a), world.sent(b)), (vec![0, 1], vec![0, 1]));
    world.give_back(a, 0..1, millis(50));
    world.ack(a, 1..2, 10);
    world.ack(b, 0..2, 10);
    assert_eq!((world.first_unsettled(), world.timeout()), (0, Some(millis(20_050))));
    world.at(millis(20_050));
    assert_eq!((world.sent(a), world.sent(b)), (vec![0], vec![]));
    assert_ne!(a, SubId(0));
}
