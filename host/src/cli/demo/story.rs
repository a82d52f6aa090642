//! What the demo shows of what its nodes say, and the sum at the end.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde_json::json;
use tokio::time::Instant;

use crate::cli::{
    child::Line,
    output::{object, print_line},
};

/// Shows lines as they come, and counts.
#[derive(Debug)]
pub(super) struct Story {
    json: bool,
    start: Instant,
    /// How often each number was printed.
    seen: BTreeMap<u64, u32>,
    per_node: BTreeMap<String, u64>,
    /// Nodes that own the counter at present, the latest last.
    owners: Vec<String>,
    owners_at_end: Option<usize>,
    /// (winner, loser) of conflicts that were shown.
    conflicts: BTreeSet<(String, String)>,
    killed_at: Option<Instant>,
    /// Nodes that have subscribed to a new owner since the kill.
    moved_on: BTreeSet<String>,
    gap: Option<Duration>,
}

impl Story {
    pub(super) fn new(json: bool) -> Self {
        Self {
            json,
            start: Instant::now(),
            seen: BTreeMap::new(),
            per_node: BTreeMap::new(),
            owners: Vec::new(),
            owners_at_end: None,
            conflicts: BTreeSet::new(),
            killed_at: None,
            moved_on: BTreeSet::new(),
            gap: None,
        }
    }

    /// Who owns the counter, as far as was heard.
    pub(super) fn owner(&self) -> Option<&str> {
        self.owners.last().map(String::as_str)
    }

    /// Takes a line of a node.
    pub(super) fn hear(&mut self, line: &Line) {
        let node = text(line, "node");
        match text(line, "kind") {
            "line" if line["stage"] == "printer" && line["stream"] == "stdout" => {
                if let Some(numbers) = numbers(node, text(line, "text")) {
                    self.batch(node, &numbers);
                }
            }
            "event" => self.event(node, text(line, "what"), line),
            _ => {}
        }
    }

    fn batch(&mut self, node: &str, numbers: &[u64]) {
        for number in numbers {
            *self.seen.entry(*number).or_default() += 1;
        }
        *self.per_node.entry(node.to_owned()).or_default() += numbers.len() as u64;
        if let Some(killed_at) = self.killed_at.filter(|_| self.gap.is_none() && self.moved_on.contains(node)) {
            self.gap = Some(killed_at.elapsed());
        }
        if self.json {
            print_line(&object(&[("kind", "batch"), ("node", node)], &json!({"numbers": numbers})));
        } else {
            let list: Vec<_> = numbers.iter().map(u64::to_string).collect();
            print_line(&format!("{node}: [{}]", list.join(", ")));
        }
    }

    fn event(&mut self, node: &str, what: &str, line: &Line) {
        let counter = line["stage"] == "counter";
        match what {
            "owner" => {
                self.owners.retain(|owner| owner != node);
                self.owners.push(node.to_owned());
                self.show(line, &format!("{node} owns the counter (epoch {})", text(line, "epoch")));
            }
            "conflict" => {
                let (winner, loser) = (text(line, "winner"), text(line, "loser"));
                // All who see it report it; once is enough.
                if self.conflicts.insert((winner.to_owned(), loser.to_owned())) {
                    let told = format!("name conflict: {winner} and {loser} own the counter; {winner} keeps it");
                    self.show(line, &told);
                }
            }
            "stopped" if counter => {
                self.owners.retain(|owner| owner != node);
                self.show(line, &format!("{node} stopped its counter: {}", text(line, "reason")));
            }
            "subscribed" => {
                let owner = text(line, "owner");
                if self.killed_at.is_some() {
                    self.moved_on.insert(node.to_owned());
                }
                self.show(line, &format!("{node} subscribed to the counter on {owner}"));
            }
            "restarting" | "gave_up" => {
                let (stage, reason) = (text(line, "stage"), text(line, "reason"));
                self.show(line, &format!("{node}: `{stage}` failed: {reason}"));
            }
            _ => {}
        }
    }

    /// The owner's process was killed.
    pub(super) fn killed(&mut self, node: &str) {
        self.killed_at = Some(Instant::now());
        self.owners.retain(|owner| owner != node);
        let line = json!({"kind": "event", "what": "killed", "node": node});
        self.show(&line, &format!("killed {node}, which owned the counter"));
    }

