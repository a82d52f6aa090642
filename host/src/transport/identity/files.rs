//! PEM files of keys and certificates: who may read them, and errors that say which file and what to do.

use std::{
    fs, io,
    io::Write as _,
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, pem::PemObject as _};

use super::IdentityError;

/// Makes `dir` and what is above it; the new ones can be entered by their owner only.
pub(super) fn make_private_dir(dir: &Path) -> Result<(), IdentityError> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(io_error("make directory", dir))
}

/// Writes a certificate, whole or not at all, for everybody to read.
pub(super) fn write_certificate(path: &Path, certificate: &CertificateDer<'_>) -> Result<(), IdentityError> {
    write(path, &pem("CERTIFICATE", certificate), 0o644)
}

/// Writes a private key in PKCS #8 form, whole or not at all, for its owner alone.
pub(super) fn write_key(path: &Path, pkcs8: &[u8]) -> Result<(), IdentityError> {
    write(path, &pem("PRIVATE KEY", pkcs8), 0o600)
}

fn write(path: &Path, text: &str, mode: u32) -> Result<(), IdentityError> {
    let error = io_error("write", path);
    let dir = path.parent().unwrap_or(Path::new("."));
    let attempt = || {
        let mut file = tempfile::NamedTempFile::new_in(dir)?; // Mode 0600.
        file.write_all(text.as_bytes())?;
        file.as_file().set_permissions(fs::Permissions::from_mode(mode))?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        Ok(())
    };
    attempt().map_err(error)
}

/// Reads one certificate. `remedy` is the command that makes the file.
pub(super) fn read_certificate(path: &Path, remedy: &str) -> Result<CertificateDer<'static>, IdentityError> {
    let bytes = read(path, remedy)?;
    CertificateDer::from_pem_slice(&bytes).map_err(|error| malformed(path, "certificate", &error))
}

/// Reads a private key that nobody else can read.
pub(super) fn read_key(path: &Path, remedy: &str) -> Result<PrivatePkcs8KeyDer<'static>, IdentityError> {
    let bytes = read(path, remedy)?;
    let mode = fs::metadata(path).map_err(io_error("look at", path))?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(IdentityError::OpenToOthers { path: path.to_owned(), mode });
    }
    PrivatePkcs8KeyDer::from_pem_slice(&bytes).map_err(|error| malformed(path, "private key", &error))
}

fn read(path: &Path, remedy: &str) -> Result<Vec<u8>, IdentityError> {
    fs::read(path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => IdentityError::Missing { path: path.to_owned(), remedy: remedy.to_owned() },
        _ => io_error("read", path)(source),
    })
}

fn malformed(path: &Path, expected: &'static str, error: &rustls::pki_types::pem::Error) -> IdentityError {
    IdentityError::Malformed { path: path.to_owned(), expected, found: error.to_string() }
}

fn io_error(attempt: &'static str, path: &Path) -> impl FnOnce(io::Error) -> IdentityError + use<> {
    let path: PathBuf = path.to_owned();
    move |source| IdentityError::Io { attempt, path, source }
}

/// RFC 7468. Written here because the crates at hand only encode what they made themselves.
fn pem(label: &str, der: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = format!("-----BEGIN {label}-----\n");
    for line in der.chunks(48) {
        for group in line.chunks(3) {
            let byte = |index: usize| u32::from(group.get(index).copied().unwrap_or(0));
            let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
            for digit in 0..4 {
                let value = (bits >> (18 - 6 * digit)) & 63;
                text.push(if digit > group.len() { '=' } else { char::from(ALPHABET[value as usize]) });
            }
        }
        text.push('\n');
    }
    text + &format!("-----END {label}-----\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_as_pem_is_read_back() {
        for length in [1, 2, 3, 47, 48, 49, 200] {
            let der: Vec<u8> = (0..=255).cycle().skip(length).take(length).collect();
            let read = CertificateDer::from_pem_slice(pem("CERTIFICATE", &der).as_bytes()).unwrap();
            assert_eq!(&*read, &*der);
        }
    }
}
