//! Which partial files somebody is at: two at the same would undo each other's work.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, Weak},
};

use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

/// A file is another's turn once this is dropped.
pub(crate) type Turn = OwnedMutexGuard<()>;

/// See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct Busy(Mutex<HashMap<PathBuf, Weak<AsyncMutex<()>>>>);

impl Busy {
    /// Waits for its turn.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(crate) async fn turn(&self, path: &Path) -> Turn {
        self.of(path).lock_owned().await
    }

    /// `None`: somebody is at it, or about to be.
    pub(crate) fn try_turn(&self, path: &Path) -> Option<Turn> {
        self.of(path).try_lock_owned().ok()
    }

    fn of(&self, path: &Path) -> Arc<AsyncMutex<()>> {
        // It holds only what can be made again, so a panic elsewhere leaves it usable.
        let mut files = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        files.retain(|_, turn| turn.strong_count() > 0);
        if let Some(turn) = files.get(path).and_then(Weak::upgrade) {
            return turn;
        }
        let turn = Arc::default();
        files.insert(path.to_owned(), Arc::downgrade(&turn));
        turn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_at_a_time_is_at_a_file_and_nothing_is_left_of_it() {
        let (busy, file) = (Busy::default(), Path::new("a"));
        let turn = busy.turn(file).await;
        assert!(busy.try_turn(file).is_none());
        assert!(busy.try_turn(Path::new("b")).is_some());
        drop(turn);
        assert!(busy.try_turn(file).is_some());
        assert_eq!(busy.0.lock().unwrap().len(), 1, "of those before, none is left");
    }
}
