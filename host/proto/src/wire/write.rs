//! Writing the fields of frames.

use std::net::{IpAddr, SocketAddr};

use bytes::{BufMut, Bytes, BytesMut};

use super::{Agreement, Hello, REASON_BYTES_MAX};
use crate::{
    blob::{BlobInfo, Digest},
    message::{Reason, SeqRun},
    names::{Claim, GlobalName},
};

/// Appends fields to a frame.
#[derive(Default)]
pub(crate) struct Writer(BytesMut);

impl Writer {
    pub(crate) fn reserve(&mut self, bytes: usize) {
        self.0.reserve(bytes);
    }

    pub(crate) fn finish(self) -> Bytes {
        self.0.freeze()
    }

    pub(crate) fn u8(&mut self, number: u8) {
        self.0.put_u8(number);
    }

    pub(crate) fn u16(&mut self, number: u16) {
        self.0.put_u16_le(number);
    }

    pub(crate) fn u32(&mut self, number: u32) {
        self.0.put_u32_le(number);
    }

    pub(crate) fn u64(&mut self, number: u64) {
        self.0.put_u64_le(number);
    }

    pub(crate) fn u128(&mut self, number: u128) {
        self.0.put_u128_le(number);
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.0.put_slice(bytes);
    }

    /// A length as a field of 4 bytes.
    pub(crate) fn len(&mut self, len: usize) {
        self.u32(u32::try_from(len).expect("a frame is shorter than 4 GiB"));
    }

    /// Numbers of 2 bytes, without their count.
    pub(crate) fn u16s(&mut self, numbers: &[u16]) {
        let start = self.0.len();
        self.0.resize(start + 2 * numbers.len(), 0);
        let (places, _) = self.0[start..].as_chunks_mut();
        places.iter_mut().zip(numbers).for_each(|(place, number)| *place = number.to_le_bytes());
    }

    /// Ends of a column that begins at `base`, without their count. In one row, so that the compiler makes few
    /// instructions of many numbers: written one by one they were half of what encoding small events took.
    pub(crate) fn ends(&mut self, ends: &[u32], base: u32) {
        let start = self.0.len();
        self.0.resize(start + 4 * ends.len(), 0);
        let (places, _) = self.0[start..].as_chunks_mut();
        places.iter_mut().zip(ends).for_each(|(place, end)| *place = (end - base).to_le_bytes());
    }

    /// Bytes behind their length.
    pub(crate) fn blob(&mut self, bytes: &[u8]) {
        self.len(bytes.len());
        self.bytes(bytes);
    }

    /// A 1 and the item, or a 0.
    pub(crate) fn option<T>(&mut self, item: Option<&T>, write: impl FnOnce(&mut Self, &T)) {
        self.u8(u8::from(item.is_some()));
        if let Some(item) = item {
            write(self, item);
        }
    }

    pub(crate) fn optional_addr(&mut self, addr: Option<SocketAddr>) {
        self.option(addr.as_ref(), |writer, addr| writer.addr(*addr));
    }

    pub(crate) fn list<T>(&mut self, items: &[T], mut write: impl FnMut(&mut Self, &T)) {
        self.len(items.len());
        for item in items {
            write(self, item);
        }
    }

    /// A text of a node's own, cut to what a reason in Cancel has.
    pub(crate) fn why(&mut self, why: &str) {
        self.text(&why[..why.floor_char_boundary(REASON_BYTES_MAX)]);
    }

    pub(crate) fn digest(&mut self, digest: &Digest) {
        self.bytes(&digest.0);
    }

    pub(crate) fn blob_info(&mut self, info: &BlobInfo) {
        self.digest(&info.digest);
        self.u64(info.bytes);
        self.digest(&info.chunks);
    }

    /// A name of ours: at most 63 bytes.
    pub(crate) fn name(&mut self, name: &str) {
        self.u8(u8::try_from(name.len()).expect("a name has at most 63 bytes"));
        self.bytes(name.as_bytes());
    }

    /// Any text: 4 bytes of length.
    pub(crate) fn text(&mut self, text: &str) {
        self.blob(text.as_bytes());
    }

    pub(crate) fn addr(&mut self, addr: SocketAddr) {
        match addr.ip() {
            IpAddr::V4(ip) => {
                self.u8(4);
                self.bytes(&ip.octets());
            }
            IpAddr::V6(ip) => {
                self.u8(6);
                self.bytes(&ip.octets());
            }
        }
        self.u16(addr.port());
    }

    pub(crate) fn hello(&mut self, hello: &Hello) {
        self.u16(hello.version);
        self.u64(hello.boot.0);
        self.u8(match hello.agreement {
            Agreement::Islands => 0,
            Agreement::Quorum => 1,
        });
        self.optional_addr(hello.advertise);
        self.option(hello.group.as_ref(), |writer, group| writer.u128(group.0));
    }

    pub(crate) fn global_name(&mut self, name: &GlobalName) {
        self.name(name.pipeline.as_str());
        self.name(name.stage.as_str());
    }

    pub(crate) fn claim(&mut self, claim: &Claim) {
        self.global_name(&claim.name);
        self.name(claim.node.as_str());
        self.u64(claim.boot.0);
        self.u64(claim.epoch.to_u64());
        self.u64(claim.claimed_at_ms);
        self.u64(claim.progress.0);
    }

    pub(crate) fn runs(&mut self, runs: &[SeqRun]) {
        self.list(runs, |writer, run| {
            writer.u64(run.first.0);
            writer.u32(run.count);
        });
    }

    pub(crate) fn reason(&mut self, reason: &Reason) {
        let (code, text) = match reason {
            Reason::Normal => (0, ""),
            Reason::Shutdown(None) => (1, ""),
            Reason::Shutdown(Some(why)) => (2, &**why),
            Reason::UnknownSubscription => (3, ""),
            Reason::DuplicatedSubscription => (4, ""),
            Reason::NotOwner => (5, ""),
            Reason::StaleEpoch => (6, ""),
            Reason::Unreachable(why) => (7, &**why),
            Reason::Protocol(how) => (8, &**how),
            Reason::Failed(how) => (9, &**how),
            Reason::Refused(why) => (10, &**why),
        };
        self.u8(code);
        self.text(&text[..text.floor_char_boundary(REASON_BYTES_MAX)]);
    }
}
