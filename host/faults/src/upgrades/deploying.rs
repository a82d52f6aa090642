//! `forebay deploy`, called as a person would.

use std::{
    fmt,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// A deploy that is under way.
#[derive(Debug)]
pub(super) struct Deploying {
    began: Instant,
    thread: JoinHandle<(Outcome, Instant)>,
}

/// What came of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Outcome {
    RolledOut,
    /// With what was said about it.
    RolledBack(String),
    /// It was not even begun, or its end is not known.
    Failed(String),
}

/// How a deploy went.
#[derive(Clone, Debug)]
pub(super) struct Deployed {
    pub(super) began: Instant,
    pub(super) ended: Instant,
    pub(super) outcome: Outcome,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RolledOut => f.write_str("rolled out"),
            Self::RolledBack(why) => write!(f, "rolled back: {why}"),
            Self::Failed(why) => write!(f, "failed: {why}"),
        }
    }
}

impl Deploying {
    /// Begins to deploy a pipeline file through the node that has this data directory. What it says is appended to `log`.
    pub(super) fn start(forebay: &Path, file: &Path, data: &Path, canary: Duration, log: PathBuf) -> Self {
        let mut command = Command::new(forebay);
        command.arg("deploy").arg(file).args(["--yes", "--canary"]).arg(humantime::format_duration(canary).to_string());
        command.arg("--data").arg(data).stdin(Stdio::null());
        let began = Instant::now();
        Self { began, thread: thread::spawn(move || (run(&mut command, &log), Instant::now())) }
    }

    pub(super) fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits for its end.
    pub(super) fn join(self) -> Deployed {
        let Self { began, thread } = self;
        let panicked = |_| (Outcome::Failed("a bug of the runner: it panicked".to_owned()), Instant::now());
        let (outcome, ended) = thread.join().unwrap_or_else(panicked);
        Deployed { began, ended, outcome }
    }
}

fn run(command: &mut Command, log: &Path) -> Outcome {
    let output = match command.output() {
        Ok(output) => output,
        Err(error) => return Outcome::Failed(error.to_string()),
    };
    let [said, complaint] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned());
    if let Ok(mut log) = std::fs::OpenOptions::new().create(true).append(true).open(log) {
        // For people: a log that cannot be written must not end a run.
        drop(write!(log, "{command:?}: {}\n{said}{complaint}", output.status));
    }
    match output.status.success() {
        true => Outcome::RolledOut,
        false if complaint.contains("was rolled back") => Outcome::RolledBack(complaint.trim().to_owned()),
        false => Outcome::Failed(complaint.trim().to_owned()),
    }
}
