//! The commands of operators, with real nodes: what they show, and what they have done.

use std::{
    fs,
    io::{Read, Write},
    os::unix::{fs::PermissionsExt, net::UnixStream},
    path::Path,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    cli::Desk,
    process::{Outcome, Process, forebay, json_lines, prebuilt, run},
};

/// Nothing a test waits for takes longer, on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(60);

/// Nodes that run a counter, and a printer each.
pub(crate) struct Cluster {
    pub(crate) desk: Desk,
    /// What every node is given when it starts; none: nothing.
    pipeline: Option<String>,
    /// Further settings of all nodes.
    pub(crate) settings: Vec<String>,
}

impl Cluster {
    pub(crate) fn new() -> Self {
        let desk = Desk::new();
        let text = format!(
            "name = \"p\"\n\
             [stages.counter]\nplugin = \"{}\"\nscope = \"global\"\n\
             [stages.printer]\nplugin = \"{}\"\nconfig = {{ pause = \"20ms\" }}\n\
             subscribe = [{{ to = \"counter\", max_demand = 5, min_demand = 0 }}]\n",
            prebuilt("counter").display(),
            prebuilt("printer").display()
        );
        let pipeline = Some(desk.write("pipeline.toml", text));
        Self { desk, pipeline, settings: Vec::new() }
    }

    /// Nodes that are given nothing to run.
    pub(crate) fn bare() -> Self {
        Self { desk: Desk::new(), pipeline: None, settings: Vec::new() }
    }

    pub(crate) fn data(&self, node: &str) -> String {
        let data = self.desk.text(node);
        if Path::new(&data).exists() { data } else { self.desk.keys(node) }
    }

    /// Starts a node; gives it with its address.
    pub(crate) fn start(&self, node: &str, join: &[&str]) -> (Process, String) {
        let mut process = self.launch(node, join);
        let listening = process.stdout_line(|line| line.contains("\"listening\""));
        (process, json_lines(&listening)[0]["address"].as_str().unwrap().to_owned())
    }

    fn launch(&self, node: &str, join: &[&str]) -> Process {
        let data = self.data(node);
        let args = ["node", "--name", node, "--data", &data, "--listen", "127.0.0.1:0", "--output", "json"];
        let join = join.iter().flat_map(|addr| ["--join", addr]);
        let pipeline = self.pipeline.iter().flat_map(|pipeline| ["--pipeline", pipeline]);
        let settings = self.settings.iter().map(String::as_str);
        Process::start(forebay(args.into_iter().chain(pipeline).chain(join).chain(settings)))
    }

    /// Starts nodes of which each joins those before, and waits until all see each other vote, or learn.
    pub(crate) fn start_all(&self, nodes: &[&str], voters: usize) -> Vec<(Process, String)> {
        let mut started: Vec<(Process, String)> = Vec::new();
        for node in nodes {
            let join: Vec<_> = started.iter().map(|(_, addr)| addr.as_str()).collect();
            let next = self.start(node, &join);
            started.push(next);
        }
        for node in nodes {
            self.until(node, "all are members and connected", |status| {
                let members = status["group"]["members"].as_array().unwrap();
                members.len() == nodes.len()
                    && members.iter().all(|member| member["connected"] == true)
                    && members.iter().filter(|member| member["votes"] == true).count() == voters
                    && (self.pipeline.is_none() || owner(status).is_some())
                    && status["group"]["quorum"] == true
            });
        }
        started
    }

    pub(crate) fn command(&self, asked: &str, args: &[&str]) -> Outcome {
        let data = self.data(asked);
        run(forebay(args.iter().copied().chain(["--data", &data])))
    }

    fn status(&self, node: &str) -> Value {
        let outcome = self.command(node, &["status", "--output", "json"]);
        outcome.assert_done();
        json_lines(&outcome.stdout).remove(0)
    }

    fn text(&self, node: &str) -> String {
        let outcome = self.command(node, &["status"]);
        outcome.assert_done();
        outcome.stdout
    }

