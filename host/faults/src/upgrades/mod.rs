//! `forebay-faults upgrades`: new versions of a pipeline's stages under load, one after the other, and bad ones, which must
//! be rolled back by themselves.

mod deploying;
mod pressure;
mod report;
mod takings;
mod versions;

use std::{
    cell::RefCell,
    path::{Path, PathBuf},
    rc::Rc,
    time::{Duration, Instant},
};

use rand::{RngExt, SeedableRng, rngs::StdRng};

use self::{
    deploying::{Deployed, Deploying, Outcome},
    pressure::Pressure,
    report::{Back, Laws, Report, Upgrade},
    takings::Takings,
    versions::{Change, Versions, schedule},
};
use crate::{
    cluster::{Cluster, ClusterError, Setup},
    run::{Verdict, chain},
};

/// How often it is looked whether a deploy has ended.
const LOOK: Duration = Duration::from_millis(10);

/// How long the first deploy may be refused: the group is being founded.
const FOUNDING: Duration = Duration::from_secs(20);

/// The load before the first upgrade, which says how it is without one.
const WARM_UP: Duration = Duration::from_secs(3);

/// How long events may be on their way at the end.
const ARRIVAL_WAIT: Duration = Duration::from_secs(10);

/// How long after a bad version all may take to be well again, to be told how long it took. More than what is allowed.
const WELL_WAIT: Duration = Duration::from_secs(30);

/// What is upgraded, and what must hold.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct What {
    /// How many new versions, of producer, producer-consumer and consumer in turn
    #[arg(long, default_value_t = 50)]
    upgrades: usize,
    /// How many bad versions among them, of consumer, producer-consumer and producer in turn
    #[arg(long, default_value_t = 10)]
    bad: usize,
    /// The load, in events a second
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    rate: u32,
    /// How long the first node with a new version is watched before the others follow
    #[arg(long, default_value = "500ms", value_parser = humantime::parse_duration)]
    canary: Duration,
    /// Which event a bad version traps on
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    trap: u32,
    /// How long the cluster is left alone after each
    #[arg(long, default_value = "500ms", value_parser = humantime::parse_duration)]
    rest: Duration,
    /// The longest gap that an upgrade may make at a consumer
    #[arg(long, default_value = "500ms", value_parser = humantime::parse_duration)]
    gap: Duration,
    /// How long it may take from the trap of a bad version until all consumers take events with the version before
    #[arg(long, default_value = "5s", value_parser = humantime::parse_duration)]
    back: Duration,
}

/// What to run.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) setup: Setup,
    pub(crate) what: What,
    pub(crate) seed: u64,
    pub(crate) json: bool,
}

/// Runs all of it in `dir` and tells what came of it.
pub(crate) fn upgrades(options: &Options, dir: &Path) -> Verdict {
    let mut report = Report::default();
    if let Err(error) = Run::new(options, dir).and_then(|mut run| run.all(&mut report)) {
        let text = chain(&error);
        if error.is_broken_law() { &mut report.broken } else { &mut report.inconclusive }.push(text);
    }
    let What { gap, back, rate, .. } = options.what;
    report.judge(Laws { gap, back, rate });
    if options.json {
        println!("{}", report.json());
    } else {
        print!("\n{}", report.table());
    }
    report.verdict()
}

struct Run<'a> {
    options: &'a Options,
    cluster: Cluster,
    takings: Rc<RefCell<Takings>>,
    versions: Versions,
    /// Which node is asked.
    random: StdRng,
    log: PathBuf,
}

impl<'a> Run<'a> {
    fn new(options: &'a Options, dir: &Path) -> Result<Self, ClusterError> {
        let mut cluster = Cluster::found(options.setup.clone(), dir, options.seed)?;
        let versions = Versions::new(dir, options.what.rate, options.what.trap, options.setup.nodes)?;
        let takings = Rc::new(RefCell::new(Takings::new(cluster.len())));
        let heard = Rc::clone(&takings);
        cluster.set_ears(move |node, line, at| heard.borrow_mut().hear(node, line, at));
        let random = StdRng::seed_from_u64(options.seed);
        Ok(Self { options, cluster, takings, versions, random, log: dir.join("deploys.log") })
    }

    fn all(&mut self, report: &mut Report) -> Result<(), ClusterError> {
        for node in 0..self.cluster.len() {
            self.cluster.start(node)?;
        }
        for node in 0..self.cluster.len() {
            self.cluster.wait_for_listening(node)?;
        }
        self.first()?;
        let (began, before, pressure) = (Instant::now(), self.takings.borrow().end(), Pressure::begin());
        self.takings.borrow_mut().begin();
        self.cluster.hear_until(began + WARM_UP)?;
        self.tell_calm();
        let result = self.upgrade_all(report);
        (report.lasted, report.pressed) = (began.elapsed(), pressure.percent());
        report.taken = self.takings.borrow().end() - before;
        result?;
        self.wait_for_arrival(report)?;
        (0..self.cluster.len()).try_for_each(|node| self.cluster.end(node).map(drop))
    }

