//! Takes a plugin out of a registry, and believes nothing but digests.

use std::collections::BTreeMap;

use forebay_proto::blob::Digest;
use ureq::http::{Method, header};

use crate::{
    SIGNATURE_BYTES_MAX,
    error::{Error, Foreign},
    http::{Action, Options, Request, Session},
    manifest::{self, Layer, MANIFEST_BYTES_MAX, SIGNATURE_ANNOTATION},
    reference::Reference,
};

/// All kinds of manifests, so that a registry gives what it has and it can be named.
const ACCEPT: [&str; 4] = [manifest::MANIFEST, manifest::INDEX, manifest::DOCKER_MANIFEST, manifest::DOCKER_LIST];

/// A plugin from a registry. The digests are those of the bytes that came.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Pulled {
    /// The plugin. That it is a component is not looked at.
    pub bytes: Vec<u8>,
    /// Of the manifest.
    pub digest: Digest,
    /// Of the plugin's bytes.
    pub plugin: Digest,
    /// What the manifest says besides, without the signature.
    pub annotations: BTreeMap<String, String>,
    /// The text of its minisign signature, not checked.
    pub signature: Option<String>,
}

/// Pulls what `reference` names. Tells `came` how many bytes are there, and of how many.
///
/// Blocks: for as long as it takes, but no more than 30 s without a byte. Needs as much memory as the plugin has bytes.
///
/// # Errors
/// [`Error::Foreign`] for what is no plugin, [`Error::Altered`] for what is not what was named, [`Error::NotFound`];
/// else any [`Error`] but `Artefact`.
pub fn pull(options: &Options, reference: &Reference, came: &mut dyn FnMut(u64, u64)) -> Result<Pulled, Error> {
    let mut session = Session::new(options, reference, Action::Pull)?;
    let (digest, mut layer) = manifest(&mut session)?;
    let signature = layer.annotations.remove(SIGNATURE_ANNOTATION);
    if let Some(bytes) = signature.as_ref().map(String::len).filter(|&bytes| bytes > SIGNATURE_BYTES_MAX) {
        return Err(foreign(reference, Foreign::Signature { bytes, bytes_max: SIGNATURE_BYTES_MAX }));
    }
    let bytes = blob(&mut session, &layer, came)?;
    Ok(Pulled { bytes, digest, plugin: layer.digest, annotations: layer.annotations, signature })
}

fn manifest(session: &mut Session<'_>) -> Result<(Digest, Layer), Error> {
    let (registry, reference) = (session.registry().to_owned(), session.reference);
    let request = Request::new(Method::GET, session.url(&format!("manifests/{}", reference.manifest_name()))?);
    let request = request.header(header::ACCEPT, ACCEPT.join(", "));
    let answer = found(session, &request)?;
    let text = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let declared = text("content-type").map(|kind| kind.split(';').next().unwrap_or_default().trim().to_owned());
    let named: Option<Digest> = text("docker-content-digest").and_then(|digest| digest.parse().ok());
    let bytes = session.read(answer, MANIFEST_BYTES_MAX, &mut |_| {})?;
    if bytes.len() as u64 > MANIFEST_BYTES_MAX {
        return Err(session.protocol(format!("its manifest is longer than {MANIFEST_BYTES_MAX} bytes")));
    }
    let digest = sha256(&bytes);
    for expected in [reference.digest(), named].into_iter().flatten() {
        if digest != expected {
            return Err(Error::altered("the manifest", &registry, digest, expected));
        }
    }
    let layer = manifest::read(&bytes, declared.as_deref()).map_err(|found| foreign(reference, found))?;
    Ok((digest, layer))
}

fn foreign(reference: &Reference, found: Foreign) -> Error {
    Error::Foreign { reference: reference.to_string(), found }
}

fn found(session: &mut Session<'_>, request: &Request<'_>) -> Result<ureq::http::Response<ureq::Body>, Error> {
    let answer = session.send(request, &mut |_| {})?;
    match answer.status().as_u16() {
        200 => Ok(answer),
        404 => match session.refused(request, answer) {
            Error::Refused { said, .. } => Err(Error::NotFound { reference: session.reference.to_string(), said }),
            other => Err(other),
        },
        _ => Err(session.refused(request, answer)),
    }
}

fn blob(session: &mut Session<'_>, layer: &Layer, came: &mut dyn FnMut(u64, u64)) -> Result<Vec<u8>, Error> {
    let request = Request::new(Method::GET, session.url(&format!("blobs/{}", layer.digest))?);
    let answer = found(session, &request)?;
    // `layer.bytes` has its bound; one byte more than that is read at most.
    let bytes = session.read(answer, layer.bytes, &mut |bytes| came(bytes, layer.bytes))?;
    let registry = session.registry();
    if bytes.len() as u64 != layer.bytes {
        let more = if bytes.len() as u64 > layer.bytes { " or more" } else { "" };
        let (got, expected) = (format!("{}{more} bytes", bytes.len()), format!("{} bytes", layer.bytes));
        return Err(Error::Altered { what: "the plugin", registry: registry.to_owned(), got, expected });
    }
    match sha256(&bytes) {
        digest if digest == layer.digest => Ok(bytes),
        digest => Err(Error::altered("the plugin", registry, digest, layer.digest)),
    }
}

pub(crate) fn sha256(bytes: &[u8]) -> Digest {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    Digest(digest.as_ref().try_into().expect("SHA-256 has 32 bytes"))
}
