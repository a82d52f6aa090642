//! The seam to the network: authenticated connections that carry ordered streams of frames.
//!
//! `quic` is the real one; `memory` joins nodes of one process, for tests and `forebay run`. Both
//! pass the suite in `tests/all/transport.rs`. Nothing above this module knows quinn.

pub mod identity;
pub mod memory;
pub mod probe;
pub mod quic;

use std::{fmt, net::SocketAddr};

use async_trait::async_trait;
use bytes::Bytes;

use self::identity::Holder;

/// The longest frame, in bytes: twice the default batch limit, so that a batch always fits.
///
/// A longer one is refused by its length prefix, before anything is allocated for it.
pub const FRAME_BYTES_MAX: u32 = 8 << 20;

/// Channels of a connection that each side may have open at a time.
///
/// One per subscription and one for control in normal use; more is a fault or an attack.
pub const CHANNELS_MAX: u32 = 1024;

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
    /// The other side knows who we are, and lets us in no more.
    #[error("{addr} refuses these keys: {why}")]
    Revoked {
        /// Where to.
        addr: SocketAddr,
        /// Its words.
        why: String,
    },
}

/// A channel or its connection is of no more use.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ChannelError {
    /// The connection is gone: closed by the other side, timed out, or closed by us.
    #[error("connection lost: {0}")]
    Lost(String),
    /// The other side closed this stream, with the number of a [`CloseCode`] if it keeps to them.
    #[error("stream closed by the peer with code {0}")]
    Reset(u64),
    /// A frame of no bytes was announced: frames have at least one, so that every one says something.
    #[error("an empty frame announced, a frame has at least one byte")]
    Empty,
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
    /// The operator's certificate is not to be used any more.
    Revoked = 8,
}

impl CloseCode {
    /// The code with this number, if there is one.
    pub fn from_u32(number: u32) -> Option<Self> {
        use CloseCode::*;
        [Done, FrameSize, Malformed, WrongState, Duplicate, ShuttingDown, Incompatible, Silent, Revoked]
            .into_iter()
            .find(|code| *code as u32 == number)
    }
}

/// The sending half of a channel.
///
/// Dropping it ends the stream like [`FrameSender::finish`], without waiting. Half a frame may be on
/// it then; the receiver reports that as [`ChannelError::CutShort`].
#[async_trait]
pub trait FrameSender: Send + fmt::Debug {
    /// Queues one frame; waits while the peer does not read.
    ///
    /// # Errors
    /// [`ChannelError::Lost`] or [`ChannelError::Reset`] once the stream is of no more use.
    ///
    /// # Panics
    /// If the frame is empty or longer than [`FRAME_BYTES_MAX`]: the codec above never makes one.
    ///
    /// # Cancel safety
    /// Not cancel safe: dropping the future may leave half a frame on the stream. Drop the sender then.
    async fn send(&mut self, frame: Bytes) -> Result<(), ChannelError>;

    /// Queues frames in order, as [`FrameSender::send`] does one by one, with its errors, panics and cancel safety.
    ///
    /// Whoever has several ready should use this: a transport may send them for less.
    async fn send_all(&mut self, frames: Vec<Bytes>) -> Result<(), ChannelError> {
        for frame in frames {
            self.send(frame).await?;
        }
        Ok(())
    }

    /// Ends the stream after what was sent; the receiver sees a clean end.
    ///
    /// Waits until the peer's machine has it all, so that closing the connection afterwards loses
    /// nothing; but at most a second, for the peer may be gone.
    ///
    /// # Cancel safety
    /// Cancel safe: once polled, the stream ends cleanly; only the waiting stops.
    async fn finish(&mut self);

    /// Ends the stream at once; what was not sent yet is lost.
    fn reset(&mut self, code: CloseCode);
}

/// The receiving half of a channel.
///
/// Dropping it before the end is `stop(CloseCode::Done)`.
#[async_trait]
pub trait FrameReceiver: Send + fmt::Debug {
    /// The next frame; `None` after a clean end.
    ///
    /// Frames that arrived before the connection was lost may still come out, or not.
    ///
    /// # Errors
    /// [`ChannelError`]; the channel is of no more use after one, and asking again gives it again.
    /// After `TooLong` and `Empty` the peer was told to stop, with [`CloseCode::FrameSize`].
    ///
    /// # Cancel safety
    /// Cancel safe: a half-read frame is kept for the next call.
    async fn receive(&mut self) -> Result<Option<Bytes>, ChannelError>;

