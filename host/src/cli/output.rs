//! What a running node prints: guests' lines and events, for people or as JSON.
//!
//! For people, a guest's standard output goes to ours as it is, so that it can be piped on;
//! everything else goes to the log on standard error. For programs, all of it is one object a line on
//! standard output:
//!
//! ```json
//! {"kind":"event","node":"a","what":"owner","stage":"counter","epoch":"1.0e4ad2b1"}
//! {"kind":"line","node":"a","stage":"printer","stream":"stdout","text":"a: [1000, 1001]"}
//! ```

use std::{
    io::{self, Write},
    sync::Arc,
};

use forebay_proto::ids::{NodeName, StageName};
use serde_json::{Value, json};
use tracing_subscriber::EnvFilter;

use crate::{
    config::OutputFormat,
    node::{NodeEvent, Observer},
    runtime::{GuestOutput, LineKind},
};

/// Logs to standard error, at what `filter` lets through.
pub(super) fn start_log(filter: &str) {
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"));
    // A second call, in tests, keeps the first log.
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_target(false).try_init();
}

/// The observer for `format`.
pub(super) fn observer(node: NodeName, format: OutputFormat) -> Arc<dyn Observer> {
    match format {
        OutputFormat::Text => Arc::new(Text { node }),
        OutputFormat::Json => Arc::new(Json { node }),
    }
}

/// Writes one line at once, so that lines of several tasks never mix. Whoever reads us may have gone;
/// the node goes on without.
pub(super) fn print_line(line: &str) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

#[derive(Debug)]
struct Text {
    node: NodeName,
}

impl GuestOutput for Text {
    fn line(&self, stage: &StageName, kind: LineKind, line: &str) {
        let node = &self.node;
        match kind {
            LineKind::Stdout => print_line(line),
            LineKind::Stderr | LineKind::Log(tracing::Level::WARN) => tracing::warn!(%node, %stage, "{line}"),
            LineKind::Log(tracing::Level::ERROR) => tracing::error!(%node, %stage, "{line}"),
            LineKind::Log(tracing::Level::INFO) => tracing::info!(%node, %stage, "{line}"),
            LineKind::Log(_) => tracing::debug!(%node, %stage, "{line}"),
        }
    }

    fn dropped(&self, stage: &StageName, count: u64) {
        tracing::warn!(node = %self.node, %stage, count, "lines dropped: over `limits.log_lines_per_second`");
    }
}

impl Observer for Text {
    fn event(&self, node: &NodeName, event: &NodeEvent) {
        match event {
            NodeEvent::GaveUp { .. } => tracing::error!(%node, "{event}"),
            NodeEvent::Conflict { .. }
            | NodeEvent::Restarting { .. }
            | NodeEvent::PeerDown { .. }
            | NodeEvent::Counted { .. } => tracing::warn!(%node, "{event}"),
            _ => tracing::info!(%node, "{event}"),
        }
    }
}

#[derive(Debug)]
struct Json {
    node: NodeName,
}

impl GuestOutput for Json {
    fn line(&self, stage: &StageName, kind: LineKind, line: &str) {
        let stream = match kind {
            LineKind::Stdout => "stdout".to_owned(),
            LineKind::Stderr => "stderr".to_owned(),
            LineKind::Log(level) => level.as_str().to_lowercase(),
        };
        let (node, stage) = (self.node.as_str(), stage.as_str());
        print_line(&json!({"kind": "line", "node": node, "stage": stage, "stream": stream, "text": line}).to_string());
    }

    fn dropped(&self, stage: &StageName, count: u64) {
        let (node, stage) = (self.node.as_str(), stage.as_str());
        print_line(&json!({"kind": "dropped", "node": node, "stage": stage, "lines": count}).to_string());
    }
}

impl Observer for Json {
    fn event(&self, node: &NodeName, event: &NodeEvent) {
        print_line(&event_json(node, event).to_string());
    }
}

fn event_json(node: &NodeName, event: &NodeEvent) -> Value {
    let (what, fields) = match event {
        NodeEvent::Listening(addr) => ("listening", json!({"address": addr.to_string()})),
        NodeEvent::PeerUp(peer) => ("peer_up", json!({"peer": peer.as_str()})),
        NodeEvent::PeerDown { peer, reason } => ("peer_down", json!({"peer": peer.as_str(), "reason": reason})),
        NodeEvent::Owner(claim) => {
            ("owner", json!({"stage": claim.name.stage.as_str(), "epoch": claim.epoch.to_string()}))
        }
        NodeEvent::Conflict { winner, loser } => (
            "conflict",
            json!({
                "stage": winner.name.stage.as_str(),
                "winner": winner.node.as_str(),
                "loser": loser.node.as_str(),
            }),
        ),
        NodeEvent::Started { stage } => ("started", json!({"stage": stage.as_str()})),
        NodeEvent::Stopped { stage, reason } => ("stopped", json!({"stage": stage.as_str(), "reason": reason})),
        NodeEvent::Restarting { stage, reason, after } => (
            "restarting",
            json!({"stage": stage.as_str(), "reason": reason, "after_ms": u64::try_from(after.as_millis()).ok()}),
        ),
        NodeEvent::GaveUp { stage, reason } => ("gave_up", json!({"stage": stage.as_str(), "reason": reason})),
        NodeEvent::Subscribed { stage, source, owner } => (
            "subscribed",
            json!({
                "stage": stage.as_str(),
                "source": source.as_str(),
                "owner": owner.node.as_str(),
                "epoch": owner.epoch.to_string(),
            }),
        ),
        NodeEvent::Unsubscribed { stage, reason } => {
            ("unsubscribed", json!({"stage": stage.as_str(), "reason": reason.to_string()}))
        }
        NodeEvent::Counted { stage, what } => ("counted", json!({"stage": stage.as_str(), "text": what})),
        NodeEvent::Finished { stage } => ("finished", json!({"stage": stage.as_str()})),
        NodeEvent::Draining => ("draining", json!({})),
    };
    let mut object = json!({"kind": "event", "node": node.as_str(), "what": what});
    if let (Value::Object(object), Value::Object(fields)) = (&mut object, fields) {
        object.extend(fields);
    }
    object
}
