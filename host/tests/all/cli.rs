//! The real binary: what each command answers to bad input, how it ends, and that guests which
//! misbehave do not end it.

use std::{fs, net::UdpSocket, path::PathBuf};

use tempfile::TempDir;

use crate::{
    plugins::renamed,
    process::{Outcome, Process, forebay, json_lines, prebuilt, run, run_with_input},
};

/// A directory with files of a test.
pub(crate) struct Desk {
    dir: TempDir,
}

impl Desk {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        fs::write(self.path(name), content).unwrap();
        self.text(name)
    }

    /// Keys for a node, in a data directory of its name.
    pub(crate) fn keys(&self, node: &str) -> String {
        let (ca, data) = (self.text("ca"), self.text(node));
        if !self.path("ca").exists() {
            run(forebay(["cluster", "init", &ca])).assert_done();
        }
        run(forebay(["cluster", "add-node", node, "--ca", &ca, "--out", &data])).assert_done();
        data
    }

    /// The arguments of a node with keys, on a free port.
    pub(crate) fn node(&self, node: &str, more: &[&str]) -> Vec<String> {
        let data = self.keys(node);
        let args = ["node", "--name", node, "--data", &data, "--listen", "127.0.0.1:0"];
        args.into_iter().chain(more.iter().copied()).map(str::to_owned).collect()
    }

    /// A pipeline of a source and a sink, each with a config and further lines of TOML.
    pub(crate) fn pipeline(&self, source: (&str, &str), sink: (&str, &str)) -> String {
        let text = format!(
            "name = \"p\"\n\
             [stages.source]\nplugin = \"{}\"\n{}\n\
             [stages.sink]\nplugin = \"{}\"\n{}\n\
             subscribe = [{{ to = \"source\", max_demand = 5, min_demand = 0 }}]\n",
            prebuilt(source.0).display(),
            source.1,
            prebuilt(sink.0).display(),
            sink.1
        );
        self.write("pipeline.toml", text)
    }
}

