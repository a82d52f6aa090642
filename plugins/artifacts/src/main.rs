//! The tool that rebuilds the ready-made components, and tells whether they are stale.

use std::{env, path::PathBuf, process::ExitCode};

use anyhow::{Context, Result, bail};
use forebay_artifacts::{
    build::{Options, build},
    stale,
};
use forebay_author::rust::toolchain::Choice;

const USAGE: &str = "\
usage: forebay-artifacts build [--out DIR] [--target-dir DIR] [--debian]
       forebay-artifacts check

build  builds every plugin from source and copies the components to DIR (plugins/prebuilt);
       --target-dir is where cargo builds (target/wasm), --debian takes Debian's toolchain even when
       the active one has the target wasm32-wasip2
check  says which ready-made components are stale; exit code 1 if any";

fn main() -> Result<ExitCode> {
    let mut args = env::args().skip(1);
    match args.next().as_deref() {
        Some("build") => {
            for (path, bytes) in build(&options(args)?)? {
                println!("{:>7} bytes  {}", bytes, path.display());
            }
            Ok(ExitCode::SUCCESS)
        }
        Some("check") => {
            let stale = stale()?;
            stale.iter().for_each(|stale| println!("{stale}"));
            Ok(if stale.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        _ => bail!("{USAGE}"),
    }
}

fn options(mut args: impl Iterator<Item = String>) -> Result<Options> {
    let mut options = Options::default();
    while let Some(arg) = args.next() {
        let mut directory = || args.next().map(PathBuf::from).with_context(|| format!("`{arg}` needs a directory"));
        match arg.as_str() {
            // Cargo runs at the top of the repository, so paths are made absolute here.
            "--out" => options.out = std::path::absolute(directory()?)?,
            "--target-dir" => options.target_dir = std::path::absolute(directory()?)?,
            "--debian" => options.toolchain = Choice::Debian,
            _ => bail!("unknown argument `{arg}`\n{USAGE}"),
        }
    }
    Ok(options)
}
