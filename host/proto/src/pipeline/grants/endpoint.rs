//! Addresses a plugin may connect to: a host, a name or a network, and a port.

use std::{fmt, net::IpAddr, str::FromStr};

/// A host or network and a port, as in `db.example:5432`, `10.0.0.1:*`, `10.0.0.0/8:443` and `[fd00::/8]:53`.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Endpoint {
    /// Which hosts.
    pub hosts: Hosts,
    /// Which port; `None`: any.
    pub port: Option<u16>,
}

/// Which hosts an [`Endpoint`] stands for.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Hosts {
    /// The addresses that a name has when the stage asks, in small letters.
    Name(String),
    /// One address or a network.
    Address(Address),
}

/// The addresses whose first `prefix` bits are those of `first`.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Address {
    /// The lowest of them: no bit is set after the prefix.
    first: IpAddr,
    /// Unit: bits. At most 32 or 128.
    prefix: u8,
}

/// A text is no [`Endpoint`].
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct EndpointError(
    /// What was expected.
    pub &'static str,
);

const EXPECTED: &str = "a host and a port, as in \"db.example:5432\", \"10.0.0.1:*\", \"10.0.0.0/8:443\" or \
                        \"[fd00::/8]:53\"";
const EXPECTED_PORT: &str = "a port from 1 to 65535 after the last `:`, or `*` for all";
const EXPECTED_NETWORK: &str =
    "a network whose address ends in zeros and has at most as many bits as its kind, as in \"10.0.0.0/8:443\"";

impl Endpoint {
    /// Whether the address is one of its own. Of a name this is never known here: false.
    pub fn contains(&self, ip: IpAddr, port: u16) -> bool {
        self.has_port(port) && matches!(&self.hosts, Hosts::Address(address) if address.contains(ip))
    }

    /// Whether the port is one of its own.
    pub fn has_port(&self, port: u16) -> bool {
        self.port.is_none_or(|own| own == port)
    }

    /// Whether whatever `other` stands for is certainly in this.
    pub(super) fn covers(&self, other: &Self) -> bool {
        let hosts = match (&self.hosts, &other.hosts) {
            (Hosts::Name(own), Hosts::Name(other)) => own == other,
            (Hosts::Address(own), Hosts::Address(other)) => own.prefix <= other.prefix && own.contains(other.first),
            _ => false,
        };
        hosts && (self.port.is_none() || self.port == other.port)
    }
}

impl Address {
    /// Whether it is one of them. An IPv4 address written as an IPv6 one counts as what it is.
    pub fn contains(&self, ip: IpAddr) -> bool {
        match (self.first, ip.to_canonical()) {
            (IpAddr::V4(first), IpAddr::V4(ip)) => same_bits(first.to_bits(), ip.to_bits(), 32, self.prefix),
            (IpAddr::V6(first), IpAddr::V6(ip)) => same_bits(first.to_bits(), ip.to_bits(), 128, self.prefix),
            _ => false,
        }
    }
}

/// Whether the first `prefix` of `width` bits are the same.
fn same_bits<T: Into<u128>>(one: T, other: T, width: u32, prefix: u8) -> bool {
    let different = one.into() ^ other.into();
    different.checked_shr(width - u32::from(prefix)).unwrap_or(0) == 0
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let (hosts, port) = text.rsplit_once(':').ok_or(EndpointError(EXPECTED))?;
        let port = match port {
            "*" => None,
            _ if !port.bytes().all(|byte| byte.is_ascii_digit()) => return Err(EndpointError(EXPECTED_PORT)),
            _ => Some(port.parse().ok().filter(|&port| port > 0).ok_or(EndpointError(EXPECTED_PORT))?),
        };
        let bracketed = hosts.strip_prefix('[').and_then(|hosts| hosts.strip_suffix(']'));
        let hosts = match bracketed {
            Some(hosts) => Hosts::Address(address(hosts, IpAddr::is_ipv6)?.ok_or(EndpointError(EXPECTED))?),
            None => match address(hosts, IpAddr::is_ipv4)? {
                Some(address) => Hosts::Address(address),
                None => Hosts::Name(dns_name(hosts).ok_or(EndpointError(EXPECTED))?),
            },
        };
        Ok(Self { hosts, port })
    }
}

/// An address or network of one kind; `None` if the text is something else.
fn address(text: &str, kind: fn(&IpAddr) -> bool) -> Result<Option<Address>, EndpointError> {
    let (first, prefix) = match text.split_once('/') {
        Some((first, prefix)) => (first, Some(prefix)),
        None => (text, None),
    };
    let Some(first) = first.parse().ok().filter(kind) else { return Ok(None) };
    // Else a check against the canonical form of an address would never find it.
    if first.to_canonical() != first {
        return Err(EndpointError("an IPv4 address in its own form, as in \"10.0.0.1:443\""));
    }
    let width: u8 = if first.is_ipv4() { 32 } else { 128 };
    let prefix = prefix.map_or(Some(width), |prefix| prefix.parse().ok().filter(|&prefix| prefix <= width));
    let prefix = prefix.ok_or(EndpointError(EXPECTED_NETWORK))?;
    let bits = match first {
        IpAddr::V4(first) => u128::from(first.to_bits()) << 96,
        IpAddr::V6(first) => first.to_bits(),
    };
    match bits.checked_shl(prefix.into()).unwrap_or(0) {
        0 => Ok(Some(Address { first, prefix })),
        _ => Err(EndpointError(EXPECTED_NETWORK)),
    }
}

/// A host name in small letters. One whose last label is a number is a mistyped address.
fn dns_name(text: &str) -> Option<String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.chars().all(is_part)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let is_number = |label: &str| label.bytes().all(|byte| byte.is_ascii_digit());
    let last = text.rsplit('.').next()?;
    let ok = text.len() <= 253 && text.split('.').all(is_label) && !is_number(last);
    ok.then(|| text.to_ascii_lowercase())
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.hosts {
            Hosts::Name(name) => f.write_str(name)?,
            Hosts::Address(address) if address.first.is_ipv6() => write!(f, "[{address}]")?,
            Hosts::Address(address) => write!(f, "{address}")?,
        }
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => f.write_str(":*"),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = if self.first.is_ipv4() { 32 } else { 128 };
        match self.prefix == width {
            true => write!(f, "{}", self.first),
            false => write!(f, "{}/{}", self.first, self.prefix),
        }
    }
}
