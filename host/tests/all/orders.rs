//! The commands that change how a running stage runs, with real nodes: what they print, and what comes of them.

use serde_json::{Value, json};

use crate::{
    admin::Cluster,
    process::{Outcome, forebay, json_lines, run},
};

fn stage<'s>(status: &'s Value, name: &str) -> &'s Value {
    status["stages"].as_array().unwrap().iter().find(|stage| stage["name"] == name).unwrap()
}

#[track_caller]
fn said(outcome: &Outcome, parts: &[&str]) {
    outcome.assert_done();
    for part in parts {
        assert!(outcome.stdout.contains(part), "expected {part:?}\n{outcome:#?}");
    }
}

fn printed(outcome: &Outcome) -> Value {
    outcome.assert_done();
    json_lines(&outcome.stdout).remove(0)
}

/// Waits until a node says so of a stage, and gives all it says of it.
fn until(cluster: &Cluster, node: &str, name: &str, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let status = cluster.until(node, what, |status| is_so(stage(status, name)));
    stage(&status, name).clone()
}

#[test]
fn demand_is_held_back_and_let_through_by_command() {
    let cluster = Cluster::new();
    let nodes = cluster.start_all(&["a"], 1);
    let demand = |args: &[&str]| cluster.command("a", &[&["demand"], args].concat());
    said(&demand(&["counter"]), &["p/counter: demand forward (as the pipeline file says)"]);
    said(
        &demand(&["p/counter", "accumulate"]),
        &["p/counter: demand accumulate (ordered at a on 20", "Z; the pipeline file says forward)"],
    );
    let told = printed(&demand(&["counter", "--output", "json"]));
    assert_eq!(
        (&told["name"], &told["demand"]["now"], &told["demand"]["file"]),
        (&json!("p/counter"), &json!("accumulate"), &json!("forward"))
    );
    assert_eq!(told["demand"]["ordered"]["operator"], Value::Null);
    until(&cluster, "a", "p/counter", "nothing is under way", |stage| {
        stage["demand"]["now"] == "accumulate" && stage["unacked"] == 0 && stage["buffered"] == 0
    });
    said(
        &cluster.command("a", &["status"]),
        &["buffered  unacked  queued", "held back or changed\n", "demand accumulate  ordered at a on 20"],
    );
    said(&demand(&["counter", "forward"]), &["p/counter: demand forward (as the pipeline file says)"]);
    until(&cluster, "a", "p/counter", "events are under way", |stage| stage["unacked"] != 0);
    let text = cluster.command("a", &["status"]);
    assert!(!text.stdout.contains("held back or changed"), "{text:#?}");
    said(&demand(&["counter", "--reset"]), &["as the pipeline file says"]);
    demand(&["printer", "accumulate"]).assert_failed(69, "forebay: p/printer cannot obey: it is a consumer");
    demand(&["printer"]).assert_failed(69, "forebay: p/printer is a consumer: nobody demands anything of it");
    demand(&["nobody"]).assert_failed(69, "forebay: a knows no stage `nobody`; its stages are: p/counter, p/printer");
    nodes.into_iter().for_each(|(node, _)| node.end("-TERM"));
}

#[test]
fn a_stage_is_suspended_and_given_events_again_by_command() {
    let cluster = Cluster::new();
    let nodes = cluster.start_all(&["a"], 1);
    said(&cluster.command("a", &["suspend", "printer"]), &["p/printer: suspended (ordered at a on 20"]);
    let suspended = until(&cluster, "a", "p/printer", "it is suspended", |stage| stage["suspended"] != Value::Null);
    assert_eq!(suspended["suspended"]["node"], "a");
    said(&cluster.command("a", &["status"]), &["held back or changed\n", "p/printer  suspended  ordered at a on 20"]);
    let again = printed(&cluster.command("a", &["suspend", "p/printer", "--output", "json"]));
    assert_eq!(again["suspended"]["at_ms"], suspended["suspended"]["at_ms"], "it was already");
    said(&cluster.command("a", &["unsuspend", "printer"]), &["p/printer: not suspended\n"]);
    until(&cluster, "a", "p/printer", "it goes on", |stage| stage["suspended"] == Value::Null);
    let producer = cluster.command("a", &["suspend", "counter"]);
    producer.assert_failed(69, "forebay: p/counter cannot obey: it is a producer: it consumes nothing");
    nodes.into_iter().for_each(|(node, _)| node.end("-TERM"));
}

