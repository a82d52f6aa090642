//! Pipeline files: what is read, and the exact words about what is wrong.

use std::{collections::BTreeSet, time::Duration};

use proptest::prelude::*;

use super::*;
use crate::{producer::BufferOptions, supervise::When};

mod flow;
mod plugins;
mod routing;

const MINIMAL: &str = "name = \"p\"\n[stages.a]\nplugin = \"a.wasm\"\n";

fn parse(text: &str) -> Result<Pipeline, ManifestError> {
    Pipeline::parse(text, "p.toml")
}

/// The messages, without the lines shown below them.
fn messages(text: &str) -> Vec<String> {
    let error = parse(text).expect_err(text).to_string();
    error.lines().filter(|line| line.starts_with("p.toml:")).map(str::to_owned).collect()
}

/// The single message about a stage `a` with these further lines.
fn message(lines: &str) -> String {
    let messages = messages(&format!("{MINIMAL}{lines}\n"));
    assert_eq!(messages.len(), 1, "{messages:#?}");
    messages[0].clone()
}

fn stage(lines: &str) -> Stage {
    parse(&format!("{MINIMAL}{lines}\n")).unwrap_or_else(|error| panic!("{error}")).stages()[0].clone()
}

fn name(text: &str) -> StageName {
    text.parse().unwrap()
}

