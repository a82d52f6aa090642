//! The traces of real nodes, judged: they hold as they are, and not when something in them is changed.

use std::{collections::BTreeMap, path::Path, time::Duration};

use forebay_check::{Agreement, Minimum, Options, Report, Verdict, check, files};
use forebay_trace::{Boot, Event, Record, Run};

use crate::process::{forebay, json_lines, run};

/// Numbers by node, in their order.
type Numbers = BTreeMap<String, Vec<u64>>;

/// Three nodes of which the owner is killed: their trace, and what each printed.
fn killed_owner(dir: &Path) -> (Vec<Record>, Numbers) {
    let mut demo =
        forebay(["demo", "--output", "json", "--pause", "20ms", "--for", "4s", "--kill-producer-after", "2s"]);
    // One file for all: each record is one write.
    demo.env("FOREBAY_TRACE", dir.join("trace.jsonl")).env("FOREBAY_TRACE_SERIALS", "1");
    let outcome = run(demo);
    outcome.assert_done();
    let mut printed = Numbers::new();
    for line in json_lines(&outcome.stdout).iter().filter(|line| line["kind"] == "batch") {
        let numbers = line["numbers"].as_array().unwrap().iter().map(|number| number.as_u64().unwrap());
        printed.entry(line["node"].as_str().unwrap().to_owned()).or_default().extend(numbers);
    }
    let merged = files(&[dir.to_owned()], Duration::ZERO).unwrap();
    (merged.map(Result::unwrap).collect(), printed)
}

fn judge(records: &[Record]) -> Report {
    let minimum = Minimum { takeovers: 1, ..Minimum::default() };
    check(records.to_vec(), Options { agreement: Agreement::Islands, minimum, ..Options::default() })
}

/// The node that was killed: the one that started and did not stop.
fn victim(records: &[Record]) -> &Record {
    let stopped = |boot: Boot| records.iter().any(|record| record.boot == boot && record.event == Event::NodeStop {});
    let killed = records.iter().filter(|record| record.event == Event::NodeStart {} && !stopped(record.boot));
    let [victim] = killed.collect::<Vec<_>>()[..] else { panic!("one is killed") };
    victim
}

/// What guests have processed, by node, as the trace tells.
fn handled(records: &[Record]) -> Numbers {
    let mut handled = Numbers::new();
    for record in records {
        if let Event::Handled { serials, .. } = &record.event {
            let numbers = serials.iter().flat_map(|run| run.first..run.end());
            handled.entry(record.node.to_string()).or_default().extend(numbers);
        }
    }
    handled
}

/// The same with one record changed, or gone where `change` says `false`.
fn doctored(records: &[Record], mut change: impl FnMut(&mut Event) -> Option<bool>) -> Vec<Record> {
    let (mut doctored, mut is_done) = (Vec::new(), false);
    for record in records {
        let mut record = record.clone();
        let keep = if is_done { None } else { change(&mut record.event) };
        is_done |= keep.is_some();
        if keep != Some(false) {
            doctored.push(record);
        }
    }
    assert!(is_done, "there is nothing to change");
    doctored
}

#[track_caller]
fn assert_breaks(records: &[Record], law: &str) {
    let report = judge(records);
    assert_eq!(report.verdict(), Verdict::Broken, "{report}");
    assert!(report.violations.iter().any(|violation| violation.law == law), "expected {law} in\n{report}");
}

#[test]
fn the_trace_of_nodes_of_which_one_is_killed_keeps_all_laws_and_a_changed_one_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let (mut records, printed) = killed_owner(dir.path());
    let report = judge(&records);
    assert_eq!(report.verdict(), Verdict::Holds, "{report}");
    assert_eq!((report.coverage.processes, report.coverage.lost, report.coverage.unknown), (3, 0, 0), "{report}");

    // What survivors have processed is what they have printed.
    let victim = victim(&records).clone();
    let mut handled = handled(&records);
    assert_eq!(handled.len(), 3);
    handled.remove(&*victim.node);
    for (node, numbers) in &handled {
        assert_eq!(numbers, &printed[node], "{node}");
    }

    let is_acked = |event: &mut Event| matches!(event, Event::Handled { .. }).then_some(false);
    assert_breaks(&doctored(&records, is_acked), "acks_follow_handling");
    let is_other = |event: &mut Event| match event {
        Event::Send { serials, .. } => {
            *serials = vec![Run { first: 7, count: serials[0].count }];
            Some(true)
        }
        _ => None,
    };
    assert_breaks(&doctored(&records, is_other), "content_is_kept");
    let is_unasked = |event: &mut Event| match event {
        Event::Demand { granted, .. } => {
            *granted = 0;
            Some(true)
        }
        _ => None,
    };
    assert_breaks(&doctored(&records, is_unasked), "credit_holds");
    assert_breaks(
        &doctored(&records, |event| matches!(event, Event::ClaimGranted { .. }).then_some(false)),
        "one_emitter",
    );

    // The injector of faults would have said so.
    let last = records.iter().rposition(|record| record.boot == victim.boot).unwrap();
    let begin = Event::FaultBegin { id: 1, class: "kill".into(), nodes: vec![victim.node.clone()], detail: None };
    let kill = Record { node: "fault".into(), boot: Boot(0), n: 0, event: begin, ..records[last].clone() };
    records.insert(last + 1, kill);
    let report = judge(&records);
    assert_eq!(report.verdict(), Verdict::Holds, "{report}");
    assert!(report.coverage.faults[0].bit && report.gaps[0].time.is_some(), "{report}");
}
