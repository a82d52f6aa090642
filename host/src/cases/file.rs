//! Reading a cases file: TOML, checked against the pipeline it is for. An error names the file and the place.

use std::{collections::BTreeMap, fmt, time::Duration};

use forebay_proto::{ids::StageName, pipeline::Pipeline};
use serde::Deserialize;
use toml::Spanned;

use super::{
    Case, End, Expect, Fault, FaultKind, Input, Order, Side, Wanted, When,
    event::{EventText, duration},
};
use crate::runtime::Role;

/// How long nothing may happen until a run is over. Longer than the longest pause that a node makes by default, 30 s.
const QUIET: Duration = Duration::from_secs(35);

/// How long a run may take that is to become quiet, once the last input and fault that have a time are due.
const LIMIT: Duration = Duration::from_secs(3600);

/// How long a node that is killed or drained is away.
const BACK: Duration = Duration::from_secs(1);

/// Nodes of a case at most.
const NODES_MAX: u8 = 9;

/// A cases file is not what it should be.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CasesError {
    file: String,
    /// Line and column, from 1.
    place: (usize, usize),
    what: String,
}

impl fmt::Display for CasesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, place: (line, column), what } = self;
        write!(f, "{file}:{line}:{column}: {what}")
    }
}

impl std::error::Error for CasesError {}

/// What the stages of a pipeline are, and whether events can be pushed into them.
pub type Roles = BTreeMap<StageName, (Role, bool)>;

/// Reads cases.
///
/// # Errors
/// The first mistake, with its place.
pub fn read(text: &str, file: &str, pipeline: &Pipeline, roles: &Roles) -> Result<Vec<Case>, CasesError> {
    let error = |wrong: Wrong| CasesError { file: file.to_owned(), place: place(text, wrong.at), what: wrong.what };
    let parsed = toml::from_str::<FileText>(text).map_err(|failed| {
        let at = failed.span().map_or(0, |span| span.start);
        error(Wrong { at, what: failed.message().replace('\n', " ") })
    })?;
    let reader = Reader { pipeline, roles };
    let mut cases: Vec<Case> = Vec::new();
    for case in &parsed.case {
        let read = reader.case(case).map_err(error)?;
        if cases.iter().any(|other| other.name == read.name) {
            return Err(error(wrong(&case.name, format!("there are two cases `{}`; give each a name", read.name))));
        }
        cases.push(read);
    }
    if cases.is_empty() {
        return Err(error(Wrong { at: 0, what: "the file has no case; expected [[case]]".to_owned() }));
    }
    Ok(cases)
}

/// Line and column of a byte, from 1.
fn place(text: &str, at: usize) -> (usize, usize) {
    let before = &text[..text.floor_char_boundary(at)];
    let line = before.rsplit('\n').next().unwrap_or_default();
    (before.matches('\n').count() + 1, line.chars().count() + 1)
}

/// A mistake, and the byte where it is.
#[derive(Debug)]
struct Wrong {
    at: usize,
    what: String,
}

