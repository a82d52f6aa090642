//! The bytes of requests for what a stage is given and answers, and of what is told.

use std::time::Duration;

use super::{
    WireError, batch, kind,
    read::{Reader, wrong},
    write::Writer,
};
use crate::{
    batch::BatchLimits,
    ids::{Epoch, Seq},
    pipeline::Limits,
    stage::{Rejected, Role},
    taps::{
        About, Answer, Answered, CONFIG_BYTES_MAX, Counts, Cursor, ENTRIES_MAX, Entry, Given, Kinds, Numbered, Page,
        Request, TEXT_BYTES_MAX, WAIT_MAX,
    },
};

/// The longest digest of a plugin, or name of a built-in one. Unit: bytes.
const PLUGIN_BYTES_MAX: usize = 128;

pub(super) fn write_request(writer: &mut Writer, Request { name, kinds, at, wait }: &Request) {
    writer.u8(kind::TAP_ASKED);
    writer.global_name(name);
    writer.u8(kinds.bits());
    writer.u64(at.run);
    writer.u64(at.next);
    writer.u32(millis(*wait.min(&WAIT_MAX)));
}

pub(super) fn read_request(reader: &mut Reader<'_>) -> Result<Request, WireError> {
    let name = reader.global_name()?;
    let bits = reader.u8("kinds of entries")?;
    let kinds = Kinds::from_bits(bits).ok_or_else(|| wrong("kinds of entries", &bits, "no bits but 1, 2 and 4"))?;
    let at = Cursor { run: reader.u64("run")?, next: reader.u64("next entry")? };
    let wait = reader.u32("wait")?;
    if Duration::from_millis(wait.into()) > WAIT_MAX {
        return Err(wrong("wait", &wait, "at most 2,000 milliseconds"));
    }
    Ok(Request { name, kinds, at, wait: Duration::from_millis(wait.into()) })
}

pub(super) fn write_answer(writer: &mut Writer, answer: &Answer) {
    writer.u8(kind::TAP_TOLD);
    match answer {
        Answer::Refused(why) => {
            writer.u8(0);
            writer.why(why);
        }
        Answer::Page(page) => {
            writer.reserve(page.entries.iter().map(|numbered| numbered.entry.bytes()).sum::<usize>() + 64);
            writer.u8(1);
            writer.u64(page.at.run);
            writer.u64(page.at.next);
            writer.option(page.about.as_ref(), write_about);
            writer.list(&page.entries, write_entry);
        }
        Answer::NotHere(why) => {
            writer.u8(2);
            writer.why(why);
        }
    }
}

pub(super) fn read_answer(reader: &mut Reader<'_>, limits: &BatchLimits) -> Result<Answer, WireError> {
    match reader.u8("told of a stage")? {
        0 => Ok(Answer::Refused(reader.why()?)),
        1 => {
            let at = Cursor { run: reader.u64("run")?, next: reader.u64("next entry")? };
            let about = reader.option("says what the stage is", read_about)?;
            let entries = reader.at_most(ENTRIES_MAX, "entries", |reader| read_entry(reader, limits))?;
            Ok(Answer::Page(Box::new(Page { at, about, entries })))
        }
        2 => Ok(Answer::NotHere(reader.why()?)),
        other => Err(wrong("told of a stage", &other, "a number from 0 to 2")),
    }
}

fn write_about(writer: &mut Writer, About { role, epoch, plugin, config, limits }: &About) {
    writer.u8(match role {
        Role::Producer => 1,
        Role::ProducerConsumer => 2,
        Role::Consumer => 3,
    });
    writer.u64(epoch.to_u64());
    writer.text(&plugin[..plugin.floor_char_boundary(PLUGIN_BYTES_MAX)]);
    writer.text(config);
    writer.u64(limits.memory_bytes);
    writer.u32(millis(limits.call_time));
    writer.u32(limits.table_elements);
    writer.u32(limits.log_lines_per_second);
    writer.u32(limits.batch.events_max);
    writer.u32(limits.batch.bytes_max);
}

