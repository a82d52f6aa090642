//! What idle instances take of the machine's memory.

use std::{fs, hint::black_box};

use crate::{
    engines::{Setting, Variant},
    stages::{COUNTER, Plugins},
};

/// Enough that what the process takes anyhow does not count.
const INSTANCES: usize = 1_000;

/// Unit: bytes.
fn resident() -> usize {
    let status = fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("resident memory");
    line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") << 10
}

fn told<T>(what: &str, instance: impl Fn() -> T) {
    let first = instance();
    let before = resident();
    let instances: Vec<T> = (0..INSTANCES).map(|_| instance()).collect();
    println!("{what}: {} bytes resident for each of {INSTANCES}", (resident() - before) / INSTANCES);
    black_box((first, instances));
}

/// Prints a line for each way of having instances.
pub(crate) fn run() {
    let plugins = Plugins::new();
    let counter = plugins.load("counter");
    told("counter, as the host runs it", || plugins.start(&counter, COUNTER));
    for setting in Setting::ALL {
        let variant = Variant::new(setting);
        told(&format!("counter, bare, {setting}"), || variant.instance().begun());
    }
}
