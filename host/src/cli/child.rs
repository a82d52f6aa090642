//! One node process that a command has started, and what it says.

use std::{io, net::SocketAddr, path::Path, process::Stdio};

use forebay_proto::ids::NodeName;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::{self, ChildStdin, Command},
    sync::mpsc,
};

use crate::config::Agreement;

/// A line of a node, as JSON.
pub(super) type Line = serde_json::Value;

/// Something a node process said.
#[derive(Debug)]
pub(super) enum Said {
    /// A line of its output.
    Line(Line),
    /// Its output has ended, and so has it.
    Ended(NodeName),
}

/// A running node process. Killed when dropped; ends by itself when this process dies, since its
/// standard input ends then.
#[derive(Debug)]
pub(super) struct Child {
    pub(super) name: NodeName,
    pub(super) killed: bool,
    pub(super) ended: bool,
    process: process::Child,
    stdin: Option<ChildStdin>,
}

/// What a node is started with.
#[derive(Debug)]
pub(super) struct Start<'a> {
    pub(super) name: &'a NodeName,
    pub(super) data: &'a Path,
    pub(super) pipeline: &'a Path,
    /// Where it keeps compiled plugins, if not with its data.
    pub(super) cache: Option<&'a Path>,
    pub(super) join: &'a [SocketAddr],
    pub(super) agreement: Agreement,
    /// Further arguments.
    pub(super) more: &'a [String],
}

impl Child {
    pub(super) fn start(start: &Start<'_>, said: mpsc::Sender<Said>) -> io::Result<Self> {
        let Start { name, data, pipeline, cache, join, agreement, more } = *start;
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["node", "--orders-on-stdin", "--listen", "127.0.0.1:0", "--output", "json", "--log", "error"]);
        command.args(["--name", name.as_str()]).arg("--data").arg(data).arg("--pipeline").arg(pipeline);
        command.args(more);
        let agreement = match agreement {
            Agreement::Islands => "islands",
            Agreement::Quorum => "quorum",
        };
        command.args(["--agreement", agreement]);
        if let Some(cache) = cache {
            command.arg("--cache").arg(cache);
        }
        for address in join {
            command.arg("--join").arg(address.to_string());
        }
        // Settings of the person's own nodes are none of these; a trace is wanted of all there is.
        for (variable, _) in std::env::vars_os() {
            let name = variable.to_string_lossy();
            if name.starts_with("FOREBAY_") && !name.starts_with("FOREBAY_TRACE") {
                command.env_remove(variable);
            }
        }
        // A process group of its own: Ctrl-C is for the command, which then ends its nodes in order.
        command.process_group(0).kill_on_drop(true);
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let stdin = process.stdin.take();
        let stdout = process.stdout.take().expect("it was asked for");
        tokio::spawn(listen(name.clone(), stdout, said));
        Ok(Self { name: name.clone(), killed: false, ended: false, process, stdin })
    }

    /// Its process, while it runs.
    pub(super) fn pid(&self) -> Option<u32> {
        self.process.id()
    }

    /// SIGKILL: the process has no time for a word.
    pub(super) fn kill(&mut self) {
        // It fails only if the process has ended already.
        let _ = self.process.start_kill();
        self.killed = true;
        self.ended = true;
    }

    /// Has it connect to another node.
    pub(super) async fn join(&mut self, address: SocketAddr) -> io::Result<()> {
        match &mut self.stdin {
            Some(stdin) => stdin.write_all(format!("join {address}\n").as_bytes()).await,
            None => Ok(()),
        }
    }

    /// Has it end in good order.
    pub(super) fn ask_to_end(&mut self) {
        self.stdin = None;
    }
}

async fn listen(name: NodeName, stdout: process::ChildStdout, said: mpsc::Sender<Said>) {
    let mut lines = BufReader::new(stdout).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let Ok(json) = serde_json::from_str(&line) else {
            tracing::error!(%name, line, "a node printed a line that is no JSON");
            continue;
        };
        if said.send(Said::Line(json)).await.is_err() {
            return;
        }
    }
    let _ = said.send(Said::Ended(name)).await;
}
