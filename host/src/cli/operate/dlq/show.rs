//! `forebay dlq show`: all that is kept of one letter.

use std::io::{self, IsTerminal as _, Write as _};

use forebay_proto::{
    batch::{Batch, BatchLimits},
    ids::NodeName,
};
use serde_json::{Map, Value, json};

use super::{Client, NodeChoice, ask, place::LetterName, something_else, text};
use crate::{
    cli::{Exit, Failure, OutputArgs, OutputChoice, output::print_line},
    node::admin::wire::{AboutLetters, LetterPart, LettersQuestion},
};

/// Show a dead letter: its event, and why it failed.
#[derive(Clone, Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// The letter: NODE:ID as `list` shows it, or the ID of one on the node that is asked
    #[arg(value_name = "LETTER")]
    letter: LetterName,
    /// The node where it lies, if only its ID is given
    #[arg(long, value_name = "NODE")]
    node: Option<NodeName>,
    /// Write the event's payload to standard output as it is, and nothing else
    #[arg(long, conflicts_with = "output")]
    raw: bool,
    #[command(flatten)]
    asked: NodeChoice,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) fn show(args: &Args) -> Result<Exit, Failure> {
    let node = args.letter.node(args.node.as_ref())?;
    let (letter, event) = fetch(&args.asked.client()?, node.as_deref(), args.letter.id)?;
    match (args.raw, args.output.output) {
        (true, _) => write_raw(event.event(0).payload)?,
        (false, OutputChoice::Json) => print_line(&text::json(&as_json(&letter, &event))),
        (false, OutputChoice::Text) => print_line(describe(&letter, &event).trim_end()),
    }
    Ok(Exit::Done)
}

/// The letter, and its event put together from the parts it comes in.
fn fetch(client: &Client, node: Option<&str>, id: u64) -> Result<(LetterPart, Batch), Failure> {
    let mut bytes = Vec::new();
    loop {
        let from = bytes.len() as u64;
        let AboutLetters::Part(letter) = ask(client, node, LettersQuestion::Show { id, from })? else {
            return Err(something_else());
        };
        let part = from_hex(&letter.part).ok_or_else(something_else)?;
        bytes.extend_from_slice(&part);
        if bytes.len() as u64 >= letter.event_bytes {
            let no_limits = BatchLimits { events_max: 1, bytes_max: u32::MAX };
            let event = Batch::decode(&bytes, &no_limits).map_err(|error| something_else().because(error))?;
            return if event.len() == 1 { Ok((*letter, event)) } else { Err(something_else()) };
        }
        if part.is_empty() {
            return Err(something_else());
        }
    }
}

fn write_raw(payload: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    if out.is_terminal() && text::printable(payload).is_none() {
        let why = "the payload is no harmless text, and standard output is a terminal";
        return Err(Failure::new(Exit::Usage, format!("{why}; send it to a file, or leave --raw out for a dump")));
    }
    let written = out.write_all(payload).and_then(|()| out.flush());
    written.map_err(|error| Failure::new(Exit::Io, "cannot write the payload to standard output").because(error))
}

fn describe(part: &LetterPart, event: &Batch) -> String {
    let (letter, found) = (&part.letter, event.event(0));
    let mut out = format!(
        "letter {}:{}\n  when      {}\n  stage     {}/{}\n  source    {} {}:{}\n  attempts  {}\n",
        letter.node,
        letter.id,
        text::moment(letter.at_ms),
        letter.pipeline,
        letter.stage,
        letter.source,
        letter.epoch,
        letter.seq,
        letter.attempts
    );
    if let Some(topic) = found.topic {
        out += &format!("  topic     {}\n", text::harmless(topic));
    }
    if !found.key.is_empty() {
        let key = text::printable(found.key).map_or_else(|| format!("0x{}", to_hex(found.key)), text::harmless);
        out += &format!("  key       {key}\n");
    }
    for (_, name, value) in event.headers() {
        out += &format!("  header    {}: {}\n", text::harmless(name), text::harmless(value));
    }
    out += &format!("\nreason\n{}", text::indented(&part.reason));
    let bytes = found.payload.len();
    out += &match text::printable(found.payload) {
        Some(payload) => format!("\npayload, {bytes} bytes of text\n{}", text::indented(payload)),
        None => format!("\npayload, {bytes} bytes\n{}", dump(found.payload)),
    };
    out
}

/// As `hexdump -C` has it.
fn dump(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() * 5);
    for (row, bytes) in bytes.chunks(16).enumerate() {
        let half = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x} ")).collect::<String>();
        let (left, right) = bytes.split_at(bytes.len().min(8));
        let seen = |byte: &u8| if (0x20..0x7f).contains(byte) { char::from(*byte) } else { '.' };
        let shown: String = bytes.iter().map(seen).collect();
        out += &format!("  {:08x}  {:24} {:24} |{shown}|\n", row * 16, half(left), half(right));
    }
    out
}

fn as_json(part: &LetterPart, event: &Batch) -> Value {
    let found = event.event(0);
    let mut fields = Map::new();
    let letter = serde_json::to_value(&part.letter).expect("it has string keys");
    fields.extend(letter.as_object().into_iter().flatten().map(|(key, value)| (key.clone(), value.clone())));
    fields.insert("reason".to_owned(), json!(part.reason));
    fields.insert("topic".to_owned(), json!(found.topic));
    let headers: Vec<_> = event.headers().map(|(_, name, value)| [name, value]).collect();
    fields.insert("headers".to_owned(), json!(headers));
    for (name, bytes) in [("key", found.key), ("payload", found.payload)] {
        // One of the two, so that a program need not guess.
        match std::str::from_utf8(bytes) {
            Ok(text) => fields.insert(name.to_owned(), json!(text)),
            Err(_) => fields.insert(format!("{name}_hex"), json!(to_hex(bytes))),
        };
    }
    Value::Object(fields)
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pair = |pair: &[u8]| match pair {
        [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    };
    text.as_bytes().chunks(2).map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_is_read_as_it_is_written() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(from_hex(&to_hex(&all)), Some(all));
        for wrong in ["0", "0g", "+1", "é"] {
            assert_eq!(from_hex(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_dump_shows_place_bytes_and_signs() {
        let bytes: Vec<u8> = (0x1b..0x2d).collect();
        let expected = "  00000000  1b 1c 1d 1e 1f 20 21 22  23 24 25 26 27 28 29 2a  |..... !\"#$%&'()*|\n  \
                        00000010  2b 2c                                             |+,|\n";
        assert_eq!(dump(&bytes), expected);
    }
}