fn wrong<T>(place: &Spanned<T>, what: impl Into<String>) -> Wrong {
    Wrong { at: place.span().start, what: what.into() }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileText {
    #[serde(default)]
    case: Vec<CaseText>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseText {
    name: Spanned<String>,
    nodes: Option<Spanned<u8>>,
    duration: Option<Spanned<String>>,
    quiet: Option<Spanned<String>>,
    limit: Option<Spanned<String>>,
    #[serde(default)]
    input: Vec<InputText>,
    #[serde(default)]
    fault: Vec<FaultText>,
    #[serde(default)]
    expect: Vec<ExpectText>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct InputText {
    stage: Spanned<String>,
    events: Option<Vec<Spanned<EventText>>>,
    count: Option<u64>,
    ingest: Option<Vec<Spanned<EventText>>>,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
enum KindText {
    Slow,
    Crash,
    Redeliver,
    CrashNode,
    DrainNode,
    CutNode,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FaultText {
    kind: Spanned<KindText>,
    stage: Spanned<String>,
    after: Option<u64>,
    at: Option<Spanned<String>>,
    per_event: Option<Spanned<String>>,
    #[serde(rename = "for")]
    lasts: Option<Spanned<String>>,
    back: Option<Spanned<String>>,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
enum RepeatsText {
    Allowed,
    None,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExpectText {
    stage: Spanned<String>,
    given: Option<Vec<Spanned<EventText>>>,
    emitted: Option<Vec<Spanned<EventText>>>,
    dead_letters: Option<Vec<Spanned<EventText>>>,
    given_count: Option<u64>,
    emitted_count: Option<u64>,
    dead_letters_count: Option<u64>,
    order: Option<Order>,
    repeats: Option<RepeatsText>,
}

struct Reader<'a> {
    pipeline: &'a Pipeline,
    roles: &'a Roles,
}

impl Reader<'_> {
    fn case(&self, text: &CaseText) -> Result<Case, Wrong> {
        let nodes = text.nodes.as_ref().map_or(1, |nodes| *nodes.get_ref());
        if let Some(given) = text.nodes.as_ref().filter(|_| !(1..=NODES_MAX).contains(&nodes)) {
            return Err(wrong(given, format!("`nodes` is {nodes}; expected 1 to {NODES_MAX}")));
        }
        let mut case = Case {
            name: text.name.get_ref().clone(),
            nodes,
            end: end(text)?,
            inputs: BTreeMap::new(),
            faults: Vec::new(),
            expects: Vec::new(),
        };
        if case.name.trim().is_empty() {
            return Err(wrong(&text.name, "a case needs a name that says what it shows"));
        }
        for input in &text.input {
            let (stage, read) = self.input(input)?;
            if case.inputs.insert(stage.clone(), read).is_some() {
                return Err(wrong(&input.stage, format!("stage `{stage}` has two inputs; put them into one")));
            }
        }
        self.check_inputs(text, &case)?;
        for fault in &text.fault {
            case.faults.push(self.fault(fault, nodes)?);
        }
        // Raised by what is still to come, unless the author has set it.
        if let (End::Quiet { limit, .. }, None) = (&mut case.end, &text.limit) {
            *limit += last_due(&case.inputs, &case.faults);
        }
        let repeats = case.faults.iter().any(|fault| fault.kind.makes_repeats());
        for expect in &text.expect {
            case.expects.push(self.expect(expect, repeats)?);
        }
        if case.expects.is_empty() {
            return Err(wrong(&text.name, format!("case `{}` expects nothing; add [[case.expect]]", case.name)));
        }
        Ok(case)
    }

    fn stage(&self, name: &Spanned<String>) -> Result<(StageName, Role), Wrong> {
        let text = name.get_ref();
        let found = self.roles.iter().find(|(stage, _)| stage.as_str() == text);
        found.map(|(stage, (role, _))| (stage.clone(), *role)).ok_or_else(|| {
            let known: Vec<_> = self.roles.keys().map(StageName::as_str).collect();
            let (pipeline, known) = (self.pipeline.name(), known.join(", "));
            wrong(name, format!("pipeline `{pipeline}` has no stage {text:?}; it has {known}"))
        })
    }

    fn input(&self, text: &InputText) -> Result<(StageName, Input), Wrong> {
        let (stage, role) = self.stage(&text.stage)?;
        if role != Role::Producer {
            return Err(wrong(&text.stage, format!("stage `{stage}` is a {role}; only a producer is given input")));
        }
        let events = |events: &[Spanned<EventText>]| {
            let read = events.iter().map(|event| event.get_ref().to_input().map_err(|what| wrong(event, what)));
            read.collect::<Result<Vec<_>, _>>()
        };
        let input = match (&text.events, text.count, &text.ingest) {
            (Some(given), None, None) => Input::Events(events(given)?),
            (None, Some(count), None) => Input::Count(count),
            (None, None, Some(given)) => Input::Ingest(events(given)?),
            _ => {
                let what = format!("the input of stage `{stage}` needs one of `events`, `count` and `ingest`");
                return Err(wrong(&text.stage, what));
            }
        };
        let takes_events = self.roles.get(&stage).is_some_and(|(_, takes_events)| *takes_events);
        let is_polled = self.pipeline.stage(&stage).is_some_and(|settings| settings.poll.is_some());
        if let Input::Events(events) = &input
            && !is_polled
            && events.iter().any(|event| !event.at.is_zero())
        {
            let what =
                format!("stage `{stage}` has `poll = \"off\"`, and would not be asked again for events with `at`");
            return Err(wrong(&text.stage, what));
        }
        if matches!(input, Input::Ingest(_)) && !takes_events {
            let what = format!("stage `{stage}` takes no events from outside: its plugin does not export `ingest`");
            return Err(wrong(&text.stage, what));
        }
        Ok((stage, input))
    }

    /// Each producer comes to an end, or the case does.
    fn check_inputs(&self, text: &CaseText, case: &Case) -> Result<(), Wrong> {
        let endless = self.roles.iter().find(|(stage, (role, _))| {
            *role == Role::Producer && !case.inputs.contains_key(*stage) && matches!(case.end, End::Quiet { .. })
        });
        match endless {
            None => Ok(()),
            Some((stage, _)) => Err(wrong(
                &text.name,
                format!(
                    "producer `{stage}` has no [[case.input]], and case `{}` no `duration`: it would not end; give \
                     the stage `events`, `count` or `ingest`, or the case a `duration`",
                    case.name
                ),
            )),
        }
    }

    fn fault(&self, text: &FaultText, nodes: u8) -> Result<Fault, Wrong> {
        let (stage, role) = self.stage(&text.stage)?;
        let kind = kind(text)?;
        let error = |what: String| Err(wrong(&text.kind, what));
        if kind == FaultKind::Redeliver && role == Role::Producer {
            return error(format!("stage `{stage}` is a producer, to which nothing is delivered"));
        }
        match kind {
            FaultKind::CrashNode { .. } if nodes == 2 => {
                return error(
                    "of 2 nodes one has the vote, and without it nothing goes on; set `nodes` to 1 or 3".into(),
                );
            }
            FaultKind::CutNode { .. } if nodes < 3 => {
                return error(format!("`cut-node` needs `nodes` of 3 or more, for others to go on; there are {nodes}"));
            }
            FaultKind::CrashNode { back: None } | FaultKind::DrainNode { back: None } if nodes == 1 => {
                return error("the only node would never come back; say `back`, or have more `nodes`".into());
            }
            _ => {}
        }
        let when = match (text.after, &text.at) {
            (Some(_), Some(at)) => return Err(wrong(at, "a fault has `after` or `at`; this one has both")),
            (Some(events), None) => When::After(events),
            (None, Some(at)) => When::At(time("at", at)?),
            (None, None) if matches!(kind, FaultKind::Slow { .. }) => When::At(Duration::ZERO),
            (None, None) => {
                return error("when? say `after` (events of the stage) or `at` (a time after the start)".into());
            }
        };
        Ok(Fault { kind, stage, when })
    }

    fn expect(&self, text: &ExpectText, repeats: bool) -> Result<Expect, Wrong> {
        let (stage, role) = self.stage(&text.stage)?;
        let sides = [
            (Side::Given, &text.given, text.given_count),
            (Side::Emitted, &text.emitted, text.emitted_count),
            (Side::DeadLetters, &text.dead_letters, text.dead_letters_count),
        ];
        let mut found = Vec::new();
        for (side, events, count) in sides {
            if let Some(events) = events {
                let read = events.iter().map(|event| event.get_ref().to_pattern().map_err(|what| wrong(event, what)));
                found.push((side, Wanted::Events(read.collect::<Result<_, _>>()?, text.order.unwrap_or_default())));
            }
            found.extend(count.map(|count| (side, Wanted::Count(count))));
        }
        let [(side, what)] = <[_; 1]>::try_from(found).map_err(|found| {
            let keys = "`given`, `emitted`, `dead_letters`, `given_count`, `emitted_count`, `dead_letters_count`";
            wrong(&text.stage, format!("an [[case.expect]] needs one of {keys}; this one has {}", found.len()))
        })?;
        let never = match (side, role) {
            (Side::Given | Side::DeadLetters, Role::Producer) => Some("is given nothing"),
            (Side::Emitted, Role::Consumer) => Some("emits nothing"),
            _ => None,
        };
        if let Some(never) = never {
            return Err(wrong(&text.stage, format!("stage `{stage}` is a {role}, which {never}")));
        }
        let repeats = text.repeats.map_or(repeats, |repeats| repeats == RepeatsText::Allowed);
        Ok(Expect { stage, side, what, repeats })
    }
}

fn end(text: &CaseText) -> Result<End, Wrong> {
    let time = |key, given: &Option<Spanned<String>>| given.as_ref().map(|given| time(key, given)).transpose();
    if let Some(duration) = time("duration", &text.duration)? {
        if let Some(other) = text.quiet.as_ref().or(text.limit.as_ref()) {
            return Err(wrong(other, "a case with a `duration` ends then; `quiet` and `limit` are for those without"));
        }
        return Ok(End::After(duration));
    }
    let (quiet, limit) = (time("quiet", &text.quiet)?.unwrap_or(QUIET), time("limit", &text.limit)?.unwrap_or(LIMIT));
    Ok(End::Quiet { quiet, limit })
}

/// When the last of what has a time is due.
fn last_due(inputs: &BTreeMap<StageName, Input>, faults: &[Fault]) -> Duration {
    let events = inputs.values().flat_map(|input| match input {
        Input::Events(events) | Input::Ingest(events) => events.as_slice(),
        Input::Count(_) => &[],
    });
    let strikes = faults.iter().filter_map(|fault| match fault.when {
        When::At(at) => Some(at),
        When::After(_) => None,
    });
    events.map(|event| event.at).chain(strikes).max().unwrap_or_default()
}

fn time(key: &str, given: &Spanned<String>) -> Result<Duration, Wrong> {
    duration(key, given.get_ref()).map_err(|what| wrong(given, what))
}

/// The kind with its keys; those of other kinds are a mistake.
fn kind(text: &FaultText) -> Result<FaultKind, Wrong> {
    let optional = |key, given: &Option<Spanned<String>>| given.as_ref().map(|given| time(key, given)).transpose();
    let needed = |key, given: &Option<Spanned<String>>| {
        optional(key, given)?.ok_or_else(|| wrong(&text.kind, format!("a fault of this kind needs `{key}`")))
    };
    let back = || match &text.back {
        Some(given) if given.get_ref() == "never" => Ok(None),
        given => Ok(Some(optional("back", given)?.unwrap_or(BACK))),
    };
    let (kind, keys): (_, &[&str]) = match text.kind.get_ref() {
        KindText::Slow => {
            let per_event = needed("per_event", &text.per_event)?;
            (FaultKind::Slow { per_event, lasts: optional("for", &text.lasts)? }, &["per_event", "for"])
        }
        KindText::Crash => (FaultKind::Crash, &[]),
        KindText::Redeliver => (FaultKind::Redeliver, &[]),
        KindText::CrashNode => (FaultKind::CrashNode { back: back()? }, &["back"]),
        KindText::DrainNode => (FaultKind::DrainNode { back: back()? }, &["back"]),
        KindText::CutNode => (FaultKind::CutNode { lasts: needed("for", &text.lasts)? }, &["for"]),
    };
    let given = [("per_event", &text.per_event), ("for", &text.lasts), ("back", &text.back)];
    for (key, value) in given {
        if let Some(value) = value.as_ref().filter(|_| !keys.contains(&key)) {
            return Err(wrong(value, format!("a fault of kind `{}` has no `{key}`", kind.name())));
        }
    }
    Ok(kind)
}

#[cfg(test)]
mod tests;
