//! Which of a recording's calls can be made again, and on an instance that begins with which state.
//!
//! An instance that begins anew has not the state that the recorded one had. If the plugin exports `checkpoint` and the
//! recording holds a state, the calls from there on are made, on an instance that is given it; those before, and those
//! between a gap and the next state, are left out. Otherwise an instance that begins anew is given all there is.

use std::collections::BTreeSet;

use forebay_proto::taps::Given;

use crate::{
    cli::recording::{AnsweredLine, GivenLine, Head, Line, Numbered},
    runtime::Asks,
};

/// Where in a recording the states are, and where its runs begin.
#[derive(Debug, Default)]
pub(super) struct Survey {
    states: BTreeSet<usize>,
    runs: BTreeSet<usize>,
    sources: BTreeSet<String>,
}

impl Survey {
    pub(super) fn note(&mut self, numbered: &Numbered) {
        match &numbered.line {
            Line::Given(GivenLine::Events { source, .. }) if !self.sources.contains(source) => {
                self.sources.insert(source.clone());
            }
            Line::State { .. } => drop(self.states.insert(numbered.number)),
            Line::Run(_) => drop(self.runs.insert(numbered.number)),
            _ => {}
        }
    }

    /// The sources from which events came. Which of them the stage asks itself is not recorded: it may ask all.
    pub(super) fn asks(&self) -> Asks {
        Asks::of(self.sources.iter().filter_map(|source| source.parse().ok()))
    }

    /// Whether a state comes after a line, before another run begins.
    fn has_state_after(&self, number: usize) -> bool {
        let run = self.runs.range(number + 1..).next().copied().unwrap_or(usize::MAX);
        self.states.range(number + 1..).next().is_some_and(|state| *state < run)
    }
}

/// What is to be done next.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Step {
    /// Start an instance, with this state if any.
    Start(Option<Vec<u8>>),
    /// An instance that is started later begins with this.
    Keep(Vec<u8>),
    /// Make a call, which was answered so.
    Call(Given, AnsweredLine),
    /// Make none.
    LeaveOut,
}

/// Goes through a recording once.
#[derive(Debug)]
pub(super) struct Plan {
    survey: Survey,
    has_checkpoint: bool,
    waits: bool,
    given: Option<Given>,
    pub(super) missed: u64,
    pub(super) left_out: u64,
}

impl Plan {
    /// And the first step.
    pub(super) fn new(survey: Survey, has_checkpoint: bool) -> (Self, Step) {
        let waits = has_checkpoint && survey.has_state_after(1);
        (Self { survey, has_checkpoint, waits, given: None, missed: 0, left_out: 0 }, Step::Start(None))
    }

    /// What a line after the first asks for.
    ///
    /// # Errors
    /// With the reason: the line contradicts itself, or comes at the wrong place.
    pub(super) fn next(&mut self, Numbered { number, line }: Numbered) -> Result<Option<Step>, String> {
        Ok(match line {
            Line::Recording { .. } => return Err("a recording begins once".to_owned()),
            Line::Run(Head { .. }) => {
                self.given = None;
                self.waits = self.has_checkpoint && self.survey.has_state_after(number);
                Some(Step::Start(None))
            }
            Line::Missed { given, emitted } => {
                self.given = None;
                self.missed = self.missed.saturating_add(given).saturating_add(emitted);
                self.waits |= self.has_checkpoint && self.survey.has_state_after(number);
                None
            }
            Line::State { .. } if !self.has_checkpoint => None,
            Line::State { base64 } if std::mem::take(&mut self.waits) => Some(Step::Start(Some(base64.0))),
            Line::State { base64 } => Some(Step::Keep(base64.0)),
            Line::Given(given) => {
                self.given = Some(given.given()?);
                None
            }
            Line::Answered(answered) => match self.given.take() {
                Some(given) if !self.waits => Some(Step::Call(given, answered)),
                // The beginning of a recording may fall between the two.
                _ => {
                    self.left_out += 1;
                    Some(Step::LeaveOut)
                }
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::recording::Bytes64;

    const TICK: &str = r#"{"what":"given","call":"tick"}"#;
    const DONE: &str = r#"{"what":"answered","answer":"done","first":0}"#;
    const MISSED: &str = r#"{"what":"missed","given":3,"emitted":4}"#;
    const RUN: &str = r#"{"what":"run","pipeline":"p","stage":"s","role":"consumer","node":"a","epoch":1,"at":"now","plugin":"sha256:0","config":null,"limits":{"memory_bytes":1,"call_time_ms":1,"table_elements":1,"log_lines_per_second":1,"batch_events":1,"batch_bytes":1}}"#;

    fn state(state: &str) -> String {
        serde_json::to_string(&Line::State { base64: Bytes64(state.as_bytes().to_vec()) }).unwrap()
    }

    /// `+` starts anew, `+x` with state x, `=x` keeps it, `c` is a call, `-` one that is left out.
    fn told(has_checkpoint: bool, lines: &[&str]) -> String {
        let parsed = || {
            lines.iter().enumerate().map(|(index, line)| Numbered {
                number: index + 2,
                line: serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")),
            })
        };
        let mut survey = Survey::default();
        parsed().for_each(|line| survey.note(&line));
        let (mut plan, first) = Plan::new(survey, has_checkpoint);
        let steps = parsed().filter_map(|line| plan.next(line).unwrap()).collect::<Vec<_>>();
        let text = |state: Vec<u8>| String::from_utf8(state).unwrap();
        let sign = |step| match step {
            Step::Start(None) => "+".to_owned(),
            Step::Start(Some(state)) => format!("+{}", text(state)),
            Step::Keep(state) => format!("={}", text(state)),
            Step::Call(..) => "c".to_owned(),
            Step::LeaveOut => "-".to_owned(),
        };
        std::iter::once(first).chain(steps).map(sign).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn without_a_state_all_calls_are_made_on_a_fresh_instance() {
        assert_eq!(told(false, &[TICK, DONE, MISSED, TICK, DONE]), "+ c c");
        assert_eq!(told(false, &[TICK, DONE, &state("x"), TICK, DONE]), "+ c c", "it could not be given one");
        assert_eq!(told(true, &[TICK, DONE, MISSED, TICK, DONE]), "+ c c", "there is none");
    }

    #[test]
    fn with_a_state_calls_are_made_from_there_on() {
        assert_eq!(told(true, &[TICK, DONE, &state("x"), TICK, DONE, &state("y"), TICK, DONE]), "+ - +x c =y c");
        assert_eq!(
            told(true, &[&state("x"), TICK, DONE, MISSED, TICK, DONE, &state("y"), TICK, DONE]),
            "+ +x c - +y c"
        );
        assert_eq!(told(true, &[&state("x"), TICK, DONE, MISSED, TICK, DONE]), "+ +x c c", "none comes after the gap");
    }

    #[test]
    fn another_run_begins_anew() {
        assert_eq!(told(false, &[TICK, DONE, RUN, TICK, DONE]), "+ c + c");
        assert_eq!(told(true, &[TICK, DONE, RUN, TICK, DONE, &state("x"), TICK, DONE]), "+ c + - +x c");
        assert_eq!(told(true, &[&state("x"), TICK, DONE, RUN, TICK, DONE]), "+ +x c + c");
    }

    #[test]
    fn a_call_without_an_answer_or_an_answer_without_a_call_is_none() {
        assert_eq!(told(false, &[DONE, TICK, DONE]), "+ - c");
        assert_eq!(told(false, &[TICK, RUN, DONE]), "+ + -");
        assert_eq!(told(false, &[TICK, MISSED, DONE, TICK]), "+ -");
    }
}
