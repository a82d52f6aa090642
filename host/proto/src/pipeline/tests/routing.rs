//! The keys that say who gets which events.

use super::*;
use crate::{
    dispatch::{PartitionBy, PartitionOptions, numbered_partitions},
    select::Deliver,
};

fn partitioned(by: PartitionBy, partitions: Vec<crate::ids::PartitionName>, away: u64) -> DispatcherOptions {
    DispatcherOptions::Partition(PartitionOptions { by, partitions, away: Duration::from_secs(away) })
}

/// A producer with this dispatcher, and a consumer `b` with these keys in its subscription.
fn pair(dispatcher: &str, keys: &str) -> String {
    format!("{MINIMAL}dispatcher = {dispatcher}\n[stages.b]\nplugin = \"b\"\nsubscribe = [{{ to = \"a\"{keys} }}]\n")
}

fn refused(dispatcher: &str, keys: &str) -> String {
    let messages = messages(&pair(dispatcher, keys));
    assert_eq!(messages.len(), 1, "{messages:#?}");
    messages[0].split_once(" is ").expect("what is wrong").1.to_owned()
}

#[test]
fn a_dispatcher_is_a_word_or_a_table() {
    let dispatcher = |value: &str| stage(&format!("dispatcher = {value}")).dispatcher;
    let away = Duration::from_secs(10);
    assert_eq!(stage("").dispatcher, DispatcherOptions::Demand { max: None, shuffle: false });
    assert_eq!(dispatcher("\"demand\""), DispatcherOptions::default());
    assert_eq!(dispatcher("{ shuffle = true }"), DispatcherOptions::Demand { max: None, shuffle: true });
    assert_eq!(dispatcher("\"broadcast\""), DispatcherOptions::Broadcast { away });
    let none = DispatcherOptions::Broadcast { away: Duration::ZERO };
    assert_eq!(dispatcher("{ kind = \"broadcast\", away = \"0s\" }"), none);
    assert_eq!(dispatcher("\"partition\""), partitioned(PartitionBy::Key, numbered_partitions(16), 10));
    let header = PartitionBy::Header("x:y".into());
    let found = dispatcher("{ kind = \"partition\", by = \"header:x:y\", partitions = 2, away = \"1s\" }");
    assert_eq!(found, partitioned(header, numbered_partitions(2), 1));
    let names = ["even", "odd"].map(|name| name.parse().unwrap()).to_vec();
    let found = dispatcher("{ kind = \"partition\", by = \"number:n\", partitions = [\"even\", \"odd\"] }");
    assert_eq!(found, partitioned(PartitionBy::Number("n".into()), names, 10));
}

#[test]
fn what_a_subscription_wants_is_read() {
    let pipeline =
        parse(&pair("{ kind = \"partition\", partitions = 3 }", ", partitions = [2, \"0\"], topics = [\"a.>\"]"));
    let select = pipeline.unwrap().stages()[1].subscribe[0].select.clone();
    assert_eq!(select.partitions.iter().map(|name| name.as_str()).collect::<Vec<_>>(), ["2", "0"]);
    assert_eq!(select.topics, ["a.>".parse().unwrap()]);
    let pipeline = parse(&pair("\"broadcast\"", ", deliver = \"shared\"")).unwrap();
    assert_eq!(pipeline.stages()[1].subscribe[0].select.deliver, Deliver::Shared);
    assert!(parse(&pair("\"demand\"", ", topics = [\"a\"], partitions = []")).is_ok());
}

#[test]
fn owners_of_a_stage_share_what_a_broadcast_gives_them() {
    let deliver = |scope: &str, dispatcher: &str| {
        let text = pair(dispatcher, "").replace("[stages.b]\n", &format!("[stages.b]\n{scope}\n"));
        parse(&text).unwrap().stages()[1].subscribe[0].select.deliver
    };
    assert_eq!(deliver("scope = \"global\"", "\"broadcast\""), Deliver::Shared);
    assert_eq!(deliver("scope = \"node\"", "\"broadcast\""), Deliver::Each);
    assert_eq!(deliver("scope = \"global\"", "\"demand\""), Deliver::Each);
}

#[test]
fn a_wish_that_does_not_fit_the_dispatcher_names_both_keys() {
    assert_eq!(
        messages(&pair("\"demand\"", ", deliver = \"shared\"")),
        [
            "p.toml:7:36: `stages.b.subscribe[0].deliver` is the string \"shared\", and `stages.a.dispatcher` is \"demand\"; \
          expected it only where `stages.a.dispatcher` is \"broadcast\""
        ]
    );
    assert_eq!(
        refused("\"broadcast\"", ", partitions = [1]"),
        "an array, and `stages.a.dispatcher` is \"broadcast\"; expected it only where `stages.a.dispatcher` is \"partition\""
    );
    assert_eq!(
        refused("{ kind = \"partition\", partitions = 4 }", ", partitions = [3, 4]"),
        "an array with \"4\", which is no partition of `stages.a.dispatcher`; expected some of \"0\" to \"3\""
    );
    let second = "[stages.c]\nplugin = \"c\"\nsubscribe = [{ to = \"a\", partitions = [2, 1] }]\n";
    let both = messages(&format!("{}{second}", pair("\"partition\"", ", partitions = [0, 1]")));
    assert_eq!(
        both,
        ["p.toml:10:39: `stages.c.subscribe[0].partitions` is an array with \"1\", which stage `b` has; \
          expected partitions that no other subscription names"]
    );
}

#[test]
fn a_setting_of_another_kind_is_refused() {
    let of = |value: &str| message(&format!("dispatcher = {value}")).split_once(" is ").unwrap().1.to_owned();
    assert_eq!(
        of("{ away = \"1s\" }"),
        "there, and `kind` is \"demand\"; expected it only with `kind` \"broadcast\" or `kind` \"partition\""
    );
    assert_eq!(
        of("{ kind = \"broadcast\", by = \"key\" }"),
        "there, and `kind` is \"broadcast\"; expected it only with `kind` \"partition\""
    );
    assert!(of("\"broadcat\"").ends_with("did you mean `broadcast`?"));
    assert!(of("3").starts_with("the integer 3; expected \"demand\", "));
    assert!(of("{ kind = \"partition\", partitions = [] }").starts_with("empty; expected a count from 1 to 1024"));
    assert!(of("{ kind = \"partition\", partitions = [1, \"1\"] }").starts_with("\"1\", which stands there before"));
    assert!(of("{ kind = \"partition\", partitions = 1025 }").starts_with("the integer 1025; expected a count"));
    assert!(of("{ kind = \"partition\", by = \"header:\" }").starts_with("the string \"header:\"; expected \"key\""));
}

#[test]
fn topics_are_patterns() {
    let of = |topics: &str| refused("\"demand\"", &format!(", topics = {topics}"));
    assert!(of("[\"a..b\"]").starts_with("the string \"a..b\"; expected a topic of 1 to 255 bytes"));
    assert!(of("\"a\"").starts_with("the string \"a\"; expected an array of topics"));
    let many = format!("[{}]", "\"a\",".repeat(257));
    assert_eq!(of(&many), "an array of 257; expected at most 256 topics");
}
