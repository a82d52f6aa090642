//! Where a node's socket is, and how it is made and met, however long its path.

use std::{
    fs, io,
    os::{
        fd::AsRawFd,
        unix::{
            fs::{FileTypeExt, PermissionsExt},
            net::UnixStream,
        },
    },
    path::{Path, PathBuf},
};

use tokio::net::UnixListener;

/// The name of the socket in a node's data directory.
const SOCKET: &str = "admin.sock";

/// Longer paths do not fit the system's address of a socket, 108 bytes with the zero at the end.
const PATH_BYTES_MAX: usize = 100;

/// The socket of the node with this data directory.
pub fn socket_path(data: &Path) -> PathBuf {
    data.join(SOCKET)
}

/// Connects to the node with this data directory.
///
/// # Errors
/// As the system says; `NotFound` and `ConnectionRefused` mean that none runs.
pub fn connect(data: &Path) -> io::Result<UnixStream> {
    with_short_path(data, UnixStream::connect)
}

/// Makes the socket, in place of one that a former process left. Only this user may use it.
///
/// The caller holds the lock of the data directory, so nobody else serves it.
///
/// # Errors
/// As the system says.
pub(super) fn bind(data: &Path) -> io::Result<UnixListener> {
    let path = socket_path(data);
    match fs::symlink_metadata(&path) {
        Ok(found) if !found.file_type().is_socket() => {
            let text = format!("{} is there, and no socket; remove it", path.display());
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
        }
        Ok(_) => fs::remove_file(&path)?,
        Err(_) => {}
    }
    // Made in a directory that is closed to others, since a socket is made with the rights that the
    // umask leaves, and moved once it has its own.
    let closed = tempfile::Builder::new().prefix(".admin-").tempdir_in(data)?;
    let listener = with_short_path(closed.path(), UnixListener::bind)?;
    let made = socket_path(closed.path());
    fs::set_permissions(&made, fs::Permissions::from_mode(0o600))?;
    fs::rename(&made, &path)?;
    Ok(listener)
}

fn with_short_path<T>(dir: &Path, use_it: impl FnOnce(PathBuf) -> io::Result<T>) -> io::Result<T> {
    let path = socket_path(dir);
    if path.as_os_str().len() <= PATH_BYTES_MAX {
        return use_it(path);
    }
    // Linux gives every open directory a short name.
    let dir = fs::File::open(dir)?;
    use_it(PathBuf::from(format!("/proc/self/fd/{}/{SOCKET}", dir.as_raw_fd())))
}
