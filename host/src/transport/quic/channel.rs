//! Frames on one QUIC stream.
//!
//! ```text
//! +------+------+------+------+--------------------------+
//! | length, least significant | that many bytes, 1 to    |
//! | byte first                | FRAME_BYTES_MAX          |
//! +------+------+------+------+--------------------------+
//! ```

use std::{io, time::Duration};

use async_trait::async_trait;
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use quinn::{ReadError, RecvStream, SendStream, WriteError};
use tokio::{io::AsyncReadExt as _, time};

use super::connection::{describe, var_int};
use crate::transport::{ChannelError, CloseCode, FRAME_BYTES_MAX, FrameReceiver, FrameSender, assert_frame_length};

/// How long `finish` waits for the peer's acknowledgement.
const FINISH_PATIENCE: Duration = Duration::from_secs(1);

const PREFIX_BYTES: usize = size_of::<u32>();

/// Writes frames. Long ones go to quinn as they are; short ones are joined, with copying.
///
/// Quinn keeps what is written in a list of pieces until it is acknowledged, and walks that list from its
/// beginning for each piece that it puts into a packet, so that many small pieces cost their number squared.
/// Frames of 100 bytes, flat out in a release build: 52,000 a second with prefix and payload as pieces, 174,000
/// with each frame one piece, 3,000,000 with 16 frames joined by [`FrameSender::send_all`].
#[derive(Debug)]
pub(super) struct QuicSender {
    stream: SendStream,
    idle_timeout: Duration,
    /// Where prefixes and short frames are put together, many per allocation.
    joined: BytesMut,
}

impl QuicSender {
    /// Frames up to this length are copied, in bytes: it costs less than a piece more.
    const COPY_BYTES_MAX: usize = 2 << 10;

    /// Bytes of a joined piece, about: quinn frees a piece when all of it is acknowledged.
    const PIECE_BYTES: usize = 16 << 10;

    pub(super) fn new(stream: SendStream, idle_timeout: Duration) -> Self {
        Self { stream, idle_timeout, joined: BytesMut::new() }
    }

    /// Appends a frame to `pieces`; what is still in `self.joined` comes after them.
    fn append(&mut self, frame: Bytes, pieces: &mut Vec<Bytes>) {
        let copied = frame.len() <= Self::COPY_BYTES_MAX;
        let wanted = PREFIX_BYTES + if copied { frame.len() } else { 0 };
        if self.joined.capacity() - self.joined.len() < wanted {
            self.flush(pieces);
            self.joined.reserve(Self::PIECE_BYTES);
        }
        self.joined.put_u32_le(assert_frame_length(&frame));
        if copied {
            self.joined.put_slice(&frame);
        } else {
            self.flush(pieces);
            pieces.push(frame);
        }
    }

    fn flush(&mut self, pieces: &mut Vec<Bytes>) {
        if !self.joined.is_empty() {
            pieces.push(self.joined.split().freeze());
        }
    }

    async fn write(&mut self, mut pieces: Vec<Bytes>) -> Result<(), ChannelError> {
        self.flush(&mut pieces);
        let written = self.stream.write_all_chunks(&mut pieces).await;
        written.map_err(|error| write_error(&error, self.idle_timeout))
    }
}

#[async_trait]
impl FrameSender for QuicSender {
    async fn send(&mut self, frame: Bytes) -> Result<(), ChannelError> {
        self.send_all(vec![frame]).await
    }

    async fn send_all(&mut self, frames: Vec<Bytes>) -> Result<(), ChannelError> {
        let mut pieces = Vec::new();
        for frame in frames {
            self.append(frame, &mut pieces);
        }
        self.write(pieces).await
    }

    async fn finish(&mut self) {
        // An error says that the stream has ended already.
        if self.stream.finish().is_ok() {
            let _ = time::timeout(FINISH_PATIENCE, self.stream.stopped()).await;
        }
    }

    fn reset(&mut self, code: CloseCode) {
        let _ = self.stream.reset(var_int(code));
    }
}

