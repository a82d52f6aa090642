//! `forebay replay`: gives what was recorded to a plugin, and compares what it answers.

mod compare;
mod plan;

use std::{path::PathBuf, sync::Arc};

use bytes::Bytes;
use forebay_proto::{ids::StageName, taps::Given};
use serde_json::json;

use super::{
    Exit, Failure, OutputArgs, OutputChoice,
    cache::CacheArgs,
    operate::{harmless, harmless_json},
    output,
    recording::{AnsweredLine, Head, Numbered, Reader},
};
use crate::runtime::{
    Asks, CallError, Grants, GuestDelivery, GuestOutput, Instance, InstanceSpec, LineKind, Output, Plugin, Produced,
    Trap,
};
use plan::{Plan, Step, Survey};

/// Give what was recorded of a stage to a changed plugin, and compare what it answers.
///
/// Calls are made in their order, on an instance with the limits and the config of the recorded one. What it emits and rejects
/// is compared event by event; each difference is shown. If the plugin exports `checkpoint`, it begins with the first
/// state in the recording. Exit code 0: no difference; 1: some; others as of any command.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A recording, as `forebay record` makes it
    #[arg(value_name = "FILE")]
    recording: PathBuf,
    /// The component that is to answer, a `.wasm` file
    #[arg(long, value_name = "PLUGIN")]
    plugin: PathBuf,
    /// Its config, rather than the recorded one
    #[arg(long, value_name = "JSON", value_parser = json_text)]
    config: Option<String>,
    #[command(flatten)]
    cache: CacheArgs,
    #[command(flatten)]
    output: OutputArgs,
}

fn json_text(text: &str) -> Result<String, String> {
    let value: serde_json::Value = serde_json::from_str(text).map_err(|error| format!("expected JSON: {error}"))?;
    Ok(value.to_string())
}

pub(super) async fn replay(args: Args) -> Result<Exit, Failure> {
    let survey = survey(&args.recording)?;
    let (mut reader, head) = Reader::open(&args.recording)?;
    let plugin = args.cache.wasm()?.load(&args.plugin, &Grants::default()).await?;
    let role = head.role().map_err(|why| reader.wrong(&why))?;
    if plugin.role() != role {
        let (path, found) = (args.plugin.display(), plugin.role());
        return Err(Failure::new(Exit::Data, format!("{path} is a {found}, but what was recorded is a {role}")));
    }
    let json = matches!(args.output.output, OutputChoice::Json);
    let asks = survey.asks();
    let spec = spec(&head, args.config.clone(), &asks).map_err(|why| reader.wrong(&why))?;
    let (mut plan, first) = Plan::new(survey, plugin.has_checkpoint());
    let mut stage = Stage { plugin, spec, instance: None };
    let mut told = Told { json, calls: 0, different: 0 };
    stage.start(first_state(first)).await?;
    while let Some(numbered) = reader.next()? {
        let (number, run) = (numbered.number, head_of(&numbered));
        match plan.next(numbered).map_err(|why| reader.wrong(&why))? {
            None | Some(Step::LeaveOut) => {}
            Some(Step::Keep(state)) => stage.spec.restore = Some(state.into()),
            Some(Step::Start(state)) => {
                if let Some(run) = run {
                    stage.spec = self::spec(&run, args.config.clone(), &asks).map_err(|why| reader.wrong(&why))?;
                }
                stage.start(state).await?;
            }
            Some(Step::Call(given, recorded)) => {
                let name = compare::name(&given);
                let replayed = stage.call(given).await?;
                told.compare(number, &name, &recorded, &replayed);
            }
        }
    }
    told.sum(&plan);
    Ok(if told.different == 0 { Exit::Done } else { Exit::Different })
}

/// Where the states are: looked at first, so that a recording of any length is held in memory line by line.
fn survey(recording: &std::path::Path) -> Result<Survey, Failure> {
    let (mut reader, _) = Reader::open(recording)?;
    let mut survey = Survey::default();
    while let Some(numbered) = reader.next()? {
        survey.note(&numbered);
    }
    Ok(survey)
}

fn head_of(numbered: &Numbered) -> Option<Head> {
    match &numbered.line {
        super::recording::Line::Run(head) => Some(head.clone()),
        _ => None,
    }
}

fn first_state(step: Step) -> Option<Vec<u8>> {
    match step {
        Step::Start(state) => state,
        _ => None,
    }
}

