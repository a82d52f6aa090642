//! When watching a stage ends by itself: on a signal, or after a time.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crate::cli::node::Signals;

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct End {
    at: Option<Instant>,
    signalled: Arc<AtomicBool>,
}

impl End {
    /// After so long, if any, and on SIGINT and SIGTERM from now on.
    pub(super) fn new(after: Option<Duration>) -> Self {
        let signalled = Arc::new(AtomicBool::new(false));
        let tell = Arc::clone(&signalled);
        // Ends with the process. Where it cannot be started a signal ends the process as it does by default.
        thread::spawn(move || {
            let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
            runtime.block_on(async {
                Signals::new().next().await;
                tell.store(true, Ordering::Relaxed);
            });
        });
        Self { at: after.and_then(|after| Instant::now().checked_add(after)), signalled }
    }

    pub(super) fn is_over(&self) -> bool {
        self.signalled.load(Ordering::Relaxed) || self.left().is_zero()
    }

    /// Until its time is over.
    pub(super) fn left(&self) -> Duration {
        self.at.map_or(Duration::MAX, |at| at.saturating_duration_since(Instant::now()))
    }
}
