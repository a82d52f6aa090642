//! A network namespace with one TUN device, for one node.
//!
//! It has no name: it lasts as long as something holds it open, a process in it or our descriptor. So
//! nothing is left behind, however this process ends, and no other namespace can be met by accident.
//! To look into one: `nsenter -t PID -n ip addr`, with the process id of its node.

use std::{
    fs::File,
    io,
    net::Ipv4Addr,
    os::fd::AsFd,
    process::{Command, Stdio},
    thread,
};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::{NetworkError, sys};

/// The device in each namespace.
const DEVICE: &str = "fb0";

/// A network namespace.
#[derive(Debug)]
pub(crate) struct Space {
    file: File,
}

impl Space {
    /// Makes a namespace, and in it a device with this address; gives the device's other end.
    pub(super) fn create(address: Ipv4Addr) -> Result<(Self, File), NetworkError> {
        // A thread of its own, as the namespace is the calling thread's.
        thread::scope(|scope| scope.spawn(|| create_here(address)).join()).expect("making a namespace does not panic")
    }

    /// Runs something in the namespace: sockets that it opens and processes that it starts are in it.
    pub(crate) fn enter<T: Send>(&self, action: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        let inside = || {
            move_into_link_name_space(self.file.as_fd(), Some(LinkNameSpaceType::Network))?;
            action()
        };
        thread::scope(|scope| scope.spawn(inside).join()).expect("what runs in a namespace does not panic")
    }
}

fn create_here(address: Ipv4Addr) -> Result<(Space, File), NetworkError> {
    sys::enter_new_namespace().map_err(|error| NetworkError::Namespace(error.into()))?;
    let file = File::open("/proc/thread-self/ns/net").map_err(NetworkError::Namespace)?;
    let tun = sys::open_tun(DEVICE).map_err(NetworkError::Tun)?;
    ip(&["link", "set", "lo", "up"])?;
    ip(&["addr", "add", &format!("{address}/24"), "dev", DEVICE])?;
    // As long a queue as bursts need: what is lost is to be lost by our own decision.
    ip(&["link", "set", DEVICE, "txqueuelen", "5000", "mtu", "1500", "up"])?;
    Ok((Space { file }, tun))
}

/// Runs `ip` in the calling thread's namespace.
fn ip(args: &[&str]) -> Result<(), NetworkError> {
    let failed = |text: String| NetworkError::Ip { args: args.join(" "), text };
    let output = Command::new("ip").args(args).stdin(Stdio::null()).output().map_err(|e| failed(e.to_string()))?;
    if output.status.success() { Ok(()) } else { Err(failed(String::from_utf8_lossy(&output.stderr).trim().into())) }
}