#[test]
fn every_setting_is_read() {
    let text = r#"
        name = "all"
        [stages.z]
        plugin = "builtin:lines"
        scope = "global"
        config = { b = [1, 0x10, -2.5, true], a = { at = 1979-05-27T07:32:00Z }, "c d" = "\u0000" }
        buffer = { size = 7, keep = "first" }
        restart = { policy = "transient", max = 3, within = "5s", backoff = "1s", backoff_max = "2s" }
        limits = { memory = "1MiB", call_time = "1m 30s", table_elements = 5, log_lines_per_second = 6, batch_events = 8, batch_bytes = 2048 }
        poll = "off"
        tick = "250ms"
        ack = "early"
        checkpoint = "off"
        recycle = "512KiB"
        retry = { attempts = 2, backoff = "1s", backoff_max = "2s" }
        demand = "accumulate"
        [[stages.a.subscribe]]
        to = "z"
        max_demand = 9
        min_demand = 3
        cancel = "transient"
        when_full = "drop-oldest"
        [stages.a]
        plugin = "../x/a.wasm"
    "#;
    let pipeline = parse(text).unwrap_or_else(|error| panic!("{error}"));
    let [z, a] = pipeline.stages() else { panic!("two stages") };
    assert_eq!((pipeline.name().as_str(), z.name.as_str(), a.name.as_str()), ("all", "z", "a"));
    assert_eq!(z.plugin, PluginRef::Builtin("lines".into()));
    assert_eq!(z.scope, Scope::Global);
    assert_eq!(z.config, r#"{"a":{"at":"1979-05-27T07:32:00Z"},"b":[1,16,-2.5,true],"c d":"\u0000"}"#);
    assert_eq!(z.buffer, Buffer { size: Some(7), keep: Keep::First });
    let [second, two] = [1, 2].map(Duration::from_secs);
    let within = Duration::from_secs(5);
    let restart = RestartPolicy { when: When::Transient, max: 3, within, backoff: second, backoff_max: two };
    assert_eq!(z.restart, restart);
    let limits = Limits {
        memory_bytes: 1 << 20,
        call_time: Duration::from_secs(90),
        table_elements: 5,
        log_lines_per_second: 6,
        batch: BatchLimits { events_max: 8, bytes_max: 2048 },
    };
    assert_eq!((z.limits, z.poll, z.demand), (limits, None, DemandMode::Accumulate));
    assert_eq!(z.tick, Some(Duration::from_millis(250)));
    let retry = RetryPolicy { attempts: 2, backoff: second, backoff_max: two };
    assert_eq!((z.ack, z.checkpoint, z.retry, z.recycle), (Ack::Early, None, retry, Recycle::At(512 << 10)));
    assert_eq!(a.plugin, PluginRef::File("../x/a.wasm".into()));
    let demand = Demand::new(9, Some(3)).unwrap();
    assert_eq!(
        a.subscribe,
        [Subscription {
            to: name("z"),
            demand,
            cancel: CancelMode::Transient,
            when_full: WhenFull::DropOldest,
            ask: crate::consumer::AskMode::Auto,
            select: Selection::default(),
        }]
    );
}

#[test]
fn order_and_consumers_follow_the_subscriptions() {
    let text = r#"
        name = "p"
        stages.sink = { plugin = "s", subscribe = [{ to = "twice" }, { to = "source", max_demand = 3 }] }
        stages.twice = { plugin = "t", subscribe = [{ to = "source" }] }
        stages.source = { plugin = "q" }
        stages.alone = { plugin = "q" }
    "#;
    let pipeline = parse(text).unwrap();
    let order: Vec<_> = pipeline.upstream_order().map(|stage| stage.name.to_string()).collect();
    assert_eq!(order, ["source", "twice", "sink", "alone"]);
    let source = name("source");
    let consumers = pipeline.consumers_of(&source).map(|(stage, to_it)| (stage.name.as_str(), to_it.demand.max()));
    assert_eq!(consumers.collect::<Vec<_>>(), [("sink", 3), ("twice", 1000)]);
    assert_eq!(pipeline.consumers_of(&name("sink")).count(), 0);
    assert_eq!(pipeline.stage(&name("alone")).unwrap().name, name("alone"));
}

#[test]
fn an_error_shows_the_line_with_a_caret() {
    let error = parse("name = \"p\"\r\n[stages.a]\r\n\tplugin = \"ä\"; # x\r\n").unwrap_err();
    assert_eq!(
        error.to_string(),
        "p.toml:3:14: unexpected key or value; expected newline, `#`
  |
3 |  plugin = \"ä\"; # x
  |              ^"
    );
    let problem = &error.problems()[0];
    assert_eq!((problem.line, problem.column, &*problem.key), (3, 14, ""));
}

#[test]
fn several_problems_are_told_in_the_order_of_the_file() {
    let text = "name = \"P\"\nversion = 1\n[stages.a]\nplugn = \"a\"\npoll = 5\n[stages.B]\nplugin = 1\n";
    assert_eq!(
        messages(text),
        [
            "p.toml:1:8: `name` is the string \"P\"; expected 1 to 63 of the characters a-z, 0-9, `.`, `_` and `-`, \
             beginning with a letter or digit",
            "p.toml:2:1: `version` is no key that is known here; expected `name` or `stages`",
            "p.toml:3:9: `stages.a.plugin` is missing; expected the path of a component, as in \"./a.wasm\", the name of a plugin in the cluster's store, or `builtin:` and a name",
            "p.toml:4:1: `stages.a.plugn` is no key that is known here; expected `plugin`, `follow`, `grants`, `scope`, `labels`, \
             `config`, `subscribe`, `dispatcher`, `batch`, `rate_limit`, `concurrency`, `buffer`, `restart`, `limits`, `poll`, `tick`, `ack`, `checkpoint`, `retry`, `recycle` or `demand`; did you mean `plugin`?",
            "p.toml:5:8: `stages.a.poll` is the integer 5; expected a duration with its unit, as in \"100ms\", from 1ms \
             to 1h, or \"off\"",
            "p.toml:6:9: `B` is no name: expected 1 to 63 of the characters a-z, 0-9, `.`, `_` and `-`, beginning with a \
             letter or digit",
            "p.toml:7:10: `stages.B.plugin` is the integer 1; expected the path of a component, as in \"./a.wasm\", the name of a plugin in the cluster's store, or `builtin:` and a name",
        ]
    );
}

#[test]
fn wrong_values_are_told_with_what_was_expected() {
    for (lines, expected) in [
        (
            "scope = \"globl\"",
            "p.toml:4:9: `stages.a.scope` is the string \"globl\"; expected \"global\" or \"node\"; did you mean `global`?",
        ),
        ("scope = [1]", "p.toml:4:9: `stages.a.scope` is an array; expected \"global\" or \"node\""),
        (
            "plugin2.x = 1",
            "p.toml:4:1: `stages.a.plugin2` is no key that is known here; expected `plugin`, `follow`, `grants`, `scope`, `labels`, `config`, `subscribe`, `dispatcher`, `batch`, `rate_limit`, `concurrency`, `buffer`, `restart`, `limits`, `poll`, `tick`, `ack`, `checkpoint`, `retry`, `recycle` or `demand`; did you mean `plugin`?",
        ),
        (
            "limits.call_time = \"5\"",
            "p.toml:4:20: `stages.a.limits.call_time` is the string \"5\"; expected a duration with its unit, as in \"250ms\" or \"5s\", from 1ms to 1h",
        ),
        (
            "limits.memory = \"64mib\"",
            "p.toml:4:17: `stages.a.limits.memory` is the string \"64mib\"; expected a size, as in \"64MiB\", \"4MB\" or a number of bytes, from 64KiB to 4GiB",
        ),
        (
            "recycle = \"64MiB\"",
            "p.toml:4:11: `stages.a.recycle` is 64MiB, and `limits.memory` is 64MiB; expected a size below `limits.memory`",
        ),
        (
            "recycle = 65535",
            "p.toml:4:11: `stages.a.recycle` is the integer 65535; expected a size, as in \"48MiB\", from 64KiB on, \"auto\" or \"off\"",
        ),
        (
            "limits.memory = -1",
            "p.toml:4:17: `stages.a.limits.memory` is the integer -1; expected a size, as in \"64MiB\", \"4MB\" or a number of bytes, from 64KiB to 4GiB",
        ),
        (
            "limits.table_elements = 99999999999999999999",
            "p.toml:4:25: `stages.a.limits.table_elements` is the integer 99999999999999999999; expected an integer from 1 to 10000000",
        ),
        (
            "buffer.size = 1.5",
            "p.toml:4:15: `stages.a.buffer.size` is the float 1.5; expected an integer from 0 to 10000000",
        ),
        (
            "buffer = 100",
            "p.toml:4:10: `stages.a.buffer` is the integer 100; expected a table, as in { size = 10000, keep = \"last\" }",
        ),
        ("config = \"x\"", "p.toml:4:10: `stages.a.config` is the string \"x\"; expected a table"),
        (
            "config = { a = [1, nan] }",
            "p.toml:4:20: `stages.a.config.a[1]` is the float nan; expected a finite number, as JSON has no other",
        ),
        (
            "config = { \"a b\" = 1e999 }",
            "p.toml:4:20: `stages.a.config.\"a b\"` is the float 1e999; expected a finite number, as JSON has no other",
        ),
        (
            "config.n = 9223372036854775808",
            "p.toml:4:12: `stages.a.config.n` is the integer 9223372036854775808; expected an integer from -9223372036854775808 to 9223372036854775807",
        ),
        (
            "restart = { backoff = \"1m\" }",
            "p.toml:4:11: `stages.a.restart` is contradictory: backoff is 60s and backoff_max 30s; expected a backoff of at most backoff_max, which is 30s by default",
        ),
    ] {
        assert_eq!(message(lines), expected);
    }
}

#[test]
fn wrong_subscriptions_are_told_apart() {
    let text = |subscribe: &str| format!("{MINIMAL}subscribe = [{subscribe}]\n[stages.counter]\nplugin = \"c\"\n");
    for (subscribe, expected) in [
        (
            "{ to = \"conter\" }",
            "p.toml:4:21: `stages.a.subscribe[0].to` is \"conter\", which is no stage of this file; expected the name of a stage; did you mean `counter`?",
        ),
        (
            "{ to = \"printer\" }",
            "p.toml:4:21: `stages.a.subscribe[0].to` is \"printer\", which is no stage of this file; expected the name of a stage",
        ),
        (
            "{ to = \"a\" }",
            "p.toml:4:21: `stages.a.subscribe[0].to` is \"a\", the stage itself; expected another stage",
        ),
        (
            "{ to = \"counter\" }, { to = \"counter\" }",
            "p.toml:4:41: `stages.a.subscribe[1].to` is \"counter\", as is `stages.a.subscribe[0].to`; expected each stage once; raise `max_demand` to get more of it",
        ),
        (
            "{ max_demand = 5 }",
            "p.toml:4:14: `stages.a.subscribe[0].to` is missing; expected the name of the stage to subscribe to",
        ),
        (
            "{ to = \"counter\", max_demand = 5, min_demand = 5 }",
            "p.toml:4:14: `stages.a.subscribe[0]` is contradictory: min_demand is 5 and max_demand 5; expected a min_demand below max_demand, which is 1000 by default",
        ),
        (
            "{ to = \"counter\", max_demand = 0 }",
            "p.toml:4:45: `stages.a.subscribe[0].max_demand` is the integer 0; expected an integer from 1 to 10000000",
        ),
        (
            "\"counter\"",
            "p.toml:4:14: `stages.a.subscribe[0]` is the string \"counter\"; expected a table, as in { to = \"counter\" }",
        ),
    ] {
        assert_eq!(messages(&text(subscribe)), [expected]);
    }
}

#[test]
fn a_cycle_is_shown_from_its_first_stage_on() {
    let text = r#"name = "p"
stages.sink = { plugin = "s", subscribe = [{ to = "b" }] }
stages.a = { plugin = "s", subscribe = [{ to = "source" }, { to = "c" }] }
stages.b = { plugin = "s", subscribe = [{ to = "a" }] }
stages.c = { plugin = "s", subscribe = [{ to = "b" }] }
stages.source = { plugin = "s" }
"#;
    let expected = "p.toml:3:67: `stages.a.subscribe[1].to` is part of a cycle: a subscribes to c subscribes to b \
                    subscribes to a; expected subscriptions that lead to a source";
    assert_eq!(messages(text), [expected]);
}

#[test]
fn a_duplicate_is_told_with_both_places() {
    let twice = |text: &str| messages(text).remove(0);
    assert_eq!(
        twice(&format!("{MINIMAL}plugin = \"b\"\n")),
        "p.toml:4:1: key `plugin` stands here again, first in line 3"
    );
    assert_eq!(twice(&format!("{MINIMAL}[stages.a]\n")), "p.toml:4:9: key `a` stands here again, first in line 2");
    let nested = format!("{MINIMAL}config = {{ plugin = 1 }}\nplugin = 2\n");
    assert_eq!(twice(&nested), "p.toml:5:1: key `plugin` stands here again, first in line 3");
    let inline = format!("{MINIMAL}subscribe = [{{ to = \"b\" }}, {{ to = \"c\", to = \"d\" }}]\n");
    assert_eq!(twice(&inline), "p.toml:4:40: key `to` stands here again, first in line 4");
}

#[test]
fn a_file_without_stages_says_so() {
    assert_eq!(
        messages(""),
        [
            "p.toml:1:1: `name` is missing; expected the pipeline's name",
            "p.toml:1:1: `stages` is missing; expected at least one table such as `[stages.counter]`"
        ]
    );
    assert_eq!(
        messages("name = \"p\"\n[stages]"),
        ["p.toml:2:1: `stages` is empty; expected at least one table such as `[stages.counter]`"]
    );
}

#[test]
fn a_byte_order_mark_and_crlf_are_accepted() {
    let windows = format!("\u{feff}{}", MINIMAL.replace('\n', "\r\n"));
    assert_eq!(parse(&windows), parse(MINIMAL));
    assert_eq!(messages("\u{feff}nam = 1").last().unwrap().split(':').nth(2), Some("1"));
}

#[test]
fn control_characters_are_refused() {
    let expected = "expected text; inside a string, write it as an escape";
    for (c, shown) in [('\0', "0000"), ('\u{1b}', "001B"), ('\u{7f}', "007F"), ('\r', "000D")] {
        assert_eq!(messages(&format!("# a{c}b")), [format!("p.toml:1:4: control character U+{shown}; {expected}")]);
    }
    assert!(!parse("# \u{1b}[31m").unwrap_err().to_string().contains('\u{1b}'));
    assert!(!parse("\"\\u001b[31m\" = 1").unwrap_err().to_string().contains('\u{1b}'));
}

#[test]
fn bytes_that_are_no_utf_8_are_told_with_their_place() {
    let error = Pipeline::parse_bytes(b"name = \"p\"\n# \xff\n", "p.toml").unwrap_err().to_string();
    let first = error.lines().next().unwrap();
    assert_eq!(first, "p.toml:2:3: byte 0xff is not UTF-8; expected a text file in UTF-8");
    assert!(Pipeline::parse_bytes(MINIMAL.as_bytes(), "p.toml").is_ok());
}

#[test]
fn a_file_of_more_than_a_mebibyte_is_refused() {
    let fits = format!("{MINIMAL}#{}", "x".repeat(FILE_BYTES_MAX - MINIMAL.len() - 1));
    assert!(parse(&fits).is_ok());
    assert_eq!(messages(&format!("{fits}x")), ["p.toml:1:1: the file has 1048577 bytes; expected at most 1048576"]);
}

#[test]
fn deep_nesting_needs_no_stack() {
    let count = 100_000;
    let arrays = format!("a = {}{}", "[".repeat(count), "]".repeat(count));
    let open = format!("a = {}", "[".repeat(count));
    let tables = format!("a = {}1{}", "{a=".repeat(count), "}".repeat(count));
    let dotted = format!("a{} = 1", ".a".repeat(count));
    let header = format!("[a{}]", ".a".repeat(count));
    // As deep as TOML's own limits of 80 dotted keys in each of 80 tables in each other let it be.
    let key = vec!["a"; 78].join(".");
    let both = format!("{MINIMAL}config = {}1{}", format!("{{{key} = ").repeat(78), "}".repeat(78));
    for text in [arrays, open, tables, dotted, header, both] {
        assert!(parse(&text).is_err());
    }
    let deep = |depth: usize| format!("config = {}1{}", "{a=".repeat(depth), "}".repeat(depth));
    assert!(stage(&deep(32)).config.contains('1'));
    let expected = "is nested too deeply; expected at most 32 tables and arrays in each other";
    assert!(message(&deep(33)).ends_with(expected), "{}", message(&deep(33)));
}

#[test]
fn many_problems_are_cut_and_do_not_take_long() {
    let stages: String =
        (0..8000).map(|n| format!("[stages.s{n}]\nplugin = \"x\"\nsubscribe = [{{ to = \"x{n}\" }}]\n")).collect();
    assert_eq!(messages(&format!("name = \"p\"\n{stages}")).len(), 20);
    let keys: String = (0..50_000).map(|n| format!("k{n} = 1\n")).collect();
    assert_eq!(messages(&keys).len(), 20);
}

/// Rows of keys.md: key, default, range.
fn rows() -> Vec<[&'static str; 3]> {
    let rows = include_str!("keys.md").lines().filter(|line| line.starts_with("| `"));
    let cells = |row: &'static str| row.split(" | ").map(|cell| cell.trim_matches(['|', ' '])).collect::<Vec<_>>();
    rows.map(cells).map(|cells| [cells[0].trim_matches('`'), cells[1], cells[2]]).collect()
}

/// A file in which one key stands with a value, the keys it needs beside it.
fn with_key(key: &str, value: &str) -> String {
    let key = key.strip_prefix("stages.NAME.").expect("the key of a stage");
    if let Some(setting) = key.strip_prefix("dispatcher.").filter(|setting| *setting != "kind") {
        return with_key("stages.NAME.dispatcher", &format!("{{ {}, {setting} = {value} }}", kind_of(setting)));
    }
    if let Some((table, setting)) = key.split_once('.').filter(|(table, _)| ["batch", "rate_limit"].contains(table)) {
        let needs = if table == "batch" { "size" } else { "events" };
        let needs = if setting == needs { String::new() } else { format!("{needs} = 1, ") };
        return with_key(&format!("stages.NAME.{table}"), &format!("{{ {needs}{setting} = {value} }}"));
    }
    let of_a = if key == "batch" { "subscribe = [{ to = \"b\" }]" } else { "" };
    let line = match key.rsplit_once("[].") {
        Some(("subscribe", key)) => format!("subscribe = [{{ to = \"b\", {key} = {value} }}]"),
        Some((list, "write")) => format!("{list} = [{{ host = \"/a\", guest = \"/b\", write = {value} }}]"),
        Some((list, key)) => format!("{list} = [{{ {key} = {value} }}]"),
        None => format!("{key} = {value}"),
    };
    let of_b = if key.ends_with("deliver") { "dispatcher = \"broadcast\"" } else { "" };
    format!("{MINIMAL}{line}\n{of_a}\n[stages.b]\nplugin = \"b\"\n{of_b}\n")
}

/// The kind of dispatcher that has a setting.
fn kind_of(setting: &str) -> &'static str {
    match setting {
        "shuffle" => "kind = \"demand\"",
        "away" => "kind = \"broadcast\"",
        _ => "kind = \"partition\"",
    }
}

