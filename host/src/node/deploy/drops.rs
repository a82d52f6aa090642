//! Plugin files that are put into this node's `plugins` folder: offered to the whole group by name, and rolled out to
//! pipelines that follow the name.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::Weak,
    time::Duration,
};

use forebay_drop::{Drop as Dropped, Options, Watch};
use forebay_proto::{
    deploy::{Deployment, Offer, PluginVersion, Revision},
    ids::{PipelineName, PluginName},
    names::quorum::Command,
    pipeline::{Pipeline, PluginRef, Stage},
};
use tokio::time::Instant;

use super::{Code, Planned, plan};
use crate::{
    node::admin::DeployDesk,
    registry::{Registry, quorum::QuorumRegistry},
    wall::now_ms,
};

/// How long after a failure it is tried again.
const TRY_AGAIN: Duration = Duration::from_secs(2);

/// How often it is looked whether a pipeline lags behind what it follows, if nothing calls for it earlier.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// How long the first node with a version that was followed is watched.
const CANARY_MS: u64 = 5_000;

/// A folder and who watches it.
pub(in crate::node) struct Drops {
    /// Weak: this task does not keep the files of a node open that has ended.
    pub(in crate::node) registry: Weak<dyn Registry>,
    pub(in crate::node) desk: DeployDesk,
    pub(in crate::node) folder: PathBuf,
}

/// What is under way.
struct Books {
    /// What this node has offered, by name: a file that was here before a start is not offered again.
    offered: Offered,
    /// Not agreed on yet.
    pending: BTreeMap<PluginName, Offer>,
    /// What could not be followed, so that it is said once.
    refused: BTreeMap<PipelineName, String>,
}

impl Drops {
    /// Until the registry is gone, or the folder cannot be watched.
    pub(in crate::node) async fn run(self) {
        let mut watch = match Watch::start(&self.folder, Options::default()) {
            Ok(watch) => watch,
            Err(error) => {
                let folder = self.folder.display();
                return tracing::error!(%folder, %error, "plugins that are put there will not be noticed");
            }
        };
        let registry = self.registry.upgrade();
        let Some(mut news) =
            registry.as_ref().and_then(|registry| registry.as_quorum()).map(QuorumRegistry::deployment_news)
        else {
            return;
        };
        drop(registry);
        let offered = Offered::read(&self.folder);
        let mut books = Books { offered, pending: BTreeMap::new(), refused: BTreeMap::new() };
        loop {
            let again = Instant::now() + self.look(&mut books).await;
            tokio::select! {
                dropped = watch.next() => self.on_drop(&mut books, dropped).await,
                changed = news.changed() => if changed.is_err() { return },
                () = tokio::time::sleep_until(again) => {}
            }
        }
    }

    async fn on_drop(&self, books: &mut Books, dropped: Dropped) {
        let (name, path, bytes, digest, signature) = match dropped {
            Dropped::Found { name, path, bytes, digest, signature } => (name, path, bytes, digest, signature),
            Dropped::Unusable { path, why } => {
                return tracing::warn!(path = %path.display(), %why, "a file in the plugins folder cannot be used");
            }
            Dropped::Gone { name } => {
                return tracing::info!(name, "its file is gone from the plugins folder; what was offered stays known");
            }
        };
        let Ok(name) = name.parse::<PluginName>() else { return };
        let mark = Mark { digest: digest.to_string(), signature: signature.clone() };
        if books.offered.0.get(name.as_str()) == Some(&mark) {
            return;
        }
        if let Err(why) = self.desk.loader.check(&path.display().to_string(), bytes.clone(), signature.as_deref()).await
        {
            return tracing::warn!(path = %path.display(), %why, "a plugin in the plugins folder is refused");
        }
        match self.desk.blobs.store().put(bytes).await {
            Ok(blob) => {
                tracing::info!(plugin = %name, digest = %blob.digest, bytes = blob.bytes, "a plugin was put here");
                let offer = Offer { blob, signature, node: self.desk.node.clone(), at_ms: now_ms() };
                books.pending.insert(name, offer);
            }
            Err(error) => tracing::error!(path = %path.display(), %error, "a plugin cannot be kept; put it here again"),
        }
    }

