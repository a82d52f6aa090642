//! What a run went through: a run in which nothing could go wrong shows nothing.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
};

use forebay_trace::{Epoch, Event, Text, runs_len};

use crate::{
    Fact,
    options::Options,
    world::{Process, World, process},
};

/// How often each thing happened.
#[derive(Clone, Debug, Default)]
pub struct Coverage {
    /// Records.
    pub records: u64,
    /// Processes that wrote them.
    pub processes: u64,
    /// Records that a process counted and that are not here.
    pub lost: u64,
    /// Records of a kind this checker does not know.
    pub unknown: u64,
    /// Events processed, repeated ones each time.
    pub handled: u64,
    /// Names granted in a later epoch than before.
    pub takeovers: u64,
    /// Records of events emitted or sent in an epoch after a later one was granted.
    pub zombies: u64,
    /// Messages of another epoch refused, at either end.
    pub stale: u64,
    /// Messages of events with an attempt above 1.
    pub redeliveries: u64,
    /// Checkpoints refused.
    pub fenced: u64,
    /// Faults, in the order they began.
    pub faults: Vec<FaultSeen>,
}

/// A fault, and whether it had an effect.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FaultSeen {
    /// Tells it apart.
    pub id: u64,
    /// Its kind.
    pub class: Text,
    /// Whether it had an effect: as the injector says, or as the trace shows.
    pub bit: bool,
}

impl Coverage {
    /// What is missing for the run to say anything.
    pub(crate) fn missing(&self, options: &Options) -> Vec<String> {
        let minimum = options.minimum;
        let counts = [
            ("takeovers", self.takeovers, minimum.takeovers),
            ("zombies", self.zombies, minimum.zombies),
            ("stale messages refused", self.stale, minimum.stale),
            ("redeliveries", self.redeliveries, minimum.redeliveries),
            ("refused checkpoints", self.fenced, minimum.fenced),
        ];
        let few = counts.into_iter().filter(|(_, found, least)| found < least);
        let mut missing: Vec<_> =
            few.map(|(what, found, least)| format!("{found} {what}, at least {least} wanted")).collect();
        if self.records == 0 {
            missing.push("no records at all".to_owned());
        }
        if self.lost > 0 {
            missing.push(format!("{} records that were counted are not here", self.lost));
        }
        let idle = self.faults.iter().filter(|fault| !fault.bit);
        missing.extend(idle.map(|fault| format!("fault {} ({}) had no effect that shows", fault.id, fault.class)));
        missing
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} records of {} processes, {} events processed", self.records, self.processes, self.handled)?;
        let Self { takeovers, zombies, stale, redeliveries, fenced, .. } = self;
        writeln!(
            f,
            "{takeovers} takeovers, {zombies} zombies, {stale} stale messages refused, {redeliveries} redeliveries, {fenced} refused checkpoints"
        )?;
        let mut classes: BTreeMap<&Text, (u64, u64)> = BTreeMap::new();
        for fault in &self.faults {
            let (seen, bit) = classes.entry(&fault.class).or_default();
            (*seen, *bit) = (*seen + 1, *bit + u64::from(fault.bit));
        }
        for (class, (seen, bit)) in classes {
            writeln!(f, "fault {class}: {seen}, {bit} of them with an effect")?;
        }
        Ok(())
    }
}

/// A process may say this much after it was told to die or to stand still: signals take their time.
/// Unit: nanoseconds.
const LAST_WORDS: u64 = 50_000_000;

#[derive(Debug)]
struct Fault {
    seen: FaultSeen,
    nodes: Vec<Text>,
    at: u64,
    over: bool,
    /// Processes of these nodes that were running when it began.
    running: Vec<Process>,
    /// What was seen of its effect: words of those processes after it, and links that broke.
    words: u64,
    breaks: u64,
}

impl Fault {
    /// What the trace alone can tell.
    fn shows(&self) -> bool {
        match &*self.seen.class {
            "kill" | "power" | "restart" | "pause" | "stop" | "suspend" => self.words == 0 && !self.running.is_empty(),
            _ => self.breaks > 0,
        }
    }
}

/// Counts as the records come.
#[derive(Debug, Default)]
pub(crate) struct Counting {
    coverage: Coverage,
    next: HashMap<Process, u64>,
    /// By node: its process that spoke last.
    running: HashMap<Text, Process>,
    /// By stage: the latest epoch granted.
    granted: HashMap<Text, Epoch>,
    faults: Vec<Fault>,
}

