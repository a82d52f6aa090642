//! What is wrong with a pipeline file, and where: errors that show the line.

use std::{fmt, ops::Range};

/// At most this many problems are reported of one file; the rest would not be read.
pub(super) const PROBLEMS_MAX: usize = 20;

/// The most characters shown of a line, and of a value found.
const SHOWN_CHARS_MAX: usize = 80;

/// A pipeline file was refused. Holds at least one problem, in the order of the file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ManifestError {
    problems: Vec<Problem>,
}

impl ManifestError {
    pub(super) fn new(problems: Vec<Problem>) -> Self {
        assert!(!problems.is_empty(), "an error without a problem");
        Self { problems }
    }

    /// What is wrong, in the order of the file; at least one, at most 20.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ManifestError {}

/// One thing that is wrong.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Problem {
    /// The file, as it was named to the parser.
    pub file: String,
    /// Counted from 1.
    pub line: usize,
    /// Counted from 1, in characters; a byte order mark is none.
    pub column: usize,
    /// The key, such as `stages.counter.subscribe[0].to`; empty if it is about no key.
    pub key: String,
    /// What was found there. Control characters are escaped.
    pub found: String,
    /// What was expected; empty if `found` says it all.
    pub expected: String,
    /// The known name most like the one found.
    pub nearest: Option<String>,
    excerpt: Excerpt,
}

/// `file:line:col: what`, and the line with a caret below.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: ", escape(&self.file, 4096), self.line, self.column)?;
        if !self.key.is_empty() {
            write!(f, "`{}` is ", self.key)?;
        }
        f.write_str(&self.found)?;
        if !self.expected.is_empty() {
            write!(f, "; expected {}", self.expected)?;
        }
        if let Some(nearest) = &self.nearest {
            write!(f, "; did you mean `{nearest}`?")?;
        }
        let number = self.line.to_string();
        let margin = " ".repeat(number.len());
        let Excerpt { text, caret } = &self.excerpt;
        write!(f, "\n{margin} |\n{number} | {text}\n{margin} | {}^", " ".repeat(*caret))
    }
}

/// The part of a line that is shown.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Excerpt {
    text: String,
    /// How many characters stand before the caret.
    caret: usize,
}

impl Excerpt {
    /// The line around character `column` (from 0), with control characters as `?`: one character
    /// each, so that the caret stands right.
    fn new(line: &str, column: usize) -> Self {
        let start = column.saturating_sub(SHOWN_CHARS_MAX / 2);
        let plain = |c: char| if c.is_control() { if c == '\t' { ' ' } else { '?' } } else { c };
        let mut text: String = line.chars().skip(start).take(SHOWN_CHARS_MAX).map(plain).collect();
        let mut caret = column - start;
        if line.chars().nth(start + SHOWN_CHARS_MAX).is_some() {
            text.push_str(" ...");
        }
        if start > 0 {
            text.insert_str(0, "... ");
            caret += 4;
        }
        Self { text, caret }
    }
}

/// Problems as they are found, with byte offsets instead of lines.
#[derive(Debug, Default)]
pub(super) struct Problems {
    found: Vec<(usize, Found)>,
    /// Every key that was looked for, for the test of the documentation.
    #[cfg(test)]
    pub(super) asked: std::collections::BTreeSet<String>,
}

/// A problem without its place.
#[derive(Clone, Debug, Default)]
pub(super) struct Found {
    pub(super) key: String,
    pub(super) found: String,
    pub(super) expected: String,
    pub(super) nearest: Option<String>,
}

impl Problems {
    /// Notes a problem at a byte offset, unless there are enough.
    pub(super) fn push(&mut self, at: usize, found: Found) {
        if !self.is_full() {
            self.found.push((at, found));
        }
    }

    /// Whether further problems would not be reported, so need not be looked for.
    pub(super) fn is_full(&self) -> bool {
        self.found.len() >= PROBLEMS_MAX
    }

    pub(super) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// The error, with the offsets turned to lines of `text`.
    ///
    /// # Errors
    /// Always, if there is a problem.
    pub(super) fn into_result(mut self, text: &str, file: &str) -> Result<(), ManifestError> {
        if self.is_empty() {
            return Ok(());
        }
        self.found.sort_by_key(|&(at, _)| at);
        Err(ManifestError::new(self.found.into_iter().map(|(at, found)| place(text, file, at, found)).collect()))
    }
}

