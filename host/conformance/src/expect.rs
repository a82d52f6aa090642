//! What a case expects, and how it says that it found something else.

use std::fmt::{Debug, Display};

use forebay::runtime::{CallError, StageError};

use crate::events::Event;
use forebay_proto::batch::Batch;

/// What a case comes to; an error says what was found and what was expected.
pub(crate) type Outcome<T = ()> = Result<T, String>;

/// The most characters of one value in a message.
const SHOWN_MAX: usize = 300;

/// `found` must be `expected`.
pub(crate) fn equal<T: Debug + PartialEq<U>, U: Debug>(what: &str, found: &T, expected: &U) -> Outcome {
    match found == expected {
        true => Ok(()),
        false => Err(format!("{what}: found {}, expected {}", shown(found), shown(expected))),
    }
}

/// `text` must contain all of these.
pub(crate) fn contains(what: &str, text: &str, parts: &[&str]) -> Outcome {
    match parts.iter().find(|part| !text.contains(**part)) {
        None => Ok(()),
        Some(missing) => Err(format!("{what}: {missing:?} is not in {}", shown(&text))),
    }
}

/// Something must hold; `otherwise` says what was found.
pub(crate) fn holds(condition: bool, otherwise: impl FnOnce() -> String) -> Outcome {
    if condition { Ok(()) } else { Err(otherwise()) }
}

/// The call must have succeeded.
pub(crate) fn done<T, E: Display>(call: &str, result: Result<T, E>) -> Outcome<T> {
    result.map_err(|error| format!("{call} failed: {}", cut(&error.to_string())))
}

/// The call must have failed with an error of the stage, which leaves its instance whole.
pub(crate) fn refused<T: Debug>(call: &str, result: Result<T, CallError>) -> Outcome<StageError> {
    match result {
        Err(CallError::Stage(error)) => Ok(error),
        other => Err(format!("{call} gave {}, expected an error of the stage", shown(&other))),
    }
}

/// The events of a batch must be these; the first that differs is named.
pub(crate) fn events(what: &str, found: &Batch, expected: &[Event]) -> Outcome {
    let found = Event::all_of(found);
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        equal(&format!("{what}, event {index} of {}", expected_of(index, expected)), found, expected)?;
    }
    equal(&format!("{what}, the number of events"), &found.len(), &expected.len())
}

/// What the event is, short, so that a message about one of 10,000 says which.
fn expected_of(index: usize, expected: &Event) -> String {
    format!("{index}.. ({})", cut(&String::from_utf8_lossy(&expected.payload).chars().take(20).collect::<String>()))
}

/// A value as text, cut.
pub(crate) fn shown(value: &impl Debug) -> String {
    cut(&format!("{value:?}"))
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{}… ({} bytes)", &text[..end], text.len()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_event_that_differs_is_named() {
        let found = Batch::from_payloads(["a", "x", "y"]);
        let expected = ["a", "b", "c"].map(Event::of);
        let error = events("the answer", &found, &expected).unwrap_err();
        assert!(error.contains("event 1") && error.contains("\"b\"") && error.contains("\"x\""), "{error}");
        let error = events("the answer", &found, &expected[..1]).unwrap_err();
        assert_eq!(error, "the answer, the number of events: found 3, expected 1");
    }

    #[test]
    fn what_is_long_is_cut() {
        let error = equal("n", &"x".repeat(1 << 20), &String::new()).unwrap_err();
        assert!(error.len() < 500 && error.contains("(1048578 bytes)"), "{error}");
    }
}
