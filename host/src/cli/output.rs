//! What a running node prints: guests' lines and events, for people or as JSON.
//!
//! For people, a guest's standard output goes to ours as it is, so that it can be piped on;
//! everything else goes to the log on standard error. For programs, all of it is one object a line on
//! standard output:
//!
//! ```json
//! {"kind":"event","what":"owner","node":"a","epoch":"1.0e4ad2b1","stage":"counter"}
//! {"kind":"line","node":"a","stage":"printer","stream":"stdout","text":"a: [1000, 1001]"}
//! ```

use std::{
    io::{self, Write},
    sync::Arc,
};

use forebay_proto::ids::{NodeName, StageName};
use serde_json::{Value, json};
use tokio::sync::Notify;
use tracing_subscriber::EnvFilter;

use crate::{
    config::OutputFormat,
    node::{NodeEvent, Observer},
    registry::raft,
    runtime::{GuestOutput, LineKind},
    transport::quic,
};

/// Logs to standard error, at what `filter` lets through.
pub(super) fn start_log(filter: &str) {
    // Whoever wants to hear these libraries names them.
    let quiet = [raft::LOG_TARGET, quic::LOG_TARGET].map(|target| format!("{target}=off,")).concat();
    let filter = EnvFilter::try_new(quiet + filter).unwrap_or_else(|_| EnvFilter::new("info"));
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

/// Writes one line at once, so that lines of several tasks never mix.
pub(super) fn print_line(line: &str) {
    let mut out = io::stdout().lock();
    if writeln!(out, "{line}").and_then(|()| out.flush()).is_err() {
        READER_GONE.notify_one();
    }
}

/// Whoever read our standard output has gone, as `head` does.
static READER_GONE: Notify = Notify::const_new();

/// Waits until nobody reads our standard output any more. A node of a cluster goes on without;
/// commands whose output is their purpose end.
pub(super) async fn reader_gone() {
    READER_GONE.notified().await;
}

#[derive(Debug)]
struct Text {
    node: NodeName,
}

/// Under which name lines that stages log are filtered, apart from the host's own.
const STAGE_LINES: &str = "stage";

impl GuestOutput for Text {
    fn line(&self, stage: &StageName, kind: LineKind, line: &str) {
        let node = &self.node;
        match kind {
            LineKind::Stdout => print_line(line),
            LineKind::Stderr | LineKind::Log(tracing::Level::WARN) => {
                tracing::warn!(target: STAGE_LINES, %node, %stage, "{line}")
            }
            LineKind::Log(tracing::Level::ERROR) => tracing::error!(target: STAGE_LINES, %node, %stage, "{line}"),
            LineKind::Log(tracing::Level::INFO) => tracing::info!(target: STAGE_LINES, %node, %stage, "{line}"),
            LineKind::Log(_) => tracing::debug!(target: STAGE_LINES, %node, %stage, "{line}"),
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
        print_line(&object(&[("kind", "dropped"), ("node", node)], &json!({"stage": stage, "lines": count})));
    }
}

impl Observer for Json {
    fn event(&self, node: &NodeName, event: &NodeEvent) {
        let (what, fields) = event_json(event);
        print_line(&object(&[("kind", "event"), ("what", what), ("node", node.as_str())], &fields));
    }
}

/// A JSON object in one line that begins with `first`, for the eye: serde_json sorts by name.
pub(super) fn object(first: &[(&str, &str)], fields: &Value) -> String {
    let first: Vec<_> = first.iter().map(|(key, value)| format!("{}:{}", json!(key), json!(value))).collect();
    let fields = fields.to_string();
    match fields.trim_start_matches('{') {
        "}" => format!("{{{}}}", first.join(",")),
        rest => format!("{{{},{rest}", first.join(",")),
    }
}

/// What happened, and its fields.
fn event_json(event: &NodeEvent) -> (&'static str, Value) {
    match event {
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
        NodeEvent::Resized { stage, instances } => {
            ("resized", json!({"event": "resized", "stage": stage.as_str(), "instances": instances}))
        }
        NodeEvent::Recycled { stage, before_bytes, after_bytes } => {
            ("recycled", json!({"stage": stage.as_str(), "before_bytes": before_bytes, "after_bytes": after_bytes}))
        }
        NodeEvent::Finished { stage } => ("finished", json!({"stage": stage.as_str()})),
        NodeEvent::Quorum { holds, why } => ("quorum", json!({"holds": holds, "reason": why})),
        NodeEvent::Fenced { claim, to } => (
            "fenced",
            json!({
                "stage": claim.name.stage.as_str(),
                "epoch": claim.epoch.to_string(),
                "owner": to.as_ref().map(|claim| claim.node.as_str()),
            }),
        ),
        NodeEvent::DrainOrdered(drain) => ("drain_ordered", json!({"drain": drain})),
        NodeEvent::Expelled(why) => ("expelled", json!({"reason": why})),
        NodeEvent::Draining => ("draining", json!({})),
    }
}
