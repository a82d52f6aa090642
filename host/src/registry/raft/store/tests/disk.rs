//! A disk that loses power: what was not synced is gone, or half there.

use std::{
    io,
    sync::{Arc, Mutex},
};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use redb::StorageBackend;

use crate::registry::raft::store::{Files, MemoryDisk};

/// Sectors are written whole; longer writes may be cut between them.
const SECTOR_BYTES: usize = 512;

/// A disk whose power is cut at its n-th operation. From then on everything fails.
#[derive(Clone, Debug)]
pub(crate) struct PowerDisk(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    /// What programs see.
    seen: Vec<u8>,
    /// What is on the platter for sure.
    synced: Vec<u8>,
    /// What came since, and may be there or not.
    unsynced: Vec<Change>,
    /// Files are written whole and synced, by contract.
    files: MemoryDisk,
    operations: usize,
    cut_at: usize,
}

#[derive(Debug)]
enum Change {
    Write(usize, Vec<u8>),
    Length(usize),
}

impl PowerDisk {
    /// A new disk.
    pub(crate) fn new() -> Self {
        Self::with(Vec::new(), MemoryDisk::default())
    }

    /// Cuts the power at the n-th operation from now on, counted from 1.
    pub(crate) fn cut_at(&self, operation: usize) {
        let mut state = self.0.lock().unwrap();
        state.cut_at = state.operations + operation;
    }

    fn with(bytes: Vec<u8>, files: MemoryDisk) -> Self {
        let (seen, synced) = (bytes.clone(), bytes);
        Self(Arc::new(Mutex::new(State {
            seen,
            synced,
            unsynced: Vec::new(),
            files,
            operations: 0,
            cut_at: usize::MAX,
        })))
    }

    pub(crate) fn was_cut(&self) -> bool {
        let state = self.0.lock().unwrap();
        state.operations >= state.cut_at
    }

    /// The disk after power is back. What was not synced is there or not, or in part, as chance has it.
    pub(crate) fn powered_again(&self, seed: u64) -> Self {
        let state = self.0.lock().unwrap();
        let (mut chance, mut bytes) = (StdRng::seed_from_u64(seed), state.synced.clone());
        // Also the extremes: nothing of it, and all of it.
        let odds = [0.0, 0.2, 0.5, 0.8, 1.0][chance.random_range(0..5)];
        for change in &state.unsynced {
            if chance.random_bool(odds) {
                let torn = chance.random_bool(0.3).then(|| chance.random::<u32>() as usize);
                change.apply(&mut bytes, torn);
            }
        }
        Self::with(bytes, state.files.clone())
    }

    fn operate<T>(&self, operation: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.0.lock().unwrap();
        state.operations += 1;
        match state.operations >= state.cut_at {
            true => Err(io::Error::other("no power")),
            false => operation(&mut state),
        }
    }
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>, torn: Option<usize>) {
        match self {
            Self::Length(len) => bytes.resize(*len, 0),
            Self::Write(offset, data) => {
                let sectors = data.len().div_ceil(SECTOR_BYTES);
                let written = torn.map_or(data.len(), |torn| (torn % (sectors + 1) * SECTOR_BYTES).min(data.len()));
                let end = offset + written;
                if bytes.len() < end {
                    bytes.resize(end, 0);
                }
                bytes[*offset..end].copy_from_slice(&data[..written]);
            }
        }
    }
}

impl StorageBackend for PowerDisk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().unwrap().seen.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.0.lock().unwrap();
        let start = usize::try_from(offset).unwrap();
        let range = start..start + out.len();
        out.copy_from_slice(state.seen.get(range).ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let len = usize::try_from(len).unwrap();
        self.operate(|state| {
            state.seen.resize(len, 0);
            state.unsynced.push(Change::Length(len));
            Ok(())
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        self.operate(|state| {
            state.unsynced.clear();
            state.synced = state.seen.clone();
            Ok(())
        })
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let offset = usize::try_from(offset).unwrap();
        self.operate(|state| {
            state.seen[offset..offset + data.len()].copy_from_slice(data);
            state.unsynced.push(Change::Write(offset, data.to_vec()));
            Ok(())
        })
    }
}

impl Files for PowerDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        self.0.lock().unwrap().files.list()
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        Files::read(&self.0.lock().unwrap().files, name)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.operate(|state| Files::write(&state.files, name, bytes))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.operate(|state| state.files.remove(name))
    }

    fn place(&self) -> String {
        "power disk".to_owned()
    }
}
