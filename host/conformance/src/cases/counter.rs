//! `counter`: a producer that is asked and pushed into. Its numbers are also those of `checkpointed`.

use forebay::runtime::StageError;
use serde_json::{Value, json};

use super::{Case, cases};
use crate::{
    events::{self, Event},
    expect::{self, Outcome, contains, done, equal, refused},
    subject::{Running, Subject, texts},
};

pub(super) const CASES: &[Case] = cases![
    counts_from_0_by_1,
    counts_from_start_by_step,
    ends_at_its_limit,
    pads_its_payloads,
    gives_10_000_numbers_at_once,
    gives_payloads_of_1_mib,
    refuses_a_step_of_0,
    two_instances_count_apart,
    emits_what_is_pushed_in,
    emits_10_000_events_pushed_in,
    pushing_in_does_not_count,
    a_call_sets_the_next_number,
    a_call_it_does_not_know_is_refused_and_nothing_changes,
];

pub(super) async fn counts_from_0_by_1(subject: &Subject) -> Outcome {
    for config in ["null", "{}"] {
        let mut counter = subject.start(config).await?;
        equal("the first numbers", &counter.numbers(3).await?, &["0", "1", "2"])?;
        equal("the number after", &counter.numbers(1).await?, &["3"])?;
    }
    let first = subject.start("null").await?.demand(1).await?;
    expect::events("an event has no topic, key or header", &first, &[Event::of("0")])
}

