//! One request to a peer and its answer, on a channel of their own: what the agreement, dead letters and blobs share.

use forebay_proto::{
    ids::NodeName,
    wire::{self, Frame},
};

use super::line::wire_limits;
use crate::{
    registry::Registry,
    transport::{Channel, ChannelError, CloseCode, Connection},
};

/// Sends a request and waits for the frame that answers it, out of which `told` takes the answer, if it is of that kind.
///
/// # Errors
/// As of the channel, and [`ChannelError::Lost`] for an answer that does not come or is none.
///
/// # Cancel safety
/// The peer may do what it was asked to all the same.
pub(super) async fn ask<T>(
    connection: &dyn Connection,
    request: Frame,
    told: impl FnOnce(Frame) -> Option<T>,
) -> Result<T, ChannelError> {
    let mut channel = connection.open().await?;
    channel.sender.send(wire::encode(&request)).await?;
    let frame = channel.receiver.receive().await?;
    let frame = frame.ok_or_else(|| ChannelError::Lost("the peer ended the channel without an answer".to_owned()))?;
    let frame = wire::decode(&frame, &wire_limits())
        .map_err(|error| ChannelError::Lost(format!("the answer cannot be read: {error}")))?;
    told(frame).ok_or_else(|| ChannelError::Lost("the peer answered with something else".to_owned()))
}

/// Answers the request that a channel began with.
pub(super) async fn tell(mut channel: Channel, answer: Frame) {
    // The peer may be gone; then there is nobody to tell.
    if channel.sender.send(wire::encode(&answer)).await.is_ok() {
        channel.sender.finish().await;
    }
}

/// Said of a peer whose answer [`is_not_understood`].
pub(super) const NOT_UNDERSTOOD: &str = "does not understand what it is asked; it may be of an older release";

/// Whether a peer refused what it was sent as no request at all: so does a release that does not know it.
pub(super) fn is_not_understood(error: &ChannelError) -> bool {
    matches!(error, ChannelError::Reset(code) if *code == CloseCode::Malformed as u64)
}

/// A certificate is not enough for a node that the group has removed, or has not taken in. Islands have no list of
/// members; there whoever is connected is one.
pub(super) fn may_ask(registry: &dyn Registry, peer: &NodeName) -> Result<(), String> {
    let Some(quorum) = registry.as_quorum() else { return Ok(()) };
    match quorum.report().members.iter().any(|member| member.node == *peer) {
        true => Ok(()),
        false => Err(format!("{peer} is no member of this group")),
    }
}
