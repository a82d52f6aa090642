//! The folder that is watched: what happens in it, and whether it is still there.

use std::{
    ffi::{CStr, OsStr, OsString},
    fs::{self, DirBuilder},
    io,
    mem::MaybeUninit,
    os::{
        fd::{AsFd as _, BorrowedFd, OwnedFd},
        unix::{
            ffi::OsStrExt as _,
            fs::{DirBuilderExt as _, MetadataExt as _},
        },
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags},
    io::Errno,
};

use crate::history::Sign;

/// Bytes of events read at once: some hundred of them.
const EVENTS_BYTES: usize = 16 << 10;

/// What the events so far amount to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Events {
    /// All of them were told.
    Told,
    /// Some were lost: the queue of the system is bounded (`fs.inotify.max_queued_events`, 16,384).
    Missed,
    /// No more will come: the folder was removed, moved or unmounted.
    Ended,
}

#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    watch: Option<Watched>,
}

/// A folder under watch, which need not be what is under the path now.
#[derive(Debug)]
struct Watched {
    inotify: OwnedFd,
    device_inode: (u64, u64),
}

impl Folder {
    /// Makes the folder if it is missing, and watches it.
    pub(crate) fn start(path: &Path) -> io::Result<Self> {
        // The path is used by a thread while others might change the working directory.
        let path = std::path::absolute(path)?;
        DirBuilder::new().recursive(true).mode(0o700).create(&path)?;
        let watch = Some(Watched::start(&path)?);
        Ok(Self { path, watch })
    }

    pub(crate) fn file(&self, name: &OsStr) -> PathBuf {
        self.path.join(name)
    }

    /// Readable when there are events; `None` while the folder is away.
    pub(crate) fn events_fd(&self) -> Option<BorrowedFd<'_>> {
        self.watch.as_ref().map(|watch| watch.inotify.as_fd())
    }

    /// Takes all events there are.
    pub(crate) fn take_events(&mut self, mut tell: impl FnMut(OsString, Sign)) -> Events {
        let Some(watch) = &self.watch else { return Events::Told };
        let events = watch.take_events(&mut tell);
        if events == Events::Ended {
            self.watch = None;
        }
        events
    }

    /// Watches what is under the path now. Whether that is another folder than before, or there is one again or no more.
    pub(crate) fn follow_path(&mut self) -> bool {
        if self.watch.as_ref().is_some_and(|watch| device_inode(&self.path).ok() == Some(watch.device_inode)) {
            return false;
        }
        let was_watched = self.watch.take().is_some();
        self.watch = Watched::start(&self.path).ok();
        was_watched || self.watch.is_some()
    }

    /// The names of all that is in the folder; nothing when it is away.
    pub(crate) fn names(&self) -> Vec<OsString> {
        fs::read_dir(&self.path).into_iter().flatten().flatten().map(|entry| entry.file_name()).collect()
    }
}

impl Watched {
    fn start(path: &Path) -> io::Result<Self> {
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        let device_inode_before = device_inode(path)?;
        // Without `EXCL_UNLINK` writers of a file that was moved over would be taken for writers of its successor.
        let what = WatchFlags::ONLYDIR
            | WatchFlags::EXCL_UNLINK
            | WatchFlags::CREATE
            | WatchFlags::MODIFY
            | WatchFlags::ATTRIB
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::MOVE
            | WatchFlags::DELETE
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF;
        inotify::add_watch(&inotify, path, what)?;
        // Another folder was put there meanwhile: the next try will have it.
        if device_inode(path)? != device_inode_before {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(Self { inotify, device_inode: device_inode_before })
    }

    fn take_events(&self, tell: &mut impl FnMut(OsString, Sign)) -> Events {
        let mut buffer = [MaybeUninit::uninit(); EVENTS_BYTES];
        let mut reader = Reader::new(&self.inotify, &mut buffer);
        let mut events = Events::Told;
        loop {
            match reader.next() {
                Ok(event) if event.events().contains(ReadFlags::QUEUE_OVERFLOW) => events = Events::Missed,
                Ok(event) if event.events().intersects(ends()) => return Events::Ended,
                Ok(event) => {
                    if let (Some(name), Some(sign)) = (event.file_name(), sign_of(event.events())) {
                        tell(owned(name), sign);
                    }
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return events,
                // Not known to happen. A new watch will be started, and nothing is believed until then.
                Err(_) => return Events::Ended,
            }
        }
    }
}

fn device_inode(path: &Path) -> io::Result<(u64, u64)> {
    fs::metadata(path).map(|found| (found.dev(), found.ino()))
}

fn ends() -> ReadFlags {
    ReadFlags::DELETE_SELF | ReadFlags::MOVE_SELF | ReadFlags::IGNORED | ReadFlags::UNMOUNT
}

fn owned(name: &CStr) -> OsString {
    OsStr::from_bytes(name.to_bytes()).to_owned()
}

/// An event has one of these.
fn sign_of(events: ReadFlags) -> Option<Sign> {
    let signs = [
        (ReadFlags::MODIFY, Sign::Modified),
        (ReadFlags::CLOSE_WRITE | ReadFlags::MOVED_TO, Sign::Finished),
        (ReadFlags::CREATE, Sign::Created),
        (ReadFlags::ATTRIB, Sign::Touched),
        (ReadFlags::DELETE | ReadFlags::MOVED_FROM, Sign::Removed),
    ];
    signs.into_iter().find(|(flags, _)| events.intersects(*flags)).map(|(_, sign)| sign)
}
