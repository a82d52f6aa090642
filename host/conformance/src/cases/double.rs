//! `double`: a producer-consumer that emits every event several times.

use super::{Case, cases};
use crate::{
    events::{self, Event},
    expect::{self, Outcome, equal},
    subject::Subject,
};

pub(super) const CASES: &[Case] = cases![
    emits_every_event_twice_in_place,
    emits_as_many_copies_as_it_is_told,
    no_copies_are_no_events,
    keeps_topic_key_and_headers,
    passes_on_bytes_as_they_are,
    passes_on_10_000_events,
    makes_10_000_events_of_10,
    refuses_copies_out_of_range,
];

async fn doubled(subject: &Subject, config: &str, given: &[Event], copies: usize) -> Outcome {
    let output = subject.start(config).await?.deliver(given).await?;
    equal("the rejections", &output.rejections, &Vec::new())?;
    let expected: Vec<_> = given.iter().flat_map(|event| std::iter::repeat_n(event, copies)).cloned().collect();
    expect::events(&format!("{copies} of each of {} events", given.len()), &output.events, &expected)
}

async fn emits_every_event_twice_in_place(subject: &Subject) -> Outcome {
    doubled(subject, "null", &events::bare(["one"]), 2).await?;
    doubled(subject, "{}", &events::bare(["a", "b", "c"]), 2).await
}

async fn emits_as_many_copies_as_it_is_told(subject: &Subject) -> Outcome {
    doubled(subject, r#"{"copies":1}"#, &events::bare(["a", "b"]), 1).await?;
    doubled(subject, r#"{"copies":3}"#, &events::bare(["a", "b"]), 3).await
}

async fn no_copies_are_no_events(subject: &Subject) -> Outcome {
    doubled(subject, r#"{"copies":0}"#, &events::assorted(10), 0).await
}

async fn keeps_topic_key_and_headers(subject: &Subject) -> Outcome {
    doubled(subject, r#"{"copies":2}"#, &events::assorted(24), 2).await?;
    // None has a topic, none a key, none a header: the columns stay empty.
    doubled(subject, "null", &[Event::of("a").key("k"), Event::of("b")], 2).await?;
    doubled(subject, "null", &[Event::of("a"), Event::of("b").topic("t")], 2).await?;
    doubled(subject, "null", &[Event::of("a"), Event::of("b").header("n", "v")], 2).await
}

async fn passes_on_bytes_as_they_are(subject: &Subject) -> Outcome {
    doubled(subject, "null", &events::edges(), 2).await?;
    doubled(subject, r#"{"copies":1}"#, &[Event::of((0..=255).collect::<Vec<u8>>())], 1).await
}

async fn passes_on_10_000_events(subject: &Subject) -> Outcome {
    doubled(subject, r#"{"copies":1}"#, &events::assorted(10_000), 1).await
}

async fn makes_10_000_events_of_10(subject: &Subject) -> Outcome {
    doubled(subject, r#"{"copies":1000}"#, &events::bare((0..10).map(|number| number.to_string())), 1_000).await
}

async fn refuses_copies_out_of_range(subject: &Subject) -> Outcome {
    for copies in ["-1", "1001", "4294967297"] {
        subject.refuses(&format!(r#"{{"copies":{copies}}}"#), &["`copies`", "expected"]).await?;
    }
    Ok(())
}
