//! Whether what was seen is what was expected, and if not, how it differs.

use std::{collections::BTreeMap, fmt::Write as _};

use serde_json::Value;

use super::{Expect, Order, Pattern, Payload, Seen, Side, Wanted};

/// Lines of a difference that are shown.
const LINES_MAX: usize = 40;

/// Equal lines around a difference that are shown.
const CONTEXT: usize = 2;

/// Pairs that are compared at most for the shortest difference, or the best assignment; what is longer is shown as all
/// missing and all unexpected.
const PAIRS_MAX: usize = 4_000_000;

/// How what was seen differs; nothing if it is as expected.
pub(super) fn judge(expect: &Expect, seen: &[Seen]) -> Option<String> {
    let (stage, verb) = (&expect.stage, verb(expect.side));
    let again = if expect.repeats { ", each at least once" } else { "" };
    match &expect.what {
        Wanted::Count(count) => {
            let found = seen.len() as u64;
            let fits = if expect.repeats { found >= *count } else { found == *count };
            let wanted = if expect.repeats { "at least " } else { "" };
            (!fits).then(|| format!("stage `{stage}` {verb} {found} events; expected {wanted}{count}"))
        }
        Wanted::Events(patterns, order) => {
            let found: Vec<_> = seen.iter().map(|seen| Found::of(seen, patterns)).collect();
            let found: Vec<_> = found.iter().collect();
            let patterns: Vec<_> = patterns.iter().collect();
            let (how, lines) = match order {
                Order::Exact => ("in this order", in_order(&patterns, &found, expect.repeats)?),
                Order::Any => ("in any order", in_any_order(&patterns, &found, expect.repeats)?),
                Order::ByKey => ("in this order for each key", by_key(&patterns, &found, expect.repeats)?),
            };
            let head = format!("stage `{stage}` {verb} other events than expected ({how}{again}; - missing, + found)");
            Some(format!("{head}\n{}", shown(&lines)))
        }
    }
}

fn verb(side: Side) -> &'static str {
    match side {
        Side::Given => "was given",
        Side::Emitted => "emitted",
        Side::DeadLetters => "made dead letters of",
    }
}

/// An event that was seen, read once.
struct Found<'a> {
    seen: &'a Seen,
    json: Option<Value>,
}

impl<'a> Found<'a> {
    fn of(seen: &'a Seen, patterns: &[Pattern]) -> Self {
        let wanted = patterns.iter().any(|pattern| matches!(pattern.payload, Some(Payload::Json(_))));
        let json = if wanted { serde_json::from_slice(&seen.payload).ok() } else { None };
        Self { seen, json }
    }

    fn fits(&self, pattern: &Pattern) -> bool {
        pattern.fits(self.seen, self.json.as_ref())
    }
}

/// A line of a difference.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Line {
    Same(String),
    Missing(String),
    Found(String),
    /// What follows is of this key.
    Key(String),
}

