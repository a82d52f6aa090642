//! Deploying with real nodes and the real command: what it asks, shows and brings about, from a file and from a folder.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    admin::Cluster,
    process::{Outcome, Process, json_lines, prebuilt},
};

const PATIENCE: Duration = Duration::from_secs(60);

/// The same component with other bytes: a section at its end that nobody reads, of so many bytes.
fn variant(plugin: &Path, mark: u8, bytes: usize) -> Vec<u8> {
    let mut component = fs::read(plugin).unwrap();
    let content = [&[4][..], b"mark", &vec![mark; bytes]].concat();
    component.push(0);
    let mut length = content.len();
    while length > 0x7f {
        component.push(length as u8 | 0x80);
        length >>= 7;
    }
    component.push(length as u8);
    component.extend(content);
    component
}

/// A pipeline file with a counter and printers.
fn counter(cluster: &Cluster, counter: &str, printer: &str, more: &str) -> String {
    let text = format!(
        "name = \"p\"\n[stages.counter]\nplugin = \"{counter}\"\nscope = \"global\"\ncheckpoint = \"100ms\"\n\
         [stages.printer]\nplugin = \"{printer}\"\nconfig = {{ pause = \"20ms\" }}\n{more}\n\
         subscribe = [{{ to = \"counter\", max_demand = 5, min_demand = 0 }}]\n"
    );
    cluster.desk.write("p.toml", text)
}

fn shown(path: PathBuf) -> String {
    path.display().to_string()
}

fn plugin(name: &str) -> String {
    shown(prebuilt(name))
}

fn deploy(cluster: &Cluster, asked: &str, file: &str, more: &[&str]) -> Outcome {
    let args = ["deploy", file, "--canary", "300ms", "--output", "json"];
    cluster.command(asked, &[&args, more].concat())
}

/// What was told of this kind.
fn told(outcome: &Outcome, what: &str) -> Vec<Value> {
    json_lines(&outcome.stdout).into_iter().filter(|line| line["what"] == what).collect()
}

/// What a node knows of the pipeline `p`.
fn history(cluster: &Cluster, asked: &str) -> Value {
    let outcome = cluster.command(asked, &["history", "p", "--output", "json"]);
    outcome.assert_done();
    json_lines(&outcome.stdout).remove(0)
}

