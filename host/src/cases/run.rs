//! One run of a case with a seed, from the start of the nodes to what is to be said of it.

use std::{collections::BTreeMap, io, sync::Arc, time::Duration};

use forebay_proto::{
    batch::Batch,
    ids::StageName,
    pipeline::{Pipeline, Scope},
};
use tokio::time::Instant;

use super::{
    Case, End, FaultKind, Input, Roles, Side, TimedEvent,
    book::{Book, Order},
    judge::judge,
    watched::{Feed, Watched},
    world::{Desks, World, node_name},
};
use crate::{
    dlq::Filter,
    node::{
        LoadedPipeline, Plugins, RoleError,
        admin::{self, Ingest, IngestEvent},
    },
    registry::raft::dice,
    runtime::{Plugin, wasm::simulated},
    transport::memory::InUse,
};

/// How often the end, and what is due by time, is looked for.
const LOOK: Duration = Duration::from_millis(50);

/// Pause before events that could not be pushed in are pushed again, as `forebay ingest` does.
const PUSH_AGAIN: Duration = Duration::from_millis(100);

/// Events of one request.
const PUSHED_AT_ONCE: usize = 500;

/// A pipeline with its plugins loaded.
#[derive(Clone, Debug)]
pub struct Subject {
    /// The pipeline.
    pub pipeline: Pipeline,
    /// A plugin for each stage.
    pub plugins: Plugins,
}

impl Subject {
    /// What its stages are.
    pub fn roles(&self) -> Roles {
        let role =
            |(stage, plugin): (&StageName, &Arc<dyn Plugin>)| (stage.clone(), (plugin.role(), plugin.has_ingest()));
        self.plugins.iter().map(role).collect()
    }
}

/// What came of a run.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Outcome {
    /// What was not as expected; nothing if the case passes.
    pub failures: Vec<String>,
    /// How long it took, of its own time.
    pub took: Duration,
    /// The same for runs in which the same happened at the same times.
    pub fingerprint: String,
    /// Events that each stage was given and emitted.
    pub events: BTreeMap<StageName, (usize, usize)>,
}

