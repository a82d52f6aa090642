//! Makes one sequence of several files: in each the order of its lines, between them the order of
//! their times. What was received comes after what was sent.

use std::{
    collections::HashSet,
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use forebay_trace::{Epoch, Event, Lines, ReadError, Record, Text, read};

use crate::world::World;

/// A trace cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    /// A file or directory cannot be opened.
    #[error("cannot open {}", path.display())]
    Open {
        /// Which.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// There is no file that ends in `.jsonl`.
    #[error("no file in {} ends in .jsonl", path.display())]
    Empty {
        /// Where.
        path: PathBuf,
    },
    /// A line is no record.
    #[error("{} is no trace", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Which line, and why.
        #[source]
        source: ReadError,
    },
}

/// Opens files, and of directories those that end in `.jsonl`.
///
/// `skew` is how far the clocks of different files may differ: nothing on one machine, where all
/// processes share `CLOCK_MONOTONIC`. Within it, a message that seems to come before it was sent waits.
///
/// # Errors
/// If one cannot be opened, or a directory has none.
pub fn files(paths: &[PathBuf], skew: Duration) -> Result<Merged, MergeError> {
    let mut streams = Vec::new();
    for path in paths {
        for path in if path.is_dir() { traces_in(path)? } else { vec![path.clone()] } {
            let opened = fs::File::open(&path);
            let file = opened.map_err(|source| MergeError::Open { path: path.clone(), source })?;
            let lines = read(io::BufReader::with_capacity(1 << 18, file));
            streams.push(Stream { path, lines, head: None, at: 0 });
        }
    }
    let mut merged = Merged { streams, skew: World::nanos(skew), under_way: HashSet::new(), begun: false };
    merged.skew = if merged.streams.len() > 1 { merged.skew } else { 0 };
    Ok(merged)
}

fn traces_in(dir: &Path) -> Result<Vec<PathBuf>, MergeError> {
    let failed = |source| MergeError::Open { path: dir.to_owned(), source };
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|extension| extension == "jsonl") {
            found.push(path);
        }
    }
    found.sort();
    if found.is_empty() { Err(MergeError::Empty { path: dir.to_owned() }) } else { Ok(found) }
}

#[derive(Debug)]
struct Stream {
    path: PathBuf,
    lines: Lines<io::BufReader<fs::File>>,
    head: Option<Record>,
    /// The time of the head, never less than of what came before: a process can be stopped between
    /// looking at the clock and writing.
    at: u64,
}

impl Stream {
    fn advance(&mut self) -> Result<Option<Record>, MergeError> {
        let next = self.lines.next().transpose();
        let next = next.map_err(|source| MergeError::Read { path: self.path.clone(), source })?;
        if let Some(record) = &next {
            self.at = self.at.max(record.t_mono);
        }
        Ok(std::mem::replace(&mut self.head, next))
    }
}

/// The records of several files in one order. See [`files`].
#[derive(Debug)]
pub struct Merged {
    streams: Vec<Stream>,
    skew: u64,
    /// Messages whose sending has been passed on and whose receipt has not. Empty without skew.
    under_way: HashSet<Way>,
    begun: bool,
}

/// Tells a message of events, or of acknowledgements, from others.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct Way {
    producer: Text,
    epoch: Epoch,
    consumer: Text,
    node: Text,
    attempt: Option<u32>,
    first: u64,
}

impl Merged {
    /// Lines so far that ended in their middle.
    pub fn torn(&self) -> u64 {
        self.streams.iter().map(|stream| stream.lines.torn()).sum()
    }

    fn begin(&mut self) -> Result<(), MergeError> {
        if !std::mem::replace(&mut self.begun, true) {
            for stream in &mut self.streams {
                stream.advance()?;
            }
        }
        Ok(())
    }

    /// The stream with the earliest head; one that waits for a message only if there is nothing else
    /// within the skew.
    fn earliest(&self) -> Option<usize> {
        let mut heads: Vec<_> = (0..self.streams.len()).filter(|at| self.streams[*at].head.is_some()).collect();
        if self.skew == 0 {
            return heads.into_iter().min_by_key(|at| self.streams[*at].at);
        }
        heads.sort_by_key(|at| self.streams[*at].at);
        let first = *heads.first()?;
        let limit = self.streams[first].at.saturating_add(self.skew);
        let near = heads.into_iter().take_while(|at| self.streams[*at].at <= limit);
        Some(near.into_iter().find(|at| !self.waits(*at)).unwrap_or(first))
    }

