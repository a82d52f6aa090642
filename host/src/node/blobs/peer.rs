//! Requests for blobs between nodes: each on a channel of its own, as those about dead letters are.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use forebay_blobs::{BlobError, BlobStore, Source, SourceError};
use forebay_proto::{
    blob::{Answer, Digest, Misfit, Request},
    ids::NodeName,
    wire::Frame,
};

use crate::{
    chain::chain,
    node::{directory::Directory, exchange},
    registry::Registry,
    transport::{Channel, ChannelError, Connection},
};

/// How long a peer may take for a chunk: 50 KiB/s. Slower, and what is fetched is better had from another.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// The peers that are connected to a node.
#[derive(Debug)]
pub(super) struct PeerSource {
    /// Weak: a fetch does not keep the connections of a node that has ended.
    directory: Weak<Directory>,
}

impl PeerSource {
    pub(super) fn new(directory: Weak<Directory>) -> Self {
        Self { directory }
    }

    /// How much a peer has of a blob; `None`: it does not say.
    pub(super) async fn held(&self, peer: &NodeName, digest: &Digest) -> Option<u64> {
        match self.ask(peer, Request::Held { digest: *digest }).await {
            Ok(Answer::Held(bytes)) => Some(bytes),
            _ => None,
        }
    }

    async fn ask(&self, peer: &NodeName, request: Request) -> Result<Answer, SourceError> {
        let failed = |why: String| SourceError::Failed(why);
        let connection = self.directory.upgrade().and_then(|directory| directory.peer(peer));
        let connection = connection.ok_or_else(|| failed("it is not connected".to_owned()))?;
        let answer = match tokio::time::timeout(ANSWER_WITHIN, exchange(&*connection, request)).await {
            Err(_) => return Err(failed(format!("did not answer within {} s", ANSWER_WITHIN.as_secs()))),
            Ok(Err(error)) if exchange::is_not_understood(&error) => {
                return Err(failed(exchange::NOT_UNDERSTOOD.to_owned()));
            }
            Ok(answer) => answer.map_err(|error| failed(error.to_string()))?,
        };
        match answer.check(&request).map_err(wrong)? {
            Answer::Missing => Err(SourceError::Missing),
            Answer::Refused(why) => Err(failed(format!("refused: {}", why.escape_debug()))),
            answer => Ok(answer),
        }
    }
}

fn wrong(misfit: Misfit) -> SourceError {
    SourceError::Wrong(misfit.to_string())
}

#[async_trait]
impl Source for PeerSource {
    fn peers(&self) -> Vec<NodeName> {
        self.directory.upgrade().map(|directory: Arc<Directory>| directory.peers()).unwrap_or_default()
    }

    async fn list(&self, peer: &NodeName, digest: &Digest) -> Result<Vec<Digest>, SourceError> {
        match self.ask(peer, Request::List { digest: *digest }).await? {
            Answer::List(list) => Ok(list),
            _ => Err(wrong(Misfit::Other)),
        }
    }

    async fn chunk(&self, peer: &NodeName, digest: &Digest, index: u64) -> Result<Bytes, SourceError> {
        match self.ask(peer, Request::Chunk { digest: *digest, index }).await? {
            Answer::Chunk(bytes) => Ok(bytes),
            _ => Err(wrong(Misfit::Other)),
        }
    }
}

async fn exchange(connection: &dyn Connection, request: Request) -> Result<Answer, ChannelError> {
    let told = |frame| match frame {
        Frame::BlobTold(answer) => Some(answer),
        _ => None,
    };
    exchange::ask(connection, Frame::BlobAsked(request), told).await
}

/// Answers the request that a channel began with. Plugins and pipeline files may be secret: members only.
pub(in crate::node) async fn answer(
    channel: Channel,
    store: Option<&BlobStore>,
    registry: &dyn Registry,
    peer: &NodeName,
    request: Request,
) {
    let answer = match (exchange::may_ask(registry, peer), store) {
        (Err(why), _) => Answer::Refused(why),
        (Ok(()), None) => Answer::Missing,
        (Ok(()), Some(store)) => look_up(store, request).await,
    };
    exchange::tell(channel, Frame::BlobTold(answer)).await;
}

/// Tells who asks that there is no place for this request now.
pub(in crate::node) async fn put_off(channel: Channel) {
    let why = "too many requests for blobs are being answered; ask again".to_owned();
    exchange::tell(channel, Frame::BlobTold(Answer::Refused(why))).await;
}

async fn look_up(store: &BlobStore, request: Request) -> Answer {
    let answer = match request {
        Request::List { digest } => store.chunk_list(&digest).await.map(|list| Answer::List(list.to_vec())),
        Request::Chunk { digest, index } => store.chunk(&digest, index).await.map(Answer::Chunk),
        Request::Held { digest } => Ok(Answer::Held(store.held(&digest))),
    };
    answer.unwrap_or_else(|error| match error {
        BlobError::Missing { .. } | BlobError::Damaged { .. } => Answer::Missing,
        error => Answer::Refused(chain(&error)),
    })
}