fn write_error(error: &WriteError, idle_timeout: Duration) -> ChannelError {
    match error {
        WriteError::Stopped(code) => ChannelError::Reset(code.into_inner()),
        WriteError::ConnectionLost(error) => ChannelError::Lost(describe(error, idle_timeout)),
        WriteError::ClosedStream => ChannelError::Lost("this node has ended the stream".to_owned()),
        other @ WriteError::ZeroRttRejected => ChannelError::Lost(other.to_string()),
    }
}

/// Reads frames, ahead of what is asked for, into one growing buffer.
#[derive(Debug)]
pub(super) struct QuicReceiver {
    stream: RecvStream,
    idle_timeout: Duration,
    /// What was read and not given out yet.
    buffer: BytesMut,
    /// Set by the first error, which is then repeated.
    failed: Option<ChannelError>,
}

impl QuicReceiver {
    /// Bytes for which there is room at least when reading: about what arrives in one go of the socket.
    const READ_BYTES: usize = 64 << 10;

    /// Frames up to this length are copied out, in bytes. Longer ones share the buffer, and a frame that is kept
    /// keeps it whole: at most five times what it holds.
    const COPY_BYTES_MAX: usize = 16 << 10;

    pub(super) fn new(stream: RecvStream, idle_timeout: Duration) -> Self {
        Self { stream, idle_timeout, buffer: BytesMut::new(), failed: None }
    }

    async fn receive_or_fail(&mut self) -> Result<Option<Bytes>, ChannelError> {
        loop {
            let missing = match self.announced()? {
                Some(length) if self.buffer.len() >= PREFIX_BYTES + length => return Ok(Some(self.take(length))),
                Some(length) => PREFIX_BYTES + length - self.buffer.len(),
                None => 0,
            };
            // Room grows with what has arrived, not with what was announced: doubling costs at most one copy per
            // byte, and who announces much and sends little makes us hold little.
            self.buffer.reserve(missing.min(self.buffer.len()).max(Self::READ_BYTES));
            // Cancel safe, and all that was read is in `self`.
            match self.stream.read_buf(&mut self.buffer).await {
                Ok(0) if self.buffer.is_empty() => return Ok(None),
                Ok(0) => return Err(ChannelError::CutShort),
                Ok(_) => {}
                Err(error) => return Err(read_error(error, self.idle_timeout)),
            }
        }
    }

    /// The length of the frame that begins the buffer, once its prefix is there.
    fn announced(&self) -> Result<Option<usize>, ChannelError> {
        let Some(prefix) = self.buffer.first_chunk::<PREFIX_BYTES>() else { return Ok(None) };
        match u32::from_le_bytes(*prefix) {
            0 => Err(ChannelError::Empty),
            found if found > FRAME_BYTES_MAX => Err(ChannelError::TooLong { found, max: FRAME_BYTES_MAX }),
            length => Ok(Some(length as usize)),
        }
    }

    /// Takes the frame that begins the buffer and has arrived whole.
    fn take(&mut self, length: usize) -> Bytes {
        self.buffer.advance(PREFIX_BYTES);
        if length > Self::COPY_BYTES_MAX {
            return self.buffer.split_to(length).freeze();
        }
        let frame = Bytes::copy_from_slice(&self.buffer[..length]);
        self.buffer.advance(length);
        frame
    }
}

#[async_trait]
impl FrameReceiver for QuicReceiver {
    async fn receive(&mut self) -> Result<Option<Bytes>, ChannelError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let outcome = self.receive_or_fail().await;
        if let Err(error) = &outcome {
            self.failed = Some(error.clone());
            self.buffer = BytesMut::new();
            self.stop(CloseCode::FrameSize); // Without effect on a stream that has ended.
        }
        outcome
    }

    fn stop(&mut self, code: CloseCode) {
        let _ = self.stream.stop(var_int(code));
    }
}

fn read_error(error: io::Error, idle_timeout: Duration) -> ChannelError {
    let text = error.to_string();
    match error.into_inner().and_then(|inner| inner.downcast::<ReadError>().ok()).as_deref() {
        Some(ReadError::Reset(code)) => ChannelError::Reset(code.into_inner()),
        Some(ReadError::ConnectionLost(error)) => ChannelError::Lost(describe(error, idle_timeout)),
        _ => ChannelError::Lost(text),
    }
}
