//! The bytes of commands and outcomes: in the log, on disk and between nodes.
//!
//! Every text begins with a version, so that a later release can read what this one wrote.

use bytes::Bytes;

use super::{Command, MemberNo, Outcome, PipelineRecord, Proposal, ordered};
use crate::{
    deploy::encoding as deploy,
    ids::{BootId, Epoch, Seq},
    inbox::Full,
    names::Fenced,
    wire::{Reader, WireError, Writer, wrong},
};

/// The version of what is written. Readers take this one and those before it, from 1 on.
///
/// 2 added inboxes: `Ingest`, `Processed`, what comes of them, and what a ledger has of them; 3 `Deployment` and `Offer`,
/// and what a ledger has of them; 4 `StageOrder`, and the end of a ledger.
pub(super) const VERSION: u8 = 4;

/// Bytes that are no command, outcome or ledger.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum EncodingError {
    /// Written by another release.
    #[error(
        "written in version {0}, this release reads versions 1 to {VERSION}; use the release that wrote it, or a later one"
    )]
    Version(u8),
    /// Damaged, or something else.
    #[error(transparent)]
    Field(#[from] WireError),
}

pub(super) fn begin(bytes: &[u8]) -> Result<Reader<'_>, EncodingError> {
    begin_versioned(bytes).map(|(reader, _)| reader)
}

/// With the version it was written in.
pub(super) fn begin_versioned(bytes: &[u8]) -> Result<(Reader<'_>, u8), EncodingError> {
    let mut reader = Reader::new(bytes);
    match reader.u8("version")? {
        version @ 1..=VERSION => Ok((reader, version)),
        other => Err(EncodingError::Version(other)),
    }
}

impl Proposal {
    /// Its bytes.
    pub fn encode(&self) -> Bytes {
        let mut writer = Writer::default();
        writer.u8(VERSION);
        writer.u64(self.at_ms);
        write_command(&mut writer, &self.command);
        writer.finish()
    }

    /// The inverse of [`Proposal::encode`].
    ///
    /// # Errors
    /// [`EncodingError`] names the field.
    pub fn decode(bytes: &[u8]) -> Result<Self, EncodingError> {
        let mut reader = begin(bytes)?;
        let proposal = Self { at_ms: reader.u64("proposed at")?, command: read_command(&mut reader)? };
        reader.finish()?;
        Ok(proposal)
    }
}

fn write_command(writer: &mut Writer, command: &Command) {
    writer.u8(number(command));
    match command {
        Command::Admit { node, store, addr } => {
            writer.name(node.as_str());
            writer.u64(*store);
            writer.optional_addr(*addr);
        }
        Command::Boot { node, member, boot, addr, pipelines } => {
            writer.name(node.as_str());
            writer.u64(member.0);
            writer.u64(boot.0);
            writer.optional_addr(*addr);
            writer.list(pipelines, write_pipeline);
        }
        Command::Claim { name, node, boot, request } => {
            writer.global_name(name);
            writer.name(node.as_str());
            writer.u64(boot.0);
            writer.u64(*request);
        }
        Command::Release { name, epoch, why } => {
            writer.global_name(name);
            writer.u64(epoch.to_u64());
            writer.text(why);
        }
        Command::Checkpoint { name, epoch, previous, seq, snapshot } => {
            writer.global_name(name);
            writer.u64(epoch.to_u64());
            writer.u64(previous.0);
            writer.u64(seq.0);
            writer.blob(snapshot);
        }
        Command::Vacate { node, boot, why } => {
            writer.name(node.as_str());
            writer.u64(boot.0);
            writer.text(why);
        }
        Command::Drain { node, drain } => {
            writer.name(node.as_str());
            writer.u8(u8::from(*drain));
        }
        Command::Remove { node } => writer.name(node.as_str()),
        Command::Ingest { name, client, request, count, events } => {
            writer.global_name(name);
            writer.u128(*client);
            writer.u64(*request);
            writer.u32(*count);
            writer.blob(events);
        }
        Command::Processed { name, epoch, upto } => {
            writer.global_name(name);
            writer.u64(epoch.to_u64());
            writer.u64(*upto);
        }
        Command::Deployment { pipeline, order } => {
            writer.name(pipeline.as_str());
            deploy::write_order(writer, order);
        }
        Command::Offer { name, offer } => {
            writer.name(name.as_str());
            deploy::write_offer(writer, offer);
        }
        Command::StageOrder { name, by, order } => {
            writer.global_name(name);
            ordered::write_by(writer, by);
            ordered::write_order(writer, *order);
        }
    }
}