pub(super) async fn counts_from_start_by_step(subject: &Subject) -> Outcome {
    let cases: [(&str, &[&str]); 4] = [
        (r#"{"start":-5,"step":3}"#, &["-5", "-2", "1"]),
        (r#"{"start":10,"step":-10}"#, &["10", "0", "-10"]),
        (r#"{"start":4294967295,"step":2147483648}"#, &["4294967295", "6442450943", "8589934591"]),
        (r#"{"start":9007199254740000}"#, &["9007199254740000", "9007199254740001", "9007199254740002"]),
    ];
    for (config, expected) in cases {
        equal(config, &subject.start(config).await?.numbers(3).await?, &expected)?;
    }
    Ok(())
}

pub(super) async fn ends_at_its_limit(subject: &Subject) -> Outcome {
    let mut counter = subject.start(r#"{"start":7,"limit":3}"#).await?;
    equal("the first two", &counter.numbers(2).await?, &["7", "8"])?;
    equal("what is left of three", &counter.numbers(2).await?, &["9"])?;
    equal("after the limit", &counter.numbers(2).await?, &Vec::<String>::new())
}

pub(super) async fn pads_its_payloads(subject: &Subject) -> Outcome {
    let mut padded = subject.start(r#"{"start":98,"payload_bytes":5}"#).await?;
    equal("padded to 5 bytes", &padded.numbers(3).await?, &["00098", "00099", "00100"])?;
    let mut longer = subject.start(r#"{"start":12345,"payload_bytes":2}"#).await?;
    equal("longer than 2 bytes", &longer.numbers(1).await?, &["12345"])
}

pub(super) async fn gives_10_000_numbers_at_once(subject: &Subject) -> Outcome {
    let mut counter = subject.start(r#"{"start":1}"#).await?;
    let expected = events::bare((1..=10_000).map(|number| number.to_string()));
    expect::events("10,000 numbers", &counter.demand(10_000).await?, &expected)?;
    equal("the one after", &counter.numbers(1).await?, &["10001"])
}

pub(super) async fn gives_payloads_of_1_mib(subject: &Subject) -> Outcome {
    let mut counter = subject.start(r#"{"payload_bytes":1048576}"#).await?;
    for expected in [0, 1] {
        let payload = ["0".repeat((1 << 20) - 1), expected.to_string()].concat();
        expect::events("a payload of 1 MiB", &counter.demand(1).await?, &[Event::of(payload)])?;
    }
    Ok(())
}

pub(super) async fn refuses_a_step_of_0(subject: &Subject) -> Outcome {
    subject.refuses(r#"{"step":0}"#, &["`step` is 0; expected"]).await
}

pub(super) async fn two_instances_count_apart(subject: &Subject) -> Outcome {
    let (mut one, mut other) = (subject.start("null").await?, subject.start(r#"{"start":100}"#).await?);
    equal("one", &one.numbers(2).await?, &["0", "1"])?;
    equal("the other", &other.numbers(2).await?, &["100", "101"])?;
    equal("one again", &one.numbers(1).await?, &["2"])
}

async fn pushed_in(counter: &mut Running, events: &[Event]) -> Outcome {
    let given = done("handle-ingest", counter.instance.handle_ingest(events::batch(events)).await)?;
    let expected: Vec<_> = events.iter().map(|event| event.clone().topic("ingested")).collect();
    expect::events("what was pushed in", &given, &expected)
}

async fn emits_what_is_pushed_in(subject: &Subject) -> Outcome {
    let mut counter = subject.start("null").await?;
    pushed_in(&mut counter, &events::bare(["one"])).await?;
    pushed_in(&mut counter, &events::assorted(20)).await?;
    pushed_in(&mut counter, &events::edges()).await
}

async fn emits_10_000_events_pushed_in(subject: &Subject) -> Outcome {
    pushed_in(&mut subject.start("null").await?, &events::assorted(10_000)).await
}

async fn pushing_in_does_not_count(subject: &Subject) -> Outcome {
    let mut counter = subject.start(r#"{"limit":2}"#).await?;
    pushed_in(&mut counter, &events::assorted(5)).await?;
    equal("the numbers after", &counter.numbers(9).await?, &["0", "1"])
}

async fn answer(counter: &mut Running, request: &str, expected: Value) -> Outcome {
    let answer = done(&format!("handle-call with {request}"), counter.ask(request.as_bytes()).await)?;
    let found: Value = serde_json::from_slice(&answer)
        .map_err(|error| format!("the answer to {request} is no JSON ({error}): {}", answer.escape_ascii()))?;
    equal(&format!("the answer to {request}"), &found, &expected)
}

async fn a_call_sets_the_next_number(subject: &Subject) -> Outcome {
    let mut counter = subject.start(r#"{"step":2}"#).await?;
    answer(&mut counter, "{}", json!({ "next": 0 })).await?;
    answer(&mut counter, r#"{"set":41}"#, json!({ "next": 41 })).await?;
    answer(&mut counter, " { } ", json!({ "next": 41 })).await?;
    equal("the numbers after", &counter.numbers(2).await?, &["41", "43"])?;
    answer(&mut counter, r#"{ "set" : -3 }"#, json!({ "next": -3 })).await?;
    equal("the number after", &counter.numbers(1).await?, &["-3"])?;
    answer(&mut counter, "{}", json!({ "next": -1 })).await
}

async fn a_call_it_does_not_know_is_refused_and_nothing_changes(subject: &Subject) -> Outcome {
    let mut counter = subject.start(r#"{"start":5}"#).await?;
    let unknown = [
        "what?",
        "größe 🌡",
        "",
        "[]",
        "7",
        "null",
        r#"{"set":"3"}"#,
        r#"{"set":1.5}"#,
        r#"{"set":true}"#,
        r#"{"set":null}"#,
        r#"{"get":1}"#,
        r#"{"set":1,"get":2}"#,
        r#"{"set":1"#,
        r#"{"set":1} x"#,
    ];
    for request in unknown {
        match refused(&format!("handle-call with {request:?}"), counter.ask(request.as_bytes()).await)? {
            StageError::Refused(text) => contains("the error", &text, &[&format!("unknown request: {request}")])?,
            other => return Err(format!("the request {request:?}: found {other:?}, expected that it is refused")),
        }
    }
    let error = refused("handle-call with bytes that are no text", counter.ask(b"\xff\xfe").await)?;
    contains("the error", &error.to_string(), &["unknown request: "])?;
    equal("the number after", &texts(&counter.demand(1).await?), &["5"])
}
