//! `forebay demand`, `suspend`, `unsuspend`, `rate` and `resize`: change how a running stage runs, or show how.

use forebay_proto::{pipeline, stage::MAX_INSTANCES};

use super::{NodeChoice, something_else, text};
use crate::{
    cli::{Exit, Failure, OutputArgs, OutputChoice, output::print_line},
    node::admin::{
        Mode, Order, OrderedBy, Set, Setting, StageHolds,
        wire::{Answer, Request},
    },
};

/// Which stage, and which node is asked.
#[derive(Clone, Debug, clap::Args)]
struct Choice {
    /// The stage, as PIPELINE/STAGE, or STAGE where only one pipeline has it
    #[arg(value_name = "STAGE")]
    stage: String,
    #[command(flatten)]
    asked: NodeChoice,
    #[command(flatten)]
    output: OutputArgs,
}

/// Hold back what is demanded of a stage, or let it through (GenStage's `demand/2`); show which.
///
/// While a stage accumulates, its plugin is asked for nothing, and what it emits by itself waits in its buffer. Let
/// through, all of it goes on where it was, in order. The order holds for the stage on whichever node it runs, now and after a
/// restart, a takeover or a deployment, above what the pipeline file says, until it is taken back; it goes with its stage.
#[derive(Clone, Debug, clap::Args)]
pub(in crate::cli) struct DemandArgs {
    #[command(flatten)]
    choice: Choice,
    /// How demand is treated from now on; without it the mode is printed
    #[arg(value_enum, value_name = "MODE")]
    mode: Option<Mode>,
    /// Take the order back: as the pipeline file says
    #[arg(long, conflicts_with = "mode")]
    reset: bool,
}

/// Give a stage no more events until `forebay unsuspend`.
///
/// The batch that its plugin works on is finished. What has come already waits unacknowledged, what was not asked for stays
/// with its sources, and nothing is lost. Ticks and requests still reach the plugin. The stage stays suspended wherever it
/// runs, after a restart, a takeover or a deployment too. To let all stages of a pipeline end, use `forebay pause`.
#[derive(Clone, Debug, clap::Args)]
pub(in crate::cli) struct SuspendArgs {
    #[command(flatten)]
    choice: Choice,
}

/// Give a suspended stage events again, from where it was.
#[derive(Clone, Debug, clap::Args)]
pub(in crate::cli) struct UnsuspendArgs {
    #[command(flatten)]
    choice: Choice,
}

/// Change how many events a stage handles in a time (Broadway's `update_rate_limiting`); show how many.
///
/// A producer makes no more, a consumer is given no more. Each instance has the limit: a stage that runs on three nodes handles
/// three times as many. The order holds for the stage on whichever node it runs, now and after a restart, a takeover or a
/// deployment, above what the pipeline file says, until it is taken back; it goes with its stage.
#[derive(Clone, Debug, clap::Args)]
pub(in crate::cli) struct RateArgs {
    #[command(flatten)]
    choice: Choice,
    /// `100/s`, `5/250ms`, as in the pipeline file `{ events = 100, per = "1s" }`, or `off`; without it the limit is printed
    #[arg(value_name = "LIMIT", value_parser = limit)]
    limit: Option<String>,
    /// Take the order back: as the pipeline file says
    #[arg(long, conflicts_with = "limit")]
    reset: bool,
}

/// Change how many instances of a stage's plugin run on each of its nodes (Broadway's `:concurrency`); show how many.
///
/// Events of one key (or what `concurrency.by` says) go to one instance, in order; while the number changes, no event is given
/// out until all that were are done. The order holds for the stage on whichever node it runs, now and after a restart, a
/// takeover or a deployment, above what the pipeline file says, until it is taken back; it goes with its stage.
#[derive(Clone, Debug, clap::Args)]
pub(in crate::cli) struct ResizeArgs {
    #[command(flatten)]
    choice: Choice,
    /// How many, from 1 to 256; without it the number is printed
    #[arg(value_name = "INSTANCES", value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_INSTANCES)))]
    instances: Option<u32>,
    /// Take the order back: as the pipeline file says
    #[arg(long, conflicts_with = "instances")]
    reset: bool,
}

/// As the node will read it.
fn limit(text: &str) -> Result<String, String> {
    pipeline::parse_rate(text).map(|_| text.to_owned())
}

pub(in crate::cli) fn demand(args: &DemandArgs) -> Result<Exit, Failure> {
    let set = (args.reset || args.mode.is_some()).then_some(Set::Demand(args.mode));
    let told = args.choice.order(set)?;
    let Some(demand) = &told.holds.demand else {
        let text = format!("{} is a consumer: nobody demands anything of it", text::harmless(&told.name));
        return Err(Failure::new(Exit::Unavailable, text));
    };
    let word = |mode: &Mode| match mode {
        Mode::Forward => "forward".to_owned(),
        Mode::Accumulate => "accumulate".to_owned(),
    };
    args.choice.tell(&told, &format!("demand {}", described(demand, word)))
}

pub(in crate::cli) fn suspend(args: &SuspendArgs) -> Result<Exit, Failure> {
    suspended(&args.choice, true)
}

pub(in crate::cli) fn unsuspend(args: &UnsuspendArgs) -> Result<Exit, Failure> {
    suspended(&args.choice, false)
}

fn suspended(choice: &Choice, suspend: bool) -> Result<Exit, Failure> {
    let told = choice.order(Some(Set::Suspended(suspend)))?;
    match &told.holds.suspended {
        Some(by) => choice.tell(&told, &format!("suspended ({})", ordered(by))),
        None => choice.tell(&told, "not suspended"),
    }
}

pub(in crate::cli) fn rate(args: &RateArgs) -> Result<Exit, Failure> {
    let set = (args.reset || args.limit.is_some()).then(|| Set::RateLimit(args.limit.clone()));
    let told = args.choice.order(set)?;
    args.choice.tell(&told, &format!("rate limit {}", described(&told.holds.rate_limit, Clone::clone)))
}

pub(in crate::cli) fn resize(args: &ResizeArgs) -> Result<Exit, Failure> {
    let set = (args.reset || args.instances.is_some()).then_some(Set::Instances(args.instances));
    let told = args.choice.order(set)?;
    args.choice.tell(&told, &format!("instances {}", described(&told.holds.instances, ToString::to_string)))
}

impl Choice {
    fn order(&self, set: Option<Set>) -> Result<StageHolds, Failure> {
        match self.asked.client()?.ask(Request::OrderStage(Order { stage: self.stage.clone(), set }))? {
            Answer::Stage(told) => Ok(*told),
            _ => Err(something_else()),
        }
    }

    fn tell(&self, told: &StageHolds, what: &str) -> Result<Exit, Failure> {
        match self.output.output {
            OutputChoice::Json => print_line(&text::json(told)),
            OutputChoice::Text => print_line(&text::harmless(&format!("{}: {what}", told.name))),
        }
        Ok(Exit::Done)
    }
}

/// What holds, and who ordered it against what.
fn described<T>(setting: &Setting<T>, word: impl Fn(&T) -> String) -> String {
    match &setting.ordered {
        Some(by) => {
            format!("{} ({}; the pipeline file says {})", word(&setting.now), ordered(by), word(&setting.file))
        }
        None => format!("{} (as the pipeline file says)", word(&setting.now)),
    }
}

/// By whom and when.
pub(super) fn ordered(OrderedBy { node, operator, at_ms }: &OrderedBy) -> String {
    let by = operator.as_ref().map(|operator| format!(" by {operator}")).unwrap_or_default();
    format!("ordered{by} at {node} on {}", text::moment(*at_ms))
}
