//! The fields that requests between members and records on disk are made of.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use forebay_proto::ids::NodeName;

use super::CodecError;
use crate::registry::raft::types::{
    Command, Entry, LeaderId, LogId, Membership, Named, Payload, SnapshotMeta, StoredMembership, Vote,
};

/// Appends fields.
#[derive(Debug, Default)]
pub(in crate::registry::raft) struct Writer(Vec<u8>);

impl Writer {
    pub(in crate::registry::raft) fn finish(self) -> Vec<u8> {
        self.0
    }

    pub(super) fn u8(&mut self, number: u8) {
        self.0.push(number);
    }

    pub(in crate::registry::raft) fn u64(&mut self, number: u64) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    pub(super) fn flag(&mut self, flag: bool) {
        self.u8(u8::from(flag));
    }

    pub(in crate::registry::raft) fn raw(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn count(&mut self, count: usize) {
        let count = u32::try_from(count).expect("whatever is encoded here was bounded to far less than 4 GiB");
        self.0.extend_from_slice(&count.to_le_bytes());
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.raw(bytes);
    }

    pub(super) fn optional<T>(&mut self, value: Option<&T>, write: impl FnOnce(&mut Self, &T)) {
        self.flag(value.is_some());
        if let Some(value) = value {
            write(self, value);
        }
    }

    pub(super) fn list<T>(&mut self, items: impl ExactSizeIterator<Item = T>, mut write: impl FnMut(&mut Self, T)) {
        self.count(items.len());
        for item in items {
            write(self, item);
        }
    }

    fn leader(&mut self, leader: &LeaderId) {
        self.u64(leader.term);
        self.u64(leader.node_id);
    }

    pub(in crate::registry::raft) fn vote(&mut self, vote: &Vote) {
        self.leader(&vote.leader_id);
        self.flag(vote.committed);
    }

    pub(in crate::registry::raft) fn log_id(&mut self, log_id: &LogId) {
        self.leader(&log_id.leader_id);
        self.u64(log_id.index);
    }

    pub(in crate::registry::raft) fn optional_log_id(&mut self, log_id: Option<&LogId>) {
        self.optional(log_id, Self::log_id);
    }

    fn membership(&mut self, membership: &Membership) {
        self.list(membership.get_joint_config().iter(), |writer, voters| {
            writer.list(voters.iter(), |writer, member| writer.u64(*member));
        });
        let nodes: BTreeMap<_, _> = membership.nodes().collect();
        self.list(nodes.into_iter(), |writer, (member, node)| {
            writer.u64(*member);
            let name = node.0.as_str();
            writer.u8(u8::try_from(name.len()).expect("a name has at most 63 bytes"));
            writer.raw(name.as_bytes());
        });
    }

    pub(in crate::registry::raft) fn entry(&mut self, entry: &Entry) {
        self.log_id(&entry.log_id);
        match &entry.payload {
            Payload::Blank => self.u8(0),
            Payload::Normal(command) => {
                self.u8(1);
                self.bytes(&command.0);
            }
            Payload::Membership(membership) => {
                self.u8(2);
                self.membership(membership);
            }
        }
    }

    pub(in crate::registry::raft) fn snapshot_meta(&mut self, meta: &SnapshotMeta) {
        self.optional_log_id(meta.last_log_id.as_ref());
        self.optional_log_id(meta.last_membership.log_id().as_ref());
        self.membership(meta.last_membership.membership());
    }
}

/// Takes fields off the front of bytes that anybody may have written.
#[derive(Debug)]
pub(in crate::registry::raft) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(in crate::registry::raft) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// # Errors
    /// [`CodecError::Trailing`] if anything is left.
    pub(in crate::registry::raft) fn finish(self) -> Result<(), CodecError> {
        match self.0.len() {
            0 => Ok(()),
            count => Err(CodecError::Trailing { count }),
        }
    }

    pub(in crate::registry::raft) fn raw(&mut self, field: &'static str, count: usize) -> Result<&'a [u8], CodecError> {
        let split = self.0.split_at_checked(count);
        let (front, rest) = split.ok_or(CodecError::Short { field, missing: count - self.0.len().min(count) })?;
        self.0 = rest;
        Ok(front)
    }

    pub(super) fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], CodecError> {
        Ok(self.raw(field, N)?.try_into().expect("as many bytes as asked for"))
    }

    pub(super) fn u8(&mut self, field: &'static str) -> Result<u8, CodecError> {
        Ok(u8::from_le_bytes(self.array(field)?))
    }

    pub(in crate::registry::raft) fn u64(&mut self, field: &'static str) -> Result<u64, CodecError> {
        Ok(u64::from_le_bytes(self.array(field)?))
    }