/// A run could not be made.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The system gives no thread or timer.
    #[error("cannot start the nodes of a test")]
    Runtime(#[from] io::Error),
    /// Nodes do not find each other.
    #[error("{nodes} nodes did not become a group within {within:?} of virtual time, which is a bug of Forebay")]
    NoGroup {
        /// How many there are.
        nodes: usize,
        /// For how long they were waited for.
        within: Duration,
    },
    /// A node that ended still has its address.
    #[error("a node cannot start again, which is a bug of Forebay")]
    Address(#[from] InUse),
    /// The pipeline does not go with its plugins.
    #[error(transparent)]
    Roles(#[from] RoleError),
}

/// Runs a case on this thread, in virtual time. `aloud`: what happens is told on standard error.
///
/// # Errors
/// [`RunError`]; what is not as expected is no error, but in the outcome.
///
/// # Panics
/// On a thread of a tokio runtime.
pub fn run(subject: &Subject, case: &Case, seed: u64, aloud: bool) -> Result<Outcome, RunError> {
    dice::seed(seed);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build()?;
    let outcome = runtime.block_on(async {
        simulated::begin(seed);
        play(subject, case, seed, aloud).await
    });
    simulated::end();
    // A thread that waits for a file of a guest holds nobody up.
    runtime.shutdown_background();
    outcome
}

async fn play(subject: &Subject, case: &Case, seed: u64, aloud: bool) -> Result<Outcome, RunError> {
    let book = Book::new(&case.faults, case.inputs.keys().cloned(), aloud);
    let pipeline = watched(subject, case, &book, seed)?;
    let mut world = World::new(pipeline, case.nodes, book.clone(), seed);
    world.start_all().await?;
    book.begin();
    book.look_at_the_clock();
    let pushing: Vec<_> =
        pushes(subject, case).map(|push| tokio::spawn(push.push(world.desks(), book.clone()))).collect();
    until_over(&mut world, case, &book).await?;
    pushing.iter().for_each(tokio::task::JoinHandle::abort);
    let took = book.now().unwrap_or_default();
    world.end().await;
    note_dead_letters(&world, case, &book).await;
    Ok(outcome(subject, case, &book, took))
}

/// The pipeline with each plugin watched.
fn watched(subject: &Subject, case: &Case, book: &Book, seed: u64) -> Result<LoadedPipeline, RoleError> {
    let mut plugins = Plugins::new();
    for settings in subject.pipeline.stages() {
        let Some(inner) = subject.plugins.get(&settings.name) else { continue };
        let feed = case.inputs.get(&settings.name).map(|input| match input {
            Input::Events(events) => Feed::Events(Arc::new(events.iter().map(of_one).collect())),
            Input::Count(count) => Feed::Count(*count),
            Input::Ingest(_) => Feed::Pushed,
        });
        let plugin = Watched {
            inner: Arc::clone(inner),
            book: book.clone(),
            feed,
            fed_on: (settings.scope == Scope::Node).then(|| node_name(0)),
            is_polled: settings.poll.is_some(),
            seed,
        };
        plugins.insert(settings.name.clone(), Arc::new(plugin));
    }
    LoadedPipeline::new(subject.pipeline.clone(), plugins)
}

/// An event as a batch of its own. It was read before.
fn of_one(timed: &TimedEvent) -> (Batch, Duration) {
    (admin::batch_of(std::slice::from_ref(&timed.event)).unwrap_or_default(), timed.at)
}

/// Runs until the case is over, and does to nodes what faults want.
async fn until_over(world: &mut World, case: &Case, book: &Book) -> Result<(), RunError> {
    loop {
        tokio::select! {
            biased;
            Order { kind, node } = book.order() => match kind {
                FaultKind::CrashNode { back } => world.kill(&node, back),
                FaultKind::DrainNode { back } => world.drain(&node, back),
                FaultKind::CutNode { lasts } => world.cut(&node, lasts),
                FaultKind::Slow { .. } | FaultKind::Crash | FaultKind::Redeliver => {}
            },
            () = tokio::time::sleep(LOOK) => {}
        }
        book.look_at_the_clock();
        world.look().await?;
        let now = book.now().unwrap_or_default();
        match case.end {
            End::After(duration) if now >= duration => return Ok(()),
            End::After(_) => {}
            _ if !book.trouble().is_empty() => return Ok(()),
            End::Quiet { quiet, limit } => {
                let is_calm = !world.is_disturbed() && !book.has_faults_to_come();
                if is_calm && book.quiet_for().is_some_and(|been| been >= quiet) {
                    return Ok(());
                }
                if now >= limit {
                    book.add_trouble(not_quiet(book, limit));
                    return Ok(());
                }
            }
        }
    }
}

fn not_quiet(book: &Book, limit: Duration) -> String {
    let unfinished = book.unfinished();
    let limit = humantime::format_duration(limit);
    match unfinished.first() {
        Some(stage) => format!("not over after {limit} of virtual time: `{stage}` has not emitted all its events"),
        None => format!("not over after {limit} of virtual time: stages still work; give the case a `duration`"),
    }
}

/// What is pushed into one stage.
struct Push {
    stage: String,
    client: String,
    events: Vec<TimedEvent>,
    name: StageName,
    only_first: bool,
}

fn pushes<'a>(subject: &'a Subject, case: &'a Case) -> impl Iterator<Item = Push> + 'a {
    case.inputs.iter().enumerate().filter_map(|(number, (stage, input))| {
        let Input::Ingest(events) = input else { return None };
        let is_node = subject.pipeline.stage(stage).is_some_and(|settings| settings.scope == Scope::Node);
        Some(Push {
            stage: format!("{}/{stage}", subject.pipeline.name()),
            client: format!("{:x}", number + 1),
            events: events.clone(),
            name: stage.clone(),
            only_first: is_node,
        })
    })
}

impl Push {
    async fn push(mut self, desks: Desks, book: Book) {
        self.events.sort_by_key(|event| event.at);
        let began = Instant::now();
        let mut request = 0;
        for part in self.events.chunk_by(|one, other| one.at == other.at) {
            tokio::time::sleep_until(began + part[0].at).await;
            for part in part.chunks(PUSHED_AT_ONCE) {
                request += 1;
                let events: Vec<IngestEvent> = part.iter().map(|timed| timed.event.clone()).collect();
                let (stage, client) = (self.stage.clone(), self.client.clone());
                if let Err(why) = self.push_surely(Ingest { stage, client, request, events }, &desks).await {
                    book.add_trouble(format!("stage `{}` does not take what is pushed into it: {why}", self.name));
                    return;
                }
            }
        }
        book.source(&self.name, true);
    }

    /// Until it is taken, as `forebay ingest` does.
    async fn push_surely(&self, ingest: Ingest, desks: &Desks) -> Result<(), String> {
        loop {
            if let Some(desk) = desks.first(self.only_first) {
                match desk.ingest(ingest.clone()).await {
                    Ok(_) => return Ok(()),
                    Err(not) if not.kind == "refused" => return Err(not.why),
                    Err(_) => {}
                }
            }
            tokio::time::sleep(PUSH_AGAIN).await;
        }
    }
}

/// Dead letters are what a stage could not process; a case that does not count on them fails.
async fn note_dead_letters(world: &World, case: &Case, book: &Book) {
    for (node, letters) in world.dead_letters() {
        for summary in letters.list(&Filter::default(), None, usize::MAX).await {
            let stage = summary.stage();
            if let Ok(Some(letter)) = letters.get(summary.id).await {
                book.note(stage, node, Side::DeadLetters, &letter.event);
            }
            let is_expected =
                case.expects.iter().any(|expect| expect.side == Side::DeadLetters && expect.stage == *stage);
            if !is_expected {
                let why = summary.first_line.escape_debug();
                book.add_trouble(format!(
                    "stage `{stage}` could not process an event, and the case expects no `dead_letters` of it: {why}"
                ));
            }
        }
    }
}

fn outcome(subject: &Subject, case: &Case, book: &Book, took: Duration) -> Outcome {
    let mut failures = book.trouble();
    for (number, fault) in book.missed() {
        let (kind, stage) = (fault.kind.name(), &fault.stage);
        failures.push(format!(
            "fault {number} (`{kind}` at stage `{stage}`) was never due: the case shows nothing about it"
        ));
    }
    for expect in &case.expects {
        failures.extend(judge(expect, &book.seen(&expect.stage, expect.side)));
    }
    let count = |stage: &StageName| {
        let count = |side| book.seen(stage, side).len();
        (count(Side::Given), count(Side::Emitted))
    };
    let events = subject.pipeline.stages().iter().map(|stage| (stage.name.clone(), count(&stage.name))).collect();
    Outcome { failures, took, fingerprint: book.fingerprint(), events }
}
