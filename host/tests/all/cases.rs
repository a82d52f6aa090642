//! `forebay test`: whole nodes in virtual time with the prebuilt plugins, and what is said of cases that fail.

use std::path::Path;

use serde_json::Value;

use crate::{
    cli::Desk,
    process::{Outcome, forebay, json_lines, prebuilt, run},
};

fn example(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../examples/{name}/pipeline.toml"));
    path.canonicalize().unwrap().display().to_string()
}

fn test(args: &[&str]) -> Outcome {
    run(forebay(["test"].iter().chain(args)))
}

/// Events of `builtin:sample`, relayed by a plugin into another, each with further lines of TOML.
fn pipeline(desk: &Desk, relay: (&str, &str), sink: (&str, &str)) -> String {
    let text = format!(
        "name = \"p\"\n[stages.source]\nplugin = \"builtin:sample\"\nconfig = {{ events = [\"sample\"] }}\n\
         [stages.relay]\nplugin = \"{}\"\nsubscribe = [{{ to = \"source\", max_demand = 4 }}]\n{}\n\
         [stages.sink]\nplugin = \"{}\"\nsubscribe = [{{ to = \"relay\", max_demand = 4 }}]\n{}\n",
        prebuilt(relay.0).display(),
        relay.1,
        prebuilt(sink.0).display(),
        sink.1,
    );
    desk.write("pipeline.toml", text)
}

/// A pipeline that doubles each event.
fn doubling(desk: &Desk) -> String {
    pipeline(desk, ("double", ""), ("tally", ""))
}

/// One case that puts in `events` and has these further lines.
fn case(desk: &Desk, events: &str, more: &str) {
    let text = format!("[[case]]\nname = \"the case\"\n[[case.input]]\nstage = \"source\"\nevents = {events}\n{more}");
    desk.write("pipeline.test.toml", text);
}

#[track_caller]
fn assert_fails(pipeline: &str, lines: &[&str]) {
    let outcome = test(&[pipeline]);
    assert_eq!(outcome.code, Some(1), "{outcome:#?}");
    assert!(outcome.stdout.starts_with("FAIL  the case (seed 0, "), "{outcome:#?}");
    for line in lines {
        assert!(outcome.stdout.contains(line), "{line:?} in\n{}{}", outcome.stdout, outcome.stderr);
    }
    let again = format!("again, with all that happens: forebay test '{pipeline}' --case 'the case' --seed 0 --verbose");
    assert!(outcome.stdout.contains(&again), "{outcome:#?}");
    assert!(outcome.stdout.ends_with("1 case run, 1 failed\n"), "{outcome:#?}");
}

#[track_caller]
fn assert_passes(pipeline: &str, args: &[&str]) -> Outcome {
    let outcome = test(&[&[pipeline], args].concat());
    outcome.assert_done();
    outcome
}

fn cases_of(name: &str) -> String {
    std::fs::read_to_string(example(name).replace("pipeline.toml", "pipeline.test.toml")).unwrap()
}

/// Whether another node owns the counter after what was told of the one that had it.
fn owner_moved(told: &str, end: &str) -> bool {
    let owner = |text: &str| text.split_once(": owns `counter`").map(|(before, _)| before.chars().next_back());
    let after = told.split_once(end).map(|(_, after)| after).and_then(owner);
    after.is_some() && after != owner(told)
}

/// The examples have each kind of input, expectation and fault. A case in a process, so that none takes long.
#[test]
fn the_examples_pass() {
    let mut moved = 0;
    for name in ["testing", "lines", "ingest", "instances"] {
        let text = cases_of(name);
        let cases: Vec<_> =
            text.split("[[case]]\nname = \"").skip(1).filter_map(|case| case.split('"').next()).collect();
        assert!(!cases.is_empty(), "{name}");
        for case in cases {
            let outcome = assert_passes(&example(name), &["--case", case, "--verbose"]);
            assert!(outcome.stdout.starts_with(&format!("ok    {case} (seed 0, ")), "{outcome:#?}");
            assert!(outcome.stdout.ends_with("1 case run, 0 failed\n"), "{outcome:#?}");
            let ends = ["is killed", "is cut off", "shutting down"].map(|end| format!("  a: {end}"));
            let ended = ends.iter().find(|end| outcome.stderr.contains(*end));
            if let Some(end) = ended.filter(|_| outcome.stderr.contains("  c: started")) {
                moved += usize::from(owner_moved(&outcome.stderr, end));
            }
        }
    }
    assert_eq!(moved, 3, "by crash, drain and cut");
    for kind in ["slow", "crash", "redeliver", "crash-node", "drain-node", "cut-node"] {
        assert!(cases_of("testing").contains(&format!("kind = \"{kind}\"")), "{kind}");
    }
}