impl Counting {
    pub(crate) fn see(&mut self, fact: &Fact, world: &World) {
        self.count_record(fact);
        self.count_words(fact);
        let coverage = &mut self.coverage;
        match &fact.event {
            Event::Unknown => coverage.unknown += 1,
            Event::Handled { runs, .. } => coverage.handled += runs_len(runs),
            Event::ClaimGranted { stage, epoch, .. } => {
                let latest = self.granted.entry(stage.clone()).or_insert(*epoch);
                coverage.takeovers += u64::from(*latest < *epoch);
                *latest = (*latest).max(*epoch);
            }
            Event::Emit { stage, epoch, .. } | Event::Send { stage, epoch, .. } => {
                let later = self.granted.get(stage).is_some_and(|granted| granted > epoch);
                coverage.zombies += u64::from(later && world.is_global(stage));
                if let Event::Send { attempt: 2.., .. } = fact.event {
                    coverage.redeliveries += 1;
                }
            }
            Event::StaleRejected { .. } | Event::AckRejected { .. } => coverage.stale += 1,
            Event::CkptFenced { .. } => coverage.fenced += 1,
            Event::FaultBegin { id, class, nodes, .. } => self.begin(*id, class, nodes, fact.t_mono),
            Event::FaultEnd { id, bit } => self.end(*id, *bit),
            Event::PeerDown { peer, .. } => {
                let hit = self.faults.iter_mut().filter(|fault| !fault.over);
                hit.filter(|fault| fault.nodes.contains(peer) || fault.nodes.contains(&fact.node))
                    .for_each(|fault| fault.breaks += 1);
            }
            _ => {}
        }
    }

    fn count_record(&mut self, fact: &Fact) {
        let next = self.next.entry(process(fact)).or_default();
        self.coverage.records += 1;
        self.coverage.lost += fact.n.saturating_sub(*next);
        *next = fact.n.saturating_add(1).max(*next);
    }

    fn count_words(&mut self, fact: &Fact) {
        let process = process(fact);
        for fault in self.faults.iter_mut().filter(|fault| !fault.over) {
            let late = fact.t_mono > fault.at.saturating_add(LAST_WORDS);
            fault.words += u64::from(late && fault.running.contains(&process));
        }
        if self.running.get(&fact.node) != Some(&process) {
            self.running.insert(fact.node.clone(), process);
        }
    }

    fn begin(&mut self, id: u64, class: &Text, nodes: &[Text], at: u64) {
        let seen = FaultSeen { id, class: class.clone(), bit: false };
        let running = nodes.iter().filter_map(|node| self.running.get(node)).cloned().collect();
        self.faults.push(Fault { seen, nodes: nodes.to_vec(), at, over: false, running, words: 0, breaks: 0 });
    }

    fn end(&mut self, id: u64, bit: Option<bool>) {
        if let Some(fault) = self.faults.iter_mut().rev().find(|fault| fault.seen.id == id) {
            fault.over = true;
            fault.seen.bit = bit.unwrap_or_else(|| fault.shows());
        }
    }

    pub(crate) fn finish(mut self) -> Coverage {
        self.coverage.processes = self.next.len() as u64;
        for fault in self.faults.iter_mut().filter(|fault| !fault.over) {
            fault.seen.bit = fault.shows();
        }
        self.coverage.faults = self.faults.into_iter().map(|fault| fault.seen).collect();
        self.coverage
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::laws::made_up::{emitted, facts, fault, granted, sent, stale_rejected, started_node};
    use crate::{Minimum, check};
    use forebay_trace::Record;

    fn records(events: impl IntoIterator<Item = (&'static str, Event)>) -> Vec<Record> {
        facts(events).iter().map(|fact| (**fact).clone()).collect()
    }

    #[test]
    fn what_happened_is_counted() {
        let story = [
            granted("a", 1),
            emitted("a", 1, 0, 5),
            granted("b", 2),
            emitted("a", 1, 5, 5),
            sent("a", 1, "b", 5, 5, 2),
            stale_rejected("b", 1, 2),
        ];
        let coverage = check(records(story), Options::default()).coverage;
        let Coverage { takeovers, zombies, stale, redeliveries, fenced, records, processes, .. } = coverage;
        assert_eq!((takeovers, zombies, stale, redeliveries, fenced), (1, 2, 1, 1, 0));
        assert_eq!((records, processes), (6, 2));
    }

    #[test]
    fn a_run_that_did_not_go_through_enough_is_not_enough() {
        let minimum = Minimum { takeovers: 1, ..Minimum::default() };
        let options = Options { minimum, ..Options::default() };
        let one = check(records([granted("a", 1)]), options.clone());
        assert_eq!(one.missing, ["0 takeovers, at least 1 wanted"]);
        assert!(check(records([granted("a", 1), granted("b", 2)]), options).missing.is_empty());
        assert_eq!(check([], Options::default()).missing, ["no records at all"]);
    }

    #[test]
    fn a_record_that_was_counted_and_is_not_here_is_missed() {
        let mut story = records([granted("a", 1), emitted("a", 1, 0, 5), granted("b", 2)]);
        story[1].n = 4;
        assert_eq!(check(story, Options::default()).coverage.lost, 3);
    }

    fn bites(class: &str, further: (&'static str, Event)) -> bool {
        let mut story = records([started_node("a"), fault(1, class, &["a"]), further]);
        story[2].t_mono += LAST_WORDS;
        check(story, Options::default()).coverage.faults[0].bit
    }

    #[test]
    fn a_fault_bites_if_its_process_is_silent_or_a_link_breaks() {
        let down = ("b", Event::PeerDown { peer: "a".into(), reason: "silent".into() });
        assert!(bites("kill", started_node("b")) && !bites("kill", emitted("a", 1, 0, 5)));
        assert!(bites("partition", down) && !bites("partition", started_node("b")));
        assert!(bites("loss", ("fault", Event::FaultEnd { id: 1, bit: Some(true) })));
        assert!(!bites("kill", ("fault", Event::FaultEnd { id: 1, bit: Some(false) })));
    }
}
