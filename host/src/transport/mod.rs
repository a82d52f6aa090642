//! The seam to the network: authenticated connections that carry ordered streams of frames.
//!
//! `quic` is the real one; `memory` joins nodes of one process, for tests and `forebay run`. Both
//! pass the suite in `tests/all/transport.rs`. Nothing above this module knows quinn.

pub mod identity;
pub mod memory;
pub mod quic;

use std::{fmt, net::SocketAddr};

use async_trait::async_trait;
use bytes::Bytes;
use forebay_proto::ids::NodeName;

/// The longest frame, in bytes: twice the default batch limit, so that a batch always fits.
///
/// A longer one is refused by its length prefix, before anything is allocated for it.
pub const FRAME_BYTES_MAX: u32 = 8 << 20;

/// A connection could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nobody answered, or the answer was no.
    #[error("no connection to {addr}")]
    Unreachable {
        /// Where to.
        addr: SocketAddr,
        /// What the network said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The other side is no member of this cluster, or takes us for none.
    #[error("{addr} does not belong to this cluster: {found}; use keys made by the same `forebay cluster init`")]
    Stranger {
        /// Where to.
        addr: SocketAddr,
        /// What was wrong.
        found: String,
    },
}

/// A channel or its connection is of no more use.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ChannelError {
    /// The connection is gone: closed by the other side, timed out, or closed by us.
    #[error("connection lost: {0}")]
    Lost(String),
    /// The other side closed this stream with an error code and reason.
    #[error("stream closed by the peer with code {0}")]
    Reset(u64),
    /// A frame's length prefix is over the limit.
    #[error("a frame of {found} bytes announced, {max} are allowed")]
    TooLong {
        /// The length announced.
        found: u32,
        /// The limit.
        max: u32,
    },
    /// The stream ended within a frame.
    #[error("the stream ended within a frame")]
    CutShort,
}

/// Why a stream or connection is closed, as a number that travels with the close.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u32)]
pub enum CloseCode {
    /// All is said.
    Done = 0,
    /// A frame was too long or cut short.
    FrameSize = 1,
    /// A frame could not be understood.
    Malformed = 2,
    /// A frame came that does not belong here now.
    WrongState = 3,
    /// Another connection to the same node serves already.
    Duplicate = 4,
    /// The node is shutting down.
    ShuttingDown = 5,
    /// Version, cluster or mode differ.
    Incompatible = 6,
    /// Nothing was heard for too long.
    Silent = 7,
}

/// The sending half of a channel.
#[async_trait]
pub trait FrameSender: Send + fmt::Debug {
    /// Queues one frame; waits while the peer does not read.
    ///
    /// # Errors
    /// [`ChannelError::Lost`] or [`ChannelError::Reset`] once the stream is of no more use.
    ///
    /// # Panics
    /// If the frame is longer than [`FRAME_BYTES_MAX`]: the codec above never makes one.
    ///
    /// # Cancel safety
    /// Not cancel safe: dropping the future may leave half a frame on the stream. Drop the sender then.
    async fn send(&mut self, frame: Bytes) -> Result<(), ChannelError>;

    /// Ends the stream after what was sent; the receiver sees a clean end.
    async fn finish(&mut self);

    /// Ends the stream at once; what was not sent yet is lost.
    fn reset(&mut self, code: CloseCode);
}

/// The receiving half of a channel.
#[async_trait]
pub trait FrameReceiver: Send + fmt::Debug {
    /// The next frame; `None` after a clean end.
    ///
    /// # Errors
    /// [`ChannelError`]; the channel is of no more use after one.
    ///
    /// # Cancel safety
    /// Cancel safe: a half-read frame is kept for the next call.
    async fn receive(&mut self) -> Result<Option<Bytes>, ChannelError>;

    /// Tells the peer to stop sending.
    fn stop(&mut self, code: CloseCode);
}

/// A bidirectional, ordered, reliable stream of frames. Its end is the signal of loss.
#[derive(Debug)]
pub struct Channel {
    /// Our words.
    pub sender: Box<dyn FrameSender>,
    /// The peer's words.
    pub receiver: Box<dyn FrameReceiver>,
}

/// An authenticated connection to one node.
#[async_trait]
pub trait Connection: Send + Sync + fmt::Debug {
    /// Whose certificate the other side showed.
    fn peer(&self) -> &NodeName;

    /// Where the other side is.
    fn remote_addr(&self) -> SocketAddr;

    /// Opens a channel. The peer learns of it with the first frame.
    ///
    /// # Errors
    /// [`ChannelError::Lost`].
    ///
    /// # Cancel safety
    /// Cancel safe.
    async fn open(&self) -> Result<Channel, ChannelError>;

    /// The next channel the peer opened.
    ///
    /// # Errors
    /// [`ChannelError::Lost`].
    ///
    /// # Cancel safety
    /// Cancel safe.
    async fn accept(&self) -> Result<Channel, ChannelError>;

    /// Ends the connection and all its channels. Harmless when repeated.
    fn close(&self, code: CloseCode, reason: &str);

    /// Waits for the end; says why.
    ///
    /// # Cancel safety
    /// Cancel safe.
    async fn closed(&self) -> String;
}

/// One node's door to the others.
#[async_trait]
pub trait Transport: Send + Sync + fmt::Debug {
    /// Where others reach us.
    fn local_addr(&self) -> SocketAddr;

    /// Connects to the node at `addr`, whoever it is; its name is proven by its certificate.
    ///
    /// # Errors
    /// [`ConnectError`]. Bounded in time by the transport.
    ///
    /// # Cancel safety
    /// Cancel safe.
    async fn connect(&self, addr: SocketAddr) -> Result<Box<dyn Connection>, ConnectError>;

    /// The next node that connected to us and proved its membership; `None` once closed.
    ///
    /// Connections that fail to prove it never show here; they are counted and logged.
    ///
    /// # Cancel safety
    /// Cancel safe.
    async fn accept(&self) -> Option<Box<dyn Connection>>;

    /// Closes all connections, and waits until the peers were told (at most a second).
    async fn close(&self, reason: &str);
}
