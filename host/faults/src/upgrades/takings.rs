//! What the consumers took, by what they print: which numbers, how often, and when.

use std::time::{Duration, Instant};

use forebay_check::Ranges;
use forebay_trace::Run;
use serde_json::Value;

use super::versions::SINK;

/// Fed with what all nodes say.
#[derive(Debug)]
pub(super) struct Takings {
    taken: Ranges,
    repeated: u64,
    /// One past the largest.
    end: u64,
    /// Of each node.
    consumers: Vec<Consumer>,
    /// The first new version that failed since `begin`.
    trap: Option<Trap>,
    /// What is no line of a consumer, or was not printed whole.
    pub(super) unreadable: Vec<String>,
}

/// A new version that failed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Trap {
    pub(super) at: Instant,
    pub(super) stage: String,
    /// When, after it, the stage was last subscribed, or somebody to it.
    pub(super) back: Option<Instant>,
}

/// What is known of one node's consumer.
#[derive(Clone, Copy, Debug, Default)]
struct Consumer {
    /// When it took its last batch.
    last: Option<Instant>,
    /// The longest time between two batches, of which the second came since `begin`.
    gap: Duration,
    /// When it took its first batch since the trap was over.
    after_trap: Option<Instant>,
}

impl Takings {
    pub(super) fn new(nodes: usize) -> Self {
        Self {
            taken: Ranges::default(),
            repeated: 0,
            end: 0,
            consumers: vec![Consumer::default(); nodes],
            trap: None,
            unreadable: Vec::new(),
        }
    }

    /// Something is about to be deployed: counts gaps from here, and looks out for a trap.
    pub(super) fn begin(&mut self) {
        self.trap = None;
        for consumer in &mut self.consumers {
            (consumer.gap, consumer.after_trap) = (Duration::ZERO, None);
        }
    }

    pub(super) fn repeated(&self) -> u64 {
        self.repeated
    }

    /// One past the largest number that came.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// How many of the numbers before `end` did not come.
    pub(super) fn missing_before(&self, end: u64) -> u64 {
        self.taken.missing_count(Run { first: 0, count: end })
    }

    /// The first number that did not come.
    pub(super) fn first_missing(&self, end: u64) -> Option<u64> {
        self.taken.missing(Run { first: 0, count: end })
    }

    /// The longest gap of each consumer since `begin`; one that goes on counts, too.
    pub(super) fn gaps(&self, now: Instant) -> Vec<Duration> {
        let since = |last: Instant| now.saturating_duration_since(last);
        self.consumers.iter().map(|it| it.gap.max(it.last.map_or(Duration::MAX, since))).collect()
    }

    pub(super) fn trap(&self) -> Option<&Trap> {
        self.trap.as_ref()
    }

    /// When every consumer had taken something after the version before the one that failed was back.
    pub(super) fn recovered(&self) -> Option<Instant> {
        self.consumers.iter().map(|consumer| consumer.after_trap).collect::<Option<Vec<_>>>()?.into_iter().max()
    }

    /// Whether every consumer has taken something since.
    pub(super) fn all_took_since(&self, since: Instant) -> bool {
        self.consumers.iter().all(|consumer| consumer.last.is_some_and(|last| last > since))
    }

    /// Takes a line of a node's standard output.
    pub(super) fn hear(&mut self, node: usize, line: &Value, at: Instant) {
        let text = |key: &str| line[key].as_str().unwrap_or_default();
        match (text("kind"), text("what")) {
            ("line", _) if text("stage") == SINK && text("stream") == "stdout" => {
                self.hear_batch(node, text("text"), at)
            }
            ("dropped", _) => self.unreadable.push(line.to_string()),
            ("event", "stopped") if text("reason").starts_with("a new version failed") && self.trap.is_none() => {
                self.trap = Some(Trap { at, stage: text("stage").to_owned(), back: None });
            }
            ("event", "subscribed") => self.hear_subscription([text("stage"), text("source")], at),
            _ => {}
        }
    }

    /// The stage that failed is subscribed again, or somebody is to it: what comes from now on is proof that all is well.
    fn hear_subscription(&mut self, ends: [&str; 2], at: Instant) {
        let Some(trap) = self.trap.as_mut().filter(|trap| ends.contains(&&*trap.stage)) else { return };
        trap.back = Some(at);
        self.consumers.iter_mut().for_each(|consumer| consumer.after_trap = None);
    }

