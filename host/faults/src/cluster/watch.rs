//! What is known of a cluster from what its nodes say on standard output: who owns the counter, who is
//! subscribed to whom, when events were handled.

use std::time::{Duration, Instant};

use serde_json::Value;

/// The stage that all others consume from; the printers are its consumers.
pub(crate) const SOURCE: &str = "counter";

/// The stage on every node that prints each batch it handles.
pub(crate) const SINK: &str = "printer";

/// The stage that counts in a cluster with a stage between it and the printers, which is the source then.
pub(crate) const NUMBERS: &str = "numbers";

/// The first stage of the pipeline: the one that counts, or that events are pushed into.
pub(crate) fn inlet(chain: bool) -> &'static str {
    if chain { NUMBERS } else { SOURCE }
}

/// Whether a stage, as traces write it with its pipeline, has this name.
pub(crate) fn is_stage(stage: &str, name: &str) -> bool {
    stage.rsplit('/').next() == Some(name)
}

/// A node's subscription to the source.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Subscription {
    /// The owner's name.
    owner: String,
    epoch: String,
    at: Instant,
}

/// What is known of one node, since its process was started.
#[derive(Debug)]
struct View {
    name: String,
    /// It was started and has neither ended nor been killed.
    up: bool,
    listening: bool,
    /// The epoch in which it says it owns the source.
    owns: Option<String>,
    subscription: Option<Subscription>,
    handled: Option<Instant>,
}

/// What is known of a cluster.
#[derive(Debug)]
pub(crate) struct Watch {
    views: Vec<View>,
    /// When a batch was last handled anywhere.
    handled: Instant,
    /// The longest time without one since `begin`.
    silence: Duration,
    takeovers: u64,
    last_owner: Option<String>,
}

impl Watch {
    pub(crate) fn new(names: &[String], now: Instant) -> Self {
        let view = |name: &String| View {
            name: name.clone(),
            up: false,
            listening: false,
            owns: None,
            subscription: None,
            handled: None,
        };
        Self {
            views: names.iter().map(view).collect(),
            handled: now,
            silence: Duration::ZERO,
            takeovers: 0,
            last_owner: None,
        }
    }

    /// A node's process was started, or has ended: what it said before holds no more.
    pub(crate) fn set_up(&mut self, node: usize, up: bool) {
        let view = &mut self.views[node];
        (view.up, view.listening, view.owns) = (up, false, None);
        (view.subscription, view.handled) = (None, None);
    }

    /// Counts silence from here.
    pub(crate) fn begin(&mut self, now: Instant) {
        self.handled = now;
        self.silence = Duration::ZERO;
    }

    /// The longest time since `begin` in which no batch was handled on any node.
    pub(crate) fn silence(&self, now: Instant) -> Duration {
        self.silence.max(now.saturating_duration_since(self.handled))
    }

    /// How often the source went from one owner, or from one epoch of it, to another.
    pub(crate) fn takeovers(&self) -> u64 {
        self.takeovers
    }

    /// The nodes whose process runs.
    pub(crate) fn up(&self) -> impl Iterator<Item = usize> {
        self.views.iter().enumerate().filter(|(_, view)| view.up).map(|(node, _)| node)
    }

    /// Whether it said where it listens.
    pub(crate) fn is_listening(&self, node: usize) -> bool {
        self.views[node].listening
    }

    /// The one node that says it owns the source.
    pub(crate) fn owner(&self) -> Option<usize> {
        let mut owners = self.owners();
        let first = owners.next();
        first.filter(|_| owners.next().is_none())
    }

    fn owners(&self) -> impl Iterator<Item = usize> {
        self.views.iter().enumerate().filter(|(_, view)| view.owns.is_some()).map(|(node, _)| node)
    }

    /// When a node last handled a batch that came over its present subscription.
    pub(crate) fn handled(&self, node: usize) -> Option<Instant> {
        let view = &self.views[node];
        let subscribed = view.subscription.as_ref()?.at;
        view.handled.filter(|handled| *handled > subscribed)
    }

    /// Whether all is well: one owner, and since `since` every running node has handled events of it.
    ///
    /// # Errors
    /// What is missing, in words.
    pub(crate) fn recovered(&self, since: Instant) -> Result<(), String> {
        let owners: Vec<_> = self.owners().collect();
        let [owner] = owners[..] else {
            let names: Vec<_> = owners.iter().map(|node| self.views[*node].name.as_str()).collect();
            return Err(format!("`{SOURCE}` has {} owners: [{}]", owners.len(), names.join(", ")));
        };
        let owner = &self.views[owner];
        for node in self.up() {
            let view = &self.views[node];
            let is_of_owner = |it: &&Subscription| it.owner == owner.name && Some(&it.epoch) == owner.owns.as_ref();
            if view.subscription.as_ref().filter(is_of_owner).is_none() {
                let epoch = owner.owns.as_deref().unwrap_or_default();
                return Err(format!("{} is not subscribed to {} in epoch {epoch}", view.name, owner.name));
            }
            if self.handled(node).is_none_or(|handled| handled <= since) {
                return Err(format!("{} has handled no event of {}", view.name, owner.name));
            }
        }
        Ok(())
    }

    /// Takes a line of a node's standard output.
    pub(crate) fn hear(&mut self, node: usize, line: &Value, at: Instant) {
        match text(line, "kind") {
            "line" if line["stage"] == SINK && line["stream"] == "stdout" => self.hear_batch(node, at),
            "event" => self.hear_event(node, line, at),
            _ => {}
        }
    }

