//! What the program answers to whoever started it.

use std::process::{Command, Output};

fn run(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_forebay-conformance")).args(args).output().expect("cargo has built it")
}

#[test]
fn it_fails_if_a_component_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(&["test", "--lang", "zig", "--lang", "c", &folder.path().to_string_lossy()]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert_eq!(text.matches("FAILED").count(), 12, "{text}");
    assert!(text.contains("zig/counter.wasm is not there"), "{text}");
    assert!(text.ends_with("12 cases, 12 failed\n"), "{text}");
}

#[test]
fn it_says_what_it_cannot_measure() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(&["table", "--lang", "go", &folder.path().to_string_lossy()]);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("go: ") && text.contains("go/counter.wasm"), "{text}");
}

#[test]
fn it_knows_its_languages() {
    let output = run(&["test", "--lang", "cobol", "."]);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("cobol") && text.contains("python"), "{text}");
}