/// Says which command it is.
fn number(command: &Command) -> u8 {
    match command {
        Command::Admit { .. } => 1,
        Command::Boot { .. } => 2,
        Command::Claim { .. } => 3,
        Command::Release { .. } => 4,
        Command::Checkpoint { .. } => 5,
        Command::Vacate { .. } => 6,
        Command::Drain { .. } => 7,
        Command::Remove { .. } => 8,
        Command::Ingest { .. } => 9,
        Command::Processed { .. } => 10,
        Command::Deployment { .. } => 11,
        Command::Offer { .. } => 12,
        Command::StageOrder { .. } => 13,
    }
}

fn read_command(reader: &mut Reader<'_>) -> Result<Command, WireError> {
    Ok(match reader.u8("command")? {
        1 => {
            let (node, store) = (reader.parsed_name("node")?, reader.u64("store")?);
            Command::Admit { node, store, addr: reader.optional_addr()? }
        }
        2 => {
            let (node, member) = (reader.parsed_name("node")?, MemberNo(reader.u64("member")?));
            let (boot, addr) = (BootId(reader.u64("boot")?), reader.optional_addr()?);
            Command::Boot { node, member, boot, addr, pipelines: reader.list("pipelines", read_pipeline)? }
        }
        3 => {
            let (name, node) = (reader.global_name()?, reader.parsed_name("node")?);
            Command::Claim { name, node, boot: BootId(reader.u64("boot")?), request: reader.u64("request")? }
        }
        4 => {
            let (name, epoch) = (reader.global_name()?, Epoch::from_u64(reader.u64("epoch")?));
            Command::Release { name, epoch, why: reader.text("reason")?.to_owned() }
        }
        5 => {
            let (name, epoch) = (reader.global_name()?, Epoch::from_u64(reader.u64("epoch")?));
            let (previous, seq) = (Seq(reader.u64("previous")?), Seq(reader.u64("seq")?));
            Command::Checkpoint { name, epoch, previous, seq, snapshot: reader.blob("snapshot")? }
        }
        6 => {
            let (node, boot) = (reader.parsed_name("node")?, BootId(reader.u64("boot")?));
            Command::Vacate { node, boot, why: reader.text("reason")?.to_owned() }
        }
        7 => Command::Drain { node: reader.parsed_name("node")?, drain: reader.bool("drain")? },
        8 => Command::Remove { node: reader.parsed_name("node")? },
        9 => {
            let (name, client) = (reader.global_name()?, reader.u128("client")?);
            let (request, count) = (reader.u64("request")?, reader.u32("count")?);
            Command::Ingest { name, client, request, count, events: reader.blob("events")? }
        }
        10 => {
            let (name, epoch) = (reader.global_name()?, Epoch::from_u64(reader.u64("epoch")?));
            Command::Processed { name, epoch, upto: reader.u64("processed")? }
        }
        11 => Command::Deployment { pipeline: reader.parsed_name("pipeline")?, order: deploy::read_order(reader)? },
        12 => Command::Offer { name: reader.parsed_name("plugin")?, offer: deploy::read_offer(reader)? },
        13 => {
            let (name, by) = (reader.global_name()?, ordered::read_by(reader)?);
            Command::StageOrder { name, by, order: ordered::read_order(reader)? }
        }
        other => return Err(wrong("command", &other, "a command from 1 to 13")),
    })
}

pub(super) fn write_pipeline(writer: &mut Writer, pipeline: &PipelineRecord) {
    writer.name(pipeline.name.as_str());
    writer.text(&pipeline.digest);
    writer.list(&pipeline.plugins, |writer, (stage, digest)| {
        writer.name(stage.as_str());
        writer.text(digest);
    });
}

pub(super) fn read_pipeline(reader: &mut Reader<'_>) -> Result<PipelineRecord, WireError> {
    let (name, digest) = (reader.parsed_name("pipeline")?, reader.text("digest")?.to_owned());
    let plugins =
        reader.list("plugins", |reader| Ok((reader.parsed_name("stage")?, reader.text("digest")?.to_owned())))?;
    Ok(PipelineRecord { name, digest, plugins })
}

