//! Reads wasmtime's errors: whose fault a failed call is, and in which words to say so.

use wasmtime::{Store, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use super::{
    super::{Limits, Trap, check},
    store::State,
};

/// How many frames of a guest's backtrace are told.
pub(super) const FRAMES_MAX: usize = 12;

/// What an error of wasmtime means for the call that it ended.
pub(super) fn of(store: &Store<State>, call: &'static str, limits: &Limits, error: &wasmtime::Error) -> Trap {
    let message = text(error);
    match error.downcast_ref::<wasmtime::Trap>() {
        Some(wasmtime::Trap::Interrupt) => Trap::TimedOut { call, limit: limits.call_time },
        _ if store.data().limiter.refused => Trap::OutOfMemory { call, limit_bytes: limits.memory_bytes, message },
        Some(_) => Trap::Guest { call, message },
        None if error.is::<I32Exit>() || error.is::<WasmBacktrace>() => Trap::Guest { call, message },
        // Neither trapped nor exited: what it handed over is not what the WIT says.
        None => Trap::Contract { call, message },
    }
}

/// The cause first, then where: one line, safe for a terminal.
pub(super) fn text(error: &wasmtime::Error) -> String {
    // The outermost message is the backtrace, over many lines; the causes are behind it.
    let backtrace = error.downcast_ref::<WasmBacktrace>();
    let skipped = usize::from(backtrace.is_some());
    let causes: Vec<_> = error.chain().skip(skipped).map(ToString::to_string).collect();
    let causes = match causes.is_empty() {
        true => error.to_string(),
        false => causes.join(": "),
    };
    check::clean(&(causes + &backtrace.map(frames).unwrap_or_default()))
}

fn frames(backtrace: &WasmBacktrace) -> String {
    let names = backtrace.frames().iter().take(FRAMES_MAX).map(|frame| {
        let symbol = frame.symbols().first().and_then(wasmtime::FrameSymbol::name).or(frame.func_name());
        let at = frame.module_offset().map(|offset| format!("@{offset:#x}")).unwrap_or_default();
        match symbol {
            Some(name) => format!("{name}{at}"),
            None => format!("function {}{at}", frame.func_index()),
        }
    });
    let names: Vec<_> = names.collect();
    let more = if backtrace.frames().len() > FRAMES_MAX { " < ..." } else { "" };
    match names.is_empty() {
        true => String::new(),
        false => format!("; in {}{more}", names.join(" < ")),
    }
}
