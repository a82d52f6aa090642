//! The versions that are deployed: components with another digest each, and pipeline files that name them.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

const COUNTER: &[u8] = include_bytes!("../../../../plugins/prebuilt/counter.wasm");
const RELAY: &[u8] = include_bytes!("../../../../plugins/prebuilt/double.wasm");
const PRINTER: &[u8] = include_bytes!("../../../../plugins/prebuilt/printer.wasm");
const BAD_COUNTER: &[u8] = include_bytes!("../../../../plugins/prebuilt/misbehaver.wasm");
const BAD_RELAY: &[u8] = include_bytes!("../../../../plugins/prebuilt/misbehaving-relay.wasm");
const BAD_PRINTER: &[u8] = include_bytes!("../../../../plugins/prebuilt/misbehaving-consumer.wasm");

/// How often the counter is asked. Unit: milliseconds.
const POLL_MS: u64 = 10;

/// The name of the pipeline.
pub(super) const PIPELINE: &str = "upgrades";
/// The stage on every node that prints each batch that it takes.
pub(super) const SINK: &str = "printer";

/// A stage of the pipeline, sources first.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Stage {
    /// Counts, at a rate. One owner.
    Counter,
    /// Gives everything on. One owner.
    Relay,
    /// Prints what it takes. On every node.
    Printer,
}

impl Stage {
    pub(super) const ALL: [Self; 3] = [Self::Counter, Self::Relay, Self::Printer];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Relay => "relay",
            Self::Printer => SINK,
        }
    }

    fn component(self, is_bad: bool) -> &'static [u8] {
        match (self, is_bad) {
            (Self::Counter, false) => COUNTER,
            (Self::Counter, true) => BAD_COUNTER,
            (Self::Relay, false) => RELAY,
            (Self::Relay, true) => BAD_RELAY,
            (Self::Printer, false) => PRINTER,
            (Self::Printer, true) => BAD_PRINTER,
        }
    }
}

/// One thing to deploy.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Change {
    /// The stage that gets another version.
    pub(super) stage: Stage,
    /// It traps.
    pub(super) is_bad: bool,
}

/// So many good ones, of the stages in turn from the source on, and among them at even distances the bad ones, of the
/// consumer, the stage between and the source in turn.
pub(super) fn schedule(good: usize, bad: usize) -> Vec<Change> {
    let mut changes = Vec::new();
    for number in 0..good {
        changes.push(Change { stage: Stage::ALL[number % 3], is_bad: false });
        let (before, after) = (number * bad / good, (number + 1) * bad / good);
        changes.extend((before..after).map(|number| Change { stage: Stage::ALL[2 - number % 3], is_bad: true }));
    }
    changes
}

/// The version of each stage that is to run, on disk.
#[derive(Debug)]
pub(super) struct Versions {
    dir: PathBuf,
    /// Unit: events a second.
    rate: u32,
    /// The event that a bad version traps on.
    trap: u32,
    /// How many printers there are.
    consumers: usize,
    /// By stage, in the order of `Stage::ALL`.
    numbers: [u32; 3],
    written: u32,
}

impl Versions {
    pub(super) fn new(dir: &Path, rate: u32, trap: u32, consumers: usize) -> io::Result<Self> {
        let dir = dir.join("versions");
        fs::create_dir_all(&dir)?;
        Ok(Self { dir, rate, trap, consumers, numbers: [0; 3], written: 0 })
    }

    /// The pipeline file with the first version of everything.
    pub(super) fn first(&mut self) -> io::Result<PathBuf> {
        self.write(self.numbers, None)
    }

    /// The pipeline file with this change. A good one stays from then on.
    pub(super) fn change(&mut self, change: Change) -> io::Result<PathBuf> {
        let mut numbers = self.numbers;
        numbers[change.stage as usize] += 1;
        if change.is_bad {
            return self.write(numbers, Some(change.stage));
        }
        self.numbers = numbers;
        self.write(numbers, None)
    }

    fn write(&mut self, numbers: [u32; 3], bad: Option<Stage>) -> io::Result<PathBuf> {
        self.written += 1;
        for stage in Stage::ALL {
            let component = stage.component(bad == Some(stage));
            let name = format!("version {}", numbers[stage as usize]);
            fs::write(self.dir.join(file(stage, numbers, bad)), named(component, &name))?;
        }
        let path = self.dir.join(format!("pipeline-{:03}.toml", self.written));
        fs::write(&path, self.pipeline(numbers, bad))?;
        Ok(path)
    }

    /// What each consumer may have in hand: so few that all together are needed for what comes with one `poll` of the counter.
    ///
    /// Otherwise those that have used up their window, and asked anew, are served before one that has used a part of its, for
    /// as long as they are quick enough: it would wait for half a second though nothing is wrong.
    fn each(&self) -> u32 {
        let polled = u64::from(self.rate) * POLL_MS / 1000;
        let each = polled * 6 / 5 / self.consumers.max(1) as u64;
        u32::try_from(each).unwrap_or(u32::MAX).clamp(10, 700)
    }

