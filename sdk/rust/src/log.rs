//! Lines for the node's log.

use std::fmt;

/// How much a log line matters.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Level {
    /// Each step, to follow one event.
    Trace,
    /// For the author of the stage.
    Debug,
    /// For whoever runs it, when all is well.
    Info,
    /// Something is off; the stage goes on.
    Warn,
    /// Something failed.
    Error,
}

/// Writes one line to the node's log, which tags it with the stage and the node.
///
/// The host cuts a line at 8 KiB, escapes control characters, and drops lines of a stage that logs
/// too fast. Outside a host, under `cargo test`, the line goes to the [harness](crate::testing).
///
/// The macros [`trace!`](crate::trace), [`debug!`](crate::debug), [`info!`](crate::info),
/// [`warn!`](crate::warn) and [`error!`](crate::error) format and log in one step.
pub fn log(level: Level, message: &str) {
    #[cfg(target_arch = "wasm32")]
    crate::bindings::host::host::log(level.into(), message);
    #[cfg(not(target_arch = "wasm32"))]
    crate::testing::record(level, message);
}

/// What the macros expand to.
#[doc(hidden)]
pub fn log_format(level: Level, message: fmt::Arguments<'_>) {
    match message.as_str() {
        Some(message) => log(level, message),
        None => log(level, &message.to_string()),
    }
}

#[cfg(target_arch = "wasm32")]
impl From<Level> for crate::bindings::host::host::Level {
    fn from(level: Level) -> Self {
        match level {
            Level::Trace => Self::Trace,
            Level::Debug => Self::Debug,
            Level::Info => Self::Info,
            Level::Warn => Self::Warn,
            Level::Error => Self::Error,
        }
    }
}

/// Has panics logged before they become a trap, which by itself says nothing but `unreachable`.
#[cfg(target_arch = "wasm32")]
pub(crate) fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let what = panic.payload_as_str().unwrap_or("a value that is no text");
        match panic.location() {
            Some(place) => log_format(Level::Error, format_args!("panicked at {place}: {what}")),
            None => log_format(Level::Error, format_args!("panicked: {what}")),
        }
    }));
}

/// Logs a line at level `trace`, formatted as with [`format!`].
#[macro_export]
macro_rules! trace {
    ($($arg:tt)+) => { $crate::log::log_format($crate::log::Level::Trace, ::core::format_args!($($arg)+)) };
}

/// Logs a line at level `debug`, formatted as with [`format!`].
#[macro_export]
macro_rules! debug {
    ($($arg:tt)+) => { $crate::log::log_format($crate::log::Level::Debug, ::core::format_args!($($arg)+)) };
}

/// Logs a line at level `info`, formatted as with [`format!`].
#[macro_export]
macro_rules! info {
    ($($arg:tt)+) => { $crate::log::log_format($crate::log::Level::Info, ::core::format_args!($($arg)+)) };
}

/// Logs a line at level `warn`, formatted as with [`format!`].
#[macro_export]
macro_rules! warn {
    ($($arg:tt)+) => { $crate::log::log_format($crate::log::Level::Warn, ::core::format_args!($($arg)+)) };
}

/// Logs a line at level `error`, formatted as with [`format!`].
#[macro_export]
macro_rules! error {
    ($($arg:tt)+) => { $crate::log::log_format($crate::log::Level::Error, ::core::format_args!($($arg)+)) };
}
