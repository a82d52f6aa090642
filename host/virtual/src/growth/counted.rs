//! A transport that counts what it sends, by what it is for.
//!
//! It stands between the node and QUIC, so that it sees frames before they are encrypted; datagrams are counted by the
//! network.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use forebay::transport::{
    Channel, ChannelError, CloseCode, ConnectError, Connection, FrameSender, Transport, identity::Holder,
};
use forebay_proto::{
    batch::BatchLimits,
    names::quorum::{Answer, Request},
    wire::{self, Frame},
};

/// Bytes of the length before each frame.
const PREFIX_BYTES: u64 = 4;

/// What a frame is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// Whether a peer is there, and that it is.
    Ping,
    /// That a node lives, said to the leader, and its answer: this keeps what it owns.
    Renewal,
    /// Between members: heartbeats, the log, elections.
    Consensus,
    /// Being let into the group, and claims of names.
    Agreement,
    /// Who is there, and in islands mode who owns what.
    Gossip,
    /// Subscriptions.
    Stage,
    /// All else.
    Other,
}

impl Kind {
    /// All, in the order of a table.
    pub const ALL: [Self; 7] =
        [Self::Ping, Self::Renewal, Self::Consensus, Self::Agreement, Self::Gossip, Self::Stage, Self::Other];

    /// `is_asked`: the sender has opened the channel.
    fn of(frame: &Bytes, is_asked: bool) -> Self {
        match wire::decode(frame, &BatchLimits::default()) {
            Ok(Frame::Ping(_) | Frame::Pong(_)) => Self::Ping,
            Ok(Frame::Hello(_) | Frame::Members(_) | Frame::Names(_) | Frame::Checkpoint(_)) => Self::Gossip,
            Ok(Frame::Stage(_)) => Self::Stage,
            Ok(Frame::Agreement(bytes)) if is_asked => match Request::decode(&bytes) {
                Ok(Request::Renew { .. }) => Self::Renewal,
                Ok(Request::Raft { .. }) => Self::Consensus,
                _ => Self::Agreement,
            },
            Ok(Frame::Agreement(bytes)) => match Answer::decode(&bytes) {
                Ok(Answer::Renewed { .. }) => Self::Renewal,
                Ok(Answer::Raft(_)) => Self::Consensus,
                _ => Self::Agreement,
            },
            _ => Self::Other,
        }
    }
}

/// How many frames, and their bytes with the lengths before them.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Sent {
    /// Frames.
    pub frames: u64,
    /// Bytes.
    pub bytes: u64,
}

/// What all nodes of a cluster have sent.
#[derive(Debug, Default)]
pub(crate) struct Tally([(AtomicU64, AtomicU64); Kind::ALL.len()]);

impl Tally {
    /// By kind, in the order of [`Kind::ALL`].
    pub(crate) fn sent(&self) -> [Sent; Kind::ALL.len()] {
        self.0.each_ref().map(|(frames, bytes)| Sent { frames: frames.load(Relaxed), bytes: bytes.load(Relaxed) })
    }

    fn count(&self, frame: &Bytes, is_asked: bool) {
        let (frames, bytes) = &self.0[Kind::of(frame, is_asked) as usize];
        frames.fetch_add(1, Relaxed);
        bytes.fetch_add(frame.len() as u64 + PREFIX_BYTES, Relaxed);
    }
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Counted {
    inner: Arc<dyn Transport>,
    tally: Arc<Tally>,
}

impl Counted {
    pub(crate) fn new(inner: Arc<dyn Transport>, tally: Arc<Tally>) -> Self {
        Self { inner, tally }
    }

    fn wrap(&self, inner: Box<dyn Connection>) -> Box<dyn Connection> {
        Box::new(CountedConnection { inner, tally: Arc::clone(&self.tally) })
    }
}

#[async_trait]
impl Transport for Counted {
    fn local_addr(&self) -> SocketAddr {
        self.inner.local_addr()
    }

    async fn connect(&self, addr: SocketAddr) -> Result<Box<dyn Connection>, ConnectError> {
        self.inner.connect(addr).await.map(|connection| self.wrap(connection))
    }

    async fn accept(&self) -> Option<Box<dyn Connection>> {
        self.inner.accept().await.map(|connection| self.wrap(connection))
    }

    async fn close(&self, reason: &str) {
        self.inner.close(reason).await;
    }
}

#[derive(Debug)]
struct CountedConnection {
    inner: Box<dyn Connection>,
    tally: Arc<Tally>,
}

impl CountedConnection {
    fn wrap(&self, channel: Channel, is_asked: bool) -> Channel {
        let sender = CountedSender { inner: channel.sender, tally: Arc::clone(&self.tally), is_asked };
        Channel { sender: Box::new(sender), receiver: channel.receiver }
    }
}

#[async_trait]
impl Connection for CountedConnection {
    fn peer(&self) -> &Holder {
        self.inner.peer()
    }

    fn remote_addr(&self) -> SocketAddr {
        self.inner.remote_addr()
    }

    async fn open(&self) -> Result<Channel, ChannelError> {
        self.inner.open().await.map(|channel| self.wrap(channel, true))
    }

    async fn accept(&self) -> Result<Channel, ChannelError> {
        self.inner.accept().await.map(|channel| self.wrap(channel, false))
    }

    async fn is_port_closed(&self) -> bool {
        self.inner.is_port_closed().await
    }

    fn close(&self, code: CloseCode, reason: &str) {
        self.inner.close(code, reason);
    }

    async fn closed(&self) -> String {
        self.inner.closed().await
    }
}

#[derive(Debug)]
struct CountedSender {
    inner: Box<dyn FrameSender>,
    tally: Arc<Tally>,
    is_asked: bool,
}

#[async_trait]
impl FrameSender for CountedSender {
    async fn send(&mut self, frame: Bytes) -> Result<(), ChannelError> {
        self.tally.count(&frame, self.is_asked);
        self.inner.send(frame).await
    }

    async fn send_all(&mut self, frames: Vec<Bytes>) -> Result<(), ChannelError> {
        frames.iter().for_each(|frame| self.tally.count(frame, self.is_asked));
        self.inner.send_all(frames).await
    }

    async fn finish(&mut self) {
        self.inner.finish().await;
    }

    fn reset(&mut self, code: CloseCode) {
        self.inner.reset(code);
    }
}
