//! What an instance may use of the machine: its WASI context, made of its grants.
//!
//! Everything that is not granted is refused where the guest asks for it, by WASI's own errors:
//!
//! - variables and directories that are not granted are not there;
//! - a directory is left neither by `..` nor by a symbolic link, and written to only if it says so: wasmtime-wasi
//!   opens every path step by step from the directory's handle;
//! - every address is checked when it is connected to, sent to or received from; a datagram from another one is
//!   dropped;
//! - nobody can connect to a guest: it cannot listen, and can bind to no port but one that the system chooses;
//! - a name of `tcp` or `udp` stands for the addresses that the guest itself got when it looked the name up, so that
//!   what is checked is what is connected to, and two answers of a name server cannot differ.

use std::{
    collections::BTreeMap,
    env,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
};

use forebay_proto::pipeline::{Endpoint, Grants, Hosts};
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxBuilder, sockets::SocketAddrUse};

use super::{
    output::{Stream, Voice},
    simulated,
};

/// The most random bytes in one call of a guest.
const RANDOM_BYTES_MAX: u64 = 1 << 20;

/// Addresses that are remembered of one name; the oldest are forgotten. Large services answer with a few dozen.
const ADDRESSES_MAX: usize = 256;

/// The WASI of one instance.
///
/// # Errors
/// What is granted, but not there: a variable or a directory of the node.
pub(super) fn context(grants: &Arc<Grants>, found: &Found, voice: &Voice) -> Result<WasiCtx, String> {
    let mut wasi = WasiCtx::builder();
    wasi.stdout(voice.stream(Stream::Stdout)).stderr(voice.stream(Stream::Stderr)).max_random_size(RANDOM_BYTES_MAX);
    simulated::provide(&mut wasi);
    variables(&mut wasi, grants)?;
    directories(&mut wasi, grants)?;
    wasi.allow_tcp(!grants.tcp.is_empty()).allow_udp(!grants.udp.is_empty());
    // Which names, is decided where they are looked up.
    wasi.allow_ip_name_lookup(any_address(grants));
    let (grants, found) = (Arc::clone(grants), found.clone());
    wasi.socket_addr_check(move |address, purpose| {
        let allowed = allowed(&grants, &found, address, purpose);
        Box::pin(async move { allowed })
    });
    Ok(wasi.build())
}

/// Whether any of WASI's sockets is of use.
fn any_address(grants: &Grants) -> bool {
    !grants.tcp.is_empty() || !grants.udp.is_empty() || grants.resolve
}

fn variables(wasi: &mut WasiCtxBuilder, grants: &Grants) -> Result<(), String> {
    for (name, value) in &grants.env {
        wasi.env(name, value);
    }
    for name in &grants.env_from_host {
        let value = env::var(name).map_err(|error| {
            let why = match error {
                env::VarError::NotPresent => "is not set in this node's process",
                env::VarError::NotUnicode(_) => "is not UTF-8 in this node's process",
            };
            format!("the variable `{name}`, which `env_from_host` grants, {why}")
        })?;
        wasi.env(name, value);
    }
    Ok(())
}

fn directories(wasi: &mut WasiCtxBuilder, grants: &Grants) -> Result<(), String> {
    for (guest, dir) in &grants.dirs {
        let permissions = if dir.write { FsPerms::ReadWrite } else { FsPerms::ReadOnly };
        wasi.preopened_dir(&dir.host, guest, permissions).map_err(|error| {
            format!("the directory `{}`, granted as `{guest}`, cannot be opened: {error:#}", dir.host.display())
        })?;
    }
    Ok(())
}

fn allowed(grants: &Grants, found: &Found, address: SocketAddr, purpose: SocketAddrUse) -> bool {
    // What connecting and sending need: any address of this host, any port that is free.
    let chosen_by_system = address.ip().is_unspecified() && address.port() == 0;
    let any_of = |mut endpoints: std::collections::btree_set::Iter<'_, Endpoint>| {
        endpoints.any(|endpoint| match &endpoint.hosts {
            Hosts::Address(_) => endpoint.contains(address.ip(), address.port()),
            Hosts::Name(name) => endpoint.has_port(address.port()) && found.has(name, address.ip()),
        })
    };
    match purpose {
        SocketAddrUse::TcpBind => chosen_by_system && !grants.tcp.is_empty(),
        SocketAddrUse::UdpBind => chosen_by_system && !grants.udp.is_empty(),
        SocketAddrUse::TcpConnect => any_of(grants.tcp.iter()),
        SocketAddrUse::UdpSend | SocketAddrUse::UdpReceive => any_of(grants.udp.iter()),
        SocketAddrUse::TcpListen | SocketAddrUse::TcpAccept => false,
    }
}

