//! A network that exists in memory only: it delays, loses, doubles and cuts datagrams, from a seed.
//!
//! For `host/virtual`, which runs whole nodes over it in virtual time. Nodes may be on runtimes of their own, each
//! with its own paused clock; a [`SimulatedMachine`] says how its clock stands to the network's time.
//!
//! ```text
//! quinn --try_send--> fate of the datagram (seed, path) --> inbox of the address, by time of arrival
//! quinn <--poll_recv-- what has arrived by the clock of the receiving machine
//! ```

mod path;
mod socket;

use std::{
    collections::BTreeMap,
    fmt, io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Waker,
    time::Duration,
};

use rand::{RngExt, SeedableRng, rngs::SmallRng};
use tokio::time::{self, Instant};

pub use self::path::{Path, Traffic};
pub(super) use self::socket::SimulatedSocket;
use crate::transport::probe;

/// Bytes that arrived at an address and were not read; further datagrams are dropped, as a kernel does. What
/// [`super::QuicOptions::socket_buffer_bytes`] asks for.
const INBOX_BYTES_MAX: usize = 4 << 20;

/// The network. Clones are the same one.
#[derive(Clone)]
pub struct SimulatedNetwork(Arc<Mutex<State>>);

struct State {
    random: SmallRng,
    /// Of pairs for which nothing else was said.
    path: Path,
    paths: BTreeMap<(SocketAddr, SocketAddr), Path>,
    traffic: Traffic,
    sites: BTreeMap<SocketAddr, Site>,
    /// Counts sockets and datagrams, so that each has a number of its own.
    count: u64,
}

/// What is at an address.
enum Site {
    /// A machine that runs, and nobody listens.
    Closed,
    /// A machine that is off.
    Dark,
    Open(Inbox),
}

/// Datagrams on their way to a socket.
struct Inbox {
    /// Which socket. One that was replaced neither sends nor receives.
    socket: u64,
    /// By time of arrival; of the same time, in the order of sending.
    datagrams: BTreeMap<(Duration, u64), Datagram>,
    bytes: usize,
    waker: Option<Waker>,
}

struct Datagram {
    from: SocketAddr,
    contents: Vec<u8>,
    ecn: Option<quinn::udp::EcnCodepoint>,
}

impl SimulatedNetwork {
    /// A network without machines, on which all paths are `path`.
    pub fn new(seed: u64, path: Path) -> Self {
        let (paths, sites) = (BTreeMap::new(), BTreeMap::new());
        let random = SmallRng::seed_from_u64(seed);
        Self(Arc::new(Mutex::new(State { random, path, paths, traffic: Traffic::default(), sites, count: 0 })))
    }

    /// What happens from now on to datagrams between pairs of which nothing else is said.
    pub fn set_default(&self, path: Path) {
        self.lock().path = path;
    }

    /// What happens from now on to datagrams from one address to another; not to those on the way back.
    pub fn set_path(&self, from: SocketAddr, to: SocketAddr, path: Path) {
        self.lock().paths.insert((from, to), path);
    }

    /// Forgets what was said about single paths.
    pub fn heal(&self) {
        self.lock().paths.clear();
    }

    /// The process at `addr` has died: what it sends is void, and its machine refuses what comes for it.
    pub fn close(&self, addr: SocketAddr) {
        self.replace(addr, Site::Closed);
    }

    /// The machine at `addr` is off: nothing comes from it any more, not even a refusal.
    pub fn darken(&self, addr: SocketAddr) {
        self.replace(addr, Site::Dark);
    }

    fn replace(&self, addr: SocketAddr, site: Site) {
        // What was there is dropped after the lock: its waker may be the last that holds a task, with a socket.
        let _former = self.lock().sites.insert(addr, site);
    }

    /// What became of all datagrams so far.
    pub fn traffic(&self) -> Traffic {
        self.lock().traffic
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that can panic leaves the state half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for SimulatedNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimulatedNetwork").field("traffic", &self.traffic()).finish_non_exhaustive()
    }
}

impl State {
    fn next(&mut self) -> u64 {
        self.count += 1;
        self.count
    }

    fn chance(&mut self, probability: f64) -> bool {
        // Nothing is drawn for what cannot be, so that a fault elsewhere moves no other draw.
        probability > 0.0 && self.random.random_bool(probability.min(1.0))
    }

    /// How long a datagram takes; `None` if it does not arrive.
    fn fate(&mut self, from: SocketAddr, to: SocketAddr) -> Option<Duration> {
        let path = self.paths.get(&(from, to)).unwrap_or(&self.path).clone();
        if path.cut {
            self.traffic.cut += 1;
            return None;
        }
        if self.chance(path.loss) {
            self.traffic.lost += 1;
            return None;
        }
        Some(path.delay + path.jitter.mul_f64(self.random.random::<f64>()))
    }