#[test]
fn a_rate_is_changed_by_an_operator_anywhere_and_holds_after_a_restart_of_the_node() {
    let cluster = Cluster::new();
    let mut nodes = cluster.start_all(&["a"], 1);
    let (ca, ann) = (cluster.desk.text("ca"), cluster.desk.text("ann"));
    run(forebay(["cluster", "add-operator", "ann", "--ca", &ca, "--out", &ann])).assert_done();
    let rate = |to: &str, args: &[&str]| {
        run(forebay(["rate", "p/printer"].iter().chain(args).chain(&["--to", to, "--identity", &ann])))
    };
    let to = nodes[0].1.clone();
    said(&rate(&to, &[]), &["p/printer: rate limit off (as the pipeline file says)"]);
    said(
        &rate(&to, &["30/m"]),
        &["p/printer: rate limit 30/1m (ordered by ann at a on 20", "; the pipeline file says off)"],
    );
    said(&rate(&to, &["{ events = 5, per = \"250ms\" }"]), &["rate limit 5/250ms (ordered by ann at a"]);
    rate(&to, &["0/s"]).assert_failed(64, "error: invalid value '0/s' for '[LIMIT]': expected `off`, EVENTS/TIME");
    nodes.remove(0).0.end("-TERM");
    let (node, to) = cluster.start("a", &[]);
    let held =
        until(&cluster, "a", "p/printer", "its node knows again", |stage| stage["rate_limit"]["now"] == "5/250ms");
    assert_eq!(held["rate_limit"]["ordered"]["operator"], "ann");
    said(&cluster.command("a", &["status"]), &["rate limit 5/250ms  ordered by ann at a on 20"]);
    said(&rate(&to, &["off"]), &["rate limit off (as the pipeline file says)"]);
    node.end("-TERM");
}

#[test]
fn instances_of_a_stage_are_changed_by_command_while_it_runs() {
    let cluster = Cluster::new();
    let nodes = cluster.start_all(&["a"], 1);
    let resize = |args: &[&str]| cluster.command("a", &[&["resize"], args].concat());
    said(&resize(&["printer"]), &["p/printer: instances 1 (as the pipeline file says)"]);
    said(&resize(&["printer", "3"]), &["p/printer: instances 3 (ordered at a on 20", "Z; the pipeline file says 1)"]);
    until(&cluster, "a", "p/printer", "three run", |stage| stage["running_instances"] == 3);
    said(&cluster.command("a", &["status"]), &["held back or changed\n", "p/printer  instances 3  ordered at a on 20"]);
    said(&resize(&["printer", "--reset"]), &["p/printer: instances 1 (as the pipeline file says)"]);
    until(&cluster, "a", "p/printer", "one runs", |stage| stage["running_instances"] == 1);
    nodes.into_iter().for_each(|(node, _)| node.end("-TERM"));
}

#[test]
fn what_a_stage_has_handled_is_shown() {
    let cluster = Cluster::new();
    let nodes = cluster.start_all(&["a"], 1);
    let is_at_work = |stage: &Value| stage["handled"].as_u64().is_some_and(|events| events > 20);
    let printer = until(&cluster, "a", "p/printer", "it is at work", is_at_work);
    let [handled, calls, busy] = ["handled", "calls", "busy_us"].map(|count| printer[count].as_u64().unwrap());
    assert!(calls > 0 && calls <= handled && busy > 0, "{printer}");
    assert_eq!(printer["rejected"], 0);
    until(&cluster, "a", "p/counter", "it made them", |stage| stage["handled"].as_u64().unwrap() >= handled);
    nodes.into_iter().for_each(|(node, _)| node.end("-TERM"));
}