    fn hear_batch(&mut self, node: usize, at: Instant) {
        self.silence = self.silence.max(at.saturating_duration_since(self.handled));
        // Lines of several nodes come in the order of their readers.
        self.handled = self.handled.max(at);
        self.views[node].handled = Some(at);
    }

    fn hear_event(&mut self, node: usize, line: &Value, at: Instant) {
        let view = &mut self.views[node];
        match text(line, "what") {
            "listening" => view.listening = true,
            "owner" if line["stage"] == SOURCE => {
                let owner = format!("{} {}", view.name, text(line, "epoch"));
                view.owns = Some(text(line, "epoch").to_owned());
                let last = self.last_owner.replace(owner.clone());
                self.takeovers += u64::from(last.is_some_and(|last| last != owner));
            }
            "stopped" | "restarting" | "gave_up" if line["stage"] == SOURCE => view.owns = None,
            "subscribed" if line["stage"] == SINK => {
                let [owner, epoch] = ["owner", "epoch"].map(|key| text(line, key).to_owned());
                view.subscription = Some(Subscription { owner, epoch, at });
            }
            // The end of a subscription is not looked at: it may be that of an earlier one, and a new
            // one begins with a new `subscribed`.
            _ => {}
        }
    }
}

fn text<'a>(line: &'a Value, key: &str) -> &'a str {
    line[key].as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    struct Told {
        watch: Watch,
        start: Instant,
    }

    impl Told {
        fn new() -> Self {
            let start = Instant::now();
            let names = ["a", "b"].map(str::to_owned);
            let mut watch = Watch::new(&names, start);
            watch.set_up(0, true);
            watch.set_up(1, true);
            Self { watch, start }
        }

        fn at(&self, ms: u64) -> Instant {
            self.start + Duration::from_millis(ms)
        }

        fn owner(&mut self, node: usize, epoch: &str) {
            let line = json!({"kind": "event", "what": "owner", "stage": "counter", "epoch": epoch});
            self.watch.hear(node, &line, self.start);
        }

        fn subscribed(&mut self, node: usize, owner: &str, epoch: &str, ms: u64) {
            let line =
                json!({"kind": "event", "what": "subscribed", "stage": "printer", "owner": owner, "epoch": epoch});
            self.watch.hear(node, &line, self.at(ms));
        }

        fn batch(&mut self, node: usize, ms: u64) {
            let line = json!({"kind": "line", "stage": "printer", "stream": "stdout", "text": "a: [1]"});
            self.watch.hear(node, &line, self.at(ms));
        }

        fn missing(&self, since_ms: u64) -> String {
            self.watch.recovered(self.at(since_ms)).unwrap_err()
        }
    }

    #[test]
    fn all_is_well_when_every_node_has_handled_events_of_the_one_owner() {
        let mut told = Told::new();
        assert_eq!(told.missing(0), "`counter` has 0 owners: []");
        told.owner(0, "1.x");
        assert_eq!(told.missing(0), "a is not subscribed to a in epoch 1.x");
        told.subscribed(0, "a", "1.x", 1);
        told.subscribed(1, "a", "1.x", 1);
        assert_eq!(told.missing(0), "a has handled no event of a");
        told.batch(0, 2);
        told.batch(1, 3);
        assert_eq!(told.watch.recovered(told.at(1)), Ok(()));
        assert_eq!(told.missing(2), "a has handled no event of a", "the node's last batch was no later");
        told.owner(1, "2.y");
        assert_eq!(told.missing(0), "`counter` has 2 owners: [a, b]");
        assert_eq!(told.watch.owner(), None);
    }

    #[test]
    fn a_batch_from_before_the_subscription_does_not_count() {
        let mut told = Told::new();
        told.owner(0, "1.x");
        told.batch(1, 5);
        told.subscribed(1, "a", "1.x", 6);
        assert_eq!(told.watch.handled(1), None);
        told.batch(1, 7);
        assert_eq!(told.watch.handled(1), Some(told.at(7)));
    }

    #[test]
    fn a_node_that_ended_is_not_asked_for() {
        let mut told = Told::new();
        told.owner(0, "1.x");
        told.owner(1, "1.y");
        told.watch.set_up(1, false);
        assert_eq!(told.watch.owner(), Some(0));
        told.subscribed(0, "a", "1.x", 1);
        told.batch(0, 2);
        assert_eq!(told.watch.recovered(told.at(0)), Ok(()));
    }

    #[test]
    fn the_longest_silence_is_between_any_two_batches() {
        let mut told = Told::new();
        told.watch.begin(told.at(100));
        for (node, ms) in [(0, 150), (1, 400), (0, 420)] {
            told.batch(node, ms);
        }
        assert_eq!(told.watch.silence(told.at(430)), Duration::from_millis(250));
        assert_eq!(told.watch.silence(told.at(1_420)), Duration::from_secs(1), "one that goes on counts too");
    }

    #[test]
    fn a_takeover_is_a_new_owner_or_epoch() {
        let mut told = Told::new();
        told.owner(0, "1.x");
        assert_eq!(told.watch.takeovers(), 0, "the first one took it from nobody");
        told.owner(1, "2.y");
        told.owner(1, "3.y");
        assert_eq!(told.watch.takeovers(), 2);
    }
}
