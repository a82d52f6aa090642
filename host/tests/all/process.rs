//! The real binary as a process: started, listened to, and ended by its id.

use std::{
    ffi::OsStr,
    io::{BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    time::{Duration, Instant},
};

use serde_json::Value;

/// No process of a test takes longer for what a test waits for.
const PATIENCE: Duration = Duration::from_secs(60);

/// `forebay` with these arguments and nothing of the person's own settings.
pub(crate) fn forebay<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_forebay"));
    command.args(args).stdin(Stdio::null());
    for (variable, _) in std::env::vars_os() {
        if variable.to_string_lossy().starts_with("FOREBAY_") {
            command.env_remove(variable);
        }
    }
    // Compiled plugins of tests are for tests.
    command.env("XDG_CACHE_HOME", env!("CARGO_TARGET_TMPDIR"));
    command
}

/// How a command ended, and all it said.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Outcome {
    /// Asserts exit code and the beginning of what was said on stderr, and that nothing panicked.
    #[track_caller]
    pub(crate) fn assert_failed(&self, code: i32, stderr: &str) {
        assert_eq!(self.code, Some(code), "{self:#?}");
        assert!(self.stderr.starts_with(stderr), "expected {stderr:?}\nfound {self:#?}");
        assert!(!self.stderr.contains("panicked at host"), "{self:#?}");
    }

    #[track_caller]
    pub(crate) fn assert_done(&self) {
        assert_eq!(self.code, Some(0), "{self:#?}");
    }
}

/// Runs a command to its end.
pub(crate) fn run(command: Command) -> Outcome {
    run_with_input(command, None)
}

pub(crate) fn run_with_input(command: Command, input: Option<&[u8]>) -> Outcome {
    let mut process = Process::start_with(command, input);
    let status = process.wait();
    // On a machine that has much to do even the smallest plugin takes long to compile.
    let progress = ["compiling ", "compiled in ", "the node compiles "];
    let is_progress = |line: &String| progress.iter().any(|text| line.contains(text));
    let rest =
        |lines: &Receiver<String>| lines.iter().filter(|line| !is_progress(line)).map(|line| line + "\n").collect();
    Outcome { code: status.code(), stdout: rest(&process.stdout), stderr: rest(&process.stderr) }
}

/// A running process. Killed when dropped.
pub(crate) struct Process {
    child: Child,
    stdout: Receiver<String>,
    stderr: Receiver<String>,
}

impl Process {
    pub(crate) fn start(command: Command) -> Self {
        Self::start_with(command, None)
    }

    fn start_with(mut command: Command, input: Option<&[u8]>) -> Self {
        if input.is_some() {
            command.stdin(Stdio::piped());
        }
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdout = lines_of(child.stdout.take().unwrap());
        let stderr = lines_of(child.stderr.take().unwrap());
        if let Some(input) = input {
            let (mut stdin, input) = (child.stdin.take().unwrap(), input.to_owned());
            // It may end before it has read all.
            std::thread::spawn(move || drop(stdin.write_all(&input)));
        }
        Self { child, stdout, stderr }
    }

    /// Waits for a line on stdout.
    #[track_caller]
    pub(crate) fn stdout_line(&mut self, is_it: impl Fn(&str) -> bool) -> String {
        wait_for(&self.stdout, is_it)
    }

    /// Waits for a line on stderr.
    #[track_caller]
    pub(crate) fn stderr_line(&mut self, is_it: impl Fn(&str) -> bool) -> String {
        wait_for(&self.stderr, is_it)
    }

    /// Its standard input, if it was asked for and not taken yet.
    pub(crate) fn stdin(&mut self) -> Option<ChildStdin> {
        self.child.stdin.take()
    }

    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for the end.
    #[track_caller]
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "the process does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Ends it as a person or a service manager does, and asserts that it went in good order.
    #[track_caller]
    pub(crate) fn end(mut self, signal: &str) {
        self.signal(signal);
        let status = self.wait();
        assert_eq!(status.code(), Some(0), "after {signal}: {status}\n{:#?}", self.stderr.iter().collect::<Vec<_>>());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn lines_of(pipe: impl Read + Send + 'static) -> Receiver<String> {
    let (told, lines) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).split(b'\n') {
            let Ok(line) = line else { return };
            if told.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                return;
            }
        }
    });
    lines
}

#[track_caller]
fn wait_for(lines: &Receiver<String>, is_it: impl Fn(&str) -> bool) -> String {
    let (deadline, mut seen) = (Instant::now() + PATIENCE, Vec::new());
    loop {
        match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) if is_it(&line) => return line,
            Ok(line) => seen.push(line),
            Err(RecvTimeoutError::Timeout) => panic!("no such line within {PATIENCE:?}:\n{}", seen.join("\n")),
            Err(RecvTimeoutError::Disconnected) => panic!("no such line to the end:\n{}", seen.join("\n")),
        }
    }
}

/// One JSON object a line.
pub(crate) fn json_lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

/// A component that is kept in the repository.
pub(crate) fn prebuilt(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../plugins/prebuilt/{name}.wasm")).canonicalize().unwrap()
}
