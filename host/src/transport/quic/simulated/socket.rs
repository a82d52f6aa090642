//! A UDP socket on the simulated network, as quinn uses one.

use std::{
    fmt, io,
    io::IoSliceMut,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use quinn::{
    AsyncUdpSocket, UdpPoller,
    udp::{RecvMeta, Transmit},
};
use tokio::time::{self, Sleep};

use super::{Inbox, SimulatedMachine, Site, State};

/// See the module's documentation. Dropping it closes the port.
pub(in crate::transport::quic) struct SimulatedSocket {
    machine: SimulatedMachine,
    number: u64,
    /// Until the next datagram arrives.
    arrival: Mutex<Pin<Box<Sleep>>>,
}

impl SimulatedSocket {
    pub(super) fn new(machine: SimulatedMachine, number: u64) -> Self {
        let arrival = Mutex::new(Box::pin(time::sleep_until(machine.started)));
        Self { machine, number, arrival }
    }

    /// Its inbox, while the port is its own.
    fn inbox<'state>(&self, state: &'state mut State) -> Option<&'state mut Inbox> {
        match state.sites.get_mut(&self.machine.addr) {
            Some(Site::Open(inbox)) if inbox.socket == self.number => Some(inbox),
            _ => None,
        }
    }
}

impl Drop for SimulatedSocket {
    fn drop(&mut self) {
        let is_open = self.inbox(&mut self.machine.network.lock()).is_some();
        if is_open {
            self.machine.network.close(self.machine.addr);
        }
    }
}

impl fmt::Debug for SimulatedSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimulatedSocket").field("addr", &self.machine.addr).finish_non_exhaustive()
    }
}

impl AsyncUdpSocket for SimulatedSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(AlwaysWritable)
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let sender = (self.machine.addr, self.number);
        self.machine.network.lock().send(self.machine.now(), sender, transmit);
        Ok(())
    }

    fn poll_recv(
        &self,
        context: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let mut state = self.machine.network.lock();
        // A closed port stays silent to who holds it still: that one's process has died.
        let Some(inbox) = self.inbox(&mut state) else { return Poll::Pending };
        loop {
            let received = inbox.receive(&self.machine, buffers, meta);
            if received > 0 {
                return Poll::Ready(Ok(received));
            }
            inbox.waker = Some(context.waker().clone());
            let Some(((at, _), _)) = inbox.datagrams.first_key_value() else { return Poll::Pending };
            let mut arrival = self.arrival.lock().unwrap_or_else(PoisonError::into_inner);
            arrival.as_mut().reset(self.machine.instant(*at));
            if arrival.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.machine.addr)
    }

    fn may_fragment(&self) -> bool {
        false
    }
}

impl Inbox {
    /// Hands over what has arrived; says how many.
    fn receive(&mut self, machine: &SimulatedMachine, buffers: &mut [IoSliceMut<'_>], meta: &mut [RecvMeta]) -> usize {
        let now = machine.now();
        let mut received = 0;
        for (buffer, meta) in buffers.iter_mut().zip(meta) {
            let Some(first) = self.datagrams.first_entry().filter(|entry| entry.key().0 <= now) else { break };
            let datagram = first.remove();
            self.bytes -= datagram.contents.len();
            let len = datagram.contents.len().min(buffer.len());
            buffer[..len].copy_from_slice(&datagram.contents[..len]);
            let mut told = RecvMeta::default();
            (told.addr, told.len, told.stride, told.ecn) = (datagram.from, len, len, datagram.ecn);
            *meta = told;
            received += 1;
        }
        received
    }
}

/// The simulated network takes whatever it is given.
#[derive(Debug)]
struct AlwaysWritable;

impl UdpPoller for AlwaysWritable {
    fn poll_writable(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
