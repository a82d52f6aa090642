//! `checkpointed`: the numbers of `counter`, with a state that moves to another instance.

use forebay::runtime::{LineKind, StartError};

use super::{
    Case, cases,
    counter::{
        counts_from_0_by_1, counts_from_start_by_step, ends_at_its_limit, gives_10_000_numbers_at_once,
        gives_payloads_of_1_mib, pads_its_payloads, refuses_a_step_of_0, two_instances_count_apart,
    },
};
use crate::{
    expect::{Outcome, contains, done, equal, shown},
    subject::{Running, Start, Subject},
};

pub(super) const CASES: &[Case] = cases![
    counts_from_0_by_1,
    counts_from_start_by_step,
    ends_at_its_limit,
    pads_its_payloads,
    gives_10_000_numbers_at_once,
    gives_payloads_of_1_mib,
    refuses_a_step_of_0,
    two_instances_count_apart,
    its_snapshot_is_the_next_number,
    another_instance_goes_on_from_its_snapshot,
    restores_any_number,
    refuses_a_snapshot_that_is_no_number,
    logs_why_it_is_terminated,
];

async fn snapshot(running: &mut Running) -> Outcome<bytes::Bytes> {
    done("snapshot", running.instance.snapshot().await)
}

async fn its_snapshot_is_the_next_number(subject: &Subject) -> Outcome {
    let mut running = subject.start(r#"{"start":10,"step":5}"#).await?;
    equal("before any demand", &snapshot(&mut running).await?, &"10".as_bytes())?;
    running.demand(3).await?;
    equal("after three numbers", &snapshot(&mut running).await?, &"25".as_bytes())?;
    equal("a snapshot changes nothing", &running.numbers(1).await?, &["25"])
}

async fn another_instance_goes_on_from_its_snapshot(subject: &Subject) -> Outcome {
    let config = r#"{"start":3,"payload_bytes":4}"#;
    let mut first = subject.start(config).await?;
    first.demand(1_000).await?;
    let taken = snapshot(&mut first).await?;
    equal("the snapshot", &taken, &"1003".as_bytes())?;
    first.demand(5).await?;
    let mut second = subject.start_with(&Start::with(config).restore(taken)).await?;
    equal("what the second gives", &second.numbers(2).await?, &["1003", "1004"])?;
    equal("what the first gives after", &first.numbers(1).await?, &["1008"])
}

async fn restores_any_number(subject: &Subject) -> Outcome {
    for number in ["0", "-7", "123456789012345"] {
        let mut running = subject.start_with(&Start::with("null").restore(number)).await?;
        equal("the number after it is restored", &running.numbers(1).await?, &[number])?;
    }
    Ok(())
}

async fn refuses_a_snapshot_that_is_no_number(subject: &Subject) -> Outcome {
    for wrong in ["abc", "", "12a", "1.5", "0x10", "1e3", "1_000", "-", "größe"] {
        let text = restore_error(subject, wrong.as_bytes()).await?;
        contains("the error of `restore`", &text, &[&format!("snapshot `{wrong}`: expected a number")])?;
    }
    let text = restore_error(subject, b"\xff\xfe").await?;
    contains("the error for bytes that are no text", &text, &["snapshot `", "`: expected a number"])
}

async fn restore_error(subject: &Subject, snapshot: &[u8]) -> Outcome<String> {
    match subject.start_fails(&Start::with("null").restore(snapshot.to_vec())).await? {
        StartError::Restore { message, .. } => Ok(message),
        other => Err(format!("found {}, expected an error of `restore`", shown(&other))),
    }
}

async fn logs_why_it_is_terminated(subject: &Subject) -> Outcome {
    let mut running = subject.start("null").await?;
    running.demand(1).await?;
    done("terminate", running.instance.terminate("größere Version").await)?;
    let (lines, _) = running.end();
    equal("the log", &lines, &[(LineKind::Log(tracing::Level::INFO), "terminated: größere Version".to_owned())])
}
