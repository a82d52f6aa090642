//! `forebay dlq resend` and `forebay dlq drop`.

use std::{
    collections::BTreeMap,
    io::{self, BufRead as _, IsTerminal as _, Write as _},
};

use forebay_proto::letters::{DROP_MAX, RESEND_MAX};
use serde_json::json;

use super::{
    Client, NodeChoice, Of, Teller, ask, done_but,
    place::{self, LetterName, NotHeard},
    plural, something_else, text,
};
use crate::{
    cli::{Exit, Failure, OutputArgs},
    node::admin::wire::{AboutLetters, LettersQuestion, Outcome, OutcomeOf},
};

/// Have the events of dead letters processed once more.
///
/// Each goes to its stage on the node where its letter lies, as another attempt. The letter stays until it is processed; if it
/// fails again it is the same letter.
#[derive(Clone, Debug, clap::Args)]
pub(in crate::cli) struct ResendArgs {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    asked: NodeChoice,
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
    asked: NodeChoice,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Clone, Debug, clap::Args)]
struct Which {
    /// Letters: NODE:ID as `list` shows them, or IDs of those on the node that is asked, or on --node
    #[arg(value_name = "LETTER", required_unless_present = "all", conflicts_with = "all")]
    letters: Vec<LetterName>,
    /// All letters, or all of the given pipeline, stage and node
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    of: Of,
}

/// Letters by the node where they lie.
type ByNode = BTreeMap<String, Vec<u64>>;

impl Which {
    fn find(&self, client: &Client) -> Result<(ByNode, NotHeard), Failure> {
        let mut found = ByNode::new();
        if self.all {
            let (letters, not_heard) = place::find(client, &self.of)?;
            letters.into_iter().for_each(|letter| found.entry(letter.node).or_default().push(letter.id));
            return Ok((found, not_heard));
        }
        if self.of.pipeline.is_some() || self.of.stage.is_some() {
            return Err(Failure::new(Exit::Usage, "--pipeline and --stage choose among --all; give that, or letters"));
        }
        let own = client.status()?.node;
        for letter in &self.letters {
            let node = letter.node(self.of.node.as_ref())?.unwrap_or_else(|| own.clone());
            found.entry(node).or_default().push(letter.id);
        }
        Ok((found, NotHeard::default()))
    }
}

pub(super) fn resend(args: &ResendArgs) -> Result<Exit, Failure> {
    let (client, teller) = (args.asked.client()?, Teller::new(args.output.output));
    let (found, not_heard) = args.which.find(&client)?;
    let done = each_chunk(&client, &found, RESEND_MAX, |ids| LettersQuestion::Resend { ids })?;
    tell(teller, "resent", done, not_heard)
}

pub(super) fn drop_letters(args: &DropArgs) -> Result<Exit, Failure> {
    let (client, teller) = (args.asked.client()?, Teller::new(args.output.output));
    let (found, not_heard) = args.which.find(&client)?;
    if !args.yes && !found.is_empty() {
        confirm(&found)?;
    }
    let done = each_chunk(&client, &found, DROP_MAX, |ids| LettersQuestion::Drop { ids })?;
    tell(teller, "dropped", done, not_heard)
}

fn confirm(found: &ByNode) -> Result<(), Failure> {
    let refused = |why: &str| Err(Failure::new(Exit::Usage, format!("{why}; nothing was dropped")));
    if !io::stdin().is_terminal() {
        return refused("dropping loses events and nobody is there to confirm it: say --yes");
    }
    let (count, nodes) = (found.values().map(Vec::len).sum(), found.keys().cloned().collect::<Vec<_>>());
    eprint!("Drop {} on {} for good? Type `yes`: ", plural(count), text::list(&nodes));
    // Whoever cannot read the question cannot answer it.
    let _ = io::stderr().flush();
    let mut line = String::new();
    match io::stdin().lock().read_line(&mut line) {
        Ok(_) if line.trim() == "yes" => Ok(()),
        _ => refused("not confirmed"),
    }
}

/// What became of letters, and of which nodes that is not known.
#[derive(Default)]
struct Done {
    outcomes: Vec<(String, Outcome)>,
    problems: Vec<String>,
}

/// # Errors
/// If nobody could be asked for anything.
fn each_chunk(
    client: &Client,
    found: &ByNode,
    max: usize,
    question: impl Fn(Vec<u64>) -> LettersQuestion,
) -> Result<Done, Failure> {
    let mut done = Done::default();
    for (node, ids) in found {
        for chunk in ids.chunks(max) {
            match ask(client, Some(node), question(chunk.to_vec())) {
                Ok(AboutLetters::Outcomes(outcomes)) => {
                    let named = |of: OutcomeOf| (format!("{node}:{}", of.id), of.outcome);
                    done.outcomes.extend(outcomes.into_iter().map(named));
                }
                Ok(_) => return Err(something_else()),
                Err(failure) if found.len() == 1 && done.outcomes.is_empty() => return Err(failure),
                Err(failure) => {
                    done.problems.push(format!("{node} is not heard; list its letters later: {failure}"));
                    break;
                }
            }
        }
    }
    Ok(done)
}

/// Says what was done, and names what was not.
fn tell(teller: Teller, what: &str, done: Done, not_heard: NotHeard) -> Result<Exit, Failure> {
    let of = |wanted: Outcome| {
        let found = done.outcomes.iter().filter(move |(_, outcome)| *outcome == wanted);
        found.map(|(letter, _)| letter.clone()).collect::<Vec<_>>()
    };
    let (ids, unknown) = (of(Outcome::Done), of(Outcome::Unknown));
    teller.tell(what, &json!({"ids": ids}), &format!("{what} {}", plural(ids.len())));
    let mut problems = Vec::new();
    if !unknown.is_empty() {
        problems.push(format!("there is no dead letter {}", text::list(&unknown)));
    }
    for (letter, outcome) in &done.outcomes {
        if let Outcome::Refused(why) = outcome {
            problems.push(format!("letter {letter} is not {what}: {}", text::harmless(why)));
        }
    }
    // What a whole node says counts for more than what one letter does, and is not to be cut off.
    let nodes = done.problems.into_iter().chain(not_heard.problems());
    done_but(nodes.chain(problems).collect())
}
