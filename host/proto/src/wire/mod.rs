//! The bytes of every frame. `docs/wire.md` describes them; golden tests hold both together.
//!
//! Written by hand: a derived encoding would make every change of a type a change of the protocol.
//! All numbers are little-endian. A decoder never allocates more than a small multiple of what it
//! was given, and returns an error for whatever a peer can send.

mod batch;
mod blobs;
mod calls;
mod letters;
mod read;
mod subscribe;
mod taps;
mod write;

#[cfg(test)]
mod tests;

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;

use crate::{
    batch::{BatchError, BatchLimits},
    blob::{Answer as BlobAnswer, Request as BlobRequest},
    calls::{Answer as CallAnswer, Request as CallRequest},
    ids::{BootId, Epoch, NodeName, Seq},
    letters::{Answer as LettersAnswer, Request as LettersRequest},
    message::{Envelope, Message},
    names::{Claim, GlobalName, quorum::GroupId},
    taps::{Answer as TapAnswer, Request as TapRequest},
};
pub(crate) use read::{Reader, wrong};
pub(crate) use write::Writer;

/// The version of the protocol, stated in [`Hello`]. A node talks to its own version only, so far.
pub const VERSION: u16 = 2;

/// The longest text in a reason, in bytes; longer ones are cut when they are sent.
pub const REASON_BYTES_MAX: usize = 1024;

/// How the nodes of a cluster agree on owners.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Agreement {
    /// With whom they can reach.
    Islands,
    /// By a majority.
    Quorum,
}

/// The first frame of a control channel, from either side.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Hello {
    /// The sender's [`VERSION`].
    pub version: u16,
    /// The sender's start.
    pub boot: BootId,
    /// How it agrees on owners; differing nodes do not talk.
    pub agreement: Agreement,
    /// Where others can reach the sender; `None`: only where it came from.
    pub advertise: Option<SocketAddr>,
    /// The group it agrees with, if it belongs to one already; nodes of two groups do not talk.
    pub group: Option<GroupId>,
}

/// A node and where to reach it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Member {
    /// Who.
    pub node: NodeName,
    /// Where.
    pub addr: SocketAddr,
}

/// What a node says of names: replaces what it said before.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Names {
    /// Global names it could run.
    pub candidates: Vec<GlobalName>,
    /// Its own claims.
    pub claims: Vec<Claim>,
}

/// How far a stage is, and its state then: for the next owner. Only in islands mode.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Checkpoint {
    /// Of which name.
    pub name: GlobalName,
    /// Of its owner.
    pub epoch: Epoch,
    /// Everything before this is settled.
    pub seq: Seq,
    /// The state.
    pub snapshot: Bytes,
}

/// Any frame.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Frame {
    /// Begins a control channel.
    Hello(Hello),
    /// Nodes the sender is connected to.
    Members(Vec<Member>),
    /// The sender's names.
    Names(Names),
    /// Of a name of the sender's.
    Checkpoint(Checkpoint),
    /// Are you there? To be answered by `Pong` with the same number.
    Ping(u64),
    /// I am.
    Pong(u64),
    /// A request of the agreement between nodes, or its answer; a channel begins with the one and
    /// ends with the other. The bytes are those of [`crate::names::quorum::Request`] and `Answer`.
    Agreement(Bytes),
    /// What a node is asked about its dead letters. A channel begins with it, and ends with [`Frame::LettersTold`].
    LettersAsked(LettersRequest),
    /// What it answers.
    LettersTold(LettersAnswer),
    /// What a node is asked for of a blob. A channel begins with it, and ends with [`Frame::BlobTold`].
    BlobAsked(BlobRequest),
    /// What it answers.
    BlobTold(BlobAnswer),
    /// What a stage of a node is asked. A channel begins with it, and ends with [`Frame::CallTold`].
    CallAsked(CallRequest),
    /// What came of it.
    CallTold(CallAnswer),
    /// What a node is asked about the events of a stage. A channel begins with it, and ends with [`Frame::TapTold`].
    TapAsked(TapRequest),
    /// What it tells.
    TapTold(TapAnswer),
    /// What an operator asks a node: a line of the language of its admin socket, without its end. A channel begins with
    /// it, and ends with [`Frame::AdminTold`].
    AdminAsked(Bytes),
    /// A part of the line that the node answers.
    AdminTold {
        /// Whether another part follows.
        more: bool,
        /// At least one byte, so that every part says something.
        part: Bytes,
    },
    /// A message of a subscription. A subscription's channel begins with `Subscribe`.
    Stage(Envelope),
    /// A frame of a kind from 0x80 on that this release does not know; to be ignored.
    Unknown(u8),
}

