//! Finds a Rust toolchain that builds components.
//!
//! There are two ways to one target, `wasm32-wasip2`:
//!
//! | way    | standard library                                    | linkers                               |
//! |--------|-----------------------------------------------------|---------------------------------------|
//! | rustup | `rustup target add wasm32-wasip2`                   | part of the toolchain                 |
//! | Debian | built by cargo from `rust-web-src` and `wasi-libc`  | lent by any Rust toolchain, or `PATH` |
//!
//! The second way is for machines that reach package registries but not rustup's server.

use std::{
    env, fmt, io,
    path::{Path, PathBuf},
    process::Command,
};

/// The target components are built for.
pub const TARGET: &str = "wasm32-wasip2";

/// What the Debian way needs: (package, a file of it).
const DEBIAN_PACKAGES: [(&str, &str); 4] = [
    ("rustc-web", "usr/bin/rustc"),
    ("cargo-web", "usr/bin/cargo"),
    ("rust-web-src", "usr/lib/rustlib/src/rust/library/std/Cargo.toml"),
    ("wasi-libc", "usr/lib/wasm32-wasi/libc.a"),
];

/// The linkers the Debian way borrows: (name, where it is below `lib/rustlib/HOST/bin` of a sysroot).
const LINKERS: [(&str, &str); 2] = [("wasm-component-ld", ""), ("wasm-ld", "gcc-ld")];

/// Which way to look for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Choice {
    /// rustup's target only.
    Rustup,
    /// Debian's packages only.
    Debian,
    /// rustup's target when it is installed, else Debian's packages.
    Either,
}

/// Why no toolchain was found. The text says what to install.
#[derive(Debug)]
pub enum ToolchainError {
    /// `rustc` could not be run.
    NoRustc {
        /// Why.
        source: io::Error,
    },
    /// `rustc` ran, but did not say where it lives.
    NoSysroot {
        /// What it said on stderr.
        stderr: String,
    },
    /// The toolchain lacks the target.
    NoTarget {
        /// Where the toolchain lives.
        sysroot: PathBuf,
    },
    /// Packages of Debian are missing.
    NoPackages {
        /// Which.
        missing: Vec<&'static str>,
    },
    /// A linker is neither in the toolchain nor on `PATH`.
    NoLinker {
        /// Which.
        linker: &'static str,
        /// The toolchain it was looked for in.
        sysroot: PathBuf,
    },
}

impl fmt::Display for ToolchainError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRustc { .. } => {
                write!(
                    f,
                    "could not run `rustc`; install Rust, see https://rustup.rs, then `rustup target add {TARGET}`"
                )
            }
            Self::NoSysroot { stderr } => write!(f, "`rustc --print sysroot` failed and said: {}", stderr.trim()),
            Self::NoTarget { sysroot } => write!(
                f,
                "the Rust toolchain in {} lacks the target {TARGET}; install it with `rustup target add {TARGET}`, \
                 or, where rustup's server is out of reach, `apt-get install {}`",
                sysroot.display(),
                DEBIAN_PACKAGES.map(|(package, _)| package).join(" "),
            ),
            Self::NoPackages { missing } => {
                write!(f, "Debian packages are missing; install them with `apt-get install {}`", missing.join(" "))
            }
            Self::NoLinker { linker, sysroot } => write!(
                f,
                "`{linker}` is neither in the Rust toolchain in {} nor on PATH; install any toolchain with rustup \
                 and put its `rustc` on PATH before Debian's, or get the linker with `{}`",
                sysroot.display(),
                if *linker == "wasm-ld" { "apt-get install lld" } else { "cargo install wasm-component-ld" },
            ),
        }
    }
}

impl std::error::Error for ToolchainError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NoRustc { source } => Some(source),
            _ => None,
        }
    }
}

/// A toolchain that builds components.
#[derive(Debug)]
pub enum Toolchain {
    /// The active toolchain has the target.
    Rustup,
    /// Debian's compiler, with linkers from elsewhere.
    Debian {
        /// Where the linkers are; empty when `PATH` has them.
        linkers: Vec<PathBuf>,
    },
}

impl Toolchain {
    /// Looks for a toolchain, as it is active in `directory`.
    ///
    /// # Errors
    /// [`ToolchainError`] says what to install. For [`Choice::Either`] it is the error of rustup's
    /// way, unless some of Debian's packages are there: then it names the rest.
    pub fn find(choice: Choice, directory: &Path) -> Result<Self, ToolchainError> {
        let sysroot = sysroot(directory)?;
        let rustup = || match has_target(&sysroot) {
            true => Ok(Self::Rustup),
            false => Err(ToolchainError::NoTarget { sysroot: sysroot.clone() }),
        };
        let debian = || debian(Path::new("/"), &sysroot, env::var_os("PATH").as_deref());
        match choice {
            Choice::Rustup => rustup(),
            Choice::Debian => debian(),
            Choice::Either => rustup().or_else(|no_target| match debian() {
                Err(ToolchainError::NoPackages { missing }) if missing.len() == DEBIAN_PACKAGES.len() => Err(no_target),
                other => other,
            }),
        }
    }