#[track_caller]
fn until(cluster: &Cluster, asked: &str, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        // A node that has just started may not know of it yet.
        let outcome = cluster.command(asked, &["history", "p", "--output", "json"]);
        if let Some(found) = json_lines(&outcome.stdout).into_iter().find(&is_so) {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain at {asked} for: {what}\n{outcome:#?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Waits until a node's printer has printed so many batches more, and gives the numbers.
fn printed(process: &mut Process, batches: usize) -> Vec<i64> {
    let line = |process: &mut Process| {
        let line = process.stdout_line(|line| line.contains("\"stdout\""));
        let text = json_lines(&line)[0]["text"].as_str().unwrap().to_owned();
        let (_, numbers) = text.split_once('[').unwrap();
        numbers.trim_end_matches(']').split(", ").map(|number| number.parse().unwrap()).collect::<Vec<i64>>()
    };
    (0..batches).flat_map(|_| line(process)).collect()
}

#[test]
fn a_pipeline_is_deployed_changed_and_taken_away_by_command() {
    let cluster = Cluster::bare();
    let mut nodes = cluster.start_all(&["a", "b", "c"], 3);
    let file = counter(&cluster, &plugin("counter"), &plugin("printer"), "");
    deploy(&cluster, "b", &file, &[]).assert_failed(64, "forebay: nothing was deployed; answer `y`, or give --yes");
    assert!(cluster.command("b", &["history", "p"]).stderr.contains("no pipeline `p` is deployed; none is"));
    let first = deploy(&cluster, "b", &file, &["--yes"]);
    first.assert_done();
    assert_eq!(told(&first, "rolled_out")[0]["revision"], 1);
    for (process, _) in &mut nodes {
        printed(process, 2);
    }
    // The same again is nothing, by whichever node.
    let again = deploy(&cluster, "c", &file, &["--yes"]);
    again.assert_done();
    assert_eq!(told(&again, "plan")[0]["stages"], Value::Array(Vec::new()));
    // New code for the printer: one node first.
    let other = cluster.desk.write("other.wasm", variant(&prebuilt("printer"), 1, 8));
    let changed = counter(&cluster, &plugin("counter"), &other, "");
    let dry = deploy(&cluster, "a", &changed, &["--dry-run"]);
    dry.assert_done();
    assert_eq!(told(&dry, "plan")[0]["stages"][0]["change"], "replace");
    let second = deploy(&cluster, "a", &changed, &["--yes", "--why", "a mark"]);
    second.assert_done();
    assert!(
        told(&second, "step").iter().any(|step| step["canary"] == "a" && step["change"] == "replace"),
        "{second:#?}"
    );
    let found = history(&cluster, "c");
    assert_eq!((&found["current"], &found["revisions"][1]["why"]), (&Value::from(2), &Value::from("a mark")));
    let diff = cluster.command("c", &["diff", "p", "1", "2"]);
    assert!(diff.stdout.contains("-plugin = ") && diff.stdout.contains("code of printer: sha256:"), "{diff:#?}");
    // And back.
    cluster.command("b", &["rollback", "p", "--canary", "100ms"]).assert_done();
    let found = history(&cluster, "a");
    assert_eq!(found["revisions"][2]["plugins"], found["revisions"][0]["plugins"]);
    cluster.command("b", &["pause", "p"]).assert_done();
    let status = cluster.until("a", "nothing runs", |status| status["stages"] == Value::Array(Vec::new()));
    assert_eq!(status["names"][0]["owner"], Value::Null);
    cluster.command("c", &["resume", "p"]).assert_done();
    for (process, _) in &mut nodes {
        printed(process, 1);
    }
    cluster.command("a", &["undeploy", "p", "--yes", "--forget"]).assert_done();
    assert_eq!(history(&cluster, "b")["current"], Value::Null);
}

#[test]
fn a_version_that_fails_or_asks_for_more_is_not_kept() {
    let cluster = Cluster::bare();
    let mut nodes = cluster.start_all(&["a"], 1);
    let good = counter(&cluster, &plugin("counter"), &plugin("printer"), "");
    deploy(&cluster, "a", &good, &["--yes"]).assert_done();
    printed(&mut nodes[0].0, 2);
    // A producer whose third call traps.
    let text = fs::read_to_string(&good).unwrap();
    let bad = text.replace(&plugin("counter"), &plugin("misbehaver"));
    let bad =
        cluster.desk.write("bad.toml", bad.replace("checkpoint", "config = { mode = \"panic\", at = 3 }\ncheckpoint"));
    let failed = deploy(&cluster, "a", &bad, &["--yes"]);
    failed.assert_failed(70, "forebay: revision 2 of p was rolled back: on a: counter: ");
    printed(&mut nodes[0].0, 2);
    // What does not load changes nothing.
    let wrong = cluster.desk.write("wrong.toml", text.replace(&plugin("counter"), &plugin("tally")));
    deploy(&cluster, "a", &wrong, &["--yes"])
        .assert_failed(69, "forebay: stage `counter` is a consumer and subscribes");
    // More than before is asked for apart.
    let more = counter(&cluster, &plugin("counter"), &plugin("printer"), "grants = { tcp = [\"10.0.0.1:5432\"] }");
    let refused = deploy(&cluster, "a", &more, &["--yes"]);
    refused.assert_failed(77, "forebay: a new version may do more than the one before");
    let plan = &told(&refused, "plan")[0];
    assert_eq!(plan["stages"][0]["more"][0], "connect to 10.0.0.1:5432 over TCP", "{plan:#}");
    deploy(&cluster, "a", &more, &["--yes", "--approve"]).assert_done();
    let found = history(&cluster, "a");
    let standings: Vec<_> =
        found["revisions"].as_array().unwrap().iter().map(|known| known["standing"].clone()).collect();
    assert_eq!(standings, ["rolled out", "rolled back", "rolled out"]);
}

#[test]
fn a_plugin_that_is_put_into_a_folder_reaches_all_nodes_and_is_followed() {
    let cluster = Cluster::bare();
    let mut nodes = cluster.start_all(&["a", "b"], 1);
    let named = counter(&cluster, "count", "show", "follow = true");
    deploy(&cluster, "a", &named, &["--yes"])
        .assert_failed(69, "forebay: stage `counter`: no plugin `count` is known here");
    let folder = |node: &str| PathBuf::from(cluster.data(node)).join("plugins");
    let drop = |node: &str, name: &str, bytes: &[u8]| {
        let (hidden, path) = (folder(node).join(".new"), folder(node).join(name));
        fs::write(&hidden, bytes).unwrap();
        fs::rename(hidden, path).unwrap();
    };
    drop("a", "count.wasm", &fs::read(prebuilt("counter")).unwrap());
    drop("b", "show.wasm", &fs::read(prebuilt("printer")).unwrap());
    drop("b", "broken.wasm", &fs::read(prebuilt("printer")).unwrap()[..5000]);
    let known = |count: usize| {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let outcome = cluster.command("a", &["plugins", "--output", "json"]);
            let found = json_lines(&outcome.stdout);
            if found.len() == count {
                return found;
            }
            assert!(Instant::now() < deadline, "{found:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    let found = known(2);
    assert_eq!((&found[0]["name"], &found[0]["node"]), (&"count".into(), &"a".into()));
    assert_eq!((&found[1]["name"], &found[1]["node"]), (&"show".into(), &"b".into()));
    deploy(&cluster, "a", &named, &["--yes"]).assert_done();
    printed(&mut nodes[0].0, 2);
    drop("b", "show.wasm", &variant(&prebuilt("printer"), 7, 8));
    let found = until(&cluster, "a", "the new one runs", |found| found["current"] == 2);
    assert_eq!(found["revisions"][1]["why"], "show was put on b");
    assert!(found["revisions"][1]["plugins"]["counter"] == found["revisions"][0]["plugins"]["counter"]);
    // Who goes back means it: the newer one is not followed again, not even after a start.
    cluster.command("a", &["rollback", "p", "--canary", "100ms"]).assert_done();
    let (process, addr) = nodes.remove(0);
    std::mem::drop(process);
    let join = nodes[0].1.clone();
    nodes.insert(0, cluster.start("a", &[&join, &addr]));
    cluster.until("b", "both are there", |status| {
        status["group"]["members"].as_array().unwrap().iter().all(|member| member["connected"] == true)
    });
    printed(&mut nodes[0].0, 2);
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(history(&cluster, "b")["revisions"].as_array().unwrap().len(), 3);
}

#[test]
fn a_node_that_is_killed_while_it_fetches_goes_on_from_there() {
    const BYTES: usize = 20 << 20;
    let cluster = Cluster::bare();
    let mut nodes = cluster.start_all(&["a", "b", "c"], 3);
    let big = cluster.desk.write("big.wasm", variant(&prebuilt("printer"), 3, BYTES));
    let file = counter(&cluster, &plugin("counter"), &big, "");
    let partial = PathBuf::from(cluster.data("c")).join("blobs/partial");
    let killer = std::thread::spawn({
        let (process, addr) = nodes.pop().unwrap();
        move || {
            let deadline = Instant::now() + PATIENCE;
            while held(&partial) == 0 && Instant::now() < deadline {
                std::thread::yield_now();
            }
            std::mem::drop(process);
            (held(&partial), addr)
        }
    });
    let outcome = deploy(&cluster, "a", &file, &["--yes", "--detach"]);
    outcome.assert_done();
    let (held, _) = killer.join().unwrap();
    assert!(held > 0 && held <= BYTES as u64 + (1 << 20), "it was killed while it fetched: {held} bytes");
    let join = nodes[0].1.clone();
    nodes.push(cluster.start("c", &[&join]));
    until(&cluster, "c", "it is rolled out", |found| found["revisions"][0]["standing"] == "rolled out");
    printed(&mut nodes[2].0, 2);
    let digest = history(&cluster, "c")["revisions"][0]["plugins"]["printer"].as_str().unwrap()[7..].to_owned();
    for node in ["a", "b", "c"] {
        let path = PathBuf::from(cluster.data(node)).join("blobs").join(&digest);
        assert!(fs::read(path).unwrap() == fs::read(&big).unwrap(), "{node}");
    }
}

/// Bytes on disk of what is being fetched: a download is as long as the whole, with holes.
fn held(partial: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let files = fs::read_dir(partial).into_iter().flatten().flatten();
    let downloads = files.filter(|file| file.file_name().len() == 64);
    downloads.filter_map(|file| Some(file.metadata().ok()?.blocks() * 512)).sum()
}

#[test]
fn a_folder_of_pipelines_is_applied_as_often_as_one_likes() {
    let cluster = Cluster::bare();
    let _nodes = cluster.start_all(&["a"], 1);
    let folder = cluster.desk.path("all");
    fs::create_dir(&folder).unwrap();
    let text = fs::read_to_string(counter(&cluster, &plugin("counter"), &plugin("printer"), "")).unwrap();
    let of = |name: &str| text.replace("name = \"p\"", &format!("name = \"{name}\""));
    for name in ["p", "q"] {
        fs::write(folder.join(format!("{name}.toml")), of(name)).unwrap();
    }
    let folder = folder.display().to_string();
    let apply = |more: &[&str]| {
        let args = ["apply", &folder, "--yes", "--output", "json"];
        let outcome = cluster.command("a", &[&args, more].concat());
        outcome.assert_done();
        told(&outcome, "applied").remove(0)["changed"].clone()
    };
    assert_eq!(apply(&[]), 2);
    assert_eq!(apply(&[]), 0);
    // Names are of their pipeline: both have a counter and a printer.
    let status = cluster.until("a", "both run", |status| status["stages"].as_array().unwrap().len() == 4);
    let names: Vec<_> = status["names"].as_array().unwrap().iter().map(|name| name["name"].clone()).collect();
    assert_eq!(names, ["p/counter", "q/counter"]);
    fs::remove_file(Path::new(&folder).join("p.toml")).unwrap();
    assert_eq!(apply(&[]), 0, "a file that is gone means nothing without --prune");
    assert_eq!(apply(&["--prune"]), 1);
    let status = cluster.until("a", "one runs", |status| status["stages"].as_array().unwrap().len() == 2);
    assert_eq!(status["stages"][0]["name"], "q/counter");
    fs::write(Path::new(&folder).join("r.toml"), of("q")).unwrap();
    let twice = cluster.command("a", &["apply", &folder, "--yes"]);
    assert!(twice.code == Some(65) && twice.stderr.contains("are both of pipeline `q`"), "{twice:#?}");
}

#[test]
fn a_node_that_wants_signatures_takes_nothing_else() {
    let pair = minisign::KeyPair::generate_unencrypted_keypair().unwrap();
    let mut cluster = Cluster::bare();
    let keys = ["--require-signed=true", "--trusted-keys", &pair.pk.to_base64()].map(str::to_owned);
    cluster.settings = keys.to_vec();
    let mut nodes = cluster.start_all(&["a"], 1);
    let put = |name: &str, bytes: &[u8], signed: &[u8]| {
        let path = cluster.desk.write(name, bytes);
        let signature = minisign::sign(None, &pair.sk, signed, None, None).unwrap().to_string();
        cluster.desk.write(&format!("{name}.minisig"), signature);
        path
    };
    let file = counter(&cluster, &plugin("counter"), &plugin("printer"), "");
    let refused = deploy(&cluster, "a", &file, &["--yes"]);
    assert!(refused.code == Some(69) && refused.stderr.contains("it is not signed"), "{refused:#?}");
    let [one, two] = ["counter", "printer"].map(|name| fs::read(prebuilt(name)).unwrap());
    let (count, show) = (put("count.wasm", &one, &one), put("show.wasm", &two, &one));
    let refused = deploy(&cluster, "a", &counter(&cluster, &count, &show, ""), &["--yes"]);
    assert!(refused.stderr.contains("its signature is not over these bytes"), "{refused:#?}");
    let show = put("show.wasm", &two, &two);
    deploy(&cluster, "a", &counter(&cluster, &count, &show, ""), &["--yes"]).assert_done();
    printed(&mut nodes[0].0, 2);
}
