//! Events on a screen: a line each, for people or for programs.

use std::{
    collections::BTreeMap,
    io::{self, ErrorKind, Write},
};

use forebay_proto::{
    batch::Batch,
    ids::Epoch,
    message::SeqRun,
    taps::{About, Answered, Counts, Entry, Given},
};
use serde_json::{Value, json};

use super::{Goes, News};
use crate::cli::{
    Exit, Failure, OutputChoice,
    operate::text::{harmless, harmless_json, printable},
    output,
    recording::EventLine,
};

/// A longer payload is cut where people read. Unit: bytes.
const SHOWN_BYTES_MAX: usize = 1024;

/// What was shown, and where.
#[derive(Debug)]
pub(super) struct Screen {
    stage: String,
    json: bool,
    /// Lines of several nodes say of which they are.
    many: bool,
    left: Option<u64>,
    /// Of each node's instance.
    epochs: BTreeMap<String, Epoch>,
    shown: u64,
    missed: u64,
}

/// Where events come from and which they are.
struct Row<'a> {
    source: &'a str,
    epoch: Option<Epoch>,
    attempt: Option<u32>,
    side: &'static str,
}

impl Screen {
    /// Ends after so many events, if any.
    pub(super) fn new(output: OutputChoice, many: bool, events: Option<u64>) -> Self {
        let json = matches!(output, OutputChoice::Json);
        Self { stage: String::new(), json, many, left: events, epochs: BTreeMap::new(), shown: 0, missed: 0 }
    }

    pub(super) fn show(&mut self, node: &str, news: News) -> Result<Goes, Failure> {
        let shown = match news {
            News::Began { stage, about } => self.begin(node, stage, &about),
            News::Waits { why } => self.wait(node, &why),
            News::Missed(missed) => self.miss(node, missed),
            News::Entry(Entry::Given(Given::Events { source, epoch, attempt, runs, events })) => {
                let row = Row { source: source.as_str(), epoch: Some(epoch), attempt: Some(attempt), side: "given" };
                self.events(node, &row, &runs, &events)
            }
            News::Entry(Entry::Given(Given::Inbox { first, events })) => {
                let row = Row { source: "inbox", epoch: None, attempt: None, side: "given" };
                self.events(node, &row, &[run(first, &events)], &events)
            }
            News::Entry(Entry::Answered(Answered::Done { first, events, .. })) => {
                let stage = self.stage.rsplit('/').next().unwrap_or_default().to_owned();
                let epoch = self.epochs.get(node).copied();
                let row = Row { source: &stage, epoch, attempt: None, side: "emitted" };
                self.events(node, &row, &[run(first.0, &events)], &events)
            }
            News::Entry(_) => Ok(Goes::On),
        };
        match shown {
            Ok(goes) => Ok(goes),
            // Whoever read it has enough, as `head` has.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(Goes::Ended),
            Err(error) => Err(Failure::new(Exit::Io, "cannot print events").because(error)),
        }
    }

    fn begin(&mut self, node: &str, stage: String, about: &About) -> io::Result<Goes> {
        // Another node has said it.
        self.stage = harmless(&stage);
        self.epochs.insert(node.to_owned(), about.epoch);
        let (stage, epoch, role) = (&self.stage, about.epoch.to_string(), about.role.to_string());
        match self.json {
            true => {
                let fields = json!({"stage": stage, "role": role, "epoch": epoch, "plugin": about.plugin});
                line(&harmless_json(&output::object(&[("what", "following"), ("node", node)], &fields)))
            }
            false => {
                eprintln!("-- {} on {}, a {role}, epoch {epoch}", harmless(stage), harmless(node));
                Ok(Goes::On)
            }
        }
    }

    fn wait(&self, node: &str, why: &str) -> io::Result<Goes> {
        match self.json {
            true => {
                let told = output::object(&[("what", "waiting"), ("node", node)], &json!({"reason": why}));
                line(&harmless_json(&told))
            }
            false => {
                eprintln!("-- waiting: {}", harmless(why));
                Ok(Goes::On)
            }
        }
    }

