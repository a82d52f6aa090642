//! Pipeline files and their plugins, from disk.

use std::{
    io::Read as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use forebay_proto::{
    ids::PluginName,
    pipeline::{FILE_BYTES_MAX, Pipeline, PluginRef, Stage},
};

use super::{Exit, Failure, registry::signature_path};
use crate::{
    node::{LoadedPipeline, Plugins},
    runtime::{
        Grants, LoadError, Plugin, native,
        wasm::{self, Wasm},
    },
    signature::{SIGNATURE_BYTES_MAX, TrustedKeys},
};

/// Where the built-in producer `lines` reads.
#[derive(Clone, Debug)]
pub(super) enum LinesInput {
    /// Standard input.
    Stdin,
    /// A file.
    File(PathBuf),
    /// Nowhere: whoever runs the pipeline puts something in its place.
    Nothing,
}

impl LinesInput {
    /// `-` is standard input.
    pub(super) fn of(path: PathBuf) -> Self {
        if path == Path::new("-") { Self::Stdin } else { Self::File(path) }
    }
}

/// Reads a pipeline file and loads all its plugins, if `trusted` takes them. Paths in it count from the file's
/// directory.
pub(super) async fn load(
    file: &Path,
    wasm: &Wasm,
    input: Option<&LinesInput>,
    trusted: &TrustedKeys,
) -> Result<LoadedPipeline, Failure> {
    let (pipeline, digest) = read(file)?;
    let plugins = plugins(&pipeline, file, wasm, input, trusted).await?;
    Ok(LoadedPipeline::new(pipeline, plugins)?.with_digest(digest))
}

/// Loads all plugins of a pipeline that was read from `file`.
pub(super) async fn plugins(
    pipeline: &Pipeline,
    file: &Path,
    wasm: &Wasm,
    input: Option<&LinesInput>,
    trusted: &TrustedKeys,
) -> Result<Plugins, Failure> {
    let folder = file.parent().unwrap_or(Path::new("."));
    let mut plugins = Plugins::new();
    for stage in pipeline.stages() {
        let plugin: Arc<dyn Plugin> = match &stage.plugin {
            PluginRef::File(path) => component(&folder.join(path), wasm, &stage.grants, trusted).await?,
            PluginRef::Builtin(name) => builtin(name, input)?,
            PluginRef::Name { name, .. } => return Err(no_store(stage, name, file)),
        };
        plugins.insert(stage.name.clone(), plugin);
    }
    Ok(plugins)
}

/// Loads the very bytes that its signature was checked with.
async fn component(
    path: &Path,
    wasm: &Wasm,
    grants: &Grants,
    trusted: &TrustedKeys,
) -> Result<Arc<dyn Plugin>, Failure> {
    let bytes = wasm::read(path).await?;
    let signature = signature(path)?;
    trusted
        .verify(&bytes, signature.as_deref())
        .map_err(|error| Failure::new(Exit::Permission, format!("plugin {} is refused: {error}", path.display())))?;
    Ok(wasm.load_bytes(&path.display().to_string(), bytes, grants).await?)
}

/// The text of `FILE.minisig`. What is too long or no text is given so that it is refused as what it is.
pub(super) fn signature(plugin: &Path) -> Result<Option<String>, Failure> {
    let path = signature_path(plugin);
    let failed = |error| Failure::reading(&path, error);
    match std::fs::metadata(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
        Ok(metadata) if !metadata.is_file() => return Ok(Some(String::new())),
        Ok(_) => {}
    }
    let mut bytes = Vec::new();
    let file = std::fs::File::open(&path).map_err(failed)?;
    file.take(SIGNATURE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

/// A pipeline file and its digest.
fn read(file: &Path) -> Result<(Pipeline, String), Failure> {
    let (pipeline, bytes) = read_bytes(file)?;
    Ok((pipeline, forebay_blobs::digest_of(&bytes).to_string()))
}

/// A pipeline file and its bytes.
pub(super) fn read_bytes(file: &Path) -> Result<(Pipeline, Vec<u8>), Failure> {
    let failed = |error| Failure::reading(file, error);
    let metadata = std::fs::metadata(file).map_err(failed)?;
    if !metadata.is_file() {
        return Err(Failure::new(Exit::NoInput, format!("{} is not a file; name a pipeline file", file.display())));
    }
    if metadata.len() > FILE_BYTES_MAX as u64 {
        let (name, len) = (file.display(), metadata.len());
        return Err(Failure::new(
            Exit::Data,
            format!("{name} has {len} bytes, a pipeline file at most {FILE_BYTES_MAX}"),
        ));
    }
    let bytes = std::fs::read(file).map_err(failed)?;
    let pipeline = Pipeline::parse_bytes(&bytes, &file.display().to_string())?;
    Ok((pipeline, bytes))
}

/// Only a cluster has a store in which a name could be looked up.
fn no_store(stage: &Stage, name: &PluginName, file: &Path) -> Failure {
    let (stage, file) = (&stage.name, file.display());
    let message = format!(
        "the plugin of stage `{stage}` is the name `{name}`, which `forebay deploy {file}` looks up in the cluster's \
         store; to load a file from here, write its path, as in `./{name}` or `{name}.wasm`"
    );
    Failure::new(Exit::Usage, message)
}

fn builtin(name: &str, input: Option<&LinesInput>) -> Result<Arc<dyn Plugin>, Failure> {
    if let Some(plugin) = native::named(name) {
        return Ok(plugin);
    }
    if name != "lines" {
        let expected = [&["lines"], &native::NAMES[..]].concat().join(", ");
        return Err(LoadError::UnknownBuiltin { found: name.to_owned(), expected }.into());
    }
    match input {
        Some(LinesInput::Stdin) => Ok(native::lines(|_| Ok(tokio::io::BufReader::new(tokio::io::stdin())))),
        Some(LinesInput::File(path)) => {
            // Looked at now, so that a wrong path is an error of the command and not of a stage.
            std::fs::File::open(path).map_err(|error| Failure::reading(path, error))?;
            let path = path.clone();
            Ok(native::lines(move |_| {
                let file = tokio::fs::File::from_std(std::fs::File::open(&path)?);
                Ok(tokio::io::BufReader::with_capacity(READ_BYTES, file))
            }))
        }
        Some(LinesInput::Nothing) => Ok(native::lines(|_| Ok(tokio::io::empty()))),
        None => Err(Failure::new(
            Exit::Usage,
            "the pipeline reads lines (`builtin:lines`); use `forebay run PIPELINE --input FILE`, or `--input -`",
        )),
    }
}

/// Bytes of a file read at once. 256 KiB: a read is a hop to another thread, about 20 us, against
/// 50 us for the bytes themselves.
const READ_BYTES: usize = 256 << 10;
