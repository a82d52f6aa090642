//! The WIT keeps its promise: what plugins were built from goes on working. `wit/README.md` has the rules.

mod changes;
mod compatibility;
mod shape;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use shape::{Package, Version};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("this crate is in host/author").join("wit")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What was released, by version.
fn released() -> BTreeMap<Version, (PathBuf, String)> {
    let folders = fs::read_dir(folder().join("released")).expect("wit/released is there");
    let files = folders.map(|folder| folder.expect("a folder that can be read").path().join("stage.wit"));
    let files = files.map(|path| {
        let text = read(&path);
        let package = Package::parse(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let named = path.parent().and_then(Path::file_name).expect("it is in a folder of its own");
        assert_eq!(named, package.version.to_string().as_str(), "{}: a folder has its version's name", path.display());
        (package.version, (path, text))
    });
    files.collect()
}

#[test]
fn plugins_of_every_released_version_go_on_working() {
    let present = read(&folder().join("stage.wit"));
    let released = released();
    assert!(!released.is_empty(), "nothing in wit/released: this test looks in the wrong place");
    for (path, text) in released.values() {
        let problems = compatibility::check(text, &present).expect("both parse");
        let problems: Vec<_> = problems.iter().map(|problem| format!("\n  {problem}")).collect();
        assert!(
            problems.is_empty(),
            "wit/stage.wit breaks plugins built from {}, or is in want of a version of its own; \
             see \"How it may change\" in wit/README.md:{}",
            path.display(),
            problems.concat()
        );
    }
}

#[test]
fn each_released_version_keeps_to_those_before_it() {
    let released: Vec<_> = released().into_values().collect();
    for (index, (path, text)) in released.iter().enumerate() {
        for (earlier, earlier_text) in &released[..index] {
            let problems = compatibility::check(earlier_text, text).expect("both parse");
            assert!(problems.is_empty(), "{} after {}: {problems:#?}", path.display(), earlier.display());
        }
    }
}
