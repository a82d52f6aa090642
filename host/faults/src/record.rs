//! The runner's own trace: when each fault began and ended, beside the traces of the nodes.

use std::{collections::BTreeSet, io, path::Path};

use forebay_trace::{Clock, Event, File, Text, Writer};

/// Writes records into a file of its own in the directory of the traces.
#[derive(Debug)]
pub(crate) struct Recorder(Writer);

/// The name that the format keeps for whoever does the harm.
const INJECTOR: &str = "fault";

impl Recorder {
    /// # Errors
    /// The file cannot be made.
    pub(crate) fn create(traces: &Path) -> io::Result<Self> {
        let file = File::append(&traces.join("faults.jsonl"))?;
        Ok(Self(Writer::new(INJECTOR, 0, Clock::Monotonic, file)))
    }

    /// A fault begins: its number, what it is, and whom it is done to.
    pub(crate) fn begin(&self, id: u64, class: &str, nodes: &BTreeSet<String>, detail: &str) {
        let nodes = nodes.iter().map(|node| Text::from(node.as_str())).collect();
        self.0.write(Event::FaultBegin { id, class: class.into(), nodes, detail: Some(detail.into()) });
    }

    /// It is undone; whether it had an effect.
    pub(crate) fn end(&self, id: u64, bit: bool) {
        self.0.write(Event::FaultEnd { id, bit: Some(bit) });
    }
}
