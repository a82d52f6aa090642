//! One graph on three nodes, from keys to verdict.

use std::{
    fs::{self, File},
    io::{self, BufReader, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use forebay_check::{Checker, Options as Laws};
use forebay_client::{Client, Event};

use super::{
    Error,
    node::{Node, forebay},
};
use crate::{
    event::{key_of, topic_of},
    graph::{Graph, NODES, Options, PIPELINE, Place, Role, Stage},
    pipeline::Plugin,
    tally::Tally,
};

/// The component of relays, so that a graph runs from wherever the binary is.
const DOUBLE: &[u8] = include_bytes!("../../../../plugins/prebuilt/double.wasm");

/// How long all may take to subscribe: a start takes some seconds on a machine that does little else.
const JOIN_WAIT: Duration = Duration::from_secs(90);

/// For so long nothing more may come before what is missing counts as missing.
const QUIET: Duration = Duration::from_secs(15);

/// For so long all is as it should be before it counts as over: what comes twice comes at once.
const OVER: Duration = Duration::from_millis(500);

/// How often traces are read.
const LOOK: Duration = Duration::from_millis(100);

/// How long a source may be without an owner.
const OWNER_WAIT: Duration = Duration::from_secs(60);

/// How and where.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The binary.
    pub forebay: PathBuf,
    /// For keys, data, logs and traces.
    pub dir: PathBuf,
    /// Compiled plugins, which all runs may share; `None`: below `dir`.
    pub cache: Option<PathBuf>,
}

/// What came of a run.
#[derive(Debug)]
pub struct Report {
    /// What ran.
    pub graph: Graph,
    /// Events that were handled, of all stages.
    pub handled: u64,
    /// Events that came to sinks.
    pub arrived: u64,
    /// What was not as it must be, in words.
    pub violations: Vec<String>,
    /// From the first process to the end of the last.
    pub took: Duration,
}

/// Runs the graph of a seed.
///
/// # Errors
/// [`Error`]: the nodes did not get so far that they could be judged.
pub fn run(setup: &Setup, seed: u64) -> Result<Report, Error> {
    let began = Instant::now();
    let graph = Graph::draw(seed, Options::ALL);
    fs::create_dir_all(&setup.dir).map_err(|source| failed("make", &setup.dir, source))?;
    let files = Files::create(setup, &graph)?;
    let mut cluster = Cluster::start(setup, &files, &graph)?;
    if !graph.is_early {
        cluster.wait_for_all_to_join()?;
    }
    cluster.push(&files)?;
    cluster.wait_for_the_end()?;
    let mut violations = cluster.end(&files)?;
    let (tally, broken) = check(&files, &graph)?;
    violations.extend(Graph::unlike(&tally).into_iter().chain(broken));
    let (handled, arrived) = (tally.count(), tally.arrived());
    Ok(Report { graph, handled, arrived, violations, took: began.elapsed() })
}

fn failed(what: &'static str, path: &Path, source: io::Error) -> Error {
    Error::File { what, path: path.to_owned(), source }
}

/// The files of a run.
struct Files {
    dir: PathBuf,
    cache: PathBuf,
}

impl Files {
    fn create(setup: &Setup, graph: &Graph) -> Result<Self, Error> {
        let dir = setup.dir.clone();
        let cache = setup.cache.clone().unwrap_or_else(|| dir.join("cache"));
        let files = Self { dir, cache };
        let write =
            |path: PathBuf, bytes: &[u8]| fs::write(&path, bytes).map_err(|source| failed("write", &path, source));
        fs::create_dir_all(files.traces()).map_err(|source| failed("make", &files.traces(), source))?;
        write(files.dir.join("double.wasm"), DOUBLE)?;
        write(files.pipeline(), graph.pipeline(plugin).as_bytes())?;
        let ca = files.dir.join("ca");
        make(forebay(&setup.forebay).args(["cluster", "init"]).arg(&ca))?;
        for node in 0..NODES {
            let mut command = forebay(&setup.forebay);
            command.args(["cluster", "add-node", name(node), "--valid-for", "7d", "--ca"]).arg(&ca);
            make(command.arg("--out").arg(files.data(node)))?;
        }
        Ok(files)
    }

    fn pipeline(&self) -> PathBuf {
        self.dir.join("pipeline.toml")
    }

    fn data(&self, node: usize) -> PathBuf {
        self.dir.join(name(node))
    }

    fn log(&self, node: usize) -> PathBuf {
        self.dir.join(format!("{}.log", name(node)))
    }

    fn traces(&self) -> PathBuf {
        self.dir.join("trace")
    }

    fn trace(&self, node: usize) -> PathBuf {
        self.traces().join(format!("{}.jsonl", name(node)))
    }
}

fn name(node: usize) -> &'static str {
    ["a", "b", "c"][node]
}

