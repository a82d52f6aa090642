//! The calls whose instructions are counted, by name.

use std::{env, hint::black_box, process};

use crate::stages::{COUNTER, Guest, Plugins, RELAY, delivery, part_of_a_delivery};

/// Where compiled code is kept, so that two counts of one call differ in its rounds alone.
const FOLDER: &str = "FOREBAY_BENCH_CACHE";

const NAMES: [&str; 7] = [
    "produce/1x16",
    "produce/500x16",
    "consume/1x16",
    "transform/1x16",
    "transform/500x16",
    "transform/500x1024",
    "transform-a-part/500x16",
];

fn guest(name: &str, config: &str) -> Guest {
    match env::var_os(FOLDER) {
        Some(folder) => Guest::new(Plugins::keeping(folder.into()), name, config),
        None => Guest::new(Plugins::new(), name, config),
    }
}

/// Lists the names, or makes so many calls of one of them.
pub(crate) fn run(name: Option<String>, rounds: Option<String>) {
    let Some(name) = name else {
        return NAMES.iter().for_each(|name| println!("{name}"));
    };
    let parsed = || {
        let (call, shape) = name.split_once('/')?;
        let (count, bytes) = shape.split_once('x')?;
        Some((call, count.parse::<u32>().ok()?, bytes.parse::<usize>().ok()?, rounds?.parse::<u32>().ok()?))
    };
    let parsed = NAMES.contains(&&*name).then(parsed).flatten();
    let Some((call, count, bytes, rounds)) = parsed else {
        eprintln!("expected the name of a call and a number of rounds");
        process::exit(2);
    };
    if call == "produce" {
        let mut guest = guest("counter", COUNTER);
        return (0..rounds).for_each(|_| drop(black_box(guest.demand(count))));
    }
    let delivery = if call == "transform-a-part" { part_of_a_delivery(count, bytes) } else { delivery(count, bytes) };
    let mut guest = if call == "consume" { guest("tally", "null") } else { guest("double", RELAY) };
    (0..rounds).for_each(|_| drop(black_box(guest.events(&delivery))));
}
