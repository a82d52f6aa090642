//! The bytes of a whole ledger: what a member that lags is sent, and what is kept on disk.

use std::collections::VecDeque;

use bytes::Bytes;

use super::{
    Checkpoint, EncodingError, End, Ledger, MemberNo, NodeRecord, Record, Term,
    encoding::{VERSION, begin_versioned, read_pipeline, write_pipeline},
    ordered::{read_book, write_book},
};
use crate::{
    deploy::encoding as deploy,
    ids::{BootId, Epoch, Seq},
    inbox::{Entry, InboxQueue, Parcel, Taken},
    orders::OrderBook,
    wire::{Reader, WireError, Writer, wrong},
};

impl Ledger {
    /// Its bytes.
    pub fn encode(&self) -> Bytes {
        let mut writer = Writer::default();
        writer.u8(VERSION);
        writer.u16(self.generation);
        writer.len(self.names.len());
        for (name, record) in &self.names {
            writer.global_name(name);
            write_record(&mut writer, record);
        }
        writer.len(self.nodes.len());
        for (node, record) in &self.nodes {
            writer.name(node.as_str());
            write_node(&mut writer, record);
        }
        writer.list(&self.retired, |writer, member| writer.u64(member.0));
        writer.len(self.inboxes.len());
        for (name, inbox) in &self.inboxes {
            writer.global_name(name);
            write_inbox(&mut writer, inbox);
        }
        writer.len(self.deployments.len());
        for (pipeline, deployment) in &self.deployments {
            writer.name(pipeline.as_str());
            deploy::write_deployment(&mut writer, deployment);
        }
        writer.len(self.offers.len());
        for (name, offer) in &self.offers {
            writer.name(name.as_str());
            deploy::write_offer(&mut writer, offer);
        }
        write_book(&mut writer, &self.ordered);
        writer.finish()
    }

    /// The inverse of [`Ledger::encode`].
    ///
    /// # Errors
    /// [`EncodingError`] names the field.
    pub fn decode(bytes: &[u8]) -> Result<Self, EncodingError> {
        let (mut reader, version) = begin_versioned(bytes)?;
        let generation = reader.u16("generation")?;
        let names = reader.list("names", |reader| Ok((reader.global_name()?, read_record(reader)?)))?;
        let nodes = reader.list("nodes", |reader| Ok((reader.parsed_name("node")?, read_node(reader)?)))?;
        let retired = reader.list("retired", |reader| Ok(MemberNo(reader.u64("retired member")?)))?;
        let inboxes = match version {
            1 => Vec::new(),
            _ => reader.list("inboxes", |reader| Ok((reader.global_name()?, read_inbox(reader)?)))?,
        };
        let (mut deployments, mut offers) = (Vec::new(), Vec::new());
        if version >= 3 {
            deployments = reader.list("deployments", |reader| {
                Ok((reader.parsed_name("pipeline")?, deploy::read_deployment(reader)?))
            })?;
            offers =
                reader.list("plugins", |reader| Ok((reader.parsed_name("plugin")?, deploy::read_offer(reader)?)))?;
        }
        let ordered = if version >= 4 { read_book(&mut reader)? } else { OrderBook::default() };
        reader.finish()?;
        Ok(Self {
            generation,
            names: names.into_iter().collect(),
            nodes: nodes.into_iter().collect(),
            retired,
            inboxes: inboxes.into_iter().collect(),
            deployments: deployments.into_iter().collect(),
            offers: offers.into_iter().collect(),
            ordered,
        })
    }
}

fn write_record(writer: &mut Writer, record: &Record) {
    writer.option(record.claim.as_ref(), Writer::claim);
    writer.u64(record.request);
    writer.option(record.checkpoint.as_ref(), |writer, checkpoint| {
        writer.u64(checkpoint.seq.0);
        writer.u64(checkpoint.epoch.to_u64());
        writer.blob(&checkpoint.snapshot);
    });
    let history: Vec<_> = record.history.iter().collect();
    writer.list(&history, |writer, term| write_term(writer, term));
}

