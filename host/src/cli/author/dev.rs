//! `forebay dev`: a project's pipeline in this process, whose stages are swapped each time something is saved.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use forebay_author::{AuthorError, Project};
use tokio::time::sleep;

use super::{
    super::{
        Exit, Failure, OutputArgs,
        cache::CacheArgs,
        load::{self, LinesInput},
        node::{Signals, end_on_signals},
        output,
        run::{alone, start_log},
    },
    build::build_project,
};
use crate::{
    node::{LoadedPipeline, Node},
    runtime::wasm::Wasm,
    signature::TrustedKeys,
};

/// Between two looks at the files of a project.
const LOOK: Duration = Duration::from_millis(200);

/// Run a project while it is written: each time a file is saved, its stages are built and swapped
///
/// A stage is replaced between two calls; one with a checkpoint goes on where it was. What does not build is told, and the
/// former version runs on. Ctrl-C drains and ends.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Directory of the project
    #[arg(default_value = ".")]
    dir: PathBuf,
    /// What `builtin:lines` reads: a file, or `-` for standard input; one event per line
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
    #[command(flatten)]
    cache: CacheArgs,
    /// Which log lines are shown on standard error; stages log at their own levels
    #[arg(long, value_name = "FILTER", default_value = "info")]
    log: String,
    #[command(flatten)]
    output: OutputArgs,
}

pub(in crate::cli) async fn dev(args: Args) -> Result<Exit, Failure> {
    start_log(&args.log)?;
    let project = Project::open(&args.dir)?;
    let wasm = args.cache.wasm()?;
    let input = args.input.map(LinesInput::of);
    let bench = Bench { directory: project.directory().to_owned(), wasm, input };
    let mut seen = bench.state(&project).await?;
    let mut signals = Signals::new();
    let pipeline = loop {
        match bench.load().await {
            Ok(pipeline) => break pipeline,
            Err(failure) => say(&format!("{failure}\nwaiting for a change")),
        }
        tokio::select! {
            biased;
            () = signals.next() => return Ok(Exit::Done),
            changed = bench.changed(&project, &seen) => seen = changed?,
        }
    };
    let mut node = Node::start(alone(pipeline, args.output));
    let control = node.control();
    tokio::spawn(end_on_signals(signals, control.clone()));
    let reader = control.clone();
    tokio::spawn(async move {
        output::reader_gone().await;
        reader.stop();
    });
    loop {
        tokio::select! {
            biased;
            exit = node.wait() => {
                return Ok(if exit.gave_up.is_empty() { Exit::Done } else { Exit::Software });
            }
            changed = bench.changed(&project, &seen) => seen = changed?,
        }
        // While it builds the node runs on, and a signal ends it: its end is seen above.
        match bench.load().await {
            Ok(pipeline) => control.refit(pipeline).await,
            Err(failure) => say(&format!("{failure}\nthe former version runs on")),
        }
    }
}

/// What it takes to bring the saved files to where they run.
struct Bench {
    directory: PathBuf,
    wasm: Wasm,
    input: Option<LinesInput>,
}

impl Bench {
    /// Builds what changed, and loads the pipeline with it.
    async fn load(&self) -> Result<LoadedPipeline, Failure> {
        let began = Instant::now();
        let directory = self.directory.clone();
        let project = blocking(move || build_project(&directory)).await?;
        let pipeline =
            load::load(&project.pipeline(), &self.wasm, self.input.as_ref(), &TrustedKeys::default()).await?;
        say(&format!("built and loaded in {:.1} s", began.elapsed().as_secs_f32()));
        Ok(pipeline)
    }

    async fn state(&self, project: &Project) -> Result<String, Failure> {
        let project = project.clone();
        Ok(blocking(move || project.state()).await?)
    }

    /// Waits until the files are others than they were, and have stayed so for one look: an editor writes several.
    ///
    /// # Cancel safety
    /// Cancel safe.
    async fn changed(&self, project: &Project, before: &str) -> Result<String, Failure> {
        let mut last = before.to_owned();
        loop {
            sleep(LOOK).await;
            let state = self.state(project).await?;
            if state != before && state == last {
                return Ok(state);
            }
            last = state;
        }
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, AuthorError> + Send + 'static,
) -> Result<T, AuthorError> {
    let joined = tokio::task::spawn_blocking(work).await;
    joined.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
}

fn say(text: &str) {
    eprintln!("forebay dev: {text}");
}
