//! A switch between the TUN devices of some namespaces: one thread that reads packets, asks the links
//! what becomes of them, and writes them when they are due.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    fs::File,
    io::{self, Read, Write},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::links::Links;

/// The network of the namespaces; the last octet is the node's index and 1.
pub(super) const SUBNET: [u8; 3] = [10, 78, 0];

/// Packets are at most as large as the devices' MTU; more is read so that a wrong one shows.
const PACKET_BYTES_MAX: usize = 4096;

/// How often the switch looks whether it is to end.
const PATIENCE: Duration = Duration::from_millis(100);

/// Packets taken from one device before the next one's turn.
const PACKETS_PER_TURN: usize = 64;

/// A packet under way.
#[derive(Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Due {
    at: Instant,
    /// Packets due at the same time keep their order.
    order: u64,
    to: usize,
    packet: Vec<u8>,
}

/// The switch's state, owned by its thread.
#[derive(Debug)]
pub(super) struct Switch {
    devices: Vec<File>,
    links: Arc<Mutex<Links>>,
    under_way: BinaryHeap<Reverse<Due>>,
    order: u64,
}

impl Switch {
    pub(super) fn new(devices: Vec<File>, links: Arc<Mutex<Links>>) -> Self {
        Self { devices, links, under_way: BinaryHeap::new(), order: 0 }
    }

    /// Switches packets until it is told to end.
    pub(super) fn run(mut self, end: &AtomicBool) {
        while !end.load(Ordering::Relaxed) {
            self.deliver(Instant::now());
            for from in self.readable() {
                self.take(from);
            }
        }
    }

    /// Waits for a packet, or until one is due; gives the devices that have some.
    fn readable(&self) -> Vec<usize> {
        let next = self.under_way.peek().map(|Reverse(due)| due.at.saturating_duration_since(Instant::now()));
        let wait = next.map_or(PATIENCE, |next| next.min(PATIENCE));
        let timeout = Timespec::try_from(wait).expect("a tenth of a second fits");
        let mut polled: Vec<_> = self.devices.iter().map(|device| PollFd::new(device, PollFlags::IN)).collect();
        // It fails only when a signal interrupts it; then the next turn waits.
        if poll(&mut polled, Some(&timeout)).is_err() {
            return Vec::new();
        }
        let ready = polled.iter().enumerate().filter(|(_, fd)| fd.revents().contains(PollFlags::IN));
        ready.map(|(index, _)| index).collect()
    }

    /// Takes what a device has.
    fn take(&mut self, from: usize) {
        let mut buffer = [0; PACKET_BYTES_MAX];
        for _ in 0..PACKETS_PER_TURN {
            // Nothing left, or the device is gone with its namespace.
            let Ok(length) = (&self.devices[from]).read(&mut buffer) else { return };
            let packet = &buffer[..length];
            if let Some(to) = destination(packet, self.devices.len()) {
                self.pass(from, to, packet);
            }
        }
    }

    fn pass(&mut self, from: usize, to: usize, packet: &[u8]) {
        let arrivals = lock(&self.links).pass((from, to));
        let now = Instant::now();
        for delay in arrivals.into_iter().flatten() {
            // Also without delay: a packet must not overtake those that are due.
            self.order += 1;
            let due = Due { at: now + delay, order: self.order, to, packet: packet.to_vec() };
            self.under_way.push(Reverse(due));
        }
        self.deliver(now);
    }

    fn deliver(&mut self, now: Instant) {
        while self.under_way.peek().is_some_and(|Reverse(due)| due.at <= now) {
            let Some(Reverse(due)) = self.under_way.pop() else { return };
            // A full or vanished device loses the packet, as a real one does.
            drop::<io::Result<usize>>((&self.devices[due.to]).write(&due.packet));
        }
    }
}

/// Which node an IPv4 packet is for.
fn destination(packet: &[u8], nodes: usize) -> Option<usize> {
    let header: &[u8; 20] = packet.first_chunk()?;
    if header[0] >> 4 != 4 || header[16..19] != SUBNET {
        return None;
    }
    usize::from(header[19]).checked_sub(1).filter(|to| *to < nodes)
}

/// The links hold numbers only, which are right whatever happened to another holder.
pub(super) fn lock(links: &Mutex<Links>) -> MutexGuard<'_, Links> {
    links.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(version: u8, to: [u8; 4]) -> Vec<u8> {
        let mut packet = vec![0; 28];
        packet[0] = version << 4 | 5;
        packet[16..20].copy_from_slice(&to);
        packet
    }

    #[test]
    fn a_packet_goes_to_the_node_of_its_address() {
        assert_eq!(destination(&packet(4, [10, 78, 0, 1]), 3), Some(0));
        assert_eq!(destination(&packet(4, [10, 78, 0, 3]), 3), Some(2));
    }

    #[test]
    fn what_is_for_nobody_here_is_dropped() {
        for to in [[10, 78, 0, 4], [10, 78, 0, 0], [10, 78, 1, 1], [224, 0, 0, 1]] {
            assert_eq!(destination(&packet(4, to), 3), None, "{to:?}");
        }
        assert_eq!(destination(&packet(6, [10, 78, 0, 1]), 3), None);
        assert_eq!(destination(&[0x45; 19], 3), None);
    }
}