fn read_record(reader: &mut Reader<'_>) -> Result<Record, WireError> {
    let claim = reader.option("has a claim", |reader| reader.claim())?;
    let request = reader.u64("request")?;
    let checkpoint = reader.option("has a checkpoint", |reader| {
        let (seq, epoch) = (Seq(reader.u64("seq")?), Epoch::from_u64(reader.u64("epoch")?));
        Ok(Checkpoint { seq, epoch, snapshot: reader.blob("snapshot")? })
    })?;
    let history: VecDeque<_> = reader.list("history", read_term)?.into();
    Ok(Record { claim, request, checkpoint, history })
}

fn write_term(writer: &mut Writer, term: &Term) {
    writer.name(term.node.as_str());
    writer.u64(term.boot.0);
    writer.u64(term.epoch.to_u64());
    writer.u64(term.from_ms);
    writer.option(term.end.as_ref(), |writer, (at_ms, end)| {
        writer.u64(*at_ms);
        let (code, why) = match end {
            End::Released(why) => (1, why.as_str()),
            End::Lost(why) => (2, why.as_str()),
            End::Restarted => (3, ""),
            End::Renewed => (4, ""),
            End::Removed => (5, ""),
        };
        writer.u8(code);
        writer.text(why);
    });
}

fn read_term(reader: &mut Reader<'_>) -> Result<Term, WireError> {
    let (node, boot) = (reader.parsed_name("node")?, BootId(reader.u64("boot")?));
    let (epoch, from_ms) = (Epoch::from_u64(reader.u64("epoch")?), reader.u64("from")?);
    let end = reader.option("has ended", |reader| {
        let (at_ms, code, why) = (reader.u64("ended at")?, reader.u8("end")?, reader.text("reason")?.to_owned());
        let end = match code {
            1 => End::Released(why),
            2 => End::Lost(why),
            3 => End::Restarted,
            4 => End::Renewed,
            5 => End::Removed,
            other => return Err(wrong("end", &other, "a code from 1 to 5")),
        };
        Ok((at_ms, end))
    })?;
    Ok(Term { node, boot, epoch, from_ms, end })
}

fn write_node(writer: &mut Writer, record: &NodeRecord) {
    writer.u64(record.member.0);
    writer.u64(record.store);
    writer.option(record.boot.as_ref(), |writer, boot| writer.u64(boot.0));
    writer.optional_addr(record.addr);
    writer.u8(u8::from(record.draining));
    writer.list(&record.pipelines, write_pipeline);
}

fn read_node(reader: &mut Reader<'_>) -> Result<NodeRecord, WireError> {
    let (member, store) = (MemberNo(reader.u64("member")?), reader.u64("store")?);
    let boot = reader.option("has a boot", |reader| Ok(BootId(reader.u64("boot")?)))?;
    let (addr, draining) = (reader.optional_addr()?, reader.bool("draining")?);
    Ok(NodeRecord { member, store, boot, addr, draining, pipelines: reader.list("pipelines", read_pipeline)? })
}

fn write_inbox(writer: &mut Writer, inbox: &InboxQueue) {
    writer.u64(inbox.position());
    writer.u64(inbox.end());
    let entries: Vec<_> = inbox.entries_from(0).collect();
    writer.list(&entries, |writer, entry| {
        writer.u64(entry.first);
        writer.u32(entry.count);
        writer.blob(&entry.events);
    });
    let clients: Vec<_> = inbox.clients().collect();
    writer.list(&clients, |writer, (client, taken)| {
        writer.u128(*client);
        writer.u64(taken.request);
        writer.u64(taken.first);
        writer.u32(taken.count);
    });
}

fn read_inbox(reader: &mut Reader<'_>) -> Result<InboxQueue, WireError> {
    let (position, end) = (reader.u64("inbox position")?, reader.u64("inbox end")?);
    let entries = reader.list("inbox entries", |reader| {
        let (first, count) = (reader.u64("first event")?, reader.u32("count")?);
        // Whoever reads an inbox relies on that they can be read.
        let parcel = Parcel::check(count, reader.blob("events")?);
        let parcel = parcel.map_err(|found| wrong("events", &found, "a batch"))?;
        Ok(Entry { first, count, events: parcel.events().clone() })
    })?;
    let clients = reader.list("inbox clients", |reader| {
        let (client, request) = (reader.u128("client")?, reader.u64("request")?);
        Ok((client, Taken { request, first: reader.u64("first event")?, count: reader.u32("count")? }))
    })?;
    let restored = InboxQueue::restore(position, end, entries, clients);
    restored.map_err(|found| wrong("inbox", &found, "entries without gaps"))
}
