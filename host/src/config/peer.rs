//! The address of another node, as people write it.

use std::{fmt, net::Ipv6Addr, str::FromStr};

/// The port of a node that does not say otherwise.
pub const PORT_DEFAULT: u16 = 7440;

/// Where another node is reached: a DNS name or an IP address, and a port.
///
/// `HOST`, `HOST:PORT`, `[IPV6]` or `[IPV6]:PORT`; without a port, [`PORT_DEFAULT`]. A name is
/// resolved each time it is dialled, as the address behind it may change.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct PeerAddr {
    /// A DNS name or an IP address, without brackets.
    pub host: String,
    /// Not 0.
    pub port: u16,
}

/// A text is no address of a node.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("HOST, HOST:PORT or [IPV6]:PORT, with a port from 1 to 65535, as in node-1.example or 10.0.0.1:7440")]
pub struct PeerAddrError;

impl FromStr for PeerAddr {
    type Err = PeerAddrError;

    fn from_str(text: &str) -> Result<Self, PeerAddrError> {
        let (host, port, valid) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']').ok_or(PeerAddrError)?;
                let port = if port.is_empty() { None } else { Some(port.strip_prefix(':').ok_or(PeerAddrError)?) };
                (host, port, host.parse::<Ipv6Addr>().is_ok())
            }
            None => {
                let (host, port) = text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
                (host, port, is_dns_name(host))
            }
        };
        let port = port.map_or(Ok(PORT_DEFAULT), |port| port.parse().map_err(|_| PeerAddrError))?;
        if valid && port != 0 { Ok(Self { host: host.to_owned(), port }) } else { Err(PeerAddrError) }
    }
}

/// Whether DNS can hold it; IPv4 addresses look the same. Underscores are used in private zones.
fn is_dns_name(host: &str) -> bool {
    let label = |label: &str| {
        let inside = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        (1..=63).contains(&label.len()) && label.chars().all(inside) && !label.starts_with('-')
    };
    host.len() <= 253 && host.strip_suffix('.').unwrap_or(host).split('.').all(label)
}

impl fmt::Display for PeerAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_optional_and_ipv6_stands_in_brackets() {
        for (text, shown) in [
            ("node-1", "node-1:7440"),
            ("n_1.example.", "n_1.example.:7440"),
            ("10.0.0.1:7441", "10.0.0.1:7441"),
            ("[::1]", "[::1]:7440"),
            ("[fe80::1]:65535", "[fe80::1]:65535"),
        ] {
            let address: PeerAddr = text.parse().unwrap();
            assert_eq!(address.to_string(), shown);
            assert_eq!(shown.parse::<PeerAddr>(), Ok(address));
        }
    }

    #[test]
    fn what_nobody_could_dial_is_refused() {
        let long = format!("{}.a", "x".repeat(64));
        for text in [
            "",
            ":1",
            "a:",
            "a:0",
            "a:65536",
            "a:b",
            "::1",
            "::1:7440",
            "[::1",
            "[::1]7440",
            "[a]:1",
            "a b",
            "a..b",
            "-a",
            "https://a",
            "a/b",
            "ä",
            "a\u{1b}",
            &long,
        ] {
            assert_eq!(text.parse::<PeerAddr>(), Err(PeerAddrError), "{text}");
        }
    }
}
