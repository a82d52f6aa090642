//! Where commands without a data directory keep compiled plugins, and what they say while one is compiled.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use super::Failure;
use crate::runtime::wasm::{Progress, SetupError, Wasm, progress};

/// Whether and where compiled plugins are kept.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct CacheArgs {
    /// Directory for compiled plugins, which start faster the next time
    /// [default: $XDG_CACHE_HOME/forebay, or ~/.cache/forebay]
    #[arg(long, value_name = "DIRECTORY", verbatim_doc_comment)]
    cache: Option<PathBuf>,
    /// Compile plugins anew, and keep nothing
    #[arg(long, conflicts_with = "cache")]
    no_cache: bool,
}

impl CacheArgs {
    /// What loads plugins. It goes on without the default directory, if that cannot be used, and says so.
    ///
    /// # Errors
    /// wasmtime does not work here, or a directory that was named cannot be used.
    pub(super) fn wasm(self) -> Result<Wasm, Failure> {
        let new = |folder| Wasm::telling(folder, Arc::new(OnStderr));
        if self.cache.is_some() || self.no_cache {
            return Ok(new(self.cache)?);
        }
        match new(self.folder()) {
            Err(SetupError::Cache { folder, source }) => {
                let folder = folder.display();
                eprintln!("forebay: cannot keep compiled plugins in {folder}: {source}; --no-cache does without");
                Ok(new(None)?)
            }
            other => Ok(other?),
        }
    }

    /// The directory, if there is to be one.
    pub(super) fn folder(&self) -> Option<PathBuf> {
        match (&self.cache, self.no_cache) {
            (_, true) => None,
            (Some(cache), false) => Some(cache.clone()),
            (None, false) => default_folder(|name| std::env::var_os(name)),
        }
    }
}

/// As the XDG base directory specification has it, which takes no notice of a relative path.
fn default_folder(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let folder = |name| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = folder("XDG_CACHE_HOME").or_else(|| folder("HOME").map(|home| home.join(".cache")));
    base.map(|base| base.join("forebay"))
}

/// For people who wait.
#[derive(Debug)]
struct OnStderr;

impl Progress for OnStderr {
    fn compiling(&self, plugin: &Path, bytes: u64) {
        eprintln!("{}", progress::compiling(plugin, bytes));
    }

    fn compiled(&self, _: &Path, took: Duration) {
        eprintln!("{}", progress::compiled(took));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_follows_the_xdg_specification() {
        let with = |set: &'static [(&str, &str)]| {
            default_folder(move |name| set.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).into()))
        };
        assert_eq!(with(&[("XDG_CACHE_HOME", "/x"), ("HOME", "/h")]), Some("/x/forebay".into()));
        assert_eq!(with(&[("XDG_CACHE_HOME", "x"), ("HOME", "/h")]), Some("/h/.cache/forebay".into()));
        assert_eq!(with(&[("XDG_CACHE_HOME", ""), ("HOME", "/h")]), Some("/h/.cache/forebay".into()));
        assert_eq!(with(&[]), None);
    }
}
