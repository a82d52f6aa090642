//! How a member asks the others.

use std::{fmt, future::Future, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use forebay_proto::ids::NodeName;
use openraft::{
    OptionalSend, RaftNetworkFactory, RaftNetworkV2,
    errors::{RPCError, ReplicationClosed, StreamingError},
    network::{Backoff, RPCOption},
};
use ring::digest::{SHA256, digest};

use super::{
    codec::{Answer, Request, SnapshotPart},
    types::{
        AppendRequest, AppendResponse, MemberId, Named, Snapshot, SnapshotResponse, TransferRequest, TransferResponse,
        Types, Vote, VoteRequest, VoteResponse,
    },
};

/// The longest piece of a snapshot, in bytes. A frame has at most 8 MiB.
const PIECE_BYTES_MAX: usize = 7 << 20;

/// A member did not answer, and why.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct Unreachable(pub String);

/// How a member reaches the others.
#[async_trait]
pub trait Peers: fmt::Debug + Send + Sync + 'static {
    /// Asks `member`, which is called `node`, and waits for its answer for at most `within`.
    ///
    /// Requests and answers have at most 8 MiB. They need not arrive in the order in which they were
    /// asked, and may arrive after this has given up. They MUST be carried to this very node, or to
    /// nobody: the other side takes `from` of [`Group::answer`](super::Group::answer) for proven.
    ///
    /// # Errors
    /// [`Unreachable`] whenever there is no answer.
    ///
    /// # Cancel safety
    /// The request may have been carried out.
    async fn call(
        &self,
        member: MemberId,
        node: &NodeName,
        request: Bytes,
        within: Duration,
    ) -> Result<Bytes, Unreachable>;
}

/// Makes a [`Client`] for every other member.
#[derive(Debug)]
pub(super) struct Clients {
    pub(super) peers: Arc<dyn Peers>,
    pub(super) heartbeat: Duration,
    pub(super) election_min: Duration,
}

impl RaftNetworkFactory<Types> for Clients {
    type Network = Client;

    async fn new_client(&mut self, target: u64, node: &Named) -> Client {
        Client {
            peers: self.peers.clone(),
            member: MemberId(target),
            node: node.0.clone(),
            heartbeat: self.heartbeat,
            election_min: self.election_min,
        }
    }
}

/// Asks one other member.
#[derive(Debug)]
pub(super) struct Client {
    peers: Arc<dyn Peers>,
    member: MemberId,
    node: NodeName,
    heartbeat: Duration,
    election_min: Duration,
}

type Failed = openraft::errors::Unreachable<Types>;

impl Client {
    async fn ask(&self, request: Request, within: Duration) -> Result<Answer, Failed> {
        let failed = |why: String| Failed::from_string(format!("{} ({}): {why}", self.node, self.member));
        let call = self.peers.call(self.member, &self.node, request.encode(), within);
        // Also here: whether the time is kept must not depend on who implements `Peers`.
        let answer = tokio::time::timeout(within, call).await;
        let answer = answer.map_err(|_| failed(format!("no answer within {within:?}")))?;
        let bytes = answer.map_err(|error| failed(error.to_string()))?;
        match Answer::decode(&bytes) {
            Ok(Answer::Failed(why)) => Err(failed(why)),
            Ok(answer) => Ok(answer),
            Err(error) => Err(failed(error.to_string())),
        }
    }

    /// An answer to something else.
    fn misfit(&self, answer: &Answer) -> Failed {
        Failed::from_string(format!("{} ({}): answered something else: {answer:?}", self.node, self.member))
    }

    async fn ballot(&self, request: Request, option: &RPCOption) -> Result<VoteResponse, RPCError<Types>> {
        match self.ask(request, option.hard_ttl()).await? {
            Answer::Vote(response) => Ok(response),
            other => Err(self.misfit(&other).into()),
        }
    }

    async fn send_snapshot(
        &self,
        vote: Vote,
        snapshot: Snapshot,
        within: Duration,
    ) -> Result<SnapshotResponse, Failed> {
        let (meta, bytes) = (snapshot.meta, snapshot.snapshot);
        let sum = digest(&SHA256, &bytes);
        let whole: [u8; 32] = sum.as_ref().try_into().expect("SHA-256 has 32 bytes");
        let mut offset = 0;
        loop {
            let end = bytes.len().min(offset + PIECE_BYTES_MAX);
            let part = SnapshotPart {
                vote,
                meta: meta.clone(),
                total: bytes.len() as u64,
                digest: whole,
                offset: offset as u64,
                bytes: bytes.slice(offset..end),
            };
            match self.ask(Request::Snapshot(part), within).await? {
                Answer::SnapshotDone(response) => return Ok(response),
                Answer::SnapshotTaken(next) if next == end as u64 && end < bytes.len() => offset = end,
                other => return Err(self.misfit(&other)),
            }
        }
    }
}

impl RaftNetworkV2<Types> for Client {
    type SnapshotData = Bytes;

    async fn append_entries(
        &mut self,
        request: AppendRequest,
        option: RPCOption,
    ) -> Result<AppendResponse, RPCError<Types>> {
        // openraft allows one heartbeat interval for both. A heartbeat that takes longer is worthless, but
        // entries wait for a disk: giving up on a slow one and sending all again makes it slower.
        let within = match request.entries.is_empty() {
            true => option.hard_ttl(),
            false => option.hard_ttl().max(self.election_min),
        };
        match self.ask(Request::Append(request), within).await? {
            Answer::Append(response) => Ok(response),
            other => Err(self.misfit(&other).into()),
        }
    }

    async fn vote(&mut self, request: VoteRequest, option: RPCOption) -> Result<VoteResponse, RPCError<Types>> {
        self.ballot(Request::Vote(request), &option).await
    }

    async fn pre_vote(&mut self, request: VoteRequest, option: RPCOption) -> Result<VoteResponse, RPCError<Types>> {
        self.ballot(Request::PreVote(request), &option).await
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse, StreamingError<Types>> {
        tokio::select! {
            biased;
            closed = cancel => Err(StreamingError::Closed(closed)),
            // Each piece has the time for itself: how many there are says nothing about the network.
            sent = self.send_snapshot(vote, snapshot, option.hard_ttl()) => sent.map_err(StreamingError::Unreachable),
        }
    }

    async fn transfer_leader(
        &mut self,
        request: TransferRequest,
        option: RPCOption,
    ) -> Result<TransferResponse, RPCError<Types>> {
        match self.ask(Request::Transfer(request), option.hard_ttl()).await? {
            Answer::Transfer(response) => Ok(response),
            other => Err(self.misfit(&other).into()),
        }
    }

    /// Short and constant: a member that is back must be caught up before it can vote for anybody.
    fn backoff(&self) -> Option<Backoff> {
        Some(Backoff::new(std::iter::repeat(self.heartbeat)))
    }
}
