//! `forebay ingest` and the client library against nodes in this process: from a line of a file to an inbox, and what
//! a person is told when it does not get there.

use std::{fs, path::Path};

use forebay::{
    inbox::{Inbox as _, LocalStore},
    node::{Node, NodeOptions, admin},
    runtime::{
        Plugin, Produced, StageError,
        native::{Native, Resumable},
    },
};
use forebay_client::{Client, Error, Event};
use forebay_proto::{batch::Batch, names::GlobalName};

use super::{ABC, World, end, pipeline, until_report};
use crate::process::{Outcome, forebay, json_lines, prebuilt, run, run_with_input};

const PIPELINE: &str = r#"
    name = "p"
    [stages.inlet]
    plugin = "native"
    scope = "global"
    [stages.local]
    plugin = "native"
    [stages.closed]
    plugin = "native"
"#;

fn silent() -> std::sync::Arc<dyn Plugin> {
    Native::producer("silent", |_| Ok(|_: u32| Ok(Batch::default().into())))
}

/// Takes events in, if anybody waits for them.
struct Inlet;

impl Resumable for Inlet {
    fn handle_demand(&mut self, _: u32) -> Result<Produced, StageError> {
        Ok(Produced::default())
    }

    fn snapshot(&mut self) -> Result<Vec<u8>, String> {
        Ok(Vec::new())
    }

    fn restore(&mut self, _: &[u8]) -> Result<(), String> {
        Ok(())
    }
}

fn inlet() -> std::sync::Arc<dyn Plugin> {
    Native::resumable("inlet", |_| Ok(Inlet))
}

fn name(stage: &str) -> GlobalName {
    GlobalName { pipeline: "p".parse().unwrap(), stage: stage.parse().unwrap() }
}

/// A node that can be asked, with its inboxes.
struct Asked {
    node: Node,
    data: tempfile::TempDir,
    store: LocalStore,
    _admin: admin::AdminSocket,
}

impl Asked {
    fn start(world: &World, node: &str, join: &[&str]) -> Self {
        let store = LocalStore::in_memory(node.parse().unwrap());
        let loaded = pipeline(PIPELINE, [("inlet", inlet()), ("local", inlet()), ("closed", silent())]);
        let options = NodeOptions { inboxes: store.clone(), ..world.joining(node, join, loaded) };
        let data = tempfile::tempdir().unwrap();
        let admin = admin::bind(data.path()).unwrap();
        let node = Node::start(options);
        let admin = admin.serve(node.desk());
        Self { node, data, store, _admin: admin }
    }

    fn data(&self) -> &Path {
        self.data.path()
    }

    async fn command(&self, stage: &str, more: &[&str], input: &[u8]) -> Outcome {
        let args = ["ingest", stage, "--data", self.data().to_str().unwrap()];
        let command = forebay(args.into_iter().chain(more.iter().copied()));
        let input = input.to_owned();
        tokio::task::spawn_blocking(move || run_with_input(command, Some(&input))).await.unwrap()
    }

