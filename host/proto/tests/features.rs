//! The table of features in `docs/features.md`: nothing of it is left out, and whatever it names is there.
//!
//! Reads the repository's files and does nothing else. `features.txt` holds the names of all features in their order.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "replay/elsewhere.rs"]
mod elsewhere;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use elsewhere::ELSEWHERE;

/// Words of a reason; fewer say nothing.
const REASON_WORDS_MIN: usize = 8;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum State {
    Yes,
    No,
    NotYet,
}

/// A line of the table.
#[derive(Debug)]
struct Row {
    section: String,
    name: String,
    state: State,
    /// The key, command or function.
    here: String,
    /// The tests, or the reason, without the recordings.
    shown: String,
    /// Names of recordings; one with `*` at its end stands for all that begin so.
    recorded: Vec<String>,
}

/// What stands between backquotes.
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

impl Row {
    fn read(section: &str, line: &str) -> Result<Self, String> {
        let cells: Vec<_> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let [name, state, here, shown] = cells[..] else { return Err(format!("{} cells: {line}", cells.len())) };
        let state = match state {
            "yes" => State::Yes,
            "no" => State::No,
            "not yet" => State::NotYet,
            other => return Err(format!("{name}: `{other}` is neither yes, no nor not yet")),
        };
        let (shown, recorded) = shown.split_once("recorded: ").unwrap_or((shown, ""));
        Ok(Self {
            section: section.to_owned(),
            name: name.to_owned(),
            state,
            here: here.to_owned(),
            shown: shown.to_owned(),
            recorded: quoted(recorded).into_iter().map(str::to_owned).collect(),
        })
    }

    /// The tests it names: file and function.
    fn tests(&self) -> impl Iterator<Item = (&str, &str)> {
        quoted(&self.shown).into_iter().filter_map(|word| word.split_once("::"))
    }

    fn records(&self, recording: &str) -> bool {
        self.recorded.iter().any(|name| match name.strip_suffix('*') {
            Some(begin) => recording.starts_with(begin),
            None => recording == name,
        })
    }
}

fn rows() -> Vec<Row> {
    let (mut section, mut rows) = (String::new(), Vec::new());
    for line in read("docs/features.md").lines() {
        if let Some(title) = line.strip_prefix("## ") {
            title.clone_into(&mut section);
        }
        if line.starts_with('|') && !line.starts_with("|---") && !line.starts_with("| in the original") {
            rows.push(Row::read(&section, line).unwrap_or_else(|error| panic!("docs/features.md: {error}")));
        }
    }
    rows
}

fn recordings() -> BTreeSet<String> {
    let files = fs::read_dir(root().join("host/proto/tests/genstage")).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    names.filter_map(|name| name.strip_suffix(".json").map(str::to_owned)).collect()
}

/// Why a recording is not played to our stages; `None` if it is.
fn not_played(recording: &str) -> Option<&'static str> {
    ELSEWHERE.iter().find(|elsewhere| elsewhere.scenarios.contains(&recording)).map(|elsewhere| elsewhere.why)
}

/// Whether `text`, a Rust file, has a test of this name that runs: a function with an attribute that says so, or one
/// that a list for a macro names on a line of its own.
fn has_test(text: &str, name: &str) -> bool {
    let lines: Vec<_> = text.lines().map(str::trim).collect();
    let is_listed = lines.iter().any(|line| line.trim_end_matches(',') == name);
    let opens = |line: &str| {
        let after = line.split_once("fn ").and_then(|(_, rest)| rest.strip_prefix(name));
        after.is_some_and(|rest| rest.starts_with(['(', '<']))
    };
    lines.iter().enumerate().filter(|(_, line)| opens(line)).any(|(at, _)| {
        let attributes: Vec<_> = lines[..at].iter().rev().take_while(|line| line.starts_with("#[")).collect();
        let has = |begin: &str| attributes.iter().any(|line| line.starts_with(begin));
        (is_listed || has("#[test]") || has("#[tokio::test")) && !has("#[ignore")
    })
}

#[track_caller]
fn assert_none(found: Vec<String>, what: &str) {
    assert!(found.is_empty(), "docs/features.md: {what}:\n{}", found.join("\n"));
}

#[test]
fn no_feature_is_left_out() {
    let names = read("host/proto/tests/features.txt");
    let (mut section, mut expected) = ("", Vec::new());
    for line in names.lines() {
        match line.strip_prefix("# ") {
            Some(title) => section = title,
            None => expected.push((section.to_owned(), line.to_owned())),
        }
    }
    let found: Vec<_> = rows().into_iter().map(|row| (row.section, row.name)).collect();
    let missing = expected.iter().filter(|name| !found.contains(name)).map(|name| format!("{name:?}"));
    assert_none(missing.collect(), "rows are missing");
    assert_eq!(found, expected, "a row that features.txt does not have, or another order");
    assert_eq!(expected.len(), 128);
}

