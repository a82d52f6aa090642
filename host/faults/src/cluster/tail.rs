//! Reads what a node adds to its trace: who leads, and what was handled when, by the clock that all
//! processes of the machine share.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::PathBuf,
    time::Duration,
};

use forebay_trace::{Epoch, Event, Run, read};

use super::watch::{SOURCE, is_stage};

/// What is known from the trace of one start of a node.
#[derive(Debug, Default)]
pub(super) struct Tail {
    path: PathBuf,
    /// How far it was read: always the end of a line.
    read_to: u64,
    /// The term in which it leads, if it does.
    leads: Option<u64>,
    handled: Vec<Handled>,
    /// What the events said that were handled.
    numbers: Vec<Run>,
}

/// A batch of the source that a guest has handled.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Handled {
    /// CLOCK_MONOTONIC.
    pub(crate) at: Duration,
    /// Of the source.
    pub(crate) epoch: Epoch,
}

impl Tail {
    /// A trace from its begin. The file need not be there yet.
    pub(super) fn of(path: PathBuf) -> Self {
        Self { path, ..Self::default() }
    }

    pub(super) fn leads(&self) -> Option<u64> {
        self.leads
    }

    /// What was handled, of what was read since the last call.
    pub(super) fn take_handled(&mut self) -> Vec<Handled> {
        std::mem::take(&mut self.handled)
    }

    /// What the events said that were handled, of what was read since the last call.
    pub(super) fn take_numbers(&mut self) -> Vec<Run> {
        std::mem::take(&mut self.numbers)
    }

    /// Reads what has come since the last call. A file that is not there has nothing yet.
    pub(super) fn read_on(&mut self) -> io::Result<()> {
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        file.seek(SeekFrom::Start(self.read_to))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        self.take(&bytes);
        Ok(())
    }

    fn take(&mut self, bytes: &[u8]) {
        // The last line may be on its way.
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        self.read_to += u64::try_from(whole).unwrap_or_default();
        // A line that is no record is for the checker to judge.
        for record in read(&bytes[..whole]).filter_map(Result::ok) {
            match record.event {
                Event::Role { role, term } => self.leads = (*role == *"leader").then_some(term),
                Event::Handled { source, epoch, serials, .. } if is_stage(&source, SOURCE) => {
                    self.numbers.extend(serials);
                    self.handled.push(Handled { at: Duration::from_nanos(record.t_mono), epoch });
                }
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(fields: &str) -> String {
        format!(r#"{{"t_mono":5000000,"t_wall":1,"node":"a","boot":"1","n":0,{fields}}}"#) + "\n"
    }

    #[test]
    fn a_trace_is_read_as_it_grows_line_by_line() {
        let handled = line(
            r#""ev":"handled","stage":"faults/printer","own":"1","source":"faults/counter","epoch":"2","sub":1,"attempt":1,"runs":[[0,5]]"#,
        );
        let mut tail = Tail::default();
        let (first, rest) = handled.split_at(40);
        tail.take(first.as_bytes());
        assert_eq!((tail.take_handled(), tail.read_to), (vec![], 0), "half a line is left for later");
        tail.take([first, rest, "{\"t_mo"].concat().as_bytes());
        assert_eq!(tail.take_handled(), [Handled { at: Duration::from_millis(5), epoch: Epoch(2) }]);
        assert_eq!(tail.read_to, handled.len() as u64);
        assert_eq!(tail.take_handled(), []);
        tail.take(handled.replace("[[0,5]]", "[[0,5]],\"serials\":[[10,2],[20,3]]").as_bytes());
        assert_eq!(tail.take_numbers(), [Run { first: 10, count: 2 }, Run { first: 20, count: 3 }]);
        assert_eq!(tail.take_numbers(), []);
    }

    #[test]
    fn the_last_role_counts() {
        let mut tail = Tail::default();
        tail.take(line(r#""ev":"role","role":"leader","term":3"#).as_bytes());
        assert_eq!(tail.leads(), Some(3));
        tail.take(line(r#""ev":"role","role":"follower","term":4"#).as_bytes());
        assert_eq!(tail.leads(), None);
    }

    #[test]
    fn a_trace_that_is_not_there_yet_is_empty() {
        let mut tail = Tail::of("/nowhere/trace.jsonl".into());
        assert!(tail.read_on().is_ok());
    }
}
