//! `forebay record`: what a stage is given and answers, into a file that `forebay replay` reads.

use std::{
    fs::File,
    io::{BufWriter, Write},
    os::unix::fs::OpenOptionsExt,
    path::PathBuf,
};

use forebay_proto::{
    ids::NodeName,
    stage::Role,
    taps::{About, Answered, Entry, Kinds},
};

use super::{End, Following, Goes, News, StageArgs, watch};
use crate::{
    cli::{
        Exit, Failure,
        operate::{NodeChoice, harmless, text},
        recording::{Head, Line, VERSION},
    },
    wall::now_ms,
};

/// Write down what a running stage is given and answers, for `forebay replay`.
///
/// Nothing is taken away and nothing is slowed, as with `forebay tap`. The file holds events and the stage's config as they
/// are, and only you may read it. Ends on Ctrl-C, or with --events or --for. docs/recording.md describes the file.
#[derive(Clone, Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    stage: StageArgs,
    /// File to write; there must be none yet
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    asked: NodeChoice,
}

pub(in crate::cli) fn record(args: &Args) -> Result<Exit, Failure> {
    let client = args.asked.client()?;
    let mut file = RecordingFile::create(args)?;
    let on = args.stage.node.as_ref().map(NodeName::to_string);
    let mut following = [Following::new(args.stage.stage.clone(), on, Some(Kinds::ALL))];
    let end = End::new(args.stage.duration);
    watch(&client, &mut following, end, |node, news| file.take(node, news))?;
    file.end()
}

/// A recording that is being written.
struct RecordingFile {
    path: PathBuf,
    out: BufWriter<File>,
    stage: String,
    role: Option<Role>,
    left: Option<u64>,
    recorded: u64,
    missed: u64,
}

impl RecordingFile {
    fn create(args: &Args) -> Result<Self, Failure> {
        let path = args.out.clone();
        // Events may be secret, and so may a config.
        let made = File::options().write(true).create_new(true).mode(0o600).open(&path);
        let out = made.map_err(|error| {
            let text = match error.kind() {
                std::io::ErrorKind::AlreadyExists => format!("{} is there already; name another file", path.display()),
                _ => format!("cannot make {}", path.display()),
            };
            Failure::new(Exit::CannotCreate, text).because(error)
        })?;
        let (out, left) = (BufWriter::new(out), args.stage.events);
        Ok(Self { path, out, stage: args.stage.stage.clone(), role: None, left, recorded: 0, missed: 0 })
    }

    fn take(&mut self, node: &str, news: News) -> Result<Goes, Failure> {
        match news {
            News::Waits { why } => {
                eprintln!("-- waiting: {}", harmless(&why));
                Ok(Goes::On)
            }
            News::Began { stage, about } => self.begin(node, &stage, &about),
            News::Missed(counts) => {
                self.missed = self.missed.saturating_add(counts.given).saturating_add(counts.emitted);
                self.write(&Line::Missed { given: counts.given, emitted: counts.emitted })
            }
            News::Entry(entry) => {
                let (counts, is_answer) = (entry.counts(), matches!(entry, Entry::Answered(_)));
                let is_done = matches!(entry, Entry::Answered(Answered::Done { .. }));
                self.recorded += if self.role == Some(Role::Consumer) { counts.given } else { counts.emitted };
                self.write(&Line::of(entry))?;
                // Not between a call and its answer, nor before another try.
                let is_enough = self.left.is_some_and(|left| self.recorded >= left);
                Ok(if is_answer && is_done && is_enough { Goes::Ended } else { Goes::On })
            }
        }
    }

    fn begin(&mut self, node: &str, stage: &str, about: &About) -> Result<Goes, Failure> {
        eprintln!("-- {} on {}, a {}, epoch {}", harmless(stage), harmless(node), about.role, about.epoch);
        let head = Head::new(stage, node, about, text::moment(now_ms())).map_err(|why| {
            Failure::new(Exit::Unavailable, format!("{} told what cannot be recorded: {why}", harmless(node)))
        })?;
        let line = match self.role.replace(about.role) {
            None => Line::Recording { version: VERSION, head },
            Some(_) => Line::Run(head),
        };
        self.write(&line)
    }

    fn write(&mut self, line: &Line) -> Result<Goes, Failure> {
        let mut written = serde_json::to_vec(line).expect("it has string keys");
        written.push(b'\n');
        // As a whole, so that a recording that is cut short ends with a line.
        let flushed = self.out.write_all(&written).and_then(|()| self.out.flush());
        flushed
            .map_err(|error| Failure::new(Exit::Io, format!("cannot write {}", self.path.display())).because(error))?;
        Ok(Goes::On)
    }

    fn end(self) -> Result<Exit, Failure> {
        let (recorded, missed, path) = (self.recorded, self.missed, self.path.display());
        if self.role.is_none() {
            // What holds nothing cannot be replayed.
            let _ = std::fs::remove_file(&self.path);
            return Err(Failure::new(Exit::Unavailable, format!("{} was not met; {path} is not made", self.stage)));
        }
        eprintln!("-- {recorded} events in {path}, {missed} missed");
        Ok(Exit::Done)
    }
}
