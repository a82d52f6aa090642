//! What is as expected, and what is said of what is not.

use std::time::Duration;

use super::*;

fn seen(text: &str) -> Seen {
    let (key, payload) = text.split_once('=').unwrap_or(("", text));
    Seen {
        payload: payload.into(),
        topic: None,
        key: key.into(),
        headers: BTreeMap::new(),
        node: "a".parse().unwrap(),
        at: Duration::ZERO,
    }
}

fn pattern(text: &str) -> Pattern {
    let (key, payload) = text.split_once('=').map_or((None, text), |(key, payload)| (Some(key), payload));
    let payload = (payload != "?").then(|| Payload::Bytes(payload.into()));
    Pattern { payload, key: key.map(Into::into), ..Pattern::default() }
}

fn told(expected: &str, order: Order, repeats: bool, found: &str) -> Option<String> {
    let patterns = expected.split_whitespace().map(pattern).collect();
    let (stage, side) = ("s".parse().unwrap(), Side::Given);
    let expect = Expect { stage, side, what: Wanted::Events(patterns, order), repeats };
    let found: Vec<_> = found.split_whitespace().map(seen).collect();
    judge(&expect, &found)
}

#[test]
fn in_order_means_each_once_and_nothing_else() {
    assert_eq!(told("1 2 3", Order::Exact, false, "1 2 3"), None);
    for found in ["1 3 2", "1 2", "1 2 3 3", "1 1 2 3", "1 2 3 4", ""] {
        assert!(told("1 2 3", Order::Exact, false, found).is_some(), "{found}");
    }
    let text = told("1 2 3 4 5 6", Order::Exact, false, "1 2 3 4 x 6").unwrap();
    let expected = "stage `s` was given other events than expected (in this order; - missing, + found)\n    \
                    ... 2 as expected\n    \"3\"\n    \"4\"\n  - \"5\"\n  + \"x\"\n    \"6\"";
    assert_eq!(text, expected);
}

#[test]
fn repeats_are_of_what_came_before_and_never_new() {
    for found in ["1 2 3", "1 1 2 2 3 3", "1 2 1 2 3", "1 2 3 1"] {
        assert_eq!(told("1 2 3", Order::Exact, true, found), None, "{found}");
        assert_eq!(told("3 2 1", Order::Any, true, found), None, "{found}");
    }
    for found in ["2 1 3", "1 2", "1 2 3 4", "1 3 2 3"] {
        assert!(told("1 2 3", Order::Exact, true, found).is_some(), "{found}");
    }
    assert!(told("1 2 3", Order::Any, true, "1 2 2").unwrap().ends_with("\n  - \"3\""));
    assert!(told("1 2 3", Order::Any, true, "1 2 4 3").unwrap().ends_with("\n  + \"4\""));
}

#[test]
fn in_any_order_each_is_counted() {
    assert_eq!(told("1 2 2 3", Order::Any, false, "2 3 2 1"), None);
    assert!(told("1 2 2 3", Order::Any, false, "2 3 1").unwrap().ends_with("\n  - \"2\""));
    assert!(told("1 2", Order::Any, false, "2 2 1").unwrap().ends_with("\n  + \"2\""));
}

/// The open pattern fits what the other needs, too.
#[test]
fn a_pattern_that_says_less_leaves_events_to_those_that_say_more() {
    assert_eq!(told("? 1", Order::Any, false, "1 2"), None);
    assert!(told("? 1", Order::Any, false, "2 3").is_some());
}

#[test]
fn each_key_has_its_order() {
    assert_eq!(told("a=1 a=2 b=1 b=2", Order::ByKey, false, "b=1 a=1 a=2 b=2"), None);
    let text = told("a=1 a=2 b=1", Order::ByKey, false, "a=2 a=1 b=1").unwrap();
    assert!(text.contains("key \"a\":") && !text.contains("key \"b\":"), "{text}");
}

#[test]
fn numbers_of_events_are_compared() {
    let expect = |repeats| Expect { stage: "s".parse().unwrap(), side: Side::Emitted, what: Wanted::Count(2), repeats };
    let found = ["1", "2", "3"].map(seen);
    assert_eq!(judge(&expect(false), &found[..2]), None);
    assert_eq!(judge(&expect(true), &found), None);
    assert_eq!(judge(&expect(false), &found).unwrap(), "stage `s` emitted 3 events; expected 2");
    assert_eq!(judge(&expect(true), &found[..1]).unwrap(), "stage `s` emitted 1 events; expected at least 2");
}

#[test]
fn json_is_compared_by_value_and_the_rest_where_it_is_said() {
    let json = Pattern { payload: Some(Payload::Json(serde_json::json!({"a": [1, null]}))), ..Pattern::default() };
    let mut event = seen("{ \"a\" : [1,null] }");
    let fits = |pattern: &Pattern, event: &Seen| Found::of(event, std::slice::from_ref(pattern)).fits(pattern);
    assert!(fits(&json, &event));
    assert!(!fits(&json, &seen("{\"a\":[1]}")) && !fits(&json, &seen("no")));
    event.topic = Some("t".to_owned());
    event.headers.insert("h".to_owned(), "1".to_owned());
    let topic = Pattern { topic: Some("t".to_owned()), ..Pattern::default() };
    let header = |value: &str| Pattern { headers: [("h".to_owned(), value.to_owned())].into(), ..Pattern::default() };
    assert!(fits(&topic, &event) && fits(&header("1"), &event));
    assert!(!fits(&topic, &seen("1")) && !fits(&header("2"), &event));
}

#[test]
fn a_long_difference_is_cut() {
    let expected: Vec<_> = (0..100).map(|number| number.to_string()).collect();
    let text = told(&expected.join(" "), Order::Exact, false, "").unwrap();
    assert!(text.ends_with("  - \"39\"\n  ... and 60 more lines"), "{text}");
}
