//! A connection within one process: two ends of a link.

use std::{net::SocketAddr, sync::Arc};

use async_trait::async_trait;
use tokio::sync::{Mutex, Semaphore, mpsc, watch};

use super::{Network, pipe};
use crate::transport::{
    CHANNELS_MAX, CLOSED_BY_US, Channel, ChannelError, CloseCode, Connection, closed_by_peer, cut_reason,
    identity::Holder,
};

/// What both ends of a connection share. Index 0 is the end that connected.
#[derive(Debug)]
pub(super) struct Link {
    network: Network,
    addrs: [SocketAddr; 2],
    holders: [Holder; 2],
    end: watch::Sender<Option<End>>,
}

/// How a connection ended. The first end stays.
#[derive(Clone, Debug)]
enum End {
    /// One side closed it: its index, and what it said.
    Closed(usize, CloseCode, String),
    /// The test network was cut.
    Cut,
}

impl Link {
    pub(super) fn new(network: Network, addrs: [SocketAddr; 2], holders: [Holder; 2]) -> Arc<Self> {
        Arc::new(Self { network, addrs, holders, end: watch::Sender::new(None) })
    }

    pub(super) fn joins(&self, a: SocketAddr, b: SocketAddr) -> bool {
        self.addrs == [a, b] || self.addrs == [b, a]
    }

    pub(super) fn cut(&self) {
        self.end_with(End::Cut);
    }

    /// Closes it if one end is at `addr`.
    pub(super) fn close_by(&self, addr: SocketAddr, code: CloseCode, reason: &str) {
        if let Some(index) = self.addrs.iter().position(|other| *other == addr) {
            self.close(index, code, reason);
        }
    }

    fn close(&self, index: usize, code: CloseCode, reason: &str) {
        self.end_with(End::Closed(index, code, cut_reason(reason).to_owned()));
    }

    fn end_with(&self, end: End) {
        self.end.send_if_modified(|ended| {
            let first = ended.is_none();
            if first {
                *ended = Some(end);
            }
            first
        });
    }
}

/// One end of a link, as its connection and its channels see it.
#[derive(Clone, Debug)]
pub(super) struct Side {
    link: Arc<Link>,
    index: usize,
}

impl Side {
    /// Waits for the end; says why, seen from this side. Cancel safe.
    pub(super) async fn ended(&self) -> String {
        let mut end = self.link.end.subscribe();
        // The sender is in the link that we hold, so waiting cannot fail.
        match end.wait_for(Option::is_some).await.ok().as_deref() {
            Some(Some(End::Closed(index, code, reason))) if *index != self.index => {
                closed_by_peer(u64::from(*code as u32), reason)
            }
            Some(Some(End::Cut)) => "the network was cut".to_owned(),
            _ => CLOSED_BY_US.to_owned(),
        }
    }

    pub(super) fn has_ended(&self) -> bool {
        self.link.end.borrow().is_some()
    }

    /// Runs `work` until the connection ends. Prefers the end.
    pub(super) async fn unless_ended<T>(&self, work: impl Future<Output = T>) -> Result<T, ChannelError> {
        tokio::select! {
            biased;
            why = self.ended() => Err(ChannelError::Lost(why)),
            done = work => Ok(done),
        }
    }
}

/// One end of a connection. Dropping it closes it.
#[derive(Debug)]
pub(super) struct MemoryConnection {
    side: Side,
    /// Channels of ours that the other side has not accepted: at most `CHANNELS_MAX`, by the semaphore.
    to_peer: mpsc::UnboundedSender<Channel>,
    /// Taken by whoever accepts. A lock of tokio's, because it is held while waiting.
    from_peer: Mutex<mpsc::UnboundedReceiver<Channel>>,
    /// Channels that we may still open. A channel gives its place back when all its four halves are gone.
    places: Arc<Semaphore>,
}

impl MemoryConnection {
    /// Both ends of a link.
    pub(super) fn pair(link: &Arc<Link>) -> [Self; 2] {
        let (to_1, from_0) = mpsc::unbounded_channel();
        let (to_0, from_1) = mpsc::unbounded_channel();
        let end = |index, to_peer, from_peer| Self {
            side: Side { link: link.clone(), index },
            to_peer,
            from_peer: Mutex::new(from_peer),
            places: Arc::new(Semaphore::new(CHANNELS_MAX as usize)),
        };
        [end(0, to_1, from_1), end(1, to_0, from_0)]
    }
}

impl Drop for MemoryConnection {
    fn drop(&mut self) {
        self.close(CloseCode::Done, "");
    }
}

#[async_trait]
impl Connection for MemoryConnection {
    fn peer(&self) -> &Holder {
        &self.side.link.holders[1 - self.side.index]
    }

    fn remote_addr(&self) -> SocketAddr {
        self.side.link.addrs[1 - self.side.index]
    }

    async fn open(&self) -> Result<Channel, ChannelError> {
        let place = self.side.unless_ended(self.places.clone().acquire_owned()).await?;
        let place = Arc::new(place.expect("the semaphore is never closed"));
        let theirs = Side { link: self.side.link.clone(), index: 1 - self.side.index };
        let (our_sender, their_receiver) = pipe::new(&self.side, &theirs, &place);
        let (their_sender, our_receiver) = pipe::new(&theirs, &self.side, &place);
        let peers_half = Channel { sender: Box::new(their_sender), receiver: Box::new(their_receiver) };
        let our_sender = our_sender.announcing(peers_half, self.to_peer.clone());
        Ok(Channel { sender: Box::new(our_sender), receiver: Box::new(our_receiver) })
    }

    async fn accept(&self) -> Result<Channel, ChannelError> {
        let next = self.side.unless_ended(async { self.from_peer.lock().await.recv().await }).await?;
        match next {
            Some(channel) => Ok(channel),
            // The peer's end is gone, and its drop has ended the link.
            None => Err(ChannelError::Lost(self.side.ended().await)),
        }
    }

    async fn is_port_closed(&self) -> bool {
        !self.side.link.network.is_bound(self.remote_addr())
    }

    fn close(&self, code: CloseCode, reason: &str) {
        self.side.link.close(self.side.index, code, reason);
    }

    async fn closed(&self) -> String {
        self.side.ended().await
    }
}
