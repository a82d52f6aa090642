//! Which machines have said that nobody listens where we sent datagrams to: whoever did has ended.
//!
//! The kernel keeps such words (ICMP port unreachable) for a socket that asks for them (`IP_RECVERR`, see ip(7)
//! and ipv6(7)), with the address that the refused datagram went to. QUIC's socket serves many peers, and is
//! told nothing of them without.

use std::{
    collections::HashMap,
    io::{self, IoSliceMut},
    net::{SocketAddr, UdpSocket},
    os::fd::AsRawFd,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use nix::{
    errno::Errno,
    sys::socket::{
        ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt,
        sockopt::{Ipv4RecvErr, Ipv6RecvErr},
    },
};
use tokio::{io::Interest, task::AbortHandle, time::Instant};

/// How long a word is remembered. Whoever asks does so within a ping's interval or two.
const KEPT_FOR: Duration = Duration::from_secs(2);

/// Addresses remembered at most: forged words must not fill the memory.
const KEPT_MAX: usize = 256;

/// What was refused lately, by address.
#[derive(Clone, Debug, Default)]
pub(super) struct Refusals(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    known: Mutex<HashMap<SocketAddr, Instant>>,
    /// Holds the socket, and with it the port.
    listening: Mutex<Option<AbortHandle>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Inner {
    fn stop(&self) {
        if let Some(listening) = self.listening.lock().unwrap_or_else(PoisonError::into_inner).take() {
            listening.abort();
        }
    }
}

impl Refusals {
    /// Listens for what is refused to this socket, until [`Refusals::stop`] or the last of these is dropped.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn watch(&self, socket: &UdpSocket) -> io::Result<()> {
        let socket = socket.try_clone()?;
        match socket.local_addr()? {
            SocketAddr::V4(_) => setsockopt(&socket, Ipv4RecvErr, &true)?,
            SocketAddr::V6(_) => {
                setsockopt(&socket, Ipv6RecvErr, &true)?;
                // For IPv4 by the same socket; it may serve none.
                let _ = setsockopt(&socket, Ipv4RecvErr, &true);
            }
        }
        // Of the socket itself, too, which is to be so in any case.
        socket.set_nonblocking(true)?;
        let socket = tokio::net::UdpSocket::from_std(socket)?;
        let known = Arc::downgrade(&self.0);
        let listening = tokio::spawn(async move {
            while socket.ready(Interest::ERROR).await.is_ok() {
                let Some(known) = known.upgrade().map(Refusals) else { return };
                // Until there is none, which has it wait for the next.
                while let Ok(refused) = socket.try_io(Interest::ERROR, || Ok(next_error(&socket)?)) {
                    refused.into_iter().for_each(|addr| known.note(addr));
                }
            }
        });
        *self.0.listening.lock().unwrap_or_else(PoisonError::into_inner) = Some(listening.abort_handle());
        Ok(())
    }

    /// Lets the socket go.
    pub(super) fn stop(&self) {
        self.0.stop();
    }

    /// Whether a datagram to `addr` was refused after `since`.
    pub(super) fn any(&self, addr: SocketAddr, since: Instant) -> bool {
        let known = self.0.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&addr).is_some_and(|at| *at > since && at.elapsed() <= KEPT_FOR)
    }

    fn note(&self, addr: SocketAddr) {
        let mut known = self.0.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, at| at.elapsed() <= KEPT_FOR);
        if known.len() < KEPT_MAX {
            known.insert(SocketAddr::new(addr.ip().to_canonical(), addr.port()), Instant::now());
        }
    }
}

/// The next error that the kernel kept: to whom, if it is a refusal. `Err` if there is none.
fn next_error(socket: &impl AsRawFd) -> Result<Option<SocketAddr>, Errno> {
    let mut payload = [0; 64];
    // An error and an address in it: 16 and 28 bytes, with a header each.
    let mut control = [0; 256];
    let mut parts = [IoSliceMut::new(&mut payload)];
    let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
    let message = recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut parts, Some(&mut control), flags)?;
    let is_refusal = message.cmsgs()?.any(|part| match part {
        ControlMessageOwned::Ipv4RecvErr(error, _) | ControlMessageOwned::Ipv6RecvErr(error, _) => {
            u32::try_from(Errno::ECONNREFUSED as i32) == Ok(error.ee_errno)
        }
        _ => false,
    });
    let address = message.address.filter(|_| is_refusal);
    Ok(address.and_then(|address| {
        let v4 = address.as_sockaddr_in().map(|v4| SocketAddr::from((v4.ip(), v4.port())));
        v4.or_else(|| address.as_sockaddr_in6().map(|v6| SocketAddr::from((v6.ip(), v6.port()))))
    }))
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    async fn refused(from: &UdpSocket, to: SocketAddr) {
        let (refusals, began) = (Refusals::default(), Instant::now());
        refusals.watch(from).unwrap();
        let to_canonical = SocketAddr::new(to.ip().to_canonical(), to.port());
        assert!(!refusals.any(to_canonical, began));
        from.send_to(b"x", to).unwrap();
        let told = async {
            while !refusals.any(to_canonical, began) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), told).await.expect("the kernel tells");
        assert!(!refusals.any(to_canonical, Instant::now()), "not since then");
    }

    #[tokio::test]
    async fn a_refusal_is_told_by_address_on_a_socket_that_serves_many() {
        let v4 = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let closed = UdpSocket::bind(v4).unwrap().local_addr().unwrap();
        let socket = UdpSocket::bind(v4).unwrap();
        socket.set_nonblocking(true).unwrap();
        refused(&socket, closed).await;
    }

    #[tokio::test]
    async fn also_by_a_socket_for_both_versions_of_ip() {
        // A machine without IPv6 has no such socket.
        let Ok(socket) = UdpSocket::bind(SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0))) else { return };
        socket.set_nonblocking(true).unwrap();
        let closed = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
        refused(&socket, SocketAddr::from((Ipv4Addr::LOCALHOST.to_ipv6_mapped(), closed.port()))).await;
    }
}
