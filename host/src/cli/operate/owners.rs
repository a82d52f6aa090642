//! `forebay owners`: who owns what, since when; and who did before, and why it changed.

use super::{NodeChoice, status::owner_row, text};
use crate::{
    cli::{Exit, Failure, OutputArgs, OutputChoice, output::print_line},
    node::admin::wire::{Name, Term},
};

/// List global stages and their owners.
///
/// Dates are by the clock of the node that made the claim, or ended it.
#[derive(Clone, Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Also list former owners: from when to when, in which epoch, and why it changed. The last 32 of
    /// each name are kept; islands mode keeps none
    #[arg(long)]
    history: bool,
    #[command(flatten)]
    node: NodeChoice,
    #[command(flatten)]
    output: OutputArgs,
}

pub(in crate::cli) fn owners(args: &Args) -> Result<Exit, Failure> {
    let mut names = args.node.client()?.owners()?;
    match args.output.output {
        OutputChoice::Json => {
            for name in &mut names {
                if !args.history {
                    name.history.clear();
                }
                print_line(&serde_json::to_string(name).expect("it has string keys"));
            }
        }
        OutputChoice::Text => print_line(describe(&names, args.history).trim_end()),
    }
    Ok(Exit::Done)
}

fn describe(names: &[Name], history: bool) -> String {
    if names.is_empty() {
        return "no global stage is known".to_owned();
    }
    if !history {
        let rows: Vec<_> = names.iter().map(|name| owner_row(&name.now)).collect();
        return text::table(&["name", "owner", "epoch", "since"], &rows);
    }
    let of = |name: &Name| {
        let rows: Vec<_> = name.history.iter().map(row).collect();
        let heads = ["from", "to", "epoch", "node", "why it ended"];
        format!("{}\n{}", name.now.name, text::table(&heads, &rows))
    };
    names.iter().map(of).collect::<Vec<_>>().join("\n")
}

fn row(term: &Term) -> Vec<String> {
    vec![
        text::moment(term.from_ms),
        term.to_ms.map_or_else(|| "now".to_owned(), text::moment),
        term.epoch.clone(),
        term.node.clone(),
        term.why.clone().unwrap_or_default(),
    ]
}