/// A frame that cannot be understood.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum WireError {
    /// The frame ends too early.
    #[error("frame ends within `{field}`: {missing} bytes missing")]
    Short {
        /// Which field.
        field: &'static str,
        /// How many bytes are missing.
        missing: usize,
    },
    /// Bytes are left over.
    #[error("{count} bytes left over after the frame's last field")]
    Trailing {
        /// How many.
        count: usize,
    },
    /// A field holds what it may not.
    #[error("field `{field}` holds {found}, expected {expected}")]
    Field {
        /// Which field.
        field: &'static str,
        /// What it holds.
        found: String,
        /// What was expected.
        expected: &'static str,
    },
    /// The frame's kind is not known, and not one that may be ignored.
    #[error("unknown kind of frame 0x{0:02x}")]
    Kind(u8),
    /// The columns of an events frame contradict each other or are too large.
    #[error("events frame: {0}")]
    Batch(#[from] BatchError),
}

mod kind {
    pub(super) const HELLO: u8 = 0x01;
    pub(super) const MEMBERS: u8 = 0x02;
    pub(super) const NAMES: u8 = 0x03;
    pub(super) const PING: u8 = 0x04;
    pub(super) const PONG: u8 = 0x05;
    pub(super) const AGREEMENT: u8 = 0x06;
    pub(super) const LETTERS_ASKED: u8 = 0x07;
    pub(super) const LETTERS_TOLD: u8 = 0x08;
    pub(super) const CHECKPOINT: u8 = 0x09;
    pub(super) const BLOB_ASKED: u8 = 0x0a;
    pub(super) const BLOB_TOLD: u8 = 0x0b;
    pub(super) const ADMIN_ASKED: u8 = 0x0c;
    pub(super) const ADMIN_TOLD: u8 = 0x0d;
    pub(super) const CALL_ASKED: u8 = 0x0e;
    pub(super) const CALL_TOLD: u8 = 0x0f;
    pub(super) const SUBSCRIBE: u8 = 0x10;
    pub(super) const ASK: u8 = 0x11;
    pub(super) const EVENTS: u8 = 0x12;
    pub(super) const CANCEL: u8 = 0x13;
    pub(super) const RETRY: u8 = 0x14;
    pub(super) const PROCESSED: u8 = 0x15;
    pub(super) const TAP_ASKED: u8 = 0x20;
    pub(super) const TAP_TOLD: u8 = 0x21;
    /// From here on a receiver ignores what it does not know.
    pub(super) const OPTIONAL: u8 = 0x80;
}

/// A frame's bytes, without the length that the transport puts before them.
pub fn encode(frame: &Frame) -> Bytes {
    let mut writer = Writer::default();
    match frame {
        Frame::Hello(hello) => {
            writer.u8(kind::HELLO);
            writer.hello(hello);
        }
        Frame::Members(members) => {
            writer.u8(kind::MEMBERS);
            writer.list(members, |writer, member| {
                writer.name(member.node.as_str());
                writer.addr(member.addr);
            });
        }
        Frame::Names(names) => {
            writer.u8(kind::NAMES);
            writer.list(&names.candidates, Writer::global_name);
            writer.list(&names.claims, Writer::claim);
        }
        Frame::Checkpoint(Checkpoint { name, epoch, seq, snapshot }) => {
            writer.u8(kind::CHECKPOINT);
            writer.global_name(name);
            writer.u64(epoch.to_u64());
            writer.u64(seq.0);
            writer.blob(snapshot);
        }
        Frame::Ping(number) => {
            writer.u8(kind::PING);
            writer.u64(*number);
        }
        Frame::Pong(number) => {
            writer.u8(kind::PONG);
            writer.u64(*number);
        }
        Frame::Agreement(bytes) => {
            writer.u8(kind::AGREEMENT);
            writer.bytes(bytes);
        }
        Frame::LettersAsked(request) => letters::write_request(&mut writer, request),
        Frame::LettersTold(answer) => letters::write_answer(&mut writer, answer),
        Frame::CallAsked(request) => calls::write_request(&mut writer, request),
        Frame::CallTold(answer) => calls::write_answer(&mut writer, answer),
        Frame::TapAsked(request) => taps::write_request(&mut writer, request),
        Frame::TapTold(answer) => taps::write_answer(&mut writer, answer),
        Frame::BlobAsked(request) => blobs::write_request(&mut writer, request),
        Frame::BlobTold(answer) => blobs::write_answer(&mut writer, answer),
        Frame::AdminAsked(line) => {
            writer.reserve(line.len() + 1);
            writer.u8(kind::ADMIN_ASKED);
            writer.bytes(line);
        }
        Frame::AdminTold { more, part } => {
            writer.reserve(part.len() + 2);
            writer.u8(kind::ADMIN_TOLD);
            writer.u8(u8::from(*more));
            writer.bytes(part);
        }
        Frame::Stage(envelope) => encode_message(&mut writer, envelope),
        Frame::Unknown(kind) => writer.u8(*kind),
    }
    writer.finish()
}

/// Of an ask without runs, and of a run; what is written most often is not to grow while it is.
const ASK_BYTES: usize = 21;
const RUN_BYTES: usize = 12;