    fn hear_batch(&mut self, node: usize, text: &str, at: Instant) {
        let Some(runs) = runs(text) else { return self.unreadable.push(text.to_owned()) };
        let is_over = self.trap.as_ref().is_some_and(|trap| trap.back.is_some());
        let consumer = &mut self.consumers[node];
        if let Some(last) = consumer.last.replace(at) {
            consumer.gap = consumer.gap.max(at.saturating_duration_since(last));
        }
        if is_over {
            consumer.after_trap.get_or_insert(at);
        }
        for run in runs {
            self.repeated += run.count - self.taken.missing_count(run);
            self.end = self.end.max(run.first + run.count);
            self.taken.insert(run);
        }
    }
}

/// The numbers of a printed batch, `NODE: [1, 2, 3]`, as runs; none if it is not one.
fn runs(text: &str) -> Option<Vec<Run>> {
    let (_, list) = text.split_once(": [")?;
    let mut runs: Vec<Run> = Vec::new();
    for number in list.strip_suffix(']')?.split(", ") {
        let number: u64 = number.parse().ok()?;
        match runs.last_mut() {
            Some(run) if run.first + run.count == number => run.count += 1,
            _ => runs.push(Run { first: number, count: 1 }),
        }
    }
    Some(runs)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    struct Told {
        takings: Takings,
        start: Instant,
    }

    impl Told {
        fn new() -> Self {
            Self { takings: Takings::new(2), start: Instant::now() }
        }

        fn at(&self, ms: u64) -> Instant {
            self.start + Duration::from_millis(ms)
        }

        fn batch(&mut self, node: usize, ms: u64, numbers: &str) {
            let line = json!({"kind": "line", "stage": SINK, "stream": "stdout", "text": format!("a: [{numbers}]")});
            self.takings.hear(node, &line, self.at(ms));
        }

        fn event(&mut self, ms: u64, what: &str, stage: &str, reason: &str) {
            let line = json!({"kind": "event", "what": what, "stage": stage, "reason": reason});
            self.takings.hear(0, &line, self.at(ms));
        }
    }

    #[test]
    fn numbers_that_did_not_come_or_came_again_are_counted() {
        let mut told = Told::new();
        told.batch(0, 1, "0, 1, 2, 7, 8");
        told.batch(1, 2, "3, 4, 2, 3");
        let takings = &told.takings;
        assert_eq!((takings.repeated(), takings.end()), (2, 9));
        assert_eq!((takings.missing_before(9), takings.first_missing(9)), (2, Some(5)));
        assert_eq!((takings.missing_before(5), takings.first_missing(5)), (0, None));
        assert!(takings.unreadable.is_empty());
    }

    #[test]
    fn a_line_that_was_cut_off_or_dropped_is_not_passed_over() {
        let mut told = Told::new();
        let cut = json!({"kind": "line", "stage": SINK, "stream": "stdout", "text": "a: [1, 2, 3"});
        told.takings.hear(0, &cut, told.start);
        told.takings.hear(0, &json!({"kind": "dropped", "stage": SINK, "lines": 3}), told.start);
        assert_eq!(told.takings.unreadable.len(), 2);
    }

    #[test]
    fn gaps_are_those_of_each_consumer_since_the_begin() {
        let mut told = Told::new();
        for (node, ms) in [(0, 0), (1, 0), (0, 900), (1, 20)] {
            told.batch(node, ms, "1");
        }
        told.takings.begin();
        for (node, ms) in [(0, 950), (1, 970), (0, 1_030)] {
            told.batch(node, ms, "1");
        }
        let ms = Duration::from_millis;
        assert_eq!(told.takings.gaps(told.at(1_040)), [ms(80), ms(950)], "from before the begin, if it ends after it");
        assert_eq!(told.takings.gaps(told.at(1_140)), [ms(110), ms(950)], "one that goes on");
    }

    #[test]
    fn a_trap_is_over_when_all_take_again_after_the_former_version_is_back() {
        let mut told = Told::new();
        told.event(10, "stopped", "relay", "another version takes its place");
        assert_eq!(told.takings.trap(), None);
        told.event(20, "stopped", "relay", "a new version failed: told to panic");
        told.batch(0, 25, "1");
        told.event(30, "subscribed", SINK, "");
        told.event(40, "subscribed", "relay", "");
        told.batch(0, 50, "2");
        assert_eq!(told.takings.recovered(), None);
        told.batch(1, 60, "3");
        told.batch(0, 70, "4");
        let trap = told.takings.trap().unwrap();
        assert_eq!((trap.at, trap.back), (told.at(20), Some(told.at(40))));
        assert_eq!(told.takings.recovered(), Some(told.at(60)));
        let line = json!({"kind": "event", "what": "subscribed", "stage": SINK, "source": "relay"});
        told.takings.hear(1, &line, told.at(80));
        assert_eq!(told.takings.recovered(), None, "a later subscription, later proof");
        told.takings.begin();
        assert_eq!((told.takings.trap(), told.takings.recovered()), (None, None));
    }
}
