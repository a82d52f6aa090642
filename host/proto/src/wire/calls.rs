//! The bytes of requests to stages and of their answers.

use std::time::Duration;

use bytes::Bytes;

use super::{
    WireError, kind,
    read::{Reader, wrong},
    write::Writer,
};
use crate::calls::{Answer, BYTES_MAX, REFUSAL_BYTES_MAX, Request, WITHIN_MAX};

pub(super) fn write_request(writer: &mut Writer, request: &Request) {
    writer.u8(kind::CALL_ASKED);
    let Request { pipeline, stage, within, request } = request;
    writer.name(pipeline.as_str());
    writer.name(stage.as_str());
    let within = within.min(&WITHIN_MAX).as_millis();
    writer.u32(u32::try_from(within).expect("a minute has fewer milliseconds than 2^32"));
    writer.blob(request);
}

pub(super) fn read_request(reader: &mut Reader<'_>) -> Result<Request, WireError> {
    let (pipeline, stage) = (reader.parsed_name("pipeline")?, reader.parsed_name("stage")?);
    let millis = reader.u32("within")?;
    let within = Duration::from_millis(millis.into());
    if within > WITHIN_MAX {
        return Err(wrong("within", &millis, "at most 60,000 milliseconds"));
    }
    Ok(Request { pipeline, stage, within, request: read_bytes(reader, "request")? })
}

pub(super) fn write_answer(writer: &mut Writer, answer: &Answer) {
    writer.u8(kind::CALL_TOLD);
    match answer {
        Answer::Given(bytes) => {
            writer.u8(1);
            writer.blob(bytes);
        }
        Answer::Refused(why) => {
            writer.u8(2);
            writer.text(&why[..why.floor_char_boundary(REFUSAL_BYTES_MAX)]);
        }
        Answer::NotMade(why) => {
            writer.u8(3);
            writer.why(why);
        }
        Answer::Unknown(why) => {
            writer.u8(4);
            writer.why(why);
        }
    }
}

pub(super) fn read_answer(reader: &mut Reader<'_>) -> Result<Answer, WireError> {
    match reader.u8("answer of a stage")? {
        1 => Ok(Answer::Given(read_bytes(reader, "answer")?)),
        2 => Ok(Answer::Refused(reader.short_text(REFUSAL_BYTES_MAX, "error of a guest", "at most 8 KiB")?)),
        3 => Ok(Answer::NotMade(reader.why()?)),
        4 => Ok(Answer::Unknown(reader.why()?)),
        other => Err(wrong("answer of a stage", &other, "a number from 1 to 4")),
    }
}

fn read_bytes(reader: &mut Reader<'_>, field: &'static str) -> Result<Bytes, WireError> {
    let length = reader.len(field)?;
    match length > BYTES_MAX {
        true => Err(wrong(field, &format!("{length} bytes"), "at most 1 MiB")),
        false => reader.bytes(field, length).map(Bytes::copy_from_slice),
    }
}
