//! What lies under a redb database, and whether it can still be trusted.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use redb::StorageBackend;

/// A backend that notes when data could not be flushed.
///
/// After that the system may show what never reaches the disk, so that nothing may be built on it.
#[derive(Debug)]
pub(crate) struct Watched {
    backend: Box<dyn StorageBackend>,
    lost: Lost,
}

/// Whether data could not be flushed. Clones tell the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lost(Arc<AtomicBool>);

impl Lost {
    pub(crate) fn is_so(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

impl Watched {
    /// `lost` is told; it may be that of a former backend on the same disk.
    pub(crate) fn new(backend: Box<dyn StorageBackend>, lost: Lost) -> Self {
        Self { backend, lost }
    }

    pub(crate) fn lost(&self) -> Lost {
        self.lost.clone()
    }
}

/// All of a `redb::StorageBackend` but `set_len` and `sync_data`, done by the one in this field.
///
/// By its locks redb notices that a file is open already. What is not passed on counts as not there.
macro_rules! pass_on {
    ($backend:ident) => {
        fn len(&self) -> ::std::io::Result<u64> {
            self.$backend.len()
        }

        fn read(&self, offset: u64, out: &mut [u8]) -> ::std::io::Result<()> {
            self.$backend.read(offset, out)
        }

        fn write(&self, offset: u64, data: &[u8]) -> ::std::io::Result<()> {
            self.$backend.write(offset, data)
        }

        fn close(&self) -> ::std::io::Result<()> {
            self.$backend.close()
        }

        $crate::watched::pass_on!($backend: try_lock_range, try_lock_shared_range, query_lock_range -> bool);
        $crate::watched::pass_on!($backend: lock_range, lock_shared_range, unlock_range -> ());
    };
    ($backend:ident: $($lock:ident),+ -> $answer:ty) => {
        $(fn $lock(
            &self,
            start: ::std::ops::Bound<u64>,
            end: ::std::ops::Bound<u64>,
        ) -> Result<$answer, ::redb::BackendError> {
            self.$backend.$lock(start, end)
        })+
    };
}
pub(crate) use pass_on;

impl StorageBackend for Watched {
    pass_on!(backend);

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.backend.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.backend.sync_data().inspect_err(|_| self.lost.0.store(true, Ordering::Release))
    }
}