    /// Tells the peer to stop sending: its [`FrameSender::send`] fails with [`ChannelError::Reset`].
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

/// An authenticated connection to one node; or, where it was accepted, from a node or an operator.
///
/// Dropping it closes it and its channels with [`CloseCode::Done`]: keep it while they are in use.
#[async_trait]
pub trait Connection: Send + Sync + fmt::Debug {
    /// Whose certificate the other side showed. A node's wherever this side has connected.
    fn peer(&self) -> &Holder;

    /// Where the other side is.
    fn remote_addr(&self) -> SocketAddr;

    /// Opens a channel. The peer learns of it with the first frame.
    ///
    /// Waits while [`CHANNELS_MAX`] opened by this side are open; places may come back in groups, not one by one.
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

    /// Whether the other side's machine says that nobody listens at its port any more: a quick hint that the
    /// process there has ended. `false` says nothing. Takes at most some 20 ms.
    ///
    /// # Cancel safety
    /// Cancel safe.
    async fn is_port_closed(&self) -> bool;

    /// Ends the connection and all its channels; what they still hold is lost. Harmless when repeated.
    ///
    /// The peer sees `reason`, cut to 200 characters, in its [`ChannelError::Lost`].
    fn close(&self, code: CloseCode, reason: &str);

    /// Waits for the end; says why.
    ///
    /// # Cancel safety
    /// Cancel safe.
    async fn closed(&self) -> String;
}

/// One node's door to the others.
///
/// Dropping it ends no connection, but none is accepted any more.
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

    /// The next node or operator that connected to us and proved to belong to the cluster; `None` once closed.
    ///
    /// Connections that fail to prove it never show here; they are counted and logged. A few proven ones
    /// wait for this call; more than that are not answered.
    ///
    /// # Cancel safety
    /// Cancel safe.
    async fn accept(&self) -> Option<Box<dyn Connection>>;

    /// Closes all connections with [`CloseCode::ShuttingDown`], accepts no more, and waits until the peers
    /// were told, at most a second.
    ///
    /// # Cancel safety
    /// Cancel safe: all is closed at the first poll; only the waiting stops.
    async fn close(&self, reason: &str);
}

/// What [`ChannelError::Lost`] and [`Connection::closed`] say after the peer closed with these.
///
/// The reason is the peer's text: control characters are escaped and it is cut, for it goes to logs.
fn closed_by_peer(code: u64, reason: &str) -> String {
    let reason = harmless_reason(reason);
    let what = match u32::try_from(code).ok().and_then(CloseCode::from_u32) {
        Some(known) => format!("{known:?}"),
        None => format!("code {code}"),
    };
    if reason.is_empty() {
        format!("closed by the peer ({what})")
    } else {
        format!("closed by the peer: {reason} ({what})")
    }
}

/// A peer's text with control characters escaped, and cut.
fn harmless_reason(reason: &str) -> String {
    reason.escape_debug().take(REASON_CHARS_MAX).collect()
}

/// The longest reason shown, in characters. Also keeps a close within one packet, see RFC 9000 section 10.2.3.
const REASON_CHARS_MAX: usize = 200;

/// The beginning of a reason that is to travel.
fn cut_reason(reason: &str) -> &str {
    let end = reason.char_indices().nth(REASON_CHARS_MAX).map_or(reason.len(), |(index, _)| index);
    &reason[..end]
}

/// What is said after this side closed.
const CLOSED_BY_US: &str = "closed by this node";

fn assert_frame_length(frame: &Bytes) -> u32 {
    let length = u32::try_from(frame.len()).unwrap_or(u32::MAX);
    assert!((1..=FRAME_BYTES_MAX).contains(&length), "a frame of {length} bytes, 1 to {FRAME_BYTES_MAX} are allowed");
    length
}
