//! What a stage's plugin may use besides clocks, random numbers and printing. Nothing, unless it is written.

mod endpoint;
mod read;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

pub use endpoint::{Address, Endpoint, EndpointError, Hosts};
pub(super) use read::read;

/// What a plugin may use. The default is nothing.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Grants {
    /// Environment variables with their values.
    pub env: BTreeMap<String, String>,
    /// Environment variables that have the value they have in the node's process.
    pub env_from_host: BTreeSet<String>,
    /// Directories, by the path under which the plugin sees them.
    pub dirs: BTreeMap<String, Dir>,
    /// Where it may connect to over TCP.
    pub tcp: BTreeSet<Endpoint>,
    /// Where it may send to, and get answers from, over UDP.
    pub udp: BTreeSet<Endpoint>,
    /// Whether it may look up any name. The names in `tcp` and `udp` it may look up anyway.
    pub resolve: bool,
}

/// A directory of the node that a plugin sees.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Dir {
    /// Its absolute path on the node.
    pub host: PathBuf,
    /// Whether the plugin may change what is in it.
    pub write: bool,
}

impl Grants {
    /// Whether nothing is granted.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether it may look up `name`.
    pub fn may_resolve(&self, name: &str) -> bool {
        let is_name =
            |endpoint: &Endpoint| matches!(&endpoint.hosts, Hosts::Name(own) if own.eq_ignore_ascii_case(name));
        self.resolve || self.tcp.iter().chain(&self.udp).any(is_name)
    }

    /// In words, what these grants allow and the `former` did not: one action each, in a fixed order. Empty if
    /// nothing. Another value of a variable is no grant: it is the pipeline's word, as `config` is.
    pub fn beyond(&self, former: &Self) -> Vec<String> {
        let mut more = Vec::new();
        let known = |name: &&String| former.env.contains_key(*name) || former.env_from_host.contains(*name);
        more.extend(self.env.keys().filter(|name| !known(name)).map(|name| format!("read the variable {name}")));
        let from_host = self.env_from_host.difference(&former.env_from_host);
        more.extend(from_host.map(|name| format!("read the node's environment variable {name}")));
        more.extend(self.dirs.iter().filter_map(|(guest, dir)| dir.beyond(guest, former)));
        more.extend(connect(&self.tcp, &former.tcp).map(|endpoint| format!("connect to {endpoint} over TCP")));
        more.extend(connect(&self.udp, &former.udp).map(|endpoint| format!("send to {endpoint} over UDP")));
        if self.resolve && !former.resolve {
            more.push("look up any name".to_owned());
        }
        more
    }
}

impl Dir {
    /// What is new: all of it, to write what could be read, or nothing. What was under another path is not new.
    fn beyond(&self, guest: &str, former: &Grants) -> Option<String> {
        let mut around = former.dirs.values().filter(|dir| self.host.starts_with(&dir.host)).peekable();
        let read = around.peek().is_some();
        let write = around.any(|dir| dir.write);
        let action = match (read, write || !self.write) {
            (true, true) => return None,
            (true, false) => "write to",
            (false, _) if self.write => "read and write to",
            (false, _) => "read",
        };
        Some(format!("{action} {guest} (host {})", self.host.display()))
    }
}

fn connect<'g>(now: &'g BTreeSet<Endpoint>, former: &'g BTreeSet<Endpoint>) -> impl Iterator<Item = &'g Endpoint> {
    now.iter().filter(|endpoint| !former.iter().any(|former| former.covers(endpoint)))
}

#[cfg(test)]
mod tests;
