//! What can be said in a cases file, and where it is said to be wrong.

use super::*;

const PIPELINE: &str = r#"
    name = "p"
    [stages.source]
    plugin = "source.wasm"
    [stages.relay]
    plugin = "relay.wasm"
    subscribe = [{ to = "source" }]
    [stages.sink]
    plugin = "sink.wasm"
    subscribe = [{ to = "relay" }]
"#;

fn try_read(text: &str) -> Result<Vec<Case>, CasesError> {
    let roles = [("source", Role::Producer), ("relay", Role::ProducerConsumer), ("sink", Role::Consumer)];
    let roles = roles.map(|(stage, role)| (stage.parse().unwrap(), (role, false))).into();
    read(text, "p.test.toml", &Pipeline::parse(PIPELINE, "p.toml").unwrap(), &roles)
}

/// A case with these lines in it, the first of them in line 3.
fn with(lines: &str) -> Result<Vec<Case>, CasesError> {
    try_read(&format!("[[case]]\nname = \"x\"\n{lines}"))
}

const WHOLE: &str =
    "[[case.input]]\nstage = \"source\"\nevents = [\"a\"]\n[[case.expect]]\nstage = \"sink\"\ngiven = []\n";

#[test]
fn all_keys_are_read() {
    let text = r#"
        nodes = 3
        quiet = "2m"
        limit = "2h"
        [[case.input]]
        stage = "source"
        events = ["a", { json = { b = 1 }, key = "k", topic = "t", headers = { h = "1" }, at = "5s" }, { base64 = "/w==" }]
        [[case.fault]]
        kind = "slow"
        stage = "sink"
        per_event = "1s"
        for = "1m"
        at = "10s"
        [[case.fault]]
        kind = "crash-node"
        stage = "relay"
        after = 3
        back = "never"
        [[case.expect]]
        stage = "sink"
        given = ["a", { json_text = "[null]" }]
        order = "by-key"
        [[case.expect]]
        stage = "relay"
        emitted_count = 3
        repeats = "none"
    "#;
    let case = with(text).unwrap().remove(0);
    let seconds = Duration::from_secs;
    assert_eq!((case.name.as_str(), case.nodes), ("x", 3));
    assert_eq!(case.end, End::Quiet { quiet: seconds(120), limit: seconds(7200) });
    let Input::Events(events) = &case.inputs[&"source".parse().unwrap()] else { panic!("{case:?}") };
    assert_eq!(events.iter().map(|event| event.at).collect::<Vec<_>>(), [seconds(0), seconds(5), seconds(0)]);
    let faults: Vec<_> = case.faults.iter().map(|fault| (fault.kind, fault.stage.as_str(), fault.when)).collect();
    let slow = FaultKind::Slow { per_event: seconds(1), lasts: Some(seconds(60)) };
    assert_eq!(
        faults,
        [(slow, "sink", When::At(seconds(10))), (FaultKind::CrashNode { back: None }, "relay", When::After(3)),]
    );
    assert!(matches!(&case.expects[0].what, Wanted::Events(events, Order::ByKey) if events.len() == 2));
    // After a crash repeats are allowed, unless it is said.
    assert_eq!((case.expects[0].repeats, case.expects[1].repeats), (true, false));
    assert!(matches!(case.expects[1], Expect { side: Side::Emitted, what: Wanted::Count(3), .. }));
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    let fault = |lines: &str| format!("nodes = 1\n{WHOLE}[[case.fault]]\n{lines}");
    let expect = |lines: &str| format!("{WHOLE}[[case.expect]]\n{lines}");
    for (lines, told) in [
        ("colour = 1\n".to_owned(), ":3:1: unknown field `colour`, expected one of `name`, `nodes`"),
        ("nodes = \"two\"\n".to_owned(), ":3:9: invalid type: string \"two\", expected u8"),
        ("nodes = 0\n".to_owned(), ":3:9: `nodes` is 0; expected 1 to 9"),
        ("duration = \"soon\"\n".to_owned(), ":3:12: `duration` is \"soon\"; expected a duration"),
        ("duration = \"1s\"\nquiet = \"1s\"\n".to_owned(), ":4:9: a case with a `duration` ends then"),
        (String::new(), ":2:8: producer `source` has no [[case.input]], and case `x` no `duration`"),
        ("duration = \"1s\"\n".to_owned(), ":2:8: case `x` expects nothing"),
        ("[[case.input]]\nstage = \"sink\"\ncount = 1\n".to_owned(), ":4:9: stage `sink` is a consumer"),
        ("[[case.input]]\nstage = \"source\"\n".to_owned(), ":4:9: the input of stage `source` needs one of"),
        ("[[case.input]]\nstage = \"source\"\ningest = [\"a\"]\n".to_owned(), ":4:9: stage `source` takes no events"),
        ("[[case.input]]\nstage = \"source\"\nevents = [{ topic = \"t\" }]\n".to_owned(), ":5:11: an event to put in"),
        (
            "[[case.input]]\nstage = \"source\"\nevents = [1]\n".to_owned(),
            ":5:11: invalid type: integer `1`, expected an event",
        ),
        (fault("kind = \"flood\"\nstage = \"sink\"\n"), ":11:8: unknown variant `flood`, expected one of `slow`"),
        (fault("kind = \"slow\"\nstage = \"sink\"\n"), ":11:8: a fault of this kind needs `per_event`"),
        (fault("kind = \"crash\"\nstage = \"sink\"\n"), ":11:8: when? say `after`"),
        (
            fault("kind = \"crash\"\nstage = \"no\"\nafter = 1\n"),
            ":12:9: pipeline `p` has no stage \"no\"; it has relay",
        ),
        (
            fault("kind = \"crash\"\nstage = \"sink\"\nafter = 1\nback = \"1s\"\n"),
            ":14:8: a fault of kind `crash` has no `back`",
        ),
        (fault("kind = \"redeliver\"\nstage = \"source\"\nafter = 1\n"), ":11:8: stage `source` is a producer"),
        (
            fault("kind = \"cut-node\"\nstage = \"sink\"\nafter = 1\nfor = \"1s\"\n"),
            ":11:8: `cut-node` needs `nodes` of 3",
        ),
        (fault("kind = \"crash-node\"\nstage = \"sink\"\nafter = 1\nback = \"never\"\n"), ":11:8: the only node"),
        (expect("stage = \"sink\"\nemitted = []\n"), ":10:9: stage `sink` is a consumer, which emits nothing"),
        (expect("stage = \"sink\"\n"), ":10:9: an [[case.expect]] needs one of"),
        (expect("stage = \"sink\"\ngiven = [{ at = \"1s\" }]\n"), ":11:10: an event that is expected has no `at`"),
        (expect("stage = \"sink\"\ngiven = [{ base64 = \"?\" }]\n"), ":11:10: `base64` cannot be read"),
        (expect("stage = \"sink\"\ngiven = []\norder = \"some\"\n"), ":12:9: unknown variant `some`"),
    ] {
        let error = with(&lines).unwrap_err().to_string();
        assert!(error.starts_with("p.test.toml:") && error.contains(told), "{told:?} in {error:?} of\n{lines}");
    }
    let twice = format!("[[case]]\nname = \"x\"\n{WHOLE}[[case]]\nname = \"x\"\n{WHOLE}");
    assert_eq!(
        try_read(&twice).unwrap_err().to_string(),
        "p.test.toml:10:8: there are two cases `x`; give each a name"
    );
    assert_eq!(try_read("").unwrap_err().to_string(), "p.test.toml:1:1: the file has no case; expected [[case]]");
    assert!(try_read("[[case]\n").unwrap_err().to_string().starts_with("p.test.toml:1:"));
}
