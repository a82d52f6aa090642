//! `forebay replay`: a recording against a plugin, and what cannot be replayed.

use crate::{
    cli::Desk,
    process::{forebay, prebuilt, run},
};

const RECORDED: &str = r#"{"what":"recording","version":1,"pipeline":"p","stage":"double","role":"producer-consumer","node":"a","epoch":1,"at":"2026-11-22T09:00:00.000Z","plugin":"sha256:0","config":null,"limits":{"memory_bytes":67108864,"call_time_ms":60000,"table_elements":100000,"log_lines_per_second":1000,"batch_events":65536,"batch_bytes":4194304}}
{"what":"given","call":"events","source":"s","epoch":1,"attempt":1,"runs":[[7,2]],"events":[{"payload":"a"},{"payload_base64":"/w=="}]}
{"what":"answered","answer":"done","first":14,"events":[{"payload":"a"},{"payload":"a"},{"payload_base64":"/w=="},{"payload_base64":"/w=="}]}
"#;

#[test]
fn replay_compares_what_a_plugin_answers_with_what_was_recorded() {
    let desk = Desk::new();
    let replay =
        |file: &str, plugin: &str| run(forebay(["replay", file, "--plugin", &prebuilt(plugin).display().to_string()]));
    let same = replay(&desk.write("same", RECORDED), "double");
    same.assert_done();
    assert_eq!(same.stdout, "1 calls replayed, 0 of them answered differently\n");
    let changed = desk.write("changed", RECORDED.replace(r#"{"payload":"a"},{"payload":"a"},"#, r#"{"payload":"a"},"#));
    let different = replay(&changed, "double");
    assert_eq!(different.code, Some(1), "{different:#?}");
    assert_eq!(
        different.stdout,
        "line 3: s 1:7-8\n--- recorded\n+++ replayed\n@@ -1,3 +1,4 @@\n event {\"payload\":\"a\"}\n+event {\"payload\":\"a\"}\n \
         event {\"payload_base64\":\"/w==\"}\n event {\"payload_base64\":\"/w==\"}\n\
         1 calls replayed, 1 of them answered differently\n"
    );
    let gap = RECORDED.to_owned()
        + "{\"what\":\"missed\",\"given\":3,\"emitted\":6}\n"
        + RECORDED.split_once('\n').unwrap().1;
    let same = replay(&desk.write("gap", gap), "double");
    assert_eq!(
        same.stdout,
        "2 calls replayed, 0 of them answered differently; 0 calls left out, 9 events not recorded\n"
    );
}

#[test]
fn what_cannot_be_replayed_is_refused_with_the_reason() {
    let desk = Desk::new();
    let (double, recorded) = (prebuilt("double").display().to_string(), desk.write("recorded", RECORDED));
    let replay = |file: &str, plugin: &str| run(forebay(["replay", file, "--plugin", plugin]));
    let missing = desk.text("missing");
    replay(&missing, &double).assert_failed(66, &format!("forebay: cannot read {missing}"));
    replay(&recorded, &missing).assert_failed(66, &format!("forebay: cannot read plugin {missing}"));
    let other = desk.write("other", "{}\n");
    replay(&other, &double).assert_failed(65, &format!("forebay: {other}:1: is no recording"));
    let bad = desk.write("bad", RECORDED.replace("[[7,2]]", "[[7,3]]"));
    replay(&bad, &double).assert_failed(65, &format!("forebay: {bad}:2: `runs` holds 3 numbers for 2 events"));
    let counter = prebuilt("counter").display().to_string();
    let told = format!("forebay: {counter} is a producer, but what was recorded is a producer-consumer");
    replay(&recorded, &counter).assert_failed(65, &told);
}
