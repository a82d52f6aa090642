//! The way between two stages for one subscription: within this node, or over a channel.
//!
//! A [`Line`] is one end. What is sent goes into a bounded queue; what comes is put into the stage's
//! inbox by a task that ends with the line.
//!
//! The queue takes `max_demand + 2` messages: events on their way are bounded by what was granted,
//! asks by the events they answer, and there is one Subscribe and one Cancel. A full queue means that
//! the other side broke the protocol; the line is cut.

use std::time::Duration;

use bytes::Bytes;
use forebay_proto::{
    batch::BatchLimits,
    blob, calls,
    ids::{NodeName, SubId},
    letters,
    message::{Envelope, Message, Reason},
    stage::Input,
    taps,
    wire::{self, Frame},
};
use tokio::{sync::mpsc, task::JoinHandle};

use crate::transport::{Channel, ChannelError, CloseCode, FrameReceiver, FrameSender};

/// How long the first frame of a channel may take. A peer that opens streams and says nothing would
/// hold memory for each.
pub(crate) const FIRST_FRAME_WAIT: Duration = Duration::from_secs(5);

/// Messages that are encoded before the first of them is sent: bounds what one subscription holds in
/// bytes, a batch of the largest size each.
const WRITE_TOGETHER: usize = 16;

/// What frames from peers may hold. Any stage's batch of any configuration must pass.
pub(crate) fn wire_limits() -> BatchLimits {
    BatchLimits { events_max: u32::MAX, bytes_max: crate::transport::FRAME_BYTES_MAX }
}

/// One end of a subscription's way.
#[derive(Debug)]
pub(crate) struct Line {
    out: mpsc::Sender<Envelope>,
    /// Ends with the line; a remote line's writer is not among them: it ends after the last message.
    reader: JoinHandle<()>,
}

impl Drop for Line {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// Queue lengths for a subscription of `max_demand` events.
fn queue_len(max_demand: u32) -> usize {
    max_demand as usize + 2
}

/// Where a stage's inputs go, for one subscription.
#[derive(Clone, Debug)]
pub(crate) struct Inlet {
    pub(crate) inbox: mpsc::Sender<Input>,
    pub(crate) sub: SubId,
}

impl Inlet {
    /// `false` once the stage is gone.
    async fn put(&self, envelope: Envelope) -> bool {
        self.inbox.send(Input::Received { sub: self.sub, envelope }).await.is_ok()
    }

    async fn down(&self, reason: Reason) {
        // The stage may have ended first, which is as good.
        let _ = self.inbox.send(Input::Down { sub: self.sub, reason }).await;
    }
}

impl Line {
    /// Sends, without waiting.
    ///
    /// # Errors
    /// `Err` if the line is gone or the other side broke its bounds; drop it then.
    pub(crate) fn send(&self, envelope: Envelope) -> Result<(), Reason> {
        self.out.try_send(envelope).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Reason::Protocol("more messages than granted".into()),
            mpsc::error::TrySendError::Closed(_) => Reason::Unreachable("the line is cut".into()),
        })
    }

    /// Two ends within one process.
    pub(crate) fn local(max_demand: u32, consumer: Inlet) -> (Self, LocalEnd) {
        let (to_producer, from_consumer) = mpsc::channel(queue_len(max_demand));
        let (to_consumer, from_producer) = mpsc::channel(queue_len(max_demand));
        let line = Self { out: to_producer, reader: tokio::spawn(carry(from_producer, consumer)) };
        (line, LocalEnd { out: to_consumer, incoming: from_consumer })
    }

    /// The producer's end of a channel whose first frame, a Subscribe, was read already.
    pub(crate) fn accepted(channel: Channel, max_demand: u32, inlet: Inlet) -> Self {
        let Channel { sender, receiver } = channel;
        let (out, outgoing) = mpsc::channel(queue_len(max_demand));
        tokio::spawn(write_all(outgoing, sender));
        Self { out, reader: tokio::spawn(read_all(receiver, inlet)) }
    }

    /// The consumer's end of a channel that is still being opened.
    pub(crate) fn opening<F>(opening: F, max_demand: u32, inlet: Inlet) -> Self
    where
        F: Future<Output = Result<Channel, ChannelError>> + Send + 'static,
    {
        let (out, outgoing) = mpsc::channel(queue_len(max_demand));
        let reader = tokio::spawn(async move {
            match opening.await {
                Ok(Channel { sender, receiver }) => {
                    tokio::spawn(write_all(outgoing, sender));
                    read_all(receiver, inlet).await;
                }
                Err(error) => inlet.down(Reason::Unreachable(error.to_string())).await,
            }
        });
        Self { out, reader }
    }

    /// A line to nobody: the stage learns at once that there is no way.
    pub(crate) fn nowhere(inlet: Inlet, why: &str) -> Self {
        let (out, _) = mpsc::channel(1);
        let reason = Reason::Unreachable(why.to_owned());
        Self { out, reader: tokio::spawn(async move { inlet.down(reason).await }) }
    }
}

/// The producer's end of a local line, before the producer has a name for it.
#[derive(Debug)]
pub(crate) struct LocalEnd {
    out: mpsc::Sender<Envelope>,
    incoming: mpsc::Receiver<Envelope>,
}

impl LocalEnd {
    pub(crate) fn attach(self, inlet: Inlet) -> Line {
        Line { out: self.out, reader: tokio::spawn(carry(self.incoming, inlet)) }
    }
}

