//! Stages that are WebAssembly components, run by wasmtime. Nothing outside this folder knows it.
//!
//! ```text
//! file ---> contract ---> plugin ---> instance      cache   compiled code on disk
//!  bytes,    names:        linked,     one store,   engine  wasmtime's settings, the clock
//!  digest    role,         functions   one call     linker  what guests may call
//!            version       found       at a time    output  what guests say
//! ```
//!
//! A plugin that cannot work is refused while it is loaded, with every reason that can be known then.

mod cache;
mod contract;
mod engine;
mod file;
mod inspect;
mod instance;
mod linker;
mod output;
mod plugin;
mod signature;
mod store;
mod trap;
mod wit;

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use wasmtime::component::{Component, Linker, types::ComponentItem};

use self::{
    cache::Cache,
    contract::Names,
    engine::TickingEngine,
    file::{Digest, PluginFile},
    plugin::WasmPlugin,
    signature::Exports,
    store::State,
};
use super::{LoadError, Plugin};
pub use file::not_a_component;
pub use inspect::{Import, Inspection};

/// Loads components. Cheap to clone; one for a node is enough.
#[derive(Clone)]
pub struct Wasm(Arc<Shared>);

struct Shared {
    engine: Arc<TickingEngine>,
    linker: Linker<State>,
    cache: Option<Cache>,
}

/// The runtime could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// wasmtime does not work on this machine.
    #[error("wasmtime cannot be set up here: {0}")]
    Engine(String),
    /// The folder of compiled components cannot be used.
    #[error("cannot use {folder} for compiled plugins")]
    Cache {
        /// The folder.
        folder: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl fmt::Debug for Wasm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wasm").field("cache", &self.0.cache).finish_non_exhaustive()
    }
}

impl Wasm {
    /// With `cache_dir`, compiled code is kept there for the next start; the folder is made if need
    /// be, and must belong to this user alone. Blocks for a few system calls.
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn new(cache_dir: Option<PathBuf>) -> Result<Self, SetupError> {
        let failed = |error: wasmtime::Error| SetupError::Engine(format!("{error:#}"));
        let engine = Arc::new(TickingEngine::new().map_err(failed)?);
        let linker = linker::linker(engine.engine()).map_err(failed)?;
        let open = |folder: PathBuf| Cache::open(&folder).map_err(|source| SetupError::Cache { folder, source });
        let cache = cache_dir.map(open).transpose()?;
        Ok(Self(Arc::new(Shared { engine, linker, cache })))
    }

    /// Reads a component once, compiles it or takes it from the cache, and checks that it is a plugin
    /// which can run here: all its imports are there, and its exports have the right types.
    ///
    /// # Errors
    /// [`LoadError::Read`], [`LoadError::NotAPlugin`], [`LoadError::Refused`].
    ///
    /// # Cancel safety
    /// Yes. A compilation that has begun goes on by itself and its result is dropped.
    pub async fn load(&self, path: &Path) -> Result<Arc<dyn Plugin>, LoadError> {
        let (shared, path) = (Arc::clone(&self.0), path.to_owned());
        let plugin = blocking(move || shared.load(&path)).await?;
        tracing::debug!(path = %plugin.path.display(), digest = plugin.digest, role = %plugin.role, "plugin loaded");
        Ok(Arc::new(plugin))
    }

    /// What a component is and asks for, also if it could not be loaded here.
    ///
    /// # Errors
    /// [`LoadError::Read`], and [`LoadError::NotAPlugin`] for what is no valid component at all.
    ///
    /// # Cancel safety
    /// As [`Wasm::load`].
    pub async fn inspect(&self, path: &Path) -> Result<Inspection, LoadError> {
        let (shared, path) = (Arc::clone(&self.0), path.to_owned());
        blocking(move || shared.inspect(&path)).await
    }
}

/// Reads a plugin's file and looks how it begins, without compiling it. Blocks for as long as its file system takes.
///
/// # Errors
/// [`LoadError::Read`], and [`LoadError::NotAPlugin`] for what does not begin as a component does.
pub fn read_component(path: &Path) -> Result<Vec<u8>, LoadError> {
    let file = PluginFile::read(path)?;
    match not_a_component(&file.bytes) {
        Some(found) => Err(LoadError::NotAPlugin { path: path.to_owned(), found }),
        None => Ok(file.bytes),
    }
}

