//! `forebay bench`: how much real nodes of this machine can carry, beside native stages and raw QUIC in the same run.
//!
//! Every figure comes from real processes with mutual TLS over QUIC on loopback, real components, and acknowledgement
//! from end to end. Ways take turns, so that what else the machine does falls on all of them.

mod baseline;
mod figures;
mod nodes;

mod raw;
mod vitals;
mod work;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::Duration,
};

use forebay_proto::ids::NodeName;

pub(super) use self::raw::{RawArgs, raw};
use self::{
    baseline::Raws,
    figures::{Report, Runs, Taken},
    nodes::{Nodes, Site},
    work::{Demand, Payload, Topology, Way, Work},
};
use super::{Exit, Failure, OutputChoice, cache::CacheArgs, output};
use crate::{config::MTU_DEFAULT, transport::identity::ClusterCa};

/// Measure how much real nodes of this machine carry, beside native stages and raw QUIC
///
/// Starts node processes on loopback with throw-away keys and data: mutual TLS, real components, acknowledgement from end
/// to end. Each work is done in three ways, by turns: with components, with native stages that do the same, and by raw
/// QUIC with the same frames and credit. Prints medians, and the ratios between the ways. With --rate it also
/// measures how old events are when they are handled at so many events a second. The machine should have nothing else to do.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    /// Who runs where; several with commas
    #[arg(long, value_enum, value_delimiter = ',', default_value = "local,remote,remote-3,beside,chain,fan-out")]
    topology: Vec<Topology>,
    /// Bytes of a payload, as 16, 100B or 1KiB; several with commas
    #[arg(long, value_name = "BYTES", value_delimiter = ',', default_value = "100")]
    payload: Vec<Payload>,
    /// Events that each subscription may have open, with `/` and its min_demand if that is not half; several with commas
    #[arg(long, value_name = "EVENTS", value_delimiter = ',', default_value = "1000")]
    max_demand: Vec<Demand>,
    /// Measure also how old events are at so many events a second in all; several with commas, 0 for none
    #[arg(long, value_name = "EVENTS", value_delimiter = ',', default_value = "1000")]
    rate: Vec<u32>,
    /// Ways to do it; several with commas
    #[arg(long, value_enum, value_delimiter = ',', default_value = "wasm,native,raw")]
    ways: Vec<Way>,
    /// How many consumers the topology `fan-out` has; several with commas
    #[arg(long, value_name = "COUNT", value_delimiter = ',', default_value = "100", value_parser = clap::value_parser!(u16).range(1..=1000))]
    consumers: Vec<u16>,
    /// The longest UDP payload; above 1452 where all between the nodes takes jumbo frames
    #[arg(long, value_name = "BYTES", default_value_t = MTU_DEFAULT, value_parser = clap::value_parser!(u16).range(1200..=6500))]
    mtu: u16,
    /// Threads of each node [default: processors divided by nodes, at least 1]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// How long each measurement takes
    #[arg(long = "for", value_name = "DURATION", default_value = "2s", value_parser = humantime::parse_duration)]
    duration: Duration,
    /// How often each is made; what is printed are medians, and percentiles over all
    #[arg(long, value_name = "COUNT", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=1000))]
    runs: u16,
    /// Only show throughput
    #[arg(long, conflicts_with = "rate")]
    no_latency: bool,
    #[command(flatten)]
    cache: CacheArgs,
    #[command(flatten)]
    output: super::OutputArgs,
}

impl Args {
    fn works(&self) -> Vec<Work> {
        let rates: BTreeSet<u32> = if self.no_latency { BTreeSet::new() } else { self.rate.iter().copied().collect() };
        let rates: Vec<Option<u32>> =
            [None].into_iter().chain(rates.into_iter().filter(|rate| *rate > 0).map(Some)).collect();
        let mut works = Vec::new();
        for &topology in &self.topology {
            let consumers = if topology == Topology::FanOut { &self.consumers[..] } else { &[1] };
            let threads = self.threads.unwrap_or_else(|| threads_of(topology));
            for (&consumers, &payload) in
                consumers.iter().flat_map(|count| self.payload.iter().map(move |p| (count, p)))
            {
                for &demand in &self.max_demand {
                    works.extend(rates.iter().map(|&rate| {
                        let (mtu, duration) = (self.mtu, self.duration);
                        Work { topology, payload, demand, consumers, mtu, threads, rate, duration }
                    }));
                }
            }
        }
        works
    }
}

/// Nodes that share a machine share its processors.
fn threads_of(topology: Topology) -> u16 {
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    u16::try_from(processors / topology.places().len()).unwrap_or(u16::MAX).max(1)
}

pub(super) async fn bench(args: Args) -> Result<Exit, Failure> {
    output::start_log("warn");
    let failed = |error| Failure::new(Exit::CannotCreate, "cannot set up the bench's files").because(error);
    let dir = tempfile::Builder::new().prefix("forebay-bench-").tempdir().map_err(failed)?;
    nodes::write_components(dir.path()).map_err(failed)?;
    let ca = ClusterCa::generate()?;
    for name in ["a", "b", "c", "d"] {
        let node: NodeName = name.parse().expect("a letter is a name");
        ca.issue(&node, Duration::from_secs(24 * 3600))?.save(&dir.path().join(name))?;
    }
    // Nodes that cannot use it end: so it is tried here.
    let cache = args.cache.clone().wasm()?.folder().map(Path::to_owned);
    let site = Site { dir: dir.path(), cache: cache.as_deref() };
    let json = matches!(args.output.output, OutputChoice::Json);
    for work in args.works() {
        let ways = measure(&site, &work, &args).await?;
        let report = Report { work: &work, ways: &ways };
        if json {
            report.json().into_iter().for_each(|object| output::print_line(&object.to_string()));
        } else {
            output::print_line(report.text().trim_end());
        }
    }
    Ok(Exit::Done)
}

/// All ways by turns, so that what else the machine does falls on each.
async fn measure(site: &Site<'_>, work: &Work, args: &Args) -> Result<BTreeMap<Way, Runs>, Failure> {
    let ways: BTreeSet<Way> =
        args.ways.iter().copied().filter(|way| *way != Way::Raw || work.topology.is_direct()).collect();
    let mut runs: BTreeMap<Way, Runs> = BTreeMap::new();
    for _ in 0..args.runs {
        for &way in &ways {
            let taken = once(site, work, way).await?;
            runs.entry(way).or_default().add(&taken);
        }
    }
    Ok(runs)
}

async fn once(site: &Site<'_>, work: &Work, way: Way) -> Result<Taken, Failure> {
    match way {
        Way::Raw => Raws::start(site.dir, work).await?.measure(work.duration).await,
        Way::Wasm | Way::Native => Nodes::start(site, work, way).await?.measure(work.duration).await,
    }
}
