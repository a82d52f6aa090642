//! Builds the components from source and records what they were built from.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use forebay_author::{
    component::is_component,
    rust::toolchain::{Choice, TARGET, Toolchain},
};

use crate::{ALL, prebuilt, root, sources::Record};

/// What to build with, and where to.
#[derive(Debug)]
pub struct Options {
    /// Which toolchain.
    pub toolchain: Choice,
    /// Where the components go; default `plugins/prebuilt`.
    pub out: PathBuf,
    /// Where cargo builds; default `target/wasm`, apart from native builds, as both hold a lock.
    pub target_dir: PathBuf,
}

impl Default for Options {
    fn default() -> Self {
        Self { toolchain: Choice::Either, out: prebuilt(), target_dir: root().join("target/wasm") }
    }
}

/// Builds every component and copies it to `options.out`; gives (path, bytes) of each.
///
/// # Errors
/// When no toolchain is found (the text says what to install), the build fails, or a file cannot be
/// written.
pub fn build(options: &Options) -> Result<Vec<(PathBuf, usize)>> {
    let root = root();
    let toolchain = Toolchain::find(options.toolchain, &root)?;
    let mut command = toolchain.build_command(&without_local_paths(&root));
    command.current_dir(&root).args(["--locked", "--profile", "plugin", "--target-dir"]).arg(&options.target_dir);
    command.args(ALL.iter().flat_map(|component| ["-p".to_owned(), component.package()]));
    let status = command.status().with_context(|| format!("could not run {command:?}"))?;
    ensure!(status.success(), "{command:?} failed with {status}");

    fs::create_dir_all(&options.out).with_context(|| format!("could not create {}", options.out.display()))?;
    let mut record = Record::default();
    let mut built = Vec::new();
    for &component in ALL {
        let file = format!("{}.wasm", component.name.replace('-', "_"));
        let from = options.target_dir.join(TARGET).join("plugin").join(file);
        let bytes = fs::read(&from).with_context(|| format!("could not read {}", from.display()))?;
        ensure!(is_component(&bytes), "{} is not a component; the linker was not wasm-component-ld", from.display());
        let to = options.out.join(component.file_name());
        fs::write(&to, &bytes).with_context(|| format!("could not write {}", to.display()))?;
        record.note(component, &bytes)?;
        built.push((to, bytes.len()));
    }
    record.write(&options.out)?;
    Ok(built)
}

/// Flags that keep the paths of this machine out of panic messages, and so out of the components.
fn without_local_paths(root: &Path) -> Vec<String> {
    let home = env::home_dir().unwrap_or_default();
    let cargo = env::var_os("CARGO_HOME").map_or_else(|| home.join(".cargo"), PathBuf::from);
    let remap = |from: &Path, to: &str| format!("--remap-path-prefix={}={to}", from.display());
    vec![remap(root, "forebay"), remap(&cargo, "cargo")]
}
