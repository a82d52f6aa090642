//! The edges between modules, held by reading the sources; and how big things are.
//!
//! `cargo test -p forebay --test all tidy -- --nocapture` prints the figures.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Lines a file may have without its tests. Most have 100 to 300; a longer one says two things.
const FILE_LINES_MAX: usize = 600;

/// Files that are longer, and how long they may be until they are split.
const LONGER: [(&str, usize); 1] = [("host/sim/src/node.rs", 650)];

/// Lines a function may have. Most have under 25.
const FUNCTION_LINES_MAX: usize = 70;

/// A source file of the workspace.
struct Source {
    /// From the workspace's root, with `/`.
    path: String,
    text: String,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// All `.rs` files below these directories, by path.
fn sources(under: &[&str]) -> Vec<Source> {
    let (root, mut found) = (root(), Vec::new());
    let mut todo: Vec<PathBuf> = under.iter().map(|dir| root.join(dir)).collect();
    while let Some(path) = todo.pop() {
        if path.is_dir() {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name != "target" && !name.starts_with('.') {
                todo.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            found.push(Source { path: path.strip_prefix(&root).unwrap().to_string_lossy().into_owned(), text });
        }
    }
    found.sort_by(|one, other| one.path.cmp(&other.path));
    assert!(!found.is_empty(), "nothing in {under:?}: this test looks in the wrong place");
    found
}

impl Source {
    /// Not a test: neither in a test's directory or file.
    fn is_product(&self) -> bool {
        !self.path.contains("/tests/") && !self.path.ends_with("/tests.rs")
    }

    /// The lines with their numbers, without the tests at the end and without comments.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.text.lines().enumerate().map(|(index, line)| (index + 1, line));
        lines.take_while(|(_, line)| *line != "mod tests {").filter_map(|(number, line)| {
            let code = line.split("//").next().unwrap_or_default();
            (!code.trim().is_empty()).then_some((number, code))
        })
    }

    /// Lines without the tests at the end.
    fn length(&self) -> usize {
        self.text.lines().take_while(|line| *line != "mod tests {").count()
    }

    /// Where these words stand in code.
    fn uses(&self, words: &[&str]) -> Vec<String> {
        let found = self.code().filter(|(_, line)| words.iter().any(|word| contains_path(line, word)));
        found.map(|(number, line)| format!("{}:{number}: {}", self.path, line.trim())).collect()
    }
}

/// Whether `word` stands in `line` with no letter, digit or underscore before it; after it too, unless
/// it ends with a sign of its own.
fn contains_path(line: &str, word: &str) -> bool {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let (before, after) = (line[..at].chars().next_back(), line[at + word.len()..].chars().next());
        let ends_open = !word.ends_with(is_name);
        !before.is_some_and(is_name) && (ends_open || !after.is_some_and(is_name))
    })
}

#[track_caller]
fn assert_none(found: Vec<String>, why: &str) {
    assert!(found.is_empty(), "{why}:\n{}", found.join("\n"));
}

fn uses(sources: &[Source], except: &str, words: &[&str]) -> Vec<String> {
    let elsewhere = sources.iter().filter(|source| !source.path.starts_with(except));
    elsewhere.flat_map(|source| source.uses(words)).collect()
}

const NOWHERE: &str = "-";

#[test]
fn wasmtime_is_used_under_runtime_wasm_only() {
    let found = uses(&sources(&["host/src"]), "host/src/runtime/wasm/", &["wasmtime", "wasmtime_wasi"]);
    assert_none(found, "wasmtime outside of host/src/runtime/wasm");
    assert!(sources(&["host/src/runtime/wasm"]).iter().any(|source| !source.uses(&["wasmtime"]).is_empty()));
}

#[test]
fn quinn_is_used_under_transport_quic_only() {
    let found = uses(&sources(&["host/src"]), "host/src/transport/quic/", &["quinn", "quinn_proto"]);
    assert_none(found, "quinn outside of host/src/transport/quic");
    assert!(sources(&["host/src/transport/quic"]).iter().any(|source| !source.uses(&["quinn"]).is_empty()));
}

