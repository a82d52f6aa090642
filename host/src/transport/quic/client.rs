//! An operator's endpoint: it connects to nodes, and nobody connects to it.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use quinn::Endpoint;
use tokio::time;

use super::{
    BindError, QuicOptions,
    carrier::Carrier,
    connection::{self, Terms, var_int},
    endpoint::bind_error,
    refusals::Refusals,
    tls,
};
use crate::transport::{CloseCode, ConnectError, Connection, identity::OperatorIdentity, probe};

/// Connects to nodes in an operator's name, and checks who answers as nodes do. Dropping it ends no connection.
#[derive(Debug)]
pub struct OperatorClient {
    endpoint: Endpoint,
    carrier: Carrier,
    identity: OperatorIdentity,
    options: QuicOptions,
}

impl OperatorClient {
    /// Opens a socket for addresses of the kind of `to`, on a port that the system chooses.
    ///
    /// # Errors
    /// [`BindError`].
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn bind(to: SocketAddr, identity: OperatorIdentity, options: QuicOptions) -> Result<Self, BindError> {
        let any = match to {
            SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
        };
        tls::check(&options)?;
        let who = || format!("operator `{}`", identity.operator());
        let unusable = |source| BindError::Identity { who: who(), command: "add-operator", source };
        // An answer may take minutes, and a lost packet or two shall not end the wait for it.
        let keep_alive = Some(options.idle_timeout / 4);
        let client = tls::client(identity.credentials(), &options, keep_alive).map_err(unusable)?;
        let config = tls::endpoint(identity.credentials(), &options).map_err(unusable)?;
        let carrier = Carrier::System(any, Refusals::default());
        let mut endpoint = carrier.open(config, None, &options).map_err(|source| bind_error(any, source))?;
        endpoint.set_default_client_config(client);
        Ok(Self { endpoint, carrier, identity, options })
    }

    /// Connects to the node at `addr`, whoever it is.
    ///
    /// # Errors
    /// [`ConnectError`]. Bounded in time by [`QuicOptions::connect_timeout`], and at once if the machine there says
    /// that nobody listens.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn connect(&self, addr: SocketAddr) -> Result<Box<dyn Connection>, ConnectError> {
        let terms = Terms { carrier: self.carrier.clone(), idle_timeout: self.options.idle_timeout };
        let attempt = connection::connect(&self.endpoint, addr, self.identity.credentials(), terms);
        let nobody = async {
            if !probe::is_port_closed(addr).await {
                std::future::pending::<()>().await;
            }
        };
        let unreachable = |source: String| ConnectError::Unreachable { addr, source: source.into() };
        let within = self.options.connect_timeout;
        tokio::select! {
            biased;
            outcome = time::timeout(within, attempt) => match outcome {
                Ok(outcome) => Ok(Box::new(outcome?)),
                Err(_) => Err(unreachable(format!("no answer within {within:?}"))),
            },
            () = nobody => Err(unreachable("nobody listens there".to_owned())),
        }
    }

    /// Closes all connections, and waits until the nodes were told, at most a second.
    ///
    /// # Cancel safety
    /// Cancel safe: all is closed at the first poll; only the waiting stops.
    pub async fn close(&self) {
        self.endpoint.close(var_int(CloseCode::Done), b"");
        let _ = time::timeout(super::CLOSE_WAIT, self.endpoint.wait_idle()).await;
        self.carrier.stop();
    }
}

impl Drop for OperatorClient {
    fn drop(&mut self) {
        self.carrier.stop();
    }
}
