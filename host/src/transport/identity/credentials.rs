//! What nodes and operators have alike: a key, its certificate, and the CA's, in memory and in files.

use std::{
    fmt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use rustls::{
    pki_types::{CertificateDer, PrivateKeyDer, UnixTime},
    sign::CertifiedKey,
};

use super::{CA_PEM, ClusterId, Holder, IdentityError, crypto_provider, files, holder_named_by, names};

const TLS_DIR: &str = "tls";

/// Whose files: how they are called, and the command that makes them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kind {
    pub(super) pem: &'static str,
    pub(super) key: &'static str,
    pub(super) command: &'static str,
}

/// Of nodes.
pub(super) const NODE: Kind = Kind { pem: "node.pem", key: "node.key", command: "add-node" };

/// Of operators.
pub(super) const OPERATOR: Kind = Kind { pem: "operator.pem", key: "operator.key", command: "add-operator" };

/// A key and a certificate that the CA of a cluster signed directly, and what it takes to check those of others.
pub struct Credentials {
    pub(super) cluster: ClusterId,
    pub(super) ca: CertificateDer<'static>,
    pub(super) certificate: CertificateDer<'static>,
    pub(super) key: PrivateKeyDer<'static>,
}

impl Clone for Credentials {
    fn clone(&self) -> Self {
        let Self { cluster, ca, certificate, key } = self;
        Self { cluster: *cluster, ca: ca.clone(), certificate: certificate.clone(), key: key.clone_key() }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The secret is left out on purpose.
        f.debug_struct("Credentials").field("cluster", &self.cluster).finish_non_exhaustive()
    }
}

impl Credentials {
    /// The cluster they are of.
    pub fn cluster(&self) -> ClusterId {
        self.cluster
    }

    /// The CA's certificate: what it signed belongs to the cluster.
    pub fn ca(&self) -> &CertificateDer<'static> {
        &self.ca
    }

    /// The holder's certificate.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// The holder's private key.
    pub fn key(&self) -> &PrivateKeyDer<'static> {
        &self.key
    }

    /// Writes the files under `dir/tls`, making directories as needed. Written over: older ones of the same holder.
    pub(super) fn save(&self, dir: &Path, kind: Kind) -> Result<(), IdentityError> {
        let dir = dir.join(TLS_DIR);
        let (ca, path) = (dir.join(CA_PEM), dir.join(kind.pem));
        if path.exists() && holder_named_by(&files::read_certificate(&path, "")?) != holder_named_by(&self.certificate)
        {
            return Err(IdentityError::Exists { path });
        }
        // A node's files and an operator's may lie side by side, but not those of two clusters.
        if ca.exists() && names::cluster_named_by(&files::read_certificate(&ca, "")?) != Ok(self.cluster) {
            return Err(IdentityError::Exists { path: ca });
        }
        files::make_private_dir(&dir)?;
        files::write_key(&dir.join(kind.key), self.key.secret_der())?;
        files::write_certificate(&ca, &self.ca)?;
        files::write_certificate(&path, &self.certificate)
    }

    /// Reads what [`Credentials::save`] wrote, and checks that it will serve now.
    pub(super) fn load(dir: &Path, kind: Kind) -> Result<(Self, Holder), IdentityError> {
        let remedy = format!("forebay cluster {} NAME --ca DIR --out {}", kind.command, dir.display());
        let tls = dir.join(TLS_DIR);
        let path = tls.join(kind.pem);
        let ca = files::read_certificate(&tls.join(CA_PEM), &remedy)?;
        let certificate = files::read_certificate(&path, &remedy)?;
        let key = PrivateKeyDer::Pkcs8(files::read_key(&tls.join(kind.key), &remedy)?);
        let (cluster, holder) =
            holder_named_by(&certificate).map_err(|error| foreign(&path, kind, error.to_string()))?;
        let credentials = Self { cluster, ca, certificate, key };
        credentials.check(&path, kind, SystemTime::now())?;
        Ok((credentials, holder))
    }

    /// That the CA signed the certificate, of its own cluster; that it is valid at `now`; that the key is its key.
    pub(super) fn check(&self, path: &Path, kind: Kind, now: SystemTime) -> Result<(), IdentityError> {
        let foreign = |found| foreign(path, kind, found);
        let cluster = names::cluster_named_by(&self.ca).map_err(|error| foreign(format!("{CA_PEM}: {error}")))?;
        if cluster != self.cluster {
            return Err(foreign(format!("it is of cluster {}, {CA_PEM} of {cluster}", self.cluster)));
        }
        self.check_chain(now).map_err(|error| invalid(path, kind, &error))?;
        CertifiedKey::from_der(vec![self.certificate.clone()], self.key.clone_key(), &crypto_provider())
            .map_err(|error| foreign(format!("{} does not belong to it: {error}", kind.key)))?;
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

/// Where the certificate of such a holder lies.
pub(super) fn path_of(dir: &Path, kind: Kind) -> PathBuf {
    dir.join(TLS_DIR).join(kind.pem)
}

pub(super) fn foreign(path: &Path, kind: Kind, found: String) -> IdentityError {
    IdentityError::Foreign { path: path.to_owned(), found, command: kind.command }
}

fn invalid(path: &Path, kind: Kind, error: &webpki::Error) -> IdentityError {
    let (path, command) = (path.to_owned(), kind.command);
    let at = |time: &UnixTime| SystemTime::UNIX_EPOCH + Duration::from_secs(time.as_secs());
    match error {
        webpki::Error::CertExpired { time, not_after } => {
            IdentityError::Expired { path, not_after: at(not_after), now: at(time), command }
        }
        webpki::Error::CertNotValidYet { time, not_before } => {
            IdentityError::NotYetValid { path, not_before: at(not_before), now: at(time) }
        }
        other => IdentityError::Foreign { path, found: format!("{CA_PEM} did not sign it: {other}"), command },
    }
}
