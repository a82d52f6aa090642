//! Bringing this node to what the group has agreed is to run.
//!
//! ```text
//! ledger --> fitter (fitter.rs): fetches and loads (loading.rs), judges what is new (trial.rs), reports
//!               | fits                  ^ standings
//!               v                       |
//!             core (refit.rs): starts, replaces and ends stages
//! ```
//!
//! `planning.rs` says what a deploy would bring about, and `drops.rs` watches the node's `plugins` folder.
//!
//! The fitter is a task of its own: fetching and compiling take their time. The core is told what is to run only once all
//! of it can.

mod drops;
mod fitter;
mod loading;
mod planning;
mod refit;
mod standings;
mod trial;

use std::{collections::BTreeMap, fmt, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use forebay_proto::{
    blob::BlobInfo,
    deploy::PluginVersion,
    ids::{PipelineName, StageName},
    pipeline,
};

pub(in crate::node) use drops::Drops;
pub(crate) use fitter::Fitter;
pub use loading::StoreLoader;
pub(crate) use planning::{Code, Planned, plan};
pub(crate) use standings::Standings;

use super::{Blobs, pipelines::Fitted};
use crate::runtime::Plugin;

/// Fits that the core has not taken. When full, the fitter waits.
pub(super) const FITS_LEN: usize = 4;

/// What is to run of a pipeline on this node, as far as its labels allow.
#[derive(Debug)]
pub(crate) struct Fit {
    pub(crate) pipeline: PipelineName,
    /// All stages of it.
    pub(crate) stages: Vec<Fitted>,
}

/// What is to run cannot be had.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum LoadFailure {
    /// It will not work here, however often it is tried.
    #[error("{0}")]
    Refused(String),
    /// It may work later.
    #[error("{0}")]
    NotNow(String),
}

/// Where pipelines and plugins come from.
#[async_trait]
pub trait Loader: Send + Sync + fmt::Debug {
    /// The bytes of a pipeline file, fetched if they are not here.
    ///
    /// # Errors
    /// [`LoadFailure`].
    ///
    /// # Cancel safety
    /// Cancel safe: what was fetched is kept.
    async fn text(&self, blob: &BlobInfo) -> Result<Bytes, LoadFailure>;

    /// A plugin, fetched if it is not here, verified and loaded for this stage.
    ///
    /// # Errors
    /// [`LoadFailure`].
    ///
    /// # Cancel safety
    /// As [`Loader::text`].
    async fn plugin(&self, stage: &pipeline::Stage, version: &PluginVersion) -> Result<Arc<dyn Plugin>, LoadFailure>;

    /// Whether a file is a plugin that this node would take, whatever it asks for.
    ///
    /// # Errors
    /// With the reason.
    ///
    /// # Cancel safety
    /// Cancel safe.
    async fn check(&self, _label: &str, _bytes: Bytes, _signature: Option<&str>) -> Result<(), LoadFailure> {
        Ok(())
    }

    /// The way to the blobs of peers. Once, when the node starts.
    fn connect(&self, _blobs: Blobs) {}

    /// Which blobs are needed from now on: others may be thrown away.
    ///
    /// # Cancel safety
    /// Cancel safe.
    async fn keep(&self, _needed: Vec<BlobInfo>) {}
}

/// The stages of one revision, ready to run.
type Loaded = BTreeMap<StageName, (Arc<pipeline::Stage>, Arc<dyn Plugin>)>;
