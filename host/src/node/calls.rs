//! Requests that stages answer: from operators of this node and from peers for stages here, and from operators of
//! this node for stages on peers.

use std::time::Duration;

use bytes::Bytes;
use forebay_proto::{
    calls::{Answer, Request},
    ids::NodeName,
    names::GlobalName,
    requests,
    wire::Frame,
};
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

use super::{
    directory::{Directory, Lookup},
    exchange,
};
use crate::{
    registry::Registry,
    transport::{Channel, ChannelError, Connection},
};

/// What a stage says by itself comes a moment after the request's time is over.
const GRACE: Duration = Duration::from_millis(500);

/// How much longer a peer is waited for: for the ways there and back.
const WAY: Duration = Duration::from_secs(3);

/// A request on its way to a stage's task.
#[derive(Debug)]
pub(crate) struct StageRequest {
    pub(crate) request: Bytes,
    /// It is not made later than this.
    pub(crate) until: Instant,
    pub(crate) answer: oneshot::Sender<requests::Answer>,
}

/// Asks a stage of this node.
///
/// # Cancel safety
/// The stage may be asked all the same.
pub(super) async fn ask_here(directory: &Directory, asked: Request) -> Answer {
    let Request { pipeline, stage, within, request } = asked;
    let name = GlobalName { pipeline, stage };
    let node = directory.node();
    let stage = match directory.answering(&name) {
        Lookup::Found(stage) => stage,
        Lookup::NotHere => return Answer::NotMade(format!("{name} does not run on {node} just now")),
        Lookup::CannotAnswer => return Answer::NotMade(cannot_answer(&name)),
    };
    let (asking, answer) = oneshot::channel();
    let request = StageRequest { request, until: Instant::now() + within, answer: asking };
    match stage.try_send(request) {
        Ok(()) => {}
        Err(mpsc::error::TrySendError::Full(_)) => return Answer::NotMade(format!("{name} {BUSY}")),
        Err(mpsc::error::TrySendError::Closed(_)) => {
            return Answer::NotMade(format!("{name} has just ended on {node}"));
        }
    }
    match tokio::time::timeout(within + GRACE, answer).await {
        Ok(Ok(answer)) => told(&name, node, within, answer),
        Ok(Err(_)) => Answer::Unknown(format!("{name} ended on {node} before it answered")),
        Err(_) => Answer::Unknown(format!("{name} did not answer within {within:?}; it may still be at it")),
    }
}

const BUSY: &str = "has too many requests waiting; ask again later";

/// Said of a stage whose plugin cannot.
pub(super) fn cannot_answer(name: &GlobalName) -> String {
    format!("{name} answers no requests: its plugin does not export `call`")
}

fn told(name: &GlobalName, node: &NodeName, within: Duration, answer: requests::Answer) -> Answer {
    match answer {
        requests::Answer::Given(answer) => Answer::Given(answer),
        requests::Answer::Refused(why) => Answer::Refused(why),
        requests::Answer::Lost(why) => Answer::Unknown(format!("{name} did not survive the request: {why}")),
        requests::Answer::Late => {
            Answer::NotMade(format!("{name} had other calls to finish for {within:?}; ask again, with more time"))
        }
        requests::Answer::Busy => Answer::NotMade(format!("{name} {BUSY}")),
        requests::Answer::Ending => Answer::NotMade(format!("{name} is ending on {node}; ask again later")),
    }
}

/// Asks a stage on a peer.
///
/// # Errors
/// With the reason: it is not connected, does not answer in time, or answers what is none. The stage may have been
/// asked all the same, but for the first.
///
/// # Cancel safety
/// As after an error.
pub(super) async fn ask_peer(directory: &Directory, peer: &NodeName, request: Request) -> Answer {
    let Some(connection) = directory.peer(peer) else { return Answer::NotMade(format!("{peer} is not connected")) };
    let within = request.within + GRACE + WAY;
    match tokio::time::timeout(within, exchange(&*connection, request)).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) if exchange::is_not_understood(&error) => {
            Answer::NotMade(format!("{peer} {}", exchange::NOT_UNDERSTOOD))
        }
        Ok(Err(error)) => Answer::Unknown(format!("{peer}: {error}")),
        Err(_) => Answer::Unknown(format!("{peer} did not answer within {within:?}")),
    }
}

async fn exchange(connection: &dyn Connection, request: Request) -> Result<Answer, ChannelError> {
    let told = |frame| match frame {
        Frame::CallTold(answer) => Some(answer),
        _ => None,
    };
    exchange::ask(connection, Frame::CallAsked(request), told).await
}

/// Answers the request that a channel began with. A request may change a stage: members only.
pub(super) async fn answer(
    channel: Channel,
    directory: &Directory,
    registry: &dyn Registry,
    peer: &NodeName,
    request: Request,
) {
    let answer = match exchange::may_ask(registry, peer) {
        Ok(()) => ask_here(directory, request).await,
        Err(why) => Answer::NotMade(why),
    };
    exchange::tell(channel, Frame::CallTold(answer)).await;
}

/// Tells who asks that there is no place for this request now.
pub(super) async fn put_off(channel: Channel) {
    let why = "too many requests to stages are being answered; ask again".to_owned();
    exchange::tell(channel, Frame::CallTold(Answer::NotMade(why))).await;
}
