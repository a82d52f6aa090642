//! Puts a plugin into a registry: its bytes, a config, and a manifest that names both.

use std::{collections::BTreeMap, time::SystemTime};

use forebay_proto::blob::{BLOB_BYTES_MAX, Digest};
use ureq::http::{Method, Uri, header};

use crate::{
    SIGNATURE_BYTES_MAX, component,
    error::Error,
    http::{Action, Options, Request, Session},
    manifest::{self, SIGNATURE_ANNOTATION},
    pull::sha256,
    reference::Reference,
};

/// A plugin that is to be pushed.
#[derive(Clone, Debug)]
pub struct Artefact<'a> {
    /// The component.
    pub bytes: &'a [u8],
    /// What the manifest says besides; keys are usually of a domain, as `org.opencontainers.image.source`.
    pub annotations: BTreeMap<String, String>,
    /// The text of its minisign signature, at most [`SIGNATURE_BYTES_MAX`].
    pub signature: Option<&'a str>,
    /// When it was made. The same file with the same time always has the same manifest digest.
    pub created: SystemTime,
    /// Who made it.
    pub author: Option<&'a str>,
    /// What its file is called where it is pulled by `oras`.
    pub title: Option<&'a str>,
}

/// What is in the registry now.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Pushed {
    /// The manifest's digest: names this very push for ever.
    pub digest: Digest,
    /// Of the plugin's bytes.
    pub plugin: Digest,
    /// The registry had these bytes before.
    pub known: bool,
}

/// Pushes `artefact` under the tag of `reference`. Tells `sent` how many of its bytes have gone out.
///
/// Blocks: for as long as it takes, but no more than 30 s without a byte, and 2 minutes for an answer. If it fails, the tag is
/// what it was.
///
/// # Errors
/// [`Error::Artefact`] for what is no component or has no tag to go under; else any [`Error`] but `Foreign` and `NotFound`.
pub fn push(
    options: &Options,
    reference: &Reference,
    artefact: &Artefact<'_>,
    sent: &mut dyn FnMut(u64),
) -> Result<Pushed, Error> {
    let Some(tag) = reference.tag().filter(|_| reference.digest().is_none()) else {
        return Err(Error::Artefact(format!("{reference} has to name a tag and no digest")));
    };
    let annotations = annotations(artefact)?;
    if artefact.bytes.len() as u64 > BLOB_BYTES_MAX {
        let bytes = artefact.bytes.len();
        return Err(Error::Artefact(format!("it has {bytes} bytes; a plugin has at most {BLOB_BYTES_MAX}")));
    }
    let interfaces = component::interfaces(artefact.bytes).map_err(Error::Artefact)?;
    let plugin = sha256(artefact.bytes);
    let config = manifest::write_config(artefact.created, artefact.author, plugin, &interfaces);
    let descriptor = |bytes: &[u8]| (sha256(bytes), bytes.len() as u64);
    let manifest = manifest::write(descriptor(&config), descriptor(artefact.bytes), artefact.title, &annotations);

    let mut session = Session::new(options, reference, Action::Push)?;
    let known = blob(&mut session, artefact.bytes, sent)?;
    blob(&mut session, &config, &mut |_| {})?;
    let digest = put_manifest(&mut session, tag, &manifest)?;
    Ok(Pushed { digest, plugin, known })
}

fn annotations(artefact: &Artefact<'_>) -> Result<BTreeMap<String, String>, Error> {
    let mut annotations = artefact.annotations.clone();
    if annotations.contains_key("") || annotations.contains_key(SIGNATURE_ANNOTATION) {
        return Err(Error::Artefact(format!("an annotation can be called neither `` nor `{SIGNATURE_ANNOTATION}`")));
    }
    if let Some(signature) = artefact.signature {
        let bytes = signature.len();
        if bytes > SIGNATURE_BYTES_MAX {
            return Err(Error::Artefact(format!(
                "its signature has {bytes} bytes, at most {SIGNATURE_BYTES_MAX} are taken"
            )));
        }
        annotations.insert(SIGNATURE_ANNOTATION.to_owned(), signature.to_owned());
    }
    Ok(annotations)
}

/// Uploads bytes that the registry does not have. True if it had them.
fn blob(session: &mut Session<'_>, bytes: &[u8], sent: &mut dyn FnMut(u64)) -> Result<bool, Error> {
    let digest = sha256(bytes);
    let look = Request::new(Method::HEAD, session.url(&format!("blobs/{digest}"))?);
    if session.send(&look, &mut |_| {})?.status() == 200 {
        sent(bytes.len() as u64);
        return Ok(true);
    }
    let begin = Request::new(Method::POST, session.url("blobs/uploads/")?).body(b"");
    let answer = session.send(&begin, &mut |_| {})?;
    if answer.status() != 202 {
        return Err(session.refused(&begin, answer));
    }
    let to = session.location(&begin.url, &answer)?;
    drop(answer);
    let joint = if to.query().is_some() { '&' } else { '?' };
    let to: Uri = format!("{to}{joint}digest={digest}")
        .parse()
        .map_err(|_| session.protocol("its address for uploads cannot be used".to_owned()))?;
    let upload = Request::new(Method::PUT, to).header(header::CONTENT_TYPE, "application/octet-stream").body(bytes);
    let answer = session.send(&upload, sent)?;
    if answer.status() != 201 {
        return Err(session.refused(&upload, answer));
    }
    Ok(false)
}

fn put_manifest(session: &mut Session<'_>, tag: &str, manifest: &[u8]) -> Result<Digest, Error> {
    let digest = sha256(manifest);
    let request = Request::new(Method::PUT, session.url(&format!("manifests/{tag}"))?);
    let request = request.header(header::CONTENT_TYPE, manifest::MANIFEST).body(manifest);
    let answer = session.send(&request, &mut |_| {})?;
    if answer.status() != 201 {
        return Err(session.refused(&request, answer));
    }
    let has = answer.headers().get("docker-content-digest").and_then(|value| value.to_str().ok()?.parse().ok());
    match has {
        Some(has) if has != digest => Err(Error::altered("the manifest", session.registry(), has, digest)),
        _ => Ok(digest),
    }
}
