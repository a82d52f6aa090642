//! The ledger's part in what is to run: deployments of pipelines, and plugins by name.

use super::{Applied, Ledger, Outcome};
use crate::{
    deploy::{Deployment, Offer, Order},
    ids::{PipelineName, PluginName},
};

impl Ledger {
    /// What is to run of each pipeline that was deployed.
    pub fn deployments(&self) -> impl Iterator<Item = (&PipelineName, &Deployment)> {
        self.deployments.iter()
    }

    /// Plugins that can be used by name.
    pub fn offers(&self) -> impl Iterator<Item = (&PluginName, &Offer)> {
        self.offers.iter()
    }

    pub(super) fn order(&mut self, at_ms: u64, pipeline: PipelineName, order: Order) -> Applied {
        if order == Order::Forget {
            let known = self.deployments.contains_key(&pipeline);
            let outcome = self.forget(&pipeline);
            let deployed = known && outcome == Outcome::Done;
            return Applied { outcome, changed: Vec::new(), deployed };
        }
        let is_first = matches!(order, Order::Deploy { .. });
        let known = self.deployments.contains_key(&pipeline);
        if !known && !is_first {
            return Outcome::Refused(format!("no pipeline `{pipeline}` is deployed")).into();
        }
        let deployment = self.deployments.entry(pipeline.clone()).or_default();
        let before = deployment.clone();
        let outcome = match deployment.obey(at_ms, order) {
            Ok(()) => Outcome::Done,
            Err(why) => Outcome::Refused(format!("pipeline `{pipeline}`: {why}")),
        };
        let deployed = *deployment != before;
        if !known && !deployed {
            self.deployments.remove(&pipeline);
        }
        Applied { outcome, changed: Vec::new(), deployed }
    }

    /// Of stages without an owner: the others would put theirs on record again.
    fn forget(&mut self, pipeline: &PipelineName) -> Outcome {
        if self.deployments.get(pipeline).is_some_and(|deployment| !deployment.stages().is_empty()) {
            return Outcome::Refused(format!("pipeline `{pipeline}` is deployed; undeploy it first"));
        }
        let owned = self.names.iter().find(|(name, record)| name.pipeline == *pipeline && record.claim.is_some());
        if let Some((name, _)) = owned {
            return Outcome::Refused(format!("{name} is still owned; wait until it has ended"));
        }
        self.names.retain(|name, _| name.pipeline != *pipeline);
        self.inboxes.retain(|name, _| name.pipeline != *pipeline);
        self.ordered.retain(pipeline, |_| false);
        self.deployments.remove(pipeline);
        Outcome::Done
    }

    pub(super) fn offer(&mut self, name: PluginName, offer: Offer) -> Applied {
        let deployed = self.offers.insert(name, offer.clone()).as_ref() != Some(&offer);
        Applied { outcome: Outcome::Done, changed: Vec::new(), deployed }
    }
}
