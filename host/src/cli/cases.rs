//! `forebay test`: the cases of a pipeline in virtual time, and a project's own tests.

use std::{
    ops::Range,
    path::{Path, PathBuf},
};

use serde_json::json;

use super::{Exit, Failure, OutputArgs, OutputChoice, author, cache::CacheArgs, load, output, run::start_log};
use crate::{
    cases::{self, Case, CasesError, Outcome, RunError, Subject},
    node::LoadedPipeline,
    signature::TrustedKeys,
};

/// Test a pipeline with the cases beside it, or a project
///
/// Of a pipeline file, `x.toml`, the cases stand in `x.test.toml`: what producers emit, what each stage must be given or emit,
/// and what goes wrong meanwhile (slow stages, crashes, redelivery, nodes that end). Whole nodes run it with its real
/// plugins, in one process and in virtual time, so that an hour takes seconds; a seed gives the same run. See
/// docs/testing.md. Exit code 0: all cases pass; 1: one does not.
///
/// Of a project, its own tests are run by the usual runner of its language: `cargo test`, `go test`, `node --test`, pytest or
/// unittest, `zig test`, or a program compiled with the system's C or C++ compiler. They need no wasm: the SDK's harness makes
/// the calls that a host makes. Then its stages are built, and the cases of its pipeline run, if it has any.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Pipeline file, or directory of a project
    #[arg(value_name = "PIPELINE", default_value = ".")]
    pipeline: PathBuf,
    /// The cases, rather than those beside the pipeline
    #[arg(long, value_name = "FILE")]
    cases: Option<PathBuf>,
    /// Run this case only; may be given several times
    #[arg(long, value_name = "NAME")]
    case: Vec<String>,
    /// What chance is drawn from: elections, how long calls take, how many events come at a time
    #[arg(long, value_name = "N", default_value = "0", conflicts_with = "seeds")]
    seed: u64,
    /// Run each case with all these seeds, as in 0..100
    #[arg(long, value_name = "A..B", value_parser = parse_seeds)]
    seeds: Option<Range<u64>>,
    /// Tell on standard error what happens, with the time of the run
    #[arg(long)]
    verbose: bool,
    #[command(flatten)]
    cache: CacheArgs,
    #[command(flatten)]
    output: OutputArgs,
}

fn parse_seeds(text: &str) -> Result<Range<u64>, String> {
    let range = text.split_once("..").and_then(|(from, to)| Some(from.parse().ok()?..to.parse().ok()?));
    range
        .filter(|range| !range.is_empty())
        .ok_or_else(|| "expected two numbers, the second larger, as in 0..100".to_owned())
}

/// What a first cases file may look like.
fn example(stage: &str) -> String {
    format!(
        "[[case]]\nname = \"what goes in comes out\"\n\n[[case.input]]\nstage = \"{stage}\"\nevents = [\"one\", \
         \"two\"]\n\n[[case.expect]]\nstage = \"{stage}\"\nemitted = [\"one\", \"two\"]"
    )
}

pub(super) fn test(args: &Args) -> Result<Exit, Failure> {
    if !args.pipeline.is_dir() {
        return of_pipeline(args, &args.pipeline);
    }
    // Whoever names a case wants it and nothing else.
    let cases_only = args.cases.is_some() || !args.case.is_empty() || args.seeds.is_some();
    if !cases_only {
        author::test(&args.pipeline)?;
    }
    let project = author::project(&args.pipeline)?;
    if !cases_only && !cases::cases_path(&project.pipeline()).exists() {
        return Ok(Exit::Done);
    }
    let project = author::build_project(&args.pipeline)?;
    of_pipeline(args, &project.pipeline())
}

