//! Who carries the datagrams of an endpoint: the system, or, in tests, a network in memory.

use std::{io, net::SocketAddr};

use quinn::EndpointConfig;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::time::Instant;

use super::{QuicOptions, refusals::Refusals};
use crate::transport::probe;

/// See the module's documentation.
#[derive(Clone, Debug)]
pub(super) enum Carrier {
    /// The system's UDP, at this address.
    System(SocketAddr, Refusals),
    #[cfg(feature = "simulated")]
    Simulated(super::simulated::SimulatedMachine),
}

impl Carrier {
    /// The address asked for.
    pub(super) fn listen(&self) -> SocketAddr {
        match self {
            Self::System(listen, _) => *listen,
            #[cfg(feature = "simulated")]
            Self::Simulated(machine) => machine.addr(),
        }
    }

    /// Opens an endpoint that is a client, and with `server` a server as well.
    pub(super) fn open(
        &self,
        config: EndpointConfig,
        server: Option<quinn::ServerConfig>,
        options: &QuicOptions,
    ) -> io::Result<quinn::Endpoint> {
        let runtime = std::sync::Arc::new(quinn::TokioRuntime);
        match self {
            Self::System(listen, refusals) => {
                let socket = socket(*listen, options)?;
                // Without it a dead peer is noticed later.
                if let Err(error) = refusals.watch(&socket) {
                    tracing::info!(%error, "the system does not tell who refuses datagrams");
                }
                quinn::Endpoint::new(config, server, socket, runtime)
            }
            #[cfg(feature = "simulated")]
            Self::Simulated(machine) => {
                let (mut config, socket) = (config, std::sync::Arc::new(machine.open()?));
                config.rng_seed(Some(machine.seed()));
                quinn::Endpoint::new_with_abstract_socket(config, server, socket, runtime)
            }
        }
    }

    /// Lets the port go, as far as it is held beside the endpoint.
    pub(super) fn stop(&self) {
        match self {
            Self::System(_, refusals) => refusals.stop(),
            #[cfg(feature = "simulated")]
            Self::Simulated(_) => {}
        }
    }

    /// See [`crate::transport::Connection::is_port_closed`]; for a connection that is there `since` then.
    pub(super) async fn is_port_closed(&self, addr: SocketAddr, since: Instant) -> bool {
        match self {
            Self::System(_, refusals) => refusals.any(addr, since) || probe::is_port_closed(addr).await,
            #[cfg(feature = "simulated")]
            Self::Simulated(machine) => machine.is_port_closed(addr).await,
        }
    }
}

/// The endpoint's socket, with as large buffers as the system grants.
pub(super) fn socket(listen: SocketAddr, options: &QuicOptions) -> io::Result<std::net::UdpSocket> {
    let socket = Socket::new(Domain::for_address(listen), Type::DGRAM, Some(Protocol::UDP))?;
    if listen.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    // As much as the system grants; less costs speed, not correctness.
    let _ = socket.set_send_buffer_size(options.socket_buffer_bytes);
    let _ = socket.set_recv_buffer_size(options.socket_buffer_bytes);
    socket.bind(&listen.into())?;
    Ok(socket.into())
}
