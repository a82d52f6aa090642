//! A random pipeline of fifty stages on three node processes: what comes through it, event by event.

use std::path::PathBuf;

use forebay_graphs::processes::{Setup, run};

#[test]
fn every_event_of_a_random_graph_reaches_every_stage_as_often_as_the_graph_says() {
    let dir = tempfile::tempdir().unwrap();
    let setup = Setup {
        forebay: PathBuf::from(env!("CARGO_BIN_EXE_forebay")),
        dir: dir.path().to_owned(),
        // Compiled plugins of tests are for tests.
        cache: Some(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("graphs-cache")),
    };
    let report = run(&setup, 1).unwrap();
    assert_eq!(report.violations, [""; 0], "{} in {}", report.graph, dir.keep().display());
    assert!(report.arrived > 1000, "{report:?}");
}
