//! `forebay demo`: the counter pipeline on several real node processes of this machine.
//!
//! Everything shown comes from the nodes: a batch is what the printing guest printed, an event what
//! its node reported. The only things the demo does itself are to start, kill and stop processes.

mod story;

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use forebay_proto::ids::NodeName;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};

use self::story::Story;
use super::{
    Exit, Failure, OutputChoice,
    cache::CacheArgs,
    child::{Child, Said, Start},
    node::Signals,
    output,
};
use crate::{config::Agreement, transport::identity::ClusterCa};

/// The components of the demo, so that it runs from wherever the binary is.
const COUNTER: &[u8] = include_bytes!("../../../../plugins/prebuilt/counter.wasm");
const PRINTER: &[u8] = include_bytes!("../../../../plugins/prebuilt/printer.wasm");

/// How long a node may take to listen: compiling two small components takes a tenth of a second on an
/// idle machine.
const START_WAIT: Duration = Duration::from_secs(30);

/// How long nodes may take to end in good order; longer than their own drain time.
const STOP_WAIT: Duration = Duration::from_secs(10);

/// Lines of all nodes that were not shown yet. When full, nodes wait for the screen.
const SAID_LEN: usize = 1024;

/// See it work: a counter and its printers on several real nodes of this machine.
///
/// Starts node processes on loopback with throw-away keys and data. Each has a printer; one of them
/// owns the counter. Each number goes to exactly one printer. With --kill-producer-after the owner's
/// process is killed, and the counter moves to another node, where it starts over: checkpoints are to
/// come. With --agreement islands the nodes are alone first, each with its own counter, and then meet.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    /// How many nodes, 1 to 16
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=16))]
    nodes: u8,
    /// How long to run, once all nodes have started (and were alone)
    #[arg(long = "for", value_name = "DURATION", default_value = "20s", value_parser = humantime::parse_duration)]
    duration: Duration,
    /// Kill the process of the counter's owner after so long
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    kill_producer_after: Option<Duration>,
    /// How nodes agree on the owner: `quorum`, or `islands`, which are alone first and then meet
    #[arg(long, value_name = "MODE", value_parser = parse_agreement, default_value = "quorum")]
    agreement: Agreement,
    /// How long the nodes are alone before they meet [default: 0s; 3s with --agreement islands]
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    alone: Option<Duration>,
    /// How long a printer pauses after each batch
    #[arg(long, value_name = "DURATION", default_value = "200ms", value_parser = humantime::parse_duration)]
    pause: Duration,
    #[command(flatten)]
    cache: CacheArgs,
    #[command(flatten)]
    output: super::OutputArgs,
}

fn parse_agreement(text: &str) -> Result<Agreement, String> {
    match text {
        "islands" => Ok(Agreement::Islands),
        "quorum" => Ok(Agreement::Quorum),
        _ => Err("expected `quorum` or `islands`".to_owned()),
    }
}

impl Args {
    fn check(&self) -> Result<(), Failure> {
        let usage = |text: &str| Err(Failure::new(Exit::Usage, text));
        match self.kill_producer_after {
            Some(after) if after >= self.duration => usage("--kill-producer-after must be shorter than --for"),
            Some(_) if self.agreement == Agreement::Quorum && self.nodes < 3 => usage(
                "--kill-producer-after needs --nodes 3 or more with quorum: of two nodes one votes, and if it is killed nothing goes on",
            ),
            _ if self.agreement == Agreement::Quorum && self.alone.is_some_and(|alone| !alone.is_zero()) => usage(
                "--alone is for --agreement islands: nodes that begin alone and agree by quorum are groups of their own, for good",
            ),
            Some(_) if self.nodes < 2 => usage("--kill-producer-after needs --nodes 2 or more: somebody must be left"),
            _ => Ok(()),
        }
    }

    fn alone(&self) -> Duration {
        let default = match self.agreement {
            Agreement::Islands => Duration::from_secs(3),
            Agreement::Quorum => Duration::ZERO,
        };
        self.alone.unwrap_or(default)
    }
}