#[test]
fn the_table_holds_every_key_and_no_other() {
    let grants = "grants = { dirs = [{}] }";
    let text = format!(
        "{MINIMAL}{grants}\nsubscribe = [{{}}]\ndispatcher = {{}}\nbatch = {{}}\nrate_limit = {{}}\nconcurrency = {{}}\nbuffer = {{}}\nrestart = {{}}\nlimits = {{}}\nretry = {{}}\n"
    );
    let asked = manifest::keys_asked_for(&text);
    let asked: BTreeSet<_> =
        asked.iter().map(|key| key.replace("stages.a", "stages.NAME").replace("[0]", "[]")).collect();
    let documented: BTreeSet<_> = rows().iter().map(|[key, ..]| (*key).to_owned()).collect();
    assert_eq!(asked, documented);
}

#[test]
fn every_default_in_the_table_is_the_real_one() {
    let absent = parse(&with_key("stages.NAME.config", "{}")).unwrap();
    let subscribed = parse(&with_key("stages.NAME.subscribe[].max_demand", "1000")).unwrap();
    let implicit = parse(&with_key("stages.NAME.subscribe", "[{ to = \"b\" }]")).unwrap();
    assert_eq!(subscribed, implicit);
    let dir = "[{ host = \"/a\", guest = \"/b\" }]";
    let granted = parse(&with_key("stages.NAME.grants.dirs", dir)).unwrap();
    for [key, default, _] in rows() {
        let Some(value) = default.strip_prefix('`').and_then(|default| default.strip_suffix('`')) else {
            let required = ["name", "stages", "stages.NAME.plugin"].contains(&key) || key.contains("dirs[].");
            let required = required || key.starts_with("stages.NAME.batch.") || key.ends_with("rate_limit.events");
            let special = required || key.contains("subscribe[].");
            assert!(special, "{key} has default {default}");
            continue;
        };
        let mut explicit = parse(&with_key(key, value)).unwrap_or_else(|error| panic!("{error}"));
        if key == "stages.NAME.buffer.size" {
            assert_eq!(
                explicit.stages[0].buffer.size.replace(BufferOptions::SIZE_DEFAULT),
                Some(BufferOptions::SIZE_DEFAULT)
            );
            explicit.stages[0].buffer.size = None;
        }
        if let Some(setting) = key.strip_prefix("stages.NAME.dispatcher.") {
            let same = parse(&with_key("stages.NAME.dispatcher", &format!("{{ {} }}", kind_of(setting)))).unwrap();
            let differs = setting == "kind" && explicit == absent;
            assert!(differs || explicit == same, "{key}");
            continue;
        }
        if let Some(table) =
            ["stages.NAME.batch", "stages.NAME.rate_limit"].into_iter().find(|table| key.starts_with(table))
        {
            let bare = if key == table { "\"off\"" } else { "{ size = 1 }" };
            let bare = if table.ends_with("limit") { bare.replace("size", "events") } else { bare.to_owned() };
            assert_eq!(explicit, parse(&with_key(table, &bare)).unwrap(), "{key}");
            let is_off = explicit.stages[0].batch.is_none() && explicit.stages[0].rate_limit.is_none();
            assert_eq!(is_off, key == table);
            continue;
        }
        if key.ends_with(".deliver") {
            assert_eq!(explicit.stages[0], implicit.stages[0], "{key}");
            continue;
        }
        let same = match key.split_once("[].") {
            Some((_, "write")) => &granted,
            Some(_) => &implicit,
            None => &absent,
        };
        assert_eq!(explicit, *same, "{key}");
    }
    assert_eq!(implicit.stages()[0].subscribe[0].demand.min(), 500);
}