#[test]
fn wrong_usage_is_64_and_help_is_0() {
    for args in [
        &["bogus"][..],
        &[],
        &["call"],
        &["tap"],
        &["tap", "s", "--events", "0"],
        &["tap", "s", "--for", "5"],
        &["tap", "s", "--node", "a", "--all-nodes"],
        &["record", "s"],
        &["demand", "s", "hold"],
        &["demand", "s", "forward", "--reset"],
        &["rate", "s", "fast"],
        &["resize", "s", "257"],
        &["suspend"],
        &["replay", "f"],
        &["replay", "f", "--plugin", "p", "--config", "{"],
        &["node", "--bogus"],
        &["demo", "--nodes", "17"],
        &["demo", "--for", "5"],
    ] {
        let outcome = run(forebay(args));
        assert_eq!(outcome.code, Some(64), "{args:?}: {outcome:#?}");
        assert!(outcome.stderr.contains("Usage") || outcome.stderr.contains("error: "), "{args:?}: {outcome:#?}");
        assert_eq!(outcome.stdout, "");
    }
    let expected: [(&[&str], &[&str]); 30] = [
        (&["--help"], &["Usage: forebay <COMMAND>", "Begin with `forebay demo`", "66  a file to read is missing"]),
        (&["demo", "--help"], &["Usage: forebay demo [OPTIONS]", "--kill-producer-after <DURATION>", "[default: 20s]"]),
        (&["node", "remove", "--help"], &["Usage: forebay node remove [OPTIONS] <NODE>", "exit code 77", "--force"]),
        (&["status", "--help"], &["Usage: forebay status [OPTIONS]", "[env: FOREBAY_DATA]"]),
        (&["owners", "--help"], &["Usage: forebay owners [OPTIONS]", "--history"]),
        (&["drain", "--help"], &["Usage: forebay drain [OPTIONS] <NODE>", "--cancel", "[default: 60s]"]),
        (&["dlq", "list", "--help"], &["Those of all nodes of the cluster", "--node <NODE>", "exit code is 69"]),
        (&["dlq", "drop", "--help"], &["[LETTER]...", "NODE:ID as `list` shows them", "--all"]),
        (&["recover", "--help"], &["Usage: forebay recover [OPTIONS]", "--yes", "two groups would go on side by side"]),
        (
            &["node", "--help"],
            &["Usage: forebay node [OPTIONS] forebay node <COMMAND>", "[env: FOREBAY_JOIN]", "SIGTERM"],
        ),
        (&["run", "--help"], &["Usage: forebay run [OPTIONS] [PIPELINE]", "--input <FILE>"]),
        (&["inspect", "--help"], &["Usage: forebay inspect [OPTIONS] <PLUGIN>"]),
        (&["graph", "--help"], &["Usage: forebay graph [OPTIONS] <PIPELINE>", "--form <FORM>", "Mermaid"]),
        (&["build", "--help"], &["Usage: forebay build [OPTIONS] [DIR]", "--stage <STAGE>", "--out <DIR>"]),
        (&["new", "--help"], &["Usage: forebay new [OPTIONS] --lang <LANGUAGE> --role <ROLE> <NAME>"]),
        (&["dev", "--help"], &["Usage: forebay dev [OPTIONS] [DIR]", "the former version runs on"]),
        (
            &["bench", "--help"],
            &["--topology <TOPOLOGY>", "remote-3", "--max-demand <EVENTS>", "--rate <EVENTS>", "--runs <COUNT>"],
        ),
        (
            &["test", "--help"],
            &["Usage: forebay test [OPTIONS] [PIPELINE]", "--seeds <A..B>", "Exit code 0: all cases pass"],
        ),
        (&["call", "--help"], &["Usage: forebay call [OPTIONS] <STAGE> <REQUEST>", "Exit code 76", "--within"]),
        (
            &["demand", "--help"],
            &["Usage: forebay demand [OPTIONS] <STAGE> [MODE]", "`demand/2`", "--reset", "accumulate"],
        ),
        (&["suspend", "--help"], &["Usage: forebay suspend [OPTIONS] <STAGE>", "nothing is lost", "`forebay pause`"]),
        (&["unsuspend", "--help"], &["Usage: forebay unsuspend [OPTIONS] <STAGE>", "from where it was"]),
        (
            &["rate", "--help"],
            &["Usage: forebay rate [OPTIONS] <STAGE> [LIMIT]", "`100/s`", "--reset", "Each instance"],
        ),
        (&["resize", "--help"], &["Usage: forebay resize [OPTIONS] <STAGE> [INSTANCES]", "from 1 to 256", "--reset"]),
        (&["tap", "--help"], &["Usage: forebay tap [OPTIONS] <STAGE>", "None is taken away", "--all-nodes", "--for"]),
        (&["record", "--help"], &["Usage: forebay record [OPTIONS] --out <FILE> <STAGE>", "docs/recording.md"]),
        (
            &["replay", "--help"],
            &["Usage: forebay replay [OPTIONS] --plugin <PLUGIN> <FILE>", "Exit code 0: no difference"],
        ),
        (&["cluster", "--help"], &["init", "add-node"]),
        (&["cluster", "init", "--help"], &["Usage: forebay cluster init <DIR>"]),
        (&["cluster", "add-node", "--help"], &["Usage: forebay cluster add-node [OPTIONS]", "--valid-for"]),
    ];
    for (args, lines) in expected {
        let outcome = run(forebay(args));
        outcome.assert_done();
        // Lines are broken to fit the terminal.
        let said = outcome.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
        for line in lines {
            let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(said.contains(&line), "{args:?} says {line:?}:\n{}", outcome.stdout);
        }
    }
    assert!(run(forebay(["--version"])).stdout.starts_with("forebay 0."));
}

