//! `forebay dlq`: dead letters of a node, listed, shown, resent and dropped.

mod change;
mod show;

use super::{Client, NodeChoice, Teller, something_else, text};
use crate::{
    cli::{Exit, Failure, OutputArgs, OutputChoice, output::print_line},
    node::admin::wire::{AboutLetters, Answer, Letter, LettersAsked, Request},
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
#[derive(Clone, Debug, clap::Args)]
pub(in crate::cli) struct ListArgs {
    #[command(flatten)]
    of: Of,
    #[command(flatten)]
    node: NodeChoice,
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
    let client = args.node.client()?;
    let mut rows = Vec::new();
    each_page(&client, &args.of, |letters| match args.output.output {
        OutputChoice::Json => letters.iter().for_each(|letter| print_line(&text::json(letter))),
        OutputChoice::Text => rows.extend(letters.iter().map(row)),
    })?;
    if matches!(args.output.output, OutputChoice::Text) {
        let heads = ["id", "when", "stage", "source", "epoch:number", "attempts", "bytes", "reason"];
        let table = text::table(&heads, &rows);
        print_line(if rows.is_empty() { "no dead letters" } else { table.trim_end() });
    }
    Ok(Exit::Done)
}

fn row(letter: &Letter) -> Vec<String> {
    vec![
        letter.id.to_string(),
        text::moment(letter.at_ms),
        format!("{}/{}", letter.pipeline, letter.stage),
        letter.source.clone(),
        format!("{}:{}", letter.epoch, letter.seq),
        letter.attempts.to_string(),
        letter.payload_bytes.to_string(),
        text::harmless(&letter.reason),
    ]
}

/// Takes all letters that are meant, a page at a time.
fn each_page(client: &Client, of: &Of, mut take: impl FnMut(&[Letter])) -> Result<(), Failure> {
    let mut after = None;
    loop {
        let (pipeline, stage) = (of.pipeline.clone(), of.stage.clone());
        let AboutLetters::Page(page) = ask(client, LettersAsked::List { pipeline, stage, after })? else {
            return Err(something_else());
        };
        take(&page.letters);
        after = page.letters.last().map(|letter| letter.id);
        if !page.more || after.is_none() {
            return Ok(());
        }
    }
}

fn ask(client: &Client, asked: LettersAsked) -> Result<AboutLetters, Failure> {
    match client.ask(Request::DeadLetters(asked))? {
        Answer::DeadLetters(answer) => Ok(answer),
        _ => Err(something_else()),
    }
}

fn plural(count: usize) -> String {
    if count == 1 { "1 letter".to_owned() } else { format!("{count} letters") }
}
