//! Reads a trace back, line by line. The last line of a killed process may be cut off.

use std::io::{self, BufRead};

use crate::event::Record;

/// A line of a trace is not a record.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file cannot be read.
    #[error("cannot read line {line}")]
    Io {
        /// Which, from 1.
        line: u64,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The line is something else.
    #[error("line {line} is no record")]
    Malformed {
        /// Which, from 1.
        line: u64,
        /// What is wrong.
        #[source]
        source: serde_json::Error,
    },
}

/// The records of one file. See [`read()`].
#[derive(Debug)]
pub struct Lines<R> {
    from: R,
    buffer: Vec<u8>,
    line: u64,
    torn: u64,
}

/// Reads records from `from`.
///
/// A line that ends in the middle of a record and has no line end is the mark of a killed process: it is
/// counted, see [`Lines::torn`], and is no error. So is a line that ends in the middle with a line end,
/// which a full disk leaves.
pub fn read<R: BufRead>(from: R) -> Lines<R> {
    Lines { from, buffer: Vec::new(), line: 0, torn: 0 }
}

impl<R> Lines<R> {
    /// How many lines so far ended in their middle.
    pub fn torn(&self) -> u64 {
        self.torn
    }
}

impl<R: BufRead> Iterator for Lines<R> {
    type Item = Result<Record, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            self.buffer.clear();
            self.line += 1;
            let line = self.line;
            match self.from.read_until(b'\n', &mut self.buffer) {
                Ok(0) => return None,
                Ok(_) => {}
                Err(source) => return Some(Err(ReadError::Io { line, source })),
            }
            let text = self.buffer.trim_ascii();
            if text.is_empty() {
                continue;
            }
            match serde_json::from_slice(text) {
                Ok(record) => return Some(Ok(record)),
                Err(error) if error.is_eof() => self.torn += 1,
                Err(source) => return Some(Err(ReadError::Malformed { line, source })),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Clock, Epoch, Event, File, Run, Writer};

    fn events() -> Vec<Event> {
        let runs = vec![Run { first: 0, count: 5 }, Run { first: 9, count: 1 }];
        vec![
            Event::NodeStart {},
            Event::Emit { stage: "p/s".into(), epoch: Epoch(1), first: 3, count: 2, asked: None, serials: vec![] },
            Event::Handled {
                stage: "p/c".into(),
                own: Epoch(0),
                source: "p/s".into(),
                epoch: Epoch(1 << 32),
                sub: 4,
                attempt: 2,
                serials: runs.clone(),
                runs,
            },
        ]
    }

    #[test]
    fn what_is_written_to_a_file_is_read_from_it_and_appended_to() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("trace.jsonl");
        for boot in 1..=2 {
            let writer = Writer::new("a", boot, Clock::Monotonic, File::append(&path).unwrap());
            events().into_iter().for_each(|event| writer.write(event));
        }
        let text = std::fs::read(&path).unwrap();
        let mut lines = read(&text[..text.len() - 20]);
        let records: Vec<Record> = lines.by_ref().map(Result::unwrap).collect();
        let expected: Vec<Event> = events().into_iter().cycle().take(5).collect();
        assert_eq!(records.iter().map(|record| record.event.clone()).collect::<Vec<_>>(), expected);
        assert_eq!((lines.torn(), records[4].n, records[4].boot.0), (1, 1, 2));
    }

    #[test]
    fn a_record_of_a_newer_writer_is_read_and_nonsense_is_refused() {
        let known = r#"{"t_mono":1,"t_wall":2,"node":"a","boot":"1","n":0,"ev":"moon.rise","phase":3}"#;
        assert_eq!(read(known.as_bytes()).next().unwrap().unwrap().event, Event::Unknown);
        let error = read(&b"\n{\"t_mono\":1}\n"[..]).next().unwrap().unwrap_err();
        assert!(matches!(error, ReadError::Malformed { line: 2, .. }), "{error}");
    }
}
