//! One direction of a channel within one process: a queue bounded by bytes.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};

use super::link::Side;
use crate::transport::{
    Channel, ChannelError, CloseCode, FRAME_BYTES_MAX, FrameReceiver, FrameSender, assert_frame_length,
};

/// Bytes sent and not received; when it is full, the sender waits. One frame of the greatest length.
const WINDOW_BYTES: u32 = FRAME_BYTES_MAX;

/// What a frame counts at least, in bytes, so that tiny ones are bounded in number too.
const FRAME_COST_MIN: u32 = 64;

/// A frame, and the room it takes until it is received.
type Queued = (Bytes, OwnedSemaphorePermit);

/// Makes a pipe that `from` writes and `to` reads. `place` is held as long as either half lives.
pub(super) fn new(from: &Side, to: &Side, place: &Arc<OwnedSemaphorePermit>) -> (MemorySender, MemoryReceiver) {
    // Bounded by `room`.
    let (queue, queued) = mpsc::unbounded_channel();
    let (ending, ended) = watch::channel(None);
    let (stop, was_stopped) = watch::channel(None);
    let room = Arc::new(Semaphore::new(WINDOW_BYTES as usize));
    let sender = MemorySender {
        side: from.clone(),
        queue: Some(queue),
        room,
        ending,
        was_stopped,
        announce: None,
        _place: place.clone(),
    };
    let receiver =
        MemoryReceiver { side: to.clone(), queued, ended, stop, stopped: false, failed: None, _place: place.clone() };
    (sender, receiver)
}

/// How the sender ended the pipe. Noted before the queue is closed, so that who finds it closed finds this.
#[derive(Clone, Copy, Debug)]
enum Ending {
    Finished,
    Reset(CloseCode),
}

#[derive(Debug)]
pub(super) struct MemorySender {
    side: Side,
    /// None once it was ended.
    queue: Option<mpsc::UnboundedSender<Queued>>,
    room: Arc<Semaphore>,
    ending: watch::Sender<Option<Ending>>,
    was_stopped: watch::Receiver<Option<CloseCode>>,
    /// The peer's half and where it goes at our first word: a peer learns of a channel no earlier.
    announce: Option<(Channel, mpsc::UnboundedSender<Channel>)>,
    _place: Arc<OwnedSemaphorePermit>,
}

impl MemorySender {
    pub(super) fn announcing(mut self, peers_half: Channel, to_peer: mpsc::UnboundedSender<Channel>) -> Self {
        self.announce = Some((peers_half, to_peer));
        self
    }

    /// Only the first ending counts.
    fn end(&mut self, ending: Ending) {
        if let Some(queue) = self.queue.take() {
            self.ending.send_replace(Some(ending));
            self.announce();
            drop(queue);
        }
    }

    fn announce(&mut self) {
        if let Some((peers_half, to_peer)) = self.announce.take() {
            // Fails when the peer's end is gone, which the link tells.
            let _ = to_peer.send(peers_half);
        }
    }
}

impl Drop for MemorySender {
    fn drop(&mut self) {
        // After the connection's end nothing can end cleanly any more.
        if !self.side.has_ended() {
            self.end(Ending::Finished);
        }
    }
}

#[async_trait]
impl FrameSender for MemorySender {
    async fn send(&mut self, frame: Bytes) -> Result<(), ChannelError> {
        let cost = assert_frame_length(&frame).max(FRAME_COST_MIN);
        let Some(queue) = self.queue.clone() else {
            return Err(ChannelError::Lost("this node has ended the stream".to_owned()));
        };
        self.announce();
        let room = self.room.clone().acquire_many_owned(cost);
        let stopped = stopped(&mut self.was_stopped);
        let room = self.side.unless_ended(async {
            tokio::select! {
                biased;
                code = stopped => Err(ChannelError::Reset(code)),
                room = room => Ok(room.expect("the semaphore is never closed")),
            }
        });
        let queued = (frame, room.await??);
        // The receiver stops us when it is dropped; if it goes just now, the next call is told.
        let _ = queue.send(queued);
        Ok(())
    }

    async fn finish(&mut self) {
        // Nothing to wait for: the peer has all that was sent.
        self.end(Ending::Finished);
    }

    fn reset(&mut self, code: CloseCode) {
        self.end(Ending::Reset(code));
    }
}

/// Waits until the peer stops the pipe, for ever if it never does.
async fn stopped(was_stopped: &mut watch::Receiver<Option<CloseCode>>) -> u64 {
    match was_stopped.wait_for(Option::is_some).await.ok().and_then(|code| *code) {
        Some(code) => u64::from(code as u32),
        // The receiver read to the end and is gone.
        None => std::future::pending().await,
    }
}

#[derive(Debug)]
pub(super) struct MemoryReceiver {
    side: Side,
    queued: mpsc::UnboundedReceiver<Queued>,
    ended: watch::Receiver<Option<Ending>>,
    stop: watch::Sender<Option<CloseCode>>,
    stopped: bool,
    failed: Option<ChannelError>,
    _place: Arc<OwnedSemaphorePermit>,
}

impl MemoryReceiver {
    fn was_reset(&self) -> Result<(), ChannelError> {
        match *self.ended.borrow() {
            Some(Ending::Reset(code)) => Err(ChannelError::Reset(u64::from(code as u32))),
            _ => Ok(()),
        }
    }

    /// What was queued comes out even after the connection's end, but not after a reset.
    async fn receive_or_fail(&mut self) -> Result<Option<Bytes>, ChannelError> {
        self.was_reset()?;
        let next = tokio::select! {
            biased;
            next = self.queued.recv() => next,
            why = self.side.ended() => return Err(ChannelError::Lost(why)),
        };
        self.was_reset()?;
        if next.is_none() && self.ended.borrow().is_none() {
            return Err(ChannelError::Lost(self.side.ended().await));
        }
        Ok(next.map(|(frame, _room)| frame))
    }
}

impl Drop for MemoryReceiver {
    fn drop(&mut self) {
        self.stop(CloseCode::Done);
    }
}

#[async_trait]
impl FrameReceiver for MemoryReceiver {
    async fn receive(&mut self) -> Result<Option<Bytes>, ChannelError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        if self.stopped {
            return Ok(None);
        }
        let outcome = self.receive_or_fail().await;
        self.failed = outcome.as_ref().err().cloned();
        outcome
    }

    fn stop(&mut self, code: CloseCode) {
        if !self.stopped {
            self.stopped = true;
            self.stop.send_replace(Some(code));
            self.queued.close();
        }
    }
}
