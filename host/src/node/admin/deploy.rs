//! Deploying: what operators may ask and order of the pipelines that the group runs.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use bytes::Bytes;
use forebay_blobs::Uploaded;
use forebay_proto::{
    blob::{BlobInfo, Digest},
    deploy::{self, Change, Deployment, NewRevision, Order, Phase, PluginVersion, Report, Revision, Standing},
    ids::{NodeName, PipelineName, StageName},
    names::{GlobalName, quorum::Command},
    pipeline::Scope,
};

use super::{
    Desk,
    wire::{self, AboutDeploy, DeployAsked, Deploying},
};
use crate::{
    node::{
        Blobs,
        deploy::{Code, Loader, Planned, plan},
    },
    registry::{Registry, quorum::QuorumRegistry},
};

/// The longest part of a blob in a line. Unit: bytes.
pub const PART_BYTES_MAX: usize = 1 << 20;

/// As many blobs as a pipeline can have, and some.
const DIGESTS_MAX: usize = 600;

/// The longest time for which a first node is watched.
const CANARY_MAX: Duration = Duration::from_secs(3600);

/// How long a node may take to say how much it has fetched.
const HELD_WITHIN: Duration = Duration::from_millis(500);

/// What a node deploys with.
#[derive(Clone, Debug)]
pub(in crate::node) struct DeployDesk {
    pub(in crate::node) node: NodeName,
    pub(in crate::node) blobs: Blobs,
    pub(in crate::node) loader: Arc<dyn Loader>,
}

impl Desk {
    /// # Errors
    /// With the reason.
    pub(super) async fn deploy(&self, asked: DeployAsked) -> Result<AboutDeploy, String> {
        let registry = self.registry()?;
        let quorum = registry.as_quorum().ok_or_else(|| {
            "pipelines are deployed where nodes agree by a majority; with `agreement = \"islands\"` give each node its \
             pipelines with `--pipeline`"
                .to_owned()
        })?;
        let desk = self.deploys.as_ref().ok_or("this node has no data directory to deploy into")?;
        match asked {
            DeployAsked::Missing { digests } => desk.missing(&digests),
            DeployAsked::Upload { digest, bytes, at, base64 } => desk.upload(&digest, bytes, at, &base64).await,
            DeployAsked::Download { digest, from } => desk.download(&digest, from).await,
            DeployAsked::Plan(deploying) => {
                let planned = desk.planned(quorum, &deploying).await?;
                Ok(AboutDeploy::Plan(told(&planned, &*registry)))
            }
            DeployAsked::Start { deploying, after, approve } => desk.start(quorum, deploying, after, approve).await,
            DeployAsked::Rollback { pipeline, to, canary_ms } => desk.rollback(quorum, &pipeline, to, canary_ms).await,
            DeployAsked::Pause { pipeline, paused } => order(quorum, &pipeline, Order::Pause(paused)).await,
            DeployAsked::Undeploy { pipeline } => order(quorum, &pipeline, Order::Undeploy).await,
            DeployAsked::Forget { pipeline } => order(quorum, &pipeline, Order::Forget).await,
            DeployAsked::State { pipeline } => desk.deployments(quorum, pipeline.as_deref()).await,
            DeployAsked::Plugins => Ok(AboutDeploy::Plugins(offered(quorum))),
        }
    }
}

fn unknown(asked: &str, known: &BTreeMap<PipelineName, Deployment>) -> String {
    let known: Vec<_> = known.keys().map(PipelineName::as_str).collect();
    let known = if known.is_empty() { "none is".to_owned() } else { format!("deployed are: {}", known.join(", ")) };
    format!("no pipeline `{}` is deployed; {known}", asked.escape_debug())
}

async fn order(quorum: &QuorumRegistry, pipeline: &str, order: Order) -> Result<AboutDeploy, String> {
    let name: PipelineName = pipeline.parse().map_err(|error| format!("pipeline: {error}"))?;
    if quorum.deployment(&name).is_none() {
        return Err(unknown(pipeline, &quorum.deployments()));
    }
    quorum.order(Command::Deployment { pipeline: name, order }).await?;
    Ok(AboutDeploy::Done)
}