    /// Offers what is pending, and lets pipelines follow. Says how soon to look again.
    async fn look(&self, books: &mut Books) -> Duration {
        let Some(registry) = self.registry.upgrade() else { return LOOK_AGAIN };
        let Some(quorum) = registry.as_quorum().filter(|quorum| quorum.is_current()) else { return TRY_AGAIN };
        let mut again = LOOK_AGAIN;
        for (name, offer) in std::mem::take(&mut books.pending) {
            let command = Command::Offer { name: name.clone(), offer: offer.clone() };
            match quorum.order(command).await {
                Ok(()) => {
                    let mark = Mark { digest: offer.blob.digest.to_string(), signature: offer.signature };
                    books.offered.0.insert(name.to_string(), mark);
                    books.offered.write(&self.folder);
                }
                Err(why) => {
                    tracing::debug!(plugin = %name, why, "a plugin is not offered yet");
                    books.pending.insert(name, offer);
                    again = TRY_AGAIN;
                }
            }
        }
        let offers: BTreeMap<_, _> = quorum.offers();
        let ours = offers.into_iter().filter(|(_, offer)| offer.node == self.desk.node).collect::<BTreeMap<_, _>>();
        for (name, deployment) in quorum.deployments() {
            match self.follow(quorum, &name, &deployment, &ours).await {
                Ok(()) => drop(books.refused.remove(&name)),
                Err(why) if books.refused.get(&name) == Some(&why) => {}
                Err(why) => {
                    tracing::warn!(pipeline = %name, why, "a new plugin is not followed");
                    books.refused.insert(name, why);
                }
            }
        }
        again
    }

    /// Begins a roll-out if a stage of the pipeline follows a name that stands for something newer.
    async fn follow(
        &self,
        quorum: &QuorumRegistry,
        name: &PipelineName,
        deployment: &Deployment,
        offers: &BTreeMap<PluginName, Offer>,
    ) -> Result<(), String> {
        let Some(current) = deployment.current().filter(|_| deployment.rollout().is_none() && !deployment.is_paused())
        else {
            return Ok(());
        };
        if offers.is_empty() {
            return Ok(());
        }
        let text = self.desk.loader.text(&current.text).await.map_err(|error| error.to_string())?;
        let pipeline = Pipeline::parse_bytes(&text, name.as_str()).map_err(|error| error.to_string())?;
        let (mut plugins, mut newer) = (current.plugins.clone(), Vec::new());
        for stage in pipeline.stages() {
            if let Some((plugin, offer)) = newer_of(stage, current, deployment, offers) {
                let version = PluginVersion::Blob { blob: offer.blob, signature: offer.signature.clone() };
                plugins.insert(stage.name.clone(), version);
                newer.push(plugin.to_string());
            }
        }
        if newer.is_empty() {
            return Ok(());
        }
        newer.dedup();
        let planned: Planned = plan(quorum, &*self.desk.loader, current.text, Code::Exactly(plugins)).await?;
        if planned.steps.is_empty() {
            return Ok(());
        }
        let why = format!("{} was put on {}", newer.join(", "), self.desk.node);
        tracing::info!(pipeline = %name, why, "rolling it out");
        self.desk.propose(quorum, planned, CANARY_MS, why).await.map(drop)
    }
}

/// What a stage should run now, if it follows a name and that stands for something it never ran since.
fn newer_of<'o>(
    stage: &Stage,
    current: &Revision,
    deployment: &Deployment,
    offers: &'o BTreeMap<PluginName, Offer>,
) -> Option<(&'o PluginName, &'o Offer)> {
    let PluginRef::Name { name, .. } = &stage.plugin else { return None };
    let (name, offer) = offers.get_key_value(name).filter(|_| stage.follow)?;
    let runs = |revision: &Revision| {
        let plugin = revision.plugins.get(&stage.name);
        matches!(plugin, Some(PluginVersion::Blob { blob, .. }) if blob.digest == offer.blob.digest)
    };
    // One that was taken back is not tried again, and somebody who went back to an older one meant it.
    let was_tried = deployment.revisions().any(|revision| revision.at_ms >= offer.at_ms && runs(revision));
    (!runs(current) && !was_tried).then_some((name, offer))
}

/// What was offered of a name.
#[derive(Clone, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
struct Mark {
    digest: String,
    signature: Option<String>,
}

/// What this node has offered, kept beside the files.
#[derive(Debug, Default, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
struct Offered(BTreeMap<String, Mark>);

impl Offered {
    /// A file of ours that cannot be read costs no more than that plugins are offered once more.
    fn read(folder: &Path) -> Self {
        let text = std::fs::read(Self::path(folder)).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    fn write(&self, folder: &Path) {
        let written = (|| -> io::Result<()> {
            let mut file = tempfile::NamedTempFile::new_in(folder)?;
            serde_json::to_writer(&mut file, self)?;
            file.as_file().sync_all()?;
            file.persist(Self::path(folder))?;
            Ok(())
        })();
        if let Err(error) = written {
            tracing::warn!(%error, "which plugins were offered is not noted; after a start they are offered again");
        }
    }

    fn path(folder: &Path) -> PathBuf {
        folder.join(".offered.json")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_offered_is_known_after_a_start() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Offered::read(folder.path()), Offered::default());
        let mark = Mark { digest: "sha256:00".to_owned(), signature: Some("s".to_owned()) };
        let offered = Offered([("counter".to_owned(), mark)].into());
        offered.write(folder.path());
        assert_eq!(Offered::read(folder.path()), offered);
        std::fs::write(folder.path().join(".offered.json"), "{").unwrap();
        assert_eq!(Offered::read(folder.path()), Offered::default(), "a damaged one is as none");
    }
}
