//! Runs the cases over components, and says what came of each.

use std::{
    fmt, io,
    path::Path,
    time::{Duration, Instant},
};

use forebay::runtime::{Grants, wasm::Wasm};
use futures_util::{StreamExt, stream};

use crate::{
    cases::{self, Case},
    expect::Outcome,
    stages::{Language, Stage, component},
    subject::Subject,
};

/// No case may hang: some are about guests that do.
const CASE_TIME_MAX: Duration = Duration::from_secs(60);

/// Components that are compiled while others are tested. Python's take 10 s of processor time each.
const LOADED_AHEAD: usize = 2;

/// What came of one case.
#[derive(Debug)]
pub(crate) struct Verdict {
    language: Language,
    stage: Stage,
    case: String,
    outcome: Outcome,
    took: Duration,
}

/// How many cases there were, and how many of them failed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Tally {
    pub(crate) cases: usize,
    pub(crate) failed: usize,
}

impl Verdict {
    /// Whether the case passed.
    pub(crate) fn is_well(&self) -> bool {
        self.outcome.is_ok()
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.is_well() { "ok" } else { "FAILED" };
        let (language, stage) = (self.language, self.stage);
        write!(f, "{word:<7} {language:<7} {stage:<13} {} ({:.1} s)", self.case, self.took.as_secs_f64())?;
        match &self.outcome {
            Ok(()) => Ok(()),
            Err(problem) => write!(f, "\n        {problem}"),
        }
    }
}

/// Runs all cases of these languages over the components in a directory, and hands over each verdict as it falls.
///
/// # Errors
/// Those of `tell`.
pub(crate) async fn run(
    wasm: &Wasm,
    directory: &Path,
    languages: &[Language],
    mut tell: impl FnMut(&Verdict) -> io::Result<()>,
) -> io::Result<Tally> {
    let components = languages.iter().flat_map(|&language| Stage::ALL.map(|stage| (language, stage)));
    let mut loaded =
        stream::iter(components.map(|(language, stage)| load(wasm, directory, language, stage))).buffered(LOADED_AHEAD);
    let mut tally = Tally::default();
    while let Some((loading, subject)) = loaded.next().await {
        tell_and_count(&loading, &mut tally, &mut tell)?;
        let Some(subject) = subject else { continue };
        for case in cases::of(subject.stage) {
            tell_and_count(&judged(&subject, case).await, &mut tally, &mut tell)?;
        }
    }
    Ok(tally)
}

fn tell_and_count(
    verdict: &Verdict,
    tally: &mut Tally,
    tell: &mut impl FnMut(&Verdict) -> io::Result<()>,
) -> io::Result<()> {
    tally.cases += 1;
    tally.failed += usize::from(verdict.outcome.is_err());
    tell(verdict)
}

/// Loads a component with nothing granted, which is a case of its own: a stage that is not there has failed.
async fn load(wasm: &Wasm, directory: &Path, language: Language, stage: Stage) -> (Verdict, Option<Subject>) {
    let (path, began) = (component(language, directory, stage), Instant::now());
    let plugin = wasm.load(&path, &Grants::default()).await;
    let (subject, outcome) = match plugin {
        Ok(plugin) => (Some(Subject { language, stage, plugin }), Ok(())),
        Err(_) if !path.exists() => {
            (None, Err(format!("{} is not there; `sdk/conformance/run` builds it", path.display())))
        }
        Err(error) => (None, Err(error.to_string())),
    };
    (Verdict { language, stage, case: "loads".to_owned(), outcome, took: began.elapsed() }, subject)
}

async fn judged(subject: &Subject, case: Case) -> Verdict {
    let began = Instant::now();
    let outcome = match tokio::time::timeout(CASE_TIME_MAX, case.run(subject)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(format!("it was not done after {CASE_TIME_MAX:?}")),
    };
    let (language, stage, took) = (subject.language, subject.stage, began.elapsed());
    Verdict { language, stage, case: case.name(), outcome, took }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The verdicts over a folder with the sample plugins that come close to stages of the set.
    async fn verdicts(stages: &[(&str, &str)], languages: &[Language]) -> (Tally, Vec<String>) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("rust")).unwrap();
        for (sample, stage) in stages {
            let component = forebay_artifacts::ALL.iter().find(|component| component.name == *sample).unwrap();
            std::fs::copy(component.path(), folder.path().join(format!("rust/{stage}.wasm"))).unwrap();
        }
        let (wasm, mut told) = (Wasm::new(None).unwrap(), Vec::new());
        let tell = |verdict: &Verdict| {
            told.push(verdict.to_string());
            Ok(())
        };
        let tally = run(&wasm, folder.path(), languages, tell).await.unwrap();
        (tally, told)
    }

    #[tokio::test]
    async fn a_stage_that_is_missing_has_failed() {
        let (tally, told) = verdicts(&[], &[Language::Go, Language::Python]).await;
        assert_eq!(tally, Tally { cases: 12, failed: 12 });
        assert!(
            told.iter().all(|line| line.contains("is not there") && line.contains("sdk/conformance/run")),
            "{told:?}"
        );
        assert!(told[11].contains("python/misbehaver.wasm"), "{told:?}");
    }

    /// The sample `double` takes 1 to 1000 copies, that of the set 0 as well: all else is the same.
    #[tokio::test]
    async fn the_sample_double_differs_in_one_case() {
        let (_, told) = verdicts(&[("double", "double")], &[Language::Rust]).await;
        let of_double: Vec<_> = told.iter().filter(|line| line.contains(" double ")).collect();
        let failed: Vec<_> = of_double.iter().filter(|line| line.starts_with("FAILED")).collect();
        assert_eq!(of_double.len(), 1 + cases::of(Stage::Double).len());
        assert_eq!(failed.len(), 1, "{failed:#?}");
        assert!(failed[0].contains("no copies are no events") && failed[0].contains("`copies` is 0"), "{failed:?}");
    }

    /// The sample `counter` has a checkpoint, but can neither be asked nor pushed into, nor says why it ends.
    #[tokio::test]
    async fn the_sample_counter_is_no_counter_of_the_set() {
        let (_, told) = verdicts(&[("counter", "counter"), ("counter", "checkpointed")], &[Language::Rust]).await;
        let outcome = |stage: &str, case: &str| {
            let line = told.iter().find(|line| line.contains(&format!(" {stage} ")) && line.contains(case));
            line.unwrap_or_else(|| panic!("no {case} of {stage}")).clone()
        };
        let failed =
            |stage, case: &str| assert!(outcome(stage, case).starts_with("FAILED"), "{}", outcome(stage, case));
        let well = |stage, case: &str| assert!(outcome(stage, case).starts_with("ok"), "{}", outcome(stage, case));
        well("counter", "counts from start by step");
        well("counter", "ends at its limit");
        failed("counter", "exports its role and what it has besides");
        failed("counter", "emits what is pushed in");
        failed("counter", "a call sets the next number");
        well("checkpointed", "another instance goes on from its snapshot");
        failed("checkpointed", "logs why it is terminated");
        failed("checkpointed", "refuses a snapshot that is no number");
    }
}