    fn waits(&self, stream: usize) -> bool {
        let head = self.streams[stream].head.as_ref();
        head.and_then(receipt).is_some_and(|way| !self.under_way.contains(&way))
    }

    fn pass(&mut self) -> Result<Option<Record>, MergeError> {
        self.begin()?;
        let Some(at) = self.earliest() else { return Ok(None) };
        let record = self.streams[at].advance()?;
        if let Some(record) = record.as_ref().filter(|_| self.skew > 0) {
            if let Some(way) = receipt(record) {
                self.under_way.remove(&way);
            }
            self.under_way.extend(sending(record));
        }
        Ok(record)
    }
}

impl Iterator for Merged {
    type Item = Result<Record, MergeError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.pass().transpose()
    }
}

fn sending(record: &Record) -> Option<Way> {
    match &record.event {
        Event::Send { stage, epoch, consumer, to, attempt, runs, .. } => Some(Way {
            producer: stage.clone(),
            epoch: *epoch,
            consumer: consumer.clone(),
            node: to.clone(),
            attempt: Some(*attempt),
            first: runs.first()?.first,
        }),
        Event::AckSent { stage, source, epoch, runs, .. } => Some(Way {
            producer: source.clone(),
            epoch: *epoch,
            consumer: stage.clone(),
            node: record.node.clone(),
            attempt: None,
            first: runs.first()?.first,
        }),
        _ => None,
    }
}

fn receipt(record: &Record) -> Option<Way> {
    match &record.event {
        Event::Recv { stage, source, epoch, attempt, runs, .. } => Some(Way {
            producer: source.clone(),
            epoch: *epoch,
            consumer: stage.clone(),
            node: record.node.clone(),
            attempt: Some(*attempt),
            first: runs.first()?.first,
        }),
        Event::AckRecv { stage, epoch, consumer, from, runs, .. } => Some(Way {
            producer: stage.clone(),
            epoch: *epoch,
            consumer: consumer.clone(),
            node: from.clone(),
            attempt: None,
            first: runs.first()?.first,
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::laws::made_up::{acked, facts, handled_at, received, said_acked, sent};
    use forebay_trace::{File, Sink};

    /// Two files, one of each node, the second with a clock that is behind.
    fn written(behind_ms: u64) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let story = [
            sent("a", 1, "b", 0, 5, 1),
            received("b", 1, 0, 5, 1),
            handled_at("b", 1, 0, 5),
            said_acked("b", 1, 0, 5, 10),
            acked("a", 1, "b", 0, 5),
        ];
        for fact in facts(story) {
            let mut record = (*fact).clone();
            record.t_mono += 1_000_000_000;
            if &*record.node == "b" {
                record.t_mono -= behind_ms * 1_000_000;
            }
            File::append(&dir.path().join(format!("{}.jsonl", record.node))).unwrap().record(record);
        }
        dir
    }

    fn order(dir: &Path, skew: Duration) -> Vec<String> {
        let merged = files(&[dir.to_owned()], skew).unwrap().map(Result::unwrap);
        merged.map(|record| format!("{}{}", record.node, record.n)).collect()
    }

    #[test]
    fn files_are_merged_by_time() {
        assert_eq!(order(written(0).path(), Duration::ZERO), ["a0", "b0", "b1", "b2", "a1"]);
    }

    #[test]
    fn clocks_that_differ_are_put_right_by_messages_within_the_skew() {
        let dir = written(500);
        assert_eq!(order(dir.path(), Duration::ZERO), ["b0", "b1", "b2", "a0", "a1"]);
        assert_eq!(order(dir.path(), Duration::from_secs(1)), ["a0", "b0", "b1", "b2", "a1"]);
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let of = |path: &Path| files(&[path.to_owned()], Duration::ZERO);
        assert!(matches!(of(dir.path()), Err(MergeError::Empty { .. })));
        let path = dir.path().join("x.jsonl");
        assert!(matches!(of(&path), Err(MergeError::Open { .. })));
        fs::write(&path, "no record\n").unwrap();
        assert!(matches!(of(&path).unwrap().next(), Some(Err(MergeError::Read { .. }))));
    }
}