#[test]
fn openraft_is_used_under_registry_raft_only() {
    let found = uses(&sources(&["host/src"]), "host/src/registry/raft", &["openraft"]);
    assert_none(found, "openraft outside of host/src/registry/raft");
    assert!(sources(&["host/src/registry/raft"]).iter().any(|source| !source.uses(&["openraft"]).is_empty()));
}

#[test]
fn registries_of_plugins_are_asked_by_commands_only() {
    let found = uses(&sources(&["host/src"]), "host/src/cli/", &["forebay_oci"]);
    assert_none(found, "a node asks no registry");
    assert!(sources(&["host/src/cli"]).iter().any(|source| !source.uses(&["forebay_oci"]).is_empty()));
    let found = uses(&sources(&["host/src", "sdk"]), NOWHERE, &["ureq"]);
    assert_none(found, "ureq outside of host/oci");
    assert!(sources(&["host/oci/src"]).iter().any(|source| !source.uses(&["ureq"]).is_empty()));
}

#[test]
fn redb_is_used_where_things_are_stored_only() {
    let stores = ["host/src/registry/raft/store", "host/src/dlq/", "host/src/inbox/local/", "host/src/watched.rs"];
    let mut elsewhere = sources(&["host/src"]);
    elsewhere.retain(|source| !stores.iter().any(|store| source.path.starts_with(store)));
    assert_none(uses(&elsewhere, NOWHERE, &["redb"]), "redb outside of the stores");
    for store in stores {
        assert!(sources(&[store]).iter().any(|source| !source.uses(&["redb"]).is_empty()), "none in {store}");
    }
}

#[test]
fn the_core_does_no_input_or_output_and_knows_no_clock_or_chance() {
    let words = [
        "tokio",
        "std::fs",
        "std::env",
        "std::process",
        "std::thread",
        "std::io",
        "TcpStream",
        "TcpListener",
        "UdpSocket",
        "Instant",
        "SystemTime",
        "rand",
        "getrandom",
        "ring",
        "println!",
        "eprintln!",
    ];
    let product: Vec<_> = sources(&["host/proto/src"]).into_iter().filter(Source::is_product).collect();
    assert_none(uses(&product, NOWHERE, &words), "host/proto decides, and does nothing");
    let manifest = fs::read_to_string(root().join("host/proto/Cargo.toml")).unwrap();
    let dependencies = manifest.split("[dependencies]").nth(1).unwrap().split("\n[").next().unwrap();
    for crate_name in ["tokio", "quinn", "wasmtime", "rand", "tracing"] {
        assert!(!dependencies.contains(crate_name), "host/proto depends on {crate_name}");
    }
}

/// The modules of this crate that a file names, by `crate::`, alone or in a group.
fn modules_named(source: &Source) -> Vec<String> {
    let code: String = source.code().map(|(_, line)| line.trim()).collect::<Vec<_>>().join(" ");
    let mut named = Vec::new();
    for rest in code.split("crate::").skip(1) {
        let Some(group) = rest.strip_prefix('{') else {
            named.push(first_name(rest));
            continue;
        };
        let mut depth = 1;
        let mut item = String::new();
        for c in group.chars() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            if depth == 0 || (depth == 1 && c == ',') {
                named.push(first_name(item.trim()));
                item.clear();
            } else {
                item.push(c);
            }
            if depth == 0 {
                break;
            }
        }
    }
    named
}