impl Outcome {
    /// Its bytes.
    pub fn encode(&self) -> Bytes {
        let mut writer = Writer::default();
        writer.u8(VERSION);
        match self {
            Self::Done => writer.u8(1),
            Self::Admitted(member) => {
                writer.u8(2);
                writer.u64(member.0);
            }
            Self::Claimed(claim) => {
                writer.u8(3);
                writer.claim(claim);
            }
            Self::Held(claim) => {
                writer.u8(4);
                writer.claim(claim);
            }
            Self::Fenced(Fenced { name, epoch, previous, current }) => {
                writer.u8(5);
                writer.global_name(name);
                writer.u64(epoch.to_u64());
                writer.u64(*previous);
                writer.u8(u8::from(current.is_some()));
                if let Some((epoch, seq)) = current {
                    writer.u64(epoch.to_u64());
                    writer.u64(seq.0);
                }
            }
            Self::Refused(why) => {
                writer.u8(6);
                writer.text(why);
            }
            Self::Ingested { first } => {
                writer.u8(7);
                writer.u64(*first);
            }
            Self::Full(full) => {
                writer.u8(8);
                write_full(&mut writer, full);
            }
        }
        writer.finish()
    }

    /// The inverse of [`Outcome::encode`].
    ///
    /// # Errors
    /// [`EncodingError`] names the field.
    pub fn decode(bytes: &[u8]) -> Result<Self, EncodingError> {
        let mut reader = begin(bytes)?;
        let outcome = read_outcome(&mut reader)?;
        reader.finish()?;
        Ok(outcome)
    }
}

fn read_outcome(reader: &mut Reader<'_>) -> Result<Outcome, WireError> {
    Ok(match reader.u8("outcome")? {
        1 => Outcome::Done,
        2 => Outcome::Admitted(MemberNo(reader.u64("member")?)),
        3 => Outcome::Claimed(reader.claim()?),
        4 => Outcome::Held(reader.claim()?),
        5 => {
            let (name, epoch) = (reader.global_name()?, Epoch::from_u64(reader.u64("epoch")?));
            let previous = reader.u64("previous")?;
            let current = reader.option("has a current", |reader| {
                Ok((Epoch::from_u64(reader.u64("current epoch")?), Seq(reader.u64("current seq")?)))
            })?;
            Outcome::Fenced(Fenced { name, epoch, previous, current })
        }
        6 => Outcome::Refused(reader.text("reason")?.to_owned()),
        7 => Outcome::Ingested { first: reader.u64("first")? },
        8 => Outcome::Full(read_full(reader)?),
        other => return Err(wrong("outcome", &other, "an outcome from 1 to 8")),
    })
}

fn write_full(writer: &mut Writer, full: &Full) {
    match full {
        Full::Inbox { events, events_max, bytes, bytes_max } => {
            writer.u8(1);
            [events, events_max, bytes, bytes_max].into_iter().for_each(|number| writer.u64(*number));
        }
        Full::Group { bytes, bytes_max } => {
            writer.u8(2);
            [bytes, bytes_max].into_iter().for_each(|number| writer.u64(*number));
        }
        Full::Disk { node, free, reserve } => {
            writer.u8(3);
            writer.name(node.as_str());
            [free, reserve].into_iter().for_each(|number| writer.u64(*number));
        }
    }
}

fn read_full(reader: &mut Reader<'_>) -> Result<Full, WireError> {
    Ok(match reader.u8("what is full")? {
        1 => Full::Inbox {
            events: reader.u64("events")?,
            events_max: reader.u64("events allowed")?,
            bytes: reader.u64("bytes")?,
            bytes_max: reader.u64("bytes allowed")?,
        },
        2 => Full::Group { bytes: reader.u64("bytes")?, bytes_max: reader.u64("bytes allowed")? },
        3 => {
            let node = reader.parsed_name("node")?;
            Full::Disk { node, free: reader.u64("free")?, reserve: reader.u64("reserve")? }
        }
        other => return Err(wrong("what is full", &other, "a code from 1 to 3")),
    })
}
