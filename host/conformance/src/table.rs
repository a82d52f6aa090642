//! How large and how fast the stages of each language are, measured in one run on one machine.

use std::{
    fmt::Write as _,
    fs,
    path::Path,
    time::{Duration, Instant},
};

use forebay::runtime::{Grants, wasm::Wasm};
use serde_json::{Value, json};

use crate::{
    events::{self, Event},
    expect::{Outcome, done, equal},
    stages::{Language, Stage, component},
    subject::{Running, Subject},
};

/// Events of one call.
const BATCH_EVENTS: u32 = 1_000;
/// Unit: bytes.
const PAYLOAD_BYTES: usize = 100;
/// How long calls are made for one figure of throughput; the first figure is not used.
const MEASURED: Duration = Duration::from_millis(500);
/// Longer starts are measured fewer times: what takes a second does not vary by a tenth.
const SLOW_START: Duration = Duration::from_secs(2);

/// The figures of one language.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    language: Language,
    /// Of the component of `counter`.
    size_bytes: u64,
    /// From its bytes to a plugin, with an empty cache.
    compile: Duration,
    /// From its file to an instance after `init`, with the code in the cache.
    start: Duration,
    /// Events a second through `counter`.
    counter: f64,
    /// Events a second through `double`.
    double: f64,
}

/// Measures these languages, one after the other.
///
/// # Errors
/// What failed, of which language: a component that is missing or does not do what it is to.
pub(crate) async fn measure(directory: &Path, languages: &[Language], runs: u32) -> Outcome<Vec<Row>> {
    let mut rows = Vec::new();
    for &language in languages {
        eprintln!("measuring {language} ...");
        let row = row(directory, language, runs).await.map_err(|problem| format!("{language}: {problem}"))?;
        rows.push(row);
    }
    Ok(rows)
}

async fn row(directory: &Path, language: Language, runs: u32) -> Outcome<Row> {
    let component = component(language, directory, Stage::Counter);
    let size_bytes = done(&format!("reading {}", component.display()), fs::metadata(&component))?.len();
    let compile = compile(&component, runs).await?;
    let folder = done("making a folder", tempfile::tempdir())?;
    let wasm = done("wasmtime", Wasm::new(Some(folder.path().join("cache"))))?;
    let counter = load(&wasm, directory, language, Stage::Counter).await?;
    let double = load(&wasm, directory, language, Stage::Double).await?;
    let start = start(&wasm, directory, &counter, runs).await?;
    let (counter, double) = (demanded(&counter, runs).await?, delivered(&double, runs).await?);
    Ok(Row { language, size_bytes, compile, start, counter, double })
}

async fn load(wasm: &Wasm, directory: &Path, language: Language, stage: Stage) -> Outcome<Subject> {
    let plugin = wasm.load(&component(language, directory, stage), &Grants::default()).await;
    Ok(Subject { language, stage, plugin: done("loading", plugin)? })
}

/// Each time with a cache of its own, which is empty.
async fn compile(component: &Path, runs: u32) -> Outcome<Duration> {
    let mut took = Vec::new();
    for _ in 0..runs {
        let folder = done("making a folder", tempfile::tempdir())?;
        let wasm = done("wasmtime", Wasm::new(Some(folder.path().join("cache"))))?;
        let began = Instant::now();
        done("loading", wasm.load(component, &Grants::default()).await)?;
        took.push(began.elapsed());
        if took[0] > SLOW_START {
            break;
        }
    }
    Ok(median(took))
}

async fn start(wasm: &Wasm, directory: &Path, counter: &Subject, runs: u32) -> Outcome<Duration> {
    let mut took = Vec::new();
    for _ in 0..runs {
        let began = Instant::now();
        let loaded = load(wasm, directory, counter.language, counter.stage).await?;
        let running = loaded.start("null").await?;
        took.push(began.elapsed());
        equal("the digest", &loaded.plugin.digest(), &counter.plugin.digest())?;
        drop(running);
    }
    Ok(median(took))
}

