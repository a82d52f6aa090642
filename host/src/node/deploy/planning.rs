//! What a deploy would bring about: the version that is meant, beside the one that runs.

use std::{collections::BTreeMap, sync::Arc};

use forebay_proto::{
    blob::BlobInfo,
    deploy::{self, Change, Deployment, Difference, PluginVersion, Step},
    ids::{PipelineName, StageName},
    pipeline::{Pipeline, PluginRef, Stage},
};

use super::{LoadFailure, Loader};
use crate::{
    node::pipelines::check_roles,
    registry::quorum::QuorumRegistry,
    runtime::{Plugin, native},
};

/// A version of a pipeline that was looked at, and loads here.
#[derive(Debug)]
pub(crate) struct Planned {
    pub(crate) pipeline: Pipeline,
    pub(crate) text: BlobInfo,
    pub(crate) plugins: BTreeMap<StageName, PluginVersion>,
    /// The one in force, with its number.
    pub(crate) former: Option<(u64, Pipeline, BTreeMap<StageName, PluginVersion>)>,
    pub(crate) after: u64,
    pub(crate) differences: BTreeMap<StageName, Difference>,
    pub(crate) steps: Vec<Step>,
}

/// The code of stages.
pub(crate) type Files = BTreeMap<StageName, PluginVersion>;

/// Which code is meant.
#[derive(Debug)]
pub(crate) enum Code {
    /// That of plugins that are files; names stand for what they stand for now.
    Files(Files),
    /// All of it.
    Exactly(Files),
}

/// Looks at a version: it must be readable, its plugins known, and all of it load here.
///
/// # Errors
/// With the reason.
///
/// # Cancel safety
/// Cancel safe.
pub(crate) async fn plan(
    quorum: &QuorumRegistry,
    loader: &dyn Loader,
    text: BlobInfo,
    code: Code,
) -> Result<Planned, String> {
    let pipeline = read(loader, text, None).await?;
    let plugins = match code {
        Code::Files(files) => resolve(&pipeline, quorum, &files)?,
        Code::Exactly(plugins) => plugins,
    };
    load(loader, &pipeline, &plugins).await?;
    let deployment = quorum.deployment(pipeline.name()).unwrap_or_default();
    let former = former(loader, pipeline.name(), &deployment).await?;
    let beside = former.as_ref().map(|(_, pipeline, plugins)| (pipeline, plugins));
    let differences = deploy::differences(beside, (&pipeline, &plugins));
    let steps = deploy::steps(beside.map(|(pipeline, _)| pipeline), &pipeline, &differences);
    Ok(Planned { text, plugins, former, after: deployment.latest(), differences, steps, pipeline })
}

async fn read(loader: &dyn Loader, text: BlobInfo, of: Option<(&PipelineName, u64)>) -> Result<Pipeline, String> {
    let bytes = loader.text(&text).await.map_err(|error| error.to_string())?;
    let file = of.map_or("the pipeline file".to_owned(), |(name, number)| format!("revision {number} of {name}"));
    Pipeline::parse_bytes(&bytes, &file).map_err(|error| error.to_string())
}

/// The version in force.
async fn former(
    loader: &dyn Loader,
    name: &PipelineName,
    deployment: &Deployment,
) -> Result<Option<(u64, Pipeline, BTreeMap<StageName, PluginVersion>)>, String> {
    let Some(revision) = deployment.current() else { return Ok(None) };
    let pipeline = read(loader, revision.text, Some((name, revision.number))).await?;
    Ok(Some((revision.number, pipeline, revision.plugins.clone())))
}

/// The code of every stage: what its file holds, or what its name stands for now.
fn resolve(pipeline: &Pipeline, quorum: &QuorumRegistry, files: &Files) -> Result<Files, String> {
    let offers = quorum.offers();
    let version = |stage: &Stage| match &stage.plugin {
        PluginRef::Builtin(name) if native::NAMES.contains(&name.as_str()) => Ok(PluginVersion::Builtin(name.clone())),
        PluginRef::Builtin(name) => {
            let known = native::NAMES.map(|name| format!("`builtin:{name}`")).join(", ");
            Err(format!("`builtin:{name}` cannot be deployed; of the built-in stages {known} can"))
        }
        PluginRef::File(path) => files.get(&stage.name).cloned().ok_or_else(|| {
            format!("its plugin {} did not come with the order; deploy with the `forebay` of the node", path.display())
        }),
        PluginRef::Name { name, digest } => match offers.get(name) {
            Some(offer) if digest.is_none_or(|digest| digest == offer.blob.digest) => {
                Ok(PluginVersion::Blob { blob: offer.blob, signature: offer.signature.clone() })
            }
            Some(offer) => {
                let found = offer.blob.digest;
                Err(format!("plugin `{name}` is {found} now, and the file asks for {}", digest.unwrap_or(found)))
            }
            None => Err(format!(
                "no plugin `{name}` is known here; put {name}.wasm into the `plugins` folder of a node, or write its path"
            )),
        },
    };
    let named = |stage: &Stage| match version(stage) {
        Ok(version) => Ok((stage.name.clone(), version)),
        Err(why) => Err(format!("stage `{}`: {why}", stage.name)),
    };
    pipeline.stages().iter().map(named).collect()
}

/// All of it must load, and go together.
async fn load(loader: &dyn Loader, pipeline: &Pipeline, plugins: &Files) -> Result<(), String> {
    let mut plugins_loaded: BTreeMap<StageName, Arc<dyn Plugin>> = BTreeMap::new();
    for stage in pipeline.stages() {
        let Some(version) = plugins.get(&stage.name) else { continue };
        let loaded: Result<Arc<dyn Plugin>, LoadFailure> = loader.plugin(stage, version).await;
        let plugin = loaded.map_err(|error| format!("stage `{}`: {error}", stage.name))?;
        plugins_loaded.insert(stage.name.clone(), plugin);
    }
    check_roles(pipeline, |stage| plugins_loaded.get(stage).map(|plugin| &**plugin)).map_err(|error| error.to_string())
}

impl Planned {
    /// What a stage may do that it could not before, in words.
    pub(crate) fn more(&self, stage: &StageName) -> Vec<String> {
        let before = self.former.as_ref().and_then(|(_, pipeline, _)| pipeline.stage(stage));
        let former = before.map(|stage| stage.grants.clone()).unwrap_or_default();
        self.pipeline.stage(stage).map(|stage| stage.grants.beyond(&former)).unwrap_or_default()
    }

    /// Stages that are replaced and ask for more, each with what.
    pub(crate) fn unapproved(&self) -> Vec<(StageName, Vec<String>)> {
        let replaced = self.differences.iter().filter(|(_, found)| found.change == Change::Replace);
        let asked = replaced.map(|(stage, _)| (stage.clone(), self.more(stage)));
        asked.filter(|(_, more)| !more.is_empty()).collect()
    }
}