fn names() -> impl Iterator<Item = String> {
    (0..NODES).map(|node| name(node).to_owned())
}

/// The code of a stage.
fn plugin(stage: &Stage) -> Plugin {
    let (plugin, settings) = match stage.role {
        Role::Source => ("builtin:inbox", String::new()),
        Role::Relay => ("double.wasm", format!("config = {{ copies = {} }}\n", stage.copies)),
        Role::Sink => ("builtin:print", String::new()),
    };
    Plugin { plugin: plugin.to_owned(), settings }
}

/// Runs a command that ends by itself.
fn make(command: &mut Command) -> Result<(), Error> {
    let what = format!("{command:?}");
    match command.stdin(Stdio::null()).output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(Error::Command { what, text: String::from_utf8_lossy(&output.stderr).trim().to_owned() }),
        Err(source) => Err(Error::Process { what, source }),
    }
}

/// What was read of a node's trace.
struct Tail {
    path: PathBuf,
    /// The end of a line.
    read_to: u64,
}

/// The running nodes, and what they have handled so far.
struct Cluster {
    nodes: Vec<Node>,
    tails: Vec<Tail>,
    tally: Tally,
}

impl Cluster {
    fn start(setup: &Setup, files: &Files, graph: &Graph) -> Result<Self, Error> {
        let mut nodes = Vec::new();
        for node in 0..NODES {
            nodes.push(Node::start(name(node), command(setup, files, node), &files.log(node))?);
        }
        let addresses = nodes.iter().map(Node::address).collect::<Result<Vec<_>, _>>()?;
        for (at, node) in nodes.iter_mut().enumerate() {
            for (_, address) in addresses.iter().enumerate().filter(|(other, _)| *other != at) {
                node.join(address)?;
            }
        }
        let tails = (0..NODES).map(|node| Tail { path: files.trace(node), read_to: 0 }).collect();
        Ok(Self { nodes, tails, tally: Tally::new(graph, names()) })
    }

    /// Reads what was added to the traces.
    fn look(&mut self) -> Result<(), Error> {
        self.nodes.iter_mut().try_for_each(Node::look)?;
        self.read()
    }

    fn read(&mut self) -> Result<(), Error> {
        for tail in &mut self.tails {
            let text = tail.read_on().map_err(|source| failed("read", &tail.path, source))?;
            // A line that is no record is for the checker to judge.
            forebay_trace::read(&text[..]).filter_map(Result::ok).for_each(|record| self.tally.see(&record));
        }
        Ok(())
    }

    fn wait_for_all_to_join(&mut self) -> Result<(), Error> {
        let deadline = Instant::now() + JOIN_WAIT;
        loop {
            self.look()?;
            let unjoined = self.tally.unjoined();
            let Some(first) = unjoined.first() else { return Ok(()) };
            if Instant::now() > deadline {
                let what = format!("{} subscriptions, as of {first},", unjoined.len());
                return Err(Error::Late { what, within: JOIN_WAIT });
            }
            thread::sleep(LOOK);
        }
    }