fn in_order(patterns: &[&Pattern], found: &[&Found<'_>], repeats: bool) -> Option<Vec<Line>> {
    let mut next = 0;
    let mut fits = true;
    for event in found {
        if patterns.get(next).is_some_and(|pattern| event.fits(pattern)) {
            next += 1;
        } else if !(repeats && patterns[..next].iter().any(|pattern| event.fits(pattern))) {
            fits = false;
            break;
        }
    }
    if fits && next == patterns.len() {
        return None;
    }
    Some(difference(patterns, found))
}

/// The shortest list of lines that leads from what was expected to what was found.
fn difference(patterns: &[&Pattern], found: &[&Found<'_>]) -> Vec<Line> {
    let same = patterns.iter().zip(found).take_while(|(pattern, event)| event.fits(pattern)).count();
    let mut lines: Vec<_> = found[..same].iter().map(|event| Line::Same(event.seen.to_string())).collect();
    let (patterns, found) = (&patterns[same..], &found[same..]);
    let (rows, columns) = (patterns.len(), found.len());
    if rows.saturating_mul(columns) > PAIRS_MAX {
        lines.extend(patterns.iter().map(|pattern| Line::Missing(pattern.to_string())));
        lines.extend(found.iter().map(|event| Line::Found(event.seen.to_string())));
        return lines;
    }
    let fits = |row: usize, column: usize| found[column].fits(patterns[row]);
    // How many fit at most of what is left from (row, column) on.
    let width = columns + 1;
    let mut best = vec![0_u32; (rows + 1) * width];
    for row in (0..rows).rev() {
        for column in (0..columns).rev() {
            let (down, right) = (best[(row + 1) * width + column], best[row * width + column + 1]);
            let both = if fits(row, column) { best[(row + 1) * width + column + 1] + 1 } else { 0 };
            best[row * width + column] = both.max(down).max(right);
        }
    }
    let (mut row, mut column) = (0, 0);
    while row < rows || column < columns {
        let here = best[row * width + column];
        if row < rows && column < columns && fits(row, column) && here == best[(row + 1) * width + column + 1] + 1 {
            lines.push(Line::Same(found[column].seen.to_string()));
            (row, column) = (row + 1, column + 1);
        } else if row < rows && (column == columns || here == best[(row + 1) * width + column]) {
            lines.push(Line::Missing(patterns[row].to_string()));
            row += 1;
        } else {
            lines.push(Line::Found(found[column].seen.to_string()));
            column += 1;
        }
    }
    lines
}

fn in_any_order(patterns: &[&Pattern], found: &[&Found<'_>], repeats: bool) -> Option<Vec<Line>> {
    let takers = assign(patterns, found);
    let taken: Vec<bool> = takers.iter().map(Option::is_some).collect();
    let mut missing = vec![true; patterns.len()];
    takers.iter().flatten().for_each(|pattern| missing[*pattern] = false);
    let is_repeat = |event: &Found<'_>| repeats && patterns.iter().any(|pattern| event.fits(pattern));
    let mut lines = Vec::new();
    let lost = patterns.iter().zip(missing).filter(|(_, missing)| *missing);
    lines.extend(lost.map(|(pattern, _)| Line::Missing(pattern.to_string())));
    let others = found.iter().zip(taken).filter(|(event, taken)| !taken && !is_repeat(event));
    lines.extend(others.map(|(event, _)| Line::Found(event.seen.to_string())));
    (!lines.is_empty()).then_some(lines)
}

/// Which pattern each event is counted for, so that as many as can be have one. A pattern that leaves something open may
/// fit events that others need: so this is a maximum matching, by augmenting paths.
fn assign(patterns: &[&Pattern], found: &[&Found<'_>]) -> Vec<Option<usize>> {
    let mut takers: Vec<Option<usize>> = vec![None; found.len()];
    let mut left = Vec::new();
    for (number, pattern) in patterns.iter().enumerate() {
        let free = (0..found.len()).find(|event| takers[*event].is_none() && found[*event].fits(pattern));
        match free {
            Some(event) => takers[event] = Some(number),
            None => left.push(number),
        }
    }
    if patterns.len().saturating_mul(found.len()).saturating_mul(left.len().max(1)) <= 16 * PAIRS_MAX {
        for number in left {
            let mut tried = vec![false; found.len()];
            place(number, patterns, found, &mut takers, &mut tried);
        }
    }
    takers
}

fn place(
    number: usize,
    patterns: &[&Pattern],
    found: &[&Found<'_>],
    takers: &mut [Option<usize>],
    tried: &mut [bool],
) -> bool {
    for event in 0..found.len() {
        if tried[event] || !found[event].fits(patterns[number]) {
            continue;
        }
        tried[event] = true;
        let is_free = match takers[event] {
            None => true,
            Some(other) => place(other, patterns, found, takers, tried),
        };
        if is_free {
            takers[event] = Some(number);
            return true;
        }
    }
    false
}

fn by_key(patterns: &[&Pattern], found: &[&Found<'_>], repeats: bool) -> Option<Vec<Line>> {
    let mut keys: BTreeMap<&[u8], (Vec<&Pattern>, Vec<&Found<'_>>)> = BTreeMap::new();
    for pattern in patterns {
        keys.entry(pattern.key.as_deref().unwrap_or_default()).or_default().0.push(pattern);
    }
    for event in found {
        keys.entry(&event.seen.key).or_default().1.push(event);
    }
    let differs = keys.into_iter().filter_map(|(key, (patterns, found))| {
        let lines = in_order(&patterns, &found, repeats)?;
        let key = format!("key {:?}:", String::from_utf8_lossy(key));
        Some(std::iter::once(Line::Key(key)).chain(lines).collect::<Vec<_>>())
    });
    let lines: Vec<_> = differs.flatten().collect();
    (!lines.is_empty()).then_some(lines)
}

/// The lines with what differs, and a little around them.
fn shown(lines: &[Line]) -> String {
    let differs = |line: &Line| !matches!(line, Line::Same(_));
    let near = |at: usize| {
        let from = at.saturating_sub(CONTEXT);
        lines[from..lines.len().min(at + CONTEXT + 1)].iter().any(differs)
    };
    let (mut text, mut count, mut skipped) = (String::new(), 0, 0);
    for (at, line) in lines.iter().enumerate() {
        if !near(at) {
            skipped += 1;
            continue;
        }
        if count == LINES_MAX {
            let _ = writeln!(text, "  ... and {} more lines", lines.len() - at);
            break;
        }
        if skipped > 0 {
            let _ = writeln!(text, "    ... {skipped} as expected");
            skipped = 0;
        }
        count += 1;
        // Writing to a text does not fail.
        let _ = match line {
            Line::Same(event) => writeln!(text, "    {event}"),
            Line::Missing(event) => writeln!(text, "  - {event}"),
            Line::Found(event) => writeln!(text, "  + {event}"),
            Line::Key(key) => writeln!(text, "  {key}"),
        };
    }
    text.truncate(text.trim_end().len());
    text
}

#[cfg(test)]
mod tests;
