//! `forebay-faults takeover`: how long it takes from a signal to a node until another one handles an
//! event of the successor.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use rustix::time::{ClockId, clock_gettime};
use serde_json::json;

use crate::{
    cluster::{Cluster, ClusterError, Handled, Setup},
    run::{Kind, Roles, Spread, Verdict, chain},
};

/// Who is struck. The source's owner always, as nobody else has a successor.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub(crate) enum Victim {
    /// The owner, whatever else it is.
    Owner,
    /// The owner when it is not the Raft leader. Ownership is moved until that is so.
    OwnerOnly,
    /// The owner when it is also the Raft leader.
    LeaderOwner,
}

/// What it is struck with.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub(crate) enum Strike {
    /// SIGKILL: the kernel answers for the process that it is gone.
    #[value(name = "KILL", alias = "kill")]
    Kill,
    /// SIGSTOP: nobody answers.
    #[value(name = "STOP", alias = "stop")]
    Stop,
    /// SIGKILL, and its links are cut: as when the machine loses power.
    #[value(name = "POWER", alias = "power")]
    Power,
}

/// What to measure.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) setup: Setup,
    pub(crate) runs: usize,
    pub(crate) victim: Victim,
    pub(crate) strike: Strike,
    pub(crate) recovery: Duration,
    pub(crate) seed: u64,
    pub(crate) json: bool,
}

/// How long a cluster is left alone between two runs: more than a lease, so that each run finds it at
/// rest.
const REST: Duration = Duration::from_secs(1);

/// How often ownership is moved in the hope that the roles are as wanted, before giving up.
const MOVES_MAX: usize = 20;

/// How often the traces are looked at. What is measured is in them, so this is no part of it.
const LOOK: Duration = Duration::from_millis(20);

/// Measures, and prints what came of it.
pub(crate) fn takeover(options: &Options, dir: &Path) -> Verdict {
    let mut times = Vec::new();
    let result = measure(options, dir, &mut times);
    let spread = Spread::of(&times);
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    if options.json {
        let victim = format!("{:?}", options.victim);
        let line = json!({
            "kind": "takeover",
            "nodes": options.setup.nodes,
            "agreement": format!("{:?}", options.setup.agreement).to_lowercase(),
            "victim": victim,
            "signal": format!("{:?}", options.strike),
            "runs": times.len(),
            "ms": spread.json(),
        });
        println!("{line}");
    } else {
        let (runs, nodes) = (times.len(), options.setup.nodes);
        println!("{runs} runs on {nodes} nodes, from the signal to the next event on another node:");
        let [median, p90, max] = [spread.median, spread.p90, spread.max].map(ms);
        println!("median {median:.0} ms, p90 {p90:.0} ms, max {max:.0} ms");
    }
    match result {
        Ok(()) => Verdict::Passed,
        Err(error) => {
            eprintln!("forebay-faults: {}", chain(&error));
            if error.is_broken_law() { Verdict::Broken } else { Verdict::Inconclusive }
        }
    }
}

fn measure(options: &Options, dir: &Path, times: &mut Vec<Duration>) -> Result<(), ClusterError> {
    let mut cluster = Cluster::found(options.setup.clone(), dir, options.seed)?;
    cluster.start_all(options.recovery)?;
    for run in 1..=options.runs {
        let victim = find_victim(options, &mut cluster)?;
        cluster.hear_until(Instant::now() + REST)?;
        let time = strike_once(options, &mut cluster, victim)?;
        if !options.json {
            println!("{run:>4}/{} {} {:>7.1} ms", options.runs, cluster.name(victim), time.as_secs_f64() * 1e3);
        }
        times.push(time);
    }
    (0..cluster.len()).try_for_each(|node| cluster.end(node).map(drop))
}

/// Finds the owner, and restarts it or the leader in good order as long as its other role is not as wanted. By
/// turns: names go to nodes in an order of preference, so that the owner alone might never meet the leader.
fn find_victim(options: &Options, cluster: &mut Cluster) -> Result<usize, ClusterError> {
    for turn in 0..MOVES_MAX {
        cluster.wait_for_recovery(Instant::now(), options.recovery)?;
        let roles = Roles::of(cluster)?;
        let wanted = match options.victim {
            Victim::Owner => true,
            Victim::OwnerOnly => roles.owner != roles.leader,
            Victim::LeaderOwner => roles.owner == roles.leader,
        };
        let Some(owner) = roles.victim(Kind::KillOwner, 0) else { continue };
        if wanted {
            return Ok(owner);
        }
        let moved = roles.leader.filter(|_| turn % 2 == 1).unwrap_or(owner);
        cluster.end(moved)?;
        cluster.start(moved)?;
    }
    Err(ClusterError::NoSuchRole { wanted: format!("{:?}", options.victim), moves: MOVES_MAX })
}

/// Strikes, measures, takes it back, and waits until all is well.
///
/// The time is by the nodes' traces: from just before the signal to the first batch of another epoch
/// that a guest on another node has handled.
fn strike_once(options: &Options, cluster: &mut Cluster, victim: usize) -> Result<Duration, ClusterError> {
    let others: Vec<_> = cluster.watch.up().filter(|node| *node != victim).collect();
    let mut before = None;
    for node in &others {
        before = cluster.take_handled(*node)?.last().copied().or(before);
    }
    let struck = monotonic();
    match options.strike {
        Strike::Kill => drop(cluster.kill(victim)?),
        Strike::Stop => cluster.pause(victim)?,
        Strike::Power => {
            cluster.network.isolate(victim);
            cluster.kill(victim)?;
        }
    }
    let handled = wait_for_successor(options, cluster, &others, before);
    cluster.network.heal();
    match options.strike {
        Strike::Kill | Strike::Power => cluster.start(victim)?,
        Strike::Stop => cluster.resume(victim)?,
    }
    Ok(handled?.saturating_sub(struck))
}

/// Waits until one of these has handled a batch of another epoch than `before`; gives when that was.
fn wait_for_successor(
    options: &Options,
    cluster: &mut Cluster,
    others: &[usize],
    before: Option<Handled>,
) -> Result<Duration, ClusterError> {
    let deadline = Instant::now() + options.recovery;
    let mut first: Option<Duration> = None;
    while first.is_none() && Instant::now() < deadline {
        cluster.hear_until(Instant::now() + LOOK)?;
        for node in others {
            let is_new = |handled: &Handled| before.is_some_and(|before| before.epoch != handled.epoch);
            let at = cluster.take_handled(*node)?.into_iter().find(is_new).map(|handled| handled.at);
            first = first.into_iter().chain(at).min();
        }
    }
    let missing = "no other node has handled an event of a successor".to_owned();
    first.ok_or(ClusterError::Late { what: "a takeover", bound: options.recovery, missing })
}

/// The clock of the traces.
fn monotonic() -> Duration {
    Duration::try_from(clock_gettime(ClockId::Monotonic)).unwrap_or_default()
}
