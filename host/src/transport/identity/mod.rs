//! A node's identity: its key, its certificate, and the CA of its cluster, in memory and in files.

mod ca;
mod files;
mod names;

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use forebay_proto::ids::NodeName;
use rustls::{
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, UnixTime},
    sign::CertifiedKey,
};

pub use self::{
    ca::{ClusterCa, NODE_VALIDITY},
    names::{ClusterId, NotAMember, member_named_by},
};

const TLS_DIR: &str = "tls";
const CA_PEM: &str = "ca.pem";
const NODE_PEM: &str = "node.pem";
const NODE_KEY: &str = "node.key";

/// Proof that its holder is a node of a cluster, and what it takes to check the others.
///
/// Made by [`ClusterCa::issue`]. On disk, under the node's data directory:
///
/// ```text
/// DATA/tls/ca.pem      the CA's certificate
/// DATA/tls/node.pem    the node's certificate
/// DATA/tls/node.key    its private key, mode 0600
/// ```
pub struct NodeIdentity {
    node: NodeName,
    cluster: ClusterId,
    ca: CertificateDer<'static>,
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

impl Clone for NodeIdentity {
    fn clone(&self) -> Self {
        let Self { node, cluster, ca, certificate, key } = self;
        let (ca, certificate) = (ca.clone(), certificate.clone());
        Self { node: node.clone(), cluster: *cluster, ca, certificate, key: key.clone_key() }
    }
}

impl fmt::Debug for NodeIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The key is left out on purpose.
        f.debug_struct("NodeIdentity").field("node", &self.node).field("cluster", &self.cluster).finish_non_exhaustive()
    }
}

impl NodeIdentity {
    /// The node's name, as its certificate has it.
    pub fn node(&self) -> &NodeName {
        &self.node
    }

    /// The cluster it belongs to.
    pub fn cluster(&self) -> ClusterId {
        self.cluster
    }

    /// The CA's certificate: what it signed is a member.
    pub fn ca(&self) -> &CertificateDer<'static> {
        &self.ca
    }

    /// The node's certificate; the CA signed it directly.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// The node's private key.
    pub fn key(&self) -> &PrivateKeyDer<'static> {
        &self.key
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
        let dir = data.join(TLS_DIR);
        let path = dir.join(NODE_PEM);
        if path.exists()
            && member_named_by(&files::read_certificate(&path, "")?) != Ok((self.cluster, self.node.clone()))
        {
            return Err(IdentityError::Exists { path });
        }
        files::make_private_dir(&dir)?;
        files::write_key(&dir.join(NODE_KEY), self.key.secret_der())?;
        files::write_certificate(&dir.join(CA_PEM), &self.ca)?;
        files::write_certificate(&path, &self.certificate)
    }

    /// Reads what [`NodeIdentity::save`] wrote, and checks that it will serve now.
    ///
    /// # Errors
    /// [`IdentityError`]: a file missing or not understood, a key others can read, files that do not belong
    /// together, a certificate that is not valid today.
    pub fn load(data: &Path) -> Result<Self, IdentityError> {
        let remedy = format!("forebay cluster add-node NAME --ca DIR --out {}", data.display());
        let dir = data.join(TLS_DIR);
        let path = dir.join(NODE_PEM);
        let ca = files::read_certificate(&dir.join(CA_PEM), &remedy)?;
        let certificate = files::read_certificate(&path, &remedy)?;
        let key = PrivateKeyDer::Pkcs8(files::read_key(&dir.join(NODE_KEY), &remedy)?);
        let (cluster, node) = member_named_by(&certificate)
            .map_err(|error| IdentityError::Foreign { path: path.clone(), found: error.to_string() })?;
        let identity = Self { node, cluster, ca, certificate, key };
        identity.check(&path, SystemTime::now())?;
        Ok(identity)
    }

    /// That the CA signed the certificate, of its own cluster; that it is valid at `now`; that the key is its key.
    fn check(&self, path: &Path, now: SystemTime) -> Result<(), IdentityError> {
        let foreign = |found: String| IdentityError::Foreign { path: path.to_owned(), found };
        let cluster = names::cluster_named_by(&self.ca).map_err(|error| foreign(format!("{CA_PEM}: {error}")))?;
        if cluster != self.cluster {
            return Err(foreign(format!("it is of cluster {}, {CA_PEM} of {cluster}", self.cluster)));
        }
        self.check_chain(now).map_err(|error| invalid(path, &error))?;
        CertifiedKey::from_der(vec![self.certificate.clone()], self.key.clone_key(), &crypto_provider())
            .map_err(|error| foreign(format!("{NODE_KEY} does not belong to it: {error}")))?;
        Ok(())
    }

    fn check_chain(&self, now: SystemTime) -> Result<(), webpki::Error> {
        let anchor = webpki::anchor_from_trusted_cert(&self.ca)?;
        let now = UnixTime::since_unix_epoch(now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default());
        let usage = webpki::KeyUsage::client_auth();
        let algorithms = &[webpki::ring::ECDSA_P256_SHA256];
        webpki::EndEntityCert::try_from(&self.certificate)?
            .verify_for_usage(algorithms, &[anchor], &[], now, usage, None, None)
            .map(drop)
    }
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
    #[error("{path} exists and is not written over: nodes depend on it; choose another directory, or move it away")]
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
    #[error("{path} cannot be used here: {found}; make the files anew with `forebay cluster add-node`")]
    Foreign {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        found: String,
    },
    /// The certificate's time is over.
    #[error("{path} was valid until {not_after}, now it is {now}; make a new one with `forebay cluster add-node`",
        not_after = humantime::format_rfc3339_seconds(*not_after), now = humantime::format_rfc3339_seconds(*now))]
    Expired {
        /// Which file.
        path: PathBuf,
        /// When it ended.
        not_after: SystemTime,
        /// What this machine's clock says.
        now: SystemTime,
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

fn invalid(path: &Path, error: &webpki::Error) -> IdentityError {
    let path = path.to_owned();
    let at = |time: &UnixTime| SystemTime::UNIX_EPOCH + Duration::from_secs(time.as_secs());
    match error {
        webpki::Error::CertExpired { time, not_after } => {
            IdentityError::Expired { path, not_after: at(not_after), now: at(time) }
        }
        webpki::Error::CertNotValidYet { time, not_before } => {
            IdentityError::NotYetValid { path, not_before: at(not_before), now: at(time) }
        }
        other => IdentityError::Foreign { path, found: format!("{CA_PEM} did not sign it: {other}") },
    }
}

#[cfg(test)]
mod tests;