    /// `cargo build` for the target, to which the caller adds what to build and how.
    ///
    /// `rustflags` are passed to every `rustc`; with none, those of the environment stay in force.
    pub fn build_command(&self, rustflags: &[String]) -> Command {
        let mut command;
        let mut flags: Vec<String> =
            env::var("RUSTFLAGS").iter().flat_map(|f| f.split_whitespace()).map(Into::into).collect();
        flags.extend_from_slice(rustflags);
        match self {
            Self::Rustup => {
                command = Command::new("cargo");
                command.args(["build", "--target", TARGET]);
            }
            Self::Debian { linkers } => {
                command = Command::new("/usr/bin/cargo");
                // `rust-web-src` is the very version of `rustc-web`, so building std from it always
                // fits. `RUSTC_BOOTSTRAP` is what lets a stable cargo do so.
                command.args(["build", "--target", TARGET, "-Zbuild-std=std,panic_abort"]);
                command.arg("-Zbuild-std-features=optimize_for_size");
                command.env("RUSTC_BOOTSTRAP", "1").env("RUSTC", "/usr/bin/rustc").env("PATH", path_with(linkers));
                // What a surrounding `cargo run` of another toolchain has set.
                command.env_remove("RUSTUP_TOOLCHAIN").env_remove("CARGO").env_remove("LD_LIBRARY_PATH");
                flags.push("-L/usr/lib/wasm32-wasi".to_owned());
            }
        }
        if matches!(self, Self::Debian { .. }) || !rustflags.is_empty() {
            command.env_remove("RUSTFLAGS").env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"));
        }
        command
    }
}

fn sysroot(directory: &Path) -> Result<PathBuf, ToolchainError> {
    let output = Command::new("rustc").args(["--print", "sysroot"]).current_dir(directory).output();
    let output = output.map_err(|source| ToolchainError::NoRustc { source })?;
    match output.status.success() {
        true => Ok(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())),
        false => Err(ToolchainError::NoSysroot { stderr: String::from_utf8_lossy(&output.stderr).into_owned() }),
    }
}

fn has_target(sysroot: &Path) -> bool {
    sysroot.join("lib/rustlib").join(TARGET).join("lib").is_dir()
}

fn debian(root: &Path, sysroot: &Path, path: Option<&std::ffi::OsStr>) -> Result<Toolchain, ToolchainError> {
    let missing: Vec<_> =
        DEBIAN_PACKAGES.iter().filter(|(_, file)| !root.join(file).exists()).map(|&(package, _)| package).collect();
    if !missing.is_empty() {
        return Err(ToolchainError::NoPackages { missing });
    }
    let mut linkers = Vec::new();
    for (linker, below) in LINKERS {
        match lent_from(sysroot, linker, below) {
            Some(directory) => linkers.push(directory),
            None if path.is_some_and(|path| env::split_paths(path).any(|dir| dir.join(linker).is_file())) => {}
            None => return Err(ToolchainError::NoLinker { linker, sysroot: sysroot.to_owned() }),
        }
    }
    Ok(Toolchain::Debian { linkers })
}

/// The directory of a sysroot that holds a linker, whatever host the toolchain is for.
fn lent_from(sysroot: &Path, linker: &str, below: &str) -> Option<PathBuf> {
    let hosts = sysroot.join("lib/rustlib").read_dir().ok()?;
    let mut directories = hosts.flatten().map(|host| host.path().join("bin").join(below));
    directories.find(|directory| directory.join(linker).is_file())
}

fn path_with(linkers: &[PathBuf]) -> std::ffi::OsString {
    let inherited = env::var_os("PATH").unwrap_or_default();
    let directories = [PathBuf::from("/usr/bin")].into_iter().chain(linkers.iter().cloned());
    env::join_paths(directories.chain(env::split_paths(&inherited))).expect("the parts were on a PATH before")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A directory that holds empty files, removed at the end.
    struct Tree(PathBuf);

    impl Tree {
        fn new(name: &str, files: &[&str]) -> Self {
            let tree = Self(env::temp_dir().join(format!("forebay-toolchain-{}-{name}", std::process::id())));
            for file in files {
                let path = tree.0.join(file);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, "").unwrap();
            }
            tree
        }
    }

    impl Drop for Tree {
        fn drop(&mut self) {
            drop(fs::remove_dir_all(&self.0));
        }
    }

    fn packages() -> Vec<&'static str> {
        DEBIAN_PACKAGES.map(|(_, file)| file).to_vec()
    }

    #[test]
    fn the_target_is_found_in_the_sysroot() {
        let with = Tree::new("target", &["lib/rustlib/wasm32-wasip2/lib/libstd.rlib"]);
        let without = Tree::new("no-target", &["lib/rustlib/wasm32-wasip1/lib/libstd.rlib"]);
        assert!(has_target(&with.0));
        assert!(!has_target(&without.0));
    }

    #[test]
    fn a_missing_package_is_named() {
        let root = Tree::new("packages", &packages()[..3]);
        let error = debian(&root.0, &root.0, None).unwrap_err();
        assert!(error.to_string().ends_with("`apt-get install wasi-libc`"), "{error}");
    }

    #[test]
    fn linkers_come_from_the_sysroot_or_the_path() {
        let root = Tree::new("linkers", &packages());
        let sysroot = Tree::new("sysroot", &["lib/rustlib/some-host/bin/wasm-component-ld"]);
        let error = debian(&root.0, &sysroot.0, None).unwrap_err();
        assert!(matches!(error, ToolchainError::NoLinker { linker: "wasm-ld", .. }), "{error}");

        let path = Tree::new("path", &["wasm-ld"]);
        let found = debian(&root.0, &sysroot.0, Some(path.0.as_os_str())).unwrap();
        let Toolchain::Debian { linkers } = found else { panic!("{found:?}") };
        assert_eq!(linkers, [sysroot.0.join("lib/rustlib/some-host/bin")]);
    }

    #[test]
    fn the_error_for_a_usual_user_names_both_ways() {
        let text = ToolchainError::NoTarget { sysroot: "/opt/rust".into() }.to_string();
        for part in ["/opt/rust", "rustup target add wasm32-wasip2", "rustc-web cargo-web rust-web-src wasi-libc"] {
            assert!(text.contains(part), "{text}");
        }
    }
}