#[test]
fn every_row_has_a_test_or_a_reason() {
    let recordings = recordings();
    let mut wrong = Vec::new();
    for row in rows() {
        let prose: String = row.shown.split('`').step_by(2).collect();
        let has_reason = prose.split_whitespace().count() >= REASON_WORDS_MIN && !row.shown.starts_with('`');
        let recorded: Vec<_> =
            recordings.iter().filter(|name| row.records(name)).map(|name| not_played(name)).collect();
        let is_shown = row.tests().next().is_some() || recorded.contains(&None);
        let ok = match row.state {
            State::Yes => is_shown && !has_reason,
            State::No => has_reason,
            State::NotYet => has_reason && is_shown,
        };
        if !ok || row.here.is_empty() {
            let elsewhere: BTreeSet<_> = recorded.into_iter().flatten().collect();
            let found = format!("{:?}, reason: {has_reason}, shown: {is_shown}", row.state);
            wrong.push(format!("{}, {}: {found}; of its recordings: {elsewhere:?}", row.section, row.name));
        }
    }
    assert_none(wrong, "a yes has tests, a no a reason, a not yet both");
}

#[test]
fn every_test_that_is_named_is_there() {
    let (mut files, mut missing) = (BTreeMap::new(), Vec::new());
    for row in rows() {
        for (path, name) in row.tests() {
            let text = files.entry(path.to_owned()).or_insert_with(|| fs::read_to_string(root().join(path)).ok());
            match text {
                Some(text) if has_test(text, name) => {}
                Some(_) => missing.push(format!("{}: {path} has no test {name}", row.name)),
                None => missing.push(format!("{}: there is no file {path}", row.name)),
            }
        }
    }
    assert!(files.len() > 20, "few files are named: this test reads the table wrongly");
    assert_none(missing, "tests that are not there");
}

#[test]
fn every_recording_is_named_and_every_name_is_one() {
    let (recordings, rows) = (recordings(), rows());
    assert_eq!(recordings.len(), 167);
    let unnamed = recordings.iter().filter(|recording| !rows.iter().any(|row| row.records(recording)));
    assert_none(unnamed.cloned().collect(), "no row names these recordings");
    let names = rows.iter().flat_map(|row| &row.recorded);
    let unknown = names.filter(|name| {
        let begin = name.trim_end_matches('*');
        !recordings.iter().any(|recording| recording == *name || recording.starts_with(begin) && begin != **name)
    });
    assert_none(unknown.cloned().collect(), "there are no such recordings");
}

/// The keys of the table of keys, without what stands before all those of a stage or of a subscription.
fn keys() -> BTreeSet<String> {
    let text = read("host/proto/src/pipeline/keys.md");
    let first = text.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`')).map(|(key, _)| key);
    first.map(|key| key.trim_start_matches("stages.NAME.").trim_start_matches("subscribe[].").to_owned()).collect()
}

#[test]
fn every_key_command_and_export_that_is_named_is_there() {
    let (keys, wit) = (keys(), read("wit/stage.wit"));
    let commands = read("host/src/cli/mod.rs");
    let mut missing = Vec::new();
    for row in rows().iter().filter(|row| row.state != State::NotYet) {
        for word in quoted(&row.here) {
            let known = if let Some(command) = word.strip_prefix("forebay ") {
                let variant = command.split(' ').next().unwrap();
                let variant = format!("    {}{}(", variant[..1].to_uppercase(), &variant[1..]);
                commands.contains(&variant)
            } else if word.starts_with("handle-") {
                wit.contains(&format!("  {word}: func("))
            } else if let Some((key, _)) = word.split_once(" = ") {
                keys.contains(key) || keys.contains(&format!("dispatcher.{key}"))
            } else {
                true
            };
            if !known {
                missing.push(format!("{}: `{word}`", row.name));
            }
        }
    }
    assert!(keys.contains("max_demand") && keys.contains("dispatcher.kind"), "{keys:?}");
    assert_none(missing, "there is no such key, command or export");
}

#[test]
fn the_sums_are_right() {
    let rows = rows();
    let count = |state| rows.iter().filter(|row| row.state == state).count();
    let [yes, no, not_yet] = [State::Yes, State::No, State::NotYet].map(count);
    let sentence = format!("Of {} features {yes} are here, {no} are not, and {not_yet} are not yet.", rows.len());
    assert!(read("docs/features.md").contains(&sentence), "docs/features.md should say: {sentence}");
}

#[test]
fn a_test_is_told_from_another_function() {
    let text = "#[test]\nfn one() {}\nfn two() {}\n#[tokio::test(flavor = \"x\")]\nasync fn three() {}\n\
                #[test]\n#[ignore]\nfn four() {}\nlist! {\n    five,\n}\nasync fn five(kit: Kit) {}\n#[test]\nfn onetwo() {}\n";
    let found = ["one", "two", "three", "four", "five", "six", "onet"].map(|name| has_test(text, name));
    assert_eq!(found, [true, false, true, false, true, false, false]);
}
