//! Reading typed values off a parsed TOML file, so that every mistake is noted with key and place.
//!
//! This stands where serde would: serde stops at the first mistake, and its errors carry neither
//! the key's path nor a proposal for a misspelt one. A key that nobody asked for is unknown.

use std::{ops::RangeInclusive, time::Duration};

use toml::de::{DeTable, DeValue};

use super::{
    problem::{Found, Problems, escape, nearest, quote},
    units,
};

/// One table of the file and the keys asked for so far.
#[derive(Debug)]
pub(super) struct Fields<'d> {
    table: &'d DeTable<'d>,
    path: String,
    /// Where the table's name stands.
    at: usize,
    asked: Vec<&'static str>,
}

impl<'d> Fields<'d> {
    pub(super) fn root(table: &'d DeTable<'d>) -> Self {
        Self { table, path: String::new(), at: 0, asked: Vec::new() }
    }

    /// The value of a key, read by `read`, which notes what is wrong. `None` if it is absent.
    pub(super) fn optional<T>(
        &mut self,
        problems: &mut Problems,
        key: &'static str,
        read: impl FnOnce(&Node<'d>, &mut Problems) -> Option<T>,
    ) -> Option<T> {
        self.asked.push(key);
        let value = self.table.get(key)?;
        let node = Node { value: value.get_ref(), at: value.span().start, path: join(&self.path, key) };
        read(&node, problems)
    }

    /// As [`Fields::optional`]; absence is a problem.
    pub(super) fn required<T>(
        &mut self,
        problems: &mut Problems,
        key: &'static str,
        expected: &str,
        read: impl FnOnce(&Node<'d>, &mut Problems) -> Option<T>,
    ) -> Option<T> {
        if self.table.get(key).is_none() {
            let (found, expected) = ("missing".to_owned(), expected.to_owned());
            problems.push(self.at, Found { key: join(&self.path, key), found, expected, nearest: None });
        }
        self.optional(problems, key, read)
    }

    /// All keys with their values, in the order of the file: for a table whose keys are names.
    pub(super) fn entries(self) -> Vec<(&'d str, Node<'d>)> {
        let mut entries: Vec<_> = self.table.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        let node = |key: &str, at, value| Node { value, at, path: join(&self.path, key) };
        let entries = entries.into_iter();
        entries.map(|(key, value)| (&**key.get_ref(), node(key.get_ref(), key.span().start, value.get_ref()))).collect()
    }

    /// Notes every key that was not asked for.
    pub(super) fn finish(self, problems: &mut Problems) {
        #[cfg(test)]
        problems.asked.extend(self.asked.iter().map(|key| join(&self.path, key)));
        let known = |key: &str| self.asked.contains(&key);
        for (key, _) in self.table.iter().filter(|(key, _)| !known(key.get_ref())) {
            if problems.is_full() {
                return;
            }
            let expected = one_of(self.asked.iter().map(|key| format!("`{key}`")));
            let nearest = nearest(key.get_ref(), self.asked.iter().copied());
            let found = "no key that is known here".to_owned();
            problems.push(key.span().start, Found { key: join(&self.path, key.get_ref()), found, expected, nearest });
        }
    }
}

/// One value of the file.
#[derive(Debug)]
pub(super) struct Node<'d> {
    pub(super) value: &'d DeValue<'d>,
    /// Where it stands; for a table whose key is a name, where that stands.
    pub(super) at: usize,
    pub(super) path: String,
}

impl<'d> Node<'d> {
    /// Notes that this value is not what was `expected`.
    pub(super) fn unexpected<T>(&self, problems: &mut Problems, expected: impl Into<String>) -> Option<T> {
        self.problem(problems, describe(self.value), expected)
    }

    /// Notes what is wrong with this value.
    pub(super) fn problem<T>(
        &self,
        problems: &mut Problems,
        found: impl Into<String>,
        expected: impl Into<String>,
    ) -> Option<T> {
        let (found, expected) = (found.into(), expected.into());
        problems.push(self.at, Found { key: self.path.clone(), found, expected, nearest: None });
        None
    }

    pub(super) fn text(&self, problems: &mut Problems, expected: &str) -> Option<&'d str> {
        self.value.as_str().or_else(|| self.unexpected(problems, expected))
    }