#[test]
fn every_range_in_the_table_is_the_real_one() {
    let mut checked = 0;
    for [key, _, range] in rows() {
        let Some((low, high)) = range.split_once(" to ").filter(|_| key != "stages.NAME.plugin") else { continue };
        let high = high.split([' ', ',']).next().unwrap();
        let [low, high] = [low, high].map(|bound| bound.trim_matches('`'));
        let problem = |value: &str| Some(parse(&with_key(key, value)).err()?.problems()[0].clone());
        for value in [low, high] {
            // A bound may clash with the default of another key; in itself it is right.
            let refused = problem(value).filter(|problem| !problem.found.starts_with("contradictory"));
            assert_eq!(refused, None, "{key} = {value}");
        }
        let expected = problem("-0.5").expect("no key takes -0.5").expected;
        let bounds = format!("from {} to {}", low.trim_matches('"'), high.trim_matches('"'));
        assert!(expected.contains(&bounds), "{key}: `{bounds}` is not in `{expected}`");
        checked += 1;
    }
    assert_eq!(checked, 27);
}

#[test]
fn every_example_is_read() {
    let examples = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples");
    let mut read = 0;
    for entry in std::fs::read_dir(examples).expect("examples/ stands beside host/") {
        let path = entry.unwrap().path().join("pipeline.toml");
        if path.exists() {
            let shown = path.display().to_string();
            Pipeline::parse_bytes(&std::fs::read(&path).unwrap(), &shown).unwrap_or_else(|error| panic!("{error}"));
            read += 1;
        }
    }
    assert!(read >= 2, "{read} examples");
}

