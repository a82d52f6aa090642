//! `misbehaver`: a consumer that does what a host must withstand.

use std::time::{Duration, Instant};

use forebay::runtime::{CallError, LineKind, Output, Rejection, StageError, Trap};
use tracing::Level;

use super::{Case, cases};
use crate::{
    events::{self, Event},
    expect::{Outcome, contains, equal, holds, refused, shown},
    stages::source_file,
    subject::{Running, Start, Subject},
};

pub(super) const CASES: &[Case] = cases![
    logs_every_payload,
    rejects_no,
    go_is_nothing_special_unless_it_is_told,
    refuses_a_mode_it_does_not_know,
    init_can_fail,
    its_errors_leave_it_whole,
    a_trap_tells_what_and_where,
    a_trap_ends_its_instance_and_no_other,
    spinning_is_ended_in_time,
    memory_ends_at_its_limit,
    a_rejection_outside_of_the_batch_ends_it,
    a_rejection_told_twice_ends_it,
    a_flood_of_lines_is_cut_and_counted,
];

const MODES: [&str; 10] = ["ok", "retry", "fatal", "other", "trap", "spin", "allocate", "outside", "twice", "flood"];

fn config(mode: &str) -> String {
    format!(r#"{{"mode":"{mode}"}}"#)
}

/// Delivers `go` to an instance in this mode.
async fn go(subject: &Subject, mode: &str) -> Outcome<(Running, Result<Output, CallError>)> {
    go_with(subject, &Start::with(&config(mode))).await
}

async fn go_with(subject: &Subject, start: &Start) -> Outcome<(Running, Result<Output, CallError>)> {
    let mut running = subject.start_with(start).await?;
    let result = running.try_deliver(&events::bare(["go"])).await;
    Ok((running, result))
}

/// The result must be a trap, after which the instance takes no call, and another instance works.
async fn trapped(
    subject: &Subject,
    running: &mut Running,
    result: Result<Output, CallError>,
    trap_is: fn(&Trap) -> bool,
    expected: &str,
) -> Outcome<Trap> {
    let trap = match result {
        Err(CallError::Trap(trap)) if trap_is(&trap) => trap,
        other => return Err(format!("found {}, expected {expected}", shown(&other))),
    };
    match running.try_deliver(&events::bare(["a"])).await {
        Err(CallError::Trap(Trap::Finished { .. })) => {}
        other => return Err(format!("a call after the trap: found {}, expected that it is finished", shown(&other))),
    }
    is_well(&mut subject.start("null").await?).await?;
    Ok(trap)
}

/// An instance takes an event and logs it.
async fn is_well(running: &mut Running) -> Outcome {
    let output = running.deliver(&events::bare(["still here"])).await?;
    holds(output.rejections.is_empty(), || format!("rejected: {:?}", output.rejections))?;
    let last = running.lines().last().cloned();
    equal("the last line", &last, &Some((LineKind::Log(Level::INFO), "still here".to_owned())))
}

async fn logs_every_payload(subject: &Subject) -> Outcome {
    let mut running = subject.start("null").await?;
    running.deliver(&events::bare(["one", "", "größe 🌡"])).await?;
    running.deliver(&events::bare(["two"])).await?;
    let expected = ["one", "", "größe 🌡", "two"].map(|text| (LineKind::Log(Level::INFO), text.to_owned()));
    equal("the log", &running.lines(), &expected)?;
    running.deliver(&[Event::of([0xff]), Event::of(vec![b'x'; 1 << 20])]).await?;
    let lines = running.lines();
    equal("lines for bytes that are no text, and for 1 MiB", &lines.len(), &6)?;
    equal("the length of the last line, cut by the host", &lines[5].1.len(), &(8 << 10))
}

async fn rejects_no(subject: &Subject) -> Outcome {
    let mut running = subject.start(&config("ok")).await?;
    let mut output = running.deliver(&events::bare(["a", "no", "nothing", "no"])).await?;
    output.rejections.sort_by_key(|rejection| rejection.index);
    let rejected = |index| Rejection { index, retry: false, reason: "no".to_owned() };
    equal("the rejections", &output.rejections, &[rejected(1), rejected(3)])
}

async fn go_is_nothing_special_unless_it_is_told(subject: &Subject) -> Outcome {
    let (mut running, result) = go(subject, "ok").await?;
    match result {
        Ok(output) if output.rejections.is_empty() => is_well(&mut running).await,
        other => Err(format!("found {}, expected that all is well", shown(&other))),
    }
}

async fn refuses_a_mode_it_does_not_know(subject: &Subject) -> Outcome {
    let named = [&["`mode`", "expected"][..], &MODES].concat();
    subject.refuses(&config("explode"), &named).await?;
    subject.refuses(&config(""), &named).await
}

async fn init_can_fail(subject: &Subject) -> Outcome {
    subject.refuses(&config("init"), &["told to fail"]).await
}

async fn its_errors_leave_it_whole(subject: &Subject) -> Outcome {
    for (mode, is_retry) in [("retry", true), ("fatal", false), ("other", false)] {
        let (mut running, result) = go(subject, mode).await?;
        let call = format!("handle-events in the mode {mode}");
        let text = match refused(&call, result)? {
            StageError::Retry(text) if is_retry => text,
            StageError::Fatal(text) if !is_retry => text,
            other => return Err(format!("{call}: found {other:?}")),
        };
        contains(&format!("the error of {call}"), &text, &["told to"])?;
        is_well(&mut running).await?;
    }
    Ok(())
}

async fn a_trap_tells_what_and_where(subject: &Subject) -> Outcome {
    let (mut running, result) = go(subject, "trap").await?;
    let trap = trapped(subject, &mut running, result, is_guest, "a trap of the guest").await?;
    let (lines, _) = running.end();
    let errors = lines.iter().filter(|(kind, _)| *kind == LineKind::Log(Level::ERROR)).map(|(_, text)| text.as_str());
    let said: Vec<_> = errors.collect();
    holds(!said.is_empty(), || format!("nothing was logged at the level error; the trap: {trap}"))?;
    contains("the lines logged at the level error", &said.join("\n"), &["told to trap"])?;
    let whole = format!("{}\n{trap}", said.join("\n"));
    let [begin, end] = source_file(subject.language);
    holds(names_line(&whole, begin, end), || format!("no line of {begin}…{end} is named in {}", shown(&whole)))
}

/// Whether a text names a line of a file: `misbehaver/src/lib.rs:12`, or `"misbehaver.py", line 12`.
fn names_line(text: &str, begin: &str, end: &str) -> bool {
    text.match_indices(begin).any(|(at, _)| {
        let rest = &text[at..];
        let path = rest.find(|c: char| c.is_whitespace() || "\"',:()".contains(c)).map_or(rest, |stop| &rest[..stop]);
        let after = &rest[path.len()..];
        let number = after.trim_start_matches(['"', '\'', ',', ' ', ':', '(']);
        path.ends_with(end) && number.strip_prefix("line ").unwrap_or(number).starts_with(|c: char| c.is_ascii_digit())
    })
}

fn is_guest(trap: &Trap) -> bool {
    matches!(trap, Trap::Guest { .. })
}

fn is_contract(trap: &Trap) -> bool {
    matches!(trap, Trap::Contract { .. })
}

async fn a_trap_ends_its_instance_and_no_other(subject: &Subject) -> Outcome {
    let mut others = [subject.start("null").await?, subject.start(&config("trap")).await?];
    for other in &mut others {
        is_well(other).await?;
    }
    let (mut running, result) = go(subject, "trap").await?;
    trapped(subject, &mut running, result, is_guest, "a trap of the guest").await?;
    for other in &mut others {
        is_well(other).await?;
    }
    Ok(())
}

async fn spinning_is_ended_in_time(subject: &Subject) -> Outcome {
    const LIMIT: Duration = Duration::from_millis(500);
    let mut start = Start::with(&config("spin"));
    // `init` is held to the same limit, and may take longer than a usual call when the machine is busy.
    start.limits.call_time = LIMIT;
    let mut running = subject.start_with(&start).await?;
    let began = Instant::now();
    let result = running.try_deliver(&events::bare(["go"])).await;
    let took = began.elapsed();
    let timed_out = |trap: &Trap| matches!(trap, Trap::TimedOut { .. });
    trapped(subject, &mut running, result, timed_out, "that it is ended for its time").await?;
    holds((LIMIT..4 * LIMIT).contains(&took), || format!("ended after {took:?}, expected soon after {LIMIT:?}"))
}

async fn memory_ends_at_its_limit(subject: &Subject) -> Outcome {
    let mut start = Start::with(&config("allocate"));
    start.limits.memory_bytes = 128 << 20;
    let (mut running, result) = go_with(subject, &start).await?;
    let out_of_memory = |trap: &Trap| matches!(trap, Trap::OutOfMemory { .. });
    trapped(subject, &mut running, result, out_of_memory, "that it is ended for its memory").await.map(drop)
}

async fn a_rejection_outside_of_the_batch_ends_it(subject: &Subject) -> Outcome {
    let (mut running, result) = go(subject, "outside").await?;
    let trap = trapped(subject, &mut running, result, is_contract, "a breach of the contract").await?;
    contains("the trap", &trap.to_string(), &["4294967295"])
}

async fn a_rejection_told_twice_ends_it(subject: &Subject) -> Outcome {
    let (mut running, result) = go(subject, "twice").await?;
    let trap = trapped(subject, &mut running, result, is_contract, "a breach of the contract").await?;
    contains("the trap", &trap.to_string(), &["rejected twice"])
}

async fn a_flood_of_lines_is_cut_and_counted(subject: &Subject) -> Outcome {
    let (running, result) = go(subject, "flood").await?;
    holds(result.is_ok(), || format!("found {}, expected that the call goes well", shown(&result)))?;
    let (lines, dropped) = running.end();
    equal("the lines that came and those that were dropped", &(lines.len() as u64 + dropped), &10_001)?;
    holds(dropped > 5_000, || format!("{dropped} lines were dropped, expected most of 10,000"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_line_is_found_as_each_language_writes_it() {
        for (text, begin, end) in [
            ("panicked at misbehaver/src/lib.rs:12:5: told to trap", "misbehaver", ".rs"),
            ("File \"/app/misbehaver.py\", line 41, in _misbehave", "misbehaver", ".py"),
            ("at misbehave (misbehaver.js:7:3)", "misbehaver", ".js"),
            ("misbehaver.c:52: told to trap", "misbehaver", ".c"),
            ("/src/misbehaver/main.go:30 +0x1d", "misbehaver", ".go"),
        ] {
            assert!(names_line(text, begin, end), "{text}");
        }
        for text in ["misbehaver.c: told to trap", "misbehaver 12", "misbehaver.cpp:12", "other.c:12"] {
            assert!(!names_line(text, "misbehaver", ".c"), "{text}");
        }
    }
}