pub(super) async fn demo(args: Args) -> Result<Exit, Failure> {
    args.check()?;
    output::start_log("warn");
    let failed = |error: io::Error| Failure::new(Exit::CannotCreate, "cannot set up the demo's files").because(error);
    let dir = tempfile::Builder::new().prefix("forebay-demo-").tempdir().map_err(failed)?;
    let pipeline = write_pipeline(dir.path(), args.pause).map_err(failed)?;
    // Nodes that cannot use it end: so it is tried here.
    let cache = args.cache.clone().wasm()?.folder().map(Path::to_owned);
    let ca = ClusterCa::generate()?;
    let (saying, said) = mpsc::channel(SAID_LEN);
    let json = matches!(args.output.output, OutputChoice::Json);
    let mut demo = Demo {
        args,
        dir: dir.path().to_owned(),
        pipeline,
        cache,
        said,
        children: Vec::new(),
        story: Story::new(json),
        signals: Signals::new(),
    };
    demo.start_all(&ca, &saying).await?;
    drop(saying);
    demo.play().await?;
    demo.stop_all().await;
    demo.story.sum_up();
    Ok(Exit::Done)
}

fn write_pipeline(dir: &Path, pause: Duration) -> io::Result<PathBuf> {
    std::fs::write(dir.join("counter.wasm"), COUNTER)?;
    std::fs::write(dir.join("printer.wasm"), PRINTER)?;
    let pause = humantime::format_duration(pause);
    let text = format!(
        "name = \"counter\"\n\
         [stages.counter]\n\
         plugin = \"counter.wasm\"\n\
         scope = \"global\"\n\
         config = {{ start = 1000 }}\n\
         [stages.printer]\n\
         plugin = \"printer.wasm\"\n\
         scope = \"node\"\n\
         config = {{ pause = \"{pause}\" }}\n\
         subscribe = [{{ to = \"counter\", max_demand = 5, min_demand = 0 }}]\n"
    );
    let path = dir.join("pipeline.toml");
    std::fs::write(&path, text)?;
    Ok(path)
}

struct Demo {
    args: Args,
    dir: PathBuf,
    pipeline: PathBuf,
    /// Where nodes keep compiled plugins.
    cache: Option<PathBuf>,
    said: mpsc::Receiver<Said>,
    children: Vec<Child>,
    story: Story,
    signals: Signals,
}

impl Demo {
    /// One node after the other. Each joins those before it, at once or when all were alone for a while.
    async fn start_all(&mut self, ca: &ClusterCa, saying: &mpsc::Sender<Said>) -> Result<(), Failure> {
        let alone = self.args.alone();
        let mut addresses: Vec<SocketAddr> = Vec::new();
        for index in 0..self.args.nodes {
            let name: NodeName = char::from(b'a' + index).to_string().parse().expect("a letter is a name");
            let data = self.dir.join(name.as_str());
            ca.issue(&name, Duration::from_secs(24 * 3600))?.save(&data)?;
            let join: &[SocketAddr] = if alone.is_zero() { &addresses } else { &[] };
            let start = Start {
                name: &name,
                data: &data,
                pipeline: &self.pipeline,
                cache: self.cache.as_deref(),
                join,
                agreement: self.args.agreement,
                more: &[],
            };
            let child = Child::start(&start, saying.clone());
            let failed = |error| Failure::new(Exit::Unavailable, format!("cannot start node {name}")).because(error);
            self.children.push(child.map_err(failed)?);
            addresses.push(self.listening(&name).await?);
        }
        if !alone.is_zero() {
            self.show_until(Instant::now() + alone).await?;
            self.introduce(&addresses).await?;
        }
        Ok(())
    }

    /// Has every node connect to the one before it; they tell each other of the rest.
    async fn introduce(&mut self, addresses: &[SocketAddr]) -> Result<(), Failure> {
        for (child, address) in self.children.iter_mut().skip(1).zip(addresses) {
            let failed = |error| Failure::new(Exit::Software, "a node takes no orders").because(error);
            child.join(*address).await.map_err(failed)?;
        }
        Ok(())
    }