#[test]
fn a_file_that_is_no_plugin_is_65_with_what_it_is() {
    let desk = Desk::new();
    let good = fs::read(prebuilt("counter")).unwrap();
    let mut corrupt = good.clone();
    corrupt[good.len() / 2..good.len() / 2 + 64].fill(0xff);
    let bad: [(&str, &[u8], &str, &str); 9] = [
        ("empty", b"", "is not a plugin", "it is empty, 0 bytes"),
        ("truncated", &good[..good.len() / 3], "is not a plugin", ""),
        ("corrupt", &corrupt, "is not a plugin", ""),
        ("core-module", b"\0asm\x01\0\0\0", "is not a plugin", "it is a core module; a component is needed"),
        ("text", b"(component)", "is not a plugin", "WebAssembly text"),
        ("empty-component", b"\0asm\x0d\0\x01\0", "is not a plugin", "it exports nothing"),
        ("world", &renamed("counter", &[("forebay:stage/", "forbear:stage/")]), "is not a plugin", "another world"),
        (
            "version",
            &renamed("counter", &[("forebay:stage/lifecycle@0.1.1", "forebay:stage/lifecycle@0.2.0")]),
            "is not a plugin",
            "built for forebay:stage 0.2.0",
        ),
        (
            "missing-export",
            &renamed("counter", &[("stage/lifecycle@", "stage/likecycle@")]),
            "is not a plugin",
            "the export `forebay:stage/lifecycle@0.1.1` is missing",
        ),
    ];
    for (name, bytes, what, why) in bad {
        let file = desk.write(&format!("{name}.wasm"), bytes);
        let pipeline = desk.write("p.toml", format!("name = \"p\"\n[stages.s]\nplugin = \"{name}.wasm\"\n"));
        let outcome = run(forebay(["run", &pipeline]));
        let first = outcome.stderr.lines().next().unwrap_or_default().to_owned();
        outcome.assert_failed(65, "forebay: ");
        assert!(first.contains(&file) && first.contains(what) && first.contains(why), "{name}: {first}");
        let inspected = run(forebay(["inspect", &file]));
        assert_eq!(inspected.code, Some(65), "{name}: {inspected:#?}");
        assert!(format!("{}{}", inspected.stdout, inspected.stderr).contains(why), "{name}: {inspected:#?}");
    }
}

#[test]
fn a_missing_plugin_pipeline_or_input_is_66() {
    let desk = Desk::new();
    let nowhere = desk.text("nowhere.toml");
    run(forebay(["run", &nowhere])).assert_failed(66, &format!("forebay: cannot read {nowhere}: No such file"));
    let dir = desk.dir.path().display().to_string();
    run(forebay(["run", &dir])).assert_failed(66, &format!("forebay: {dir} is no file and no project"));
    // The top of the repository is no project of stages.
    run(forebay(["run"])).assert_failed(64, "forebay: no pipeline: name a pipeline file, or go into a project");
    let pipeline = desk.write("p.toml", "name = \"p\"\n[stages.s]\nplugin = \"gone.wasm\"\n");
    let gone = desk.text("gone.wasm");
    run(forebay(["run", &pipeline])).assert_failed(66, &format!("forebay: cannot read plugin {gone}: No such file"));
    run(forebay(["inspect", &gone])).assert_failed(66, &format!("forebay: cannot read plugin {gone}"));
    let lines = desk.write("l.toml", "name = \"p\"\n[stages.s]\nplugin = \"builtin:lines\"\n");
    let input = desk.text("input.txt");
    run(forebay(["run", &lines, "--input", &input]))
        .assert_failed(66, &format!("forebay: cannot read {input}: No such"));
    run(forebay(["run", &lines]))
        .assert_failed(64, "forebay: the pipeline reads lines (`builtin:lines`); use `forebay run");
    run(forebay(["build", &desk.text("no-package")])).assert_failed(66, "forebay: ");
}