fn first_name(path: &str) -> String {
    path.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// Calls go down: cli, cases of pipelines, node, then the three seams, then the core.
#[test]
fn calls_go_down_only() {
    for (below, above) in [
        ("host/src/inbox", &["node", "cli", "cases", "runtime", "transport", "dlq"][..]),
        ("host/src/registry", &["node", "cli", "cases", "runtime", "inbox", "dlq"]),
        ("host/src/runtime", &["node", "cli", "cases", "registry", "transport", "inbox", "dlq"]),
        ("host/src/transport", &["node", "cli", "cases", "registry", "runtime", "inbox", "dlq"]),
        ("host/src/dlq", &["node", "cli", "cases", "registry", "runtime", "transport", "inbox"]),
        ("host/src/config", &["node", "cli", "cases", "registry", "runtime", "transport", "inbox"]),
        ("host/src/node", &["cli", "cases"]),
        ("host/src/cases", &["cli"]),
    ] {
        for source in sources(&[below]).into_iter().filter(Source::is_product) {
            let named = modules_named(&source);
            let found: Vec<_> = named.iter().filter(|name| above.contains(&name.as_str())).collect();
            assert!(found.is_empty(), "{} uses {found:?}, which is above it", source.path);
        }
    }
    let node = sources(&["host/src/node"]);
    let named: BTreeSet<_> = node.iter().flat_map(modules_named).collect();
    assert!(named.is_superset(&["registry", "runtime", "transport"].map(str::to_owned).into()), "{named:?}");
}

#[test]
fn nothing_is_left_undone() {
    let product: Vec<_> = sources(&["host", "sdk", "plugins"]).into_iter().filter(Source::is_product).collect();
    assert_none(uses(&product, NOWHERE, &["todo!", "unimplemented!", "dbg!"]), "macros of unfinished work");
    let marks = ["TODO", "FIXME", "XXX", "HACK"];
    let marked = product.iter().flat_map(|source| {
        let lines =
            source.text.lines().enumerate().filter(|(_, line)| marks.iter().any(|mark| contains_path(line, mark)));
        lines.map(|(index, line)| format!("{}:{}: {}", source.path, index + 1, line.trim())).collect::<Vec<_>>()
    });
    assert_none(marked.collect(), "marks of unfinished work");
}

#[test]
fn every_file_opens_with_a_sentence_that_says_what_it_is() {
    let bare = sources(&["host", "sdk", "plugins"]).into_iter().filter(|source| {
        let from_file = source.text.starts_with("#![doc = include_str!(");
        !source.text.starts_with("//! ") && !from_file
    });
    assert_none(bare.map(|source| source.path).collect(), "files that do not open with `//!`");
}

/// A function's name, where it begins, and how many lines it has.
struct Function {
    place: String,
    lines: usize,
}

/// The functions of a file, found by matching braces. Strings, characters and comments are left out of
/// the count first.
fn functions(source: &Source) -> Vec<Function> {
    let lines: Vec<String> = blanked(&source.text).lines().map(str::to_owned).collect();
    let end = source.text.lines().position(|line| line == "mod tests {").unwrap_or(lines.len());
    let mut functions = Vec::new();
    for (start, line) in lines[..end].iter().enumerate() {
        let Some(name) = function_name(line) else { continue };
        let (mut depth, mut open) = (0_usize, false);
        for (index, line) in lines.iter().enumerate().skip(start) {
            for c in line.chars() {
                match c {
                    '{' => (depth, open) = (depth + 1, true),
                    '}' => depth = depth.saturating_sub(1),
                    _ => {}
                }
            }
            // A declaration in a trait has no body.
            if (open && depth == 0) || (!open && line.trim_end().ends_with(';')) {
                let place = format!("{}:{} {name}", source.path, start + 1);
                functions.extend(open.then_some(Function { place, lines: index - start + 1 }));
                break;
            }
        }
    }
    functions
}

fn function_name(line: &str) -> Option<&str> {
    let code = line.trim_start();
    let (before, rest) = code.split_once("fn ")?;
    let is_head = before.split_whitespace().all(|word| {
        word.starts_with("pub") || matches!(word, "async" | "const" | "unsafe" | "extern") || word.ends_with(')')
    });
    let name = rest.split(['(', '<']).next()?;
    (is_head && !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_')).then_some(name)
}

/// The text with strings, characters and comments as blanks, so that the braces left are code.
fn blanked(text: &str) -> String {
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(c) = rest.chars().next() {
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if let Some(hashes) =
            raw_string_hashes(rest).filter(|_| !out.ends_with(|c: char| c.is_alphanumeric() || c == '_'))
        {
            let end = format!("\"{}", "#".repeat(hashes));
            let from = rest.find('"').unwrap_or_default() + 1;
            from + rest[from..].find(&end).map_or(rest.len() - from, |at| at + end.len())
        } else if c == '"' {
            string_length(rest)
        } else if c == '\'' {
            character_length(rest)
        } else {
            0
        };
        if skipped == 0 {
            out.push(c);
            rest = &rest[c.len_utf8()..];
        } else {
            out.extend(rest[..skipped].chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
            rest = &rest[skipped..];
        }
    }
    out
}

fn raw_string_hashes(text: &str) -> Option<usize> {
    let after = text.strip_prefix("br").or_else(|| text.strip_prefix('r'))?;
    let hashes = after.chars().take_while(|c| *c == '#').count();
    after[hashes..].starts_with('"').then_some(hashes)
}

fn string_length(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// 0 for a lifetime.
fn character_length(text: &str) -> usize {
    let mut chars = text.char_indices().skip(1);
    match (chars.next(), chars.next()) {
        (Some((_, '\\')), Some((at, escaped))) => {
            let from = at + escaped.len_utf8();
            text[from..].find('\'').map_or(0, |end| from + end + 1)
        }
        (Some(_), Some((at, '\''))) => at + 1,
        _ => 0,
    }
}

#[test]
fn files_and_functions_stay_small() {
    let product: Vec<_> = sources(&["host", "sdk", "plugins"]).into_iter().filter(Source::is_product).collect();
    let tests = sources(&["host", "sdk", "plugins"]).into_iter().filter(|source| !source.is_product());
    let mut functions: Vec<_> = product.iter().flat_map(functions).collect();
    functions.sort_by_key(|function| std::cmp::Reverse(function.lines));
    let mut files: Vec<_> = product.iter().map(|source| (source.length(), &source.path)).collect();
    files.sort();
    let median = |sorted: &[usize]| sorted[sorted.len() / 2];
    let ninth = |sorted: &[usize]| sorted[sorted.len() * 9 / 10];
    let file_lines: Vec<_> = files.iter().map(|(lines, _)| *lines).collect();
    let function_lines: Vec<_> = functions.iter().rev().map(|function| function.lines).collect();
    let (largest, path) = files.last().unwrap();
    println!("{} files, {} lines without tests", files.len(), file_lines.iter().sum::<usize>());
    println!("tests beside them: {} lines", tests.map(|source| source.text.lines().count()).sum::<usize>());
    println!("a file: median {}, p90 {}, largest {largest} ({path})", median(&file_lines), ninth(&file_lines));
    let (first, count) = (&functions[0], functions.len());
    println!(
        "{count} functions: median {}, p90 {}, largest {} ({})",
        median(&function_lines),
        ninth(&function_lines),
        first.lines,
        first.place
    );
    for function in functions.iter().take(5) {
        println!("  {:4} {}", function.lines, function.place);
    }
    let max = |path: &str| LONGER.iter().find(|(long, _)| *long == path).map_or(FILE_LINES_MAX, |(_, max)| *max);
    let long_files = files.iter().filter(|(lines, path)| *lines > max(path));
    assert_none(long_files.map(|(lines, path)| format!("{path}: {lines}")).collect(), "files over 600 lines");
    let long = functions.iter().filter(|function| function.lines > FUNCTION_LINES_MAX);
    assert_none(
        long.map(|function| format!("{}: {}", function.place, function.lines)).collect(),
        "functions over 70 lines",
    );
    assert!(count > 500, "{count} functions: this test does not find them any more");
}

#[test]
fn functions_are_found_whatever_stands_in_their_strings() {
    let text = "//! x\nfn one() {\n    let a = \"}\"; // }\n    let b = '}';\n    let c = r#\"}\"}\"#;\n}\n\n    pub(crate) async fn two<'a>(\n        x: &'a str,\n    ) -> char {\n        '\\''\n    }\ntrait T {\n    fn none(&self);\n}\nmod tests {\nfn test() {\n}\n";
    let found = functions(&Source { path: "x.rs".to_owned(), text: text.to_owned() });
    let found: Vec<_> = found.iter().map(|function| (function.place.as_str(), function.lines)).collect();
    assert_eq!(found, [("x.rs:2 one", 5), ("x.rs:8 two", 5)]);
}