/// The addresses that names of the grants were found to have, by one instance.
#[derive(Clone, Debug, Default)]
pub(super) struct Found(Arc<Mutex<BTreeMap<String, Vec<IpAddr>>>>);

impl Found {
    /// Remembers an answer. Names without a grant of their own are of no use to [`allowed`].
    pub(super) fn add(&self, grants: &Grants, name: &str, ip: IpAddr) {
        let name = name.to_ascii_lowercase();
        let is_name = |endpoint: &Endpoint| matches!(&endpoint.hosts, Hosts::Name(own) if *own == name);
        if !grants.tcp.iter().chain(&grants.udp).any(is_name) {
            return;
        }
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (addresses, ip) = (names.entry(name).or_default(), ip.to_canonical());
        addresses.retain(|known| *known != ip);
        if addresses.len() == ADDRESSES_MAX {
            addresses.remove(0);
        }
        addresses.push(ip);
    }

    fn has(&self, name: &str, ip: IpAddr) -> bool {
        let names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        names.get(name).is_some_and(|addresses| addresses.contains(&ip.to_canonical()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grants(tcp: &[&str], udp: &[&str]) -> Grants {
        let all = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        Grants { tcp: all(tcp), udp: all(udp), ..Grants::default() }
    }

    fn may(grants: &Grants, found: &Found, address: &str, purpose: SocketAddrUse) -> bool {
        allowed(grants, found, address.parse().unwrap(), purpose)
    }

    #[test]
    fn an_address_is_granted_for_its_protocol_and_nobody_may_listen() {
        use SocketAddrUse::*;
        let (grants, found) = (grants(&["10.0.0.1:80"], &["10.0.0.2:53"]), Found::default());
        assert!(may(&grants, &found, "10.0.0.1:80", TcpConnect) && !may(&grants, &found, "10.0.0.1:80", UdpSend));
        assert!(may(&grants, &found, "10.0.0.2:53", UdpSend) && may(&grants, &found, "10.0.0.2:53", UdpReceive));
        assert!(!may(&grants, &found, "10.0.0.2:53", TcpConnect) && !may(&grants, &found, "10.0.0.3:53", UdpReceive));
        for purpose in [TcpBind, UdpBind] {
            assert!(may(&grants, &found, "0.0.0.0:0", purpose) && may(&grants, &found, "[::]:0", purpose));
            assert!(!may(&grants, &found, "0.0.0.0:80", purpose) && !may(&grants, &found, "127.0.0.1:0", purpose));
            assert!(!may(&Grants::default(), &found, "0.0.0.0:0", purpose));
        }
        assert!(!may(&grants, &found, "10.0.0.1:80", TcpListen) && !may(&grants, &found, "10.0.0.1:80", TcpAccept));
    }

    #[test]
    fn a_name_stands_for_the_addresses_it_was_found_to_have() {
        let (grants, found) = (grants(&["db.example:5432"], &[]), Found::default());
        let may = |address: &str| may(&grants, &found, address, SocketAddrUse::TcpConnect);
        assert!(!may("10.0.0.1:5432"));
        found.add(&grants, "DB.example", "10.0.0.1".parse().unwrap());
        found.add(&grants, "other.example", "10.0.0.2".parse().unwrap());
        assert!(may("10.0.0.1:5432") && !may("10.0.0.1:5433") && !may("10.0.0.2:5432"));
    }

    #[test]
    fn a_name_with_ever_new_addresses_takes_no_more_memory() {
        let (grants, found) = (grants(&["db.example:1"], &[]), Found::default());
        let ip = |number: usize| IpAddr::from((number as u32).to_be_bytes());
        (0..1000).for_each(|number| found.add(&grants, "db.example", ip(number)));
        assert_eq!(found.0.lock().unwrap()["db.example"].len(), ADDRESSES_MAX);
        assert!(found.has("db.example", ip(999)) && !found.has("db.example", ip(0)));
    }
}
