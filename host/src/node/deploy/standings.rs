//! How the stages of this node stand, as the core says, for whoever judges them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use forebay_proto::{deploy::Meter, ids::PipelineName};
use tokio::sync::watch;

use crate::node::{directory::StageKey, vitals::Vitals};

/// One stage on this node.
#[derive(Clone, Debug)]
pub(crate) struct Standing {
    pub(crate) revision: u64,
    pub(crate) is_global: bool,
    /// Of its latest start.
    pub(crate) vitals: Arc<Vitals>,
    pub(crate) runs: bool,
    /// What the version before it had done.
    pub(crate) former: Meter,
    /// A new version that failed, with the reason.
    pub(crate) failed: Option<String>,
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Standings {
    stages: Mutex<BTreeMap<StageKey, Standing>>,
    /// The last fit of each pipeline that the core has carried out.
    fitted: Mutex<BTreeMap<PipelineName, u64>>,
    changed: watch::Sender<()>,
}

impl Default for Standings {
    fn default() -> Self {
        Self { stages: Mutex::default(), fitted: Mutex::default(), changed: watch::Sender::new(()) }
    }
}

impl Standings {
    /// Each is put in whole.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<StageKey, Standing>> {
        self.stages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set(&self, key: &StageKey, standing: Standing) {
        self.lock().insert(key.clone(), standing);
        self.changed.send_replace(());
    }

    pub(crate) fn remove(&self, key: &StageKey) {
        self.lock().remove(key);
        self.changed.send_replace(());
    }

    pub(crate) fn get(&self, key: &StageKey) -> Option<Standing> {
        self.lock().get(key).cloned()
    }

    /// The core has begun to run what this fit says.
    pub(crate) fn fit(&self, pipeline: &PipelineName, number: u64) {
        self.fitted.lock().unwrap_or_else(PoisonError::into_inner).insert(pipeline.clone(), number);
        self.changed.send_replace(());
    }

    pub(crate) fn fitted(&self, pipeline: &PipelineName) -> Option<u64> {
        self.fitted.lock().unwrap_or_else(PoisonError::into_inner).get(pipeline).copied()
    }

    /// Told whenever one is another.
    pub(crate) fn news(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }
}