    async fn owns_the_inlet(&self, node: &str) {
        let registry = self.node.control().registry().unwrap();
        while registry.lookup(&name("inlet")).is_none_or(|claim| claim.node.as_str() != node) {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }

    async fn local(&self, stage: &str) -> Vec<Vec<u8>> {
        let events = self.store.inbox(name(stage)).next(0, usize::MAX, usize::MAX).await;
        events.events.iter().map(|event| event.payload.to_vec()).collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn lines_are_confirmed_and_stand_in_the_inbox_as_they_were() {
    let world = World::new();
    let asked = Asked::start(&world, "a", &[]);
    let lines: &[&[u8]] = &[b"one", b"", "zw\u{f6}lf".as_bytes(), b"\xff\x00", b"\t\"\\", b"no end"];
    let done = asked.command("p/local", &["--batch", "4"], &lines.join(&b'\n')).await;
    done.assert_done();
    assert_eq!(done.stdout, "6 events confirmed\n");
    assert_eq!(asked.local("local").await, lines);

    let file = asked.data().join("lines");
    fs::write(&file, "x\n".repeat(2500)).unwrap();
    let done = asked.command("local", &["--input", file.to_str().unwrap(), "--output", "json"], b"").await;
    done.assert_done();
    let told = json_lines(&done.stdout);
    let confirmed: Vec<_> = told.iter().filter(|line| line["what"] == "confirmed").collect();
    assert_eq!(confirmed.iter().map(|line| line["count"].as_u64().unwrap()).collect::<Vec<_>>(), [1000, 1000, 500]);
    assert_eq!(confirmed.iter().map(|line| line["first"].as_u64().unwrap()).collect::<Vec<_>>(), [6, 1006, 2006]);
    assert_eq!((&told[3]["what"], &told[3]["confirmed"]), (&"done".into(), &2500.into()));
    let missing = asked.command("local", &["--input", "/nowhere"], b"").await;
    missing.assert_failed(66, "forebay: cannot read /nowhere");
    end(asked.node).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_cannot_be_taken_is_told_with_the_reason() {
    let world = World::new();
    let asked = Asked::start(&world, "a", &[]);
    for (stage, why) in [
        ("closed", "forebay: p/closed takes no events: its plugin does not export `ingest`"),
        ("p/nothing", "forebay: a knows no stage `p/nothing`; its stages are: p/closed, p/inlet, p/local"),
    ] {
        let refused = asked.command(stage, &[], b"x\n").await;
        refused.assert_failed(69, why);
        assert_eq!(refused.stdout, "0 events confirmed\n");
    }
    let long = asked.command("local", &[], &[b"fits\n".to_vec(), vec![b'x'; (1 << 20) + 1]].concat()).await;
    long.assert_failed(65, "forebay: line 2 has more than 1048576 bytes");

    let many = Batch::from_payloads(vec![""; 250_000]);
    for request in 0..4 {
        asked.store.inbox(name("local")).ingest(1, request, many.clone()).await.unwrap();
    }
    let full = asked.command("local", &["--wait", "0s"], b"x\n").await;
    full.assert_failed(69, "forebay: the inbox holds 1000000 events of ");
    let data = asked.data().to_owned();
    end(asked.node).await;
    drop(asked._admin);
    let args = ["ingest", "local", "--data", data.to_str().unwrap()];
    run(forebay(args)).assert_failed(69, "forebay: no node runs on ");
    run(forebay(["ingest", "local"])).assert_failed(64, "forebay: which node is to be asked?");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_client_keeps_keys_topics_and_headers_and_is_taken_once_through_lost_connections() {
    let world = World::new();
    let asked = Asked::start(&world, "a", &[]);
    let data = asked.data().to_owned();
    let told = tokio::task::spawn_blocking(move || {
        let mut client = Client::connect(&data).unwrap();
        let event = Event::bytes([255, 0]).key([254]).topic("t").header("n", "1");
        let first = client.ingest("p/local", &[event.clone(), Event::text("plain")]).unwrap();
        // The node lets a silent client go after 5 s.
        std::thread::sleep(std::time::Duration::from_millis(5500));
        let second =
            client.ingest("local", &[Event::text("x".repeat(700_000)), Event::bytes(vec![0; 300_000])]).unwrap();
        let refused = client.ingest("local", &[Event::bytes(vec![0; 1 << 20])]).unwrap_err();
        assert!(matches!(&refused, Error::Refused(why) if why.contains("an inbox takes 1048576 at once")), "{refused}");
        (first, second)
    })
    .await
    .unwrap();
    assert_eq!((told.0.first, told.0.count, told.1.first, told.1.count), (0, 2, 2, 2));
    let all = asked.store.inbox(name("local")).next(0, usize::MAX, usize::MAX).await.events;
    assert_eq!((all.len(), all.event(0).key, all.event(0).topic), (4, &[254][..], Some("t")));
    assert_eq!((all.event(1).key, all.event(1).topic), (&b""[..], Some("")));
    assert_eq!(all.headers().collect::<Vec<_>>(), [(0, "n", "1")]);
    end(asked.node).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn on_an_island_only_the_owner_takes_events_of_a_global_stage() {
    let world = World::new();
    let a = Asked::start(&world, "a", &[]);
    a.owns_the_inlet("a").await;
    let b = Asked::start(&world, "b", &["a"]);
    b.owns_the_inlet("a").await;
    let refused = b.command("inlet", &[], b"x\n").await;
    refused
        .assert_failed(69, "forebay: p/inlet is owned by a, and with `agreement = \"islands\"` only its owner takes");
    a.command("inlet", &[], b"x\ny\n").await.assert_done();
    assert_eq!(a.local("inlet").await, [b"x", b"y"]);
    b.command("local", &[], b"z\n").await.assert_done();
    end(b.node).await;
    end(a.node).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn in_a_group_any_node_takes_events_and_all_members_have_them() {
    let world = World::of_quorum();
    let mut nodes = Vec::new();
    for (index, name) in ABC.into_iter().enumerate() {
        nodes.push(Asked::start(&world, name, &ABC[..index]));
    }
    for asked in &nodes {
        until_report(&asked.node, "three vote", |report| super::votes(report) == 3 && report.holds).await;
    }
    for (index, asked) in nodes.iter().enumerate() {
        let done = asked.command("inlet", &["--output", "json"], format!("from {index}\n").as_bytes()).await;
        done.assert_done();
        assert_eq!(json_lines(&done.stdout)[0]["first"], index);
    }
    for asked in &nodes {
        let registry = asked.node.control().registry().unwrap();
        let quorum = registry.as_quorum().unwrap();
        while quorum.read_inbox(&name("inlet"), |inbox| inbox.is_none_or(|inbox| inbox.end() < 3)) {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }
    for asked in nodes {
        end(asked.node).await;
    }
}

/// The real thing, with a plugin that was looked into when it was loaded, and a file that a restart finds.
#[test]
fn a_real_node_says_which_of_its_plugins_take_events() {
    let desk = crate::cli::Desk::new();
    let text = format!("name = \"p\"\n[stages.counter]\nplugin = \"{}\"\n", prebuilt("counter").display());
    let file = desk.write("pipeline.toml", text);
    let args = desk.node("a", &["--pipeline", &file]);
    let mut node = crate::process::Process::start(forebay(&args));
    node.stderr_line(|line| line.contains("listening on"));
    let data = desk.text("a");
    let refused = run_with_input(forebay(["ingest", "counter", "--data", &data]), Some(b"x\n"));
    refused.assert_failed(69, "forebay: p/counter takes no events: its plugin does not export `ingest`");
    node.end("-TERM");
    assert!(desk.path("a").join("inbox.redb").exists());
    fs::write(desk.path("a").join("inbox.redb"), vec![7; 5000]).unwrap();
    run(forebay(&args)).assert_failed(74, &format!("forebay: {data}/inbox.redb is damaged"));
}
