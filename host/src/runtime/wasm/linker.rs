//! What the host provides to every plugin, and what to those it is granted.

use wasmtime::{
    Engine, StoreContextMut,
    component::{Linker, WasmStr},
};
use wasmtime_wasi::{
    WasiView,
    cli::{WasiCli, WasiCliView},
    filesystem::{WasiFilesystem, WasiFilesystemView},
    p2::{add_to_linker_proxy_interfaces_async, bindings},
    random::WasiRandom,
    sockets::{WasiSockets, WasiSocketsView},
};

use super::{contract, lookup::LookupsData, store::State, wit::WitLevel};

/// The interfaces of WASI that every plugin has: reading clocks, random numbers, printing.
///
/// `wasi:filesystem` and `wasi:cli/environment` are there because every program of Rust's, C's and
/// Go's libraries imports them; they show what is granted.
pub(super) const WASI: &[&str] = &[
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stderr",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stderr",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/wall-clock",
    "wasi:filesystem/preopens",
    "wasi:filesystem/types",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:random/insecure",
    "wasi:random/insecure-seed",
    "wasi:random/random",
];

/// The interfaces of WASI that are there for every plugin, and refuse every address but those granted.
///
/// To refuse a plugin that imports them and is granted nothing would tell a mistake sooner. But Python's
/// library imports them whether or not a stage uses them.
pub(super) const SOCKETS: &[&str] = &[
    "wasi:sockets/instance-network",
    "wasi:sockets/ip-name-lookup",
    "wasi:sockets/network",
    "wasi:sockets/tcp",
    "wasi:sockets/tcp-create-socket",
    "wasi:sockets/udp",
    "wasi:sockets/udp-create-socket",
];

/// Links [`WASI`], [`SOCKETS`], and `host` and `demand` of `forebay:stage`.
///
/// # Errors
/// Only if a name were defined twice.
pub(super) fn linker(engine: &Engine) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    let wasi = &mut linker;
    add_to_linker_proxy_interfaces_async(wasi)?;
    bindings::cli::environment::add_to_linker::<State, WasiCli>(wasi, State::cli)?;
    bindings::cli::exit::add_to_linker::<State, WasiCli>(wasi, State::cli)?;
    bindings::cli::terminal_input::add_to_linker::<State, WasiCli>(wasi, State::cli)?;
    bindings::cli::terminal_output::add_to_linker::<State, WasiCli>(wasi, State::cli)?;
    bindings::cli::terminal_stdin::add_to_linker::<State, WasiCli>(wasi, State::cli)?;
    bindings::cli::terminal_stdout::add_to_linker::<State, WasiCli>(wasi, State::cli)?;
    bindings::cli::terminal_stderr::add_to_linker::<State, WasiCli>(wasi, State::cli)?;
    bindings::random::insecure::add_to_linker::<State, WasiRandom>(wasi, |state| state.ctx().ctx.random())?;
    bindings::random::insecure_seed::add_to_linker::<State, WasiRandom>(wasi, |state| state.ctx().ctx.random())?;
    bindings::filesystem::preopens::add_to_linker::<State, WasiFilesystem>(wasi, State::filesystem)?;
    bindings::filesystem::types::add_to_linker::<State, WasiFilesystem>(wasi, State::filesystem)?;
    sockets(wasi)?;
    linker.instance(&contract::full_name("host"))?.func_wrap("log", log)?;
    linker.instance(&contract::full_name(contract::DEMAND))?.func_wrap("ask", ask)?;
    Ok(linker)
}

fn sockets(wasi: &mut Linker<State>) -> wasmtime::Result<()> {
    use bindings::sockets::{
        instance_network, ip_name_lookup, network, tcp, tcp_create_socket, udp, udp_create_socket,
    };
    let options = network::LinkOptions::default();
    instance_network::add_to_linker::<State, WasiSockets>(wasi, State::sockets)?;
    network::add_to_linker::<State, WasiSockets>(wasi, &options, State::sockets)?;
    ip_name_lookup::add_to_linker::<State, LookupsData>(wasi, State::lookups)?;
    tcp_create_socket::add_to_linker::<State, WasiSockets>(wasi, State::sockets)?;
    tcp::add_to_linker::<State, WasiSockets>(wasi, State::sockets)?;
    udp_create_socket::add_to_linker::<State, WasiSockets>(wasi, State::sockets)?;
    udp::add_to_linker::<State, WasiSockets>(wasi, State::sockets)
}

/// `host.log`. The text is read in place: the part of a line beyond 8 KiB is never copied.
fn log(context: StoreContextMut<'_, State>, (level, message): (WitLevel, WasmStr)) -> wasmtime::Result<()> {
    let message = message.to_str(&context)?;
    context.data().voice.log(level.into(), &message);
    Ok(())
}

/// `demand.ask`.
fn ask(
    context: StoreContextMut<'_, State>,
    (source, count): (WasmStr, u32),
) -> wasmtime::Result<(Result<(), String>,)> {
    let source = source.to_str(&context)?;
    Ok((context.data().asks.ask(&source, count),))
}