    /// Deploys what is upgraded then, once the group is there, and waits until every consumer takes something.
    fn first(&mut self) -> Result<(), ClusterError> {
        let (file, deadline) = (self.versions.first()?, Instant::now() + FOUNDING);
        loop {
            let outcome = self.deploy(&file)?.outcome;
            match outcome {
                Outcome::RolledOut => break,
                _ if Instant::now() > deadline => return Err(late("the first deploy", FOUNDING, outcome.to_string())),
                _ => self.cluster.hear_until(Instant::now() + Duration::from_millis(200))?,
            }
        }
        let since = Instant::now();
        while !self.takings.borrow().all_took_since(since) {
            if since.elapsed() > FOUNDING {
                return Err(late("a first batch of every consumer", FOUNDING, "some took nothing".to_owned()));
            }
            self.cluster.hear_until(Instant::now() + LOOK)?;
        }
        Ok(())
    }

    fn tell_calm(&self) {
        let gaps = self.takings.borrow().gaps(Instant::now());
        let gaps: Vec<_> = gaps.iter().map(|gap| gap.as_millis().to_string()).collect();
        if !self.options.json {
            println!("   without any upgrade for {WARM_UP:?}: longest gaps {} ms", gaps.join(" "));
        }
    }

    fn upgrade_all(&mut self, report: &mut Report) -> Result<(), ClusterError> {
        let changes = schedule(self.options.what.upgrades, self.options.what.bad);
        for (index, change) in changes.iter().enumerate() {
            let upgrade = self.upgrade(index + 1, *change, report)?;
            match self.options.json {
                true => println!("{}", upgrade.json()),
                false => println!("{:>3}/{} {upgrade}", upgrade.number, changes.len()),
            }
            report.upgrades.push(upgrade);
        }
        Ok(())
    }

    fn upgrade(&mut self, number: usize, change: Change, report: &mut Report) -> Result<Upgrade, ClusterError> {
        let file = self.versions.change(change)?;
        let repeated = self.takings.borrow().repeated();
        self.takings.borrow_mut().begin();
        let deployed = self.deploy(&file)?;
        // Long enough for all to be subscribed again.
        self.cluster.hear_until(Instant::now() + self.options.what.rest)?;
        let back = match (&deployed.outcome, change.is_bad) {
            (Outcome::RolledOut, false) => None,
            (Outcome::RolledBack(why), true) if why.contains("trapped") => Some(self.wait_until_well(&deployed)?),
            (outcome, is_bad) => {
                let bad = if is_bad { "a bad version" } else { "a good version" };
                report.broken.push(format!("upgrade {number} ({}): {bad} {outcome}", change.stage.name()));
                None
            }
        };
        let takings = self.takings.borrow();
        let (gaps, repeated) = (takings.gaps(Instant::now()), takings.repeated() - repeated);
        Ok(Upgrade { number, change, took: deployed.ended - deployed.began, gaps, repeated, back })
    }

    /// Deploys through some node, and hears all nodes until it has ended.
    fn deploy(&mut self, file: &Path) -> Result<Deployed, ClusterError> {
        let data = self.cluster.data();
        let node = self.random.random_range(0..data.len());
        let (forebay, canary) = (&self.options.setup.forebay, self.options.what.canary);
        let deploying = Deploying::start(forebay, file, &data[node], canary, self.log.clone());
        while !deploying.has_ended() {
            self.cluster.hear_until(Instant::now() + LOOK)?;
        }
        Ok(deploying.join())
    }

    fn wait_until_well(&mut self, deployed: &Deployed) -> Result<Back, ClusterError> {
        let since = Instant::now();
        loop {
            let takings = self.takings.borrow();
            if let (Some(trap), Some(well)) = (takings.trap(), takings.recovered()) {
                return Ok(Back {
                    told: deployed.ended.saturating_duration_since(trap.at),
                    from_trap: well.saturating_duration_since(trap.at),
                    from_start: well.saturating_duration_since(deployed.began),
                });
            }
            if since.elapsed() > WELL_WAIT {
                let missing = format!("what is known of the trap: {:?}", takings.trap());
                return Err(late("the way back from a bad version", WELL_WAIT, missing));
            }
            drop(takings);
            self.cluster.hear_until(Instant::now() + LOOK)?;
        }
    }

    /// Waits until all that was emitted before now has come; what does not come is lost.
    fn wait_for_arrival(&mut self, report: &mut Report) -> Result<(), ClusterError> {
        let (end, since) = (self.takings.borrow().end(), Instant::now());
        while self.takings.borrow().missing_before(end) > 0 && since.elapsed() < ARRIVAL_WAIT {
            self.cluster.hear_until(Instant::now() + LOOK)?;
        }
        let takings = self.takings.borrow();
        report.lost = takings.missing_before(end);
        if let Some(first) = takings.first_missing(end) {
            report.broken.push(format!("the first of those that were lost is {first}, of {end}"));
        }
        if let Some(first) = takings.unreadable.first() {
            let count = takings.unreadable.len();
            report.inconclusive.push(format!("{count} lines of consumers cannot be read, the first is {first:.80}"));
        }
        Ok(())
    }
}

fn late(what: &'static str, bound: Duration, missing: String) -> ClusterError {
    ClusterError::Late { what, bound, missing }
}
