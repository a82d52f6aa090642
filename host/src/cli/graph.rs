//! `forebay graph`: the stages of a pipeline file and their subscriptions, as a picture.

mod drawing;
mod mermaid;
mod svg;

use std::{fs, path::PathBuf};

use super::{Exit, Failure, load, output::print_line};
use drawing::Drawing;

/// Draw the stages of a pipeline file and who subscribes to whom
///
/// Prints Mermaid, which GitHub and many wikis show as a picture, or SVG, which every browser does. Nothing is loaded
/// but the file: the plugins need not be there.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The pipeline file
    #[arg(value_name = "PIPELINE")]
    pipeline: PathBuf,
    /// What to draw
    #[arg(long, value_enum, value_name = "FORM", default_value = "mermaid")]
    form: Form,
    /// Write it to this file rather than to standard output; without `--form`, `.svg` at its end means SVG
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Form {
    /// Text of a Mermaid flowchart
    Mermaid,
    /// A picture
    Svg,
}

pub(super) fn graph(args: &Args) -> Result<Exit, Failure> {
    let (pipeline, _) = load::read_bytes(&args.pipeline)?;
    let drawing = Drawing::of(&pipeline);
    let svg_wanted = args.out.as_ref().is_some_and(|out| out.extension().is_some_and(|extension| extension == "svg"));
    let text = match args.form {
        Form::Mermaid if !svg_wanted => mermaid::draw(&drawing),
        Form::Mermaid | Form::Svg => svg::draw(&drawing),
    };
    match &args.out {
        None => print_line(text.trim_end()),
        Some(out) => fs::write(out, text).map_err(|error| {
            Failure::new(Exit::CannotCreate, format!("cannot write {}", out.display())).because(error)
        })?,
    }
    Ok(Exit::Done)
}
