//! Reading the fields of frames that anybody may have sent.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

use bytes::Bytes;

use super::{Agreement, Checkpoint, Hello, REASON_BYTES_MAX, WireError};
use crate::{
    blob::{BLOB_BYTES_MAX, BlobInfo, Digest},
    ids::{BootId, Epoch, NameError, Seq},
    message::{Reason, SeqRun},
    names::{Claim, GlobalName, quorum::GroupId},
};

/// Takes fields off the front of a frame.
pub(crate) struct Reader<'a> {
    left: &'a [u8],
    /// What all this is a part of, if it can be shared.
    frame: Option<&'a Bytes>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { left: bytes, frame: None }
    }

    /// Of a frame that large fields stay a part of, see [`Reader::shared`].
    pub(crate) fn sharing(frame: &'a Bytes) -> Self {
        Self { left: frame, frame: Some(frame) }
    }

    /// # Errors
    /// [`WireError::Trailing`] if anything is left.
    pub(crate) fn finish(self) -> Result<(), WireError> {
        match self.left.len() {
            0 => Ok(()),
            count => Err(WireError::Trailing { count }),
        }
    }

    pub(crate) fn bytes(&mut self, field: &'static str, count: usize) -> Result<&'a [u8], WireError> {
        let split = self.left.split_at_checked(count);
        let (front, rest) = split.ok_or(WireError::Short { field, missing: count - self.left.len().min(count) })?;
        self.left = rest;
        Ok(front)
    }

    /// Bytes that are a part of the frame where that can be, else a copy. As long as they are kept the whole frame is.
    pub(crate) fn shared(&mut self, field: &'static str, count: usize) -> Result<Bytes, WireError> {
        let bytes = self.bytes(field, count)?;
        Ok(self.frame.map_or_else(|| Bytes::copy_from_slice(bytes), |frame| frame.slice_ref(bytes)))
    }

    pub(crate) fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], WireError> {
        Ok(self.bytes(field, N)?.try_into().expect("as many bytes as asked for"))
    }

    pub(crate) fn u8(&mut self, field: &'static str) -> Result<u8, WireError> {
        Ok(u8::from_le_bytes(self.array(field)?))
    }

    pub(crate) fn u16(&mut self, field: &'static str) -> Result<u16, WireError> {
        Ok(u16::from_le_bytes(self.array(field)?))
    }

    pub(crate) fn u32(&mut self, field: &'static str) -> Result<u32, WireError> {
        Ok(u32::from_le_bytes(self.array(field)?))
    }

    pub(crate) fn u64(&mut self, field: &'static str) -> Result<u64, WireError> {
        Ok(u64::from_le_bytes(self.array(field)?))
    }

    pub(crate) fn u128(&mut self, field: &'static str) -> Result<u128, WireError> {
        Ok(u128::from_le_bytes(self.array(field)?))
    }

    /// 0 or 1.
    pub(crate) fn bool(&mut self, field: &'static str) -> Result<bool, WireError> {
        match self.u8(field)? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(wrong(field, &other, "0 or 1")),
        }
    }

    /// What stands behind a 1; `field` is of that.
    pub(crate) fn option<T>(
        &mut self,
        field: &'static str,
        read: impl FnOnce(&mut Self) -> Result<T, WireError>,
    ) -> Result<Option<T>, WireError> {
        self.bool(field)?.then(|| read(self)).transpose()
    }

    /// Bytes behind their length.
    pub(crate) fn blob(&mut self, field: &'static str) -> Result<Bytes, WireError> {
        let len = self.len(field)?;
        self.bytes(field, len).map(Bytes::copy_from_slice)
    }

    /// A text of a node's own.
    pub(crate) fn why(&mut self) -> Result<String, WireError> {
        self.short_text(REASON_BYTES_MAX, "why", "at most 1024 bytes")
    }

    pub(crate) fn short_text(
        &mut self,
        max: usize,
        field: &'static str,
        expected: &'static str,
    ) -> Result<String, WireError> {
        match self.text(field)? {
            text if text.len() > max => Err(wrong(field, &format!("{} bytes", text.len()), expected)),
            text => Ok(text.to_owned()),
        }
    }

    /// A list of no more than `max` items.
    pub(crate) fn at_most<T>(
        &mut self,
        max: usize,
        field: &'static str,
        mut read: impl FnMut(&mut Self) -> Result<T, WireError>,
    ) -> Result<Vec<T>, WireError> {
        let mut left = max;
        self.list(field, |reader| {
            left = left.checked_sub(1).ok_or_else(|| wrong(field, &format!("more than {max}"), "no more than that"))?;
            read(reader)
        })
    }

    pub(crate) fn digest(&mut self, field: &'static str) -> Result<Digest, WireError> {
        self.array(field).map(Digest)
    }

    pub(crate) fn blob_info(&mut self) -> Result<BlobInfo, WireError> {
        let (digest, bytes) = (self.digest("digest")?, self.u64("bytes")?);
        match bytes {
            0..=BLOB_BYTES_MAX => Ok(BlobInfo { digest, bytes, chunks: self.digest("digest of chunks")? }),
            _ => Err(wrong("bytes", &bytes, "the length of a blob, at most 64 MiB")),
        }
    }

    /// All that is left.
    pub(crate) fn rest(&mut self) -> Bytes {
        Bytes::copy_from_slice(std::mem::take(&mut self.left))
    }

    /// All that is left, and at least one byte.
    pub(crate) fn some_rest(&mut self, field: &'static str) -> Result<Bytes, WireError> {
        match self.left {
            [] => Err(WireError::Short { field, missing: 1 }),
            _ => Ok(self.rest()),
        }
    }

    /// A length of 4 bytes.
    pub(crate) fn len(&mut self, field: &'static str) -> Result<usize, WireError> {
        Ok(self.u32(field)? as usize)
    }

    /// `count` numbers of 4 bytes. Nothing is allocated unless they are all there.
    pub(crate) fn u32s(&mut self, field: &'static str, count: usize) -> Result<Vec<u32>, WireError> {
        let bytes = self.bytes(field, count.saturating_mul(4))?;
        Ok(bytes.as_chunks().0.iter().map(|four| u32::from_le_bytes(*four)).collect())
    }

    /// `count` numbers of 2 bytes.
    pub(crate) fn u16s(&mut self, field: &'static str, count: usize) -> Result<Vec<u16>, WireError> {
        let bytes = self.bytes(field, count.saturating_mul(2))?;
        Ok(bytes.as_chunks().0.iter().map(|two| u16::from_le_bytes(*two)).collect())
    }

    /// A list whose length comes first. Grows as items are read: a length is only a claim.
    pub(crate) fn list<T>(
        &mut self,
        field: &'static str,
        mut read: impl FnMut(&mut Self) -> Result<T, WireError>,
    ) -> Result<Vec<T>, WireError> {
        let count = self.len(field)?;
        let mut items = Vec::new();
        for _ in 0..count {
            items.push(read(self)?);
        }
        Ok(items)
    }

    fn utf8(&mut self, field: &'static str, len: usize) -> Result<&'a str, WireError> {
        let bytes = self.bytes(field, len)?;
        std::str::from_utf8(bytes).map_err(|error| wrong(field, &error, "UTF-8 text"))
    }

    pub(crate) fn text(&mut self, field: &'static str) -> Result<&'a str, WireError> {
        let len = self.len(field)?;
        self.utf8(field, len)
    }

    pub(crate) fn parsed_name<N: FromStr<Err = NameError>>(&mut self, field: &'static str) -> Result<N, WireError> {
        let len = self.u8(field)?;
        let text = self.utf8(field, len.into())?;
        text.parse().map_err(|error: NameError| wrong(field, &format!("`{}`", error.found), "a name"))
    }

    pub(crate) fn addr(&mut self, field: &'static str) -> Result<SocketAddr, WireError> {
        let ip = match self.u8(field)? {
            4 => IpAddr::V4(Ipv4Addr::from(self.array::<4>(field)?)),
            6 => IpAddr::V6(Ipv6Addr::from(self.array::<16>(field)?)),
            other => return Err(wrong(field, &other, "an address of version 4 or 6")),
        };
        Ok(SocketAddr::new(ip, self.u16(field)?))
    }

    pub(crate) fn optional_addr(&mut self) -> Result<Option<SocketAddr>, WireError> {
        self.option("has an address", |reader| reader.addr("address"))
    }

    pub(crate) fn hello(&mut self) -> Result<Hello, WireError> {
        let version = self.u16("version")?;
        let boot = BootId(self.u64("boot")?);
        let agreement = match self.u8("agreement")? {
            0 => Agreement::Islands,
            1 => Agreement::Quorum,
            other => return Err(wrong("agreement", &other, "0, islands, or 1, quorum")),
        };
        let advertise = self.optional_addr()?;
        let group = self.option("has a group", |reader| Ok(GroupId(reader.u128("group")?)))?;
        Ok(Hello { version, boot, agreement, advertise, group })
    }

    pub(crate) fn global_name(&mut self) -> Result<GlobalName, WireError> {
        Ok(GlobalName { pipeline: self.parsed_name("pipeline")?, stage: self.parsed_name("stage")? })
    }

    pub(crate) fn claim(&mut self) -> Result<Claim, WireError> {
        Ok(Claim {
            name: self.global_name()?,
            node: self.parsed_name("claiming node")?,
            boot: BootId(self.u64("claiming boot")?),
            epoch: Epoch::from_u64(self.u64("claimed epoch")?),
            claimed_at_ms: self.u64("claimed at")?,
            progress: Seq(self.u64("progress")?),
        })
    }

    pub(crate) fn checkpoint(&mut self) -> Result<Checkpoint, WireError> {
        let (name, epoch) = (self.global_name()?, Epoch::from_u64(self.u64("epoch of checkpoint")?));
        let seq = self.u64("checkpoint")?;
        // The stage counts on from there.
        if seq > u64::MAX / 2 {
            return Err(wrong("checkpoint", &seq, "less than 2^63"));
        }
        Ok(Checkpoint { name, epoch, seq: Seq(seq), snapshot: self.blob("state")? })
    }

    pub(crate) fn runs(&mut self, field: &'static str) -> Result<Vec<SeqRun>, WireError> {
        self.list(field, |reader| {
            let run = SeqRun { first: Seq(reader.u64(field)?), count: reader.u32(field)? };
            let fits = run.first.0.checked_add(run.count.into()).is_some();
            match run.count > 0 && fits {
                true => Ok(run),
                false => Err(wrong(field, &format!("{} events from {}", run.count, run.first.0), "at least one event")),
            }
        })
    }

    pub(crate) fn reason(&mut self) -> Result<Reason, WireError> {
        let code = self.u8("reason")?;
        let text = self.text("reason text")?;
        if text.len() > REASON_BYTES_MAX {
            return Err(wrong("reason text", &format!("{} bytes", text.len()), "at most 1024 bytes"));
        }
        let text = text.to_owned();
        Ok(match code {
            0 => Reason::Normal,
            1 => Reason::Shutdown(None),
            2 => Reason::Shutdown(Some(text)),
            3 => Reason::UnknownSubscription,
            4 => Reason::DuplicatedSubscription,
            5 => Reason::NotOwner,
            6 => Reason::StaleEpoch,
            7 => Reason::Unreachable(text),
            8 => Reason::Protocol(text),
            9 => Reason::Failed(text),
            10 => Reason::Refused(text),
            other => return Err(wrong("reason", &other, "a code from 0 to 10")),
        })
    }
}

pub(crate) fn wrong(field: &'static str, found: &dyn std::fmt::Display, expected: &'static str) -> WireError {
    WireError::Field { field, found: found.to_string(), expected }
}
