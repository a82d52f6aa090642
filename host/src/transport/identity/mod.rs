//! Who a node or an operator is: key, certificate, and the CA of their cluster, in memory and in files.

mod ca;
mod credentials;
mod files;
mod names;

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use forebay_proto::ids::{NodeName, OperatorName};
use rustls::{
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer},
};

pub use self::{
    ca::{ClusterCa, NODE_VALIDITY},
    credentials::Credentials,
    names::{ClusterId, Holder, NotAMember, holder_named_by, member_named_by},
};

const CA_PEM: &str = "ca.pem";

/// Proof that its holder is a node of a cluster, and what it takes to check the others.
///
/// Made by [`ClusterCa::issue`]. On disk, under the node's data directory:
///
/// ```text
/// DATA/tls/ca.pem      the CA's certificate
/// DATA/tls/node.pem    the node's certificate
/// DATA/tls/node.key    its private key, mode 0600
/// ```
#[derive(Clone, Debug)]
pub struct NodeIdentity {
    node: NodeName,
    credentials: Credentials,
}

impl NodeIdentity {
    /// The node's name, as its certificate has it.
    pub fn node(&self) -> &NodeName {
        &self.node
    }

    /// What it shows to others.
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// The cluster it belongs to.
    pub fn cluster(&self) -> ClusterId {
        self.credentials.cluster
    }

    /// The CA's certificate: what it signed belongs to the cluster.
    pub fn ca(&self) -> &CertificateDer<'static> {
        &self.credentials.ca
    }

    /// The node's certificate; the CA signed it directly.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.credentials.certificate
    }

    /// The node's private key.
    pub fn key(&self) -> &PrivateKeyDer<'static> {
        &self.credentials.key
    }

    /// Writes the files under `data/tls`, making directories as needed.
    ///
    /// Written over: an older identity of the same node. A crash in between leaves files that
    /// [`NodeIdentity::load`] refuses; running it again mends that.
    ///
    /// # Errors
    /// [`IdentityError::Exists`] if another node's identity is there, or one of another cluster.
    /// [`IdentityError::Io`].
    pub fn save(&self, data: &Path) -> Result<(), IdentityError> {
        self.credentials.save(data, credentials::NODE)
    }

    /// Reads what [`NodeIdentity::save`] wrote, and checks that it will serve now.
    ///
    /// # Errors
    /// [`IdentityError`]: a file missing or not understood, a key others can read, files that do not belong
    /// together, a certificate that is not valid today, one of an operator.
    pub fn load(data: &Path) -> Result<Self, IdentityError> {
        let (credentials, holder) = Credentials::load(data, credentials::NODE)?;
        match holder {
            Holder::Node(node) => Ok(Self { node, credentials }),
            Holder::Operator(_) => Err(other_kind(data, credentials::NODE, &holder)),
        }
    }
}

/// Proof that its holder may give orders to the nodes of a cluster, and what it takes to check these.
///
/// Made by [`ClusterCa::issue_operator`]. On disk, in a directory of the operator's:
///
/// ```text
/// DIR/tls/ca.pem          the CA's certificate
/// DIR/tls/operator.pem    the operator's certificate
/// DIR/tls/operator.key    their private key, mode 0600
/// ```
#[derive(Clone, Debug)]
pub struct OperatorIdentity {
    operator: OperatorName,
    credentials: Credentials,
}

impl OperatorIdentity {
    /// The operator's name, as the certificate has it.
    pub fn operator(&self) -> &OperatorName {
        &self.operator
    }

    /// What it shows to nodes.
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// Writes the files under `dir/tls`, as [`NodeIdentity::save`] those of a node.
    ///
    /// # Errors
    /// As there.
    pub fn save(&self, dir: &Path) -> Result<(), IdentityError> {
        self.credentials.save(dir, credentials::OPERATOR)
    }