fn encode_message(writer: &mut Writer, Envelope { epoch, message }: &Envelope) {
    let begin = |writer: &mut Writer, kind| {
        writer.u8(kind);
        writer.u64(epoch.to_u64());
    };
    match message {
        Message::Subscribe(message) => {
            begin(writer, kind::SUBSCRIBE);
            subscribe::write(writer, message);
        }
        Message::Ask { granted, acked } => {
            writer.reserve(ASK_BYTES + acked.len() * RUN_BYTES);
            begin(writer, kind::ASK);
            writer.u64(*granted);
            writer.runs(acked);
        }
        Message::Retry { after, runs } => {
            begin(writer, kind::RETRY);
            writer.u32(u32::try_from(after.as_millis()).unwrap_or(u32::MAX));
            writer.runs(runs);
        }
        Message::Processed { runs } => {
            begin(writer, kind::PROCESSED);
            writer.runs(runs);
        }
        Message::Events(events) => {
            writer.reserve(events.events.bytes() + 64);
            begin(writer, kind::EVENTS);
            writer.u32(events.attempt);
            writer.runs(&events.runs);
            batch::write(writer, &events.events);
        }
        Message::Cancel(reason) => {
            begin(writer, kind::CANCEL);
            writer.reason(reason);
        }
    }
}

/// Reads a frame; a batch in it is checked against `limits`. Payloads and keys of a batch stay a part of the frame, so
/// they are not copied, and keep all of it in memory.
///
/// # Errors
/// [`WireError`] names the field. The caller closes the stream with it and harms nothing else.
pub fn decode(frame: &Bytes, limits: &BatchLimits) -> Result<Frame, WireError> {
    let mut reader = Reader::sharing(frame);
    let kind = reader.u8("kind")?;
    let frame = match kind {
        kind::HELLO => Frame::Hello(reader.hello()?),
        kind::MEMBERS => Frame::Members(reader.list("members", |reader| {
            let node = reader.parsed_name("member name")?;
            Ok(Member { node, addr: reader.addr("member address")? })
        })?),
        kind::NAMES => {
            let candidates = reader.list("candidates", Reader::global_name)?;
            Frame::Names(Names { candidates, claims: reader.list("claims", Reader::claim)? })
        }
        kind::CHECKPOINT => Frame::Checkpoint(reader.checkpoint()?),
        kind::PING => Frame::Ping(reader.u64("ping number")?),
        kind::PONG => Frame::Pong(reader.u64("pong number")?),
        kind::AGREEMENT => Frame::Agreement(reader.rest()),
        kind::LETTERS_ASKED => Frame::LettersAsked(letters::read_request(&mut reader)?),
        kind::LETTERS_TOLD => Frame::LettersTold(letters::read_answer(&mut reader)?),
        kind::CALL_ASKED => Frame::CallAsked(calls::read_request(&mut reader)?),
        kind::CALL_TOLD => Frame::CallTold(calls::read_answer(&mut reader)?),
        kind::TAP_ASKED => Frame::TapAsked(taps::read_request(&mut reader)?),
        kind::TAP_TOLD => Frame::TapTold(taps::read_answer(&mut reader, limits)?),
        kind::BLOB_ASKED => Frame::BlobAsked(blobs::read_request(&mut reader)?),
        kind::BLOB_TOLD => Frame::BlobTold(blobs::read_answer(&mut reader)?),
        kind::ADMIN_ASKED => Frame::AdminAsked(reader.some_rest("line")?),
        kind::ADMIN_TOLD => {
            Frame::AdminTold { more: reader.bool("more parts")?, part: reader.some_rest("part of a line")? }
        }
        kind::SUBSCRIBE..=kind::PROCESSED => {
            let epoch = Epoch::from_u64(reader.u64("epoch")?);
            Frame::Stage(Envelope { epoch, message: decode_message(kind, &mut reader, limits)? })
        }
        kind::OPTIONAL.. => return Ok(Frame::Unknown(kind)),
        other => return Err(WireError::Kind(other)),
    };
    reader.finish()?;
    Ok(frame)
}

fn decode_message(kind: u8, reader: &mut Reader<'_>, limits: &BatchLimits) -> Result<Message, WireError> {
    match kind {
        kind::SUBSCRIBE => Ok(Message::Subscribe(subscribe::read(reader)?)),
        kind::ASK => Ok(Message::Ask { granted: reader.u64("granted")?, acked: reader.runs("acked")? }),
        kind::EVENTS => batch::read_events(reader, limits).map(Message::Events),
        kind::RETRY => {
            let after = Duration::from_millis(reader.u32("pause")?.into());
            Ok(Message::Retry { after, runs: reader.runs("to retry")? })
        }
        kind::PROCESSED => Ok(Message::Processed { runs: reader.runs("processed")? }),
        _ => Ok(Message::Cancel(reader.reason()?)),
    }
}