fn spec(head: &Head, config: Option<String>, asks: &Asks) -> Result<InstanceSpec, String> {
    let name = |what: &str, error: forebay_proto::ids::NameError| format!("`{what}`: {error}");
    Ok(InstanceSpec {
        pipeline: head.pipeline.parse().map_err(|error| name("pipeline", error))?,
        stage: head.stage.parse().map_err(|error| name("stage", error))?,
        node: head.node.parse().map_err(|error| name("node", error))?,
        instance: 0,
        config: config.unwrap_or_else(|| head.config.to_string()),
        limits: head.limits.limits(),
        restore: None,
        asks: asks.fresh(),
        output: Arc::new(OnStderr),
    })
}

/// The plugin, and the instance of it that is called.
struct Stage {
    plugin: Arc<dyn Plugin>,
    /// `restore` is what another instance begins with.
    spec: InstanceSpec,
    instance: Option<Box<dyn Instance>>,
}

impl Stage {
    async fn start(&mut self, state: Option<Vec<u8>>) -> Result<(), Failure> {
        self.spec.restore = state.map(Bytes::from);
        self.renew().await
    }

    async fn renew(&mut self) -> Result<(), Failure> {
        // One at a time, as on a node.
        self.instance = None;
        let started = self.plugin.start(self.spec.clone()).await;
        self.instance =
            Some(started.map_err(|error| {
                Failure::new(Exit::Data, "an instance of the plugin does not start").because(error)
            })?);
        Ok(())
    }

    async fn call(&mut self, given: Given) -> Result<AnsweredLine, Failure> {
        let result = match &mut self.instance {
            Some(instance) => make(&mut **instance, given).await,
            None => Err(Trap::Finished { call: "the call" }.into()),
        };
        let is_lost = matches!(result, Err(CallError::Trap(_)));
        let answered = compare::answered(result);
        if is_lost {
            // As on a node, where another takes its place.
            self.renew().await?;
        }
        Ok(answered)
    }
}

async fn make(instance: &mut dyn Instance, given: Given) -> Result<Output, CallError> {
    let emitted = |events| Output { events, rejections: Vec::new() };
    match given {
        Given::Demand(demand) => instance.handle_demand(demand).await.map(|Produced { events, .. }| emitted(events)),
        Given::Events { source, epoch, attempt, runs, events } => {
            instance.handle_events(GuestDelivery { source, epoch, attempt, runs, events }).await
        }
        Given::Inbox { events, .. } => instance.handle_ingest(events).await.map(emitted),
        Given::Tick => instance.handle_tick().await.map(emitted),
    }
}

/// What is printed, and counted.
struct Told {
    json: bool,
    calls: u64,
    different: u64,
}

impl Told {
    fn compare(&mut self, line: usize, name: &str, recorded: &AnsweredLine, replayed: &AnsweredLine) {
        self.calls += 1;
        let Some(difference) = compare::difference(recorded, replayed) else { return };
        self.different += 1;
        if self.json {
            let fields = json!({"line": line, "call": name, "diff": difference});
            let told = output::object(&[("what", "different")], &fields);
            return output::print_line(&harmless_json(&told));
        }
        output::print_line(&format!("line {line}: {name}"));
        difference.lines().for_each(|line| output::print_line(&harmless(line)));
    }

    fn sum(&self, plan: &Plan) {
        let (calls, different, left_out, missed) = (self.calls, self.different, plan.left_out, plan.missed);
        if self.json {
            let fields = json!({"calls": calls, "different": different, "left_out": left_out, "missed": missed});
            return output::print_line(&output::object(&[("what", "replayed")], &fields));
        }
        let more = match (left_out, missed) {
            (0, 0) => String::new(),
            _ => format!("; {left_out} calls left out, {missed} events not recorded"),
        };
        output::print_line(&format!("{calls} calls replayed, {different} of them answered differently{more}"));
    }
}

/// What the plugin says while it is replayed.
#[derive(Debug)]
struct OnStderr;

impl GuestOutput for OnStderr {
    fn line(&self, stage: &StageName, _: LineKind, line: &str) {
        eprintln!("{stage}: {line}");
    }

    fn dropped(&self, stage: &StageName, count: u64) {
        eprintln!("{stage}: {count} lines dropped: over `limits.log_lines_per_second`");
    }
}
