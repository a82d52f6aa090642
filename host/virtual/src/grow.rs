//! The command `forebay-virtual growth`.

use std::time::Duration;

use forebay_check::Agreement;
use forebay_virtual::{
    Keys,
    growth::{Growth, Kind, Plan, exponent},
};
use serde_json::{Value, json};

/// Which sizes, and what runs on them.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Sizes of clusters, at most 250 nodes.
    #[arg(long, value_delimiter = ',', default_value = "10,20,50,100", value_parser = clap::value_parser!(u8).range(2..=250))]
    nodes: Vec<u8>,
    /// Global stages of each cluster; on every node a consumer subscribes to all of them.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=100))]
    names: u16,
    /// Seconds of virtual time over which is counted what idle nodes say.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// How nodes agree on owners: quorum or islands.
    #[arg(long, default_value = "quorum")]
    agreement: Agreement,
    /// Seed of chance.
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// How results are printed.
    #[arg(long, default_value = "text")]
    output: Output,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
enum Output {
    Text,
    Json,
}

/// A line of the table: its name, and its value of a cluster.
type Measure = (String, Box<dyn Fn(&Growth) -> f64>);

/// Measures and prints. A smaller cluster comes first, for memory is that of the process.
pub(crate) fn growth(args: &Args) -> anyhow::Result<()> {
    let mut sizes = args.nodes.clone();
    sizes.sort_unstable();
    sizes.dedup();
    let keys = Keys::generate(sizes.last().copied().unwrap_or_default().into())?;
    let (names, steady) = (args.names.into(), Duration::from_secs(args.seconds));
    let plan = Plan { names, steady, agreement: args.agreement, seed: args.seed };
    let mut found = Vec::new();
    for size in sizes {
        eprintln!("{size} nodes");
        found.push(keys.grow(size.into(), plan)?);
    }
    match args.output {
        Output::Text => print_table(&found),
        Output::Json => println!("{}", as_json(&found)),
    }
    Ok(())
}

fn measures() -> Vec<Measure> {
    let mut measures: Vec<Measure> = Vec::new();
    let mut add = |name: &str, value: fn(&Growth) -> f64| measures.push((name.to_owned(), Box::new(value)));
    add("start to whole, ms", |growth| millis(growth.formed));
    add("  processor ms per node", |growth| millis(growth.formed_cpu) / nodes(growth));
    add("idle, per node and second: datagrams", |growth| per_node(growth, growth.datagrams));
    add("  their bytes", |growth| per_node(growth, growth.datagram_bytes));
    add("  processor ms", |growth| millis(growth.cpu) / nodes(growth) / growth.steady.as_secs_f64());
    for kind in Kind::ALL {
        let frames = move |growth: &Growth| per_node(growth, growth.sent[kind as usize].frames);
        let bytes = move |growth: &Growth| per_node(growth, growth.sent[kind as usize].bytes);
        measures.push((format!("  frames of {kind:?}"), Box::new(frames)));
        measures.push((format!("  bytes of {kind:?}"), Box::new(bytes)));
    }
    let mut add = |name: &str, value: fn(&Growth) -> f64| measures.push((name.to_owned(), Box::new(value)));
    add("memory KiB per node", |growth| growth.resident_bytes as f64 / 1024.0 / nodes(growth));
    add("death of an owner to all owned, ms, median", |growth| median(growth, |one| millis(one.owned)));
    add("  to all subscribed, ms, median", |growth| median(growth, |one| millis(one.known)));
    add("  to all subscribed, ms, longest", |growth| all(growth, |one| millis(one.known)).fold(0.0, f64::max));
    add("  processor ms per node, median", |growth| median(growth, |one| millis(one.cpu)) / nodes(growth));
    measures
}

fn nodes(growth: &Growth) -> f64 {
    growth.nodes as f64
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn per_node(growth: &Growth, count: u64) -> f64 {
    count as f64 / nodes(growth) / growth.steady.as_secs_f64()
}

fn all(growth: &Growth, of: fn(&forebay_virtual::growth::Takeover) -> f64) -> impl Iterator<Item = f64> {
    growth.takeovers.iter().map(of)
}

fn median(growth: &Growth, of: fn(&forebay_virtual::growth::Takeover) -> f64) -> f64 {
    let mut values: Vec<_> = all(growth, of).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn exponent_of(measure: &Measure, found: &[Growth]) -> Option<f64> {
    let points: Vec<_> = found.iter().map(|growth| (nodes(growth), measure.1(growth))).collect();
    exponent(&points)
}

fn print_table(found: &[Growth]) {
    print!("{:<44}", "nodes");
    found.iter().for_each(|growth| print!(" {:>9}", growth.nodes));
    println!(" {:>9}", "exponent");
    for measure in measures() {
        let values: Vec<_> = found.iter().map(|growth| measure.1(growth)).collect();
        if values.iter().all(|value| *value == 0.0) {
            continue;
        }
        print!("{:<44}", measure.0);
        values.iter().for_each(|value| print!(" {value:>9.1}"));
        match exponent_of(&measure, found) {
            Some(exponent) => println!(" {exponent:>9.2}"),
            None => println!(" {:>9}", "-"),
        }
    }
}

fn as_json(found: &[Growth]) -> Value {
    let of = |measure: &Measure| {
        let values: Vec<_> = found.iter().map(|growth| measure.1(growth)).collect();
        json!({ "measure": measure.0.trim(), "values": values, "exponent": exponent_of(measure, found) })
    };
    let sizes: Vec<_> = found.iter().map(|growth| growth.nodes).collect();
    json!({ "nodes": sizes, "measures": measures().iter().map(of).collect::<Vec<_>>() })
}