/// Compiling takes from 10 ms to 10 s of processor time, which must not hold up other tasks.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

impl Shared {
    fn load(&self, path: &Path) -> Result<WasmPlugin, LoadError> {
        let file = PluginFile::read(path)?;
        let not = |found| LoadError::NotAPlugin { path: path.to_owned(), found };
        let component = self.component(&file).map_err(not)?;
        self.link(path, &component, file.digest)
    }

    fn inspect(&self, path: &Path) -> Result<Inspection, LoadError> {
        let file = PluginFile::read(path)?;
        let not = |found| LoadError::NotAPlugin { path: path.to_owned(), found };
        let component = self.component(&file).map_err(not)?;
        let refusal = self.link(path, &component, file.digest).err().map(|error| match error {
            LoadError::NotAPlugin { found, .. } => found,
            LoadError::Refused { reason, .. } => reason,
            other => other.to_string(),
        });
        let digest = text_of(file.digest);
        Ok(Inspection::new(path, file.bytes.len(), digest, names(&component), refusal))
    }

    /// # Errors
    /// What the bytes are, if they are no valid component.
    fn component(&self, file: &PluginFile) -> Result<Component, String> {
        if let Some(found) = file::not_a_component(&file.bytes) {
            return Err(found);
        }
        let engine = self.engine.engine();
        if let Some(component) = self.cache.as_ref().and_then(|cache| cache.load(engine, &file.digest)) {
            return Ok(component);
        }
        let component = Component::from_binary(engine, &file.bytes).map_err(|error| {
            let (error, size) = (super::check::clean(&format!("{error:#}")), file.bytes.len());
            format!("it begins as a component of {size} bytes, but is not valid: {error}; was it cut short or damaged?")
        })?;
        if let Some(cache) = &self.cache {
            cache.store(&component, &file.digest);
        }
        Ok(component)
    }

    fn link(&self, path: &Path, component: &Component, digest: Digest) -> Result<WasmPlugin, LoadError> {
        let not = |found| LoadError::NotAPlugin { path: path.to_owned(), found };
        let refused = |reason| LoadError::Refused { path: path.to_owned(), reason };
        let names = names(component);
        let contract = names.contract().map_err(not)?;
        check_imports(&names).map_err(refused)?;
        let pre = self.linker.instantiate_pre(component).map_err(|error| {
            let error = super::check::clean(&format!("{error:#}"));
            refused(format!("an import asks for more than this host provides: {error}"))
        })?;
        let exports = Exports::find(&pre, &contract).map_err(not)?;
        let engine = Arc::clone(&self.engine);
        Ok(WasmPlugin { engine, pre, exports, role: contract.role, digest: text_of(digest), path: path.to_owned() })
    }
}

fn check_imports(names: &Names) -> Result<(), String> {
    let missing = names.not_granted();
    if missing.is_empty() {
        return Ok(());
    }
    Err(format!(
        "it imports {}, which is not granted; plugins are given {}, clocks, random numbers and printing; build it \
         without the rest",
        contract::quoted(&missing),
        contract::quoted(&[contract::full_name("host")]),
    ))
}

fn text_of(digest: Digest) -> String {
    format!("sha256:{}", digest.hex())
}

/// The names of imports and exports. An import of nothing but types needs nobody to provide it.
fn names(component: &Component) -> Names {
    let (ty, engine) = (component.component_type(), component.engine());
    let imports = ty.imports(engine).filter(|(_, import)| !only_types(&import.ty, engine));
    Names {
        imports: imports.map(|(name, _)| name.to_owned()).collect(),
        exports: ty.exports(engine).map(|(name, _)| name.to_owned()).collect(),
    }
}

fn only_types(item: &ComponentItem, engine: &wasmtime::Engine) -> bool {
    match item {
        ComponentItem::ComponentInstance(instance) => {
            instance.exports(engine).all(|(_, export)| matches!(export.ty, ComponentItem::Type(_)))
        }
        ComponentItem::Type(_) => true,
        _ => false,
    }
}
