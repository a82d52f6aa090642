//! `forebay bench`, and `forebay bench-raw`: raw QUIC, as its baseline.

use std::{io::Write as _, process::Stdio, time::Duration};

use forebay::transport::identity::{ClusterCa, NODE_VALIDITY};
use serde_json::Value;
use tempfile::TempDir;

use crate::process::{Process, forebay};

/// A process whose standard input can be written to, and ended.
struct Raw {
    process: Process,
    stdin: Option<std::process::ChildStdin>,
}

impl Raw {
    fn start(side: &[&str], keys: &TempDir, work: &[&str]) -> Self {
        let mut command = forebay(["bench-raw"].iter().chain(side).chain(work));
        command.arg("--identity").arg(keys.path()).stdin(Stdio::piped());
        let mut process = Process::start(command);
        let stdin = process.stdin();
        Self { process, stdin }
    }

    /// What is told next of `what`.
    #[track_caller]
    fn hear(&mut self, what: &str) -> Value {
        let line = self.process.stdout_line(|line| line.contains(&format!("\"what\":\"{what}\"")));
        serde_json::from_str(&line).unwrap()
    }

    #[track_caller]
    fn report(&mut self) -> Value {
        self.stdin.as_mut().unwrap().write_all(b"report\n").unwrap();
        self.hear("report")
    }

    /// Reports until one has some events.
    #[track_caller]
    fn report_of(&mut self, events: u64) -> Value {
        loop {
            let report = self.report();
            if report["events"].as_u64().unwrap() >= events {
                return report;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Ends it, and asserts that nothing was wrong: either side ends with another code when the other passes what was
    /// granted.
    #[track_caller]
    fn end(mut self) {
        self.stdin = None;
        let status = self.process.wait();
        assert_eq!(status.code(), Some(0), "{status}");
    }
}

fn keys() -> TempDir {
    let dir = TempDir::new().unwrap();
    let ca = ClusterCa::generate().unwrap();
    ca.issue(&"raw".parse().unwrap(), NODE_VALIDITY).unwrap().save(dir.path()).unwrap();
    dir
}

fn pair(keys: &TempDir, work: &[&str]) -> (Raw, Raw) {
    let mut server = Raw::start(&["serve"], keys, work);
    let address = server.hear("listening")["address"].as_str().unwrap().to_owned();
    let consumer = Raw::start(&["consume", "--connect", &address], keys, work);
    (server, consumer)
}

#[test]
fn raw_quic_counts_what_comes_within_its_credit() {
    let keys = keys();
    // Of 7 events under 10: a whole frame and a part of one are open at a time.
    for work in [
        ["--batch", "5", "--max-demand", "10", "--payload", "100"],
        ["--batch", "7", "--max-demand", "10000", "--payload", "1"],
    ] {
        let (server, mut consumer) = pair(&keys, &work);
        let report = consumer.report_of(10_000);
        let (events, bytes) = (report["events"].as_u64().unwrap(), report["bytes"].as_u64().unwrap());
        assert_eq!(bytes, events * work[5].parse::<u64>().unwrap());
        assert_eq!(report["latency"], Value::Array(vec![]), "only paced events say when they were emitted");
        consumer.end();
        server.end();
    }
}

#[test]
fn raw_quic_tells_how_long_paced_events_took() {
    let keys = keys();
    let (server, mut consumer) = pair(&keys, &["--rate", "1000", "--payload", "16"]);
    let report = consumer.report_of(20);
    let steps = report["latency"].as_array().unwrap();
    let count: u64 = steps.iter().map(|step| step[1].as_u64().unwrap()).sum();
    assert!(count > 0 && count <= report["events"].as_u64().unwrap(), "{report}");
    assert!(steps.iter().all(|step| step[0].as_u64().unwrap() > 0), "{report}");
    consumer.end();
    server.end();
}

#[test]
fn a_side_that_passes_its_credit_is_found_out() {
    let keys = keys();
    let mut server = Raw::start(&["serve"], &keys, &["--max-demand", "10"]);
    let address = server.hear("listening")["address"].as_str().unwrap().to_owned();
    // It asks for more than the server takes for its window.
    let _consumer = Raw::start(&["consume", "--connect", &address], &keys, &["--max-demand", "11"]);
    server.process.stderr_line(|line| line.contains("broke the protocol: 11 granted, 0 acknowledged, 0 sent"));
    assert_eq!(server.process.wait().code(), Some(70));
}

#[test]
fn raw_quic_serves_nobody_of_another_cluster() {
    let (ours, theirs) = (keys(), keys());
    let mut server = Raw::start(&["serve"], &ours, &[]);
    let address = server.hear("listening")["address"].as_str().unwrap().to_owned();
    let mut stranger = Raw::start(&["consume", "--connect", &address], &theirs, &[]);
    assert_eq!(stranger.process.wait().code(), Some(69));
    server.end();
}

/// Each way does the work, and says of itself what was measured. How fast that is is no matter here.
#[test]
fn a_bench_measures_all_ways_and_gives_their_ratios() {
    let mut command = forebay(["bench", "--topology", "remote", "--payload", "16", "--max-demand", "100/50"]);
    command.args(["--rate", "500", "--runs", "1", "--for", "300ms", "--output", "json"]);
    let mut bench = Process::start(command);
    for (rate, way) in [
        (None, "wasm"),
        (None, "native"),
        (None, "raw"),
        (Some(500), "wasm"),
        (Some(500), "native"),
        (Some(500), "raw"),
    ] {
        let line = bench.stdout_line(|_| true);
        let found: Value = serde_json::from_str(&line).unwrap();
        assert_eq!((&found["way"], &found["rate"]), (&Value::from(way), &Value::from(rate)), "{line}");
        assert!(found["events_per_second"].as_f64().unwrap() > 0.0, "{line}");
        assert!(found["resident_mib"].as_f64().unwrap() > 1.0, "{line}");
        assert!(found["of_raw"].is_number(), "{line}");
        assert_eq!(found["latency_us"]["p50"].is_number(), rate.is_some(), "{line}");
    }
    assert_eq!(bench.wait().code(), Some(0));
}

#[test]
fn a_bench_that_cannot_be_is_refused() {
    for (argument, value, expected) in [
        ("--payload", "7", "expected 8 to 65536 bytes"),
        ("--max-demand", "5/5", "expected MAX or MAX/MIN"),
        ("--topology", "star", "possible values"),
        ("--consumers", "0", "1..=1000"),
    ] {
        let output = forebay(["bench", argument, value]).output().unwrap();
        assert_eq!(output.status.code(), Some(64), "{argument}");
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.contains(expected), "{error}");
    }
}
