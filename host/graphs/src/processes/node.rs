//! One node's process: started, listened to, given orders, and ended.

use std::{
    fs::OpenOptions,
    io::{BufRead, BufReader, Write},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::Error;

/// How long a node may take to listen: compiling a small component takes a tenth of a second on an idle machine.
const START_WAIT: Duration = Duration::from_secs(60);

/// How long it may take to end in good order; `drain_timeout` is 5 s.
const END_WAIT: Duration = Duration::from_secs(30);

/// How often its end is looked for.
const LOOK: Duration = Duration::from_millis(10);

/// `forebay` with nothing of the person's own settings.
pub(super) fn forebay(binary: &Path) -> Command {
    let mut command = Command::new(binary);
    for (variable, _) in std::env::vars_os() {
        if variable.to_string_lossy().starts_with("FOREBAY_") {
            command.env_remove(variable);
        }
    }
    command
}

/// A running node. Killed when dropped; ends by itself if we die, since its standard input ends then.
#[derive(Debug)]
pub(super) struct Node {
    name: String,
    child: Child,
    /// Taken when it is to end.
    stdin: Option<ChildStdin>,
    /// Where it listens, once it says so; closed when it ends.
    said: Receiver<String>,
    log: PathBuf,
}

impl Node {
    /// Starts what `command` says, its standard error appended to a log.
    pub(super) fn start(name: &str, mut command: Command, log: &Path) -> Result<Self, Error> {
        let failed = |source| Error::Process { what: format!("node {name}"), source };
        let stderr = OpenOptions::new().create(true).append(true).open(log).map_err(failed)?;
        // A process group of its own: Ctrl-C is for us.
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(stderr);
        let mut child = command.spawn().map_err(failed)?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let (told, said) = channel();
        if let Some(stdout) = stdout {
            thread::spawn(move || listen(stdout, |address| drop(told.send(address))));
        }
        Ok(Self { name: name.to_owned(), child, stdin, said, log: log.to_owned() })
    }

    /// Waits until it says where it listens.
    pub(super) fn address(&self) -> Result<String, Error> {
        self.said.recv_timeout(START_WAIT).map_err(|error| match error {
            RecvTimeoutError::Timeout => {
                Error::Late { what: format!("the start of node {}", self.name), within: START_WAIT }
            }
            RecvTimeoutError::Disconnected => self.ended(),
        })
    }

    /// Has it connect to another.
    pub(super) fn join(&mut self, address: &str) -> Result<(), Error> {
        let failed = |source| Error::Process { what: format!("node {}", self.name), source };
        self.stdin.as_mut().map_or(Ok(()), |stdin| writeln!(stdin, "join {address}")).map_err(failed)
    }

    /// Whether it still runs.
    ///
    /// # Errors
    /// It has ended by itself.
    pub(super) fn look(&mut self) -> Result<(), Error> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            _ => Err(self.ended()),
        }
    }

    fn ended(&self) -> Error {
        Error::Ended { node: self.name.clone(), log: self.log.clone() }
    }

    /// Has it end in good order.
    pub(super) fn ask_to_end(&mut self) {
        self.stdin = None;
    }

    /// Waits for that.
    pub(super) fn end(mut self) -> Result<ExitStatus, Error> {
        let deadline = Instant::now() + END_WAIT;
        loop {
            let waited = self.child.try_wait();
            match waited.map_err(|source| Error::Process { what: format!("node {}", self.name), source })? {
                Some(status) => return Ok(status),
                None if Instant::now() < deadline => thread::sleep(LOOK),
                None => return Err(Error::Late { what: format!("the end of node {}", self.name), within: END_WAIT }),
            }
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Reads all that a node prints, so that it never waits for us, and tells where it listens.
fn listen(stdout: ChildStdout, told: impl Fn(String)) {
    for line in BufReader::new(stdout).lines() {
        let Ok(line) = line else { return };
        if line.contains("\"listening\"")
            && let Ok(said) = serde_json::from_str::<Value>(&line)
            && let Some(address) = said["address"].as_str()
        {
            told(address.to_owned());
        }
    }
}