    /// Waits until a node says where it listens.
    async fn listening(&mut self, name: &NodeName) -> Result<SocketAddr, Failure> {
        let deadline = Instant::now() + START_WAIT;
        loop {
            let said = tokio::select! {
                said = self.said.recv() => said,
                () = sleep_until(deadline) => {
                    return Err(Failure::new(Exit::Software, format!("node {name} did not start within {START_WAIT:?}")));
                }
            };
            match said {
                Some(Said::Line(line)) if line["what"] == "listening" && line["node"] == name.as_str() => {
                    let address = line["address"].as_str().and_then(|text| text.parse().ok());
                    let failure = || Failure::new(Exit::Software, format!("node {name} told no address: {line}"));
                    return address.ok_or_else(failure);
                }
                Some(Said::Line(line)) => self.story.hear(&line),
                Some(Said::Ended(ended)) if ended == *name => {
                    return Err(Failure::new(Exit::Software, format!("node {name} ended at its start; see above")));
                }
                Some(Said::Ended(_)) => {}
                None => return Err(Failure::new(Exit::Software, "all nodes have ended")),
            }
        }
    }

    /// The main act: until the time is over, or the person ends it.
    async fn play(&mut self) -> Result<(), Failure> {
        let start = Instant::now();
        let end = start + self.args.duration;
        if let Some(at) = self.args.kill_producer_after.map(|after| start + after).filter(|at| *at < end) {
            if self.show_until(at).await? == Shown::Ended {
                return Ok(());
            }
            self.kill_owner();
        }
        self.show_until(end).await.map(drop)
    }

    /// Shows what the nodes say until `end`.
    async fn show_until(&mut self, end: Instant) -> Result<Shown, Failure> {
        loop {
            tokio::select! {
                said = self.said.recv() => match said {
                    Some(Said::Line(line)) => self.story.hear(&line),
                    Some(Said::Ended(name)) => self.on_ended(&name)?,
                    None => return Ok(Shown::Ended),
                },
                () = sleep_until(end) => return Ok(Shown::All),
                () = self.signals.next() => return Ok(Shown::Ended),
                () = output::reader_gone() => return Ok(Shown::Ended),
            }
        }
    }

    fn on_ended(&mut self, name: &NodeName) -> Result<(), Failure> {
        let killed = self.children.iter().any(|child| child.name == *name && child.killed);
        if killed {
            return Ok(());
        }
        Err(Failure::new(Exit::Software, format!("node {name} has ended by itself; see above")))
    }

    fn kill_owner(&mut self) {
        let owner = self.story.owner().map(str::to_owned);
        let child = self.children.iter_mut().find(|child| Some(child.name.as_str()) == owner.as_deref());
        if let Some(child) = child {
            child.kill();
            self.story.killed(child.name.as_str());
        }
    }

    /// Ends the nodes so that no number is lost: the owner last, while its own printer still takes
    /// what the others give back.
    async fn stop_all(&mut self) {
        self.story.close();
        let owner = self.story.owner().map(str::to_owned);
        let is_owner = |child: &Child| Some(child.name.as_str()) == owner.as_deref();
        let others: Vec<_> = self.children.iter().filter(|child| !is_owner(child)).map(|c| c.name.clone()).collect();
        let owners: Vec<_> = self.children.iter().filter(|child| is_owner(child)).map(|c| c.name.clone()).collect();
        self.stop(&others).await;
        self.stop(&owners).await;
    }

    async fn stop(&mut self, names: &[NodeName]) {
        for child in self.children.iter_mut().filter(|child| names.contains(&child.name)) {
            child.ask_to_end();
        }
        let deadline = Instant::now() + STOP_WAIT;
        while self.children.iter().any(|child| names.contains(&child.name) && !child.ended) {
            let said = tokio::select! {
                said = self.said.recv() => said,
                () = sleep_until(deadline) => return,
            };
            match said {
                Some(Said::Line(line)) => self.story.hear(&line),
                Some(Said::Ended(name)) => {
                    self.children.iter_mut().filter(|child| child.name == name).for_each(|child| child.ended = true);
                }
                None => return,
            }
        }
    }
}

/// Whether an act was shown to its end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Shown {
    All,
    /// The person, or the end of all nodes, cut it short.
    Ended,
}
