//! What a certificate says about its holder: which cluster, and which node or operator.
//!
//! ```text
//! forebay://0123456789abcdef0123456789abcdef/node-1     URI name of a node's certificate
//! 0123456789abcdef0123456789abcdef.cluster.forebay      its DNS name, the TLS server name
//! forebay://0123456789abcdef0123456789abcdef/operator/ann   URI name of an operator's, which has no DNS name
//! forebay://0123456789abcdef0123456789abcdef            URI name of the CA's certificate
//! ```
//!
//! The node stands in a URI because a node's name may hold `_`, which a DNS name may not, and `.`,
//! which would divide it; in a URI it stands as it is, so that reading back is exact. No name holds `/`, so
//! that none of a node reads as one of an operator. The cluster stands in a DNS name too because that is what a
//! TLS client compares; an operator has none, and so can be no server.

use std::{fmt, str::FromStr};

use forebay_proto::ids::{NodeName, OperatorName};
use rustls::pki_types::CertificateDer;

const SCHEME: &str = "forebay://";

/// Stands before an operator's name.
const OPERATOR: &str = "operator/";

/// One cluster: 128 random bits, written as 32 hexadecimal digits.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct ClusterId(u128);

impl ClusterId {
    /// An id nobody had before; fails only where the system gives no randomness.
    pub(super) fn random() -> Result<Self, ring::error::Unspecified> {
        let bytes = ring::rand::generate(&ring::rand::SystemRandom::new())?;
        Ok(Self(u128::from_be_bytes(bytes.expose())))
    }

    /// The name under which every node of the cluster is a TLS server.
    pub fn server_name(self) -> String {
        format!("{self}.cluster.forebay")
    }

    pub(super) fn uri(self) -> String {
        format!("{SCHEME}{self}")
    }

    pub(super) fn node_uri(self, node: &NodeName) -> String {
        format!("{SCHEME}{self}/{node}")
    }

    pub(super) fn operator_uri(self, operator: &OperatorName) -> String {
        format!("{SCHEME}{self}/{OPERATOR}{operator}")
    }
}

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl FromStr for ClusterId {
    type Err = ();

    /// Takes what `Display` makes and nothing else: two spellings of one id would not compare equal.
    fn from_str(text: &str) -> Result<Self, ()> {
        let id = u128::from_str_radix(text, 16).map(Self).map_err(drop)?;
        if id.to_string() == text { Ok(id) } else { Err(()) }
    }
}

/// Who a certificate was made for, and so who is at the other end of a connection.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Holder {
    /// A node: a peer of the others.
    Node(NodeName),
    /// An operator, who gives orders to nodes and is no peer of theirs.
    Operator(OperatorName),
}

impl Holder {
    /// The node, if it is one.
    pub fn node(&self) -> Option<&NodeName> {
        match self {
            Self::Node(node) => Some(node),
            Self::Operator(_) => None,
        }
    }

    /// The operator, if it is one.
    pub fn operator(&self) -> Option<&OperatorName> {
        match self {
            Self::Node(_) => None,
            Self::Operator(operator) => Some(operator),
        }
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(node) => write!(f, "node {node}"),
            Self::Operator(operator) => write!(f, "operator {operator}"),
        }
    }
}

/// A certificate names no node of a cluster; or, where an operator may stand, none of both.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the certificate names no node: {0}")]
pub struct NotAMember(pub String);

/// The cluster and the holder a certificate names. Says nothing about who signed it.
///
/// # Errors
/// [`NotAMember`] if it has not exactly one URI name, or that is not of a form above.
pub fn holder_named_by(certificate: &CertificateDer<'_>) -> Result<(ClusterId, Holder), NotAMember> {
    let uri = only_uri(certificate)?;
    let (cluster, name) = uri.strip_prefix(SCHEME).and_then(|rest| rest.split_once('/')).ok_or_else(|| odd(&uri))?;
    let holder = match name.strip_prefix(OPERATOR) {
        Some(operator) => Holder::Operator(operator.parse().map_err(|_| odd(&uri))?),
        None => Holder::Node(name.parse().map_err(|_| odd(&uri))?),
    };
    Ok((cluster.parse().map_err(|()| odd(&uri))?, holder))
}

/// The cluster and node a node's certificate names, as [`holder_named_by`].
///
/// # Errors
/// [`NotAMember`], also for an operator's.
pub fn member_named_by(certificate: &CertificateDer<'_>) -> Result<(ClusterId, NodeName), NotAMember> {
    match holder_named_by(certificate)? {
        (cluster, Holder::Node(node)) => Ok((cluster, node)),
        (_, other) => Err(NotAMember(format!("it is that of {other}"))),
    }
}

/// The cluster a CA's certificate names.
pub(super) fn cluster_named_by(certificate: &CertificateDer<'_>) -> Result<ClusterId, NotAMember> {
    let uri = only_uri(certificate)?;
    uri.strip_prefix(SCHEME).and_then(|id| id.parse().ok()).ok_or_else(|| odd(&uri))
}

fn only_uri(certificate: &CertificateDer<'_>) -> Result<String, NotAMember> {
    let parsed = webpki::EndEntityCert::try_from(certificate).map_err(|error| NotAMember(error.to_string()))?;
    let mut uris = parsed.valid_uri_names();
    match (uris.next(), uris.next()) {
        (Some(uri), None) => Ok(uri.to_owned()),
        (None, _) => Err(NotAMember("it has no URI name".to_owned())),
        _ => Err(NotAMember("it has several URI names".to_owned())),
    }
}

fn odd(uri: &str) -> NotAMember {
    let found: String = uri.escape_debug().take(160).collect();
    NotAMember(format!("found `{found}`, expected `{SCHEME}CLUSTER/NODE`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_one_spelling() {
        let id = ClusterId(0xabc);
        assert_eq!(id.to_string().parse(), Ok(id));
        for bad in ["abc", "", &id.to_string().to_uppercase(), "+0000000000000000000000000000abc"] {
            assert_eq!(bad.parse::<ClusterId>(), Err(()), "{bad}");
        }
    }
}