    pub(super) fn fields(&self, problems: &mut Problems, expected: &str) -> Option<Fields<'d>> {
        match self.value.as_table() {
            Some(table) => Some(Fields { table, path: self.path.clone(), at: self.at, asked: Vec::new() }),
            None => self.unexpected(problems, expected),
        }
    }

    pub(super) fn elements(&self, problems: &mut Problems, expected: &str) -> Option<Vec<Node<'d>>> {
        let Some(array) = self.value.as_array() else {
            return self.unexpected(problems, expected);
        };
        let node = |(index, value): (usize, &'d toml::Spanned<DeValue<'d>>)| Node {
            value: value.get_ref(),
            at: value.span().start,
            path: format!("{}[{index}]", self.path),
        };
        Some(array.iter().enumerate().map(node).collect())
    }

    pub(super) fn flag(&self, problems: &mut Problems) -> Option<bool> {
        self.value.as_bool().or_else(|| self.unexpected(problems, "true or false"))
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(&self, problems: &mut Problems, choices: &[(&str, T)]) -> Option<T> {
        let found = self.value.as_str();
        if let Some(&(_, choice)) = choices.iter().find(|(word, _)| Some(*word) == found) {
            return Some(choice);
        }
        let expected = one_of(choices.iter().map(|(word, _)| quote(word)));
        let nearest = found.and_then(|found| nearest(found, choices.iter().map(|(word, _)| *word)));
        let found = describe(self.value);
        problems.push(self.at, Found { key: self.path.clone(), found, expected, nearest });
        None
    }

    pub(super) fn integer(&self, problems: &mut Problems, range: RangeInclusive<u32>) -> Option<u32> {
        let number = self.value.as_integer().and_then(|n| i128::from_str_radix(n.as_str(), n.radix()).ok());
        let number = number.and_then(|number| u32::try_from(number).ok());
        number
            .filter(|number| range.contains(number))
            .or_else(|| self.unexpected(problems, format!("an integer from {} to {}", range.start(), range.end())))
    }

    /// A text such as `"250ms"`.
    pub(super) fn duration(&self, problems: &mut Problems, range: RangeInclusive<Duration>) -> Option<Duration> {
        let duration = self.value.as_str().and_then(|text| humantime::parse_duration(text).ok());
        duration.filter(|duration| range.contains(duration)).or_else(|| {
            let [start, end] = [range.start(), range.end()].map(|end| units::duration(*end));
            let expected = format!("a duration with its unit, as in \"250ms\" or \"5s\", from {start} to {end}");
            self.unexpected(problems, expected)
        })
    }

    /// A size, as a text or a number of bytes.
    pub(super) fn size(&self) -> Option<u64> {
        match self.value {
            DeValue::String(text) => units::parse_bytes(text),
            DeValue::Integer(number) => u64::from_str_radix(number.as_str(), number.radix()).ok(),
            _ => None,
        }
    }

    /// A text such as `"64MiB"`, or an integer of bytes.
    pub(super) fn bytes(&self, problems: &mut Problems, range: RangeInclusive<u64>) -> Option<u64> {
        self.size().filter(|bytes| range.contains(bytes)).or_else(|| {
            let [start, end] = [range.start(), range.end()].map(|end| units::bytes(*end));
            let expected = format!("a size, as in \"64MiB\", \"4MB\" or a number of bytes, from {start} to {end}");
            self.unexpected(problems, expected)
        })
    }
}

/// `a.b`, with a key in quotation marks that TOML would not take bare.
pub(super) fn join(path: &str, key: &str) -> String {
    let bare = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
    let key = if bare { escape(key, 80) } else { quote(key) };
    if path.is_empty() { key } else { format!("{path}.{key}") }
}

/// What a value is, for people.
pub(super) fn describe(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("the string {}", quote(text)),
        DeValue::Integer(number) => format!("the integer {}", escape(&number.to_string(), 80)),
        DeValue::Float(number) => format!("the float {}", escape(&number.to_string(), 80)),
        DeValue::Boolean(value) => value.to_string(),
        DeValue::Datetime(date) => format!("the date {date}"),
        DeValue::Array(_) => "an array".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}

fn one_of(words: impl Iterator<Item = String>) -> String {
    let words: Vec<String> = words.collect();
    match &words[..] {
        [word] => word.clone(),
        [words @ .., last] => format!("{} or {last}", words.join(", ")),
        [] => "nothing".to_owned(),
    }
}