/// A consumer that wants to subscribe to a stage here.
#[derive(Debug)]
pub(crate) enum Caller {
    /// On this node.
    Local(LocalEnd),
    /// On another, over a channel. The stage's answer to the first message is awaited by nobody.
    Remote { channel: Channel, first: Envelope, max_demand: u32, peer: NodeName },
}

impl Caller {
    /// The other node, if it is one.
    pub(crate) fn peer(&self) -> Option<&NodeName> {
        match self {
            Self::Local(_) => None,
            Self::Remote { peer, .. } => Some(peer),
        }
    }
}

async fn carry(mut incoming: mpsc::Receiver<Envelope>, inlet: Inlet) {
    while let Some(envelope) = incoming.recv().await {
        if !inlet.put(envelope).await {
            return;
        }
    }
    inlet.down(Reason::Unreachable("the other stage has ended".into())).await;
}

/// Writes until the line is dropped, then ends the stream in good order. What has gathered leaves
/// together: quinn's work grows with the number of pieces in flight.
async fn write_all(mut outgoing: mpsc::Receiver<Envelope>, mut sender: Box<dyn FrameSender>) {
    let mut ready = Vec::new();
    while outgoing.recv_many(&mut ready, WRITE_TOGETHER).await > 0 {
        let frames =
            joined(ready.drain(..)).into_iter().map(|envelope| wire::encode(&Frame::Stage(envelope))).collect();
        if sender.send_all(frames).await.is_err() {
            // The reader of the same channel reports it.
            return;
        }
    }
    sender.finish().await;
}

/// The same in as few messages as can be: whoever consumes quicker than its asks leave has several waiting.
fn joined(envelopes: impl ExactSizeIterator<Item = Envelope>) -> Vec<Envelope> {
    let mut joined: Vec<Envelope> = Vec::with_capacity(envelopes.len());
    for envelope in envelopes {
        let rest = match joined.last_mut() {
            Some(last) => last.join(envelope),
            None => Some(envelope),
        };
        joined.extend(rest);
    }
    joined
}

async fn read_all(mut receiver: Box<dyn FrameReceiver>, inlet: Inlet) {
    let reason = loop {
        let frame = match receiver.receive().await {
            Ok(Some(frame)) => frame,
            Ok(None) => break Reason::Unreachable("the peer ended the stream".into()),
            Err(error) => break Reason::Unreachable(error.to_string()),
        };
        match read_stage_frame(&frame) {
            Ok(None) => {}
            Ok(Some(envelope)) => {
                if !inlet.put(envelope).await {
                    return receiver.stop(CloseCode::Done);
                }
            }
            Err((code, how)) => {
                receiver.stop(code);
                break Reason::Protocol(how);
            }
        }
    };
    inlet.down(reason).await;
}

/// `None`: a frame to be ignored.
fn read_stage_frame(frame: &Bytes) -> Result<Option<Envelope>, (CloseCode, String)> {
    match wire::decode(frame, &wire_limits()) {
        Ok(Frame::Stage(envelope)) => Ok(Some(envelope)),
        Ok(Frame::Unknown(_)) => Ok(None),
        Ok(other) => Err((CloseCode::WrongState, format!("{other:?} on a subscription's stream"))),
        Err(error) => Err((CloseCode::Malformed, error.to_string())),
    }
}

/// What a channel may begin with.
#[derive(Debug)]
pub(crate) enum First {
    /// A subscription.
    Subscribe(Envelope),
    /// A request of the agreement between nodes.
    Agreement(Bytes),
    /// A request about dead letters.
    Letters(letters::Request),
    /// A request to a stage.
    Call(calls::Request),
    /// A request for the events of a stage.
    Tap(taps::Request),
    /// A request for a blob.
    Blob(blob::Request),
    /// A question of an operator.
    Admin(Bytes),
}

/// Ends a channel that is of no use.
pub(crate) fn refuse(mut channel: Channel, code: CloseCode, reason: &str) {
    tracing::warn!(reason, "a stream was refused");
    channel.sender.reset(code);
    channel.receiver.stop(code);
}

/// Reads the frame that begins a channel.
///
/// # Errors
/// With the code to close the channel with, and what was wrong.
pub(crate) async fn read_first(channel: &mut Channel) -> Result<First, (CloseCode, String)> {
    let frame = tokio::time::timeout(FIRST_FRAME_WAIT, channel.receiver.receive()).await;
    let frame = frame.map_err(|_| (CloseCode::WrongState, "no first frame within 5 s".to_owned()))?;
    let frame = frame.map_err(|error| (CloseCode::FrameSize, error.to_string()))?;
    let frame = frame.ok_or((CloseCode::WrongState, "a stream without a frame".to_owned()))?;
    match wire::decode(&frame, &wire_limits()) {
        Ok(Frame::Stage(envelope @ Envelope { message: Message::Subscribe(_), .. })) => Ok(First::Subscribe(envelope)),
        Ok(Frame::Agreement(request)) => Ok(First::Agreement(request)),
        Ok(Frame::LettersAsked(request)) => Ok(First::Letters(request)),
        Ok(Frame::CallAsked(request)) => Ok(First::Call(request)),
        Ok(Frame::TapAsked(request)) => Ok(First::Tap(request)),
        Ok(Frame::BlobAsked(request)) => Ok(First::Blob(request)),
        Ok(Frame::AdminAsked(line)) => Ok(First::Admin(line)),
        Ok(other) => Err((CloseCode::WrongState, format!("expected Subscribe as the first frame, got {other:?}"))),
        Err(error) => Err((CloseCode::Malformed, error.to_string())),
    }
}
