//! Requests about dead letters between nodes: each on a channel of its own, as those of the agreement are.

use std::time::Duration;

use forebay_proto::{
    ids::NodeName,
    letters::{Answer, Request},
    wire::{self, Frame},
};

use super::LetterDesk;
use crate::{
    node::{directory::Directory, line::wire_limits},
    registry::Registry,
    transport::{Channel, ChannelError, CloseCode, Connection},
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
        // So does a release that does not know the request.
        ChannelError::Reset(code) if code == CloseCode::Malformed as u64 => {
            format!("{peer} does not understand what it is asked; it may be of an older release")
        }
        error => format!("{peer}: {error}"),
    })?;
    answer.check(&request).map_err(|misfit| format!("{peer} cannot be believed: {misfit}"))
}

async fn exchange(connection: &dyn Connection, request: Request) -> Result<Answer, ChannelError> {
    let mut channel = connection.open().await?;
    channel.sender.send(wire::encode(&Frame::LettersAsked(request))).await?;
    let frame = channel.receiver.receive().await?;
    let frame = frame.ok_or_else(|| ChannelError::Lost("the peer ended the channel without an answer".to_owned()))?;
    match wire::decode(&frame, &wire_limits()) {
        Ok(Frame::LettersTold(answer)) => Ok(answer),
        Ok(_) => Err(ChannelError::Lost("the peer answered with something else".to_owned())),
        Err(error) => Err(ChannelError::Lost(format!("the answer cannot be read: {error}"))),
    }
}

/// Answers the request that a channel began with.
pub(in crate::node) async fn answer(
    channel: Channel,
    desk: &LetterDesk,
    registry: &dyn Registry,
    peer: &NodeName,
    request: Request,
) {
    let answer = match may_ask(registry, peer) {
        Ok(()) => desk.answer(request).await,
        Err(why) => Answer::Refused(why),
    };
    tell(channel, answer).await;
}

/// Tells who asks that there is no place for this request now.
pub(in crate::node) async fn put_off(channel: Channel) {
    tell(channel, Answer::Refused("too many requests about dead letters are being answered; ask again".to_owned()))
        .await;
}

async fn tell(mut channel: Channel, answer: Answer) {
    // The peer may be gone; then there is nobody to tell.
    if channel.sender.send(wire::encode(&Frame::LettersTold(answer))).await.is_ok() {
        channel.sender.finish().await;
    }
}

/// Events may be secret, and dropping them is for good: a certificate is not enough for a node that the group has
/// removed, or has not taken in. Islands have no list of members; there whoever is connected is one.
fn may_ask(registry: &dyn Registry, peer: &NodeName) -> Result<(), String> {
    let Some(quorum) = registry.as_quorum() else { return Ok(()) };
    match quorum.report().members.iter().any(|member| member.node == *peer) {
        true => Ok(()),
        false => Err(format!("{peer} is no member of this group")),
    }
}
