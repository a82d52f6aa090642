//! `forebay dlq resend` and `forebay dlq drop`.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use serde_json::json;

use super::{Client, NodeChoice, Of, Teller, ask, each_page, plural, something_else, text};
use crate::{
    cli::{Exit, Failure, OutputArgs},
    node::admin::{
        DROP_MAX, RESEND_MAX,
        wire::{AboutLetters, LettersAsked, Outcome, OutcomeOf},
    },
};

/// Have the events of dead letters processed once more.
///
/// Each goes to its stage on this node, as another attempt. Its letter stays until it is processed; if it
/// fails again it is the same letter.
#[derive(Clone, Debug, clap::Args)]
pub(in crate::cli) struct ResendArgs {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    node: NodeChoice,
    #[command(flatten)]
    output: OutputArgs,
}

/// Remove dead letters for good; their events are lost.
#[derive(Clone, Debug, clap::Args)]
pub(in crate::cli) struct DropArgs {
    #[command(flatten)]
    which: Which,
    /// Do not ask for confirmation
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    node: NodeChoice,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Clone, Debug, clap::Args)]
struct Which {
    /// Letters, by their numbers
    #[arg(value_name = "ID", required_unless_present = "all", conflicts_with = "all")]
    ids: Vec<u64>,
    /// All letters, or all of the given pipeline and stage
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    of: Of,
}

impl Which {
    fn find(&self, client: &Client) -> Result<Vec<u64>, Failure> {
        if self.all {
            let mut ids = Vec::new();
            each_page(client, &self.of, |letters| ids.extend(letters.iter().map(|letter| letter.id)))?;
            return Ok(ids);
        }
        if self.of.pipeline.is_some() || self.of.stage.is_some() {
            return Err(Failure::new(Exit::Usage, "--pipeline and --stage choose among --all; give that, or numbers"));
        }
        Ok(self.ids.clone())
    }
}

pub(super) fn resend(args: &ResendArgs) -> Result<Exit, Failure> {
    let (client, teller) = (args.node.client()?, Teller::new(args.output.output));
    let ids = args.which.find(&client)?;
    let outcomes = each_chunk(&client, &ids, RESEND_MAX, |ids| LettersAsked::Resend { ids })?;
    tell(teller, "resent", &outcomes)
}

pub(super) fn drop_letters(args: &DropArgs) -> Result<Exit, Failure> {
    let (client, teller) = (args.node.client()?, Teller::new(args.output.output));
    let ids = args.which.find(&client)?;
    if !args.yes && !ids.is_empty() {
        confirm(ids.len())?;
    }
    let outcomes = each_chunk(&client, &ids, DROP_MAX, |ids| LettersAsked::Drop { ids })?;
    tell(teller, "dropped", &outcomes)
}

fn confirm(count: usize) -> Result<(), Failure> {
    let refused = |why: &str| Err(Failure::new(Exit::Usage, format!("{why}; nothing was dropped")));
    if !io::stdin().is_terminal() {
        return refused("dropping loses events and nobody is there to confirm it: say --yes");
    }
    eprint!("Drop {} for good? Type `yes`: ", plural(count));
    // Whoever cannot read the question cannot answer it.
    let _ = io::stderr().flush();
    let mut line = String::new();
    match io::stdin().lock().read_line(&mut line) {
        Ok(_) if line.trim() == "yes" => Ok(()),
        _ => refused("not confirmed"),
    }
}

fn each_chunk(
    client: &Client,
    ids: &[u64],
    max: usize,
    asked: impl Fn(Vec<u64>) -> LettersAsked,
) -> Result<Vec<OutcomeOf>, Failure> {
    let mut outcomes = Vec::new();
    for ids in ids.chunks(max) {
        match ask(client, asked(ids.to_vec()))? {
            AboutLetters::Outcomes(more) => outcomes.extend(more),
            _ => return Err(something_else()),
        }
    }
    Ok(outcomes)
}

/// Says what was done, and names what was not.
fn tell(teller: Teller, what: &str, outcomes: &[OutcomeOf]) -> Result<Exit, Failure> {
    let done: Vec<_> = outcomes.iter().filter(|of| of.outcome == Outcome::Done).map(|of| of.id).collect();
    teller.tell(what, &json!({"ids": done}), &format!("{what} {}", plural(done.len())));
    let unknown: Vec<_> =
        outcomes.iter().filter(|of| of.outcome == Outcome::Unknown).map(|of| of.id.to_string()).collect();
    let mut problems = Vec::new();
    if !unknown.is_empty() {
        problems.push(format!("there is no dead letter {} on this node", text::list(&unknown)));
    }
    for of in outcomes {
        if let Outcome::Refused(why) = &of.outcome {
            problems.push(format!("letter {} is not {what}: {}", of.id, text::harmless(why)));
        }
    }
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
