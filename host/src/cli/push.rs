//! `forebay push`: a plugin into a registry.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
    time::SystemTime,
};

use forebay_oci::{Artefact, Pushed, SIGNATURE_BYTES_MAX};
use serde_json::json;

use super::{
    Exit, Failure, OutputArgs, OutputChoice,
    output::print_line,
    registry::{Progress, RegistryArgs, signature_path, size},
};
use crate::runtime::wasm;

/// Push a plugin into an OCI registry
///
/// Laid out as the CNCF says for WebAssembly, so that `wkg oci pull` takes it too. A signature that stands
/// beside it, PLUGIN.minisig, goes along as an annotation. Who we are is what `docker login` has left in ~/.docker/config.json
/// (or in $DOCKER_CONFIG), helpers included. The manifest's time is the file's, so that the same file pushed again is the same.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The component, a `.wasm` file
    #[arg(value_name = "PLUGIN")]
    plugin: PathBuf,
    #[command(flatten)]
    registry: RegistryArgs,
    /// Something to say about it, as org.opencontainers.image.vendor=Example; can be repeated
    #[arg(long = "annotation", value_name = "KEY=VALUE", value_parser = key_value)]
    annotations: Vec<(String, String)>,
    /// Who made it
    #[arg(long, value_name = "NAME")]
    author: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
}

fn key_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').filter(|(key, _)| !key.is_empty()).ok_or("expected KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

pub(super) fn push(args: &Args) -> Result<Exit, Failure> {
    let reference = &args.registry.reference;
    if reference.digest().is_some() || reference.tag().is_none() {
        return Err(Failure::new(Exit::Usage, format!("cannot push to {reference}: name a tag, and no digest")));
    }
    let bytes = wasm::read_component(&args.plugin)?;
    let signature = signature(&args.plugin)?;
    let artefact = Artefact {
        bytes: &bytes,
        annotations: args.annotations.iter().cloned().collect::<BTreeMap<_, _>>(),
        signature: signature.as_deref(),
        // Some file systems know no times.
        created: fs::metadata(&args.plugin).and_then(|file| file.modified()).unwrap_or(SystemTime::UNIX_EPOCH),
        author: args.author.as_deref(),
        title: args.plugin.file_name().and_then(|name| name.to_str()),
    };
    let mut progress = Progress::new("pushed");
    let length = bytes.len() as u64;
    let pushed =
        forebay_oci::push(&args.registry.options(), reference, &artefact, &mut |sent| progress.tell(sent, length));
    progress.end();
    tell(args, &pushed?, length, signature.is_some());
    Ok(Exit::Done)
}

/// The text of the signature beside a plugin, if there is one.
fn signature(plugin: &Path) -> Result<Option<String>, Failure> {
    let path = signature_path(plugin);
    let mut bytes = Vec::new();
    match fs::File::open(&path).and_then(|file| file.take(SIGNATURE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Failure::reading(&path, error)),
        Ok(_) => {}
    }
    let text = String::from_utf8(bytes).ok().filter(|text| text.len() <= SIGNATURE_BYTES_MAX);
    let refused = || {
        let expected = format!("expected at most {SIGNATURE_BYTES_MAX} bytes of text");
        Failure::new(Exit::Data, format!("{} is no signature of minisign: {expected}", path.display()))
    };
    text.ok_or_else(refused).map(Some)
}

fn tell(args: &Args, pushed: &Pushed, bytes: u64, signed: bool) {
    let reference = &args.registry.reference;
    let by_digest = reference.at(pushed.digest);
    match args.output.output {
        OutputChoice::Text => {
            let known = if pushed.known { ", which the registry had" } else { "" };
            let signed = if signed { ", signed" } else { "" };
            print_line(&format!(
                "pushed {reference}\n  plugin   {} ({}{known}{signed})\n  digest   {by_digest}",
                pushed.plugin,
                size(bytes)
            ));
        }
        OutputChoice::Json => print_line(
            &json!({
                "reference": reference.to_string(),
                "digest": pushed.digest.to_string(),
                "plugin": pushed.plugin.to_string(),
                "bytes": bytes,
                "known": pushed.known,
                "signed": signed,
            })
            .to_string(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_annotation_has_a_key() {
        assert_eq!(key_value("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert!(key_value("=b").is_err() && key_value("a").is_err());
    }

    #[test]
    fn what_stands_beside_a_plugin_is_its_signature_if_it_is_short_text() {
        let folder = tempfile::tempdir().unwrap();
        let plugin = folder.path().join("a.wasm");
        assert!(matches!(signature(&plugin), Ok(None)));
        let write = |bytes: &[u8]| fs::write(signature_path(&plugin), bytes).unwrap();
        write(b"untrusted comment: x\n");
        assert_eq!(signature(&plugin).unwrap().as_deref(), Some("untrusted comment: x\n"));
        for wrong in [&b"\xff"[..], &[b'a'; SIGNATURE_BYTES_MAX + 1]] {
            write(wrong);
            assert_eq!(signature(&plugin).unwrap_err().exit, Exit::Data);
        }
    }
}