async fn demanded(counter: &Subject, runs: u32) -> Outcome<f64> {
    let mut rates = Vec::new();
    for run in 0..=runs {
        // A fresh one each time: bindings of some languages lose memory with every event.
        let mut running = counter.start(&format!(r#"{{"payload_bytes":{PAYLOAD_BYTES}}}"#)).await?;
        let (began, mut events) = (Instant::now(), 0_u32);
        while began.elapsed() < MEASURED {
            let given = running.demand(BATCH_EVENTS).await?;
            equal("the events of a call", &given.len(), &(BATCH_EVENTS as usize))?;
            events += BATCH_EVENTS;
        }
        note(&mut rates, run, events, began.elapsed());
    }
    Ok(median_rate(rates))
}

async fn delivered(double: &Subject, runs: u32) -> Outcome<f64> {
    let given = vec![Event::of(vec![b'x'; PAYLOAD_BYTES]); BATCH_EVENTS as usize];
    let batch = events::batch(&given);
    let mut rates = Vec::new();
    for run in 0..=runs {
        let mut running: Running = double.start(r#"{"copies":1}"#).await?;
        let (began, mut events) = (Instant::now(), 0_u32);
        while began.elapsed() < MEASURED {
            let output = running.instance.handle_events(crate::subject::delivery(batch.clone())).await;
            equal("the events of a call", &done("handle-events", output)?.events.len(), &given.len())?;
            events += BATCH_EVENTS;
        }
        note(&mut rates, run, events, began.elapsed());
    }
    Ok(median_rate(rates))
}

/// Keeps a rate, but for the first, which warmed up.
fn note(rates: &mut Vec<f64>, run: u32, events: u32, took: Duration) {
    if run > 0 {
        rates.push(f64::from(events) / took.as_secs_f64());
    }
}

/// The one in the middle; of an even number, the later of the two.
fn median(mut values: Vec<Duration>) -> Duration {
    values.sort();
    values.get(values.len() / 2).copied().unwrap_or_default()
}

fn median_rate(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// The table, with the Rust stages as what others are compared with, if they are among them.
pub(crate) fn markdown(rows: &[Row]) -> String {
    let rust = rows.iter().find(|row| row.language == Language::Rust);
    let mut text = String::from(
        "| language | component | compile | start from cache | `counter`, events/s | `double`, events/s |\n\
         |----------|----------:|--------:|-----------------:|--------------------:|-------------------:|\n",
    );
    for row in rows {
        let counter = rate(row.counter, rust.map(|rust| rust.counter));
        let double = rate(row.double, rust.map(|rust| rust.double));
        let (size, compile, start) = (size(row.size_bytes), time(row.compile), time(row.start));
        let language = row.language.name();
        writeln!(text, "| {language} | {size} | {compile} | {start} | {counter} | {double} |")
            .expect("writing to memory does not fail");
    }
    text
}

pub(crate) fn json(rows: &[Row]) -> Value {
    let row = |row: &Row| {
        json!({
            "language": row.language.name(),
            "component_bytes": row.size_bytes,
            "compile_ms": row.compile.as_secs_f64() * 1e3,
            "start_from_cache_ms": row.start.as_secs_f64() * 1e3,
            "counter_events_per_second": row.counter.round(),
            "double_events_per_second": row.double.round(),
        })
    };
    rows.iter().map(row).collect()
}

/// A rate with how it compares with that of Rust.
fn rate(rate: f64, rust: Option<f64>) -> String {
    let shown = match rate {
        r if r >= 1e6 => format!("{:.1} M", r / 1e6),
        r => format!("{:.0} k", r / 1e3),
    };
    match rust {
        Some(rust) if rust > 0.0 => format!("{shown} ({:.2})", rate / rust),
        _ => shown,
    }
}

fn size(bytes: u64) -> String {
    match bytes {
        0..=1_048_575 => format!("{} KiB", bytes.div_ceil(1 << 10)),
        _ => format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20)),
    }
}

fn time(time: Duration) -> String {
    match time.as_secs_f64() * 1e3 {
        ms if ms < 10.0 => format!("{ms:.1} ms"),
        ms if ms < 1_000.0 => format!("{ms:.0} ms"),
        ms => format!("{:.1} s", ms / 1e3),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_compares_with_rust() {
        let row = |language, factor: f64| Row {
            language,
            size_bytes: 18_000_000,
            compile: Duration::from_millis(12_340),
            start: Duration::from_micros(4_210),
            counter: 4_000_000.0 * factor,
            double: 200_000.0 * factor,
        };
        let rows = [row(Language::Rust, 1.0), row(Language::Python, 0.25)];
        let text = markdown(&rows);
        assert!(text.contains("| rust | 17.2 MiB | 12.3 s | 4.2 ms | 4.0 M (1.00) | 200 k (1.00) |"), "{text}");
        assert!(text.contains("| python | 17.2 MiB | 12.3 s | 4.2 ms | 1.0 M (0.25) | 50 k (0.25) |"), "{text}");
        assert!(markdown(&rows[1..]).contains("| 1.0 M | 50 k |"), "nothing to compare with");
        assert_eq!(json(&rows)[1]["counter_events_per_second"], 1_000_000.0);
    }

    #[test]
    fn medians_and_units() {
        let ms = Duration::from_millis;
        assert_eq!(median(vec![ms(9), ms(1), ms(5)]), ms(5));
        assert_eq!((size(1), size(35_000), time(ms(240))), ("1 KiB".into(), "35 KiB".into(), "240 ms".into()));
    }
}