    pub(super) fn flag(&mut self, field: &'static str) -> Result<bool, CodecError> {
        match self.u8(field)? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(wrong(field, &other, "0 or 1")),
        }
    }

    fn count(&mut self, field: &'static str) -> Result<usize, CodecError> {
        Ok(u32::from_le_bytes(self.array(field)?) as usize)
    }

    pub(super) fn bytes(&mut self, field: &'static str) -> Result<&'a [u8], CodecError> {
        let count = self.count(field)?;
        self.raw(field, count)
    }

    pub(super) fn optional<T>(
        &mut self,
        field: &'static str,
        read: impl FnOnce(&mut Self) -> Result<T, CodecError>,
    ) -> Result<Option<T>, CodecError> {
        self.flag(field)?.then(|| read(self)).transpose()
    }

    /// Grows as items are read: the count that comes first is only a claim.
    pub(super) fn list<T>(
        &mut self,
        field: &'static str,
        mut read: impl FnMut(&mut Self) -> Result<T, CodecError>,
    ) -> Result<Vec<T>, CodecError> {
        let mut items = Vec::new();
        for _ in 0..self.count(field)? {
            items.push(read(self)?);
        }
        Ok(items)
    }

    fn leader(&mut self, field: &'static str) -> Result<LeaderId, CodecError> {
        Ok(LeaderId { term: self.u64(field)?, node_id: self.u64(field)? })
    }

    pub(in crate::registry::raft) fn vote(&mut self, field: &'static str) -> Result<Vote, CodecError> {
        Ok(Vote { leader_id: self.leader(field)?, committed: self.flag(field)? })
    }

    pub(in crate::registry::raft) fn log_id(&mut self, field: &'static str) -> Result<LogId, CodecError> {
        Ok(LogId { leader_id: self.leader(field)?, index: self.u64(field)? })
    }

    pub(in crate::registry::raft) fn optional_log_id(
        &mut self,
        field: &'static str,
    ) -> Result<Option<LogId>, CodecError> {
        self.optional(field, |reader| reader.log_id(field))
    }

    fn name(&mut self) -> Result<NodeName, CodecError> {
        let len = self.u8("node name")?;
        let bytes = self.raw("node name", len.into())?;
        let text = String::from_utf8_lossy(bytes);
        text.parse().map_err(|_| wrong("node name", &text.escape_debug(), "a name"))
    }

    fn membership(&mut self) -> Result<Membership, CodecError> {
        let configs = self.list("voters", |reader| {
            let voters = reader.list("voters", |reader| reader.u64("voter"))?;
            rising(voters.iter(), "voters")?;
            Ok(BTreeSet::from_iter(voters))
        })?;
        let nodes = self.list("members", |reader| Ok((reader.u64("member")?, Named(reader.name()?))))?;
        rising(nodes.iter().map(|(member, _)| member), "members")?;
        Membership::new(configs, BTreeMap::from_iter(nodes))
            .map_err(|error| wrong("membership", &error, "voters that are members"))
    }

    pub(in crate::registry::raft) fn entry(&mut self) -> Result<Entry, CodecError> {
        let log_id = self.log_id("log id of an entry")?;
        let payload = match self.u8("kind of entry")? {
            0 => Payload::Blank,
            // Copied: a slice would keep the whole request in memory for as long as the log has the entry.
            1 => Payload::Normal(Command(Bytes::copy_from_slice(self.bytes("command")?))),
            2 => Payload::Membership(self.membership()?),
            other => return Err(wrong("kind of entry", &other, "0, 1 or 2")),
        };
        Ok(Entry { log_id, payload })
    }

    pub(in crate::registry::raft) fn snapshot_meta(&mut self) -> Result<SnapshotMeta, CodecError> {
        let last_log_id = self.optional_log_id("last log id of a snapshot")?;
        let membership_log_id = self.optional_log_id("log id of a membership")?;
        let last_membership = StoredMembership::new(membership_log_id, self.membership()?);
        Ok(SnapshotMeta { last_log_id, last_membership })
    }
}

/// Sets are written in rising order, so that equal ones have equal bytes.
fn rising<'a>(numbers: impl Iterator<Item = &'a u64>, field: &'static str) -> Result<(), CodecError> {
    match numbers.is_sorted_by(|one, next| one < next) {
        true => Ok(()),
        false => Err(wrong(field, &"unsorted or repeated numbers", "rising numbers")),
    }
}

pub(super) fn wrong(field: &'static str, found: &dyn std::fmt::Display, expected: &'static str) -> CodecError {
    CodecError::Field { field, found: found.to_string(), expected }
}
