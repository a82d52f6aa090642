//! A trace in a file: one JSON object a line, one `write` a record, so that a process killed at any
//! moment loses nothing it had said before.

use std::{
    fs,
    io::{self, Write},
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};

use crate::{event::Record, writer::Sink};

/// Appends to a file. Several processes may append to the same one.
#[derive(Debug)]
pub struct File {
    file: fs::File,
    failed: AtomicU64,
}

impl File {
    /// Opens it, or makes it.
    ///
    /// # Errors
    /// As the system says.
    pub fn append(path: &Path) -> io::Result<Self> {
        let file = fs::OpenOptions::new().append(true).create(true).open(path)?;
        Ok(Self { file, failed: AtomicU64::new(0) })
    }

    /// Records that could not be written: the disk was full, say. The reader sees a gap in `n`.
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    fn append_record(&self, record: &Record) -> io::Result<()> {
        let mut line = serde_json::to_vec(record)?;
        line.push(b'\n');
        // One call: what is appended by one is not mixed with what others append.
        let written = (&self.file).write(&line)?;
        if written == line.len() {
            return Ok(());
        }
        // The half line must not swallow the next one.
        (&self.file).write_all(b"\n")?;
        Err(io::ErrorKind::WriteZero.into())
    }
}

impl Sink for File {
    fn record(&self, record: Record) {
        // A node is not to fail because its trace cannot be written: the gap tells.
        if self.append_record(&record).is_err() {
            self.failed.fetch_add(1, Ordering::Relaxed);
        }
    }
}