#[test]
fn a_wrong_pipeline_file_is_65_with_line_and_column() {
    let desk = Desk::new();
    let check = |text: &str, expected: &[&str]| {
        let file = desk.write("p.toml", text);
        let outcome = run(forebay(["run", &file]));
        outcome.assert_failed(65, "forebay: ");
        for part in expected {
            let part = part.replace("p.toml", &file);
            assert!(outcome.stderr.contains(&part), "{text:?} is answered with {part:?}:\n{}", outcome.stderr);
        }
    };
    check("name = \"p\"\n[stages.s\n", &["p.toml:2:10: "]);
    check(
        "name = \"p\"\n[stages.s]\nplugn = \"x\"\n",
        &[
            "p.toml:3:1: `stages.s.plugn` is no key that is known here",
            "did you mean `plugin`?",
            "3 | plugn = \"x\"",
            "  | ^",
        ],
    );
    check(
        "name = \"p\"\n[stages.s]\nplugin = 7\n",
        &["p.toml:3:10: `stages.s.plugin` is the integer 7; expected the path of a component"],
    );
    check(
        "name = \"p\"\n[stages.s]\nplugin = \"x\"\nlimits = { call_time = 5 }\n",
        &["p.toml:4:24: `stages.s.limits.call_time` is the integer 5; expected a duration with its unit"],
    );
    check("name = \"p\"\n[stages.s]\nplugin = \"x\"\nsubscribe = [{ to = \"t\" }]\n", &["p.toml:4:21: "]);
    check("name = \"p\"\nname = \"q\"\n", &["p.toml:2:1: "]);
    check(
        "name = \"p\"\n[stages.s]\nplugin = \"builtin:rows\"\n",
        &[
            "no built-in stage `rows`; expected one of lines, bench-relay, bench-sink, bench-source, inbox, print, sample",
        ],
    );
    let counter = prebuilt("counter").display().to_string();
    check(
        &format!(
            "name = \"p\"\n[stages.s]\nplugin = \"{counter}\"\n[stages.t]\nplugin = \"{counter}\"\nsubscribe = [{{ to = \"s\" }}]\n"
        ),
        &["stage `t` subscribes to `s`, but its plugin is a producer"],
    );
    desk.write("p.toml", [b'n', 0xff, 0xfe]);
    run(forebay(["run", &desk.text("p.toml")])).assert_failed(65, &format!("forebay: {}:1:", desk.text("p.toml")));
}

#[test]
fn a_node_takes_plugins_that_were_signed_and_refuses_others_with_77() {
    let desk = Desk::new();
    let pair = minisign::KeyPair::generate_unencrypted_keypair().unwrap();
    let key = pair.pk.to_base64();
    for name in ["counter", "printer"] {
        fs::copy(prebuilt(name), desk.path(&format!("{name}.wasm"))).unwrap();
    }
    let sign = |name: &str, bytes: &[u8]| {
        let signature = minisign::sign(None, &pair.sk, bytes, None, None).unwrap();
        desk.write(&format!("{name}.wasm.minisig"), signature.to_string());
    };
    let pipeline = desk.write(
        "p.toml",
        "name = \"p\"\n[stages.a]\nplugin = \"counter.wasm\"\n[stages.b]\nplugin = \"printer.wasm\"\n\
         subscribe = [{ to = \"a\" }]\n",
    );
    let trust = ["--pipeline", &pipeline, "--trusted-keys", &key, "--output", "json"];
    let require = [&trust[..], &["--require-signed"]].concat();
    let refused = |args: &[&str], name: &str, why: &str| {
        let outcome = run(forebay(desk.node("n1", args)));
        let path = desk.text(name);
        outcome.assert_failed(77, &format!("forebay: plugin {path} is refused: {why}"));
        fs::remove_dir_all(desk.path("n1")).unwrap();
    };
    refused(&require, "counter.wasm", "it is not signed, and `require_signed` asks for it");
    sign("counter", b"other bytes");
    refused(&trust, "counter.wasm", "its signature is not over these bytes, or was changed");
    sign("counter", &fs::read(prebuilt("counter")).unwrap());
    refused(&require, "printer.wasm", "it is not signed");
    desk.write("printer.wasm.minisig", "x".repeat(5000));
    refused(&trust, "printer.wasm", "its signature is not one of minisign");
    sign("printer", &fs::read(prebuilt("printer")).unwrap());
    let mut node = Process::start(forebay(desk.node("n1", &require)));
    node.stdout_line(|line| line.contains("n1: [0, 1, 2"));
    node.signal("-TERM");
    assert_eq!(node.wait().code(), Some(0));
}

#[test]
fn a_name_of_a_plugin_is_64_where_there_is_no_store() {
    let desk = Desk::new();
    let pipeline = desk.write("p.toml", "name = \"p\"\n[stages.a]\nplugin = \"counter\"\n");
    let node: Vec<_> = desk.node("n1", &["--pipeline", &pipeline]);
    for args in [vec!["run".to_owned(), pipeline.clone()], node] {
        let outcome = run(forebay(&args));
        assert_eq!(outcome.code, Some(64), "{args:?}: {outcome:#?}");
        let expected = format!(
            "forebay: the plugin of stage `a` is the name `counter`, which `forebay deploy {pipeline}` looks up in the \
             cluster's store; to load a file from here, write its path, as in `./counter` or `counter.wasm`"
        );
        assert!(outcome.stderr.contains(&expected), "{outcome:#?}");
    }
}

