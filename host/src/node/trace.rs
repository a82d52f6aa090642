//! A node's trace: what crosses its edges and those of its stages, for `forebay-check` to judge.
//!
//! Off, it costs a branch where something would be said. The format is `forebay-trace`'s.

mod stage;

use std::{io, path::Path, sync::Arc};

use forebay_proto::{
    ids::{BootId, Epoch, NodeName, Seq},
    message::SeqRun,
    names::{Claim, GlobalName},
};
use forebay_trace::{Clock, Event, File, Run, Sink, Text, Writer};

pub(super) use stage::StageTrace;

use super::{directory::StageKey, link::Link, stage::Exit};

/// Where a node's trace goes, if anywhere. Clones write to the same.
#[derive(Clone, Debug, Default)]
pub struct Tracer(Option<Arc<Tracing>>);

#[derive(Debug)]
struct Tracing {
    writer: Writer,
    serials: bool,
}

impl Tracer {
    /// Says nothing.
    pub const OFF: Self = Self(None);

    /// The file that `FOREBAY_TRACE` names, appended to; nothing without it. With `FOREBAY_TRACE_SERIALS`
    /// set to something, records tell the numbers in payloads, see [`Tracer::with_serials`]. `env` looks
    /// up a variable.
    ///
    /// # Errors
    /// If the file cannot be opened.
    pub fn from_env(node: &NodeName, boot: BootId, env: &dyn Fn(&str) -> Option<String>) -> io::Result<Self> {
        let given = |variable| env(variable).filter(|value| !value.is_empty());
        let Some(path) = given("FOREBAY_TRACE") else { return Ok(Self::OFF) };
        let writer = Writer::new(node.as_str(), boot.0, Clock::Monotonic, File::append(Path::new(&path))?);
        let tracer = Self::new(writer);
        Ok(if given("FOREBAY_TRACE_SERIALS").is_some() { tracer.with_serials() } else { tracer })
    }

    /// Into a list in this process, dated by tokio's clock since `start`, which is to be the same for
    /// all nodes of the list.
    pub fn in_process(node: &NodeName, boot: BootId, start: tokio::time::Instant, sink: impl Sink + 'static) -> Self {
        let clock = Clock::Since(start.into_std(), || tokio::time::Instant::now().into_std());
        Self::new(Writer::new(node.as_str(), boot.0, clock, sink))
    }

    /// By a writer made for this start of this node.
    pub fn new(writer: Writer) -> Self {
        Self(Some(Arc::new(Tracing { writer, serials: false })))
    }

    /// Has records of events tell the numbers their payloads begin with: decimal digits, or 8 bytes
    /// that are a little-endian number. Costs a look at every payload at every edge.
    pub fn with_serials(self) -> Self {
        let with = |tracing: Arc<Tracing>| match Arc::try_unwrap(tracing) {
            Ok(tracing) => Arc::new(Tracing { serials: true, ..tracing }),
            // Somebody writes with it already.
            Err(shared) => shared,
        };
        Self(self.0.map(with))
    }

    /// Says what happened, if there is anybody to say it to.
    pub(crate) fn write(&self, event: impl FnOnce() -> Event) {
        if let Some(tracing) = &self.0 {
            tracing.writer.write(event());
        }
    }

    /// For what happens at the edge of one run of a stage.
    pub(super) fn stage(&self, key: &StageKey, epoch: Epoch, node: &NodeName, first: Seq) -> Option<Box<StageTrace>> {
        let tracing = Arc::clone(self.0.as_ref()?);
        Some(Box::new(StageTrace::new(tracing, name(key), number(epoch), node.as_str().into(), first)))
    }

    pub(super) fn checkpoint(&self, stage: &GlobalName, epoch: Epoch, previous: Seq, seq: Seq) {
        self.write(|| {
            let (prev, seq) = (stage::last_before(previous), stage::last_before(seq).unwrap_or_default());
            Event::CkptApplied { stage: name(stage), epoch: number(epoch), prev, seq, digest: None }
        });
    }

    pub(super) fn peer_up(&self, link: &Link) {
        self.write(|| Event::PeerUp { peer: link.peer.as_str().into(), peer_boot: forebay_trace::Boot(link.boot.0) });
    }

    pub(super) fn peer_down(&self, peer: &NodeName, reason: &str) {
        self.write(|| Event::PeerDown { peer: peer.as_str().into(), reason: reason.into() });
    }

    pub(super) fn granted(&self, claim: &Claim) {
        self.write(|| Event::ClaimGranted {
            stage: name(&claim.name),
            epoch: number(claim.epoch),
            ckpt: stage::last_before(claim.progress),
        });
    }

    pub(super) fn released(&self, stage: &GlobalName, epoch: Epoch) {
        self.write(|| Event::ClaimReleased { stage: name(stage), epoch: number(epoch) });
    }

    pub(super) fn lost(&self, claim: &Claim, to: Option<&Claim>) {
        self.write(|| Event::ClaimLost {
            stage: name(&claim.name),
            epoch: number(claim.epoch),
            to: to.map(|to| to.node.as_str().into()),
            by: to.map(|to| number(to.epoch)),
        });
    }

    pub(super) fn owner(&self, stage: &GlobalName, claim: Option<&Claim>) {
        self.write(|| Event::Owner {
            stage: name(stage),
            owner: claim.map(|claim| claim.node.as_str().into()),
            epoch: claim.map(|claim| number(claim.epoch)),
        });
    }

    pub(super) fn quorum(&self, holds: bool) {
        self.write(|| if holds { Event::LeaseRegained {} } else { Event::LeaseLost {} });
    }

    pub(super) fn role(&self, leads: bool, term: u64) {
        self.write(|| Event::Role { role: if leads { "leader" } else { "follower" }.into(), term });
    }

    pub(super) fn stopped(&self, key: &StageKey, epoch: Epoch, exit: &Exit) {
        self.write(|| {
            let reason = match exit {
                Exit::Ordered(reason) => format!("ordered: {reason}"),
                Exit::Cancelled(reason) => format!("cancelled: {reason}"),
                Exit::Failed(message) => format!("failed: {message}"),
            };
            Event::InstStop { stage: name(key), epoch: number(epoch), reason: reason.into() }
        });
    }
}

fn name(name: &GlobalName) -> Text {
    name.to_string().into()
}

fn number(epoch: Epoch) -> forebay_trace::Epoch {
    forebay_trace::Epoch(epoch.to_u64())
}

fn runs(runs: &[SeqRun]) -> Vec<Run> {
    runs.iter().map(|run| Run { first: run.first.0, count: run.count.into() }).collect()
}