    /// Gives every source its events.
    fn push(&self, files: &Files) -> Result<(), Error> {
        for (at, source) in self.tally.graph().sources() {
            let stage = format!("{PIPELINE}/{}", source.name);
            let event = |number: u64| Event::text(number.to_string()).topic(topic_of(number)).key(key_of(number));
            let events: Vec<_> = source.emits.clone().map(event).collect();
            let push = |mut client: Client| client.ingest(&stage, &events);
            let pushed = Client::connect(files.data(at % NODES)).map(|client| client.wait_for_room(OWNER_WAIT));
            pushed.and_then(push).map_err(|source| Error::Push { stage: stage.clone(), source })?;
        }
        Ok(())
    }

    /// Until all was handled as it must be, and a little longer; or until nothing more comes.
    fn wait_for_the_end(&mut self) -> Result<(), Error> {
        let (mut count, mut since) = (self.tally.count(), Instant::now());
        loop {
            self.look()?;
            if self.tally.count() > count {
                (count, since) = (self.tally.count(), Instant::now());
            }
            let is_over = since.elapsed() > OVER && Graph::unlike(&self.tally).is_empty();
            if is_over || since.elapsed() > QUIET {
                return Ok(());
            }
            thread::sleep(LOOK);
        }
    }

    /// Ends all nodes in good order; what was not in order, in words.
    fn end(mut self, files: &Files) -> Result<Vec<String>, Error> {
        self.nodes.iter_mut().for_each(Node::ask_to_end);
        let mut violations = Vec::new();
        for (node, process) in self.nodes.drain(..).enumerate() {
            let status = process.end()?;
            let log = fs::read_to_string(files.log(node)).map_err(|source| failed("read", &files.log(node), source))?;
            violations.extend((!status.success()).then(|| format!("node {} ended with {status}", name(node))));
            let is_bad = |line: &&str| line.contains("panicked at host") || line.contains("did not hand out all");
            violations.extend(log.lines().filter(is_bad).map(|line| format!("node {}: {line}", name(node))));
        }
        Ok(violations)
    }
}

fn command(setup: &Setup, files: &Files, node: usize) -> Command {
    let mut command = forebay(&setup.forebay);
    command.args(["node", "--orders-on-stdin", "--listen", "127.0.0.1:0", "--output", "json", "--log", "warn"]);
    command.args(["--name", name(node), "--expect", &NODES.to_string()]);
    command
        .arg("--data")
        .arg(files.data(node))
        .arg("--pipeline")
        .arg(files.pipeline())
        .arg("--cache")
        .arg(&files.cache);
    for label in Place::labels(node) {
        command.args(["--labels", label]);
    }
    command.env("FOREBAY_TRACE_SERIALS", "1").env("FOREBAY_TRACE", files.trace(node));
    command
}

impl Tail {
    /// The lines that were added since the last call. A file that is not there has none.
    fn read_on(&mut self) -> io::Result<Vec<u8>> {
        let file = match File::open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            opened => opened?,
        };
        let mut file = BufReader::new(file);
        file.seek(SeekFrom::Start(self.read_to))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        // The last line may be on its way.
        bytes.truncate(bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1));
        self.read_to += bytes.len() as u64;
        Ok(bytes)
    }
}

/// What was handled, to the end of all nodes; and which promises were broken that any run is held to.
fn check(files: &Files, graph: &Graph) -> Result<(Tally, Vec<String>), Error> {
    let mut checker = Checker::new(Laws { dispatching: graph.dispatching(), ..Laws::default() });
    let mut tally = Tally::new(graph, names());
    // All processes are on this machine and share its clock.
    for record in forebay_check::files(&[files.traces()], Duration::ZERO)? {
        let record = record?;
        tally.see(&record);
        checker.see(record);
    }
    let report = checker.finish();
    let broken = report.violations.iter().map(|violation| format!("{}: {}", violation.law, violation.what));
    let incomplete = report.missing.iter().map(|missing| format!("the traces say too little: {missing}"));
    Ok((tally, broken.chain(incomplete).collect()))
}
