//! The bytes of what members ask each other. See `docs/wire.md`, "Agreement: RPC between members".
//!
//! Written by hand and not derived from openraft's types: another version of openraft must change neither
//! what is on disk nor what members of an older build understand.

mod fields;
#[cfg(test)]
mod tests;

use bytes::Bytes;

pub(super) use fields::{Reader, Writer};

use super::types::{
    AppendRequest, AppendResponse, SnapshotMeta, SnapshotResponse, TransferRequest, TransferResponse, Vote,
    VoteRequest, VoteResponse,
};

/// The version of all requests and answers. A member refuses others.
const VERSION: u8 = 1;

/// The longest text of a [`Answer::Failed`], in bytes.
const FAILED_BYTES_MAX: usize = 1024;

/// Bytes of a peer or a disk cannot be understood.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum CodecError {
    /// They end early.
    #[error("cut short: {missing} bytes of {field} are missing")]
    Short {
        /// What was being read.
        field: &'static str,
        /// How many bytes it lacks.
        missing: usize,
    },
    /// They go on after the end.
    #[error("{count} bytes after the end")]
    Trailing {
        /// How many.
        count: usize,
    },
    /// A field has a value that it cannot have.
    #[error("{field} is {found}, expected {expected}")]
    Field {
        /// Which.
        field: &'static str,
        /// What is there.
        found: String,
        /// What may be there.
        expected: &'static str,
    },
}

/// What one member asks another.
#[derive(Debug)]
pub(super) enum Request {
    /// The leader's entries, or none of them to say that it lives.
    Append(AppendRequest),
    /// A candidate wants a vote.
    Vote(VoteRequest),
    /// Somebody wants to know whether it would get a vote.
    PreVote(VoteRequest),
    /// A piece of the leader's snapshot.
    Snapshot(SnapshotPart),
    /// The leader wants to hand over.
    Transfer(TransferRequest),
}

/// A piece of a snapshot.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct SnapshotPart {
    /// The leader's.
    pub(super) vote: Vote,
    pub(super) meta: SnapshotMeta,
    /// Length of the whole snapshot in bytes.
    pub(super) total: u64,
    /// SHA-256 of the whole snapshot.
    pub(super) digest: [u8; 32],
    /// Where in the snapshot this piece begins.
    pub(super) offset: u64,
    pub(super) bytes: Bytes,
}

/// What the other one answers.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Answer {
    /// The request was not carried out, and why.
    Failed(String),
    Append(AppendResponse),
    /// To both kinds of vote.
    Vote(VoteResponse),
    /// A piece was taken; the next one begins here.
    SnapshotTaken(u64),
    /// The whole snapshot was installed, or refused for a higher vote.
    SnapshotDone(SnapshotResponse),
    Transfer(TransferResponse),
}

fn begin(kind: u8) -> Writer {
    let mut writer = Writer::default();
    writer.u8(VERSION);
    writer.u8(kind);
    writer
}

impl Request {
    pub(super) fn encode(&self) -> Bytes {
        let writer = match self {
            Self::Append(request) => {
                let mut writer = begin(1);
                writer.vote(&request.vote);
                writer.optional_log_id(request.prev_log_id.as_ref());
                writer.optional_log_id(request.leader_commit.as_ref());
                writer.list(request.entries.iter(), Writer::entry);
                writer
            }
            Self::Vote(request) => ballot(2, request),
            Self::PreVote(request) => ballot(3, request),
            Self::Snapshot(part) => {
                let mut writer = begin(4);
                writer.vote(&part.vote);
                writer.snapshot_meta(&part.meta);
                writer.u64(part.total);
                writer.raw(&part.digest);
                writer.u64(part.offset);
                writer.bytes(&part.bytes);
                writer
            }
            Self::Transfer(request) => {
                let mut writer = begin(5);
                writer.vote(request.from_leader());
                writer.u64(*request.to_node_id());
                writer.optional_log_id(request.last_log_id());
                writer
            }
        };
        writer.finish().into()
    }

    /// # Errors
    /// These bytes are no request.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let (mut reader, kind) = open(bytes)?;
        let request = match kind {
            1 => Self::Append(AppendRequest {
                vote: reader.vote("vote")?,
                prev_log_id: reader.optional_log_id("previous log id")?,
                leader_commit: reader.optional_log_id("commit")?,
                entries: reader.list("entries", Reader::entry)?,
            }),
            2 => Self::Vote(read_ballot(&mut reader)?),
            3 => Self::PreVote(read_ballot(&mut reader)?),
            4 => Self::Snapshot(SnapshotPart {
                vote: reader.vote("vote")?,
                meta: reader.snapshot_meta()?,
                total: reader.u64("total")?,
                digest: reader.array("digest")?,
                offset: reader.u64("offset")?,
                bytes: Bytes::copy_from_slice(reader.bytes("piece")?),
            }),
            5 => {
                let (from, to) = (reader.vote("vote")?, reader.u64("successor")?);
                Self::Transfer(TransferRequest::new(from, to, reader.optional_log_id("last log id")?))
            }
            other => return Err(fields::wrong("kind of request", &other, "1 to 5")),
        };
        reader.finish()?;
        Ok(request)
    }

    /// Whose request this is, by its own account.
    pub(super) fn from(&self) -> u64 {
        let vote = match self {
            Self::Append(request) => &request.vote,
            Self::Vote(request) | Self::PreVote(request) => &request.vote,
            Self::Snapshot(part) => &part.vote,
            Self::Transfer(request) => request.from_leader(),
        };
        vote.leader_id.node_id
    }
}

