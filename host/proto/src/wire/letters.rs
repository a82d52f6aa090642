//! The bytes of requests about dead letters and of their answers.

use bytes::Bytes;

use super::{
    WireError, kind,
    read::{Reader, wrong},
    write::Writer,
};
use crate::{
    ids::{Epoch, Seq},
    letters::{
        Answer, DROP_MAX, LINE_BYTES_MAX, LetterId, Line, Outcome, PAGE_LETTERS, PART_BYTES, Part, REASON_BYTES_MAX,
        RESEND_MAX, Request,
    },
};

pub(super) fn write_request(writer: &mut Writer, request: &Request) {
    writer.u8(kind::LETTERS_ASKED);
    match request {
        Request::List { pipeline, stage, after } => {
            writer.u8(1);
            writer.option(pipeline.as_ref(), |writer, name| writer.name(name.as_str()));
            writer.option(stage.as_ref(), |writer, name| writer.name(name.as_str()));
            writer.option(after.as_ref(), |writer, after| writer.u64(after.0));
        }
        Request::Show { id, from } => {
            writer.u8(2);
            writer.u64(id.0);
            writer.u64(*from);
        }
        Request::Resend(ids) => {
            writer.u8(3);
            writer.list(ids, |writer, id| writer.u64(id.0));
        }
        Request::Drop(ids) => {
            writer.u8(4);
            writer.list(ids, |writer, id| writer.u64(id.0));
        }
    }
}

pub(super) fn read_request(reader: &mut Reader<'_>) -> Result<Request, WireError> {
    match reader.u8("request about letters")? {
        1 => Ok(Request::List {
            pipeline: reader.option("has a pipeline", |reader| reader.parsed_name("pipeline"))?,
            stage: reader.option("has a stage", |reader| reader.parsed_name("stage"))?,
            after: reader.option("has an end", |reader| Ok(LetterId(reader.u64("after")?)))?,
        }),
        2 => Ok(Request::Show { id: LetterId(reader.u64("letter")?), from: reader.u64("from")? }),
        3 => Ok(Request::Resend(reader.at_most(RESEND_MAX, "letters to resend", read_id)?)),
        4 => Ok(Request::Drop(reader.at_most(DROP_MAX, "letters to drop", read_id)?)),
        other => Err(wrong("request about letters", &other, "a number from 1 to 4")),
    }
}

pub(super) fn write_answer(writer: &mut Writer, answer: &Answer) {
    writer.u8(kind::LETTERS_TOLD);
    match answer {
        Answer::Refused(why) => {
            writer.u8(0);
            writer.why(why);
        }
        Answer::Page { letters, more } => {
            writer.u8(1);
            writer.u8(u8::from(*more));
            writer.list(letters, write_line);
        }
        Answer::Part(part) => {
            writer.u8(2);
            write_line(writer, &part.letter);
            writer.text(&part.reason);
            writer.u64(part.event_bytes);
            writer.blob(&part.part);
        }
        Answer::Outcomes(outcomes) => {
            writer.u8(3);
            writer.list(outcomes, |writer, (id, outcome)| {
                writer.u64(id.0);
                match outcome {
                    Outcome::Done => writer.u8(0),
                    Outcome::Unknown => writer.u8(1),
                    Outcome::Refused(why) => {
                        writer.u8(2);
                        writer.why(why);
                    }
                }
            });
        }
    }
}

pub(super) fn read_answer(reader: &mut Reader<'_>) -> Result<Answer, WireError> {
    match reader.u8("answer about letters")? {
        0 => Ok(Answer::Refused(reader.why()?)),
        1 => {
            let more = reader.bool("more")?;
            Ok(Answer::Page { letters: reader.at_most(PAGE_LETTERS, "letters of a page", read_line)?, more })
        }
        2 => Ok(Answer::Part(Part {
            letter: read_line(reader)?,
            reason: reader.short_text(REASON_BYTES_MAX, "reason of a letter", "at most 16 KiB")?,
            event_bytes: reader.u64("length of the event")?,
            part: read_part(reader)?,
        })),
        3 => Ok(Answer::Outcomes(
            reader.at_most(DROP_MAX, "outcomes", |reader| Ok((read_id(reader)?, read_outcome(reader)?)))?,
        )),
        other => Err(wrong("answer about letters", &other, "a number from 0 to 3")),
    }
}

fn write_line(writer: &mut Writer, line: &Line) {
    writer.u64(line.id.0);
    writer.u64(line.at_ms);
    for name in [line.pipeline.as_str(), line.stage.as_str(), line.source.as_str()] {
        writer.name(name);
    }
    writer.u64(line.epoch.to_u64());
    writer.u64(line.seq.0);
    writer.u32(line.attempts);
    writer.u64(line.payload_bytes);
    writer.text(&line.reason);
}

fn read_line(reader: &mut Reader<'_>) -> Result<Line, WireError> {
    Ok(Line {
        id: read_id(reader)?,
        at_ms: reader.u64("when")?,
        pipeline: reader.parsed_name("pipeline")?,
        stage: reader.parsed_name("stage")?,
        source: reader.parsed_name("source")?,
        epoch: Epoch::from_u64(reader.u64("epoch")?),
        seq: Seq(reader.u64("number")?),
        attempts: reader.u32("attempts")?,
        payload_bytes: reader.u64("length of the payload")?,
        reason: reader.short_text(LINE_BYTES_MAX, "line of a reason", "at most 200 bytes")?,
    })
}

fn read_id(reader: &mut Reader<'_>) -> Result<LetterId, WireError> {
    reader.u64("letter").map(LetterId)
}

fn read_part(reader: &mut Reader<'_>) -> Result<Bytes, WireError> {
    let length = reader.len("part of the event")?;
    match length > PART_BYTES {
        true => Err(wrong("part of the event", &format!("{length} bytes"), "at most 256 KiB")),
        false => reader.bytes("part of the event", length).map(Bytes::copy_from_slice),
    }
}

fn read_outcome(reader: &mut Reader<'_>) -> Result<Outcome, WireError> {
    match reader.u8("outcome")? {
        0 => Ok(Outcome::Done),
        1 => Ok(Outcome::Unknown),
        2 => Ok(Outcome::Refused(reader.why()?)),
        other => Err(wrong("outcome", &other, "0, 1 or 2")),
    }
}
