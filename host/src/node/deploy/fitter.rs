//! The task that follows the group's deployments: it fetches and loads what is to run, has the core run it, and says how
//! each step of a roll-out goes here.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use forebay_proto::{
    blob::BlobInfo,
    deploy::{Deployment, Order, Report, Revision, Wanted},
    ids::{NodeName, PipelineName, StageName},
    names::{
        GlobalName,
        quorum::{Command, WHY_BYTES_MAX},
    },
    pipeline::Pipeline,
};
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, sleep_until},
};

use super::{Fit, LoadFailure, Loaded, Loader, Standings, trial};
use crate::{
    node::pipelines::{Fitted, check_roles},
    registry::{Registry, quorum::QuorumRegistry},
};

/// How long after a failure what may come later is tried again.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// How often it looks, if nothing calls for it earlier.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// How often a node that has just started looks whether it knows the present by now.
const LOOK_FOR_THE_PRESENT: Duration = Duration::from_millis(50);

/// How often blobs that nobody refers to are looked for, if nothing has changed.
const COLLECT_EVERY: Duration = Duration::from_secs(600);

/// What a fault may be in words: what the group takes, less what it adds.
const WHY_BYTES: usize = WHY_BYTES_MAX - 100;

/// A revision of a pipeline.
type RevisionKey = (PipelineName, u64);

/// See the module's documentation.
pub(crate) struct Fitter {
    pub(crate) node: NodeName,
    pub(crate) registry: Arc<dyn Registry>,
    pub(crate) loader: Arc<dyn Loader>,
    pub(crate) fits: mpsc::Sender<Fit>,
    pub(crate) standings: Arc<Standings>,
}

/// What is under way.
#[derive(Default)]
struct Books {
    loaded: BTreeMap<RevisionKey, Arc<Loaded>>,
    failed: BTreeMap<RevisionKey, (LoadFailure, Instant)>,
    loading: JoinSet<(RevisionKey, Result<Loaded, LoadFailure>)>,
    under_way: BTreeSet<RevisionKey>,
    /// What the core was last told, and as which fit.
    told: BTreeMap<PipelineName, (BTreeMap<StageName, Wanted>, u64)>,
    fits: u64,
    reporting: JoinSet<PipelineName>,
    /// Pipelines of which a report is on its way.
    reports: BTreeSet<PipelineName>,
    kept: Vec<BlobInfo>,
    kept_at: Option<Instant>,
}

impl Fitter {
    /// Until the core is gone. Only where a group agrees.
    pub(crate) async fn run(self) {
        let mut books = Books::default();
        let mut standings = self.standings.news();
        let Some(mut deployments) = self.registry.as_quorum().map(QuorumRegistry::deployment_news) else { return };
        loop {
            let again = Instant::now() + self.look(&mut books).await;
            tokio::select! {
                _ = deployments.changed() => {}
                _ = standings.changed() => {}
                Some(done) = books.loading.join_next() => books.on_loaded(done),
                Some(done) = books.reporting.join_next() => if let Ok(pipeline) = done {
                    books.reports.remove(&pipeline);
                },
                () = sleep_until(again) => {}
                () = self.fits.closed() => return,
            }
        }
    }

    /// Does what there is to do, and says how soon to look again.
    async fn look(&self, books: &mut Books) -> Duration {
        let Some(quorum) = self.registry.as_quorum() else { return LOOK_AGAIN };
        // What is not to run any more is not begun.
        if !quorum.is_current() {
            return LOOK_FOR_THE_PRESENT;
        }
        let deployments = quorum.deployments();
        let mut again = LOOK_AGAIN;
        for (pipeline, deployment) in &deployments {
            again = again.min(self.load(books, pipeline, deployment));
            self.fit(books, pipeline, deployment).await;
            again = again.min(self.report(books, pipeline, deployment));
        }
        let needed = |(pipeline, number): &RevisionKey| {
            deployments.get(pipeline).is_some_and(|deployment| needed(deployment).contains(number))
        };
        books.told.retain(|pipeline, _| deployments.contains_key(pipeline));
        books.loaded.retain(|key, _| needed(key));
        books.failed.retain(|key, _| needed(key));
        self.keep(books, quorum, &deployments).await;
        again
    }

