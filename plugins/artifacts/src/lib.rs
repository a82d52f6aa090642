//! The sample and test components: where they are, what they were built from, how to build them.
//!
//! Components are kept ready-made in `plugins/prebuilt`, so that the tests of the host run without a
//! wasm toolchain. `plugins/prebuilt/SOURCES.toml` records for each the hash of the sources it was
//! built from; a test here fails when the sources have moved on.
//!
//! ```
//! for component in forebay_artifacts::ALL {
//!     assert!(component.path().exists(), "{}", component.name);
//! }
//! ```

use std::{env, path::PathBuf};

pub use sources::{Stale, StaleReason, stale};

pub mod build;
mod sources;

/// The environment variable that names a directory of freshly built components to use instead of
/// `plugins/prebuilt`.
pub const DIRECTORY_VARIABLE: &str = "FOREBAY_PLUGINS_DIR";

/// What a stage is to its neighbours.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Role {
    /// A source of events.
    Producer,
    /// A stage that makes events of events.
    ProducerConsumer,
    /// A sink of events.
    Consumer,
}

/// One component built from a crate below `plugins/`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Component {
    /// Its name: that of its directory, of its file without `.wasm`, and of its package after
    /// `forebay-plugin-`.
    pub name: &'static str,
    /// Its role.
    pub role: Role,
    /// Files of other crates it includes by path, from the top of the repository.
    shared_files: &'static [&'static str],
}

/// Emits consecutive numbers; has a checkpoint.
pub const COUNTER: Component = Component { name: "counter", role: Role::Producer, shared_files: &[] };
/// Prints a line for each batch.
pub const PRINTER: Component = Component { name: "printer", role: Role::Consumer, shared_files: &[] };
/// Emits every event several times.
pub const DOUBLE: Component = Component { name: "double", role: Role::ProducerConsumer, shared_files: &[] };
/// Prints a line for each batch, and asks its source itself.
pub const ASKER: Component =
    Component { name: "asker", role: Role::Consumer, shared_files: &["plugins/printer/src/line.rs"] };
/// Counts and hashes; prints the sums when it is terminated.
pub const TALLY: Component = Component { name: "tally", role: Role::Consumer, shared_files: &[] };
/// Emits stamped payloads as fast as it is asked to; of `forebay bench`.
pub const BENCH_SOURCE: Component = Component { name: "bench-source", role: Role::Producer, shared_files: &[] };
/// Counts events and measures how old they are; of `forebay bench`.
pub const BENCH_SINK: Component = Component { name: "bench-sink", role: Role::Consumer, shared_files: &[] };
/// A producer that misbehaves as it is told.
pub const MISBEHAVER: Component = Component { name: "misbehaver", role: Role::Producer, shared_files: &[] };
/// A consumer that misbehaves as it is told.
pub const MISBEHAVING_CONSUMER: Component = Component {
    name: "misbehaving-consumer",
    role: Role::Consumer,
    shared_files: &["plugins/misbehaver/src/trouble.rs", "plugins/printer/src/line.rs"],
};
/// A producer-consumer that misbehaves as it is told.
pub const MISBEHAVING_RELAY: Component = Component {
    name: "misbehaving-relay",
    role: Role::ProducerConsumer,
    shared_files: &["plugins/misbehaver/src/trouble.rs"],
};

/// A producer that leaks memory; has a checkpoint.
pub const LEAKER: Component = Component { name: "leaker", role: Role::Producer, shared_files: &[] };
/// A producer-consumer that leaks memory.
pub const LEAKING_RELAY: Component =
    Component { name: "leaking-relay", role: Role::ProducerConsumer, shared_files: &[] };

/// A producer that tries what it may do outside.
pub const VISITOR: Component = Component { name: "visitor", role: Role::Producer, shared_files: &[] };

/// Every component, so that a test can go through them and forget none.
pub const ALL: &[Component] = &[
    COUNTER,
    PRINTER,
    DOUBLE,
    ASKER,
    TALLY,
    BENCH_SOURCE,
    BENCH_SINK,
    MISBEHAVER,
    MISBEHAVING_CONSUMER,
    MISBEHAVING_RELAY,
    LEAKER,
    LEAKING_RELAY,
    VISITOR,
];

impl Component {
    /// Where the component is: in the directory of [`DIRECTORY_VARIABLE`] if set, else ready-made.
    pub fn path(&self) -> PathBuf {
        let directory = env::var_os(DIRECTORY_VARIABLE).map_or_else(prebuilt, PathBuf::from);
        directory.join(self.file_name())
    }

    /// The name of its file.
    pub fn file_name(&self) -> String {
        format!("{}.wasm", self.name)
    }

    /// The name of its cargo package.
    pub fn package(&self) -> String {
        format!("forebay-plugin-{}", self.name)
    }
}

/// The directory of the ready-made components.
pub fn prebuilt() -> PathBuf {
    root().join("plugins/prebuilt")
}

/// The top of the repository this crate was compiled in.
fn root() -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).expect("this crate is in plugins/artifacts").to_owned()
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs};

    use super::*;

    #[test]
    fn every_crate_below_plugins_is_listed() {
        let crates: BTreeSet<_> = fs::read_dir(root().join("plugins"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.join("Cargo.toml").exists())
            .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
            .filter(|name| name != "artifacts")
            .collect();
        let listed = ALL.iter().map(|component| component.name.to_owned()).collect();
        assert_eq!(crates, listed);
    }

    #[test]
    fn every_file_included_by_path_is_hashed() {
        for component in ALL {
            let directory = root().join("plugins").join(component.name).join("src");
            for entry in fs::read_dir(directory).unwrap() {
                let text = fs::read_to_string(entry.unwrap().path()).unwrap();
                let included: Vec<_> = text
                    .lines()
                    .filter_map(|line| line.strip_prefix("#[path = \"../../")?.strip_suffix("\"]"))
                    .collect();
                for file in included {
                    let file = format!("plugins/{file}");
                    assert!(component.shared_files.contains(&file.as_str()), "{}: {file}", component.name);
                }
            }
        }
    }

    #[test]
    fn every_component_is_ready_made_and_small() {
        // Unit: bytes. Some 150 KiB as built; the repository grows by this with every rebuild.
        const MAX: u64 = 200 << 10;
        // The visitor alone has the bindings of WASI's sockets, some 70 KiB.
        const MAX_WITH_SOCKETS: u64 = 240 << 10;
        for component in ALL {
            let path = prebuilt().join(component.file_name());
            let bytes = fs::read(&path).unwrap();
            assert!(forebay_author::component::is_component(&bytes), "{} is no component", path.display());
            let max = if *component == VISITOR { MAX_WITH_SOCKETS } else { MAX };
            assert!(bytes.len() as u64 <= max, "{} has {} bytes", path.display(), bytes.len());
        }
    }
}
