//! Stages that are WebAssembly components, run by wasmtime. Nothing outside this folder knows it.
//!
//! ```text
//! file ---> contract ---> plugin ---> instance      cache   compiled code on disk
//!  bytes,    names:        linked,     one store,   engine  wasmtime's settings, the clock
//!  digest    role,         functions   one call     linker  what guests may call
//!            version       found       at a time    output  what guests say
//! ```
//!
//! `progress` tells that a compilation takes long. `access` and `lookup` hold what guests may use of the machine: their grants.
//!
//! A plugin that cannot work is refused while it is loaded, with every reason that can be known then.

mod access;
mod cache;
mod contract;
mod engine;
mod file;
mod inspect;
mod instance;
mod linker;
mod lookup;
mod output;
mod plugin;
pub mod progress;
mod signature;
pub(crate) mod simulated;
mod store;
mod trap;
mod wit;

use std::{
    collections::HashMap,
    fmt, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use bytes::Bytes;
use forebay_proto::pipeline::Grants;
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
use super::{LoadError, Plugin, Role};
pub use file::not_a_component;
pub use inspect::{Import, Inspection};
pub use progress::Progress;

/// Loads components. Cheap to clone; one for a node is enough.
#[derive(Clone)]
pub struct Wasm(Arc<Shared>);

struct Shared {
    engine: Arc<TickingEngine>,
    linker: Linker<State>,
    cache: Option<Cache>,
    progress: Arc<dyn Progress>,
    /// Those that stages have: one piece of code serves all of them.
    loaded: Mutex<HashMap<Digest, Weak<Component>>>,
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
    /// be, and must belong to this user alone. What was not used for 30 days goes, and beyond 1 GiB what was used least
    /// recently. What takes long is written to the log. Blocks for a few system calls.
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn new(cache_dir: Option<PathBuf>) -> Result<Self, SetupError> {
        Self::telling(cache_dir, Arc::new(progress::Logged))
    }

    /// As [`Wasm::new`], with who hears that a compilation takes long.
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn telling(cache_dir: Option<PathBuf>, progress: Arc<dyn Progress>) -> Result<Self, SetupError> {
        let failed = |error: wasmtime::Error| SetupError::Engine(format!("{error:#}"));
        let engine = Arc::new(TickingEngine::new().map_err(failed)?);
        let linker = linker::linker(engine.engine()).map_err(failed)?;
        let open = |folder: PathBuf| Cache::open(&folder).map_err(|source| SetupError::Cache { folder, source });
        let cache = cache_dir.map(open).transpose()?;
        Ok(Self(Arc::new(Shared { engine, linker, cache, progress, loaded: Mutex::default() })))
    }

    /// Where compiled code is kept.
    pub fn folder(&self) -> Option<&Path> {
        self.0.cache.as_ref().map(Cache::folder)
    }

    /// Reads a component once, compiles it or takes it from the cache, and checks that it is a plugin
    /// which can run here: all its imports are there and granted, and its exports have the right types.
    ///
    /// # Errors
    /// [`LoadError::Read`], [`LoadError::NotAPlugin`], [`LoadError::Refused`].
    ///
    /// # Cancel safety
    /// Yes. A compilation that has begun goes on by itself and its result is dropped.
    pub async fn load(&self, path: &Path, grants: &Grants) -> Result<Arc<dyn Plugin>, LoadError> {
        let (label, path) = (path.to_owned(), path.to_owned());
        self.load_with(label, grants, move || PluginFile::read(&path)).await
    }

    /// As [`Wasm::load`], of bytes that were read by [`read`] or came from elsewhere. The plugin's digest is
    /// that of exactly these. `label` is what errors and the log call it.
    ///
    /// # Errors
    /// [`LoadError::NotAPlugin`], [`LoadError::Refused`].
    ///
    /// # Cancel safety
    /// As [`Wasm::load`].
    pub async fn load_bytes(&self, label: &str, bytes: Bytes, grants: &Grants) -> Result<Arc<dyn Plugin>, LoadError> {
        let path = PathBuf::from(label);
        self.load_with(path.clone(), grants, move || PluginFile::of(&path, bytes)).await
    }

    async fn load_with(
        &self,
        path: PathBuf,
        grants: &Grants,
        file: impl FnOnce() -> Result<PluginFile, LoadError> + Send + 'static,
    ) -> Result<Arc<dyn Plugin>, LoadError> {
        let (shared, grants) = (Arc::clone(&self.0), Arc::new(grants.clone()));
        let plugin = blocking(move || shared.load(&path, &file()?, grants)).await?;
        tracing::debug!(path = %plugin.path.display(), digest = plugin.digest, role = %plugin.role, "plugin loaded");
        Ok(Arc::new(plugin))
    }

    /// What a component is and asks for, also if it could not be loaded here whatever is granted.
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

/// The bytes of a plugin's file, to be looked at before [`Wasm::load_bytes`] takes them.
///
/// # Errors
/// [`LoadError::Read`], and [`LoadError::NotAPlugin`] for what is no regular file, is too long, or changes its
/// length meanwhile.
///
/// # Cancel safety
/// Yes.
pub async fn read(path: &Path) -> Result<Bytes, LoadError> {
    let path = path.to_owned();
    blocking(move || file::read(&path)).await
}

/// Reads a plugin's file and looks how it begins, without compiling it. Blocks for as long as its file system takes.
///
/// # Errors
/// [`LoadError::Read`], and [`LoadError::NotAPlugin`] for what does not begin as a component does.
pub fn read_component(path: &Path) -> Result<Bytes, LoadError> {
    let bytes = file::read(path)?;
    match not_a_component(&bytes) {
        Some(found) => Err(LoadError::NotAPlugin { path: path.to_owned(), found }),
        None => Ok(bytes),
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
    fn load(&self, path: &Path, file: &PluginFile, grants: Arc<Grants>) -> Result<WasmPlugin, LoadError> {
        let not = |found| LoadError::NotAPlugin { path: path.to_owned(), found };
        let component = self.component(path, file).map_err(not)?;
        self.link(path, &component, file.digest, grants)
    }

    fn inspect(&self, path: &Path) -> Result<Inspection, LoadError> {
        let file = PluginFile::read(path)?;
        let not = |found| LoadError::NotAPlugin { path: path.to_owned(), found };
        let component = self.component(path, &file).map_err(not)?;
        let refusal = self.link(path, &component, file.digest, Arc::default()).err().map(|error| match error {
            LoadError::NotAPlugin { found, .. } => found,
            LoadError::Refused { reason, .. } => reason,
            other => other.to_string(),
        });
        let digest = text_of(file.digest);
        Ok(Inspection::new(path, file.bytes.len(), digest, names(&component), refusal))
    }

    /// # Errors
    /// What the bytes are, if they are no valid component.
    fn component(&self, path: &Path, file: &PluginFile) -> Result<Arc<Component>, String> {
        // Half a MiB of code for each stage that has the same, otherwise.
        if let Some(component) = self.loaded().get(&file.digest).and_then(Weak::upgrade) {
            return Ok(component);
        }
        let component = Arc::new(self.compiled(path, file)?);
        let mut loaded = self.loaded();
        loaded.retain(|_, component| component.strong_count() > 0);
        loaded.insert(file.digest, Arc::downgrade(&component));
        Ok(component)
    }

    fn loaded(&self) -> MutexGuard<'_, HashMap<Digest, Weak<Component>>> {
        // Nothing panics while it is held.
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn compiled(&self, path: &Path, file: &PluginFile) -> Result<Component, String> {
        if let Some(found) = file::not_a_component(&file.bytes) {
            return Err(found);
        }
        let engine = self.engine.engine();
        if let Some(component) = self.cache.as_ref().and_then(|cache| cache.load(engine, &file.digest)) {
            return Ok(component);
        }
        let (progress, size) = (&*self.progress, file.bytes.len());
        let compile = || Component::from_binary(engine, &file.bytes);
        let component = progress::telling(progress, path, size as u64, compile).map_err(|error| {
            let error = super::check::clean(&format!("{error:#}"));
            format!("it begins as a component of {size} bytes, but is not valid: {error}; was it cut short or damaged?")
        })?;
        if let Some(cache) = &self.cache {
            cache.store(&component, &file.digest);
        }
        Ok(component)
    }

    fn link(
        &self,
        path: &Path,
        component: &Arc<Component>,
        digest: Digest,
        grants: Arc<Grants>,
    ) -> Result<WasmPlugin, LoadError> {
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
        let imports_granted = names.to_be_granted().into_iter().map(str::to_owned).collect();
        let can_ask = contract.role != Role::Producer && names.can_ask();
        let (role, digest, path) = (contract.role, text_of(digest), path.to_owned());
        Ok(WasmPlugin {
            engine,
            _component: Arc::clone(component),
            pre,
            exports,
            role,
            digest,
            path,
            grants,
            imports_granted,
            can_ask,
        })
    }
}

fn check_imports(names: &Names) -> Result<(), String> {
    let missing = names.not_there();
    if let [first, ..] = *missing {
        let instead = match first.starts_with("wasi:http/") {
            true => "HTTP is not provided: use a library that makes its requests over `wasi:sockets`",
            false => "build it without them",
        };
        return Err(format!(
            "it imports {}, which is not provided; plugins are given {}, clocks, random numbers, printing and, if \
             granted, variables, directories and sockets; {instead}",
            contract::quoted(&missing),
            contract::quoted(&[contract::full_name("host")]),
        ));
    }
    Ok(())
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
