//! Where a node's socket is, however long its path.

use std::{
    fs::File,
    io,
    os::{fd::AsRawFd as _, unix::net::UnixStream},
    path::Path,
};

/// The name of the socket in a node's data directory.
pub(crate) const SOCKET: &str = "admin.sock";

/// Longer paths do not fit the system's address of a socket, 108 bytes with the zero at the end.
const PATH_BYTES_MAX: usize = 100;

pub(crate) fn connect(data: &Path) -> io::Result<UnixStream> {
    let path = data.join(SOCKET);
    if path.as_os_str().len() <= PATH_BYTES_MAX {
        return UnixStream::connect(path);
    }
    // Linux gives every open directory a short name.
    let directory = File::open(data)?;
    UnixStream::connect(format!("/proc/self/fd/{}/{SOCKET}", directory.as_raw_fd()))
}
