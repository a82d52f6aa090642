//! Reading a recording, line by line.

use std::{
    fs::File,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
};

use super::{Head, Line, VERSION};
use crate::cli::{Exit, Failure};

/// A longer line is refused. Unit: bytes; a batch of 8 MiB takes half of it, if each of its bytes is written as six.
const LINE_BYTES_MAX: u64 = 128 << 20;

/// A line and its number, from 1.
#[derive(Debug)]
pub(in crate::cli) struct Numbered {
    pub(in crate::cli) number: usize,
    pub(in crate::cli) line: Line,
}

/// An open recording.
#[derive(Debug)]
pub(in crate::cli) struct Reader {
    path: PathBuf,
    lines: BufReader<File>,
    number: usize,
}

impl Reader {
    /// Opens a recording, and reads its first line.
    ///
    /// # Errors
    /// If it cannot be read, or is no recording of this version.
    pub(in crate::cli) fn open(path: &Path) -> Result<(Self, Head), Failure> {
        let failed = |error| Failure::reading(path, error);
        let file = File::open(path).map_err(failed)?;
        if !file.metadata().map_err(failed)?.is_file() {
            return Err(Failure::new(Exit::NoInput, format!("{} is not a file; name a recording", path.display())));
        }
        let mut reader = Self { path: path.to_owned(), lines: BufReader::new(file), number: 0 };
        let none = "is no recording; `forebay record` makes one";
        let Some(first) = reader.text()? else { return Err(reader.wrong(&format!("an empty file {none}"))) };
        let version = serde_json::from_slice::<serde_json::Value>(&first).ok().and_then(|value| {
            let is_one = value.get("what").and_then(serde_json::Value::as_str) == Some("recording");
            value.get("version").filter(|_| is_one).and_then(serde_json::Value::as_u64)
        });
        match version {
            Some(version) if version == u64::from(VERSION) => {}
            Some(version) => {
                let text = format!("a recording of version {version}; this `forebay` reads version {VERSION}");
                return Err(reader.wrong(&text));
            }
            None => return Err(reader.wrong(none)),
        }
        match reader.parse(&first)? {
            Line::Recording { head, .. } => Ok((reader, head)),
            _ => Err(reader.wrong(none)),
        }
    }

    /// The next line.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(in crate::cli) fn next(&mut self) -> Result<Option<Numbered>, Failure> {
        let Some(text) = self.text()? else { return Ok(None) };
        match self.parse(&text)? {
            Line::Recording { .. } => Err(self.wrong("a recording begins once")),
            line => Ok(Some(Numbered { number: self.number, line })),
        }
    }

    /// What is wrong with the line that was read last.
    pub(in crate::cli) fn wrong(&self, why: &str) -> Failure {
        Failure::new(Exit::Data, format!("{}:{}: {why}", self.path.display(), self.number.max(1)))
    }

    fn text(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        let mut text = Vec::new();
        let read = self.lines.by_ref().take(LINE_BYTES_MAX + 1).read_until(b'\n', &mut text);
        read.map_err(|error| Failure::reading(&self.path, error))?;
        self.number += 1;
        if text.len() as u64 > LINE_BYTES_MAX {
            return Err(self.wrong(&format!("a line has at most {LINE_BYTES_MAX} bytes")));
        }
        Ok((!text.is_empty()).then_some(text))
    }

    fn parse(&self, text: &[u8]) -> Result<Line, Failure> {
        serde_json::from_slice(text).map_err(|error| {
            let cut = if text.ends_with(b"\n") { "" } else { ", and the file may be cut short" };
            self.wrong(&format!("this is no line of a recording{cut}: {error}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    const HEAD: &str = r#"{"what":"recording","version":1,"pipeline":"p","stage":"s","role":"consumer","node":"a","epoch":1,"at":"now","plugin":"sha256:0","config":null,"limits":{"memory_bytes":1,"call_time_ms":1,"table_elements":1,"log_lines_per_second":1,"batch_events":1,"batch_bytes":1}}"#;

    fn lines_of(text: &str) -> Result<usize, String> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        let read = || {
            let (mut reader, _) = Reader::open(file.path())?;
            let mut count = 0;
            while reader.next()?.is_some() {
                count += 1;
            }
            Ok(count)
        };
        read().map_err(|failure: Failure| {
            assert_eq!(failure.exit, Exit::Data);
            failure.to_string()
        })
    }

    #[test]
    fn what_is_no_recording_is_refused_with_the_line() {
        let tick = r#"{"what":"given","call":"tick"}"#;
        assert_eq!(lines_of(&format!("{HEAD}\n{tick}\n{tick}\n")), Ok(2));
        for (text, why) in [
            (String::new(), ":1: an empty file is no recording"),
            ("hello\n".into(), ":1: is no recording"),
            (format!("{tick}\n"), ":1: is no recording"),
            (
                HEAD.replace("\"version\":1", "\"version\":2"),
                ":1: a recording of version 2; this `forebay` reads version 1",
            ),
            (HEAD.replace("\"node\"", "\"knot\""), ":1: this is no line of a recording"),
            (format!("{HEAD}\n{HEAD}\n"), ":2: a recording begins once"),
            (
                format!("{HEAD}\n{tick}\n{{\"what\":\"other\"}}\n"),
                ":3: this is no line of a recording: unknown variant",
            ),
            (format!("{HEAD}\n{tick}\n{{\"wh"), ":3: this is no line of a recording, and the file may be cut short"),
        ] {
            let told = lines_of(&text).unwrap_err();
            assert!(told.contains(why), "{text}: {told}");
        }
    }
}
