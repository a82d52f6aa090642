//! Requests about dead letters between nodes: each on a channel of its own, as those of the agreement are.

use std::time::Duration;

use forebay_proto::{
    ids::NodeName,
    letters::{Answer, Request},
    wire::Frame,
};

use super::LetterDesk;
use crate::{
    node::{directory::Directory, exchange},
    registry::Registry,
    transport::{Channel, ChannelError, Connection},
};

/// How long a peer may take to answer. An operator waits for it, and perhaps for several after one another.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);

/// Asks a peer about its letters.
///
/// # Errors
/// With the reason: it is not connected, does not answer in time, or answers what does not belong to the request.
/// What it was asked to do may have been done all the same.
///
/// # Cancel safety
/// As after an error.
pub(in crate::node) async fn ask(directory: &Directory, peer: &NodeName, request: Request) -> Result<Answer, String> {
    let connection = directory.peer(peer).ok_or_else(|| format!("{peer} is not connected"))?;
    let answered = tokio::time::timeout(ANSWER_WITHIN, exchange(&*connection, request.clone())).await;
    let answer = answered.map_err(|_| format!("{peer} did not answer within {} s", ANSWER_WITHIN.as_secs()))?;
    let answer = answer.map_err(|error| match error {
        error if exchange::is_not_understood(&error) => format!("{peer} {}", exchange::NOT_UNDERSTOOD),
        error => format!("{peer}: {error}"),
    })?;
    answer.check(&request).map_err(|misfit| format!("{peer} cannot be believed: {misfit}"))
}

async fn exchange(connection: &dyn Connection, request: Request) -> Result<Answer, ChannelError> {
    let told = |frame| match frame {
        Frame::LettersTold(answer) => Some(answer),
        _ => None,
    };
    exchange::ask(connection, Frame::LettersAsked(request), told).await
}

/// Answers the request that a channel began with. Events may be secret, and dropping them is for good: members only.
pub(in crate::node) async fn answer(
    channel: Channel,
    desk: &LetterDesk,
    registry: &dyn Registry,
    peer: &NodeName,
    request: Request,
) {
    let answer = match exchange::may_ask(registry, peer) {
        Ok(()) => desk.answer(request).await,
        Err(why) => Answer::Refused(why),
    };
    exchange::tell(channel, Frame::LettersTold(answer)).await;
}

/// Tells who asks that there is no place for this request now.
pub(in crate::node) async fn put_off(channel: Channel) {
    let why = "too many requests about dead letters are being answered; ask again".to_owned();
    exchange::tell(channel, Frame::LettersTold(Answer::Refused(why))).await;
}
