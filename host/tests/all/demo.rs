//! The demo as people run it: real node processes, keys, components and QUIC, on loopback.
//!
//! Nothing is asserted of how long things take, beyond that the demo ends.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::process::{forebay, json_lines, run};

/// One run of the demo, taken apart.
struct Story {
    lines: Vec<Value>,
}

impl Story {
    fn play(args: &[&str]) -> Self {
        let outcome = run(forebay(["demo", "--output", "json", "--pause", "50ms"].iter().chain(args)));
        outcome.assert_done();
        Self { lines: json_lines(&outcome.stdout) }
    }

    /// The last line.
    fn summary(&self) -> &Value {
        let summary = self.lines.last().unwrap();
        assert_eq!(summary["kind"], "summary", "{summary}");
        summary
    }

    /// What happened, as (node, what), with the place of its line.
    fn events(&self) -> Vec<(usize, &str, &str)> {
        let event = |(place, line): (usize, &'_ Value)| match line["kind"].as_str() {
            Some("event") => Some((place, place)),
            _ => None,
        };
        let places = self.lines.iter().enumerate().filter_map(event);
        places.map(|(place, _)| (place, text(&self.lines[place], "node"), text(&self.lines[place], "what"))).collect()
    }

    /// The acts of islands that meet, each with all that was told of it for a failing test to show.
    fn acts(&self) -> Vec<&str> {
        let acts = self.events().into_iter().filter(|(.., what)| matches!(*what, "owner" | "conflict" | "stopped"));
        acts.inspect(|(place, ..)| println!("{}", self.lines[*place])).map(|(.., what)| what).collect()
    }

    fn places(&self, what: &str) -> Vec<usize> {
        self.events().into_iter().filter(|(.., found)| *found == what).map(|(place, ..)| place).collect()
    }

    /// The batches from a line on, as (node, numbers).
    fn batches(&self, from: usize) -> Vec<(&str, Vec<u64>)> {
        let batches = self.lines[from..].iter().filter(|line| line["kind"] == "batch");
        batches
            .map(|line| {
                let numbers = line["numbers"].as_array().unwrap().iter().map(|number| number.as_u64().unwrap());
                (text(line, "node"), numbers.collect())
            })
            .collect()
    }

    fn nodes(&self, from: usize) -> BTreeSet<&str> {
        self.batches(from).into_iter().map(|(node, _)| node).collect()
    }
}

fn text<'a>(line: &'a Value, key: &str) -> &'a str {
    line[key].as_str().unwrap_or_else(|| panic!("`{key}` in {line}"))
}

fn repeated(batches: &[(&str, Vec<u64>)]) -> Vec<u64> {
    let mut counts = BTreeMap::<u64, u32>::new();
    batches.iter().flat_map(|(_, numbers)| numbers).for_each(|number| *counts.entry(*number).or_default() += 1);
    counts.into_iter().filter(|(_, count)| *count > 1).map(|(number, _)| number).collect()
}

#[test]
fn every_number_goes_to_exactly_one_of_three_nodes() {
    let story = Story::play(&["--for", "4s"]);
    let summary = story.summary();
    assert_eq!((&summary["missing"], &summary["repeated"]), (&0.into(), &0.into()), "{summary}");
    assert_eq!((&summary["owners_at_end"], &summary["gap_ms"]), (&1.into(), &Value::Null), "{summary}");
    assert_eq!(story.nodes(0), ["a", "b", "c"].into());
    let batches = story.batches(0);
    let numbers: Vec<u64> = batches.iter().flat_map(|(_, numbers)| numbers).copied().collect();
    assert_eq!(numbers.iter().min(), Some(&1000));
    assert!(batches.iter().all(|(_, numbers)| (1..=5).contains(&numbers.len())));
    assert_eq!(summary["delivered"], numbers.len());
    for node in ["a", "b", "c"] {
        let of_node = batches.iter().filter(|(by, _)| *by == node).map(|(_, numbers)| numbers.len()).sum::<usize>();
        assert_eq!(summary["per_node"][node], of_node);
    }
    assert_eq!(story.places("owner").len(), 1);
}

#[test]
fn when_the_owner_is_killed_both_survivors_get_events_again() {
    let story = Story::play(&["--for", "6s", "--kill-producer-after", "2s"]);
    let [killed] = *story.places("killed") else { panic!("one is killed") };
    let victim = text(&story.lines[killed], "node");
    let first_owner = *story.places("owner").iter().find(|place| **place < killed).unwrap();
    assert_eq!(text(&story.lines[first_owner], "node"), victim);
    let next = *story.places("owner").iter().find(|place| **place > killed).expect("another owner");
    assert_ne!(text(&story.lines[next], "node"), victim);
    let survivors: BTreeSet<_> = ["a", "b", "c"].into_iter().filter(|node| *node != victim).collect();
    assert_eq!(story.nodes(next), survivors);
    let summary = story.summary();
    assert!(summary["gap_ms"].is_u64(), "{summary}");
    assert_eq!(summary["owners_at_end"], 1, "{summary}");
}

#[test]
fn islands_that_meet_keep_one_owner() {
    let story = Story::play(&["--agreement", "islands", "--alone", "1s", "--for", "4s"]);
    let acts = story.acts();
    let first = |what: &str| acts.iter().position(|act| *act == what).unwrap_or_else(|| panic!("{what} in {acts:?}"));
    let last = |what: &str| acts.iter().rposition(|act| *act == what).unwrap();
    assert!(last("owner") < first("conflict") && first("conflict") < first("stopped"), "{acts:?}");
    assert_eq!(acts.iter().filter(|act| **act == "owner").count(), 3, "{acts:?}");
    let summary = story.summary();
    assert_eq!(summary["owners_at_end"], 1, "{summary}");
    // Those of the two losers; when the demo ends its nodes stop the third, which is no loser.
    let stops: Vec<_> = story
        .places("stopped")
        .into_iter()
        .filter(|place| text(&story.lines[*place], "reason").contains("owns the name"))
        .collect();
    assert_eq!(stops.len(), 2, "{acts:?}");
    let after = story.batches(stops[1]);
    assert_eq!(story.nodes(stops[1]), ["a", "b", "c"].into());
    assert_eq!(repeated(&after), [0_u64; 0], "one sequence from then on");
}

#[test]
fn for_people_a_batch_is_printed_as_the_printer_prints_it() {
    let outcome = run(forebay(["demo", "--for", "1s", "--nodes", "1", "--pause", "20ms"]));
    outcome.assert_done();
    let expected = [
        "a: [1000, 1001, 1002, 1003, 1004]",
        "-- ",
        " a owns the counter (epoch ",
        "delivered ",
        "missing 0, repeated 0, owners at the end: 1",
    ];
    for part in expected {
        assert!(outcome.stdout.contains(part), "{part:?} in\n{}", outcome.stdout);
    }
}
