//! One `forebay node` process in its namespace: started, listened to, signalled and ended by its id.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufRead, BufReader, Write},
    os::unix::process::{CommandExt, ExitStatusExt},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio},
    sync::mpsc::SyncSender,
    thread,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::net::Space;

/// Something a node process said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) node: usize,
    /// Which start of the node's process it was, from 1.
    pub(crate) start: u32,
    pub(crate) at: Instant,
    pub(crate) what: What,
}

/// What it said.
#[derive(Debug)]
pub(crate) enum What {
    /// A line of its output.
    Line(Value),
    /// Its output has ended, and so has it, or will at once.
    Ended,
}

/// Which start of which node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StartOf {
    pub(crate) node: usize,
    pub(crate) start: u32,
}

/// A running node process. Killed when dropped.
///
/// It is in a process group of its own, so that Ctrl-C is for the runner. When the runner dies
/// without a word its standard input ends, upon which it ends in good order; a stopped one is woken
/// by the kernel, since its process group has become an orphan.
#[derive(Debug)]
pub(crate) struct NodeProcess {
    child: Child,
    /// Held open for as long as the node is to run.
    _stdin: Option<ChildStdin>,
}

impl NodeProcess {
    /// Starts `command` in the namespace, its standard error, and the events that it tells of, appended to a
    /// log.
    pub(crate) fn start(
        mut command: Command,
        space: &Space,
        log: &Path,
        which: StartOf,
        said: SyncSender<Said>,
    ) -> io::Result<Self> {
        let stderr = OpenOptions::new().create(true).append(true).open(log)?;
        let log = stderr.try_clone()?;
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(stderr);
        for (variable, _) in std::env::vars_os() {
            // Settings of the person's own nodes are none of these.
            if variable.to_string_lossy().starts_with("FOREBAY_") && !is_ours(&command, &variable) {
                command.env_remove(variable);
            }
        }
        let mut child = space.enter(|| command.spawn())?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let process = Self { child, _stdin: stdin };
        if let Some(stdout) = stdout {
            thread::Builder::new().name("listen".to_owned()).spawn(move || listen(stdout, &log, which, &said))?;
        }
        Ok(process)
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) -> io::Result<()> {
        Ok(kill_process(Pid::from_child(&self.child), signal)?)
    }

    /// SIGKILL: the process has no time for a word. Gives how it ended.
    pub(crate) fn kill(mut self) -> io::Result<ExitStatus> {
        self.child.kill()?;
        self.child.wait()
    }

    /// How it ended, once it has said its last word.
    pub(crate) fn wait(mut self) -> io::Result<ExitStatus> {
        self.child.wait()
    }

    /// Whether the kernel says that it is stopped.
    pub(crate) fn is_stopped(&self) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.id())).unwrap_or_default();
        state(&stat) == Some('T')
    }
}

impl Drop for NodeProcess {
    fn drop(&mut self) {
        // Both fail only if it was waited for already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Whether this process ended by SIGKILL.
pub(crate) fn was_killed(status: ExitStatus) -> bool {
    status.signal() == Some(Signal::KILL.as_raw())
}

fn is_ours(command: &Command, variable: &std::ffi::OsStr) -> bool {
    command.get_envs().any(|(name, value)| name == variable && value.is_some())
}

fn wall_seconds() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// The state in a line of /proc/PID/stat: after the name, which may hold spaces and brackets.
fn state(stat: &str) -> Option<char> {
    stat.rsplit_once(')')?.1.trim_start().chars().next()
}

fn listen(stdout: ChildStdout, mut log: &File, StartOf { node, start }: StartOf, said: &SyncSender<Said>) {
    for text in BufReader::new(stdout).lines() {
        let Ok(text) = text else { break };
        // What is no JSON is in nobody's interest; a killed process leaves half a line.
        let Ok(line) = serde_json::from_str::<Value>(&text) else { continue };
        if line["kind"] == "event" {
            // A log that cannot be written, as on a full disk, must not end a run.
            drop(writeln!(log, "{:.3} {text}", wall_seconds()));
        }
        if said.send(Said { node, start, at: Instant::now(), what: What::Line(line) }).is_err() {
            return;
        }
    }
    // If it fails nobody is there to be told.
    drop(said.send(Said { node, start, at: Instant::now(), what: What::Ended }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_found_after_whatever_name() {
        assert_eq!(state("42 (forebay) T 1 42 42 0"), Some('T'));
        assert_eq!(state("42 (a) S (b) R 1 42"), Some('R'));
        assert_eq!(state(""), None);
    }
}