fn digest(text: &str) -> Result<Digest, String> {
    text.parse().map_err(|error: forebay_proto::blob::DigestError| error.to_string())
}

impl DeployDesk {
    async fn deployments(&self, quorum: &QuorumRegistry, pipeline: Option<&str>) -> Result<AboutDeploy, String> {
        let all = quorum.deployments();
        let asked = |(name, _): &(&PipelineName, &Deployment)| pipeline.is_none_or(|asked| name.as_str() == asked);
        let found: Vec<_> = all.iter().filter(asked).collect();
        if let (Some(asked), true) = (pipeline, found.is_empty()) {
            return Err(unknown(asked, &all));
        }
        let present: Vec<_> = quorum.report().members.into_iter().filter(|member| member.connected).collect();
        let mut told = Vec::new();
        for (name, found) in found {
            let mut one = deployment(name, found);
            if let Some((under_way, rollout)) = found.rollout().zip(one.rollout.as_mut()) {
                let fetching = found.revision(under_way.revision).filter(|_| under_way.step().is_none());
                let blobs = fetching.map(Revision::blobs).unwrap_or_default();
                for member in &present {
                    if !rollout.nodes.contains_key(member.node.as_str()) {
                        let fetched = self.fetched(&member.node, &blobs).await;
                        // With all of it there, compiling is what is left.
                        let compiles = fetched.is_some_and(|[held, all]| held >= all);
                        let said = if compiles { "compiling" } else { "waiting" };
                        let waiting = wire::NodeProgress { said: said.to_owned(), fetched };
                        rollout.nodes.insert(member.node.to_string(), waiting);
                    }
                }
            }
            told.push(one);
        }
        Ok(AboutDeploy::State(told))
    }

    /// How much of these a node has, and of how much, if there is anything to fetch.
    async fn fetched(&self, node: &NodeName, blobs: &[BlobInfo]) -> Option<[u64; 2]> {
        if blobs.is_empty() {
            return None;
        }
        let held = tokio::time::timeout(HELD_WITHIN, self.blobs.held(node, blobs)).await.ok()??;
        Some([held, blobs.iter().map(|blob| blob.bytes).sum()])
    }

    fn missing(&self, digests: &[String]) -> Result<AboutDeploy, String> {
        if digests.len() > DIGESTS_MAX {
            return Err(format!("{} digests in one question, at most {DIGESTS_MAX} are answered", digests.len()));
        }
        let mut missing = Vec::new();
        for text in digests {
            if !self.blobs.store().has(&digest(text)?) {
                missing.push(text.clone());
            }
        }
        Ok(AboutDeploy::Missing(missing))
    }

    async fn upload(&self, of: &str, bytes: u64, at: u64, base64: &str) -> Result<AboutDeploy, String> {
        let part = BASE64.decode(base64).map_err(|error| format!("the part is no Base64: {error}"))?;
        let uploaded = self.blobs.store().upload(&digest(of)?, bytes, at, Bytes::from(part)).await;
        match uploaded.map_err(|error| crate::chain::chain(&error))? {
            Uploaded::Held(held) => Ok(AboutDeploy::Uploaded { held }),
            Uploaded::Whole(info) => Ok(AboutDeploy::Uploaded { held: info.bytes }),
        }
    }

    async fn download(&self, of: &str, from: u64) -> Result<AboutDeploy, String> {
        let bytes = self.blobs.store().read(&digest(of)?).await.map_err(|error| crate::chain::chain(&error))?;
        let begin = usize::try_from(from).unwrap_or(usize::MAX).min(bytes.len());
        let end = bytes.len().min(begin.saturating_add(PART_BYTES_MAX));
        Ok(AboutDeploy::Part { bytes: bytes.len() as u64, base64: BASE64.encode(&bytes[begin..end]) })
    }

    async fn info(&self, of: &str) -> Result<BlobInfo, String> {
        self.blobs.store().info(&digest(of)?).await.map_err(|error| crate::chain::chain(&error))
    }

