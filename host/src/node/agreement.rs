//! Requests of the agreement between nodes: each on a channel of its own, beside the subscriptions.

use std::{net::SocketAddr, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use forebay_proto::{
    ids::NodeName,
    names::quorum::{Answer, Request},
    wire::{self, Frame},
};

use super::{directory::Directory, exchange};
use crate::{
    registry::{Peers, Registry},
    transport::{Channel, ChannelError, CloseCode, Connection},
};

#[async_trait]
impl Peers for Directory {
    async fn ask(&self, peer: &NodeName, request: Bytes, within: Duration) -> Result<Bytes, String> {
        let connection = self.peer(peer).ok_or_else(|| format!("{peer} is not connected"))?;
        let asked = tokio::time::timeout(within, ask(&*connection, request)).await;
        match asked {
            Ok(answer) => answer.map_err(|error| format!("{peer}: {error}")),
            Err(_) => Err(format!("{peer} did not answer within {} ms", within.as_millis())),
        }
    }

    fn connected(&self) -> Vec<NodeName> {
        self.peers()
    }
}

pub(super) async fn ask(connection: &dyn Connection, request: Bytes) -> Result<Bytes, ChannelError> {
    let told = |frame| match frame {
        Frame::Agreement(answer) => Some(answer),
        _ => None,
    };
    exchange::ask(connection, Frame::Agreement(request), told).await
}

/// Whether others wait for the answer, rather than for what it brings about.
pub(crate) fn is_consensus(request: &Bytes) -> bool {
    matches!(Request::decode(request), Ok(Request::Raft { .. } | Request::Renew { .. }))
}

/// Tells who asks that there is no place for this request now.
pub(crate) async fn put_off(mut channel: Channel) {
    let answer = Answer::NotNow("too many requests are being answered".to_owned()).encode();
    // Dropped, it ends behind its answer; nobody waits for that.
    let _ = channel.sender.send(wire::encode(&Frame::Agreement(answer))).await;
}

/// Answers the request that a channel began with.
pub(crate) async fn answer(
    mut channel: Channel,
    registry: &dyn Registry,
    (peer, addr): (&NodeName, SocketAddr),
    request: Bytes,
) {
    let answer = registry.answer(peer, addr, request).await;
    let frame = wire::encode(&Frame::Agreement(answer));
    if frame.len() > crate::transport::FRAME_BYTES_MAX as usize {
        return channel.sender.reset(CloseCode::FrameSize);
    }
    // The peer may be gone; then there is nobody to tell.
    if channel.sender.send(frame).await.is_ok() {
        channel.sender.finish().await;
    }
}
