//! What the group has agreed is to run, as this node knows it.

use std::collections::BTreeMap;

use forebay_proto::{
    deploy::{Deployment, Offer},
    ids::{PipelineName, PluginName},
};
use tokio::sync::watch;

use super::QuorumRegistry;

impl QuorumRegistry {
    /// What is to run of each pipeline that was deployed.
    pub fn deployments(&self) -> BTreeMap<PipelineName, Deployment> {
        self.inner
            .agreed
            .read(|ledger| ledger.deployments().map(|(name, deployment)| (name.clone(), deployment.clone())).collect())
    }

    /// One of these.
    pub fn deployment(&self, pipeline: &PipelineName) -> Option<Deployment> {
        self.inner.agreed.read(|ledger| {
            let mut all = ledger.deployments();
            all.find(|(name, _)| *name == pipeline).map(|(_, deployment)| deployment.clone())
        })
    }

    /// Plugins that can be used by name.
    pub fn offers(&self) -> BTreeMap<PluginName, Offer> {
        self.inner.agreed.read(|ledger| ledger.offers().map(|(name, offer)| (name.clone(), offer.clone())).collect())
    }

    /// Told whenever either may be another.
    pub fn deployment_news(&self) -> watch::Receiver<()> {
        self.inner.agreed.deployment_news()
    }
}
