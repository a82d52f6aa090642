//! `forebay-faults run`: one fault after the other on one cluster or several, each until all is well
//! again.

mod confirmed;
mod judge;
mod kind;
mod report;
mod schedule;
mod strike;
mod sums;
mod targets;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use serde_json::json;

use self::{
    judge::judge,
    report::Outcome,
    schedule::{Plan, schedule},
    strike::{Bite, Target, strike},
};
pub(crate) use self::{
    kind::{Kind, Kinds},
    report::{Report, Spread, Verdict},
    targets::Roles,
};
use crate::{
    clients::{Clients, Pushed},
    cluster::{Cluster, ClusterError, Setup},
    record::Recorder,
};

/// How long a cluster is left alone between two faults, so that each finds it at rest.
const REST: Duration = Duration::from_millis(300);

/// What to run.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) setup: Setup,
    pub(crate) faults: usize,
    pub(crate) seed: u64,
    pub(crate) kinds: Vec<Kind>,
    pub(crate) clusters: usize,
    /// How long recovery may take.
    pub(crate) recovery: Duration,
    pub(crate) json: bool,
}

/// Runs all faults; the traces are in `dir` then.
pub(crate) fn run(options: &Options, dir: &Path) -> Report {
    let plans = schedule(options.seed, &options.kinds, options.faults);
    let run = Run { options, report: Mutex::default(), ended: AtomicBool::new(false) };
    thread::scope(|scope| {
        for index in 0..options.clusters {
            let share: Vec<_> = plans.iter().skip(index).step_by(options.clusters).collect();
            let (run, dir) = (&run, cluster_dir(dir, index));
            scope.spawn(move || run.cluster(index, &dir, &share));
        }
    });
    run.report.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Where the files of one cluster of a run are.
pub(crate) fn cluster_dir(dir: &Path, index: usize) -> PathBuf {
    dir.join(format!("cluster-{}", index + 1))
}

#[derive(Debug)]
struct Run<'a> {
    options: &'a Options,
    report: Mutex<Report>,
    /// A cluster has failed: the others need not go on.
    ended: AtomicBool,
}

impl Run<'_> {
    fn cluster(&self, index: usize, dir: &Path, plans: &[&Plan]) {
        let seed = self.options.seed.wrapping_add(u64::try_from(index).unwrap_or_default());
        let began = Instant::now();
        let mut pushed = None;
        let result = Cluster::found(self.options.setup.clone(), dir, seed).and_then(|mut cluster| {
            let clients = self.options.setup.ingest.then(|| Clients::start(&cluster.data(), cluster.inlet()));
            let struck = self.live_through(&mut cluster, plans);
            pushed = clients.map(Clients::finish);
            struck?;
            let confirmed = pushed.iter().flat_map(|pushed| &pushed.confirmed);
            cluster.wait_for_arrival(&confirmed.map(|place| place.numbers).collect::<Vec<_>>())?;
            (0..cluster.len()).try_for_each(|node| cluster.end(node).map(drop))
        });
        let who = format!("cluster {}", index + 1);
        if let Err(error) = result {
            self.ended.store(true, Ordering::Relaxed);
            let text = format!("{who} after {:.1} s: {}", began.elapsed().as_secs_f64(), chain(&error));
            self.with_report(|report| {
                if error.is_broken_law() { &mut report.broken } else { &mut report.inconclusive }.push(text);
            });
        }
        self.judge(dir, &who, pushed);
    }

    fn live_through(&self, cluster: &mut Cluster, plans: &[&Plan]) -> Result<(), ClusterError> {
        cluster.start_all(self.options.recovery)?;
        let recorder = Recorder::create(&cluster.traces())?;
        self.strike_all(cluster, &recorder, plans)
    }

    /// Also after a failure, which the traces may explain.
    fn judge(&self, dir: &Path, who: &str, pushed: Option<Pushed>) {
        let setup = &self.options.setup;
        self.with_report(|report| {
            if let Err(error) = judge(dir, who, setup.agreement, setup.chain, pushed, report) {
                report.inconclusive.push(format!("{who}: {}", chain(&error)));
            }
        });
    }

    fn strike_all(&self, cluster: &mut Cluster, recorder: &Recorder, plans: &[&Plan]) -> Result<(), ClusterError> {
        for plan in plans {
            if self.ended.load(Ordering::Relaxed) {
                return Err(ClusterError::Interrupted);
            }
            cluster.hear_until(Instant::now() + REST)?;
            let text = |error| ClusterError::After { fault: format!("fault {} ({})", plan.number, plan.kind), error };
            self.strike_one(cluster, recorder, plan).map_err(|error| text(Box::new(error)))?;
        }
        Ok(())
    }

    fn strike_one(&self, cluster: &mut Cluster, recorder: &Recorder, plan: &Plan) -> Result<(), ClusterError> {
        let roles = Roles::of(cluster)?;
        let Some(target) = Target::choose(plan, &roles) else {
            let why = format!("fault {}, {}: nobody is in that role", plan.number, plan.kind);
            self.with_report(|report| report.inconclusive.push(why));
            return Ok(());
        };
        let nodes: BTreeSet<_> =
            target.nodes(plan.kind, cluster).iter().map(|it| cluster.name(*it).to_owned()).collect();
        let (began, takeovers) = (Instant::now(), cluster.watch.takeovers());
        let id = u64::try_from(plan.number).unwrap_or(u64::MAX);
        cluster.watch.begin(began);
        recorder.begin(id, plan.kind.class(), &nodes, plan.kind.name());
        let bite = strike(cluster, plan, &target, self.options.recovery)?;
        let healed = Instant::now();
        recorder.end(id, matches!(bite, Bite::Bit(_)));
        let recovery = cluster.wait_for_recovery(healed, self.options.recovery)?;
        let silence = cluster.watch.silence(Instant::now());
        let outcome = Outcome { kind: plan.kind, bite, silence, recovery };
        self.tell(plan, &nodes, healed - began, &outcome, cluster.watch.takeovers() - takeovers);
        self.with_report(|report| report.add(plan.number, outcome));
        Ok(())
    }

    fn tell(&self, plan: &Plan, nodes: &BTreeSet<String>, lasted: Duration, outcome: &Outcome, takeovers: u64) {
        let (bit, proof) = match &outcome.bite {
            Bite::Bit(proof) => (true, proof),
            Bite::DidNot(why) => (false, why),
        };
        let ms = |duration: Duration| u64::try_from(duration.as_millis()).ok();
        if self.options.json {
            let line = json!({
                "kind": "fault",
                "number": plan.number,
                "fault": plan.kind.name(),
                "nodes": nodes,
                "lasted_ms": ms(lasted),
                "silence_ms": ms(outcome.silence),
                "recovery_ms": ms(outcome.recovery),
                "takeovers": takeovers,
                "bit": bit,
                "proof": proof,
            });
            println!("{line}");
            return;
        }
        let nodes = nodes.iter().map(String::as_str).collect::<Vec<_>>().join("+");
        let of = self.options.faults;
        let [lasted, silence, recovery] = [lasted, outcome.silence, outcome.recovery].map(|it| it.as_secs_f64());
        let (number, kind) = (plan.number, plan.kind);
        let bite = if bit { "" } else { "DID NOT BITE: " };
        println!(
            "{number:>4}/{of} {kind:<16} {nodes:<6} {lasted:>5.1} s  silence {silence:>5.2} s  recovered \
             {recovery:>5.2} s  takeovers {takeovers}  {bite}{proof}"
        );
    }

    fn with_report(&self, change: impl FnOnce(&mut Report)) {
        change(&mut self.report.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// An error with its causes, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
