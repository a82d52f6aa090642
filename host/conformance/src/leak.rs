//! Whether an instance that works for long takes more and more memory.

use std::{fmt::Write as _, path::Path};

use forebay::runtime::{Grants, wasm::Wasm};

use crate::{
    events::{self, Event},
    expect::{Outcome, done, equal},
    stages::{Language, Stage, component},
    subject::{Running, Start, Subject, delivery},
};

/// Events of one call.
const BATCH_EVENTS: u32 = 1_000;
/// Unit: bytes.
const PAYLOAD_BYTES: usize = 1 << 10;
/// Events before the first look: memory grows to what a call needs, and with a garbage collector beyond it.
const WARM_UP_EVENTS: u32 = 100_000;
/// All that 32 bits can address, so that a leak is measured rather than ended. Unit: bytes.
const MEMORY_BYTES: u64 = 4 << 30;

/// What one stage takes after it is warm, and how much more in the end. Unit: bytes of linear memory.
#[derive(Clone, Copy, Debug)]
struct Growth {
    warm: u64,
    more: u64,
}

/// The growth of one language's `counter` and `double`.
#[derive(Debug)]
pub(crate) struct Row {
    language: Language,
    counter: Growth,
    double: Growth,
}

/// Sends so many events of 1 KiB through `counter` and `double` of each language.
///
/// # Errors
/// What failed, of which language.
pub(crate) async fn measure(directory: &Path, languages: &[Language], events: u32) -> Outcome<Vec<Row>> {
    let wasm = done("wasmtime", Wasm::new(None))?;
    let mut rows = Vec::new();
    for &language in languages {
        eprintln!("measuring {language} ...");
        let of = |problem| format!("{language}: {problem}");
        let counter = stage(&wasm, directory, language, Stage::Counter, events).await.map_err(of)?;
        let double = stage(&wasm, directory, language, Stage::Double, events).await.map_err(of)?;
        rows.push(Row { language, counter, double });
    }
    Ok(rows)
}

async fn stage(wasm: &Wasm, directory: &Path, language: Language, stage: Stage, events: u32) -> Outcome<Growth> {
    let plugin = wasm.load(&component(language, directory, stage), &Grants::default()).await;
    let subject = Subject { language, stage, plugin: done("loading", plugin)? };
    let config = match stage {
        Stage::Counter => format!(r#"{{"payload_bytes":{PAYLOAD_BYTES}}}"#),
        _ => r#"{"copies":1}"#.to_owned(),
    };
    let mut start = Start::with(&config);
    start.limits.memory_bytes = MEMORY_BYTES;
    let mut running = subject.start_with(&start).await?;
    work(&mut running, stage, WARM_UP_EVENTS).await?;
    let warm = running.instance.memory_bytes();
    work(&mut running, stage, events).await?;
    Ok(Growth { warm, more: running.instance.memory_bytes().saturating_sub(warm) })
}

async fn work(running: &mut Running, stage: Stage, events: u32) -> Outcome {
    let batch = events::batch(&vec![Event::of(vec![b'x'; PAYLOAD_BYTES]); BATCH_EVENTS as usize]);
    for _ in 0..events.div_ceil(BATCH_EVENTS) {
        let given = match stage {
            Stage::Counter => running.demand(BATCH_EVENTS).await?,
            _ => done("handle-events", running.instance.handle_events(delivery(batch.clone())).await)?.events,
        };
        equal("the events of a call", &given.len(), &(BATCH_EVENTS as usize))?;
    }
    Ok(())
}

/// The table; growth also by the event.
pub(crate) fn markdown(rows: &[Row], events: u32) -> String {
    let mut text = format!(
        "Linear memory after {WARM_UP_EVENTS} events of {PAYLOAD_BYTES} B, and after {events} more.\n\n\
         | language | `counter` | growth | `double` | growth |\n\
         |----------|----------:|-------:|---------:|-------:|\n"
    );
    for Row { language, counter, double } in rows {
        let cells = [counter, double].map(|growth| {
            let by_event = growth.more as f64 / f64::from(events);
            format!("{} | {} ({by_event:.1} B/event)", mib(growth.warm), mib(growth.more))
        });
        writeln!(text, "| {language} | {} | {} |", cells[0], cells[1]).expect("writing to memory does not fail");
    }
    text
}

fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_told_by_the_event() {
        let growth = |more| Growth { warm: 32 << 20, more };
        let row = Row { language: Language::Python, counter: growth(1_045_000_000), double: growth(0) };
        let text = markdown(&[row], 1_000_000);
        let expected = "| python | 32.0 MiB | 996.6 MiB (1045.0 B/event) | 32.0 MiB | 0.0 MiB (0.0 B/event) |";
        assert!(text.contains(expected), "{text}");
    }
}
