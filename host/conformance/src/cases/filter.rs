//! `filter`: a producer-consumer that passes on, drops and rejects.

use forebay::runtime::Rejection;

use super::{Case, cases};
use crate::{
    events::{self, Event},
    expect::{self, Outcome, equal},
    subject::Subject,
};

pub(super) const CASES: &[Case] = cases![
    passes_on_all_text_by_default,
    passes_on_what_contains_the_text,
    rejects_what_is_not_utf_8,
    rejects_later_to_be_tried_again,
    passes_on_drops_and_rejects_in_one_batch,
    reads_its_config_as_json_says,
    rejects_10_000_events,
    finds_the_text_at_the_end_of_1_mib,
];

const NOT_UTF_8: &str = "not UTF-8";

fn for_good(index: u32) -> Rejection {
    Rejection { index, retry: false, reason: NOT_UTF_8.to_owned() }
}

fn later(index: u32) -> Rejection {
    Rejection { index, retry: true, reason: "later".to_owned() }
}

async fn filtered(
    subject: &Subject,
    config: &str,
    given: &[Event],
    passed: &[Event],
    rejected: &[Rejection],
) -> Outcome {
    let mut output = subject.start(config).await?.deliver(given).await?;
    output.rejections.sort_by_key(|rejection| rejection.index);
    equal("the rejections", &output.rejections, &rejected)?;
    expect::events("what is passed on", &output.events, passed)
}

async fn passes_on_all_text_by_default(subject: &Subject) -> Outcome {
    let given: Vec<_> = events::edges().into_iter().filter(|event| event.topic != "bytes").collect();
    filtered(subject, "null", &given, &given, &[]).await?;
    filtered(subject, "null", &events::assorted(24), &events::assorted(24), &[]).await
}

async fn passes_on_what_contains_the_text(subject: &Subject) -> Outcome {
    let given = [
        Event::of("apple").topic("fruit").key("k1").header("n", "1"),
        Event::of("plum").topic("fruit"),
        Event::of("a pear").key("k2"),
        Event::of(""),
        Event::of("PEAR"),
        Event::of("pea").header("n", "2").header("n", "3"),
    ];
    let passed = [given[2].clone(), given[5].clone()];
    filtered(subject, r#"{"contains":"pea"}"#, &given, &passed, &[]).await?;
    filtered(subject, r#"{"contains":"fruit"}"#, &given, &[], &[]).await
}

async fn rejects_what_is_not_utf_8(subject: &Subject) -> Outcome {
    // Stray and missing continuations, overlong forms, a surrogate, beyond the last character.
    let wrong: [&[u8]; 8] =
        [b"\xff", b"\x80", b"abc\xc3", b"\xe2\x82", b"\xc0\x80", b"\xe0\x80\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80"];
    let rejected: Vec<_> = (0..8).map(for_good).collect();
    filtered(subject, "null", &events::bare(wrong), &[], &rejected).await?;
    let right = events::bare(["\u{7f}\u{80}\u{7ff}\u{800}\u{d7ff}\u{e000}\u{ffff}\u{10000}\u{10ffff}", "\0"]);
    filtered(subject, "null", &right, &right, &[]).await
}

async fn rejects_later_to_be_tried_again(subject: &Subject) -> Outcome {
    let given = events::bare(["later", "later!", "Later", "later"]);
    filtered(subject, "null", &given, &given[1..3], &[later(0), later(3)]).await?;
    filtered(subject, r#"{"contains":"later"}"#, &given, &given[1..2], &[later(0), later(3)]).await
}

async fn passes_on_drops_and_rejects_in_one_batch(subject: &Subject) -> Outcome {
    let given = [
        Event::of("yes 1").key("k"),
        Event::of([0xff]).key("k"),
        Event::of("no"),
        Event::of("later").topic("t"),
        Event::of("yes 2").topic("t").header("n", "v"),
        Event::of([b'y', b'e', b's', 0xc3]),
    ];
    let passed = [given[0].clone(), given[4].clone()];
    filtered(subject, r#"{"contains":"yes"}"#, &given, &passed, &[for_good(1), later(3), for_good(5)]).await
}

async fn reads_its_config_as_json_says(subject: &Subject) -> Outcome {
    let given = events::bare(["schön 🌡", "scho\u{308}n", "say \"hi\"\\\n", "\u{7}bell"]);
    let cases = [
        (r#"{"contains":"ö"}"#, 0),
        (r#"{"contains":"\u00f6"}"#, 0),
        (r#"{"contains":"\ud83c\udf21"}"#, 0),
        (r#"{"contains":"o\u0308"}"#, 1),
        (r#"{"contains":"\"hi\"\\\n"}"#, 2),
        (" { \"contains\" :\n\"\\u0007\" }\t", 3),
    ];
    for (config, index) in cases {
        let passed = [given[index].clone()];
        filtered(subject, config, &given, &passed, &[]).await.map_err(|error| format!("config {config}: {error}"))?;
    }
    Ok(())
}

async fn rejects_10_000_events(subject: &Subject) -> Outcome {
    let rejected: Vec<_> = (0..10_000).map(for_good).collect();
    filtered(subject, "null", &vec![Event::of([0xff]); 10_000], &[], &rejected).await
}

async fn finds_the_text_at_the_end_of_1_mib(subject: &Subject) -> Outcome {
    let long = Event::of(["a".repeat((1 << 20) - 6).as_str(), "needle"].concat());
    let (config, without) = (r#"{"contains":"needle"}"#, Event::of("a".repeat(1 << 20)));
    filtered(subject, config, &[without, long.clone()], &[long], &[]).await
}
