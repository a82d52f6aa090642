//! Real files in a real folder: what is handed out of them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod kinds;
mod storm;

use std::{path::Path, time::Duration};

use forebay_drop::{Drop, Options, Watch};

/// Shorter than the default, so that tests are.
const SETTLE: Duration = Duration::from_millis(30);

/// Nothing is seen of other users' processes, as if the tests' own writers were such.
const OPTIONS: Options = Options { settle: SETTLE, doubt: Duration::from_millis(200), ask_for_writers: false };

/// Something that begins as components do.
fn component(rest: &[u8]) -> Vec<u8> {
    [b"\0asm\x0d\0\x01\0", rest].concat()
}

fn start(folder: &Path) -> Watch {
    Watch::start(folder, OPTIONS).unwrap()
}

/// The next drop, which must come.
async fn next(watch: &mut Watch) -> Drop {
    tokio::time::timeout(Duration::from_secs(20), watch.next()).await.expect("nothing came for 20 s")
}

/// Asserts that nothing comes for longer than a file could have to wait.
async fn nothing(watch: &mut Watch) {
    if let Ok(drop) = tokio::time::timeout(Duration::from_millis(500), watch.next()).await {
        panic!("{drop:?} came");
    }
}
