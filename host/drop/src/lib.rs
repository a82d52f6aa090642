//! Watches a folder for plugin files and hands out each whole version of them once.
//!
//! ```text
//!  cp, mv, scp ... --> FOLDER/x.wasm, FOLDER/x.wasm.minisig
//!                           | inotify: modified, closed, moved, removed
//!                           v
//!   unknown --+--> whole --> quiet for `settle` --> read, unchanged --> Drop::Found
//!   writing --+
//! ```
//!
//! A file is handed out when, as far as anybody can tell, its writer has finished:
//!
//! - nothing was written after the last time that a writer closed it or it was moved here;
//! - nothing happened to it for [`Options::settle`];
//! - what it is, its length and its times are the same before it is opened, on the open file, and after it was read;
//! - no process is seen that has it open for writing, see [`Options::ask_for_writers`].
//!
//! Of a file that was there at the start, or whose events were lost, nobody knows whether its writer has finished. It
//! must be [`Options::doubt`] old and not change meanwhile.
//!
//! **Move files into the folder**: `mv` on one file system, or `rsync`, which does so itself. A writer that closes its
//! file and goes on later (`cat a > x.wasm; sleep 1; cat b >> x.wasm`) cannot be told from one that has finished. Nor
//! can one that nobody sees write: through a memory mapping without a change of length, through another hard link, on
//! another computer that shares the file system, or within one single write that takes longer than `settle`. So what is
//! handed out is only *likely* a whole plugin. Whoever loads it checks that it is a valid component.
//!
//! Skipped are all files but `*.wasm` and `*.wasm.minisig`, hidden ones, and those whose names begin with `#` or `~`:
//! so do the temporary ones of rsync and editors. `scp` writes in place and is waited for.

mod file;
mod folder;
mod history;
mod names;
mod plugin;
mod watcher;
mod writers;

use std::{
    fmt,
    io::{self, ErrorKind},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    thread::JoinHandle,
    time::Duration,
};

use bytes::Bytes;
use forebay_proto::{
    blob::{BLOB_BYTES_MAX, Digest},
    ids::{NAME_BYTES_MAX, NameError},
};
use tokio::sync::mpsc;

use crate::{folder::Folder, watcher::Watcher};

/// The longest signature, in bytes. Those of minisign have about 300, of which a comment may be longer.
pub const SIGNATURE_BYTES_MAX: u64 = forebay_proto::deploy::SIGNATURE_BYTES_MAX as u64;

/// The shortest `settle` that is used: time stamps of files advance in steps of up to 10 ms (`CONFIG_HZ=100`).
const SETTLE_MIN: Duration = Duration::from_millis(20);

/// How patient a [`Watch`] is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Options {
    /// How long nothing may have happened to a file. Default 300 ms, at least 20 ms are used.
    ///
    /// Shorter: of two writers in turn, the first one's bytes are handed out too. Longer: files come later.
    pub settle: Duration,
    /// How old a file must be of which it is not known whether its writer has finished. Default 2 s, at least `settle`.
    ///
    /// Shorter: after a start, more is taken for whole that is not. Longer: files come later after a start.
    pub doubt: Duration,
    /// Whether to look through `/proc` for a process that has a file open for writing. Default true.
    ///
    /// Only processes of the same user are seen, or all of them by root. It costs about 2 µs for each open file of
    /// each of these, once for each version of a plugin and every `doubt` while a writer is found.
    pub ask_for_writers: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { settle: Duration::from_millis(300), doubt: Duration::from_secs(2), ask_for_writers: true }
    }
}

/// Something about a plugin file.
#[derive(Clone, Eq, PartialEq)]
pub enum Drop {
    /// A whole version: other bytes or another signature than the last of this name. All of them after a start.
    Found {
        /// The file's name without `.wasm`, which keeps to the rules of names in `forebay_proto::ids`.
        name: String,
        /// The file.
        path: PathBuf,
        /// What was read and hashed, at most 64 MiB. The file may have become another since.
        bytes: Bytes,
        /// Of `bytes`.
        digest: Digest,
        /// What is in `FILE.minisig`, unchecked; at most 4 KiB.
        signature: Option<String>,
    },
    /// A file that cannot be used. Said once for each reason and contents; a former `Found` of the name stays valid.
    Unusable {
        /// The plugin file, or its signature file. Without the latter the plugin is `Found` too, as an unsigned one.
        path: PathBuf,
        /// What is the matter.
        why: Why,
    },
    /// A plugin that was `Found` has no file any more.
    Gone {
        /// As in `Found`.
        name: String,
    },
}