#[test]
fn a_wrong_setting_of_a_node_is_78_and_says_where_it_came_from() {
    let desk = Desk::new();
    run(forebay(["node"])).assert_failed(78, "forebay: `--name` is missing; expected a name for this node");
    run(forebay(["node", "--name", "A"])).assert_failed(78, "forebay: `--name` is \"A\"; expected 1 to 63");
    let mut from_env = forebay(["node", "--name", "a"]);
    from_env.env("FOREBAY_PING_INTERVAL", "5");
    run(from_env).assert_failed(78, "forebay: `FOREBAY_PING_INTERVAL` is \"5\"; expected ");
    let file = desk.write("node.toml", "name = \"a\"\nlissen = \"127.0.0.1:0\"\n");
    let outcome = run(forebay(["node", "--config", &file]));
    outcome.assert_failed(78, &format!("forebay: {file}: "));
    assert!(outcome.stderr.contains("line 2") && outcome.stderr.contains("lissen"), "{outcome:#?}");
    let file = desk.write("node.toml", "name = \"a\"\nlisten = \"everywhere\"\n");
    run(forebay(["node", "--config", &file]))
        .assert_failed(78, &format!("forebay: `listen` in {file} is \"everywhere\""));
    let gone = desk.text("gone.toml");
    run(forebay(["node", "--config", &gone])).assert_failed(66, &format!("forebay: cannot read {gone}"));
}

#[test]
fn a_node_without_keys_or_with_those_of_another_is_78() {
    let desk = Desk::new();
    let data = desk.text("empty");
    let outcome = run(forebay(["node", "--name", "a", "--data", &data, "--listen", "127.0.0.1:0"]));
    outcome
        .assert_failed(78, &format!("forebay: {data}/tls/ca.pem is missing; make it with `forebay cluster add-node"));
    let data = desk.keys("b");
    let outcome = run(forebay(["node", "--name", "a", "--data", &data, "--listen", "127.0.0.1:0"]));
    outcome
        .assert_failed(78, &format!("forebay: the keys in {data}/tls are those of node `b`, not of `a`; use --name b"));
    // Half of one node's files, half of another's.
    let other = desk.keys("c");
    fs::copy(format!("{other}/tls/node.key"), format!("{data}/tls/node.key")).unwrap();
    let outcome = run(forebay(["node", "--name", "b", "--data", &data, "--listen", "127.0.0.1:0"]));
    outcome.assert_failed(78, "forebay: ");
    assert!(outcome.stderr.contains("node.key does not belong to it"), "{outcome:#?}");
    fs::write(format!("{data}/tls/node.pem"), "no certificate").unwrap();
    let outcome = run(forebay(["node", "--name", "b", "--data", &data, "--listen", "127.0.0.1:0"]));
    outcome.assert_failed(78, "forebay: ");
    assert!(outcome.stderr.contains("node.pem"), "{outcome:#?}");
    let ca = desk.text("ca");
    run(forebay(["cluster", "init", &ca])).assert_failed(78, "forebay: ");
}

#[test]
fn a_used_port_or_data_directory_is_69() {
    let desk = Desk::new();
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let data = desk.keys("a");
    let outcome = run(forebay(["node", "--name", "a", "--data", &data, "--listen", &addr]));
    outcome
        .assert_failed(69, &format!("forebay: UDP {addr} is in use; stop what listens there, or choose another port"));

    let mut first = Process::start(forebay(["node", "--name", "a", "--data", &data, "--listen", "127.0.0.1:0"]));
    first.stderr_line(|line| line.contains("listening on 127.0.0.1:"));
    let second = run(forebay(["node", "--name", "a", "--data", &data, "--listen", "127.0.0.1:0"]));
    second
        .assert_failed(69, &format!("forebay: another node runs on {data}; stop it, or give this one its own --data"));
    first.end("-TERM");
    // What held the directory was the process, not the file.
    let mut third = Process::start(forebay(["node", "--name", "a", "--data", &data, "--listen", "127.0.0.1:0"]));
    third.stderr_line(|line| line.contains("listening on"));
    third.end("-INT");
}

