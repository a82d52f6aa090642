//! What `push` and `pull` have in common: which registry, how it is spoken to, how far a transfer is.

use std::{
    io::{self, IsTerminal, Write},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use forebay_oci::{Error, Options, Reference};

use super::{Exit, Failure};

/// How often a terminal is told how far it is: as often as an eye can follow.
const PROGRESS_PAUSE: Duration = Duration::from_millis(100);

/// How the registry is spoken to.
#[derive(Debug, clap::Args)]
pub(super) struct RegistryArgs {
    /// The plugin in a registry: HOST/NAME:TAG or, to pull, HOST/NAME@sha256:DIGEST; HOST may end in :PORT
    #[arg(value_name = "REFERENCE")]
    pub(super) reference: Reference,
    /// Speak plain HTTP, without TLS: everybody on the way can read along and give other bytes. Registries on
    /// this machine (localhost, 127.0.0.0/8, ::1) are spoken to so in any case
    #[arg(long)]
    insecure_http: bool,
}

impl RegistryArgs {
    pub(super) fn options(&self) -> Options {
        Options { insecure_http: self.insecure_http, credentials_file: None }
    }
}

/// Where a plugin's signature stands: `FILE.minisig`.
pub(super) fn signature_path(plugin: &Path) -> PathBuf {
    let mut path = plugin.as_os_str().to_owned();
    path.push(".minisig");
    path.into()
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let exit = match &error {
            Error::Artefact(_) | Error::Foreign { .. } | Error::Altered { .. } => Exit::Data,
            Error::Unauthorised { .. } => Exit::Permission,
            Error::Credentials { .. } => Exit::Config,
            Error::NotFound { .. }
            | Error::Refused { .. }
            | Error::Protocol { .. }
            | Error::Tls { .. }
            | Error::Unreachable { .. } => Exit::Unavailable,
        };
        Self::of(exit, &error)
    }
}

/// How far a transfer is: one line on standard error that is written over, if that is a terminal.
pub(super) struct Progress {
    what: &'static str,
    shown: Option<Instant>,
    terminal: bool,
}

impl Progress {
    pub(super) fn new(what: &'static str) -> Self {
        Self { what, shown: None, terminal: io::stderr().is_terminal() }
    }

    pub(super) fn tell(&mut self, done: u64, of: u64) {
        if !self.terminal || done < of && self.shown.is_some_and(|at| at.elapsed() < PROGRESS_PAUSE) {
            return;
        }
        self.shown = Some(Instant::now());
        let percent = (done * 100).checked_div(of).unwrap_or(100);
        // A terminal that cannot be written to is no reason to break off.
        let _ = write!(io::stderr().lock(), "\r\x1b[K{} {percent} % of {}", self.what, size(of));
    }

    /// Takes the line away.
    pub(super) fn end(self) {
        if self.shown.is_some() {
            let _ = write!(io::stderr().lock(), "\r\x1b[K");
        }
    }
}

/// A number of bytes for people.
pub(super) fn size(bytes: u64) -> String {
    const KIB: u64 = 1 << 10;
    const MIB: u64 = 1 << 20;
    match bytes {
        0..KIB => format!("{bytes} bytes"),
        KIB..MIB => format!("{} KiB", bytes / KIB),
        _ => format!("{}.{} MiB", bytes / MIB, bytes % MIB * 10 / MIB),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_readable() {
        assert_eq!([0, 1023, 2048, 5 << 19].map(size), ["0 bytes", "1023 bytes", "2 KiB", "2.5 MiB"]);
    }

    #[test]
    fn a_signature_stands_beside_its_plugin() {
        assert_eq!(signature_path(Path::new("a/counter.wasm")), Path::new("a/counter.wasm.minisig"));
    }
}