fn place(text: &str, file: &str, at: usize, found: Found) -> Problem {
    let (line, column, range) = locate(text, at);
    let Found { key, found, expected, nearest } = found;
    let excerpt = Excerpt::new(&text[range], column - 1);
    Problem { file: file.to_owned(), line, column, key, found, expected, nearest, excerpt }
}

/// Line and column of a byte offset, both from 1, and the range of the line without its end.
pub(super) fn locate(text: &str, at: usize) -> (usize, usize, Range<usize>) {
    let at = text.floor_char_boundary(at);
    let start = text[..at].rfind('\n').map_or(0, |index| index + 1);
    let end = text[at..].find('\n').map_or(text.len(), |index| at + index);
    let line = text[..at].matches('\n').count() + 1;
    let column = text[start..at].chars().count() + 1;
    let end = if text[start..end].ends_with('\r') && end > at { end - 1 } else { end };
    (line, column, start..end)
}

/// `text` with control characters escaped, and cut.
pub(super) fn escape(text: &str, chars_max: usize) -> String {
    let mut shown: String = text.escape_debug().take(chars_max).collect();
    // `escape_debug` also escapes quotes, which harm nothing here and would be hard to read.
    shown = shown.replace("\\\"", "\"").replace("\\'", "'");
    if text.chars().count() > chars_max {
        shown.push_str("...");
    }
    shown
}

/// `text` in quotation marks, escaped and cut to what fits a message.
pub(super) fn quote(text: &str) -> String {
    format!("\"{}\"", escape(text, SHOWN_CHARS_MAX))
}

/// The name in `known` most like `found`, if it is like enough: at most a third of it differs.
pub(super) fn nearest<'a>(found: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    // Names are short; a longer text is no misspelt name, and the distance takes quadratic time.
    if found.len() > 64 {
        return None;
    }
    let near = |name: &'a str| (distance(found, name), name);
    let (distance, name) = known.into_iter().map(near).min_by_key(|&(distance, _)| distance)?;
    let allowed = (found.chars().count().max(name.chars().count()) / 3).max(1);
    (distance <= allowed).then(|| name.to_owned())
}

/// Edit distance in which two swapped neighbours count once (optimal string alignment).
fn distance(one: &str, other: &str) -> usize {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=other.len()).collect();
    for i in 1..=one.len() {
        let mut row = vec![i];
        for j in 1..=other.len() {
            let replace = last[j - 1] + usize::from(one[i - 1] != other[j - 1]);
            let mut best = replace.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && one[i - 1] == other[j - 2] && one[i - 2] == other[j - 1] {
                best = best.min(before[j - 2] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_characters_and_line_ends_are_no_part_of_a_line() {
        let text = "a\r\näö = 1\r\n";
        let at = text.find('=').unwrap();
        let (line, column, range) = locate(text, at);
        assert_eq!((line, column, &text[range]), (2, 4, "äö = 1"));
        assert_eq!(locate(text, text.len()), (3, 1, text.len()..text.len()));
        assert_eq!(locate("", 0), (1, 1, 0..0));
    }

    #[test]
    fn a_long_line_is_cut_around_the_caret() {
        let line = format!("{}X{}", "a".repeat(1000), "b".repeat(1000));
        let excerpt = Excerpt::new(&line, 1000);
        assert_eq!(excerpt.text, format!("... {}X{} ...", "a".repeat(40), "b".repeat(39)));
        assert_eq!(excerpt.text.chars().nth(excerpt.caret), Some('X'));
    }

    #[test]
    fn distance_counts_edits() {
        for (one, other, expected) in [("", "", 0), ("a", "", 1), ("plugn", "plugin", 1), ("abc", "acb", 1)] {
            assert_eq!(distance(one, other), expected, "{one} {other}");
            assert_eq!(distance(other, one), expected, "{other} {one}");
        }
    }

    #[test]
    fn only_a_similar_name_is_proposed() {
        let known = ["plugin", "scope", "poll", "to"];
        assert_eq!(nearest("plguin", known), Some("plugin".into()));
        assert_eq!(nearest("t", known), Some("to".into()));
        assert_eq!(nearest("concurrency", known), None);
        assert_eq!(nearest(&"x".repeat(10_000), known), None);
        assert_eq!(nearest("plugin", []), None);
    }
}