/// Why a file cannot be used.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Why {
    /// Nothing can be called so.
    #[error("its name without `.wasm` must be {NAME_BYTES_MAX} or fewer of the characters a-z, 0-9, `.`, `_` and `-`")]
    Name(#[source] NameError),
    /// A directory, a link, a pipe.
    #[error("it is not a regular file; links are not followed")]
    NotRegular,
    /// There is nothing in it.
    #[error("it is empty")]
    Empty,
    /// Nodes do not give each other files as long as this.
    #[error("it has {bytes} bytes, a plugin has at most {BLOB_BYTES_MAX}")]
    TooLong {
        /// Its length.
        bytes: u64,
    },
    /// WebAssembly, but a core module.
    #[error("it is a core module, not a component; make one with `forebay build` or `wasm-tools component new`")]
    CoreModule,
    /// It does not begin as components do.
    #[error("it is not a WebAssembly component")]
    NotComponent,
    /// The system does not let us read it.
    #[error("it cannot be read: {0}")]
    Unreadable(ErrorKind),
    /// No signature is as long as this.
    #[error("the signature has {bytes} bytes, expected at most {SIGNATURE_BYTES_MAX}")]
    SignatureTooLong {
        /// Its length.
        bytes: u64,
    },
    /// A signature is text.
    #[error("the signature is not text in UTF-8")]
    SignatureNotText,
}

impl fmt::Debug for Drop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Found { name, path, bytes, digest, signature } => f
                .debug_struct("Found")
                .field("name", name)
                .field("path", path)
                .field("bytes", &bytes.len())
                .field("digest", digest)
                .field("signature", signature)
                .finish(),
            Self::Unusable { path, why } => f.debug_struct("Unusable").field("path", path).field("why", why).finish(),
            Self::Gone { name } => f.debug_struct("Gone").field("name", name).finish(),
        }
    }
}

/// A folder that is watched. Dropping it ends the watching.
///
/// A thread of its own does so, since files are read by blocking calls. It keeps at most two files in memory that were
/// not asked for; it waits then, and what happens in the folder meanwhile is not lost.
#[derive(Debug)]
pub struct Watch {
    drops: mpsc::Receiver<Drop>,
    /// Closed to wake and stop the thread.
    stop: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Watches `folder`, which is made with access for its owner only (0700) if it is missing.
    ///
    /// It may be removed later, or be replaced: what was in it is [`Drop::Gone`], and a folder that comes back under
    /// the same path is watched again. It is not made again.
    ///
    /// # Errors
    ///
    /// The folder cannot be made or watched. Often there are too many watches: `fs.inotify.max_user_instances`.
    pub fn start(folder: impl AsRef<Path>, options: Options) -> io::Result<Self> {
        let settle = options.settle.max(SETTLE_MIN);
        let options = Options { settle, doubt: options.doubt.max(settle), ..options };
        let folder = Folder::start(folder.as_ref())?;
        let (stop, stopped) = UnixStream::pair()?;
        // One waits to be asked for, and one to be queued: more would only keep memory busy.
        let (sender, drops) = mpsc::channel(1);
        let watcher = Watcher::new(folder, options, sender, stopped);
        let thread = std::thread::Builder::new().name("drop".into()).spawn(move || watcher.run())?;
        Ok(Self { drops, stop: Some(stop), thread: Some(thread) })
    }

    /// The next that happened; waits for it.
    ///
    /// # Panics
    ///
    /// When the watching thread has panicked.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when this is dropped.
    pub async fn next(&mut self) -> Drop {
        self.drops.recv().await.expect("the thread ends after its `Watch`")
    }
}

impl std::ops::Drop for Watch {
    /// Waits for the thread, which stops within the reading of one piece of a file.
    fn drop(&mut self) {
        self.drops.close();
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            // It has told of its panic already.
            let _ = thread.join();
        }
    }
}
