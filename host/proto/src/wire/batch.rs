//! The bytes of an events message: the columns of its batch, one after the other.

use bytes::Bytes;

use super::{
    WireError,
    read::{Reader, wrong},
    write::Writer,
};
use crate::{
    batch::{Batch, BatchLimits, Shared},
    message::Events,
};

const TOPICS: u8 = 1;
const KEYS: u8 = 2;
const HEADERS: u8 = 4;

impl Batch {
    /// Its bytes, as they stand in an events message: also for what is kept on disk.
    pub fn encode(&self) -> Bytes {
        let mut writer = Writer::default();
        writer.reserve(self.bytes() + 64);
        write(&mut writer, self);
        writer.finish()
    }

    /// The inverse of [`Batch::encode`].
    ///
    /// # Errors
    /// [`WireError`] names the field, or what is wrong with the columns.
    pub fn decode(bytes: &[u8], limits: &BatchLimits) -> Result<Self, WireError> {
        let mut reader = Reader::new(bytes);
        let batch = read(&mut reader, limits)?;
        reader.finish()?;
        Ok(batch)
    }
}

pub(super) fn write(writer: &mut Writer, batch: &Batch) {
    let view = batch.view();
    let has = |bit: u8, present: bool| if present { bit } else { 0 };
    let any_headers = batch.headers().next().is_some();
    let (topics, keys) = (has(TOPICS, !view.topic_of.is_empty()), has(KEYS, !view.key_ends.is_empty()));
    writer.u8(topics | keys | has(HEADERS, any_headers));
    writer.len(batch.len());
    write_bytes(writer, view.payloads, view.ends, view.payload_base);
    if topics != 0 {
        writer.list(view.topics, |writer, topic| writer.text(topic));
        writer.u16s(view.topic_of);
    }
    if keys != 0 {
        write_bytes(writer, view.keys, view.key_ends, view.key_base);
    }
    if any_headers {
        let headers: Vec<_> = batch.headers().collect();
        writer.list(&headers, |writer, (event, name, value)| {
            writer.u32(*event);
            writer.text(name);
            writer.text(value);
        });
    }
}

fn write_bytes(writer: &mut Writer, bytes: &[u8], ends: &[u32], base: u32) {
    writer.len(bytes.len());
    writer.ends(ends, base);
    writer.bytes(bytes);
}

pub(super) fn read_events(reader: &mut Reader<'_>, limits: &BatchLimits) -> Result<Events, WireError> {
    let attempt = reader.u32("attempt")?;
    if attempt == 0 {
        return Err(wrong("attempt", &0, "at least 1"));
    }
    let runs = reader.runs("runs")?;
    let events = read(reader, limits)?;
    let numbered = runs.iter().map(|run| u64::from(run.count)).sum::<u64>();
    if numbered != events.len() as u64 {
        let found = format!("{numbered} numbers for {} events", events.len());
        return Err(wrong("runs", &found, "one number for each event"));
    }
    Ok(Events { attempt, runs, events })
}

pub(super) fn read(reader: &mut Reader<'_>, limits: &BatchLimits) -> Result<Batch, WireError> {
    Ok(Batch::of_shared(read_columns(reader)?, limits)?)
}

fn read_columns(reader: &mut Reader<'_>) -> Result<Shared, WireError> {
    let flags = reader.u8("columns")?;
    if flags & !(TOPICS | KEYS | HEADERS) != 0 {
        return Err(wrong("columns", &format!("0x{flags:02x}"), "no bits but 1, 2 and 4"));
    }
    let count = reader.len("events")?;
    let mut columns = Shared::default();
    (columns.ends, columns.payloads) = read_bytes(reader, count, "payload ends", "payloads")?;
    if flags & TOPICS != 0 {
        columns.topics = reader.list("topics", |reader| reader.text("topic").map(str::to_owned))?;
        columns.topic_of = reader.u16s("topic of events", count)?;
    }
    if flags & KEYS != 0 {
        (columns.key_ends, columns.keys) = read_bytes(reader, count, "key ends", "keys")?;
    }
    if flags & HEADERS != 0 {
        columns.headers = reader.list("headers", |reader| {
            let event = reader.u32("event of header")?;
            Ok((event, reader.text("header name")?.to_owned(), reader.text("header value")?.to_owned()))
        })?;
    }
    Ok(columns)
}

fn read_bytes(
    reader: &mut Reader<'_>,
    count: usize,
    ends: &'static str,
    bytes: &'static str,
) -> Result<(Vec<u32>, Bytes), WireError> {
    let len = reader.len(bytes)?;
    let ends = reader.u32s(ends, count)?;
    Ok((ends, reader.shared(bytes, len)?))
}
