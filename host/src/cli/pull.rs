//! `forebay pull`: a plugin out of a registry, into a file that is whole or not there.

use std::{
    fs, io,
    io::Write,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use forebay_oci::Pulled;
use serde_json::json;

use super::{
    Exit, Failure, OutputArgs, OutputChoice,
    output::print_line,
    registry::{Progress, RegistryArgs, signature_path, size},
};
use crate::runtime::wasm::not_a_component;

/// Pull a plugin from an OCI registry
///
/// What comes is what its digest says, or nothing is written. A signature that was pushed along is written beside it,
/// FILE.minisig; it is checked where the plugin is loaded. Takes what `wkg oci push` has pushed, too. Who we are is what
/// `docker login` has left in ~/.docker/config.json (or in $DOCKER_CONFIG), helpers included.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    registry: RegistryArgs,
    /// File to write; the last part of the reference's name and `.wasm`, unless it is given. What is there is
    /// replaced
    #[arg(short = 'o', long = "out", value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) fn pull(args: &Args) -> Result<Exit, Failure> {
    let reference = &args.registry.reference;
    let file = args.file.clone().unwrap_or_else(|| format!("{}.wasm", reference.short_name()).into());
    if file.is_dir() {
        return Err(Failure::new(Exit::CannotCreate, format!("{} is a folder; name a file", file.display())));
    }
    let mut progress = Progress::new("pulled");
    let pulled = forebay_oci::pull(&args.registry.options(), reference, &mut |came, of| progress.tell(came, of));
    progress.end();
    let pulled = pulled?;
    if let Some(found) = not_a_component(&pulled.bytes) {
        return Err(Failure::new(Exit::Data, format!("{reference} is not a plugin: {found}")));
    }
    write(&file, &pulled)?;
    tell(args, &file, &pulled);
    Ok(Exit::Done)
}

/// Writes signature and plugin. Whoever looks at `file` meanwhile sees the old one or the new one, whole. A new plugin never
/// stands beside an old signature; an old one stands beside a new signature for the time between two renames.
fn write(file: &Path, pulled: &Pulled) -> Result<(), Failure> {
    let signature = signature_path(file);
    let failed = |path: &Path, error: io::Error| {
        Failure::new(Exit::of_io(&error, Exit::CannotCreate), format!("cannot write {}", path.display())).because(error)
    };
    match &pulled.signature {
        Some(text) => replace(&signature, text.as_bytes()),
        None => fs::remove_file(&signature).or_else(|error| match error.kind() {
            io::ErrorKind::NotFound => Ok(()),
            _ => Err(error),
        }),
    }
    .map_err(|error| failed(&signature, error))?;
    replace(file, &pulled.bytes).map_err(|error| failed(file, error))
}

/// Puts `bytes` at `path` by rename, synced before.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // A name that begins with a dot: no folder that is watched for plugins takes it for one.
    let mut file = tempfile::Builder::new().prefix(".forebay-pull-").tempfile_in(folder)?;
    file.write_all(bytes)?;
    // As a file that was copied here: the temporary one is its owner's alone.
    file.as_file().set_permissions(fs::Permissions::from_mode(0o644))?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

fn tell(args: &Args, file: &Path, pulled: &Pulled) {
    let by_digest = args.registry.reference.at(pulled.digest);
    let signature = pulled.signature.as_ref().map(|_| signature_path(file).display().to_string());
    match args.output.output {
        OutputChoice::Text => {
            let bytes = size(pulled.bytes.len() as u64);
            let mut lines =
                format!("pulled {}\n  plugin   {} ({bytes})\n  digest   {by_digest}", file.display(), pulled.plugin);
            lines.extend(signature.map(|path| format!("\n  signed   {path} (not checked)")));
            print_line(&lines);
        }
        OutputChoice::Json => print_line(
            &json!({
                "reference": args.registry.reference.to_string(),
                "file": file.display().to_string(),
                "digest": pulled.digest.to_string(),
                "plugin": pulled.plugin.to_string(),
                "bytes": pulled.bytes.len(),
                "signature": signature,
                "annotations": pulled.annotations,
            })
            .to_string(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use forebay_proto::blob::Digest;

    use super::*;

    fn pulled(bytes: &[u8], signature: Option<&str>) -> Pulled {
        Pulled {
            bytes: bytes.to_vec(),
            digest: Digest([0; 32]),
            plugin: Digest([1; 32]),
            annotations: BTreeMap::new(),
            signature: signature.map(str::to_owned),
        }
    }

    #[test]
    fn a_plugin_never_stands_beside_the_signature_of_another() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.wasm");
        write(&file, &pulled(b"one", Some("signed"))).unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"one");
        assert_eq!(fs::read(signature_path(&file)).unwrap(), b"signed");
        write(&file, &pulled(b"two", None)).unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"two");
        assert!(!signature_path(&file).exists());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left");
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let error = write(Path::new("/nowhere/a.wasm"), &pulled(b"one", Some("signed"))).unwrap_err();
        assert!(error.to_string().contains("cannot write /nowhere/a.wasm"), "{error}");
    }
}