    async fn planned(&self, quorum: &QuorumRegistry, deploying: &Deploying) -> Result<Planned, String> {
        let mut files = BTreeMap::new();
        for (stage, file) in &deploying.plugins {
            let stage: StageName = stage.parse().map_err(|error| format!("stage: {error}"))?;
            if let Some(signature) = &file.signature {
                deploy::check_signature(signature).map_err(|why| format!("stage `{stage}`: {why}"))?;
            }
            let blob = self.info(&file.digest).await?;
            files.insert(stage, PluginVersion::Blob { blob, signature: file.signature.clone() });
        }
        plan(quorum, &*self.loader, self.info(&deploying.text).await?, Code::Files(files)).await
    }

    async fn start(
        &self,
        quorum: &QuorumRegistry,
        deploying: Deploying,
        after: u64,
        approve: bool,
    ) -> Result<AboutDeploy, String> {
        let planned = self.planned(quorum, &deploying).await?;
        if planned.after != after {
            return Err(format!("revision {} came meanwhile; look at the plan again", planned.after));
        }
        if let Some((stage, more)) = planned.unapproved().first().filter(|_| !approve) {
            return Err(format!("stage `{stage}` asks for more than before: {}; --approve allows it", more.join(", ")));
        }
        self.propose(quorum, planned, deploying.canary_ms, deploying.why).await
    }

    pub(in crate::node) async fn propose(
        &self,
        quorum: &QuorumRegistry,
        planned: Planned,
        canary_ms: u64,
        why: String,
    ) -> Result<AboutDeploy, String> {
        if planned.steps.is_empty() {
            return Err("nothing differs from what runs".to_owned());
        }
        let canary = Duration::from_millis(canary_ms).min(CANARY_MAX);
        let Planned { pipeline, text, plugins, former, after, steps, .. } = planned;
        let beside = former.map(|(number, _, _)| number);
        let new = Box::new(NewRevision { text, plugins, by: self.node.clone(), why, steps, canary, beside });
        let command = Command::Deployment { pipeline: pipeline.name().clone(), order: Order::Deploy { after, new } };
        quorum.order(command).await?;
        Ok(AboutDeploy::Started { revision: Some(after + 1) })
    }

    async fn rollback(
        &self,
        quorum: &QuorumRegistry,
        pipeline: &str,
        to: Option<u64>,
        canary_ms: u64,
    ) -> Result<AboutDeploy, String> {
        let name: PipelineName = pipeline.parse().map_err(|error| format!("pipeline: {error}"))?;
        let found = quorum.deployment(&name).ok_or_else(|| unknown(pipeline, &quorum.deployments()))?;
        if let Some(rollout) =
            found.rollout().filter(|rollout| to.is_none_or(|to| rollout.former.values().any(|n| *n == to)))
        {
            let back = Order::Back { revision: rollout.revision, why: "an operator took it back".to_owned() };
            order(quorum, pipeline, back).await?;
            return Ok(AboutDeploy::Started { revision: None });
        }
        let current = found.current().map_or(u64::MAX, |revision| revision.number);
        let is_it = |revision: &&Revision| match to {
            Some(to) => revision.number == to,
            None => revision.number < current && matches!(revision.standing, Standing::RolledOut { .. }),
        };
        let Some(revision) = found.revisions().rev().find(is_it) else {
            let known: Vec<_> = found.revisions().map(|revision| revision.number.to_string()).collect();
            let what = to.map_or("a revision before this one".to_owned(), |to| format!("revision {to}"));
            return Err(format!("{what} is not remembered; revisions are: {}", known.join(", ")));
        };
        // Names stand for what they stood for then.
        let code = Code::Exactly(revision.plugins.clone());
        let planned = plan(quorum, &*self.loader, revision.text, code).await?;
        self.propose(quorum, planned, canary_ms, format!("back to revision {}", revision.number)).await
    }
}

