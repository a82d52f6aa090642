//! The cluster's certificate authority: makes the keys by which nodes know each other, and operators.

use std::{
    fmt,
    path::Path,
    time::{Duration, SystemTime},
};

use forebay_proto::ids::{NodeName, OperatorName};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use super::{CA_PEM, ClusterId, Credentials, IdentityError, NodeIdentity, OperatorIdentity, credentials, files, names};

const CA_KEY: &str = "ca.key";

/// How long a new cluster's CA is valid: 20 years. There is no renewal yet, and TLS does not check it.
const CA_VALIDITY: Duration = Duration::from_secs(20 * 365 * 24 * 3600);

/// Certificates begin this long before now, so that a node whose clock is behind takes them.
const CLOCK_SKEW_MAX: Duration = Duration::from_secs(3600);

/// How long a node's key is valid if nobody says otherwise: a year.
pub const NODE_VALIDITY: Duration = Duration::from_secs(365 * 24 * 3600);

/// The authority of one cluster, with its private key: whoever holds it can make members.
///
/// In a directory: `ca.pem`, and `ca.key` for the owner's eyes only. Nodes need `ca.pem` alone.
pub struct ClusterCa {
    cluster: ClusterId,
    certificate: CertificateDer<'static>,
    key: KeyPair,
}

impl fmt::Debug for ClusterCa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClusterCa").field("cluster", &self.cluster).finish_non_exhaustive()
    }
}

impl ClusterCa {
    /// Founds a cluster: a fresh id and an ECDSA P-256 key, in memory alone.
    ///
    /// # Errors
    /// [`IdentityError::Crypto`] if the system gives no randomness.
    pub fn generate() -> Result<Self, IdentityError> {
        let cluster = ClusterId::random().map_err(|_| rcgen::Error::RingUnspecified)?;
        let key = KeyPair::generate()?;
        let certificate = ca_params(cluster)?.self_signed(&key)?.der().clone();
        Ok(Self { cluster, certificate, key })
    }

    /// Founds a cluster and keeps its CA in `dir`, which is made if needed with mode 0700.
    ///
    /// # Errors
    /// [`IdentityError::Exists`] if `dir` holds a CA: overwriting it would cut off every node.
    /// [`IdentityError::Io`] and [`IdentityError::Crypto`].
    pub fn create(dir: &Path) -> Result<Self, IdentityError> {
        for path in [dir.join(CA_PEM), dir.join(CA_KEY)] {
            if path.exists() {
                return Err(IdentityError::Exists { path });
            }
        }
        let ca = Self::generate()?;
        files::make_private_dir(dir)?;
        // The key first: a certificate without a key would look like a CA and be none.
        files::write_key(&dir.join(CA_KEY), ca.key.serialized_der())?;
        files::write_certificate(&dir.join(CA_PEM), &ca.certificate)?;
        Ok(ca)
    }

    /// Opens what [`ClusterCa::create`] made.
    ///
    /// # Errors
    /// [`IdentityError`], naming the file.
    pub fn open(dir: &Path) -> Result<Self, IdentityError> {
        let remedy = format!("forebay cluster init {}", dir.display());
        let (pem, key_path) = (dir.join(CA_PEM), dir.join(CA_KEY));
        let certificate = files::read_certificate(&pem, &remedy)?;
        let key_der = files::read_key(&key_path, &remedy)?;
        let cluster = names::cluster_named_by(&certificate).map_err(|error| foreign(&pem, error.to_string()))?;
        let key = KeyPair::from_pkcs8_der_and_sign_algo(&key_der, &rcgen::PKCS_ECDSA_P256_SHA256)?;
        let ca = Self { cluster, certificate, key };
        ca.check_key(&key_path)?;
        Ok(ca)
    }

    /// Which cluster.
    pub fn cluster(&self) -> ClusterId {
        self.cluster
    }

    /// Makes a fresh key and certificate for the node `node`, valid from an hour ago until `validity` from now.
    ///
    /// # Errors
    /// [`IdentityError::Crypto`].
    pub fn issue(&self, node: &NodeName, validity: Duration) -> Result<NodeIdentity, IdentityError> {
        let credentials = self.sign(node_params(self.cluster, node, validity)?)?;
        Ok(NodeIdentity { node: node.clone(), credentials })
    }

    /// Makes a fresh key and certificate for an operator, valid as [`ClusterCa::issue`] says.
    ///
    /// # Errors
    /// [`IdentityError::Crypto`].
    pub fn issue_operator(
        &self,
        operator: &OperatorName,
        validity: Duration,
    ) -> Result<OperatorIdentity, IdentityError> {
        let credentials = self.sign(operator_params(self.cluster, operator, validity)?)?;
        Ok(OperatorIdentity { operator: operator.clone(), credentials })
    }

    fn sign(&self, params: CertificateParams) -> Result<Credentials, IdentityError> {
        let key = KeyPair::generate()?;
        let issuer = Issuer::new(ca_params(self.cluster)?, &self.key);
        let certificate = params.signed_by(&key, &issuer)?.der().clone();
        let (cluster, ca) = (self.cluster, self.certificate.clone());
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        Ok(Credentials { cluster, ca, certificate, key })
    }

    /// The key must be the certificate's, or every certificate made with it would be refused later.
    fn check_key(&self, key_path: &Path) -> Result<(), IdentityError> {
        use rcgen::PublicKeyData as _;
        let parsed =
            webpki::EndEntityCert::try_from(&self.certificate).map_err(|error| foreign(key_path, error.to_string()))?;
        if parsed.subject_public_key_info().as_ref() == self.key.subject_public_key_info() {
            return Ok(());
        }
        Err(foreign(key_path, format!("not the key of {CA_PEM} beside it")))
    }
}

fn ca_params(cluster: ClusterId) -> Result<CertificateParams, IdentityError> {
    let mut params = common_params("Forebay cluster", CA_VALIDITY);
    params.distinguished_name.push(DnType::OrganizationName, cluster.to_string());
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.subject_alt_names = vec![SanType::URI(cluster.uri().try_into()?)];
    Ok(params)
}

fn node_params(cluster: ClusterId, node: &NodeName, validity: Duration) -> Result<CertificateParams, IdentityError> {
    let mut params = common_params(node.as_str(), validity);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    params.subject_alt_names =
        vec![SanType::URI(cluster.node_uri(node).try_into()?), SanType::DnsName(cluster.server_name().try_into()?)];
    Ok(params)
}

/// For a TLS client alone, and without the name of a server: whatever answers with it is refused by every node.
fn operator_params(
    cluster: ClusterId,
    operator: &OperatorName,
    validity: Duration,
) -> Result<CertificateParams, IdentityError> {
    let mut params = common_params(operator.as_str(), validity);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    params.subject_alt_names = vec![SanType::URI(cluster.operator_uri(operator).try_into()?)];
    Ok(params)
}

fn common_params(name: &str, validity: Duration) -> CertificateParams {
    let now = SystemTime::now();
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = (now - CLOCK_SKEW_MAX).into();
    params.not_after = (now + validity).into();
    params
}

/// For the authority's own files, which another command makes.
fn foreign(path: &Path, found: String) -> IdentityError {
    credentials::foreign(path, credentials::Kind { command: "init", ..credentials::NODE }, found)
}
