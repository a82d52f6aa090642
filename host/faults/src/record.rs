//! The runner's own trace: when each fault began and ended, beside the traces of the nodes.

use std::{
    fs::File,
    io::{self, Write},
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rustix::time::{ClockId, clock_gettime};
use serde_json::json;

/// Writes records into a file of its own in the directory of the traces.
#[derive(Debug)]
pub(crate) struct Recorder {
    file: File,
    records: u64,
}

impl Recorder {
    /// # Errors
    /// The file cannot be made.
    pub(crate) fn create(traces: &Path) -> io::Result<Self> {
        Ok(Self { file: File::create(traces.join("faults.jsonl"))?, records: 0 })
    }

    pub(crate) fn begin(&mut self, number: usize, kind: &str, target: &str) -> io::Result<()> {
        self.write("fault.begin", number, kind, target)
    }

    pub(crate) fn end(&mut self, number: usize, kind: &str, target: &str) -> io::Result<()> {
        self.write("fault.end", number, kind, target)
    }

    fn write(&mut self, event: &str, number: usize, kind: &str, target: &str) -> io::Result<()> {
        let record = json!({
            "t_mono": monotonic().as_secs_f64(),
            "t_wall": SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64(),
            "node": "faults",
            "boot": 0,
            "n": self.records,
            "ev": event,
            "number": number,
            "fault": kind,
            "target": target,
        });
        self.records += 1;
        writeln!(self.file, "{record}")
    }
}

/// The clock that all processes of this machine share.
fn monotonic() -> Duration {
    Duration::try_from(clock_gettime(ClockId::Monotonic)).unwrap_or_default()
}
