//! Telling that a compilation takes long, while it does.

use std::{
    fmt,
    path::Path,
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

/// What takes less is not worth a word. Plugins in Rust take a tenth of a second, those with an interpreter in them ten.
const LONG: Duration = Duration::from_secs(1);

/// Hears of compilations that take long. Called from threads of their own.
pub trait Progress: Send + Sync + fmt::Debug {
    /// A plugin of so many bytes is being compiled, for a second already.
    fn compiling(&self, plugin: &Path, bytes: u64);

    /// It is compiled. Only after `compiling`.
    fn compiled(&self, plugin: &Path, took: Duration);
}

/// Writes it to the log.
#[derive(Clone, Copy, Debug, Default)]
pub struct Logged;

impl Progress for Logged {
    fn compiling(&self, plugin: &Path, bytes: u64) {
        tracing::info!("{}", compiling(plugin, bytes));
    }

    fn compiled(&self, plugin: &Path, took: Duration) {
        tracing::info!(plugin = %plugin.display(), "{}", compiled(took));
    }
}

/// `compiling greeter.wasm (17.9 MB) ...`
pub fn compiling(plugin: &Path, bytes: u64) -> String {
    // Tenths of a megabyte, rounded.
    let tenths = (bytes + 50_000) / 100_000;
    format!("compiling {} ({}.{} MB) ...", plugin.display(), tenths / 10, tenths % 10)
}

/// `compiled in 12.3 s`
pub fn compiled(took: Duration) -> String {
    format!("compiled in {:.1} s", took.as_secs_f64())
}

/// Does what may take long, and tells if it does.
pub(super) fn telling<T, E>(
    progress: &dyn Progress,
    plugin: &Path,
    bytes: u64,
    work: impl FnOnce() -> Result<T, E>,
) -> Result<T, E> {
    telling_after(LONG, progress, plugin, bytes, work)
}

fn telling_after<T, E>(
    long: Duration,
    progress: &dyn Progress,
    plugin: &Path,
    bytes: u64,
    work: impl FnOnce() -> Result<T, E>,
) -> Result<T, E> {
    let began = Instant::now();
    thread::scope(|scope| {
        let (done, is_done) = mpsc::channel::<()>();
        let watch = move || {
            let is_long = is_done.recv_timeout(long) == Err(RecvTimeoutError::Timeout);
            if is_long {
                progress.compiling(plugin, bytes);
            }
            is_long
        };
        // Without a thread for it nothing is told.
        let watching = thread::Builder::new().name("compile-watch".into()).spawn_scoped(scope, watch);
        let outcome = work();
        drop(done);
        let was_told = watching.is_ok_and(|watching| watching.join().unwrap_or(false));
        if was_told && outcome.is_ok() {
            progress.compiled(plugin, began.elapsed());
        }
        outcome
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Debug, Default)]
    struct Heard(Mutex<Vec<String>>);

    impl Progress for Heard {
        fn compiling(&self, plugin: &Path, bytes: u64) {
            self.0.lock().unwrap().push(compiling(plugin, bytes));
        }

        fn compiled(&self, _: &Path, _: Duration) {
            self.0.lock().unwrap().push("compiled".to_owned());
        }
    }

    /// What is heard of work that goes on until it was heard of, if `waits`.
    fn heard(long: Duration, waits: bool, outcome: Result<(), ()>) -> Vec<String> {
        let heard = Heard::default();
        let work = || {
            while waits && heard.0.lock().unwrap().is_empty() {
                thread::sleep(Duration::from_millis(1));
            }
            outcome
        };
        assert_eq!(telling_after(long, &heard, Path::new("greeter.wasm"), 17_949_999, work), outcome);
        heard.0.into_inner().unwrap()
    }

    #[test]
    fn what_takes_long_is_told_when_it_does_and_at_its_end() {
        let short = Duration::from_millis(1);
        assert_eq!(heard(short, true, Ok(())), ["compiling greeter.wasm (17.9 MB) ...", "compiled"]);
        assert_eq!(heard(short, true, Err(())), ["compiling greeter.wasm (17.9 MB) ..."], "its error is told");
        assert_eq!(heard(Duration::from_secs(60), false, Ok(())), [""; 0]);
    }

    #[test]
    fn sizes_and_times_are_rounded() {
        assert_eq!(compiling(Path::new("a"), 17_950_000), "compiling a (18.0 MB) ...");
        assert_eq!(compiled(Duration::from_millis(12_345)), "compiled in 12.3 s");
    }
}