impl Answer {
    pub(super) fn encode(&self) -> Bytes {
        let writer = match self {
            Self::Failed(text) => {
                let mut writer = begin(0);
                writer.bytes(&text.as_bytes()[..text.floor_char_boundary(FAILED_BYTES_MAX)]);
                writer
            }
            Self::Append(response) => appended(response),
            Self::Vote(response) => {
                let mut writer = begin(2);
                writer.vote(&response.vote);
                writer.flag(response.vote_granted);
                writer.optional_log_id(response.last_log_id.as_ref());
                writer
            }
            Self::SnapshotTaken(next) => {
                let mut writer = begin(4);
                writer.u8(0);
                writer.u64(*next);
                writer
            }
            Self::SnapshotDone(response) => {
                let mut writer = begin(4);
                writer.u8(1);
                writer.vote(&response.vote);
                writer
            }
            Self::Transfer(response) => transferred(response),
        };
        writer.finish().into()
    }

    /// # Errors
    /// These bytes are no answer.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let (mut reader, kind) = open(bytes)?;
        let answer = match kind {
            0 => {
                let text = reader.bytes("failure")?;
                Self::Failed(String::from_utf8_lossy(&text[..text.len().min(FAILED_BYTES_MAX)]).into_owned())
            }
            1 => Self::Append(read_appended(&mut reader)?),
            2 => {
                let (vote, granted) = (reader.vote("vote")?, reader.flag("granted")?);
                Self::Vote(VoteResponse::new(vote, reader.optional_log_id("last log id")?, granted))
            }
            4 => match reader.flag("installed")? {
                false => Self::SnapshotTaken(reader.u64("next piece")?),
                true => Self::SnapshotDone(SnapshotResponse::new(reader.vote("vote")?)),
            },
            5 => Self::Transfer(read_transferred(&mut reader)?),
            other => return Err(fields::wrong("kind of answer", &other, "0, 1, 2, 4 or 5")),
        };
        reader.finish()?;
        Ok(answer)
    }
}

fn open(bytes: &[u8]) -> Result<(Reader<'_>, u8), CodecError> {
    let mut reader = Reader::new(bytes);
    match reader.u8("version")? {
        VERSION => {}
        other => return Err(fields::wrong("version", &other, "1")),
    }
    let kind = reader.u8("kind")?;
    Ok((reader, kind))
}

fn ballot(kind: u8, request: &VoteRequest) -> Writer {
    let mut writer = begin(kind);
    writer.vote(&request.vote);
    writer.optional_log_id(request.last_log_id.as_ref());
    writer.flag(request.leadership_transfer);
    writer
}

fn read_ballot(reader: &mut Reader<'_>) -> Result<VoteRequest, CodecError> {
    let mut request = VoteRequest::new(reader.vote("vote")?, reader.optional_log_id("last log id")?);
    request.leadership_transfer = reader.flag("handed over")?;
    Ok(request)
}

fn appended(response: &AppendResponse) -> Writer {
    let mut writer = begin(1);
    match response {
        AppendResponse::Success => writer.u8(0),
        AppendResponse::PartialSuccess(upto) => {
            writer.u8(1);
            writer.optional_log_id(upto.as_ref());
        }
        AppendResponse::Conflict => writer.u8(2),
        AppendResponse::HigherVote(vote) => {
            writer.u8(3);
            writer.vote(vote);
        }
    }
    writer
}

fn read_appended(reader: &mut Reader<'_>) -> Result<AppendResponse, CodecError> {
    Ok(match reader.u8("outcome")? {
        0 => AppendResponse::Success,
        1 => AppendResponse::PartialSuccess(reader.optional_log_id("last log id taken")?),
        2 => AppendResponse::Conflict,
        3 => AppendResponse::HigherVote(reader.vote("higher vote")?),
        other => return Err(fields::wrong("outcome", &other, "0 to 3")),
    })
}

fn transferred(response: &TransferResponse) -> Writer {
    use openraft::raft::TransferLeaderError as Error;
    let mut writer = begin(5);
    match response {
        Ok(()) => writer.u8(0),
        Err(Error::VoteChanged { expected, actual }) => {
            writer.u8(1);
            writer.vote(expected);
            writer.vote(actual);
        }
        Err(Error::LogNotFlushed { expected, actual }) => {
            writer.u8(2);
            writer.optional_log_id(expected.as_ref());
            writer.optional_log_id(actual.as_ref());
        }
    }
    writer
}

fn read_transferred(reader: &mut Reader<'_>) -> Result<TransferResponse, CodecError> {
    use openraft::raft::TransferLeaderError as Error;
    Ok(match reader.u8("outcome")? {
        0 => Ok(()),
        1 => Err(Error::VoteChanged { expected: reader.vote("expected vote")?, actual: reader.vote("actual vote")? }),
        2 => Err(Error::LogNotFlushed {
            expected: reader.optional_log_id("expected log id")?,
            actual: reader.optional_log_id("actual log id")?,
        }),
        other => return Err(fields::wrong("outcome", &other, "0, 1 or 2")),
    })
}
