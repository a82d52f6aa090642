//! The bytes of requests for blobs and of their answers.

use super::{
    WireError, kind,
    read::{Reader, wrong},
    write::Writer,
};
use crate::blob::{Answer, CHUNK_BYTES, CHUNKS_MAX, Request};

pub(super) fn write_request(writer: &mut Writer, request: &Request) {
    writer.u8(kind::BLOB_ASKED);
    match request {
        Request::List { digest } => {
            writer.u8(1);
            writer.digest(digest);
        }
        Request::Chunk { digest, index } => {
            writer.u8(2);
            writer.digest(digest);
            writer.u64(*index);
        }
        Request::Held { digest } => {
            writer.u8(3);
            writer.digest(digest);
        }
    }
}

pub(super) fn read_request(reader: &mut Reader<'_>) -> Result<Request, WireError> {
    match reader.u8("request for a blob")? {
        1 => Ok(Request::List { digest: reader.digest("digest")? }),
        2 => Ok(Request::Chunk { digest: reader.digest("digest")?, index: reader.u64("chunk")? }),
        3 => Ok(Request::Held { digest: reader.digest("digest")? }),
        other => Err(wrong("request for a blob", &other, "a number from 1 to 3")),
    }
}

pub(super) fn write_answer(writer: &mut Writer, answer: &Answer) {
    writer.u8(kind::BLOB_TOLD);
    match answer {
        Answer::Refused(why) => {
            writer.u8(0);
            writer.why(why);
        }
        Answer::List(list) => {
            writer.u8(1);
            writer.list(list, Writer::digest);
        }
        Answer::Chunk(bytes) => {
            writer.reserve(bytes.len() + 8);
            writer.u8(2);
            writer.blob(bytes);
        }
        Answer::Missing => writer.u8(3),
        Answer::Held(bytes) => {
            writer.u8(4);
            writer.u64(*bytes);
        }
    }
}

pub(super) fn read_answer(reader: &mut Reader<'_>) -> Result<Answer, WireError> {
    match reader.u8("answer about a blob")? {
        0 => Ok(Answer::Refused(reader.why()?)),
        1 => Ok(Answer::List(reader.at_most(CHUNKS_MAX, "chunks of a blob", |reader| reader.digest("digest"))?)),
        2 => match reader.blob("chunk")? {
            bytes if bytes.len() as u64 > CHUNK_BYTES => {
                Err(wrong("chunk", &format!("{} bytes", bytes.len()), "at most 256 KiB"))
            }
            bytes => Ok(Answer::Chunk(bytes)),
        },
        3 => Ok(Answer::Missing),
        4 => Ok(Answer::Held(reader.u64("bytes held")?)),
        other => Err(wrong("answer about a blob", &other, "a number from 0 to 4")),
    }
}
