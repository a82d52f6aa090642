//! `forebay tap` and `forebay record`: a running stage's events, shown or written down as they flow, taken from nobody.

mod end;
mod follow;
mod record;
mod show;

use std::{thread, time::Duration};

use forebay_proto::{ids::NodeName, taps::Kinds};

use super::{Client, NodeChoice, all_nodes};
use crate::cli::{Exit, Failure, OutputArgs};
use end::End;
use follow::{Following, News};
pub(in crate::cli) use record::{Args as RecordArgs, record};
use show::Screen;

/// Show a running stage's events as they flow.
///
/// None is taken away and nothing is slowed: what is shown are copies, and what is not fetched in time is missed and
/// counted. Of a producer and a producer-consumer it shows what they emit, of a consumer what it is given. Any node of a
/// cluster can be asked. A global stage is followed to its next owner, any other to its next start. Ends on Ctrl-C, or with
/// --events or --for.
#[derive(Clone, Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    stage: StageArgs,
    /// Show what the stage is given rather than what it emits; of a producer, what comes from outside
    #[arg(long)]
    input: bool,
    /// All instances, on all nodes
    #[arg(long, conflicts_with = "node")]
    all_nodes: bool,
    #[command(flatten)]
    asked: NodeChoice,
    #[command(flatten)]
    output: OutputArgs,
}

/// Which stage, and for how long.
#[derive(Clone, Debug, clap::Args)]
struct StageArgs {
    /// The stage, as PIPELINE/STAGE, or STAGE where only one pipeline has it
    #[arg(value_name = "STAGE")]
    stage: String,
    /// The instance on this node. Without it that of a global stage's owner, of any other stage that of the node asked
    #[arg(long, value_name = "NODE")]
    node: Option<NodeName>,
    /// End after so many events
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    events: Option<u64>,
    /// End after so long
    #[arg(long = "for", value_name = "DURATION", value_parser = humantime::parse_duration)]
    duration: Option<Duration>,
}

/// How long a node may wait for events before it answers: so long the end may take to be seen.
const WAIT: Duration = Duration::from_millis(250);

/// How long after nobody had anything to tell they are asked again.
const PAUSE: Duration = Duration::from_millis(100);

pub(in crate::cli) fn tap(args: &Args) -> Result<Exit, Failure> {
    let client = args.asked.client()?;
    let nodes = match args.all_nodes {
        true => all_nodes(&client)?.into_iter().map(Some).collect(),
        false => vec![args.stage.node.as_ref().map(NodeName::to_string)],
    };
    let kinds = if args.input { Some(Kinds::GIVEN) } else { None };
    let mut followings: Vec<_> =
        nodes.into_iter().map(|node| Following::new(args.stage.stage.clone(), node, kinds)).collect();
    let many = followings.len() > 1;
    let mut screen = Screen::new(args.output.output, many, args.stage.events);
    watch(&client, &mut followings, End::new(args.stage.duration), |node, news| screen.show(node, news))?;
    screen.sum();
    Ok(Exit::Done)
}

/// Whether there is to be more.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Goes {
    On,
    Ended,
}

/// Hands what is heard to `take` until that or `end` says that it is enough.
fn watch(
    client: &Client,
    followings: &mut [Following],
    end: End,
    mut take: impl FnMut(&str, News) -> Result<Goes, Failure>,
) -> Result<(), Failure> {
    // Of several none is waited for while others may have something to tell.
    let wait = if followings.len() == 1 { WAIT } else { Duration::ZERO };
    while !end.is_over() {
        let mut is_quiet = followings.len() > 1;
        for following in &mut *followings {
            let heard = following.poll(client, wait.min(end.left()))?;
            is_quiet &= heard.is_empty();
            for news in heard {
                is_quiet |= matches!(news, News::Waits { .. });
                if take(following.node(), news)? == Goes::Ended {
                    return Ok(());
                }
            }
            is_quiet |= following.is_waiting();
        }
        if is_quiet {
            thread::sleep(PAUSE.min(end.left()));
        }
    }
    Ok(())
}
