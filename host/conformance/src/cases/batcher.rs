//! `batcher`: a producer-consumer that keeps events from call to call, and acts by the clock.

use super::{Case, cases};
use crate::{
    events::{self, Event},
    expect::{self, Outcome, equal},
    subject::{ASKED, Running, Subject},
};

pub(super) const CASES: &[Case] = cases![
    joins_three_payloads_by_default,
    joins_as_many_as_it_is_told,
    one_batch_may_make_several_events,
    a_tick_gives_the_rest,
    a_tick_with_nothing_kept_gives_nothing,
    keeps_empty_payloads_and_bytes_as_they_are,
    drops_topic_key_and_headers,
    joins_10_000_payloads,
    joins_payloads_of_1_mib,
    refuses_a_size_below_1,
    asks_for_as_many_as_it_joins,
    is_told_which_sources_it_can_ask,
];

/// Delivers bare payloads; the payloads that are emitted must be these.
async fn joined(batcher: &mut Running, given: &[&str], expected: &[&str]) -> Outcome {
    let output = batcher.deliver(&events::bare(given.iter().copied())).await?;
    equal("the rejections", &output.rejections, &Vec::new())?;
    expect::events(&format!("what {given:?} gives"), &output.events, &events::bare(expected.iter().copied()))
}

async fn ticked(batcher: &mut Running, expected: &[&str]) -> Outcome {
    expect::events("what the tick gives", &batcher.tick().await?, &events::bare(expected.iter().copied()))
}

async fn joins_three_payloads_by_default(subject: &Subject) -> Outcome {
    let mut batcher = subject.start("null").await?;
    joined(&mut batcher, &["a", "b"], &[]).await?;
    joined(&mut batcher, &["c"], &["a,b,c"]).await?;
    joined(&mut batcher, &["d", "e", "f"], &["d,e,f"]).await
}

async fn joins_as_many_as_it_is_told(subject: &Subject) -> Outcome {
    joined(&mut subject.start(r#"{"size":1}"#).await?, &["a", "b"], &["a", "b"]).await?;
    joined(&mut subject.start(r#"{"size":2}"#).await?, &["a", "b", "c"], &["a,b"]).await
}

async fn one_batch_may_make_several_events(subject: &Subject) -> Outcome {
    let mut batcher = subject.start("null").await?;
    joined(&mut batcher, &["a"], &[]).await?;
    joined(&mut batcher, &["b", "c", "d", "e", "f", "g"], &["a,b,c", "d,e,f"]).await?;
    ticked(&mut batcher, &["g"]).await
}

async fn a_tick_gives_the_rest(subject: &Subject) -> Outcome {
    let mut batcher = subject.start("null").await?;
    joined(&mut batcher, &["a", "b"], &[]).await?;
    ticked(&mut batcher, &["a,b"]).await?;
    ticked(&mut batcher, &[]).await?;
    joined(&mut batcher, &["c", "d", "e"], &["c,d,e"]).await
}

async fn a_tick_with_nothing_kept_gives_nothing(subject: &Subject) -> Outcome {
    let mut batcher = subject.start("null").await?;
    ticked(&mut batcher, &[]).await?;
    joined(&mut batcher, &["a", "b", "c"], &["a,b,c"]).await?;
    ticked(&mut batcher, &[]).await
}

async fn keeps_empty_payloads_and_bytes_as_they_are(subject: &Subject) -> Outcome {
    let mut batcher = subject.start("null").await?;
    joined(&mut batcher, &["", "", ""], &[",,"]).await?;
    joined(&mut batcher, &[""], &[]).await?;
    ticked(&mut batcher, &[""]).await?;
    let given: [&[u8]; 3] = [b"\xff\xfe", "größe 🌡".as_bytes(), b"\0"];
    let output = batcher.deliver(&events::bare(given)).await?;
    expect::events("bytes", &output.events, &[Event::of(given.join(&b','))])
}

async fn drops_topic_key_and_headers(subject: &Subject) -> Outcome {
    let mut batcher = subject.start("null").await?;
    let given = ["a", "b", "c"].map(|payload| Event::of(payload).topic("t").key("k").header("n", "v"));
    expect::events("the joined event", &batcher.deliver(&given).await?.events, &[Event::of("a,b,c")])
}

async fn joins_10_000_payloads(subject: &Subject) -> Outcome {
    let numbers: Vec<_> = (0..10_000).map(|number| number.to_string()).collect();
    let mut batcher = subject.start(r#"{"size":9999}"#).await?;
    let output = batcher.deliver(&events::bare(numbers.iter().map(String::as_str))).await?;
    expect::events("9,999 payloads in one", &output.events, &[Event::of(numbers[..9_999].join(","))])?;
    ticked(&mut batcher, &["9999"]).await
}

async fn joins_payloads_of_1_mib(subject: &Subject) -> Outcome {
    let mut batcher = subject.start("null").await?;
    let long = vec![b'x'; 1 << 20];
    let output = batcher.deliver(&vec![Event::of(long.clone()); 3]).await?;
    expect::events("3 MiB", &output.events, &[Event::of(vec![long; 3].join(&b','))])
}

async fn refuses_a_size_below_1(subject: &Subject) -> Outcome {
    for size in ["0", "-1"] {
        subject.refuses(&format!(r#"{{"size":{size}}}"#), &["`size`", "expected"]).await?;
    }
    Ok(())
}

/// What it asked for since the last time must be this.
fn asked(batcher: &mut Running, when: &str, expected: &[(&str, u32)]) -> Outcome {
    let found = batcher.instance.take_asked();
    let found: Vec<_> = found.iter().map(|(source, count)| (source.as_str(), *count)).collect();
    equal(&format!("what it asked for {when}"), &found, &expected.to_vec())
}

async fn asks_for_as_many_as_it_joins(subject: &Subject) -> Outcome {
    let mut batcher = subject.start(r#"{"size":2,"ask":"source"}"#).await?;
    asked(&mut batcher, "at its start", &[("source", 2)])?;
    joined(&mut batcher, &["a"], &[]).await?;
    asked(&mut batcher, "with one event kept", &[])?;
    joined(&mut batcher, &["b", "c", "d", "e"], &["a,b", "c,d"]).await?;
    asked(&mut batcher, "with two events made in one call", &[("source", 4)])?;
    ticked(&mut batcher, &["e"]).await?;
    asked(&mut batcher, "with a tick", &[("source", 1)])?;
    let mut most = subject.start(r#"{"size":4294967295,"ask":"other"}"#).await?;
    asked(&mut most, "at its start", &[("other", u32::MAX)])?;
    asked(&mut subject.start("null").await?, "without `ask`", &[])
}

async fn is_told_which_sources_it_can_ask(subject: &Subject) -> Outcome {
    let known = ASKED.map(|source| format!("`{source}`")).join(", ");
    let text =
        format!("`größer` cannot be asked; the subscriptions of this stage with `ask = \"manual\"` are to {known}");
    subject.refuses(r#"{"ask":"größer"}"#, &[&text]).await
}
