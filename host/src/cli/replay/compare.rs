//! What a recorded answer and a new one have in common, and how they differ: as lines, one for each event and rejection.

use forebay_proto::{
    stage::Rejected,
    taps::{Answered, Given, cut_reasons},
};
use similar::TextDiff;

use crate::{
    cli::recording::AnsweredLine,
    runtime::{CallError, Output, StageError},
};

/// How the answers to one call differ, as a unified diff from the recorded one to the new one; `None`: not at all.
///
/// Numbers of events are their host's and are not compared; nor is what a guest says that does not survive a call, which
/// tells of places in its code.
pub(super) fn difference(recorded: &AnsweredLine, replayed: &AnsweredLine) -> Option<String> {
    let (old, new) = (lines(recorded), lines(replayed));
    if old == new {
        return None;
    }
    let (old, new) = (old.concat(), new.concat());
    Some(TextDiff::from_lines(&*old, &*new).unified_diff().context_radius(3).header("recorded", "replayed").to_string())
}

fn lines(answer: &AnsweredLine) -> Vec<String> {
    let line = |what: &str, text: String| format!("{what} {text}\n");
    match answer {
        AnsweredLine::Done { events, rejected, .. } => {
            let events = events.iter().map(|event| line("event", text(event)));
            events.chain(rejected.iter().map(|rejected| line("rejected", text(rejected)))).collect()
        }
        AnsweredLine::Retry { why } => vec![line("asked for another try:", text(why))],
        AnsweredLine::Lost { .. } => vec!["did not survive the call, or gave up\n".to_owned()],
    }
}

fn text(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("it has string keys")
}

/// What an instance has answered.
pub(super) fn answered(result: Result<Output, CallError>) -> AnsweredLine {
    AnsweredLine::of(match result {
        Ok(Output { events, rejections }) => {
            let rejected =
                rejections.into_iter().map(|one| Rejected { index: one.index, retry: one.retry, reason: one.reason });
            let rejected = cut_reasons(&rejected.collect::<Vec<_>>());
            Answered::Done { first: forebay_proto::ids::Seq(0), events, rejected }
        }
        Err(CallError::Stage(StageError::Retry(why))) => Answered::Retry(forebay_proto::taps::cut(&why).to_owned()),
        Err(error) => Answered::Lost(error.to_string()),
    })
}

/// Which call it was, for people.
pub(super) fn name(given: &Given) -> String {
    match given {
        Given::Demand(demand) => format!("{demand} events wanted"),
        Given::Events { source, epoch, attempt, runs, .. } => {
            let numbers: Vec<_> = runs
                .iter()
                .map(|run| match run.count {
                    1 => run.first.0.to_string(),
                    _ => format!("{}-{}", run.first.0, run.end().0 - 1),
                })
                .collect();
            let again = if *attempt > 1 { format!(", attempt {attempt}") } else { String::new() };
            format!("{source} {epoch}:{}{again}", numbers.join(","))
        }
        Given::Inbox { first, events } => format!("{} events of its inbox, from {first} on", events.len()),
        Given::Tick => "a tick".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use forebay_proto::batch::Batch;

    use super::*;
    use crate::runtime::{Rejection, Trap};

    fn done(payloads: &[&str], rejected: &[(u32, &str)]) -> AnsweredLine {
        let rejections = rejected.iter().map(|(index, reason)| Rejection {
            index: *index,
            retry: false,
            reason: (*reason).to_owned(),
        });
        answered(Ok(Output { events: Batch::from_payloads(payloads), rejections: rejections.collect() }))
    }

    fn lost(why: &str) -> AnsweredLine {
        answered(Err(Trap::Guest { call: "handle-events", message: why.to_owned() }.into()))
    }

    #[test]
    fn the_same_answers_do_not_differ() {
        assert_eq!(difference(&done(&["a", "b"], &[(1, "odd")]), &done(&["a", "b"], &[(1, "odd")])), None);
        assert_eq!(difference(&done(&[], &[(1, "y"), (0, "x")]), &done(&[], &[(0, "x"), (1, "y")])), None, "no order");
        assert_eq!(difference(&lost("here"), &lost("there")), None, "places in code are not compared");
        let retry = || answered(Err(StageError::Retry("busy".to_owned()).into()));
        assert_eq!(difference(&retry(), &retry()), None);
    }

    #[test]
    fn what_differs_is_shown_event_by_event() {
        let told = difference(&done(&["a", "b", "c"], &[]), &done(&["a", "B", "c"], &[(1, "odd")])).unwrap();
        let expected = "--- recorded\n+++ replayed\n@@ -1,3 +1,4 @@\n event {\"payload\":\"a\"}\n\
                        -event {\"payload\":\"b\"}\n+event {\"payload\":\"B\"}\n event {\"payload\":\"c\"}\n\
                        +rejected {\"index\":1,\"retry\":false,\"reason\":\"odd\"}\n";
        assert_eq!(told, expected);
        let told = difference(&done(&["a"], &[]), &lost("boom")).unwrap();
        assert!(told.contains("+did not survive the call"), "{told}");
        assert!(difference(&done(&["a"], &[]), &done(&["a", "a"], &[])).is_some());
        assert!(difference(&done(&["a", "b"], &[]), &done(&["b", "a"], &[])).is_some(), "order counts");
    }
}