/// Checks what must hold of every error, whatever the input.
fn check(text: &str) {
    let Err(error) = parse(text) else { return };
    assert!((1..=20).contains(&error.problems().len()));
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    for problem in error.problems() {
        let line = text.split('\n').nth(problem.line - 1).expect("the line is in the file");
        assert!(problem.column <= line.chars().count() + 1, "{problem:?}");
    }
    assert!(!error.to_string().contains(|c: char| c.is_control() && c != '\n'), "{error}");
}

const EXAMPLES: [&str; 2] = [
    include_str!("../../../../examples/counter/pipeline.toml"),
    include_str!("../../../../examples/lines/pipeline.toml"),
];

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,200}") {
        check(&text);
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        check(&String::from_utf8_lossy(&bytes));
        let _ = Pipeline::parse_bytes(&bytes, "p.toml");
    }

    #[test]
    fn a_changed_example_is_read_or_refused(
        example in 0..EXAMPLES.len(),
        edits in proptest::collection::vec((any::<prop::sample::Index>(), 0usize..20, "[\\[\\]{}=.,\"'#\n a-z0-9ä-]{0,5}"), 1..6),
    ) {
        let mut characters: Vec<char> = EXAMPLES[example].chars().collect();
        for (at, remove, insert) in edits {
            let at = at.index(characters.len() + 1);
            let end = (at + remove).min(characters.len());
            characters.splice(at..end, insert.chars());
        }
        check(&characters.into_iter().collect::<String>());
    }

    #[test]
    fn any_toml_value_in_the_place_of_another_is_read_or_refused(
        row in any::<prop::sample::Index>(),
        value in prop::sample::select(vec!["1", "-1", "1.5", "nan", "\"\"", "\"x\"", "true", "[]", "[[]]", "[{}]", "{}", "{a={}}", "1979-05-27", "99999999999999999999", "\"99999999999999999999999s\""]),
    ) {
        let keys: Vec<_> = rows().into_iter().filter(|[key, ..]| key.starts_with("stages.NAME.")).collect();
        check(&with_key(row.get(&keys)[0], value));
    }
}