#[test]
fn a_node_whose_join_cannot_be_reached_says_so_and_stays_up() {
    let desk = Desk::new();
    let nobody = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let pipeline = desk.pipeline(("counter", "scope = \"global\""), ("printer", "config = { pause = \"10ms\" }"));
    let args = desk.node("a", &["--join", &nobody, "--join", "no-such-host.invalid:7440", "--pipeline", &pipeline]);
    let mut node = Process::start(forebay(args));
    node.stderr_line(|line| {
        line.contains("no quorum, global stages wait") && line.contains("a member of the group to let it in")
    });
    node.stderr_line(|line| line.contains(&format!("no connection to {nobody}")) && line.contains("will try on"));
    assert!(node.is_running());
    node.end("-INT");
}

#[test]
fn a_stranger_is_told_why_and_neither_node_ends() {
    let (ours, theirs) = (Desk::new(), Desk::new());
    let mut first = Process::start(forebay(ours.node("a", &["--output", "json"])));
    let listening = first.stdout_line(|line| line.contains("listening"));
    let addr = json_lines(&listening)[0]["address"].as_str().unwrap().to_owned();
    let mut stranger = Process::start(forebay(theirs.node("b", &["--join", &addr])));
    let told = stranger.stderr_line(|line| line.contains(&addr) && line.contains("does not belong to this cluster"));
    assert!(told.contains("use keys made by the same `forebay cluster init`"), "{told}");
    assert!(first.is_running() && stranger.is_running());
    stranger.end("-TERM");
    first.end("-TERM");
}

#[test]
fn a_node_ends_in_good_order_on_either_signal() {
    for signal in ["-INT", "-TERM"] {
        let desk = Desk::new();
        let pipeline = desk.pipeline(("counter", "scope = \"global\""), ("printer", "config = { pause = \"10ms\" }"));
        let mut node = Process::start(forebay(desk.node("a", &["--pipeline", &pipeline, "--output", "json"])));
        node.stdout_line(|line| line.contains("a: [10, 11, 12, 13, 14]"));
        node.signal(signal);
        node.stdout_line(|line| line.contains("\"draining\""));
        for stage in ["source", "sink"] {
            let stopped = node.stdout_line(|line| line.contains("\"stopped\""));
            assert_eq!(json_lines(&stopped)[0]["stage"], stage, "sources first");
        }
        assert_eq!(node.wait().code(), Some(0));
    }
}

