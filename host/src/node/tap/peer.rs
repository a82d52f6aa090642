//! Requests for the events of stages between nodes: each on a channel of its own.

use std::time::Duration;

use forebay_proto::{
    ids::NodeName,
    taps::{Answer, Request},
    wire::Frame,
};

use super::read_here;
use crate::{
    node::{directory::Directory, exchange},
    registry::Registry,
    transport::{Channel, ChannelError, Connection},
};

/// How much longer a peer is waited for than it may wait itself: for the ways there and back.
const WAY: Duration = Duration::from_secs(3);

/// Asks a peer for a page of a stage. That it is not connected or does not answer may pass, as if the stage did not run
/// there.
///
/// # Cancel safety
/// Cancel safe: a page can be asked for again.
pub(in crate::node) async fn ask(directory: &Directory, peer: &NodeName, request: Request) -> Answer {
    let Some(connection) = directory.peer(peer) else { return Answer::NotHere(format!("{peer} is not connected")) };
    let within = request.wait + WAY;
    match tokio::time::timeout(within, exchange(&*connection, request.clone())).await {
        Ok(Ok(answer)) => answer
            .check(&request)
            .unwrap_or_else(|misfit| Answer::Refused(format!("{peer} cannot be believed: {misfit}"))),
        Ok(Err(error)) if exchange::is_not_understood(&error) => {
            Answer::Refused(format!("{peer} {}", exchange::NOT_UNDERSTOOD))
        }
        Ok(Err(error)) => Answer::NotHere(format!("{peer}: {error}")),
        Err(_) => Answer::NotHere(format!("{peer} did not answer within {within:?}")),
    }
}

async fn exchange(connection: &dyn Connection, request: Request) -> Result<Answer, ChannelError> {
    let told = |frame| match frame {
        Frame::TapTold(answer) => Some(answer),
        _ => None,
    };
    exchange::ask(connection, Frame::TapAsked(request), told).await
}

/// Answers the request that a channel began with. Events may be secret: members only.
pub(in crate::node) async fn answer(
    channel: Channel,
    directory: &Directory,
    registry: &dyn Registry,
    peer: &NodeName,
    request: Request,
) {
    let answer = match exchange::may_ask(registry, peer) {
        Ok(()) => read_here(directory, request).await,
        Err(why) => Answer::Refused(why),
    };
    exchange::tell(channel, Frame::TapTold(answer)).await;
}

/// Tells who asks that there is no place for this request now.
pub(in crate::node) async fn put_off(channel: Channel) {
    let why = "too many requests for the events of stages are being answered; ask again".to_owned();
    exchange::tell(channel, Frame::TapTold(Answer::NotHere(why))).await;
}
