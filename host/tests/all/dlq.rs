//! `forebay dlq` on a running node whose store was filled before.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    path::Path,
};

use forebay::dlq::{Bounds, DeadLetters, Letter};
use forebay_proto::{
    batch::{Batch, BatchLimits, Columns},
    ids::{Epoch, Seq},
};

use serde_json::Value;

use crate::{
    admin::Cluster,
    cli::Desk,
    process::{Outcome, Process, forebay, json_lines, run},
};

/// What a terminal must never be given by a guest.
const HOSTILE: &str = "\u{1b}]0;owned\u{7}\u{9b}2J\r\u{202e}";

pub(crate) fn letter(stage: &str, seq: u64, payload: &[u8]) -> Letter {
    Letter {
        pipeline: "p".parse().unwrap(),
        stage: stage.parse().unwrap(),
        source: "source".parse().unwrap(),
        epoch: Epoch { lamport: 3, tag: 4 },
        seq: Seq(seq),
        attempts: 5,
        at_ms: 1_700_000_000_123,
        reason: "not a number\nat line 7".into(),
        event: Batch::from_payloads([payload]),
    }
}

fn hostile() -> Letter {
    let payload = format!("{HOSTILE}\0").into_bytes();
    let columns = Columns {
        ends: vec![u32::try_from(payload.len()).unwrap()],
        payloads: payload,
        topics: vec![HOSTILE.to_owned()],
        topic_of: vec![0],
        keys: b"\xff\x1b".to_vec(),
        key_ends: vec![2],
        headers: vec![(0, HOSTILE.to_owned(), HOSTILE.to_owned())],
    };
    let event = Batch::new(columns, &BatchLimits::default()).unwrap();
    Letter { reason: format!("{HOSTILE}first\n{HOSTILE}second").into(), event, ..letter("sink", 2, b"") }
}

/// More than the parts it is shown in.
fn long_payload() -> Vec<u8> {
    (0..900_000_u32).map(|at| (at % 251) as u8).collect()
}

/// A node that runs nothing, and what it has in its store.
struct Asked {
    desk: Desk,
    args: Vec<String>,
}

impl Asked {
    fn new(letters: Vec<Letter>, more: &[&str]) -> Self {
        let desk = Desk::new();
        let more: Vec<_> = ["--agreement", "islands"].into_iter().chain(more.iter().copied()).collect();
        let args = desk.node("a", &more);
        let asked = Self { desk, args };
        fill(&asked.data(), letters);
        asked
    }

    fn data(&self) -> std::path::PathBuf {
        self.desk.path("a")
    }

    fn start(&self) -> Process {
        let mut node = Process::start(forebay(&self.args));
        node.stderr_line(|line| line.contains("listening on"));
        node
    }

    fn command(&self, args: &[&str]) -> Outcome {
        let data = self.desk.text("a");
        run(forebay(args.iter().copied().chain(["--data", &data])))
    }