    /// Begins to load what is needed and not here.
    fn load(&self, books: &mut Books, pipeline: &PipelineName, deployment: &Deployment) -> Duration {
        let mut again = LOOK_AGAIN;
        for number in needed(deployment) {
            let key = (pipeline.clone(), number);
            if books.loaded.contains_key(&key) || books.under_way.contains(&key) {
                continue;
            }
            if let Some((failure, at)) = books.failed.get(&key) {
                let wait = TRY_AGAIN.saturating_sub(at.elapsed());
                // What is refused stays so, but a later release of this program may take it.
                if matches!(failure, LoadFailure::Refused(_)) {
                    continue;
                }
                if !wait.is_zero() {
                    again = again.min(wait);
                    continue;
                }
            }
            let Some(revision) = deployment.revision(number).cloned() else { continue };
            books.under_way.insert(key.clone());
            let (loader, name) = (Arc::clone(&self.loader), pipeline.clone());
            books.loading.spawn(async move {
                let loading = tokio::spawn(async move { load_revision(&*loader, &name, &revision).await });
                let bug = |error| Err(LoadFailure::NotNow(format!("a bug of the host: {error}")));
                (key, loading.await.unwrap_or_else(bug))
            });
        }
        again
    }

    /// Tells the core what is to run, once all of it can.
    async fn fit(&self, books: &mut Books, pipeline: &PipelineName, deployment: &Deployment) {
        let wanted = deployment.wanted(&self.node);
        let before = books.told.get(pipeline).map(|(wanted, _)| wanted);
        // Of a pipeline that is not deployed any more this node need not know anything.
        if before == Some(&wanted) || before.is_none() && wanted.is_empty() && !deployment.is_paused() {
            return;
        }
        let fitted = |(stage, wanted): (&StageName, &Wanted)| {
            let loaded = books.loaded.get(&(pipeline.clone(), wanted.revision))?;
            let (settings, plugin) = loaded.get(stage)?.clone();
            Some(Fitted { settings, plugin, revision: wanted.revision, on_trial: wanted.on_trial })
        };
        let stages: Option<Vec<_>> = wanted.iter().map(fitted).collect();
        if let Some(stages) = stages {
            // If the core is gone, so is this task in a moment.
            books.fits += 1;
            let _ = self.fits.send(Fit { pipeline: pipeline.clone(), stages, number: books.fits }).await;
            books.told.insert(pipeline.clone(), (wanted, books.fits));
        }
    }

    /// Says how the step that is being taken goes here, if that is known and was not said. That it fails is said also after
    /// it was said to do well.
    fn report(&self, books: &mut Books, pipeline: &PipelineName, deployment: &Deployment) -> Duration {
        let Some(rollout) = deployment.rollout() else { return LOOK_AGAIN };
        if books.reports.contains(pipeline) {
            return LOOK_AGAIN;
        }
        let key = (pipeline.clone(), rollout.revision);
        let name = |stage: &StageName| GlobalName { pipeline: pipeline.clone(), stage: stage.clone() };
        let found = match rollout.step() {
            None if books.loaded.contains_key(&key) => Ok(Report::Well),
            None => match books.failed.get(&key) {
                Some((LoadFailure::Refused(why), _)) => Ok(Report::Failed(why.clone())),
                _ => Err(LOOK_AGAIN),
            },
            // What the core does not know of yet cannot be judged.
            Some(_) if !self.is_fitted(books, pipeline, deployment) => Err(LOOK_AGAIN),
            Some(_) if !rollout.includes(&self.node) => Err(LOOK_AGAIN),
            Some(_) => trial::look(rollout, &self.node, name, &self.standings, |name| self.registry.lookup(name)),
        };
        let said = rollout.reports.contains_key(&self.node);
        let report = match found {
            // The first node goes on while the others follow, and may fail then.
            Ok(Report::Well | Report::NotHere) if said => return LOOK_AGAIN,
            Ok(Report::Failed(why)) => Report::Failed(why[..why.floor_char_boundary(WHY_BYTES)].to_owned()),
            Ok(report) => report,
            Err(again) => return if said { LOOK_AGAIN } else { again },
        };
        tracing::info!(%pipeline, revision = rollout.revision, step = rollout.at, ?report, "a step of a roll-out");
        let order = Order::Report { revision: rollout.revision, at: rollout.at, node: self.node.clone(), report };
        let (registry, pipeline) = (Arc::clone(&self.registry), pipeline.clone());
        books.reports.insert(pipeline.clone());
        books.reporting.spawn(async move {
            let command = Command::Deployment { pipeline: pipeline.clone(), order };
            if let Some(quorum) = registry.as_quorum()
                && let Err(error) = quorum.order(command).await
            {
                tracing::debug!(%pipeline, %error, "a report was not agreed on; said again");
                tokio::time::sleep(TRY_AGAIN).await;
            }
            pipeline
        });
        LOOK_AGAIN
    }

