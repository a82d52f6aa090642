//! A quick hint that a peer's process is gone: whether its machine refuses datagrams to its port.
//!
//! QUIC itself cannot see this: its socket serves many peers, so the kernel does not tell it which of them
//! refused. A socket connected to one address is told.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use tokio::{net::UdpSocket, time};

/// How long to wait for the refusal. On one machine it comes in microseconds, in one data centre in under a
/// millisecond; too long a wait would delay the other ways to notice a loss.
pub(super) const PATIENCE: Duration = Duration::from_millis(20);

/// Sends one datagram to `addr` and tells whether its kernel says that nobody listens there.
///
/// `true` is a strong hint that the process has ended: nothing else on that machine has its port. It is no
/// more than a hint, for a forged or stray ICMP message looks the same. `false` says nothing: firewalls
/// drop such messages, kernels send few of them a second, and a machine that is off sends none.
///
/// The datagram is one byte 0. RFC 9000 section 17.3: the bit 0x40 of a packet's first byte is set, so a QUIC
/// endpoint discards this one without an answer.
///
/// # Cancel safety
/// Cancel safe.
pub async fn is_port_closed(addr: SocketAddr) -> bool {
    matches!(time::timeout(PATIENCE, refusal(addr)).await, Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused)
}

/// Waits for a refusal; does not end if there is none.
async fn refusal(addr: SocketAddr) -> io::Result<()> {
    let any: IpAddr = if addr.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(addr).await?;
    socket.send(&[0]).await?;
    socket.recv(&mut [0; 1]).await.map(drop)
}
