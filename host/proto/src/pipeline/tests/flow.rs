//! The keys that say how much at once, how fast, and who asks.

use super::*;
use crate::{
    consumer::{AskMode, GatherBy, Gathering},
    rate::RateLimit,
    stage::Concurrency,
};

/// A stage `a` with these lines that subscribes to `b` with these keys.
fn consumer(lines: &str, keys: &str) -> String {
    format!("{MINIMAL}subscribe = [{{ to = \"b\"{keys} }}]\n{lines}\n[stages.b]\nplugin = \"b\"\n")
}

fn of_a(text: &str) -> Stage {
    parse(text).unwrap_or_else(|error| panic!("{error}")).stages()[0].clone()
}

fn only_message(text: &str) -> String {
    let messages = messages(text);
    assert_eq!(messages.len(), 1, "{messages:#?}");
    messages[0].clone()
}

#[test]
fn a_batch_is_read() {
    let batch = |value: &str| of_a(&consumer(&format!("batch = {value}"), "")).batch;
    let millis = Duration::from_millis;
    assert_eq!(of_a(&consumer("", "")).batch, None);
    assert_eq!(batch("\"off\""), None);
    assert_eq!(batch("{ size = 1000 }"), Some(Gathering { size: 1000, timeout: millis(1000), by: None }));
    let by = |by: GatherBy| Some(Gathering { size: 5, timeout: millis(20), by: Some(by) });
    assert_eq!(batch("{ size = 5, timeout = \"20ms\", by = \"key\" }"), by(GatherBy::Key));
    assert_eq!(batch("{ size = 5, timeout = \"20ms\", by = \"topic\" }"), by(GatherBy::Topic));
    let header = by(GatherBy::Header("x:y".into()));
    assert_eq!(batch("{ size = 5, timeout = \"20ms\", by = \"header:x:y\" }"), header);
}

#[test]
fn a_batch_that_cannot_be_is_refused() {
    assert_eq!(
        only_message(&consumer("batch = { size = 101 }", ", max_demand = 100")),
        "p.toml:5:9: `stages.a.batch` is contradictory: size is 101, and max_demand of `subscribe[0]` is 100; expected a size \
         of at most max_demand, as what waits counts as asked for"
    );
    assert!(parse(&consumer("batch = { size = 100 }", ", max_demand = 100")).is_ok());
    assert_eq!(
        message("batch = { size = 5 }"),
        "p.toml:4:9: `stages.a.batch` is set, and `subscribe` is not; expected it on a stage that subscribes to another"
    );
    assert_eq!(
        only_message(&consumer("batch = {}", "")),
        "p.toml:5:9: `stages.a.batch.size` is missing; expected how many events a batch has, from 1 to 65536"
    );
    for by in ["\"header:\"", "\"keys\"", "1"] {
        let message = only_message(&consumer(&format!("batch = {{ size = 5, by = {by} }}"), ""));
        assert!(message.ends_with("expected \"key\", \"topic\", or \"header:\" and the name of a header"), "{message}");
    }
    // What is wrong with the subscription is told, and not that there is none.
    assert!(only_message(&consumer("batch = { size = 5 }", ", max_demand = 0")).contains("max_demand"));
}

#[test]
fn a_rate_limit_is_read_on_any_stage() {
    let limit = |value: &str| stage(&format!("rate_limit = {value}")).rate_limit;
    let second = Duration::from_secs(1);
    assert_eq!((stage("").rate_limit, limit("\"off\"")), (None, None));
    assert_eq!(limit("{ events = 7 }"), Some(RateLimit { events: 7, per: second }));
    assert_eq!(limit("{ events = 7, per = \"1m\" }"), Some(RateLimit { events: 7, per: 60 * second }));
    assert_eq!(
        message("rate_limit = 5"),
        "p.toml:4:14: `stages.a.rate_limit` is the integer 5; expected a table, as in { events = 1000, per = \"1s\" }, or \
         \"off\""
    );
    assert!(message("rate_limit = { events = 0 }").ends_with("expected an integer from 1 to 10000000"));
    assert!(message("rate_limit = { per = \"1s\" }").contains("`stages.a.rate_limit.events` is missing"));
}

#[test]
fn who_asks_is_read_and_a_plugin_that_asks_loses_nothing() {
    let ask = |keys: &str| of_a(&consumer("", keys)).subscribe[0].ask;
    assert_eq!(
        [ask(""), ask(", ask = \"auto\""), ask(", ask = \"manual\"")],
        [AskMode::Auto, AskMode::Auto, AskMode::Manual]
    );
    assert_eq!(
        only_message(&consumer("", ", ask = \"manual\", when_full = \"drop-oldest\"")),
        "p.toml:4:14: `stages.a.subscribe[0]` is contradictory: ask is \"manual\", and when_full is \"drop-oldest\"; expected \
         when_full = \"block\" where the plugin asks, as no more comes than it asked for"
    );
}

#[test]
fn instances_are_a_number_or_a_table() {
    let of = |value: &str| stage(&format!("concurrency = {value}")).concurrency;
    let by_key = |instances| Concurrency { instances, by: Some(GatherBy::Key) };
    assert_eq!([stage("").concurrency, of("1"), of("256"), of("{}")], [1, 1, 256, 1].map(by_key));
    assert_eq!(of("{ instances = 3, by = \"none\" }"), Concurrency { instances: 3, by: None });
    let header = Some(GatherBy::Header("user".into()));
    assert_eq!(of("{ instances = 4, by = \"header:user\" }"), Concurrency { instances: 4, by: header });
    for value in ["0", "257", "\"4\"", "-1"] {
        let message = message(&format!("concurrency = {value}"));
        assert!(message.ends_with(
            "expected how many instances, from 1 to 256, or a table, as in { instances = 4, by = \"header:user\" }"
        ));
    }
    let expected = "expected \"key\", \"topic\", \"header:\" and the name of a header, or \"none\"";
    assert!(message("concurrency = { instances = 2, by = \"header:\" }").ends_with(expected));
}

#[test]
fn several_instances_are_refused_where_one_is_meant() {
    assert_eq!(
        only_message(&consumer("concurrency = 2", ", ask = \"manual\"")),
        "p.toml:5:15: `stages.a.concurrency` is more than 1, and ask of `subscribe[0]` is \"manual\"; expected one instance \
         where the plugin asks, so that it is given what it asked for"
    );
    assert!(parse(&consumer("concurrency = 1", ", ask = \"manual\"")).is_ok());
    assert_eq!(
        only_message("name = \"p\"\n[stages.a]\nplugin = \"builtin:lines\"\nconcurrency = 2\n"),
        "p.toml:4:15: `stages.a.concurrency` is more than 1, and the plugin is a built-in source; expected one instance of it"
    );
}
