//! The files of one cluster: keys, the pipeline, data directories, traces and logs.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::{
    ClusterError, Setup,
    watch::{NUMBERS, SINK, SOURCE, inlet},
};

/// The components of the pipeline, so that it runs from wherever the binary is.
const COUNTER: &[u8] = include_bytes!("../../../../plugins/prebuilt/counter.wasm");
const DOUBLE: &[u8] = include_bytes!("../../../../plugins/prebuilt/double.wasm");
const PRINTER: &[u8] = include_bytes!("../../../../plugins/prebuilt/printer.wasm");

/// Lines of a node's log that are shown when it ended by itself.
const LAST_WORDS: usize = 10;

/// The directory of one cluster.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    dir: PathBuf,
    small_disks: bool,
}

/// Where a node's disk is mounted, if it has one of its own.
pub(super) fn disk(dir: &Path, node: &str) -> PathBuf {
    dir.join(format!("disk-{node}"))
}

impl Files {
    /// Makes keys for these nodes with `forebay cluster`, and a pipeline of a counter or an inbox, and a printer on
    /// every node that pauses after each batch.
    pub(crate) fn create(dir: &Path, setup: &Setup, names: &[String]) -> Result<Self, ClusterError> {
        let files = Self { dir: dir.to_owned(), small_disks: setup.small_disks };
        let failed = |source| ClusterError::Files { dir: dir.to_owned(), source };
        fs::create_dir_all(files.traces()).map_err(failed)?;
        files.write_pipeline(setup).map_err(failed)?;
        let ca = dir.join("ca");
        run(Command::new(&setup.forebay).args(["cluster", "init"]).arg(&ca))?;
        for name in names {
            let mut command = Command::new(&setup.forebay);
            command.args(["cluster", "add-node", name, "--valid-for", "7d", "--ca"]).arg(&ca);
            run(command.arg("--out").arg(files.data(name)))?;
        }
        Ok(files)
    }

    fn write_pipeline(&self, setup: &Setup) -> io::Result<()> {
        fs::write(self.dir.join("double.wasm"), DOUBLE)?;
        fs::write(self.dir.join("counter.wasm"), COUNTER)?;
        fs::write(self.dir.join("printer.wasm"), PRINTER)?;
        fs::write(self.pipeline(), pipeline(setup))
    }

    pub(crate) fn pipeline(&self) -> PathBuf {
        self.dir.join("pipeline.toml")
    }

    pub(crate) fn data(&self, node: &str) -> PathBuf {
        match self.small_disks {
            true => disk(&self.dir, node).join(node),
            false => self.dir.join(node),
        }
    }

    /// What a node logged, of all its starts.
    pub(crate) fn log(&self, node: &str) -> PathBuf {
        self.dir.join(format!("{node}.log"))
    }

    /// The end of what a node logged.
    pub(crate) fn last_words(&self, node: &str) -> String {
        let log = fs::read(self.log(node)).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(LAST_WORDS)..].join("\n")
    }

    /// Where all traces of the cluster are.
    pub(crate) fn traces(&self) -> PathBuf {
        self.dir.join("trace")
    }

    /// The trace of one start of a node.
    pub(crate) fn trace(&self, node: &str, start: u32) -> PathBuf {
        self.traces().join(format!("{node}-{start:04}.jsonl"))
    }
}

/// Of a counter small batches, each asked for when the one before is printed: the nodes mostly idle. Of what clients
/// push as much as the printers can take.
///
/// In a chain the numbers go through a stage that doubles them, which is what the printers consume from then.
fn pipeline(setup: &Setup) -> String {
    let pause = humantime::format_duration(setup.pause);
    let first = inlet(setup.chain);
    let plugin = if setup.ingest { "builtin:inbox" } else { "counter.wasm" };
    let (between, sink) = if setup.ingest { (1_000, "500") } else { (200, "5, min_demand = 0") };
    let double = match setup.chain {
        false => String::new(),
        true => format!(
            "[stages.{SOURCE}]\nplugin = \"double.wasm\"\nscope = \"global\"\n\
             subscribe = [{{ to = \"{NUMBERS}\", max_demand = {between}, min_demand = {} }}]\n",
            between / 2
        ),
    };
    format!(
        "name = \"faults\"\n\
         [stages.{first}]\n\
         plugin = \"{plugin}\"\n\
         scope = \"global\"\n\
         {double}\
         [stages.{SINK}]\n\
         plugin = \"printer.wasm\"\n\
         scope = \"node\"\n\
         config = {{ pause = \"{pause}\" }}\n\
         subscribe = [{{ to = \"{SOURCE}\", max_demand = {sink} }}]\n"
    )
}

/// Runs a command that ends by itself.
fn run(command: &mut Command) -> Result<(), ClusterError> {
    let ended = command.stdin(Stdio::null()).output();
    let text = match ended {
        Ok(output) if output.status.success() => return Ok(()),
        Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        Err(error) => error.to_string(),
    };
    Err(ClusterError::Command { command: format!("{command:?}"), text })
}