fn of_pipeline(args: &Args, file: &Path) -> Result<Exit, Failure> {
    start_log(if args.verbose { "warn,stage=info" } else { "error,stage=off" })?;
    let (pipeline, _) = load::read_bytes(file)?;
    let path = args.cases.clone().unwrap_or_else(|| cases::cases_path(file));
    let text = std::fs::read_to_string(&path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            let first = pipeline.upstream_order().next().map_or("source", |stage| stage.name.as_str());
            let text = format!("there is no {}; it may begin so:\n\n{}", path.display(), example(first));
            Failure::new(Exit::NoInput, text)
        }
        _ => Failure::reading(&path, error),
    })?;
    let wasm = args.cache.clone().wasm()?;
    let loading = async {
        let nothing = load::LinesInput::Nothing;
        let plugins = load::plugins(&pipeline, file, &wasm, Some(&nothing), &TrustedKeys::default()).await?;
        // What does not go together is told before any case is looked at.
        LoadedPipeline::new(pipeline.clone(), plugins.clone())?;
        Ok(Subject { pipeline: pipeline.clone(), plugins })
    };
    let subject = super::block_on(loading)?;
    let cases = cases::read(&text, &path.display().to_string(), &pipeline, &subject.roles())?;
    let chosen = chosen(args, &cases)?;
    let teller = Teller { json: matches!(args.output.output, OutputChoice::Json), file, cases: args.cases.as_deref() };
    let (mut runs, mut failed) = (0, 0);
    for case in chosen {
        for seed in args.seeds.clone().unwrap_or(args.seed..args.seed.saturating_add(1)) {
            let outcome = run(&subject, case, seed, args.verbose)?;
            runs += 1;
            failed += usize::from(!outcome.failures.is_empty());
            teller.tell(case, seed, &outcome);
        }
    }
    teller.sum(runs, failed);
    Ok(if failed == 0 { Exit::Done } else { Exit::Different })
}

/// The cases to run, in the order of the file.
fn chosen<'c>(args: &Args, cases: &'c [Case]) -> Result<Vec<&'c Case>, Failure> {
    if let Some(unknown) = args.case.iter().find(|name| cases.iter().all(|case| case.name != **name)) {
        let known: Vec<_> = cases.iter().map(|case| format!("\n  {}", case.name)).collect();
        return Err(Failure::new(Exit::Usage, format!("there is no case {unknown:?}; there are:{}", known.concat())));
    }
    Ok(cases.iter().filter(|case| args.case.is_empty() || args.case.contains(&case.name)).collect())
}

fn run(subject: &Subject, case: &Case, seed: u64, aloud: bool) -> Result<Outcome, Failure> {
    if aloud {
        eprintln!("case {:?}, seed {seed}", case.name);
    }
    Ok(cases::run(subject, case, seed, aloud)?)
}

struct Teller<'a> {
    json: bool,
    file: &'a Path,
    cases: Option<&'a Path>,
}

impl Teller<'_> {
    fn tell(&self, case: &Case, seed: u64, outcome: &Outcome) {
        let passed = outcome.failures.is_empty();
        let name = &case.name;
        if self.json {
            let events = outcome
                .events
                .iter()
                .map(|(stage, (given, emitted))| (stage.to_string(), json!({"given": given, "emitted": emitted})));
            let fields = json!({
                "name": name,
                "seed": seed,
                "passed": passed,
                "failures": outcome.failures,
                "virtual_ms": u64::try_from(outcome.took.as_millis()).ok(),
                "stages": events.collect::<serde_json::Map<_, _>>(),
                "fingerprint": outcome.fingerprint,
            });
            output::print_line(&output::object(&[("kind", "case")], &fields));
            return;
        }
        let took = format!("{:.1} s", outcome.took.as_secs_f64());
        if passed {
            output::print_line(&format!("ok    {name} (seed {seed}, {took} of virtual time)"));
            return;
        }
        output::print_line(&format!("FAIL  {name} (seed {seed}, {took} of virtual time)"));
        for failure in &outcome.failures {
            failure.lines().for_each(|line| output::print_line(&format!("      {line}")));
        }
        output::print_line(&format!("      again, with all that happens: {}", self.command(name, seed)));
    }

    /// What repeats a run.
    fn command(&self, case: &str, seed: u64) -> String {
        let quoted = |text: &str| format!("'{}'", text.replace('\'', "'\\''"));
        let cases = self.cases.map(|path| format!(" --cases {}", quoted(&path.display().to_string())));
        let (file, cases) = (quoted(&self.file.display().to_string()), cases.unwrap_or_default());
        format!("forebay test {file}{cases} --case {} --seed {seed} --verbose", quoted(case))
    }

    fn sum(&self, runs: usize, failed: usize) {
        if self.json {
            let fields = json!({"runs": runs, "failed": failed});
            return output::print_line(&output::object(&[("kind", "summary")], &fields));
        }
        output::print_line(&format!("{runs} {} run, {failed} failed", if runs == 1 { "case" } else { "cases" }));
    }
}

impl From<CasesError> for Failure {
    fn from(error: CasesError) -> Self {
        Self::of(Exit::Data, &error)
    }
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        let exit = match &error {
            RunError::Runtime(_) => Exit::Unavailable,
            RunError::Roles(_) => Exit::Data,
            RunError::NoGroup { .. } | RunError::Address(_) => Exit::Software,
        };
        Self::of(exit, &error)
    }
}