/// A plan, for operators.
fn told(planned: &Planned, registry: &dyn Registry) -> wire::Plan {
    let code = |plugins: Option<&BTreeMap<StageName, PluginVersion>>, stage: &StageName| {
        plugins.and_then(|plugins| plugins.get(stage)).map(ToString::to_string)
    };
    let before = planned.former.as_ref();
    let in_order = planned.steps.iter().flat_map(|step| step.stages.iter().map(move |stage| (step.change, stage)));
    let stage = |(change, stage): (Change, &StageName)| {
        let settings = planned.pipeline.stage(stage).or_else(|| before.and_then(|(_, old, _)| old.stage(stage)));
        let name = GlobalName { pipeline: planned.pipeline.name().clone(), stage: stage.clone() };
        wire::PlannedStage {
            stage: stage.to_string(),
            change: change_text(change).to_owned(),
            code: [code(before.map(|(_, _, plugins)| plugins), stage), code(Some(&planned.plugins), stage)],
            settings: planned.differences.get(stage).is_some_and(|found| found.settings),
            scope: match settings.map(|settings| settings.scope) {
                Some(Scope::Global) => "global".to_owned(),
                _ => "node".to_owned(),
            },
            owner: registry.lookup(&name).map(|claim| claim.node.to_string()),
            more: if change == Change::Stop { Vec::new() } else { planned.more(stage) },
        }
    };
    wire::Plan {
        pipeline: planned.pipeline.name().to_string(),
        after: planned.after,
        current: before.map(|(number, _, _)| *number),
        stages: in_order.map(stage).collect(),
    }
}

fn change_text(change: Change) -> &'static str {
    match change {
        Change::Start => "start",
        Change::Replace => "replace",
        Change::Stop => "stop",
    }
}

fn deployment(name: &PipelineName, found: &Deployment) -> wire::Deployment {
    wire::Deployment {
        pipeline: name.to_string(),
        current: found.current().map(|revision| revision.number),
        paused: found.is_paused(),
        stages: found.stages().iter().map(|(stage, number)| (stage.to_string(), *number)).collect(),
        rollout: found.rollout().map(rollout),
        revisions: found.revisions().map(revision).collect(),
    }
}

fn rollout(rollout: &deploy::Rollout) -> wire::Rollout {
    let said = |report: &Report| match report {
        Report::Well => "well",
        Report::NotHere => "not here",
        Report::Failed(_) => "failed",
    };
    let node = |(node, report): (&NodeName, &Report)| {
        (node.to_string(), wire::NodeProgress { said: said(report).to_owned(), fetched: None })
    };
    wire::Rollout {
        revision: rollout.revision,
        steps: rollout.steps.len() as u64 + 1,
        at: rollout.at.into(),
        change: rollout.step().map_or("fetch", |step| change_text(step.change)).to_owned(),
        stages: rollout.step().iter().flat_map(|step| &step.stages).map(ToString::to_string).collect(),
        canary: match &rollout.phase {
            Phase::Canary(node) => Some(node.to_string()),
            Phase::Pending | Phase::Everywhere => None,
        },
        nodes: rollout.reports.iter().map(node).collect(),
    }
}

fn revision(revision: &Revision) -> wire::Revision {
    let (standing, ended_ms, fault) = match &revision.standing {
        Standing::RollingOut => ("rolling out", None, None),
        Standing::RolledOut { at_ms } => ("rolled out", Some(*at_ms), None),
        Standing::RolledBack { at_ms, why } => ("rolled back", Some(*at_ms), Some(why.clone())),
    };
    wire::Revision {
        number: revision.number,
        text: revision.text.digest.to_string(),
        plugins: revision.plugins.iter().map(|(stage, code)| (stage.to_string(), code.to_string())).collect(),
        at_ms: revision.at_ms,
        by: revision.by.to_string(),
        why: revision.why.clone(),
        standing: standing.to_owned(),
        ended_ms,
        fault,
    }
}

fn offered(quorum: &QuorumRegistry) -> Vec<wire::Offered> {
    let told = |(name, offer): (forebay_proto::ids::PluginName, deploy::Offer)| wire::Offered {
        name: name.to_string(),
        digest: offer.blob.digest.to_string(),
        bytes: offer.blob.bytes,
        signed: offer.signature.is_some(),
        node: offer.node.to_string(),
        at_ms: offer.at_ms,
    };
    quorum.offers().into_iter().map(told).collect()
}