    /// Every second version of a stage has other settings, too, which mean the same.
    fn pipeline(&self, numbers: [u32; 3], bad: Option<Stage>) -> String {
        let is_odd = |stage: Stage| numbers[stage as usize] % 2 == 1;
        let Self { rate, trap, .. } = self;
        let traps = format!("{{ mode = \"panic\", event = {trap} }}");
        let relay = if bad == Some(Stage::Relay) { &traps } else { "{ copies = 1 }" };
        let printer = match bad {
            Some(Stage::Printer) => &traps,
            _ if is_odd(Stage::Printer) => "{ pause = \"0s\" }",
            _ => "{ pause = \"0ms\" }",
        };
        let demand = if is_odd(Stage::Relay) { "4001" } else { "4000" };
        let counter = match bad {
            Some(Stage::Counter) => traps.clone(),
            _ if is_odd(Stage::Counter) => format!("{{ rate = {rate}, start = 0 }}"),
            _ => format!("{{ rate = {rate} }}"),
        };
        let each = self.each();
        let [counter_file, relay_file, printer_file] = Stage::ALL.map(|stage| file(stage, numbers, bad));
        format!(
            "name = \"{PIPELINE}\"\n\
             [stages.counter]\n\
             plugin = \"{counter_file}\"\n\
             scope = \"global\"\n\
             poll = \"{POLL_MS}ms\"\n\
             checkpoint = \"1s\"\n\
             config = {counter}\n\
             [stages.relay]\n\
             plugin = \"{relay_file}\"\n\
             scope = \"global\"\n\
             config = {relay}\n\
             subscribe = [{{ to = \"counter\", max_demand = {demand}, min_demand = 2000 }}]\n\
             [stages.{SINK}]\n\
             plugin = \"{printer_file}\"\n\
             scope = \"node\"\n\
             config = {printer}\n\
             limits = {{ log_lines_per_second = 1000000 }}\n\
             subscribe = [{{ to = \"relay\", max_demand = {each}, min_demand = {} }}]\n",
            each / 2
        )
    }
}

fn file(stage: Stage, numbers: [u32; 3], bad: Option<Stage>) -> String {
    let is_bad = if bad == Some(stage) { "-bad" } else { "" };
    format!("{}-{:03}{is_bad}.wasm", stage.name(), numbers[stage as usize])
}

/// The same component with a custom section at its end, and so with another digest.
fn named(component: &[u8], name: &str) -> Vec<u8> {
    // Both lengths are below 128, and so one byte each.
    let name_len = u8::try_from(name.len()).unwrap_or(u8::MAX).min(NAME_BYTES_MAX);
    let mut bytes = component.to_vec();
    bytes.extend([0, name_len + 1, name_len]);
    bytes.extend_from_slice(&name.as_bytes()[..usize::from(name_len)]);
    bytes
}

/// So that the section's length is below 128.
const NAME_BYTES_MAX: u8 = 126;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn stages_take_turns_and_bad_ones_come_between_them() {
        let changes = schedule(6, 2);
        let text = |change: &Change| format!("{}{}", change.stage.name(), if change.is_bad { "!" } else { "" });
        let expected = "counter relay printer printer! counter relay printer relay!";
        assert_eq!(changes.iter().map(text).collect::<Vec<_>>().join(" "), expected);
        let bad = |changes: Vec<Change>| changes.iter().filter(|change| change.is_bad).count();
        assert_eq!((bad(schedule(50, 10)), bad(schedule(3, 0)), bad(schedule(2, 5))), (10, 0, 5));
    }

    #[test]
    fn a_version_has_a_digest_of_its_own_and_a_bad_one_does_not_stay() {
        let dir = tempfile::tempdir().unwrap();
        let mut versions = Versions::new(dir.path(), 1_000, 100, 3).unwrap();
        let good = |stage| Change { stage, is_bad: false };
        let mut seen = BTreeSet::new();
        let mut texts = vec![fs::read_to_string(versions.first().unwrap()).unwrap()];
        for change in [good(Stage::Relay), Change { stage: Stage::Relay, is_bad: true }, good(Stage::Printer)] {
            texts.push(fs::read_to_string(versions.change(change).unwrap()).unwrap());
        }
        for entry in fs::read_dir(dir.path().join("versions")).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "wasm") {
                assert!(seen.insert(fs::read(path).unwrap()));
            }
        }
        assert_eq!(seen.len(), 6);
        assert!(texts[2].contains("relay-002-bad.wasm") && texts[2].contains("event = 100"), "{}", texts[2]);
        assert!(texts[3].contains("relay-001.wasm") && texts[3].contains("printer-001.wasm"), "{}", texts[3]);
        assert!(!texts[3].contains("event = 100"), "{}", texts[3]);
    }

    #[test]
    fn a_name_is_a_custom_section_at_the_end() {
        assert_eq!(named(b"\0asm", "v1"), b"\0asm\0\x03\x02v1");
        assert_eq!(named(b"", &"x".repeat(200)).len(), 3 + usize::from(NAME_BYTES_MAX));
    }
}