    /// What it prints, to its last byte.
    fn bytes(&self, args: &[&str]) -> Vec<u8> {
        let data = self.desk.text("a");
        let output = forebay(args.iter().copied().chain(["--data", &data])).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    fn text(&self, args: &[&str]) -> String {
        let outcome = self.command(args);
        outcome.assert_done();
        outcome.stdout
    }

    fn ids(&self, more: &[&str]) -> Vec<u64> {
        let args: Vec<_> = ["dlq", "list", "--output", "json"].into_iter().chain(more.iter().copied()).collect();
        json_lines(&self.text(&args)).iter().map(|letter| letter["id"].as_u64().unwrap()).collect()
    }
}

fn assert_harmless(told: &str) {
    let harmful = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
    assert!(!told.contains(harmful), "{:?}", &told[..told.floor_char_boundary(2000)]);
}

#[test]
fn letters_are_listed_and_shown_without_what_a_terminal_obeys() {
    let letters = vec![letter("sink", 1, b"one\nline more\n"), hostile(), letter("other", 3, &long_payload())];
    let asked = Asked::new(letters, &[]);
    let node = asked.start();
    let told = asked.text(&["dlq", "list"]);
    assert_harmless(&told);
    for part in [
        "  id   when                      stage    source  epoch:number  attempts  bytes   reason\n",
        "  a:1  2023-11-14T22:13:20.123Z  p/sink   source  3.00000004:1  5         14      not a number\n",
        r"\u{1b}]0;owned\u{7}\u{9b}2J\u{d}\u{202e}first",
        "p/other",
    ] {
        assert!(told.contains(part), "{part:?} in\n{told}");
    }
    assert_eq!((asked.ids(&["--stage", "other"]), asked.ids(&["--pipeline", "p"])), (vec![3], vec![1, 2, 3]));
    assert_eq!(asked.text(&["dlq", "list", "--stage", "nobody"]), "no dead letters\n");
    let told = asked.text(&["status"]);
    assert!(told.contains("\ndead letters: 3 of 10000 letters, ") && told.contains("`forebay dlq list`"), "{told}");

    let told = asked.text(&["dlq", "show", "a:1"]);
    assert!(told.starts_with("letter a:1\n") && asked.text(&["dlq", "show", "1", "--node", "a"]) == told, "{told}");
    for part in ["  source    source 3.00000004:1\n", "\nreason\n  not a number\n  at line 7\n", "  line more\n"] {
        assert!(told.contains(part), "{part:?} in\n{told}");
    }
    let told = asked.text(&["dlq", "show", "2"]);
    assert_harmless(&told);
    for part in ["  key       0xff1b\n", "  topic     \\u{1b}]0;", "  header    \\u{1b}]0;", "00000000  1b 5d 30 3b"] {
        assert!(told.contains(part), "{part:?} in\n{told}");
    }
    for args in [&["dlq", "show", "2", "--output", "json"][..], &["dlq", "list", "--output", "json"]] {
        let told = asked.text(args);
        assert_harmless(&told);
        assert!(json_lines(&told).iter().any(|letter| letter["reason"].as_str().unwrap().starts_with(HOSTILE)));
    }
    let shown = &json_lines(&asked.text(&["dlq", "show", "2", "--output", "json"]))[0];
    assert_eq!((&shown["topic"], &shown["key_hex"]), (&HOSTILE.into(), &"ff1b".into()));
    assert_eq!((&shown["headers"][0][1], &shown["payload"]), (&HOSTILE.into(), &format!("{HOSTILE}\0").into()));

    assert_eq!(asked.bytes(&["dlq", "show", "3", "--raw"]), long_payload());
    let told = asked.text(&["dlq", "show", "3"]);
    assert_eq!(told.lines().filter(|line| line.contains("  |")).count(), 900_000_usize.div_ceil(16));
    asked.command(&["dlq", "show", "4"]).assert_failed(69, "forebay: there is no dead letter a:4");
    node.end("-TERM");
}

#[test]
fn letters_are_dropped_when_that_is_confirmed_and_unknown_ones_are_named() {
    let mut letters: Vec<_> = (0..450).map(|seq| letter("sink", seq, b"x")).collect();
    letters.extend((0..3).map(|seq| letter("other", seq, b"y")));
    let asked = Asked::new(letters, &[]);
    let node = asked.start();
    assert_eq!(asked.ids(&[]), (1..=453).collect::<Vec<_>>(), "over several pages");

    asked.command(&["dlq", "drop", "1"]).assert_failed(64, "forebay: dropping loses events and nobody is there");
    asked.command(&["dlq", "drop"]).assert_failed(64, "error: ");
    asked.command(&["dlq", "drop", "1", "--all"]).assert_failed(64, "error: ");
    asked
        .command(&["dlq", "drop", "a:1", "--node", "b", "--yes"])
        .assert_failed(64, "forebay: letter a:1 does not lie on b");
    asked.command(&["dlq", "drop", "A:1", "--yes"]).assert_failed(64, "error: invalid value 'A:1'");
    for args in [&["dlq", "drop", "b:1", "--yes"][..], &["dlq", "list", "--node", "b"], &["dlq", "show", "b:1"]] {
        asked.command(args).assert_failed(69, "forebay: a knows of no node `b`");
    }
    asked.command(&["dlq", "resend", "1", "--stage", "sink"]).assert_failed(64, "forebay: --pipeline and --stage");
    assert_eq!(asked.ids(&[]).len(), 453);
    let dropped = asked.command(&["dlq", "drop", "1", "999", "2", "1000", "--yes"]);
    dropped.assert_failed(69, "forebay: there is no dead letter a:999 and a:1000");
    assert_eq!(dropped.stdout, "dropped 2 letters\n");

    let resent = asked.command(&["dlq", "resend", "3", "7000"]);
    resent.assert_failed(69, "forebay: there is no dead letter a:7000\nletter a:3 is not resent: stage `p/sink`");
    assert!(resent.stderr.contains("does not run on a"), "{resent:#?}");
    let resent = asked.command(&["dlq", "resend", "--all", "--stage", "sink", "--output", "json"]);
    resent.assert_failed(69, "forebay: letter a:3 is not resent");
    assert!(resent.stderr.ends_with("and 428 more\n"), "{resent:#?}");
    assert_eq!(resent.stdout, "{\"what\":\"resent\",\"ids\":[]}\n");

    let dropped = asked.command(&["dlq", "drop", "--all", "--stage", "other", "--yes", "--output", "json"]);
    dropped.assert_done();
    assert_eq!(dropped.stdout, "{\"what\":\"dropped\",\"ids\":[\"a:451\",\"a:452\",\"a:453\"]}\n");
    assert_eq!(asked.ids(&[]).len(), 448);
    assert_eq!(asked.text(&["dlq", "drop", "--all", "--yes"]), "dropped 448 letters\n");
    assert_eq!(asked.text(&["dlq", "drop", "--all"]), "dropped 0 letters\n", "nothing is to be confirmed");
    assert_eq!(asked.text(&["dlq", "list"]), "no dead letters\n");
    assert!(asked.text(&["status"]).contains("\ndead letters: none\n"));
    node.end("-TERM");
}

#[test]
fn requests_and_answers_of_the_socket_are_bounded() {
    let asked = Asked::new((0..201).map(|seq| letter("sink", seq, b"x")).collect(), &[]);
    let node = asked.start();
    let mut client = UnixStream::connect(asked.data().join("admin.sock")).unwrap();
    let mut answers = BufReader::new(client.try_clone().unwrap());
    let mut ask = |request: &str| {
        writeln!(client, "{{\"version\":1,\"request\":{{\"dead_letters\":{request}}}}}").unwrap();
        let mut answer = String::new();
        answers.read_line(&mut answer).unwrap();
        json_lines(&answer).remove(0)["answer"].clone()
    };
    let page = ask("{\"list\":{}}")["dead_letters"]["page"].clone();
    assert_eq!((page["letters"].as_array().unwrap().len(), &page["more"]), (200, &true.into()));
    let page = ask("{\"list\":{\"after\":200}}")["dead_letters"]["page"].clone();
    assert_eq!((page["letters"].as_array().unwrap().len(), &page["more"]), (1, &false.into()));
    let many: Vec<u64> = (1..=1001).collect();
    for (kind, count) in [("drop", 1001), ("resend", 101)] {
        let told = ask(&format!("{{\"{kind}\":{{\"ids\":{:?}}}}}", &many[..count]))["error"].to_string();
        assert!(told.contains(&format!("{count} letters in one request, at most {}", count - 1)), "{told}");
    }
    let far = ask(&format!("{{\"show\":{{\"id\":1,\"from\":{}}}}}", u64::MAX));
    assert_eq!(far["dead_letters"]["part"]["part"], "");
    assert_eq!(ask("{\"drop\":{\"ids\":[1,1]}}")["dead_letters"]["outcomes"].as_array().unwrap().len(), 1);
    node.end("-TERM");
}

#[test]
fn a_full_store_is_told_of_and_a_damaged_one_is_not_started_with() {
    let asked = Asked::new((0..2).map(|seq| letter("sink", seq, b"x")).collect(), &["--dead-letters", "letters_max=2"]);
    let node = asked.start();
    let told = asked.text(&["status"]);
    assert!(told.contains("\ndead letters: full, 2 of 2 letters, "), "{told}");
    assert_eq!(json_lines(&asked.text(&["status", "--output", "json"]))[0]["dead_letters"]["full"], true);
    node.end("-TERM");

    let path = asked.data().join("dead-letters.redb");
    damage(&path);
    let refused = run(forebay(&asked.args));
    assert_eq!(refused.code, Some(74), "{refused:#?}");
    let told = refused.stderr.lines().find(|line| line.starts_with("forebay: ")).unwrap();
    assert!(told.contains("dead-letters.redb is damaged; move it away to start without the letters in it"), "{told}");
    fs::remove_file(path).unwrap();
    asked.start().end("-TERM");
}

/// In every page, so that it is seen wherever it is.
fn damage(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    bytes.iter_mut().step_by(512).for_each(|byte| *byte ^= 0x55);
    fs::write(path, bytes).unwrap();
}

/// Puts letters into the store of a node that does not run.
fn fill(data: &Path, letters: Vec<Letter>) {
    let store = DeadLetters::open(data, Bounds::default()).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(store.put(letters)).unwrap();
    runtime.block_on(store.close());
}

#[test]
fn letters_of_a_cluster_are_listed_and_reached_from_any_node_and_who_is_not_heard_is_named() {
    let cluster = Cluster::new();
    let at = |at_ms, letter| Letter { at_ms, ..letter };
    let of_printer = |seq| letter("printer", seq, b"4242");
    let on_b = vec![at(1000, of_printer(1)), at(3000, letter("other", 2, b"x")), at(4000, letter("other", 3, b"y"))];
    fill(cluster.data("b").as_ref(), on_b);
    fill(cluster.data("c").as_ref(), vec![at(2000, hostile()), at(5000, letter("other", 2, b"z"))]);
    let mut nodes = cluster.start_all(&["a", "b", "c"], 3);
    let text = |args: &[&str]| {
        let outcome = cluster.command("a", args);
        outcome.assert_done();
        outcome.stdout
    };
    let names = |args: &[&str]| {
        let told = text(&[&["dlq", "list", "--output", "json"], args].concat());
        let name = |letter: &Value| format!("{}:{}", letter["node"].as_str().unwrap(), letter["id"]);
        json_lines(&told).iter().map(name).collect::<Vec<_>>()
    };
    assert_eq!(names(&[]), ["b:1", "c:1", "b:2", "b:3", "c:2"], "oldest first");
    assert_eq!((names(&["--node", "c"]), names(&["--node", "a"])), (vec!["c:1".to_owned(), "c:2".into()], vec![]));
    assert_eq!(names(&["--stage", "other"]), ["b:2", "b:3", "c:2"]);
    let told = text(&["dlq", "list"]);
    assert!(told.contains("\n  b:1  1970-01-01T00:00:01.000Z  p/printer  source  "), "{told}");
    assert_harmless(&told);
    assert_harmless(&text(&["dlq", "show", "c:1"]));
    // Lines are given with an end each.
    assert_eq!(text(&["dlq", "show", "c:2", "--raw"]), "z\n");
    assert_eq!(text(&["dlq", "show", "2", "--node", "c", "--raw"]), "z\n");
    cluster.command("a", &["dlq", "show", "2"]).assert_failed(69, "forebay: there is no dead letter a:2");

    assert_eq!(text(&["dlq", "resend", "b:1"]), "resent 1 letter\n");
    nodes[1].0.stdout_line(|line| line.contains("4242"));
    cluster.until("b", "it is gone once it is processed", |status| status["dead_letters"]["letters"] == 2);
    let dropped = cluster.command("a", &["dlq", "drop", "c:2", "b:2", "b:77", "--yes", "--output", "json"]);
    dropped.assert_failed(69, "forebay: there is no dead letter b:77");
    assert_eq!(dropped.stdout, "{\"what\":\"dropped\",\"ids\":[\"b:2\",\"c:2\"]}\n");

    // Dropping it kills it.
    drop(nodes.pop());
    cluster.until("a", "c is missed", |status| status["peers"].as_array().unwrap().len() == 1);
    let missed = "forebay: c is not heard, and its letters are not known: c is not connected";
    let listed = cluster.command("a", &["dlq", "list", "--output", "json"]);
    listed.assert_failed(69, missed);
    assert_eq!(json_lines(&listed.stdout)[0]["node"], "b", "what is known is shown");
    assert_eq!(names(&["--node", "b"]), ["b:3"], "c does not matter");
    cluster.command("a", &["dlq", "list", "--node", "c"]).assert_failed(69, "forebay: c is not connected");
    let dropped = cluster.command("a", &["dlq", "drop", "--all", "--yes"]);
    dropped.assert_failed(69, missed);
    assert_eq!(dropped.stdout, "dropped 1 letter\n");
    assert_eq!(names(&["--node", "b"]), Vec::<String>::new());
}
