//! `forebay inspect`: what a plugin is, what it needs and what it offers.

use std::path::PathBuf;

use super::{Exit, Failure, OutputArgs, OutputChoice, cache::CacheArgs, output::print_line};
use crate::runtime::wasm::Inspection;

/// Tell what a plugin is, what it needs and what it offers.
///
/// Works for plugins that could not run here as well, and says why they could not; then the exit
/// code is 65.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The component, a `.wasm` file
    #[arg(value_name = "PLUGIN")]
    plugin: PathBuf,
    #[command(flatten)]
    cache: CacheArgs,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) async fn inspect(args: Args) -> Result<Exit, Failure> {
    let inspection = args.cache.wasm()?.inspect(&args.plugin).await?;
    match args.output.output {
        OutputChoice::Text => print_line(&text(&inspection)),
        OutputChoice::Json => {
            let json = serde_json::to_string(&inspection);
            print_line(&json.map_err(|error| Failure::new(Exit::Software, "cannot write JSON").because(error))?);
        }
    }
    Ok(if inspection.refusal.is_some() { Exit::Data } else { Exit::Done })
}

/// Interfaces that are there and show what is granted: directories and variables.
fn shows_grants(name: &str) -> bool {
    name.starts_with("wasi:filesystem/") || name.starts_with("wasi:cli/environment@")
}

fn text(inspection: &Inspection) -> String {
    let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "none".to_owned());
    let list = |items: &[String]| if items.is_empty() { "none".to_owned() } else { items.join(", ") };
    let mut lines = vec![
        format!("plugin    {}", inspection.path),
        format!("role      {}", or_none(&inspection.role)),
        format!("world     {}", or_none(&inspection.world)),
        format!("version   forebay:stage {}", or_none(&inspection.wit_version)),
        format!("size      {} bytes", inspection.size_bytes),
        format!("digest    {}", inspection.digest),
        format!("optional  {}", list(&inspection.optional)),
        "exports".to_owned(),
    ];
    lines.extend(inspection.exports.iter().map(|export| format!("  {export}")));
    lines.push("imports".to_owned());
    for import in &inspection.imports {
        let how = match (&import.grant, import.provided) {
            // Languages import these whether or not they use them.
            (_, true) if shows_grants(&import.name) => "always provided, empty without a grant".to_owned(),
            (Some(grant), true) => format!("always provided, refuses all without a grant: {grant}"),
            (None, true) => "always provided".to_owned(),
            (_, false) => "not provided".to_owned(),
        };
        lines.push(format!("  {:<48} {how}", import.name));
    }
    if let Some(refusal) = &inspection.refusal {
        lines.push(format!("cannot run here: {refusal}"));
    }
    lines.join("\n")
}
