//! Whether a process has a file open for writing, as far as `/proc` shows.
//!
//! A read lease (`fcntl F_SETLEASE`) would ask the kernel itself, but neither rustix nor nix has it, and we write no
//! unsafe code. So this is a hint: processes of others are not seen, unless by root.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::Path,
};

use crate::file::Identity;

/// Whether any process that can be seen has the file open for writing.
pub(crate) fn has_writer(file: &Identity) -> bool {
    entries(Path::new("/proc")).any(|process| {
        let is_process = process.file_name().is_some_and(|name| name.as_encoded_bytes()[0].is_ascii_digit());
        is_process && entries(&process.join("fd")).any(|open| writes(&open, file))
    })
}

/// `open` is the link of an open file: its rights say how it was opened.
fn writes(open: &Path, file: &Identity) -> bool {
    let writable = fs::symlink_metadata(open).is_ok_and(|link| link.permissions().mode() & 0o200 != 0);
    // Sockets and pipes have no path; most of what is open for writing need not be followed.
    let is_file = || fs::read_link(open).is_ok_and(|path| path.is_absolute() && !path.starts_with("/dev"));
    let is_it = || fs::metadata(open).is_ok_and(|found| (found.dev(), found.ino()) == (file.device, file.inode));
    writable && is_file() && is_it()
}

fn entries(folder: &Path) -> impl Iterator<Item = std::path::PathBuf> + use<> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path())
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;
    use crate::file::Look;

    #[test]
    fn only_an_open_writer_is_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        let writer = File::create(&path).unwrap();
        let file = Look::at(&path).identity.unwrap();
        assert!(has_writer(&file));
        drop(writer);
        assert!(!has_writer(&file));
        let _reader = File::open(&path).unwrap();
        assert!(!has_writer(&file));
        let _both = File::options().read(true).append(true).open(&path).unwrap();
        assert!(has_writer(&file));
    }
}