fn read_about(reader: &mut Reader<'_>) -> Result<About, WireError> {
    let role = match reader.u8("role")? {
        1 => Role::Producer,
        2 => Role::ProducerConsumer,
        3 => Role::Consumer,
        other => return Err(wrong("role", &other, "a number from 1 to 3")),
    };
    let epoch = Epoch::from_u64(reader.u64("epoch")?);
    let plugin = reader.short_text(PLUGIN_BYTES_MAX, "plugin", "at most 128 bytes")?;
    let config = reader.short_text(CONFIG_BYTES_MAX, "config", "at most 1 MiB")?;
    let memory_bytes = reader.u64("memory")?;
    let call_time = Duration::from_millis(reader.u32("time of a call")?.into());
    let (table_elements, log_lines_per_second) = (reader.u32("elements of tables")?, reader.u32("log lines")?);
    let batch =
        BatchLimits { events_max: reader.u32("events of a batch")?, bytes_max: reader.u32("bytes of a batch")? };
    let limits = Limits { memory_bytes, call_time, table_elements, log_lines_per_second, batch };
    Ok(About { role, epoch, plugin, config, limits })
}

fn write_entry(writer: &mut Writer, Numbered { before, entry }: &Numbered) {
    writer.u64(before.given);
    writer.u64(before.emitted);
    match entry {
        Entry::Given(Given::Demand(demand)) => {
            writer.u8(1);
            writer.u32(*demand);
        }
        Entry::Given(Given::Events { source, epoch, attempt, runs, events }) => {
            writer.u8(2);
            writer.name(source.as_str());
            writer.u64(epoch.to_u64());
            writer.u32(*attempt);
            writer.runs(runs);
            batch::write(writer, events);
        }
        Entry::Given(Given::Inbox { first, events }) => {
            writer.u8(3);
            writer.u64(*first);
            batch::write(writer, events);
        }
        Entry::Given(Given::Tick) => writer.u8(4),
        Entry::Answered(Answered::Done { first, events, rejected }) => {
            writer.u8(5);
            writer.u64(first.0);
            batch::write(writer, events);
            writer.list(rejected, |writer, Rejected { index, retry, reason }| {
                writer.u32(*index);
                writer.u8(u8::from(*retry));
                writer.text(crate::taps::cut(reason));
            });
        }
        Entry::Answered(Answered::Retry(why)) => {
            writer.u8(6);
            writer.text(crate::taps::cut(why));
        }
        Entry::Answered(Answered::Lost(why)) => {
            writer.u8(7);
            writer.text(crate::taps::cut(why));
        }
        Entry::State(state) => {
            writer.u8(8);
            writer.blob(state);
        }
    }
}

fn read_entry(reader: &mut Reader<'_>, limits: &BatchLimits) -> Result<Numbered, WireError> {
    let before = Counts { given: reader.u64("given before")?, emitted: reader.u64("emitted before")? };
    let text = |reader: &mut Reader<'_>| reader.short_text(TEXT_BYTES_MAX, "text of a guest", "at most 1024 bytes");
    let entry = match reader.u8("entry")? {
        1 => Entry::Given(Given::Demand(reader.u32("demand")?)),
        2 => {
            let source = reader.parsed_name("source")?;
            let epoch = Epoch::from_u64(reader.u64("epoch of source")?);
            let delivered = batch::read_events(reader, limits)?;
            let (attempt, runs, events) = (delivered.attempt, delivered.runs, delivered.events);
            Entry::Given(Given::Events { source, epoch, attempt, runs, events })
        }
        3 => {
            let first = reader.u64("position")?;
            Entry::Given(Given::Inbox { first, events: batch::read(reader, limits)? })
        }
        4 => Entry::Given(Given::Tick),
        5 => {
            let (first, events) = (Seq(reader.u64("first number")?), batch::read(reader, limits)?);
            let rejected = reader.list("rejections", |reader| {
                let (index, retry) = (reader.u32("rejected event")?, reader.bool("may be tried again")?);
                Ok(Rejected { index, retry, reason: text(reader)? })
            })?;
            if first.0.checked_add(events.len() as u64).is_none() {
                return Err(wrong("first number", &first.0, "a number that leaves room for the others"));
            }
            Entry::Answered(Answered::Done { first, events, rejected })
        }
        6 => Entry::Answered(Answered::Retry(text(reader)?)),
        7 => Entry::Answered(Answered::Lost(text(reader)?)),
        8 => Entry::State(reader.blob("state")?),
        other => return Err(wrong("entry", &other, "a number from 1 to 8")),
    };
    Ok(Numbered { before, entry })
}

fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}