    fn show(&self, line: &Line, text: &str) {
        if self.json {
            let mut fields = line.clone();
            if let Some(fields) = fields.as_object_mut() {
                fields.retain(|key, _| !["kind", "what", "node"].contains(&key.as_str()));
            }
            let first = [("kind", "event"), ("what", self::text(line, "what")), ("node", self::text(line, "node"))];
            print_line(&object(&first, &fields));
        } else {
            let seconds = self.start.elapsed().as_secs_f64();
            print_line(&format!("-- {seconds:6.3}s {text}"));
        }
    }

    /// The time is over: from here on nodes are being stopped.
    pub(super) fn close(&mut self) {
        self.owners_at_end = Some(self.owners.len());
    }

    /// Shows the sum.
    pub(super) fn sum_up(&self) {
        let delivered: u64 = self.per_node.values().sum();
        let distinct = self.seen.len() as u64;
        let repeated = delivered - distinct;
        let span = match (self.seen.first_key_value(), self.seen.last_key_value()) {
            (Some((first, _)), Some((last, _))) => last - first + 1,
            _ => 0,
        };
        let missing = span - distinct;
        let gap_ms = self.gap.and_then(|gap| u64::try_from(gap.as_millis()).ok());
        let owners = self.owners_at_end.unwrap_or(self.owners.len());
        if self.json {
            let summary = json!({
                "delivered": delivered,
                "missing": missing,
                "repeated": repeated,
                "per_node": self.per_node,
                "gap_ms": gap_ms,
                "owners_at_end": owners,
            });
            print_line(&object(&[("kind", "summary")], &summary));
            return;
        }
        let nodes: Vec<_> = self.per_node.iter().map(|(node, count)| format!("{node} {count}")).collect();
        print_line(&format!("\ndelivered {delivered} events: {}", nodes.join(", ")));
        print_line(&format!("missing {missing}, repeated {repeated}, owners at the end: {owners}"));
        if self.killed_at.is_some() {
            let gap = gap_ms.map_or("none came".to_owned(), |gap| format!("{gap} ms"));
            print_line(&format!("from the kill to the next event: {gap}"));
        }
    }
}

fn text<'a>(line: &'a Line, key: &str) -> &'a str {
    line[key].as_str().unwrap_or_default()
}

/// Reads `NODE: [1, 2, 3]`, as the printer prints it.
fn numbers(node: &str, printed: &str) -> Option<Vec<u64>> {
    let list = printed.strip_prefix(node)?.strip_prefix(": [")?.strip_suffix(']')?;
    list.split(", ").map(|number| number.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn printed(node: &str, list: &str) -> Value {
        let text = format!("{node}: [{list}]");
        json!({"kind": "line", "node": node, "stage": "printer", "stream": "stdout", "text": text})
    }

    #[test]
    fn missing_and_repeated_numbers_are_counted() {
        let mut story = Story::new(true);
        story.hear(&printed("a", "1000, 1001"));
        story.hear(&printed("b", "1003, 1001"));
        assert_eq!(story.seen.values().sum::<u32>(), 4);
        assert_eq!(story.per_node["b"], 2);
        assert_eq!(story.seen[&1001], 2);
        assert!(!story.seen.contains_key(&1002));
    }

    #[test]
    fn only_the_printers_own_lines_count() {
        let mut story = Story::new(true);
        story.hear(&json!({"kind": "line", "node": "a", "stage": "printer", "stream": "stderr", "text": "a: [1]"}));
        story.hear(&printed("a", "x"));
        assert!(story.seen.is_empty());
    }

    #[test]
    fn the_gap_ends_with_a_batch_from_the_new_owner() {
        let mut story = Story::new(true);
        story.killed("a");
        story.hear(&printed("b", "1005"));
        assert_eq!(story.gap, None, "it was on its way already");
        story.hear(&json!({"kind": "event", "node": "b", "what": "subscribed", "owner": "b"}));
        story.hear(&printed("b", "1000"));
        assert!(story.gap.is_some());
    }

    #[test]
    fn an_owner_that_stopped_or_was_killed_is_none() {
        let mut story = Story::new(true);
        for node in ["a", "b", "c"] {
            story.hear(&json!({"kind": "event", "node": node, "what": "owner", "epoch": "1.0"}));
        }
        story.hear(&json!({"kind": "event", "node": "a", "what": "stopped", "stage": "counter", "reason": "shutdown"}));
        story.killed("c");
        assert_eq!(story.owner(), Some("b"));
    }
}