    fn copies(&mut self, from: SocketAddr, to: SocketAddr) -> u32 {
        let duplication = self.paths.get(&(from, to)).unwrap_or(&self.path).duplication;
        if self.chance(duplication) {
            self.traffic.doubled += 1;
            return 2;
        }
        1
    }

    fn send(&mut self, now: Duration, (from, socket): (SocketAddr, u64), transmit: &quinn::udp::Transmit<'_>) {
        let to = transmit.destination;
        if !matches!(self.sites.get(&from), Some(Site::Open(inbox)) if inbox.socket == socket) {
            return;
        }
        self.traffic.sent += 1;
        self.traffic.bytes += transmit.contents.len() as u64;
        for _ in 0..self.copies(from, to) {
            let Some(delay) = self.fate(from, to) else { continue };
            let number = self.next();
            let contents = transmit.contents.to_vec();
            self.deliver(to, (arrival(now + delay), number), Datagram { from, contents, ecn: transmit.ecn });
        }
    }

    fn deliver(&mut self, to: SocketAddr, at: (Duration, u64), datagram: Datagram) {
        let Some(Site::Open(inbox)) = self.sites.get_mut(&to) else {
            self.traffic.unheard += 1;
            return;
        };
        if inbox.bytes + datagram.contents.len() > INBOX_BYTES_MAX {
            self.traffic.overflowed += 1;
            return;
        }
        inbox.bytes += datagram.contents.len();
        inbox.datagrams.insert(at, datagram);
        // The receiver may be waiting for a later one.
        let is_first = inbox.datagrams.first_key_value().is_some_and(|(first, _)| *first == at);
        if let Some(waker) = inbox.waker.take_if(|_| is_first) {
            waker.wake();
        }
    }

    /// Whether a datagram to `to` is refused, and how long the answer takes.
    fn refusal(&mut self, from: SocketAddr, to: SocketAddr) -> Option<Duration> {
        let there = self.fate(from, to)?;
        let back = self.fate(to, from)?;
        matches!(self.sites.get(&to), Some(Site::Closed)).then_some(there + back)
    }
}

/// Tokio's timers have a resolution of a millisecond, rounded up.
fn arrival(at: Duration) -> Duration {
    let millis = at.as_nanos().div_ceil(1_000_000);
    Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
}

/// A machine on the network, and its clock. It belongs to the runtime on which it was made.
#[derive(Clone, Debug)]
pub struct SimulatedMachine {
    network: SimulatedNetwork,
    addr: SocketAddr,
    started: Instant,
    offset: Duration,
}

impl SimulatedMachine {
    /// The machine at `addr`, whose clock is tokio's of the current runtime; on the network it is `now`.
    ///
    /// Its port is closed until an endpoint is opened on it.
    pub fn new(network: &SimulatedNetwork, addr: SocketAddr, now: Duration) -> Self {
        network.close(addr);
        Self { network: network.clone(), addr, started: Instant::now(), offset: now }
    }

    /// The network's time, by this machine's clock.
    pub fn now(&self) -> Duration {
        self.offset + self.started.elapsed()
    }

    /// When it is `at`, by this machine's clock.
    pub fn instant(&self, at: Duration) -> Instant {
        self.started + at.saturating_sub(self.offset)
    }

    /// When the network's time began, by this machine's clock.
    ///
    /// # Panics
    /// If the clock cannot tell of a time so long ago; Linux's can.
    pub fn beginning(&self) -> Instant {
        self.started.checked_sub(self.offset).expect("the clock reaches back before the start of the machine")
    }

    /// Its address.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// A seed for whatever of this machine needs one.
    pub(super) fn seed(&self) -> [u8; 32] {
        self.network.lock().random.random()
    }

    /// What [`probe::is_port_closed`] is on a real machine.
    pub(super) async fn is_port_closed(&self, addr: SocketAddr) -> bool {
        let refusal = self.network.lock().refusal(self.addr, addr).filter(|delay| *delay < probe::PATIENCE);
        time::sleep(refusal.unwrap_or(probe::PATIENCE)).await;
        refusal.is_some()
    }

    /// Opens the port.
    pub(super) fn open(&self) -> io::Result<SimulatedSocket> {
        let mut state = self.network.lock();
        if matches!(state.sites.get(&self.addr), Some(Site::Open(_))) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        let socket = state.next();
        let inbox = Inbox { socket, datagrams: BTreeMap::new(), bytes: 0, waker: None };
        state.sites.insert(self.addr, Site::Open(inbox));
        drop(state);
        Ok(SimulatedSocket::new(self.clone(), socket))
    }
}
