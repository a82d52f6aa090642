//! From a file's bytes to TOML's tree: encoding, size, control characters, syntax, duplicates.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

use super::{
    FILE_BYTES_MAX, ManifestError,
    problem::{Found, Problems, escape, locate},
};

/// The text of a file's bytes.
pub(super) fn decode<'b>(bytes: &'b [u8], file: &str) -> Result<&'b str, ManifestError> {
    std::str::from_utf8(bytes).map_err(|error| {
        let text = String::from_utf8_lossy(bytes);
        let found = format!("byte 0x{:02x} is not UTF-8", bytes[error.valid_up_to()]);
        refuse(&text, file, error.valid_up_to(), &found, "a text file in UTF-8")
    })
}

/// The tree of a text without byte order mark.
pub(super) fn parse<'t>(text: &'t str, file: &str) -> Result<DeTable<'t>, ManifestError> {
    check_text(text, file)?;
    check_toml(text, file)
}

fn refuse(text: &str, file: &str, at: usize, found: &str, expected: &str) -> ManifestError {
    let mut problems = Problems::default();
    let found = Found { found: found.to_owned(), expected: expected.to_owned(), ..Found::default() };
    problems.push(at, found);
    problems.into_result(text, file).expect_err("one was pushed")
}

/// What is asked of the text before it is parsed.
fn check_text(text: &str, file: &str) -> Result<(), ManifestError> {
    if text.len() > FILE_BYTES_MAX {
        let found = format!("the file has {} bytes", text.len());
        return Err(refuse("", file, 0, &found, &format!("at most {FILE_BYTES_MAX}")));
    }
    let mut characters = text.char_indices().peekable();
    while let Some((at, c)) = characters.next() {
        let line_end = c == '\n' || c == '\r' && characters.peek().is_some_and(|&(_, next)| next == '\n');
        if c.is_ascii_control() && c != '\t' && !line_end {
            let found = format!("control character U+{:04X}", u32::from(c));
            return Err(refuse(text, file, at, &found, "text; inside a string, write it as an escape"));
        }
    }
    Ok(())
}

fn check_toml<'t>(text: &'t str, file: &str) -> Result<DeTable<'t>, ManifestError> {
    let (document, errors) = DeTable::parse_recoverable(text);
    let document = document.into_inner();
    let mut problems = Problems::default();
    for error in errors {
        if problems.is_full() {
            break;
        }
        let span = error.span().unwrap_or(0..0);
        let (found, expected) = error.message().split_once(", expected ").unwrap_or((error.message(), ""));
        let (mut found, expected) = (found.to_owned(), expected.to_owned());
        if found == "duplicate key" {
            found = duplicate(text, &document, span.clone());
        }
        problems.push(span.start, Found { found, expected, ..Found::default() });
    }
    problems.into_result(text, file)?;
    Ok(document)
}

/// Says where the key stands first, if that can be told.
fn duplicate(text: &str, document: &DeTable<'_>, span: Range<usize>) -> String {
    let key = text.get(span.clone()).unwrap_or_default();
    let (_, _, line) = locate(text, span.start);
    let header = text[line.clone()].trim();
    let first = if header.starts_with('[') {
        let lines = text[..line.start].lines().enumerate();
        lines.filter(|(_, earlier)| earlier.trim() == header).map(|(index, _)| index + 1).next()
    } else {
        last_key_before(document, key, span.start).map(|at| locate(text, at).0)
    };
    let key = escape(key, 80);
    match first {
        Some(first) => format!("key `{key}` stands here again, first in line {first}"),
        None => format!("key `{key}` stands here again"),
    }
}

/// The last place before `at` where `key` stands, in tables that may contain `at`.
fn last_key_before(table: &DeTable<'_>, key: &str, at: usize) -> Option<usize> {
    let mut tables = vec![table];
    let mut last = None;
    while let Some(table) = tables.pop() {
        for (name, value) in table.iter() {
            let start = name.span().start;
            if name.get_ref() == key && start < at {
                last = last.max(Some(start));
            }
            let elements = value.get_ref().as_array().into_iter().flat_map(|array| array.iter());
            for value in std::iter::once(value).chain(elements) {
                // An inline table spans its braces; one with a header goes on after its span.
                let closed = table.is_empty() || value.span().end <= at && is_inline(value);
                if let Some(table) = value.get_ref().as_table().filter(|_| !closed) {
                    tables.push(table);
                }
            }
        }
    }
    last
}

fn is_inline(value: &toml::Spanned<DeValue<'_>>) -> bool {
    // Every entry of an inline table lies within the table's own span.
    let span = value.span();
    value.get_ref().as_table().is_some_and(|table| table.iter().all(|(key, _)| span.contains(&key.span().start)))
}
