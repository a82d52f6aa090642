//! Where commands keep compiled plugins, and that they do without.

use std::fs;

use crate::{
    cli::Desk,
    process::{Outcome, forebay, run},
};

/// Runs `forebay inspect` on a plugin, with `home` as the directory of all caches.
fn inspect(home: &str, more: &[&str]) -> Outcome {
    let plugin = forebay_artifacts::COUNTER.path().display().to_string();
    let mut command = forebay([&["inspect", &plugin][..], more].concat());
    command.env("XDG_CACHE_HOME", home);
    let outcome = run(command);
    outcome.assert_done();
    assert!(outcome.stdout.contains("role      producer"), "{outcome:#?}");
    outcome
}

fn entries(folder: std::path::PathBuf) -> usize {
    let files = fs::read_dir(folder).map(|files| files.filter_map(Result::ok).collect::<Vec<_>>()).unwrap_or_default();
    files.iter().filter(|file| file.path().extension().is_some_and(|end| end == "cwasm")).count()
}

#[test]
fn compiled_plugins_are_kept_by_default() {
    let desk = Desk::new();
    assert_eq!(inspect(&desk.text("home"), &[]).stderr, "");
    assert_eq!(entries(desk.path("home/forebay")), 1);
    assert_eq!(inspect(&desk.text("home"), &[]).stderr, "", "taken from there");
    inspect(&desk.text("home"), &["--cache", &desk.text("mine")]);
    assert_eq!((entries(desk.path("home/forebay")), entries(desk.path("mine"))), (1, 1));
    inspect(&desk.text("other"), &["--no-cache"]);
    assert!(!desk.path("other").exists());
}

#[test]
fn a_default_that_cannot_be_used_is_told_and_gone_without() {
    let desk = Desk::new();
    let file = desk.write("file", "no directory");
    let outcome = inspect(&file, &[]);
    assert!(outcome.stderr.starts_with("forebay: cannot keep compiled plugins in "), "{outcome:#?}");
    assert!(outcome.stderr.contains("--no-cache does without"), "{outcome:#?}");
    let plugin = forebay_artifacts::COUNTER.path().display().to_string();
    let asked_for = run(forebay(["inspect", &plugin, "--cache", &format!("{file}/x")]));
    asked_for.assert_failed(73, "forebay: cannot use ");
}
