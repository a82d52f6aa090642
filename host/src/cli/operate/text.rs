//! How things are written for operators: tables, dates and durations.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Rows under their heads, each column as wide as its widest word.
pub(super) fn table(heads: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = heads.iter().map(|head| head.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let padded: Vec<_> = cells.zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        format!("  {}\n", padded.join("  ").trim_end())
    };
    let mut text = line(&mut heads.iter().copied());
    for row in rows {
        text += &line(&mut row.iter().map(String::as_str));
    }
    text
}

/// A moment in milliseconds since 1970, as `2026-11-21T12:17:04.123Z`.
pub(super) fn moment(at_ms: u64) -> String {
    humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_millis(at_ms.min(MOMENT_MAX_MS))).to_string()
}

/// The end of the year 9999, the last that the form can say.
const MOMENT_MAX_MS: u64 = 253_402_300_799_000;

/// How long something takes that began then, to the second.
pub(super) fn since(at_ms: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    duration(now.saturating_sub(Duration::from_millis(at_ms)))
}

/// To the second.
pub(super) fn duration(duration: Duration) -> String {
    humantime::format_duration(Duration::from_secs(duration.as_secs())).to_string()
}

/// Whether a terminal could obey a character, or show others in another order than they stand.
fn is_harmful(c: char) -> bool {
    let turns_text = matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || turns_text
}

/// A guest's words in one line, with whatever a terminal could obey as `\u{1b}`.
pub(in crate::cli) fn harmless(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match is_harmful(c) {
            true => out.extend(c.escape_unicode()),
            false => out.push(c),
        }
    }
    out
}

/// Lines of a guest's words, each two spaces in.
pub(super) fn indented(text: &str) -> String {
    text.split('\n').map(|line| format!("  {}\n", harmless(&line.replace('\t', "    ")))).collect()
}

/// The text these bytes are, if nothing in it is for a terminal to obey but ends of lines and tabs.
pub(super) fn printable(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?;
    text.chars().all(|c| !is_harmful(c) || matches!(c, '\n' | '\t')).then_some(text)
}

/// JSON in one line. What a terminal could obey stands only in its texts, where it can be escaped.
pub(super) fn json(value: &impl serde::Serialize) -> String {
    harmless_json(&serde_json::to_string(value).expect("it has string keys"))
}

/// JSON that is written already, in one line, with whatever a terminal could obey escaped.
pub(in crate::cli) fn harmless_json(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match is_harmful(c) {
            true => out += &format!("\\u{:04x}", u32::from(c)),
            false => out.push(c),
        }
    }
    out
}

/// `a`, `a and b`, `a, b and c`.
pub(super) fn list(words: &[String]) -> String {
    match words {
        [] => "nobody".to_owned(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_word() {
        let rows = [vec!["a".to_owned(), "x".to_owned()], vec!["long".to_owned(), String::new()]];
        assert_eq!(table(&["n", "value"], &rows), "  n     value\n  a     x\n  long\n");
    }

    #[test]
    fn a_terminal_is_given_nothing_to_obey() {
        let hostile = "a\u{1b}[31mb\u{9b}2J\u{7f}\r\n\u{202e}c\tä";
        let shown = r"a\u{1b}[31mb\u{9b}2J\u{7f}\u{d}\u{a}\u{202e}c\u{9}ä";
        assert_eq!(harmless(hostile), shown);
        assert_eq!(indented("a\n\tb\u{1b}"), "  a\n      b\\u{1b}\n");
        let said = json(&hostile);
        assert!(!said.contains(is_harmful), "{said:?}");
        assert_eq!(serde_json::from_str::<String>(&said).unwrap(), hostile);
        assert_eq!(printable("a\tb\nä".as_bytes()), Some("a\tb\nä"));
        for hostile in [&b"\x1b[31m"[..], b"a\rb", b"\0", b"\xff", "\u{9b}".as_bytes(), "\u{202e}".as_bytes()] {
            assert_eq!(printable(hostile), None, "{hostile:?}");
        }
    }

    #[test]
    fn moments_and_lists() {
        assert_eq!(moment(1_700_000_000_123), "2023-11-14T22:13:20.123Z");
        assert_eq!(moment(u64::MAX), "9999-12-31T23:59:59.000Z");
        assert_eq!(list(&["a".into(), "b".into(), "c".into()]), "a, b and c");
    }
}
