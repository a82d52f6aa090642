//! What the nodes of a cluster run, whatever it is.

use std::{
    collections::BTreeSet,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use forebay::{node::LoadedPipeline, runtime::StageError};
use forebay_proto::ids::{BootId, NodeName, StageName};

use crate::story::Instance;

/// One pipeline, the same on all nodes, of closures that tell the story.
pub(crate) trait Load: fmt::Debug + Send + Sync {
    /// The pipeline for one start of a node.
    ///
    /// # Errors
    /// If it cannot be made, which is a mistake of this test bed.
    fn pipeline(&self, boot: BootId) -> anyhow::Result<LoadedPipeline>;

    /// The labels of the node with this number.
    fn labels(&self, node: usize) -> BTreeSet<String>;

    /// All stages.
    fn stages(&self) -> Vec<&str>;

    /// Those of which the cluster has one each, sources first.
    fn global_stages(&self) -> Vec<&str>;

    /// Which of them are to fail.
    fn failing(&self) -> &Failing;
}

/// Stages that fail at their next call, by node. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Failing(Arc<Mutex<BTreeSet<(NodeName, StageName)>>>);

impl Failing {
    /// The next call of a stage on a node fails, and ends its instance.
    pub(crate) fn add(&self, node: &NodeName, stage: StageName) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert((node.clone(), stage));
    }

    /// Called with each call of each instance.
    ///
    /// # Errors
    /// It is the one that fails.
    pub(crate) fn check(&self, instance: &Instance) -> Result<(), StageError> {
        let mut failing = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if failing.remove(&(instance.node.clone(), instance.stage.clone())) {
            return Err(StageError::Fatal("as the schedule of faults says".to_owned()));
        }
        Ok(())
    }
}
