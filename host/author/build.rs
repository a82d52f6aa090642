//! Lists the files that travel with the binary: the SDKs with their templates, and the WIT.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

/// What is taken along, from the top of the repository.
const FOLDERS: [&str; 6] = ["sdk/rust", "sdk/c", "sdk/zig", "sdk/go", "sdk/js", "sdk/python"];
const FILES: [&str; 2] = ["wit/stage.wit", "Cargo.toml"];
/// What tools leave behind in a folder of sources, and what is for our own tests only.
const PASSED_OVER: [&str; 7] =
    ["target", "node_modules", "__pycache__", "tests", ".zig-cache", "zig-out", ".mypy_cache"];

fn main() -> io::Result<()> {
    let here = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let top = here.ancestors().nth(2).expect("this crate is in host/author").to_owned();
    let mut files: Vec<String> = FILES.map(str::to_owned).to_vec();
    for folder in FOLDERS {
        println!("cargo::rerun-if-changed={}", top.join(folder).display());
        collect(&top, folder, &mut files)?;
    }
    files.sort();
    let entries: String = files.iter().map(|file| entry(&top, file)).collect();
    let text = format!(
        "/// (path from the top of the repository, contents), sorted.\npub(super) static FILES: &[(&str, &[u8])] = &[\n{entries}];\n"
    );
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    fs::write(out.join("files.rs"), text)
}

fn entry(top: &Path, file: &str) -> String {
    let full = top.join(file);
    println!("cargo::rerun-if-changed={}", full.display());
    format!("    ({file:?}, include_bytes!({full:?})),\n")
}

fn collect(top: &Path, folder: &str, files: &mut Vec<String>) -> io::Result<()> {
    let entries = match fs::read_dir(top.join(folder)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let name =
            entry.file_name().into_string().map_err(|name| io::Error::other(format!("{name:?} is not UTF-8")))?;
        let path = format!("{folder}/{name}");
        match entry.file_type()?.is_dir() {
            _ if PASSED_OVER.contains(&name.as_str()) => {}
            true => collect(top, &path, files)?,
            false => files.push(path),
        }
    }
    Ok(())
}
