//! Answers what other members ask.

use std::sync::PoisonError;

use bytes::Bytes;
use ring::digest::{SHA256, digest};

use super::Group;
use crate::registry::raft::{
    codec::{Answer, Request, SnapshotPart},
    types::{MemberId, Snapshot},
};

/// The longest snapshot taken from another member, in bytes. It is in memory twice while it is installed.
const SNAPSHOT_BYTES_MAX: u64 = 256 << 20;

/// A snapshot that is arriving.
#[derive(Debug)]
pub(super) struct Assembly {
    /// The first piece, without its bytes: all others say the same of the whole.
    head: SnapshotPart,
    bytes: Vec<u8>,
}

impl Group {
    /// Answers a request of `from`, which must be who is at the other end, proven by its certificate.
    ///
    /// Whatever cannot be understood or carried out gets an answer that says so.
    ///
    /// # Cancel safety
    /// The request may have been carried out.
    pub async fn answer(&self, from: MemberId, request: Bytes) -> Bytes {
        let answer = match Request::decode(&request) {
            Ok(request) if request.from() != from.0 => {
                Err(format!("{from} asked in the name of {}", MemberId(request.from())))
            }
            Ok(request) => self.carry_out(request).await,
            Err(error) => Err(error.to_string()),
        };
        answer.unwrap_or_else(Answer::Failed).encode()
    }

    async fn carry_out(&self, request: Request) -> Result<Answer, String> {
        match request {
            Request::Append(request) => {
                let response = self.raft.append_entries(request).await;
                response.map(Answer::Append).map_err(|error| error.to_string())
            }
            Request::Vote(request) => {
                self.raft.vote(request).await.map(Answer::Vote).map_err(|error| error.to_string())
            }
            Request::PreVote(request) => {
                self.raft.pre_vote(request).await.map(Answer::Vote).map_err(|error| error.to_string())
            }
            Request::Transfer(request) => {
                let response = self.raft.handle_transfer_leader(request).await;
                response.map(Answer::Transfer).map_err(|error| error.to_string())
            }
            Request::Snapshot(part) => self.take(part).await,
        }
    }

    /// Takes a piece of a snapshot, and installs the whole with the last one.
    async fn take(&self, part: SnapshotPart) -> Result<Answer, String> {
        let vote = part.vote;
        match self.assemble(part)? {
            Assembled::Partly(next) => Ok(Answer::SnapshotTaken(next)),
            Assembled::Whole(snapshot) => {
                let response = self.raft.install_full_snapshot(vote, snapshot).await;
                response.map(Answer::SnapshotDone).map_err(|error| error.to_string())
            }
        }
    }

    fn assemble(&self, part: SnapshotPart) -> Result<Assembled, String> {
        let mut slot = self.assembly.lock().unwrap_or_else(PoisonError::into_inner);
        // The one that began last is the one that is wanted: a leader that is none any more has stopped.
        let mut assembly = match part.offset {
            0 => Assembly::begin(&part)?,
            _ => slot.take().ok_or("a piece of a snapshot of which the first is missing")?,
        };
        assembly.add(&part)?;
        if (assembly.bytes.len() as u64) < part.total {
            let next = assembly.bytes.len() as u64;
            *slot = Some(assembly);
            return Ok(Assembled::Partly(next));
        }
        *slot = None;
        drop(slot);
        assembly.finish().map(Assembled::Whole)
    }
}

enum Assembled {
    /// The next piece begins here.
    Partly(u64),
    Whole(Snapshot),
}

impl Assembly {
    fn begin(part: &SnapshotPart) -> Result<Self, String> {
        if part.total > SNAPSHOT_BYTES_MAX {
            return Err(format!("a snapshot of {} bytes, at most {SNAPSHOT_BYTES_MAX} are taken", part.total));
        }
        let head = SnapshotPart { bytes: Bytes::new(), ..part.clone() };
        Ok(Self { head, bytes: Vec::new() })
    }

    fn add(&mut self, part: &SnapshotPart) -> Result<(), String> {
        let expected = SnapshotPart { offset: self.bytes.len() as u64, ..self.head.clone() };
        let found = SnapshotPart { bytes: Bytes::new(), ..part.clone() };
        if found != expected {
            return Err(format!(
                "a piece at {}, expected one of the same snapshot at {}",
                part.offset, expected.offset
            ));
        }
        let left = part.total - expected.offset;
        if part.bytes.len() as u64 > left || (part.bytes.is_empty() && left > 0) {
            return Err(format!("a piece of {} bytes, {left} are left", part.bytes.len()));
        }
        self.bytes.extend_from_slice(&part.bytes);
        Ok(())
    }

    fn finish(self) -> Result<Snapshot, String> {
        match digest(&SHA256, &self.bytes).as_ref() == self.head.digest {
            true => Ok(Snapshot { meta: self.head.meta, snapshot: self.bytes.into() }),
            false => Err("the snapshot's checksum is wrong".to_owned()),
        }
    }
}
