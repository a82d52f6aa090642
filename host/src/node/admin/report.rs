//! What the core and the registry say of themselves.

use std::{net::SocketAddr, time::Duration};

use forebay_proto::{
    deploy::Meter,
    ids::BootId,
    names::{
        Claim, GlobalName,
        quorum::{Record, Term},
    },
    orders::Ordered,
    wire::Agreement,
};

use super::{Desk, Holds, Question, wire};
use crate::{
    node::{core::Core, pipelines::StageState, vitals::InHand},
    registry::{Registry, quorum::QuorumReport},
};

/// What only the core knows.
#[derive(Debug)]
pub(in crate::node) struct CoreReport {
    node: String,
    boot: BootId,
    addr: SocketAddr,
    up: Duration,
    peers: Vec<wire::Peer>,
    names: Vec<GlobalName>,
    stages: Vec<wire::Stage>,
    counts: Vec<(String, u64)>,
    quorum: bool,
    quorum_since_ms: u64,
}

impl Core {
    /// Answers a question; who asked may have left.
    pub(in crate::node) fn on_question(&mut self, question: Question) {
        match question {
            Question::Report(answer) => drop(answer.send(self.core_report())),
            Question::Resend { letters, answer } => drop(answer.send(self.resend(letters))),
        }
    }

    fn core_report(&self) -> CoreReport {
        CoreReport {
            node: self.name.to_string(),
            boot: self.boot,
            addr: self.transport.local_addr(),
            up: self.now(),
            peers: self.links.values().map(|link| peer(&link.peer, link.addr)).collect(),
            names: self.pipelines.iter().flat_map(|pipeline| pipeline.all_global_names()).collect(),
            stages: self.stage_reports(),
            counts: self.counters.read(),
            quorum: self.claims.quorum,
            quorum_since_ms: self.claims.quorum_since_ms,
        }
    }

    fn stage_reports(&self) -> Vec<wire::Stage> {
        let of = |pipeline: &crate::node::pipelines::RunningPipeline| {
            let stages = pipeline.stages.iter();
            let key = |name| pipeline.key(name);
            stages.map(|(name, state)| stage(&key(name), state, &self.registry.ordered(&key(name)))).collect::<Vec<_>>()
        };
        self.pipelines.iter().flat_map(of).collect()
    }
}

fn peer(node: &forebay_proto::ids::NodeName, addr: SocketAddr) -> wire::Peer {
    wire::Peer { node: node.to_string(), address: addr.to_string() }
}

fn stage(name: &GlobalName, state: &StageState, ordered: &Ordered) -> wire::Stage {
    let how = match &state.running {
        Some(_) if state.drains.is_some() || state.stop_at.is_some() => "draining",
        Some(_) => "running",
        None if state.restart_at.is_some() => "restarting",
        None => "idle",
    };
    let epoch = state.running.as_ref().filter(|_| state.is_global()).map(|_| state.epoch.to_string());
    let in_hand = state.running.as_ref().map(|_| {
        let InHand { buffered, unacked, queued, instances } = state.vitals.in_hand();
        let Meter { events: handled, rejected, calls, busy } = state.vitals.meter();
        let busy_us = u64::try_from(busy.as_micros()).unwrap_or(u64::MAX);
        wire::InHand { buffered, unacked, queued, running_instances: instances, handled, rejected, calls, busy_us }
    });
    let holds = Holds::new(state.plugin.role(), Ordered::default().in_force(&state.settings), ordered);
    wire::Stage { name: name.to_string(), global: state.is_global(), state: how.to_owned(), epoch, holds, in_hand }
}

impl Desk {
    /// The node, its group, and its stages, as `forebay status` shows them.
    ///
    /// # Errors
    /// If the node has ended.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn status(&self) -> Result<wire::Status, String> {
        let core = self.core().await?;
        let registry = self.registry()?;
        let report = registry.as_quorum().map(|quorum| quorum.report());
        let mut counts: std::collections::BTreeMap<_, _> = core.counts.into_iter().collect();
        if let Some(report) = &report {
            counts.insert("refused_requests".to_owned(), report.refused_requests);
        }
        let names = names(&*registry, core.names);
        let agreement = match registry.agreement() {
            Agreement::Islands => "islands",
            Agreement::Quorum => "quorum",
        };
        Ok(wire::Status {
            node: core.node,
            program: env!("CARGO_PKG_VERSION").to_owned(),
            boot: format!("{:016x}", core.boot.0),
            address: core.addr.to_string(),
            up_ms: ms(core.up),
            agreement: agreement.to_owned(),
            group: report.map(|report| group(&report, core.quorum, core.quorum_since_ms)),
            peers: core.peers,
            names: names.into_iter().map(|name| name.now).collect(),
            stages: core.stages,
            dead_letters: self.letters_kept(),
            counts,
        })
    }

    pub(super) async fn owners(&self) -> Result<Vec<wire::Name>, String> {
        let core = self.core().await?;
        Ok(names(&*self.registry()?, core.names))
    }
}

/// Names this node runs, and those it knows from others.
fn names(registry: &dyn Registry, of_pipelines: Vec<GlobalName>) -> Vec<wire::Name> {
    let recorded = registry.as_quorum().map(|quorum| quorum.names()).unwrap_or_default();
    let mut all: std::collections::BTreeMap<_, Option<Record>> =
        of_pipelines.into_iter().map(|name| (name, None)).collect();
    all.extend(recorded.into_iter().map(|(name, record)| (name, Some(record))));
    let named = |(name, record): (GlobalName, Option<Record>)| {
        let claim = registry.lookup(&name);
        let history = record.iter().flat_map(Record::history).map(term).collect();
        wire::Name { now: owned(&name, claim.as_ref()), history }
    };
    all.into_iter().map(named).collect()
}

fn owned(name: &GlobalName, claim: Option<&Claim>) -> wire::Owned {
    wire::Owned {
        name: name.to_string(),
        owner: claim.map(|claim| claim.node.to_string()),
        epoch: claim.map(|claim| claim.epoch.to_string()),
        since_ms: claim.map(|claim| claim.claimed_at_ms),
    }
}

fn term(term: &Term) -> wire::Term {
    wire::Term {
        node: term.node.to_string(),
        epoch: term.epoch.to_string(),
        from_ms: term.from_ms,
        to_ms: term.end.as_ref().map(|(at_ms, _)| *at_ms),
        why: term.end.as_ref().map(|(_, why)| why.to_string()),
    }
}

fn group(report: &QuorumReport, quorum: bool, quorum_since_ms: u64) -> wire::Group {
    let members = report.members.iter().map(|member| wire::Member {
        node: member.node.to_string(),
        member: member.member,
        votes: member.votes,
        connected: member.connected,
        draining: member.draining,
        address: member.addr.map(|addr| addr.to_string()),
        pipelines: member.pipelines.iter().map(ToString::to_string).collect(),
    });
    wire::Group {
        id: report.group.map(|group| group.to_string()),
        waits_for: report.waits_for.clone(),
        leader: report.leader.as_ref().map(ToString::to_string),
        term: report.term,
        applied: report.applied,
        generation: report.generation,
        quorum,
        quorum_since_ms,
        members: members.collect(),
        leaving: report.leaving.clone(),
        has_majority: report.has_majority(),
        critical: report.critical().into_iter().map(ToString::to_string).collect(),
    }
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
