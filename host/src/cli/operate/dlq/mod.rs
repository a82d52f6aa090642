//! `forebay dlq`: dead letters of all nodes, listed, shown, resent and dropped where they lie.

mod change;
mod place;
mod show;

use forebay_proto::ids::NodeName;

use super::{Client, NodeChoice, Teller, all_nodes, something_else, text};
use crate::{
    cli::{Exit, Failure, OutputArgs, OutputChoice, output::print_line},
    node::admin::wire::{AboutLetters, Answer, Letter, LettersAsked, LettersQuestion, Request},
};

/// What can be done with them. Their help as a whole stands at the command.
#[derive(Clone, Debug, clap::Subcommand)]
pub(in crate::cli) enum Args {
    List(ListArgs),
    Show(show::Args),
    Resend(change::ResendArgs),
    Drop(change::DropArgs),
}

/// List dead letters, oldest first.
///
/// Those of all nodes of the cluster that the node asked knows. If one of them is not heard, it is named, and the exit
/// code is 69.
#[derive(Clone, Debug, clap::Args)]
pub(in crate::cli) struct ListArgs {
    #[command(flatten)]
    of: Of,
    #[command(flatten)]
    asked: NodeChoice,
    #[command(flatten)]
    output: OutputArgs,
}

/// Which letters are meant.
#[derive(Clone, Debug, clap::Args)]
struct Of {
    /// Those of this pipeline only
    #[arg(long, value_name = "PIPELINE")]
    pipeline: Option<String>,
    /// Those that this stage could not process only
    #[arg(long, value_name = "STAGE")]
    stage: Option<String>,
    /// Those on this node only
    #[arg(long, value_name = "NODE")]
    node: Option<NodeName>,
}

pub(in crate::cli) fn dlq(args: &Args) -> Result<Exit, Failure> {
    match args {
        Args::List(args) => list(args),
        Args::Show(args) => show::show(args),
        Args::Resend(args) => change::resend(args),
        Args::Drop(args) => change::drop_letters(args),
    }
}

fn list(args: &ListArgs) -> Result<Exit, Failure> {
    let (letters, not_heard) = place::find(&args.asked.client()?, &args.of)?;
    match args.output.output {
        OutputChoice::Json => letters.iter().for_each(|letter| print_line(&text::json(letter))),
        OutputChoice::Text => {
            let heads = ["id", "when", "stage", "source", "epoch:number", "attempts", "bytes", "reason"];
            let table = text::table(&heads, &letters.iter().map(row).collect::<Vec<_>>());
            print_line(if letters.is_empty() { "no dead letters" } else { table.trim_end() });
        }
    }
    done_but(not_heard.problems())
}

/// The end of a command, with what could not be done.
fn done_but(problems: Vec<String>) -> Result<Exit, Failure> {
    match problems.is_empty() {
        true => Ok(Exit::Done),
        false => Err(Failure::new(Exit::Unavailable, shortened(problems))),
    }
}

/// One a line, and not thousands.
fn shortened(mut problems: Vec<String>) -> String {
    const SHOWN: usize = 20;
    if problems.len() > SHOWN {
        let rest = problems.len() - SHOWN;
        problems.truncate(SHOWN);
        problems.push(format!("and {rest} more"));
    }
    problems.join("\n")
}

fn row(letter: &Letter) -> Vec<String> {
    vec![
        format!("{}:{}", letter.node, letter.id),
        text::moment(letter.at_ms),
        format!("{}/{}", letter.pipeline, letter.stage),
        letter.source.clone(),
        format!("{}:{}", letter.epoch, letter.seq),
        letter.attempts.to_string(),
        letter.payload_bytes.to_string(),
        text::harmless(&letter.reason),
    ]
}

fn ask(client: &Client, node: Option<&str>, question: LettersQuestion) -> Result<AboutLetters, Failure> {
    let asked = LettersAsked { node: node.map(str::to_owned), question };
    match client.ask(Request::DeadLetters(asked))? {
        Answer::DeadLetters(answer) => Ok(answer),
        _ => Err(something_else()),
    }
}

fn plural(count: usize) -> String {
    if count == 1 { "1 letter".to_owned() } else { format!("{count} letters") }
}