#[test]
fn inspect_tells_what_a_plugin_is_in_text_and_json() {
    let path = prebuilt("counter");
    let text = run(forebay(["inspect".as_ref(), path.as_os_str()]));
    text.assert_done();
    let size = fs::metadata(&path).unwrap().len();
    for line in [
        "role      producer".to_owned(),
        "world     forebay:stage/producer@0.1.1".to_owned(),
        "version   forebay:stage 0.1.1".to_owned(),
        format!("size      {size} bytes"),
        "optional  checkpoint".to_owned(),
        "  forebay:stage/produce@0.1.1".to_owned(),
        "always provided".to_owned(),
    ] {
        assert!(text.stdout.contains(&line), "{line:?} in\n{}", text.stdout);
    }
    let json = run(forebay(["inspect".as_ref(), path.as_os_str(), "--output".as_ref(), "json".as_ref()]));
    json.assert_done();
    let objects = json_lines(&json.stdout);
    let [object] = &*objects else { panic!("one object: {objects:?}") };
    assert_eq!(object["role"], "producer");
    assert_eq!(object["world"], "forebay:stage/producer@0.1.1");
    assert_eq!(object["wit_version"], "0.1.1");
    assert_eq!(object["size_bytes"], size);
    assert_eq!(object["refusal"], serde_json::Value::Null);
    let digest = ring::digest::digest(&ring::digest::SHA256, &fs::read(&path).unwrap());
    assert_eq!(object["digest"], format!("sha256:{}", hex(digest.as_ref())));
    assert!(text.stdout.contains(&format!("digest    sha256:{}", hex(digest.as_ref()))));
    let names = object["exports"].as_array().unwrap();
    assert!(names.contains(&"forebay:stage/produce@0.1.1".into()), "{names:?}");

    let desk = Desk::new();
    let other = desk.write("other.wasm", renamed("counter", &[("forebay:stage/", "forbear:stage/")]));
    let refused = run(forebay(["inspect", &other, "--output", "json"]));
    assert_eq!(refused.code, Some(65));
    assert!(json_lines(&refused.stdout)[0]["refusal"].as_str().unwrap().contains("another world"));
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Lines of many lengths, some empty, the last without an end.
fn lines() -> Vec<u8> {
    let mut lines: Vec<u8> =
        (0..20_000).flat_map(|n: usize| format!("{n} {}\n", "x".repeat(n * 7 % 100)).into_bytes()).collect();
    lines.extend(b"\n\nlast");
    lines
}

#[test]
fn run_takes_a_file_and_stdin_through_real_stages_with_nothing_lost_or_changed() {
    let desk = Desk::new();
    let input = desk.write("input.txt", lines());
    let text = format!(
        "name = \"lines\"\n[stages.lines]\nplugin = \"builtin:lines\"\n\
         [stages.double]\nplugin = \"{}\"\nsubscribe = [{{ to = \"lines\" }}]\n\
         [stages.tally]\nplugin = \"{}\"\nsubscribe = [{{ to = \"double\" }}]\n",
        prebuilt("double").display(),
        prebuilt("tally").display()
    );
    let pipeline = desk.write("p.toml", text);
    let doubled: Vec<u8> =
        lines().split(|byte| *byte == b'\n').flat_map(|line| [line, b"\n", line, b"\n"].concat()).collect();
    let digest = ring::digest::digest(&ring::digest::SHA256, &doubled);
    let count = doubled.iter().filter(|byte| **byte == b'\n').count();
    let expected =
        format!("{{\"events\":{count},\"bytes\":{},\"sha256\":\"{}\"}}\n", doubled.len(), hex(digest.as_ref()));
    let assert_tally = |outcome: Outcome| {
        outcome.assert_done();
        assert_eq!(outcome.stdout, expected, "{}", outcome.stderr);
    };
    assert_tally(run(forebay(["run", &pipeline, "--input", &input])));
    assert_tally(run_with_input(forebay(["run", &pipeline, "--input", "-"]), Some(&lines())));
    assert_tally(run(forebay(["run", &pipeline, "--input", &input, "--cache", &desk.text("cache")])));
    assert_tally(run(forebay(["run", &pipeline, "--input", &input, "--cache", &desk.text("cache")])));
    let empty = desk.write("empty.txt", "");
    let nothing = run(forebay(["run", &pipeline, "--input", &empty]));
    nothing.assert_done();
    assert!(nothing.stdout.starts_with("{\"events\":0,\"bytes\":0,"), "{nothing:#?}");
}

/// Every way in which a producer can fail in a call ends its instance, not the process.
#[test]
fn a_producer_that_misbehaves_is_started_again_and_the_node_stays_up() {
    const RESTART: &str = "restart = { max = 1000, within = \"1h\", backoff = \"10ms\", backoff_max = \"20ms\" }\n\
                           limits = { call_time = \"300ms\", memory = \"16MiB\" }\n";
    // One for all: what was compiled once is in its data directory.
    let desk = Desk::new();
    for (mode, expected) in [
        ("panic", "trapped: "),
        ("unreachable", "trapped: "),
        ("loop", "took longer than 300ms"),
        ("grow", "trapped after memory was refused at 16777216 bytes"),
        ("recurse", "trapped: "),
        ("too_many", "broke the contract: "),
        ("bad_columns", "broke the contract: "),
        ("huge_event", "handle-demand "),
        ("sleep", "took longer than 300ms"),
        ("error_fatal", "the stage gave up: told to end in call 2"),
    ] {
        let source = format!("{RESTART}config = {{ mode = \"{mode}\", at = 2 }}");
        let pipeline = desk.pipeline(("misbehaver", &source), ("misbehaving-consumer", ""));
        let mut node = Process::start(forebay(desk.node("a", &["--pipeline", &pipeline, "--output", "json"])));
        for _ in 0..2 {
            let told = node.stdout_line(|line| line.contains("\"restarting\""));
            let reason = json_lines(&told)[0]["reason"].as_str().unwrap().to_owned();
            assert!(reason.contains(expected), "{mode}: {reason}");
            node.stdout_line(|line| line.contains("a: [0, 1, 2, 3, 4]"));
        }
        assert!(node.is_running(), "{mode}");
        node.end("-TERM");
    }
}

#[test]
fn a_consumer_that_misbehaves_is_started_again_with_the_same_events() {
    const RESTART: &str = "restart = { max = 1000, within = \"1h\", backoff = \"10ms\", backoff_max = \"20ms\" }\n\
                           limits = { call_time = \"300ms\", memory = \"16MiB\" }\n";
    // One for all: what was compiled once is in its data directory.
    let desk = Desk::new();
    for (mode, expected) in [
        ("panic", "trapped: "),
        ("loop", "took longer"),
        ("grow", "memory was refused"),
        ("reject_out_of_range", "broke the contract: "),
    ] {
        let sink = format!("{RESTART}config = {{ mode = \"{mode}\", at = 2 }}");
        let pipeline = desk.pipeline(("misbehaver", ""), ("misbehaving-consumer", &sink));
        let mut node = Process::start(forebay(desk.node("a", &["--pipeline", &pipeline, "--output", "json"])));
        node.stdout_line(|line| line.contains("a: [0, 1, 2, 3, 4]"));
        let told = node.stdout_line(|line| line.contains("did not survive a call"));
        let reason = json_lines(&told)[0]["text"].as_str().unwrap().to_owned();
        assert!(reason.contains(expected), "{mode}: {reason}");
        // A new instance counts its calls anew: its first is the one that failed before.
        node.stdout_line(|line| line.contains("a: [5, 6, 7, 8, 9]"));
        node.end("-TERM");
    }
}

#[test]
fn run_ends_with_70_when_a_stage_is_given_up() {
    let desk = Desk::new();
    let restart = "restart = { max = 2, within = \"1h\", backoff = \"10ms\" }\n";
    for (mode, expected) in
        [("panic", "trapped: "), ("init_error", "told to fail in init"), ("init_panic", "init trapped: ")]
    {
        let source = format!("{restart}config = {{ mode = \"{mode}\" }}");
        let pipeline = desk.pipeline(("misbehaver", &source), ("misbehaving-consumer", ""));
        let outcome = run(forebay(["run", &pipeline, "--log", "off"]));
        outcome.assert_failed(70, "forebay: stage `source` gave up: failed again after 2 restarts in 3600s");
        assert!(outcome.stderr.contains(expected), "{mode}: {outcome:#?}");
    }
}

#[test]
fn what_a_guest_logs_cannot_forge_lines_and_is_limited() {
    let desk = Desk::new();
    let source = "config = { mode = \"log_flood\" }";
    let pipeline = desk.pipeline(("misbehaver", source), ("misbehaving-consumer", ""));
    let mut node = Process::start(forebay(desk.node("a", &["--pipeline", &pipeline, "--output", "json"])));
    let flood = node.stdout_line(|line| line.contains("flood 0"));
    let text = json_lines(&flood)[0]["text"].as_str().unwrap().to_owned();
    assert!(!text.chars().any(char::is_control) && text.contains("forged line"), "{text:?}");
    let dropped = node.stdout_line(|line| line.contains("\"dropped\""));
    assert!(json_lines(&dropped)[0]["lines"].as_u64().unwrap() > 0);
    node.end("-TERM");
}

#[test]
fn run_says_what_could_not_be_processed_and_ends_with_65() {
    let desk = Desk::new();
    let lines = desk.write("lines", "1\n2\n3\n");
    let sink = format!("plugin = {:?}\nconfig = {{ mode = \"reject\", at = 1 }}\n", prebuilt("misbehaving-consumer"));
    let text = format!(
        "name = \"p\"\n[stages.lines]\nplugin = \"builtin:lines\"\n[stages.sink]\n{sink}subscribe = [{{ to = \"lines\" }}]\n"
    );
    let pipeline = desk.write("rejected.toml", text);
    let outcome = run(forebay(["run", &pipeline, "--input", &lines, "--log", "off"]));
    outcome.assert_failed(65, "forebay: ");
    assert!(outcome.stderr.contains("events could not be processed, the first by stage `sink`: "), "{outcome:#?}");
}
