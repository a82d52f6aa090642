//! Real nodes that do the work, and what they say of it.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use forebay_proto::ids::NodeName;
use serde::Deserialize;
use tokio::{
    sync::mpsc,
    task,
    time::{Instant, sleep, timeout},
};

use super::{
    figures::{Ages, Sample, Taken},
    vitals::Used,
    work::{Way, Work},
};
use crate::{
    cli::{
        Exit, Failure,
        child::{Child, Said, Start},
        operate::Client,
    },
    config::Agreement,
    node::admin::{
        Call, Called,
        wire::{Answer, Request},
    },
};

/// The components of the bench, so that it runs from wherever the binary is.
const COMPONENTS: [(&str, &[u8]); 3] = [
    ("bench-source", include_bytes!("../../../../plugins/prebuilt/bench-source.wasm")),
    ("bench-sink", include_bytes!("../../../../plugins/prebuilt/bench-sink.wasm")),
    ("double", include_bytes!("../../../../plugins/prebuilt/double.wasm")),
];

/// How long nodes may take to start, and events to reach every consumer. Compiling takes most of it.
const START_WAIT: Duration = Duration::from_secs(60);

/// How long events flow before anything is measured: windows fill, allocators and caches settle.
pub(super) const WARM_UP: Duration = Duration::from_millis(700);

/// How often it is looked whether events have reached every consumer.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// What nodes said and nobody read. When full, they wait; they say little.
const SAID_LEN: usize = 1024;

/// Writes the components into `dir`, where pipeline files find them.
pub(super) fn write_components(dir: &Path) -> io::Result<()> {
    COMPONENTS.iter().try_for_each(|(name, bytes)| std::fs::write(dir.join(format!("{name}.wasm")), bytes))
}

/// Nodes with a running pipeline. They end when this is dropped.
pub(super) struct Nodes {
    children: Vec<Child>,
    /// Data directories of those with consumers.
    sinks: Vec<PathBuf>,
    consumers: usize,
    measures_ages: bool,
}

/// Where nodes find what they need.
pub(super) struct Site<'a> {
    /// Keys of every node, by its name, and the components.
    pub(super) dir: &'a Path,
    pub(super) cache: Option<&'a Path>,
}

impl Nodes {
    /// Starts the nodes of `work` and waits until every consumer has got events.
    pub(super) async fn start(site: &Site<'_>, work: &Work, way: Way) -> Result<Self, Failure> {
        let run = tempfile::Builder::new().prefix("run-").tempdir_in(site.dir);
        let run = run.map_err(|error| Failure::new(Exit::CannotCreate, "cannot make a directory").because(error))?;
        let pipeline = site.dir.join("pipeline.toml");
        let failed = |error| Failure::new(Exit::CannotCreate, "cannot set up the bench's files").because(error);
        std::fs::write(&pipeline, work.pipeline(way)).map_err(failed)?;
        let (saying, mut said) = mpsc::channel(SAID_LEN);
        let consumers = work.topology.sinks() * usize::from(work.consumers);
        let mut nodes = Self { children: Vec::new(), sinks: Vec::new(), consumers, measures_ages: work.rate.is_some() };
        let mut addresses = Vec::new();
        // Data of an earlier run would be another group's.
        let run = run.keep();
        for (name, labels) in work.topology.places() {
            let data = run.join(name);
            copy_keys(&site.dir.join(name), &data).map_err(failed)?;
            let name: NodeName = name.parse().expect("a letter is a name");
            let mut more: Vec<String> =
                labels.iter().flat_map(|label| ["--labels".to_owned(), (*label).to_owned()]).collect();
            more.extend(["--mtu".to_owned(), work.mtu.to_string(), "--threads".to_owned(), work.threads.to_string()]);
            let start = Start {
                name: &name,
                data: &data,
                pipeline: &pipeline,
                cache: site.cache,
                join: &addresses,
                agreement: Agreement::Quorum,
                more: &more,
            };
            let failed = |error| Failure::new(Exit::Unavailable, format!("cannot start node {name}")).because(error);
            nodes.children.push(Child::start(&start, saying.clone()).map_err(failed)?);
            addresses.push(listening(&name, &mut said).await?);
            if labels.contains(&"sink") {
                nodes.sinks.push(data);
            }
        }
        // Nodes wait for whom they tell.
        tokio::spawn(async move { while said.recv().await.is_some() {} });
        nodes.until_all_are_reached().await?;
        sleep(WARM_UP).await;
        Ok(nodes)
    }