    /// Waits until a node says all of that of itself, to people.
    #[track_caller]
    fn until_text(&self, node: &str, parts: &[&str]) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let told = self.text(node);
            if parts.iter().all(|part| told.contains(part)) {
                return;
            }
            assert!(Instant::now() < deadline, "waited in vain at {node} for {parts:?}\n{told}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    #[track_caller]
    pub(crate) fn until(&self, node: &str, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let status = self.status(node);
            if is_so(&status) {
                return status;
            }
            assert!(Instant::now() < deadline, "waited in vain at {node} for: {what}\n{status:#}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

fn owner(status: &Value) -> Option<String> {
    status["names"].as_array()?.iter().find(|name| name["name"] == "p/counter")?["owner"].as_str().map(str::to_owned)
}

fn number(status: &Value, node: &str) -> Option<u64> {
    status["group"]["members"].as_array()?.iter().find(|member| member["node"] == node)?["member"].as_u64()
}

/// Takes a node's process out of the list and kills it.
fn kill(nodes: &mut Vec<(Process, String)>, names: &mut Vec<&str>, node: &str) {
    let at = names.iter().position(|name| *name == node).unwrap();
    names.remove(at);
    // Dropping it kills it.
    drop(nodes.remove(at));
}

#[test]
fn a_killed_owner_is_told_of_removed_and_let_in_again_with_fresh_data_only() {
    let cluster = Cluster::new();
    let mut names = vec!["a", "b", "c"];
    let mut nodes = cluster.start_all(&names, 3);
    let all: Vec<_> = names.iter().map(|node| cluster.status(node)).collect();
    for status in &all {
        for key in ["id", "leader", "term", "members"] {
            assert_eq!(status["group"][key], all[0]["group"][key], "{key}");
        }
        assert_eq!(owner(status), owner(&all[0]));
        assert_eq!(status["group"]["critical"], serde_json::json!([]), "{status:#}");
    }
    let told = cluster.text("a");
    for part in ["any one more node may fail", "quorum: held since ", "  p/counter  ", "voter", "stages of this node"] {
        assert!(told.contains(part), "{part:?} in\n{told}");
    }

    let victim = owner(&all[0]).unwrap();
    let former = number(&all[0], &victim).unwrap();
    kill(&mut nodes, &mut names, &victim);
    let asked = names[0];
    cluster.until(asked, "another owner", |status| owner(status).is_some_and(|owner| owner != victim));
    let history = cluster.command(asked, &["owners", "--history", "--output", "json"]);
    let terms = json_lines(&history.stdout)[0]["history"].as_array().unwrap().clone();
    let ended = terms.iter().rev().find(|term| term["node"] == victim.as_str()).unwrap();
    let why = ended["why"].as_str().unwrap();
    // The kernel's word for it may be lost on a busy machine; then its lease ends.
    assert!(why == "node lost: its process has ended" || why.starts_with("node lost: not heard for "), "{why}");
    assert!(ended["to_ms"].as_u64() >= ended["from_ms"].as_u64() && terms.last().unwrap()["to_ms"].is_null());
    let told = cluster.command(asked, &["owners", "--history"]).stdout;
    assert!(told.contains("why it ended") && told.contains(why) && told.contains("  now  "), "{told}");
    let told = cluster.text(asked);
    let two = format!("failure of any one of {} and {} stops new claims", names[0], names[1]);
    assert!(told.contains(&two), "{told}");

    let refused = cluster.command(asked, &["node", "remove", names[1]]);
    refused.assert_failed(69, &format!("forebay: without {} only 1 of 3 voters would be there", names[1]));
    let removed = cluster.command(asked, &["node", "remove", &victim]);
    removed.assert_done();
    assert!(removed.stdout.contains(&format!("{victim} is no member any more")), "{removed:#?}");
    assert_eq!(number(&cluster.status(asked), &victim), None);

    let join: Vec<_> = nodes.iter().map(|(_, addr)| addr.as_str()).collect();
    let mut again = cluster.launch(&victim, &join);
    let told = again.stderr_line(|line| line.starts_with("forebay: "));
    assert!(told.contains("no member") && told.contains("/raft"), "{told}");
    assert_eq!(again.wait().code(), Some(77));
    fs::remove_dir_all(cluster.desk.path(&victim).join("raft")).unwrap();
    let fresh = cluster.start(&victim, &join);
    let status = cluster.until(asked, "it is a member again, and votes", |status| {
        let members = status["group"]["members"].as_array().unwrap();
        members.len() == 3 && members.iter().all(|member| member["votes"] == true)
    });
    assert_ne!(number(&status, &victim), Some(former));
    drop(fresh);
}

#[test]
fn a_drained_node_gives_its_stages_away_until_that_is_cancelled() {
    let cluster = Cluster::new();
    let names = ["a", "b", "c"];
    let mut nodes = cluster.start_all(&names, 3);
    let first = owner(&cluster.status("a")).unwrap();
    let asked = names.into_iter().find(|node| *node != first).unwrap();
    let drained = cluster.command(asked, &["drain", &first]);
    drained.assert_done();
    let next = owner(&cluster.status(asked)).unwrap();
    assert_ne!(next, first);
    for part in [format!("p/counter moved to {next} (epoch "), format!("{first} owns nothing")] {
        assert!(drained.stdout.contains(&part), "{part:?} in {drained:#?}");
    }
    let at = names.iter().position(|node| *node == first).unwrap();
    nodes[at].0.stdout_line(|line| line.contains("\"subscribed\"") && line.contains(&format!("\"owner\":\"{next}\"")));
    nodes[at].0.stdout_line(|line| line.contains("\"line\"") && line.contains(&format!("{first}: [")));
    let history = cluster.command(asked, &["owners", "--history"]).stdout;
    assert!(history.contains("released: an operator drains the node"), "{history}");

    let third = names.into_iter().find(|node| *node != first && *node != next).unwrap();
    cluster.command(asked, &["drain", third]).assert_done();
    cluster
        .command(asked, &["drain", &next])
        .assert_failed(69, "forebay: no other node could take `p/counter`: none that is connected and not draining");
    let unknown = cluster.command(asked, &["drain", "nobody"]);
    unknown.assert_failed(69, "forebay: there is no node `nobody` in this group; its members are a, b, c");
    cluster.command(asked, &["drain", &first, "--cancel"]).assert_done();
    cluster.command(asked, &["drain", &next]).assert_done();
    assert_eq!(owner(&cluster.status(asked)), Some(first), "it is the only one that does not drain");
}

#[test]
fn of_two_nodes_one_votes_and_status_says_so() {
    let cluster = Cluster::new();
    let mut nodes = cluster.start_all(&["a", "b"], 1);
    for node in ["a", "b"] {
        let told = cluster.text(node);
        assert!(told.contains("failure of a stops new claims") && told.contains("learner"), "{told}");
    }
    let refused = cluster.command("b", &["node", "remove", "a"]);
    refused.assert_failed(69, "forebay: without a only 0 of 1 voters would be there, and 1 are needed");
    cluster.command("a", &["node", "remove", "b"]).assert_done();
    assert_eq!(nodes[1].0.wait().code(), Some(77));
    let last = cluster.command("a", &["node", "remove", "a"]);
    last.assert_failed(69, "forebay: a is the only member of the group");
    cluster.command("b", &["status"]).assert_failed(69, "forebay: no node runs on ");
    run(forebay(["status"])).assert_failed(64, "forebay: which node is to be asked?");
}

#[test]
fn one_node_recovers_alone_with_higher_epochs() {
    let cluster = Cluster::new();
    let mut names = vec!["a", "b", "c"];
    let mut nodes = cluster.start_all(&names, 3);
    let group = cluster.status("c")["group"]["id"].clone();
    let running = cluster.command("c", &["recover", "--yes"]);
    running.assert_failed(69, "forebay: another node runs on ");
    kill(&mut nodes, &mut names, "c");
    let answered = cluster.command("c", &["recover", "--yes"]);
    answered.assert_failed(69, "forebay: voters of the group answer: ");
    kill(&mut nodes, &mut names, "a");
    kill(&mut nodes, &mut names, "b");

    let (alone, _) = cluster.start("c", &[]);
    cluster.until_text("c", &["quorum: no quorum since ", "too few voters are connected"]);
    drop(alone);
    cluster.command("c", &["recover"]).assert_failed(64, "Are the other voters gone for good");
    let recovered = cluster.command("c", &["recover", "--yes"]);
    recovered.assert_done();
    for part in ["lost: whatever was agreed on after that entry, and the membership of a and b", "kept: 1 names"] {
        assert!(recovered.stdout.contains(part), "{part:?} in {recovered:#?}");
    }
    let (mut survivor, addr) = cluster.start("c", &[]);
    let status = cluster.until("c", "c owns the counter", |status| owner(status).as_deref() == Some("c"));
    assert_eq!(status["group"]["generation"], 1, "{status:#}");
    assert_ne!(status["group"]["id"], group);
    let epoch = status["names"][0]["epoch"].as_str().unwrap();
    assert!(epoch.starts_with("1-"), "{epoch}");
    survivor.stdout_line(|line| line.contains("\"line\"") && line.contains("c: ["));

    let mut former = cluster.launch("a", &[&addr]);
    former.stderr_line(|line| line.contains("belongs to group"));
    drop(former);
    fs::remove_dir_all(cluster.desk.path("a").join("raft")).unwrap();
    let _fresh = cluster.start("a", &[&addr]);
    cluster.until("c", "a is let in", |status| number(status, "a").is_some_and(|number| number > 1));
}

#[test]
fn the_socket_bears_hostile_clients_and_long_paths() {
    let cluster = Cluster::new();
    let long = format!("{}/data", "x".repeat(120));
    let data = cluster.desk.path(&long);
    let keys = cluster.desk.keys("a");
    fs::create_dir_all(data.parent().unwrap()).unwrap();
    fs::rename(&keys, &data).unwrap();
    let args = ["node", "--name", "a", "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()];
    let mut node = Process::start(forebay(args));
    node.stderr_line(|line| line.contains("listening on"));
    let socket = data.join("admin.sock");
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    let status = || run(forebay(["status", "--data", data.to_str().unwrap()]));
    status().assert_done();
    let deadline = Instant::now() + PATIENCE;
    // It may be a member before it has heard that it is: then it knows of no voters.
    while !status().stdout.contains(" voter ") {
        assert!(Instant::now() < deadline, "it founds no group: {}", status().stdout);
        std::thread::sleep(Duration::from_millis(50));
    }

    // The test's own address of it must be short as well.
    let short = cluster.desk.path("s");
    std::os::unix::fs::symlink(&data, &short).unwrap();
    let meet = || UnixStream::connect(short.join("admin.sock")).unwrap();
    let said = |bytes: &[u8]| {
        let mut client = meet();
        // It may have hung up before it was sent all.
        let _ = client.write_all(bytes);
        let _ = client.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        let _ = client.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    };
    for (bytes, part) in [
        (&b"\0\xff nonsense\n"[..], "\"error\":\"the question cannot be read"),
        (b"{\"version\":9,\"request\":\"status\"}\n", "version 1 of its admin language, not 9"),
        (b"{\"version\":1,\"request\":{\"remove\":{\"node\":\"a\"}}}\n", "only member"),
        (b"{}\n{}\n", "no `version`"),
        (&[b'['; 60 << 10][..], "\"error\":"),
        (&[b'x'; (64 << 10) + 1][..], "at most 65536 bytes"),
        (b"", ""),
    ] {
        let answer = said(bytes);
        assert!(answer.contains(part), "{part:?} in {answer:?}");
    }
    // More clients that say nothing than there are places: they are let go in time.
    let hanging: Vec<_> = (0..20).map(|_| meet()).collect();
    status().assert_done();
    let mut first = &hanging[0];
    first.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(first.read(&mut [0; 8]).unwrap(), 0, "it was let go");

    // What a killed process left is in nobody's way.
    drop(node);
    assert!(socket.exists());
    status().assert_failed(69, "forebay: no node runs on ");
    let mut node = Process::start(forebay(args));
    node.stderr_line(|line| line.contains("listening on"));
    status().assert_done();
    node.end("-TERM");
    assert!(!socket.exists());
}

#[test]
fn an_island_shows_what_there_is() {
    let cluster = Cluster::new();
    let args = cluster.desk.node("a", &["--agreement", "islands", "--pipeline", cluster.pipeline.as_ref().unwrap()]);
    let mut node = Process::start(forebay(args));
    node.stdout_line(|line| line.starts_with("a: ["));
    let told = cluster.text("a");
    for part in ["agreement: islands", "connected to nobody", "p/counter  a", "p/printer  node    running"] {
        assert!(told.contains(part), "{part:?} in\n{told}");
    }
    cluster.command("a", &["drain", "a"]).assert_failed(69, "forebay: this node runs with `agreement = \"islands\"`");
    node.end("-TERM");
}

/// As a machine would have it that has no data directory of a node.
#[test]
fn operators_reach_nodes_over_the_network_with_their_own_keys_alone() {
    let cluster = Cluster::new();
    let nodes = cluster.start_all(&["a", "b"], 1);
    let (ca, ann) = (cluster.desk.text("ca"), cluster.desk.text("ann"));
    let add = |name: &str, out: &str, more: &[&str]| {
        let args = ["cluster", "add-operator", name, "--ca", &ca, "--out", out];
        run(forebay(args.into_iter().chain(more.iter().copied())))
    };
    let made = add("ann", &ann, &[]);
    made.assert_done();
    assert!(made.stdout.contains("operator ann of cluster") && made.stdout.contains("--identity"), "{made:#?}");
    let [a, b] = [&nodes[0].1, &nodes[1].1];
    let asked = |args: &[&str], to: &str, identity: &str| {
        run(forebay(args.iter().copied().chain(["--to", to, "--identity", identity])))
    };
    let outcome = asked(&["status", "--output", "json"], b, &ann);
    outcome.assert_done();
    let status = json_lines(&outcome.stdout).remove(0);
    assert_eq!((&status["node"], status["group"]["members"].as_array().unwrap().len()), (&"b".into(), 2), "{status:#}");
    let outcome = asked(&["owners"], b, &ann);
    outcome.assert_done();
    assert!(outcome.stdout.contains("p/counter"), "{outcome:#?}");
    let outcome = asked(&["dlq", "list"], a, &ann);
    outcome.assert_done();
    // By a name, and by the environment.
    let port = a.rsplit(':').next().unwrap();
    let mut by_name = forebay(["status", "--output", "json"]);
    by_name.env("FOREBAY_TO", format!("localhost:{port}")).env("FOREBAY_IDENTITY", &ann);
    let outcome = run(by_name);
    outcome.assert_done();
    assert_eq!(json_lines(&outcome.stdout)[0]["node"], "a");
    // This stage takes no events; that the node knows it is said by the node.
    let lines = cluster.desk.write("lines", "one\ntwo\n");
    let outcome = asked(&["ingest", "p/counter", "--input", &lines], a, &ann);
    outcome.assert_failed(69, "forebay: p/counter takes no events");
    // An order that waits until it is carried out.
    let owner = owner(&cluster.status("a")).unwrap();
    let outcome = asked(&["drain", &owner], a, &ann);
    outcome.assert_done();
    assert_ne!(self::owner(&cluster.status("a")), Some(owner));

    refused_ones(&cluster, &asked, a);
}

fn refused_ones(cluster: &Cluster, asked: &dyn Fn(&[&str], &str, &str) -> Outcome, to: &str) {
    let (ann, elsewhere) = (cluster.desk.text("ann"), crate::cli::Desk::new());
    elsewhere.keys("n");
    let (ca, eve) = (elsewhere.text("ca"), elsewhere.text("eve"));
    run(forebay(["cluster", "add-operator", "eve", "--ca", &ca, "--out", &eve])).assert_done();
    let late = cluster.desk.text("late");
    let args = ["cluster", "add-operator", "late", "--ca", &cluster.desk.text("ca"), "--out", &late];
    run(forebay(args.into_iter().chain(["--valid-for", "1s"]))).assert_done();
    let missing = cluster.desk.text("nobody");
    run(forebay(["status", "--to", to])).assert_failed(64, "forebay: in whose name is");
    asked(&["status"], to, &missing)
        .assert_failed(78, &format!("forebay: {missing}/tls/ca.pem is missing; make it with"));
    asked(&["status"], to, &cluster.data("a"))
        .assert_failed(78, &format!("forebay: {}/tls/node.pem is the certificate of a node", cluster.data("a")));
    asked(&["status"], to, &eve).assert_failed(77, &format!("forebay: {to} does not belong to this cluster"));
    let free = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    asked(&["status"], &free, &ann).assert_failed(69, &format!("forebay: no node answers at {free}"));
    asked(&["status"], "no.such.name.invalid", &ann).assert_failed(69, "forebay: cannot find the address of");
    asked(&["recover", "--yes"], to, &ann).assert_failed(64, "forebay: this works on the files of a node");
    // Dates of certificates are whole seconds.
    std::thread::sleep(Duration::from_millis(2100));
    asked(&["status"], to, &late).assert_failed(78, &format!("forebay: {late}/tls/operator.pem was valid until"));
}

#[test]
fn a_revoked_operator_is_refused_by_the_nodes_that_were_told() {
    let desk = Desk::new();
    let mut node = Process::start(forebay(desk.node("a", &["--output", "json", "--revoked-operators", "eve,late"])));
    let listening = node.stdout_line(|line| line.contains("\"listening\""));
    let addr = json_lines(&listening)[0]["address"].as_str().unwrap().to_owned();
    for (name, code) in [("ann", 0), ("eve", 77)] {
        let (ca, out) = (desk.text("ca"), desk.text(name));
        run(forebay(["cluster", "add-operator", name, "--ca", &ca, "--out", &out])).assert_done();
        let outcome = run(forebay(["status", "--to", &addr, "--identity", &out]));
        match code {
            0 => outcome.assert_done(),
            _ => outcome.assert_failed(
                code,
                &format!("forebay: {addr} refuses these keys: operator `eve` is revoked on node a"),
            ),
        }
    }
    node.end("-TERM");
}