    fn miss(&mut self, node: &str, Counts { given, emitted }: Counts) -> io::Result<Goes> {
        let count = given.saturating_add(emitted);
        self.missed = self.missed.saturating_add(count);
        match self.json {
            true => line(&output::object(&[("what", "missed"), ("node", node)], &json!({"events": count}))),
            false => line(&format!("-- {count} events missed")),
        }
    }

    fn events(&mut self, node: &str, row: &Row<'_>, runs: &[SeqRun], events: &Batch) -> io::Result<Goes> {
        let numbers = runs.iter().flat_map(|run| run.first.0..run.end().0);
        for (event, number) in EventLine::all(events).into_iter().zip(numbers) {
            line(&match self.json {
                true => row.json(node, number, &event),
                false if self.many => format!("{}  {}", harmless(node), row.text(number, &event)),
                false => row.text(number, &event),
            })?;
            self.shown += 1;
            if let Some(left) = &mut self.left {
                *left -= 1;
                if *left == 0 {
                    return Ok(Goes::Ended);
                }
            }
        }
        Ok(Goes::On)
    }

    /// How much there was, for people.
    pub(super) fn sum(&self) {
        if !self.json {
            eprintln!("-- {} events, {} missed", self.shown, self.missed);
        }
    }
}

impl Row<'_> {
    fn text(&self, number: u64, event: &EventLine) -> String {
        let epoch = self.epoch.map(|epoch| format!(" {epoch}")).unwrap_or_default();
        let mut out = format!("{}{epoch}:{number}  ", self.source);
        if let Some(attempt) = self.attempt.filter(|attempt| *attempt > 1) {
            out += &format!("[attempt {attempt}] ");
        }
        if let Some(topic) = &event.topic {
            out += &format!("[topic {}] ", harmless(topic));
        }
        if let Some(key) = event.key_bytes().filter(|key| !key.is_empty()) {
            out += &format!("[key {}] ", shown(&key));
        }
        for (name, value) in &event.headers {
            out += &format!("[{}: {}] ", harmless(name), harmless(value));
        }
        out + &event.payload_bytes().map_or_else(String::new, |payload| shown(&payload))
    }

    fn json(&self, node: &str, number: u64, event: &EventLine) -> String {
        let mut fields = json!(event);
        let mut put = |name: &str, value: Value| fields.as_object_mut().map(|fields| fields.insert(name.into(), value));
        put("source", json!(self.source));
        put("side", json!(self.side));
        put("seq", json!(number));
        put("epoch", json!(self.epoch.map(|epoch| epoch.to_string())));
        put("attempt", json!(self.attempt));
        harmless_json(&output::object(&[("what", "event"), ("node", node)], &fields))
    }
}

fn run(first: u64, events: &Batch) -> SeqRun {
    SeqRun { first: forebay_proto::ids::Seq(first), count: u32::try_from(events.len()).unwrap_or(u32::MAX) }
}

/// Text as it is, in one line, and anything else as hexadecimal digits; cut if it is long.
fn shown(bytes: &[u8]) -> String {
    let cut = |part: String, all: usize| match all > SHOWN_BYTES_MAX {
        true => format!("{part}… ({all} bytes)"),
        false => part,
    };
    match printable(bytes) {
        Some(text) => cut(harmless(&text[..text.floor_char_boundary(SHOWN_BYTES_MAX)]), bytes.len()),
        None => {
            let digits = bytes.iter().take(SHOWN_BYTES_MAX).map(|byte| format!("{byte:02x}")).collect::<String>();
            cut(format!("0x{digits}"), bytes.len())
        }
    }
}

/// Not by [`output::print_line`]: who reads no more ends this command.
fn line(line: &str) -> io::Result<Goes> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()?;
    Ok(Goes::On)
}