    /// Whether the core has begun to run what is wanted.
    fn is_fitted(&self, books: &Books, pipeline: &PipelineName, deployment: &Deployment) -> bool {
        let told = books.told.get(pipeline).filter(|(wanted, _)| *wanted == deployment.wanted(&self.node));
        told.is_some_and(|(_, number)| self.standings.fitted(pipeline) == Some(*number))
    }

    /// Says which blobs are needed: those of all revisions that can be gone back to, and plugins that have a name.
    async fn keep(&self, books: &mut Books, quorum: &QuorumRegistry, deployments: &BTreeMap<PipelineName, Deployment>) {
        let revisions = deployments.values().flat_map(Deployment::revisions);
        let mut needed: Vec<_> = revisions.flat_map(Revision::blobs).collect();
        needed.extend(quorum.offers().values().map(|offer| offer.blob));
        needed.sort_by_key(|blob| blob.digest);
        needed.dedup();
        if books.kept != needed || books.kept_at.is_none_or(|at| at.elapsed() > COLLECT_EVERY) {
            books.kept.clone_from(&needed);
            books.kept_at = Some(Instant::now());
            self.loader.keep(needed).await;
        }
    }
}

impl Books {
    fn on_loaded(&mut self, done: Result<(RevisionKey, Result<Loaded, LoadFailure>), tokio::task::JoinError>) {
        let Ok((key, loaded)) = done.inspect_err(|error| tracing::error!(%error, "a bug of the host: loading failed"))
        else {
            return self.under_way.clear();
        };
        self.under_way.remove(&key);
        match loaded {
            Ok(loaded) => {
                self.failed.remove(&key);
                self.loaded.insert(key, Arc::new(loaded));
            }
            Err(failure) => {
                tracing::warn!(pipeline = %key.0, revision = key.1, %failure, "a revision cannot be loaded");
                self.failed.insert(key, (failure, Instant::now()));
            }
        }
    }
}

/// The revisions of which something is to run, now or soon.
fn needed(deployment: &Deployment) -> BTreeSet<u64> {
    let rollout = deployment.rollout().map(|rollout| rollout.revision);
    deployment.stages().values().copied().chain(rollout).collect()
}

async fn load_revision(loader: &dyn Loader, name: &PipelineName, revision: &Revision) -> Result<Loaded, LoadFailure> {
    let refused = |error: &dyn std::fmt::Display| LoadFailure::Refused(error.to_string());
    let text = loader.text(&revision.text).await?;
    let file = format!("{name}, revision {}", revision.number);
    let pipeline = Pipeline::parse_bytes(&text, &file).map_err(|error| refused(&error))?;
    if pipeline.name() != name {
        return Err(LoadFailure::Refused(format!("its file is of pipeline `{}`", pipeline.name())));
    }
    if let Some(stage) = revision.plugins.keys().find(|stage| pipeline.stage(stage).is_none()) {
        return Err(LoadFailure::Refused(format!("it has a plugin for `{stage}`, which is no stage of its file")));
    }
    let mut loaded = Loaded::new();
    for stage in pipeline.stages() {
        let version = revision.plugins.get(&stage.name);
        let version = version.ok_or_else(|| LoadFailure::Refused(format!("stage `{}` has no plugin", stage.name)))?;
        let plugin = loader.plugin(stage, version).await?;
        loaded.insert(stage.name.clone(), (Arc::new(stage.clone()), plugin));
    }
    let plugin = |stage: &StageName| loaded.get(stage).map(|(_, plugin)| &**plugin);
    check_roles(&pipeline, plugin).map_err(|error| refused(&error))?;
    Ok(loaded)
}
