//! The network of one cluster: a namespace for each node, and the switch that joins them.

mod links;
mod space;
mod switch;
mod sys;

use std::{
    collections::BTreeSet,
    io,
    net::Ipv4Addr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

use self::{links::Links, switch::Switch};
pub(crate) use self::{
    links::{Counts, Link, Trouble},
    space::Space,
};

/// Nodes that the addresses of one network have room for; far more than a machine can run.
pub(crate) const NODES_MAX: usize = 100;

/// Why there is no network.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NetworkError {
    #[error("cannot make a network namespace; run as root, or as `unshare -Ur forebay-faults …`")]
    Namespace(#[source] io::Error),
    #[error("cannot open a TUN device; expected /dev/net/tun, and CONFIG_TUN in the kernel")]
    Tun(#[source] io::Error),
    #[error("`ip {args}` failed: {text}; it is of Debian's package iproute2")]
    Ip { args: String, text: String },
    #[error("cannot start the switch's thread")]
    Thread(#[source] io::Error),
}

/// The network of one cluster. Dropped, it is gone.
#[derive(Debug)]
pub(crate) struct Network {
    spaces: Vec<Space>,
    links: Arc<Mutex<Links>>,
    end: Arc<AtomicBool>,
    switch: Option<JoinHandle<()>>,
}

impl Network {
    /// Namespaces for so many nodes, with perfect links.
    pub(crate) fn new(nodes: usize, seed: u64) -> Result<Self, NetworkError> {
        assert!(nodes <= NODES_MAX, "{nodes} nodes, and addresses for {NODES_MAX}");
        let made = (0..nodes).map(|index| Space::create(address(index)));
        let (spaces, devices) = made.collect::<Result<Vec<_>, _>>()?.into_iter().unzip();
        let links = Arc::new(Mutex::new(Links::new(nodes, seed)));
        let end = Arc::new(AtomicBool::new(false));
        let switch = Switch::new(devices, Arc::clone(&links));
        let told = Arc::clone(&end);
        let thread = thread::Builder::new().name("switch".to_owned()).spawn(move || switch.run(&told));
        Ok(Self { spaces, links, end, switch: Some(thread.map_err(NetworkError::Thread)?) })
    }

    /// A node's namespace.
    pub(crate) fn space(&self, node: usize) -> &Space {
        &self.spaces[node]
    }

    /// Gives these links this trouble, instead of what they had.
    pub(crate) fn set(&self, links: &BTreeSet<Link>, trouble: Trouble) {
        switch::lock(&self.links).set(links, trouble);
    }

    /// Cuts a node off from all others.
    pub(crate) fn isolate(&self, node: usize) {
        let others = (0..self.spaces.len()).filter(|other| *other != node);
        self.set(&others.flat_map(|other| [(node, other), (other, node)]).collect(), Trouble::CUT);
    }

    /// Makes all links perfect again.
    pub(crate) fn heal(&self) {
        switch::lock(&self.links).heal();
    }

    /// What these links did so far.
    pub(crate) fn counts(&self, links: &BTreeSet<Link>) -> Vec<(Link, Counts)> {
        let all = switch::lock(&self.links);
        links.iter().map(|link| (*link, all.counts(*link))).collect()
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Relaxed);
        if let Some(switch) = self.switch.take() {
            // It panicked at worst, which its thread has said.
            drop(switch.join());
        }
    }
}

/// A node's address.
pub(crate) fn address(node: usize) -> Ipv4Addr {
    let last = u8::try_from(node + 1).expect("there are few nodes");
    let [a, b, c] = switch::SUBNET;
    Ipv4Addr::new(a, b, c, last)
}
