//! A small file system of its own for the data of each node, in memory, and filling it.
//!
//! They are mounted in a mount namespace of the thread that makes them: the threads and processes that it starts see
//! them too, nobody else does, and they are gone with the last of these.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use rustix::{
    fs::{FallocateFlags, fallocate, statvfs},
    io::Errno,
    thread::{UnshareFlags, unshare_unsafe},
};

/// The room of each. Unit: bytes. Much more than `disk_reserve` and than a node needs, so that only a filler fills it.
pub(crate) const DISK_BYTES: u64 = 256 << 20;

/// The file that takes all the room.
const FILLER: &str = "filler";

/// Moves the calling thread into a mount namespace of its own, from which nothing gets out.
pub(super) fn enter_new_namespace() -> io::Result<()> {
    unshare()?;
    mount(Command::new("mount").args(["--make-rprivate", "/"]))
}

/// Runs `mount` in the calling thread's namespace.
fn mount(command: &mut Command) -> io::Result<()> {
    let output = command.stdin(Stdio::null()).output()?;
    let text = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if output.status.success() { Ok(()) } else { Err(io::Error::other(format!("{command:?}: {text}"))) }
}

#[expect(unsafe_code, reason = "unshare has no safe wrapper")]
fn unshare() -> rustix::io::Result<()> {
    // SAFETY: unsafe for the sake of `UnshareFlags::FILES`, which would part this thread's file
    // descriptors from the others'; it is not asked for.
    unsafe { unshare_unsafe(UnshareFlags::NEWNS) }
}

/// The file system of one node.
#[derive(Clone, Debug)]
pub(crate) struct Disk(PathBuf);

impl Disk {
    /// Mounts one on a new directory.
    pub(super) fn create(directory: &Path) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        let options = format!("size={DISK_BYTES},nosuid,nodev");
        mount(Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(directory))?;
        Ok(Self(directory.to_owned()))
    }

    /// Takes all the room that is left. Gives how many bytes are free then.
    pub(crate) fn fill(&self) -> io::Result<u64> {
        let filler = File::options().create(true).append(true).open(self.0.join(FILLER))?;
        loop {
            let free = self.free()?;
            let grown = match free {
                0 => return Ok(0),
                free => fallocate(&filler, FallocateFlags::empty(), filler.metadata()?.len(), free),
            };
            match grown {
                // The node takes and frees some at the same time.
                Ok(()) | Err(Errno::INTR) => {}
                Err(Errno::NOSPC) => return self.free(),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Gives back what was taken.
    pub(crate) fn clear(&self) -> io::Result<()> {
        fs::remove_file(self.0.join(FILLER))
    }

    fn free(&self) -> io::Result<u64> {
        let found = statvfs(&self.0)?;
        Ok(found.f_bavail.saturating_mul(found.f_frsize))
    }
}