#[test]
fn a_seed_gives_the_same_run() {
    let case = "another node takes over from one that dies";
    let run = |seeds: &str| {
        let outcome = assert_passes(&example("testing"), &["--case", case, "--seeds", seeds, "--output", "json"]);
        json_lines(&outcome.stdout)
    };
    let (one, other) = (run("5..7"), run("5..6"));
    assert_eq!(one[0], other[0]);
    assert_eq!((&one[0]["seed"], &one[1]["seed"]), (&5.into(), &6.into()));
    assert_ne!(one[0]["fingerprint"], one[1]["fingerprint"], "chance plays a part");
    assert_eq!(one[2], serde_json::json!({"kind": "summary", "runs": 2, "failed": 0}));
}

#[test]
fn what_is_not_as_expected_is_shown() {
    let desk = Desk::new();
    let pipeline = doubling(&desk);
    let expect = |lines: &str| format!("[[case.expect]]\nstage = \"sink\"\n{lines}");
    case(&desk, r#"["a", "b"]"#, &expect(r#"given = ["a", "a", "c", "b"]"#));
    let differs = "stage `sink` was given other events than expected (in this order; - missing, + found)\n";
    assert_fails(
        &pipeline,
        &[differs, "          \"a\"\n", "        - \"c\"\n", "          \"b\"\n", "        + \"b\"\n"],
    );
    case(&desk, r#"["a", "b"]"#, &expect("given = [\"b\", \"b\", \"a\"]\norder = \"any\""));
    assert_fails(&pipeline, &["(in any order; - missing, + found)\n        + \"a\"\n"]);
    let keyed = r#"[{ text = "1", key = "k" }, { text = "2", key = "k" }, { text = "3", key = "l" }]"#;
    let wanted = r#"given = [{ text = "2", key = "k" }, { text = "1", key = "k" }, { text = "3", key = "l" }]"#;
    let relay = format!("[[case.expect]]\nstage = \"relay\"\n{wanted}\norder = \"by-key\"");
    case(&desk, keyed, &relay);
    assert_fails(&pipeline, &["(in this order for each key;", "key \"k\":\n", "        - \"2\", key \"k\"\n"]);
    case(&desk, r#"["a"]"#, &expect("given_count = 3"));
    assert_fails(&pipeline, &["stage `sink` was given 2 events; expected 3\n"]);
    case(
        &desk,
        r#"["{\"a\": 1}"]"#,
        "[[case.expect]]\nstage = \"relay\"\nemitted = [{ json = { a = 2 } }]\norder = \"any\"",
    );
    assert_fails(&pipeline, &["stage `relay` emitted other", "- json {\"a\":2}\n", "+ \"{\\\"a\\\": 1}\"\n"]);
}

#[test]
fn repeats_are_a_failure_where_no_fault_allows_them() {
    let desk = Desk::new();
    let pipeline = doubling(&desk);
    let fault = "[[case.fault]]\nkind = \"redeliver\"\nstage = \"relay\"\nafter = 1\n";
    let given = |repeats: &str| format!("{fault}[[case.expect]]\nstage = \"relay\"\ngiven = [\"a\", \"b\"]\n{repeats}");
    case(&desk, r#"["a", "b"]"#, &given(""));
    assert_passes(&pipeline, &[]);
    case(&desk, r#"["a", "b"]"#, &given("repeats = \"none\""));
    assert_fails(&pipeline, &["stage `relay` was given other events", "+ \"a\"\n"]);
}

/// Each fault is seen by what it does: without it the case would not be as it is expected here.
#[test]
fn faults_bite() {
    let desk = Desk::new();
    let pipeline = doubling(&desk);
    let fault = |lines: &str| format!("[[case.fault]]\n{lines}\n[[case.expect]]\nstage = \"sink\"\n");
    let json = |events: &str, more: String| {
        case(&desk, events, &more);
        json_lines(&assert_passes(&pipeline, &["--output", "json"]).stdout).remove(0)
    };
    let events = r#"["1", "2", "3", "4"]"#;
    let slow = json(events, fault("kind = \"slow\"\nstage = \"sink\"\nper_event = \"1s\"") + "given_count = 8");
    let quick = json(events, "[[case.expect]]\nstage = \"sink\"\ngiven_count = 8".to_owned());
    let millis = |case: &Value| case["virtual_ms"].as_u64().unwrap();
    assert!(millis(&slow) >= millis(&quick) + 7000, "{slow}\n{quick}");
    let given = |case: &Value, stage: &str| case["stages"][stage]["given"].as_u64().unwrap();
    for kind in ["crash", "redeliver", "crash-node"] {
        let hit = json(events, fault(&format!("kind = \"{kind}\"\nstage = \"sink\"\nafter = 3")) + "given_count = 8");
        assert!(given(&hit, "sink") > 8, "{kind}: {hit}");
    }
    // A call that takes too long ends the instance, as in a node: three events of 2 s are more than 5 s.
    case(&desk, events, &(fault("kind = \"slow\"\nstage = \"sink\"\nper_event = \"6s\"") + "given_count = 8"));
    assert_eq!(test(&[&pipeline]).code, Some(1));
}

/// The counter looks at its clock to emit ten numbers a second, and the printer sleeps.
#[test]
fn plugins_live_in_virtual_time() {
    let desk = Desk::new();
    let (counter, printer) = (prebuilt("counter").display().to_string(), prebuilt("printer").display().to_string());
    let text = format!(
        "name = \"p\"\n[stages.source]\nplugin = \"{counter}\"\nconfig = {{ rate = 10 }}\n\
         [stages.sink]\nplugin = \"{printer}\"\nconfig = {{ pause = \"50ms\" }}\nsubscribe = [{{ to = \"source\" }}]\n"
    );
    let pipeline = desk.write("pipeline.toml", text);
    let case = "[[case]]\nname = \"x\"\nduration = \"1m\"\n[[case.expect]]\nstage = \"source\"\nemitted_count = 1";
    desk.write("pipeline.test.toml", case.to_owned() + "\nrepeats = \"allowed\"");
    let outcome = assert_passes(&pipeline, &["--output", "json"]);
    let emitted = json_lines(&outcome.stdout)[0]["stages"]["source"]["emitted"].as_u64().unwrap();
    assert!((500..=620).contains(&emitted), "{outcome:#?}");
}

#[test]
fn a_fault_that_never_comes_to_be_fails_its_case() {
    let desk = Desk::new();
    let pipeline = doubling(&desk);
    let fault = "[[case.fault]]\nkind = \"crash\"\nstage = \"sink\"\nafter = 100\n";
    case(&desk, r#"["a"]"#, &format!("{fault}[[case.expect]]\nstage = \"sink\"\ngiven_count = 2"));
    assert_fails(&pipeline, &["fault 1 (`crash` at stage `sink`) was never due: the case shows nothing about it\n"]);
}

#[test]
fn dead_letters_are_expected_or_a_failure() {
    let desk = Desk::new();
    let config = "config = { mode = \"reject\" }";
    let pipeline = pipeline(&desk, ("double", "config = { copies = 1 }"), ("misbehaving-consumer", config));
    case(&desk, r#"["bad"]"#, "[[case.expect]]\nstage = \"sink\"\ngiven = [\"bad\"]");
    assert_fails(
        &pipeline,
        &["stage `sink` could not process an event, and the case expects no `dead_letters` of it: "],
    );
    case(&desk, r#"["bad"]"#, "[[case.expect]]\nstage = \"sink\"\ndead_letters = [\"bad\"]");
    assert_passes(&pipeline, &[]);
    case(&desk, r#"["bad"]"#, "[[case.expect]]\nstage = \"sink\"\ndead_letters = [\"worse\"]");
    assert_fails(&pipeline, &["stage `sink` made dead letters of other events", "- \"worse\"\n", "+ \"bad\"\n"]);
}

#[test]
fn a_stage_that_gives_up_fails_the_case() {
    let desk = Desk::new();
    let config = "config = { mode = \"init_error\" }\nrestart = { max = 1 }";
    let pipeline = pipeline(&desk, ("double", ""), ("misbehaving-consumer", config));
    case(&desk, r#"["a"]"#, "[[case.expect]]\nstage = \"sink\"\ngiven = []");
    assert_fails(&pipeline, &["stage `sink` gave up on node a: "]);
}

#[test]
fn what_is_wrong_with_the_files_is_said() {
    let desk = Desk::new();
    let pipeline = doubling(&desk);
    let (cases, missing) = (desk.text("pipeline.test.toml"), desk.text("missing.toml"));
    let outcome = test(&[&pipeline]);
    outcome.assert_failed(66, &format!("forebay: there is no {cases}; it may begin so:\n"));
    // What is shown can be used as it stands.
    let example = outcome.stderr.split_once("\n\n").unwrap().1;
    desk.write("pipeline.test.toml", example);
    assert_passes(&pipeline, &[]);
    test(&[&missing]).assert_failed(66, &format!("forebay: cannot read {missing}"));
    test(&[&pipeline, "--cases", &missing]).assert_failed(66, &format!("forebay: there is no {missing}"));
    test(&[&pipeline, "--case", "other"]).assert_failed(64, "forebay: there is no case \"other\"; there are:\n");
    test(&[&pipeline, "--seeds", "3..3"]).assert_failed(64, "error: invalid value '3..3' for '--seeds <A..B>'");
    test(&[&pipeline, "--seeds", "0..3", "--seed", "1"]).assert_failed(64, "error: the argument '--se");
    for (more, told) in [
        ("[[case.expect]]\nstage = \"sing\"\ngiven = []", ":7:9: pipeline `p` has no stage \"sing\"; it has relay, "),
        ("[[case.expect]]\nstage = \"sink\"\ngave = []", ":8:1: unknown field `gave`, expected one of `stage`"),
        ("[[case.expect]]\nstage = \"sink\"\ngiven = 3", ":8:9: invalid type: integer `3`, expected a sequence"),
    ] {
        case(&desk, r#"["a"]"#, more);
        test(&[&pipeline]).assert_failed(65, &format!("forebay: {cases}{told}"));
    }
}

/// What a broadcast keeps for the owner of a stage that is killed is for the next owner.
#[test]
fn a_global_stage_that_moves_loses_nothing_of_a_broadcast() {
    let desk = Desk::new();
    let text = format!(
        "name = \"p\"\n[stages.source]\nplugin = \"builtin:sample\"\nconfig = {{ events = [\"sample\"] }}\nscope = \"global\"\n\
         dispatcher = \"broadcast\"\n\
         [stages.writer]\nplugin = \"{}\"\nscope = \"global\"\nsubscribe = [{{ to = \"source\", max_demand = 4 }}]\n",
        prebuilt("printer").display(),
    );
    let pipeline = desk.write("pipeline.toml", text);
    // Long after the start of the source, which keeps what it emits at first for whoever comes.
    let put_in: Vec<String> = (0..40).map(|number| format!("{{ text = \"{number}\", at = \"30s\" }}")).collect();
    let expected: Vec<String> = (0..40).map(|number| number.to_string()).collect();
    let fault = |kind: &str, when: &str| format!("[[case.fault]]\nkind = \"{kind}\"\nstage = \"writer\"\n{when}\n");
    let case = format!(
        "[[case]]\nname = \"the case\"\nnodes = 3\n[[case.input]]\nstage = \"source\"\nevents = [{}]\n{}{}\
         [[case.expect]]\nstage = \"writer\"\ngiven = {expected:?}\norder = \"any\"\n",
        put_in.join(", "),
        // All began on one node, which leaves to two others what it had.
        fault("drain-node", "at = \"5s\""),
        fault("crash-node", "after = 10\nback = \"never\""),
    );
    desk.write("pipeline.test.toml", case);
    assert_passes(&pipeline, &["--seeds", "0..3"]);
}
