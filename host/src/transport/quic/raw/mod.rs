//! What quinn does with nothing of ours above it: the limit that `forebay bench` compares nodes with.
//!
//! The same sockets, settings and credentials as [`super::Quic`], and the same bytes: messages of events and asks, as
//! `forebay_proto::wire` writes them. Above that there is no node: no stage, no guest, no buffer, no ledger.
//!
//! ```text
//! consumer                              server
//!   | -- connection, one stream ---------> |   a connection for each consumer
//!   | -- Ask(granted max) ---------------> |
//!   | <-- Events, Events, ... -------------|   as many as were granted
//!   | -- Ask(granted, acked) ------------> |   one for all that one look at the stream found
//! ```
//!
//! Made to be run on a runtime of one thread, which costs least. The server sends the same bytes over and over, from
//! one buffer, and the consumer looks at the head of each frame only. So this is faster than anything that really
//! makes and takes events.

mod consume;
mod frames;
mod serve;

use std::{net::SocketAddr, num::NonZeroU32, sync::Arc};

use forebay_proto::message::Demand;

pub use self::{
    consume::{Report, consume},
    serve::Server,
};
use super::{BindError, QuicOptions, carrier, connection, endpoint::bind_error, tls};
use crate::transport::{CloseCode, identity::NodeIdentity};

/// Bytes of the time of its emission with which a payload begins, if events are paced.
pub const STAMP_BYTES: u32 = 8;

/// What is sent, and how much of it may be open. Both sides are to be given the same.
#[derive(Clone, Copy, Debug)]
pub struct Work {
    payload_bytes: u32,
    batch: u32,
    demand: Demand,
    mtu_max: u16,
    rate: Option<NonZeroU32>,
}

/// Work that cannot be done.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
pub enum WorkError {
    /// Frames would be longer than nodes take.
    #[error("{batch} payloads of {payload_bytes} bytes do not fit a frame of {max} bytes; make one of them smaller")]
    TooLarge {
        /// The payload's length.
        payload_bytes: u32,
        /// Events of a frame.
        batch: u32,
        /// The limit.
        max: u32,
    },
    /// No room for the time of emission.
    #[error("payloads of {payload_bytes} bytes have no room for the time of their emission; {STAMP_BYTES} are needed")]
    NoStamp {
        /// The payload's length.
        payload_bytes: u32,
    },
}

impl Work {
    /// Payloads of `payload_bytes` each, `batch` in a frame or as many as one grant brings if these are fewer; with a
    /// `rate` one in a frame, that many a second of all consumers together.
    ///
    /// # Errors
    /// [`WorkError`].
    pub fn new(
        (payload_bytes, batch): (u32, NonZeroU32),
        demand: Demand,
        mtu_max: u16,
        rate: Option<NonZeroU32>,
    ) -> Result<Self, WorkError> {
        let batch = if rate.is_some() { 1 } else { batch.get().min(demand.batch_max()) };
        let max = crate::transport::FRAME_BYTES_MAX;
        let bytes = u64::from(batch) * (u64::from(payload_bytes) + 4) + frames::HEAD_BYTES as u64;
        if bytes > u64::from(max) {
            return Err(WorkError::TooLarge { payload_bytes, batch, max });
        }
        if rate.is_some() && payload_bytes < STAMP_BYTES {
            return Err(WorkError::NoStamp { payload_bytes });
        }
        Ok(Self { payload_bytes, batch, demand, mtu_max, rate })
    }

    fn options(&self) -> QuicOptions {
        QuicOptions { mtu_max: self.mtu_max, ..QuicOptions::default() }
    }
}

/// Why serving or consuming ended before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum RawError {
    /// No socket.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// No way to the server.
    #[error("no connection to {addr}")]
    Unreachable {
        /// Where to.
        addr: SocketAddr,
        /// What quinn said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The connection ended, or its stream.
    #[error("the connection is lost: {0}")]
    Lost(String),
    /// Somebody passed what was granted, or sent what is no frame of this work.
    #[error("the other side broke the protocol: {0}")]
    Broken(String),
}

impl RawError {
    fn lost(error: &impl ToString) -> Self {
        Self::Lost(error.to_string())
    }
}

/// An endpoint on `listen`; one that takes connections with `serves`.
fn open(listen: SocketAddr, identity: &NodeIdentity, work: &Work, serves: bool) -> Result<quinn::Endpoint, BindError> {
    let (own, options) = (identity.credentials(), work.options());
    tls::check(&options)?;
    let unusable =
        |source| BindError::Identity { who: format!("node `{}`", identity.node()), command: "add-node", source };
    let server = serves.then(|| tls::server(own, &options)).transpose().map_err(unusable)?;
    let client = tls::client(own, &options, None).map_err(unusable)?;
    let config = tls::endpoint(own, &options).map_err(unusable)?;
    let socket = carrier::socket(listen, &options).map_err(|source| bind_error(listen, source))?;
    let opened = quinn::Endpoint::new(config, server, socket, Arc::new(quinn::TokioRuntime));
    let mut endpoint = opened.map_err(|source| bind_error(listen, source))?;
    endpoint.set_default_client_config(client);
    Ok(endpoint)
}

/// Ends all connections of an endpoint, and waits until the others were told, at most a second.
async fn close(endpoint: &quinn::Endpoint) {
    endpoint.close(connection::var_int(CloseCode::Done), b"");
    let _ = tokio::time::timeout(super::CLOSE_WAIT, endpoint.wait_idle()).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn work(payload_bytes: u32, batch: u32, rate: Option<u32>) -> Result<Work, WorkError> {
        let batch = NonZeroU32::new(batch).unwrap();
        Work::new((payload_bytes, batch), Demand::new(1000, None).unwrap(), 1452, rate.and_then(NonZeroU32::new))
    }

    #[test]
    fn a_frame_holds_no_more_than_a_grant_brings() {
        assert_eq!(work(16, 1000, None).unwrap().batch, 500);
        assert_eq!(work(16, 5, None).unwrap().batch, 5);
        assert_eq!(work(16, 5, Some(1000)).unwrap().batch, 1);
    }

    #[test]
    fn work_that_cannot_be_done_is_refused() {
        assert!(matches!(work(1 << 20, 100, None), Err(WorkError::TooLarge { batch: 100, .. })));
        assert_eq!(work(7, 1, Some(1000)).unwrap_err(), WorkError::NoStamp { payload_bytes: 7 });
        assert!(work(0, 1, None).is_ok());
    }
}