    /// Reads what [`OperatorIdentity::save`] wrote, and checks that it will serve now.
    ///
    /// # Errors
    /// [`IdentityError`], as of [`NodeIdentity::load`]; [`IdentityError::NotAnOperator`] if only a node's keys are there.
    pub fn load(dir: &Path) -> Result<Self, IdentityError> {
        let of_node = credentials::path_of(dir, credentials::NODE);
        if !credentials::path_of(dir, credentials::OPERATOR).exists() && of_node.exists() {
            return Err(IdentityError::NotAnOperator { path: of_node });
        }
        let (credentials, holder) = Credentials::load(dir, credentials::OPERATOR)?;
        match holder {
            Holder::Operator(operator) => Ok(Self { operator, credentials }),
            Holder::Node(_) => Err(other_kind(dir, credentials::OPERATOR, &holder)),
        }
    }
}

fn other_kind(dir: &Path, kind: credentials::Kind, holder: &Holder) -> IdentityError {
    credentials::foreign(&credentials::path_of(dir, kind), kind, format!("it is that of {holder}"))
}

/// Keys or certificates could not be made, kept or read.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A file is not there.
    #[error("{path} is missing; make it with `{remedy}`")]
    Missing {
        /// Which file.
        path: PathBuf,
        /// The command that makes it.
        remedy: String,
    },
    /// Something is there already that must not be written over.
    #[error("{path} exists and is not written over: it may be in use; choose another directory, or move it away")]
    Exists {
        /// Which file.
        path: PathBuf,
    },
    /// A file or directory could not be used.
    #[error("cannot {attempt} {path}")]
    Io {
        /// What was tried.
        attempt: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Others than the owner may read or write a private key.
    #[error("{path} has mode {mode:04o}, so that others can use the key; run `chmod 600 {path}`", path = path.display())]
    OpenToOthers {
        /// Which file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A file holds something else.
    #[error("{path} holds no {expected} in PEM form: {found}")]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// What it should hold.
        expected: &'static str,
        /// What is wrong.
        found: String,
    },
    /// A file is whole but does not fit the others.
    #[error("{path} cannot be used here: {found}; make the files anew with `forebay cluster {command}`")]
    Foreign {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        found: String,
        /// The command that makes such files.
        command: &'static str,
    },
    /// A node's keys are where an operator's should be.
    #[error(
        "{path} is the certificate of a node, and nodes do not give orders; make an operator's keys with \
         `forebay cluster add-operator NAME --ca DIR --out DIR`", path = path.display()
    )]
    NotAnOperator {
        /// The node's certificate.
        path: PathBuf,
    },
    /// The certificate's time is over.
    #[error("{path} was valid until {not_after}, now it is {now}; make a new one with `forebay cluster {command}`",
        not_after = humantime::format_rfc3339_seconds(*not_after), now = humantime::format_rfc3339_seconds(*now))]
    Expired {
        /// Which file.
        path: PathBuf,
        /// When it ended.
        not_after: SystemTime,
        /// What this machine's clock says.
        now: SystemTime,
        /// The command that makes such files.
        command: &'static str,
    },
    /// The certificate's time has not come: one of two clocks is wrong.
    #[error("{path} is valid from {not_before}, now it is {now}; compare the clocks of this machine and the CA's",
        not_before = humantime::format_rfc3339_seconds(*not_before), now = humantime::format_rfc3339_seconds(*now))]
    NotYetValid {
        /// Which file.
        path: PathBuf,
        /// When it begins.
        not_before: SystemTime,
        /// What this machine's clock says.
        now: SystemTime,
    },
    /// A key or certificate could not be made or taken.
    #[error("cannot make or use a key or certificate")]
    Crypto(#[from] rcgen::Error),
}

/// What all our TLS uses: ring, and AES-128-GCM before the others, which costs least where AES is in hardware.
pub(super) fn crypto_provider() -> Arc<CryptoProvider> {
    use rustls::crypto::ring::{cipher_suite, default_provider};
    let cipher_suites = vec![
        cipher_suite::TLS13_AES_128_GCM_SHA256,
        cipher_suite::TLS13_AES_256_GCM_SHA384,
        cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
    ];
    Arc::new(CryptoProvider { cipher_suites, ..default_provider() })
}

#[cfg(test)]
mod tests;
