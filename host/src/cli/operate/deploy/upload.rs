//! Gives a node the blobs that it does not have, and goes on where a former upload was broken off.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use bytes::Bytes;
use forebay_proto::blob::Digest;

use super::{Client, ask, read::Meant, something_else};
use crate::{
    cli::{Exit, Failure, registry::Progress},
    node::admin::{
        PART_BYTES_MAX,
        wire::{AboutDeploy, DeployAsked},
    },
};

pub(super) fn upload(client: &Client, meant: &Meant) -> Result<(), Failure> {
    let digests = meant.blobs.keys().map(ToString::to_string).collect();
    let AboutDeploy::Missing(missing) = ask(client, DeployAsked::Missing { digests })? else {
        return Err(something_else());
    };
    let blobs: Vec<_> = meant.blobs.iter().filter(|(digest, _)| missing.contains(&digest.to_string())).collect();
    let all: u64 = blobs.iter().map(|(_, (_, bytes))| bytes.len() as u64).sum();
    let (mut progress, mut done) = (Progress::new("uploaded"), 0);
    for (digest, (name, bytes)) in blobs {
        upload_one(client, digest, name, bytes, |held| progress.tell(done + held, all))?;
        done += bytes.len() as u64;
    }
    progress.end();
    Ok(())
}

fn upload_one(
    client: &Client,
    digest: &Digest,
    name: &str,
    bytes: &Bytes,
    mut tell: impl FnMut(u64),
) -> Result<(), Failure> {
    let length = bytes.len() as u64;
    let part = |at: u64, base64: String| DeployAsked::Upload { digest: digest.to_string(), bytes: length, at, base64 };
    let held = |answer| match answer {
        AboutDeploy::Uploaded { held } => Ok(held),
        _ => Err(something_else()),
    };
    // An empty part asks where to go on.
    let mut at = held(ask(client, part(0, String::new()))?)?;
    while at < length {
        let begin = usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
        let end = bytes.len().min(begin + PART_BYTES_MAX);
        let next = held(ask(client, part(at, BASE64.encode(&bytes[begin..end])))?)?;
        if next <= at {
            let text = format!("the node does not take {name}: it has {next} of {length} bytes and takes no more");
            return Err(Failure::new(Exit::Unavailable, text));
        }
        at = next;
        tell(at.min(length));
    }
    Ok(())
}