    async fn until_all_are_reached(&self) -> Result<(), Failure> {
        let deadline = Instant::now() + START_WAIT;
        loop {
            let handled = self.handled().await?;
            if handled.len() == self.consumers && handled.iter().all(|count| *count > 0) {
                return Ok(());
            }
            if Instant::now() >= deadline {
                let (reached, all) = (handled.iter().filter(|count| **count > 0).count(), self.consumers);
                let text = format!("events reached {reached} of {all} consumers within {START_WAIT:?}");
                return Err(Failure::new(Exit::Software, text));
            }
            sleep(LOOK_AGAIN).await;
        }
    }

    /// Measures for a while.
    pub(super) async fn measure(&self, duration: Duration) -> Result<Taken, Failure> {
        if self.measures_ages {
            // Those of the start are none of it.
            self.ages().await?;
        }
        let before = self.sample().await?;
        sleep(duration).await;
        let after = self.sample().await?;
        let ages = if self.measures_ages { self.ages().await? } else { Ages::default() };
        Ok(Taken { before, after, ages })
    }

    pub(super) async fn sample(&self) -> Result<Sample, Failure> {
        let events = self.handled().await?;
        let at = Instant::now();
        let used = self.children.iter().filter_map(Child::pid).map(Used::of).collect::<io::Result<Vec<_>>>();
        let used = used.map_err(|error| Failure::new(Exit::Software, "a node has ended by itself").because(error))?;
        Ok(Sample { at, events, used })
    }

    /// Events that each consumer was given so far.
    async fn handled(&self) -> Result<Vec<u64>, Failure> {
        let mut handled = Vec::new();
        for data in &self.sinks {
            let data = data.clone();
            let status = on_a_thread(move || Client::on(data).status()).await?;
            let sinks = status.stages.iter().filter(|stage| stage.name.starts_with("bench/sink-"));
            handled.extend(sinks.filter_map(|stage| Some(stage.in_hand?.handled)));
        }
        Ok(handled)
    }

    /// How old events were since they were asked for last.
    async fn ages(&self) -> Result<Ages, Failure> {
        let mut ages = Ages::default();
        let names = self.consumers / self.sinks.len().max(1);
        for data in &self.sinks {
            for no in 0..names {
                let request = Request::Call(Call {
                    stage: format!("bench/sink-{no}"),
                    node: data.file_name().and_then(|name| Some(name.to_str()?.to_owned())),
                    within_ms: 5_000,
                    request: STANDARD.encode("{}"),
                });
                let data = data.clone();
                let answer = on_a_thread(move || Client::on(data).ask(request)).await?;
                let Answer::Called(Called::Given(given)) = answer else {
                    return Err(Failure::new(Exit::Software, format!("a consumer gave no answer: {answer:?}")));
                };
                let told = STANDARD.decode(given).ok().and_then(|bytes| serde_json::from_slice::<Told>(&bytes).ok());
                let told = told.ok_or_else(|| Failure::new(Exit::Software, "a consumer's answer cannot be read"))?;
                ages.add(&told.latency);
            }
        }
        Ok(ages)
    }
}

/// What a sink answers.
#[derive(Debug, Deserialize)]
pub(super) struct Told {
    #[serde(default)]
    pub(super) events: u64,
    #[serde(default)]
    pub(super) latency: Vec<(u64, u64)>,
}

async fn on_a_thread<T: Send + 'static>(
    ask: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    task::spawn_blocking(ask).await.map_err(|error| Failure::new(Exit::Software, "a task failed").because(error))?
}

fn copy_keys(from: &Path, to: &Path) -> io::Result<()> {
    let mut unread = vec![(from.to_owned(), to.to_owned())];
    while let Some((from, to)) = unread.pop() {
        std::fs::create_dir_all(&to)?;
        std::fs::set_permissions(&to, std::fs::metadata(&from)?.permissions())?;
        for entry in std::fs::read_dir(&from)? {
            let entry = entry?;
            let target = to.join(entry.file_name());
            if entry.file_type()?.is_dir() {
                unread.push((entry.path(), target));
            } else {
                std::fs::copy(entry.path(), target)?;
            }
        }
    }
    Ok(())
}

/// Waits until a node says where it listens.
async fn listening(name: &NodeName, said: &mut mpsc::Receiver<Said>) -> Result<std::net::SocketAddr, Failure> {
    let wait = async {
        while let Some(said) = said.recv().await {
            match said {
                Said::Line(line) if line["what"] == "listening" && line["node"] == name.as_str() => {
                    return line["address"].as_str().and_then(|text| text.parse().ok());
                }
                Said::Ended(ended) if ended == *name => return None,
                _ => {}
            }
        }
        None
    };
    let address = timeout(START_WAIT, wait).await.ok().flatten();
    address.ok_or_else(|| Failure::new(Exit::Software, format!("node {name} did not start; see above")))
}
