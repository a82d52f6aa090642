//! Why a plugin was not pushed or pulled, for the person who asked for it.

use std::{io, path::PathBuf, time::Duration};

use forebay_proto::blob::Digest;

/// A push or a pull failed. Nothing of a registry's is in a text unescaped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What is to be pushed cannot be.
    #[error("cannot push this: {0}")]
    Artefact(String),
    /// The registry's name under this reference is something else than a plugin.
    #[error("{reference} is no plugin")]
    Foreign {
        /// What was asked for.
        reference: String,
        /// What is there.
        #[source]
        found: Foreign,
    },
    /// Bytes that came are not those that were named.
    #[error(
        "{what} came altered from {registry}: {got}, expected {expected}; nothing of it is kept; push it once more if it \
         stays so"
    )]
    Altered {
        /// Which part.
        what: &'static str,
        /// The registry.
        registry: String,
        /// Length or digest of what came.
        got: String,
        /// Length or digest of what was named.
        expected: String,
    },
    /// The registry says that it is not there.
    #[error(
        "{reference} is not in the registry{said}; look at the name and the tag (private ones may be hidden: see `docker login`)"
    )]
    NotFound {
        /// What was asked for.
        reference: String,
        /// What the registry said, if anything.
        said: String,
    },
    /// The registry wants other credentials.
    #[error(
        "{registry} does not permit to {action} {repository}: {looked}{said}; log in with `docker login {registry}`"
    )]
    Unauthorised {
        /// The registry.
        registry: String,
        /// `push` or `pull`.
        action: &'static str,
        /// The name in the registry.
        repository: String,
        /// Which credentials were used, and from where.
        looked: String,
        /// What the registry said, if anything.
        said: String,
    },
    /// The configuration of docker's credentials cannot be used.
    #[error("cannot use the credentials in {path}: {why}")]
    Credentials {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The registry did not do what it was asked to.
    #[error("{registry} answered {status} to `{request}`{said}")]
    Refused {
        /// The registry.
        registry: String,
        /// Method and path.
        request: String,
        /// HTTP status.
        status: u16,
        /// What the registry said, if anything.
        said: String,
    },
    /// The registry's answer makes no sense.
    #[error("{registry} is no usable registry: {why}")]
    Protocol {
        /// The registry.
        registry: String,
        /// Why.
        why: String,
    },
    /// The connection could not be secured.
    #[error("cannot trust {host}: {why}")]
    Tls {
        /// The host.
        host: String,
        /// Why, and what to do.
        why: String,
    },
    /// The registry cannot be reached, or stopped to answer.
    #[error("cannot reach {host}: {why}")]
    Unreachable {
        /// The host.
        host: String,
        /// Why.
        why: String,
    },
}

/// What was found instead of a plugin.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Foreign {
    /// Not JSON, or not of a manifest's shape.
    #[error("its manifest cannot be read: {0}")]
    Unreadable(String),
    /// A field is missing.
    #[error("its manifest has no `{0}`")]
    Lacks(&'static str),
    /// An image index.
    #[error("it is an image index of {0} manifests; name one of them by its digest")]
    Index(usize),
    /// Another kind of artefact.
    #[error("it is `{found}`{hint}; expected `application/vnd.wasm.config.v0+json`")]
    Kind {
        /// Its media type.
        found: String,
        /// What that is, in brackets, or nothing.
        hint: &'static str,
    },
    /// Another number of layers than one.
    #[error("it has {0} layers; a plugin has one")]
    Layers(usize),
    /// A layer that is not WebAssembly.
    #[error("its layer is `{0}`; expected `application/wasm`")]
    Layer(String),
    /// A digest of another kind than SHA-256.
    #[error("its layer's digest is `{0}`; expected `sha256:` and 64 hexadecimal digits")]
    Digest(String),
    /// Too long.
    #[error("it has {bytes} bytes; a plugin has at most {bytes_max}")]
    TooLong {
        /// Declared.
        bytes: u64,
        /// The longest plugin.
        bytes_max: u64,
    },
    /// Too long a signature.
    #[error("its signature has {bytes} bytes; one has at most {bytes_max}")]
    Signature {
        /// Found.
        bytes: usize,
        /// The longest signature.
        bytes_max: usize,
    },
}

impl Error {
    pub(crate) fn altered(what: &'static str, registry: &str, got: Digest, expected: Digest) -> Self {
        let (got, expected) = (got.to_string(), expected.to_string());
        Self::Altered { what, registry: registry.to_owned(), got, expected }
    }

    /// An error on the way to `host` or back.
    pub(crate) fn on_the_way(host: &str, error: &ureq::Error, silence: Duration) -> Self {
        let host = host.to_owned();
        if let Some(error) = tls_of(error) {
            return Self::Tls { host, why: tls_words(error) };
        }
        let why = match error {
            ureq::Error::Timeout(_) => {
                format!(
                    "no answer, or a silence of {} s; is it up, is a proxy needed (HTTPS_PROXY)?",
                    silence.as_secs()
                )
            }
            ureq::Error::HostNotFound => "no such host".to_owned(),
            ureq::Error::Io(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                "connection refused; is the registry running, is the port right?".to_owned()
            }
            ureq::Error::Io(error) => error.to_string(),
            error => error.to_string(),
        };
        Self::Unreachable { host, why }
    }

    /// An error while a body was read.
    pub(crate) fn while_reading(host: &str, error: io::Error, silence: Duration) -> Self {
        Self::on_the_way(host, &ureq::Error::from(error), silence)
    }
}

/// The error of TLS, which may lie in one of the system's.
fn tls_of(error: &ureq::Error) -> Option<&rustls::Error> {
    match error {
        ureq::Error::Rustls(error) => Some(error),
        ureq::Error::Io(error) => error.get_ref()?.downcast_ref(),
        _ => None,
    }
}

fn tls_words(error: &rustls::Error) -> String {
    use rustls::CertificateError::{NotValidForName, NotValidForNameContext, UnknownIssuer};
    let hint = match error {
        rustls::Error::InvalidCertificate(UnknownIssuer) => {
            "; add its authority to the system's certificates, or name a file with it in SSL_CERT_FILE"
        }
        rustls::Error::InvalidCertificate(NotValidForName | NotValidForNameContext { .. }) => {
            "; name the host as its certificate does"
        }
        rustls::Error::InvalidMessage(_) => "; does it speak TLS at all? If not: --insecure-http",
        _ => "",
    };
    format!("{error}{hint}")
}
