//! `forebay ingest`: pushes lines into a stage of a running node.

use std::{
    fs::File,
    io::{self, BufRead, BufReader},
    path::PathBuf,
    time::Duration,
};

use forebay_client::{Client, Confirmed, Error, Event, Way};
use serde_json::json;

use super::{
    Exit, Failure, OutputArgs, OutputChoice,
    operate::{self, NoAnswer, Place, Remote},
    output,
};
use crate::node::admin::IngestEvent;

/// Payload bytes of one request, if it has more than one event: a quarter of what a request may have, for keeping the
/// group's log in small pieces.
const REQUEST_BYTES_MAX: usize = 256 << 10;

/// A line that no request can take is refused before it fills memory. Unit: bytes.
const LINE_BYTES_MAX: u64 = 1 << 20;

/// Push events into a stage of a running node, a line each.
///
/// With `--json` a line is an object with `text` or `base64`, and, if wanted, `topic`, `key` (a text, or an object with
/// `base64`) and `headers`. Otherwise a line is a payload.
///
/// An event is confirmed once it will not be lost any more: it is on the node's disk and, for a global stage in quorum
/// mode, on those of a majority. Prints how many were confirmed, also when it fails half way. An answer that
/// does not come is asked for again, and nothing is taken twice.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    /// The stage, as PIPELINE/STAGE, or STAGE where only one pipeline has it. Its plugin must export `ingest`
    #[arg(value_name = "STAGE")]
    stage: String,
    /// File to read; `-` is standard input
    #[arg(long, value_name = "FILE", default_value = "-")]
    input: PathBuf,
    /// Lines are JSON objects
    #[arg(long)]
    json: bool,
    /// The topic of each event that does not say its own
    #[arg(long, value_name = "TOPIC")]
    topic: Option<String>,
    /// The key of each event that does not say its own
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// Events in one request at most; a request has at most 256 KiB, or one event
    #[arg(long, value_name = "COUNT", default_value = "1000", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    batch: u32,
    /// How long to wait for room, where the inbox or a disk is full, or for an owner
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = humantime::parse_duration)]
    wait: Duration,
    #[command(flatten)]
    node: operate::NodeChoice,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) fn ingest(args: &Args) -> Result<Exit, Failure> {
    let mut input = open(args)?;
    let mut client = client(&args.node)?.wait_for_room(args.wait);
    let mut teller = Teller { json: matches!(args.output.output, OutputChoice::Json), confirmed: 0 };
    let result = push_all(args, &mut *input, &mut client, &mut teller);
    teller.end();
    result.map(|()| Exit::Done)
}

fn client(node: &operate::NodeChoice) -> Result<Client, Failure> {
    match node.place()? {
        Place::Data(data) => Client::connect(data).map_err(failure),
        Place::Network(to, identity) => {
            let remote = Remote::new(to, &identity)?;
            remote.connect_now()?;
            Client::by(Box::new(Network(remote))).map_err(failure)
        }
    }
}

/// The way to a node over the network.
#[derive(Debug)]
struct Network(Remote);

impl Way for Network {
    fn ask(&mut self, line: &[u8]) -> Result<Vec<u8>, Error> {
        self.0.ask(line.to_vec(), operate::ANSWER_WITHIN).map_err(|no_answer| match no_answer {
            NoAnswer::NotConnected(failure) => {
                Error::NotConnected { why: failure.to_string(), lasting: failure.exit == Exit::Permission }
            }
            NoAnswer::Lost(failure) => Error::Io {
                what: "no answer over the network".to_owned(),
                source: io::Error::other(failure.to_string()),
            },
        })
    }
}

fn open(args: &Args) -> Result<Box<dyn BufRead>, Failure> {
    if args.input.as_os_str() == "-" {
        return Ok(Box::new(BufReader::with_capacity(REQUEST_BYTES_MAX, io::stdin())));
    }
    let file = File::open(&args.input).map_err(|error| Failure::reading(&args.input, error))?;
    Ok(Box::new(BufReader::with_capacity(REQUEST_BYTES_MAX, file)))
}

fn push_all(args: &Args, input: &mut dyn BufRead, client: &mut Client, teller: &mut Teller) -> Result<(), Failure> {
    let (mut number, mut held) = (0, Held::default());
    loop {
        number += 1;
        let line = read_line(input).map_err(|error| match error {
            LineError::Io(error) => Failure::reading(&args.input, error),
            LineError::TooLong => Failure::new(Exit::Data, too_long(number)),
        })?;
        let Some(line) = line else { break };
        if held.bytes + line.len() > REQUEST_BYTES_MAX {
            held.push(args, client, teller)?;
        }
        held.bytes += line.len();
        match event(args, line) {
            Ok(event) => held.events.push(event),
            Err(what) => {
                held.push(args, client, teller)?;
                let what = format!("line {number} {what}; what stands before it was sent, nothing else");
                return Err(Failure::new(Exit::Data, what));
            }
        }
        if held.events.len() >= args.batch as usize {
            held.push(args, client, teller)?;
        }
    }
    held.push(args, client, teller)
}

/// An event as a line says it.
///
/// # Errors
/// What is wrong with it.
fn event(args: &Args, line: Vec<u8>) -> Result<Event, String> {
    let mut event = if args.json { of_json(&line)? } else { Event::bytes(line) };
    if let Some(topic) = args.topic.as_ref().filter(|_| !event.has_topic()) {
        event = event.topic(topic);
    }
    if let Some(key) = args.key.as_ref().filter(|_| !event.has_key()) {
        event = event.key(key.as_bytes());
    }
    Ok(event)
}

fn of_json(line: &[u8]) -> Result<Event, String> {
    let said: IngestEvent = serde_json::from_slice(line).map_err(|error| {
        format!("is no event: {error}; expected an object with `text` or `base64`, and maybe `topic`, `key`, `headers`")
    })?;
    let mut event = Event::bytes(said.payload()?);
    if let Some(key) = &said.key {
        event = event.key(key.bytes()?);
    }
    if let Some(topic) = said.topic {
        event = event.topic(topic);
    }
    Ok(said.headers.into_iter().fold(event, |event, (name, value)| event.header(name, value)))
}

/// Events of the next request.
#[derive(Default)]
struct Held {
    events: Vec<Event>,
    bytes: usize,
}

impl Held {
    fn push(&mut self, args: &Args, client: &mut Client, teller: &mut Teller) -> Result<(), Failure> {
        if !self.events.is_empty() {
            teller.tell(client.ingest(&args.stage, &self.events).map_err(failure)?);
        }
        *self = Self::default();
        Ok(())
    }
}

enum LineError {
    Io(io::Error),
    TooLong,
}

fn too_long(number: u64) -> String {
    format!(
        "line {number} has more than {LINE_BYTES_MAX} bytes, the most that an event may have; nothing of it was sent"
    )
}

/// The next line without its end; `None` at the end of the input. The last needs no end.
fn read_line(input: &mut dyn BufRead) -> Result<Option<Vec<u8>>, LineError> {
    let mut line = Vec::new();
    // With its end, and one byte that tells that it is too long.
    let mut limited = io::Read::take(input, LINE_BYTES_MAX + 2);
    if limited.read_until(b'\n', &mut line).map_err(LineError::Io)? == 0 {
        return Ok(None);
    }
    if line.last() == Some(&b'\n') {
        line.pop();
    }
    match line.len() as u64 <= LINE_BYTES_MAX {
        true => Ok(Some(line)),
        false => Err(LineError::TooLong),
    }
}

fn failure(error: Error) -> Failure {
    let exit = match &error {
        Error::NotAllowed(_) | Error::NotConnected { lasting: true, .. } => Exit::Permission,
        Error::Io { .. } => Exit::Io,
        _ => Exit::Unavailable,
    };
    Failure::new(exit, error.to_string())
}

/// Prints what was confirmed: for programs each request, for people the sum.
struct Teller {
    json: bool,
    confirmed: u64,
}

impl Teller {
    fn tell(&mut self, confirmed: Confirmed) {
        self.confirmed += confirmed.count;
        if self.json {
            let fields = json!({ "first": confirmed.first, "count": confirmed.count });
            output::print_line(&output::object(&[("what", "confirmed")], &fields));
        }
    }

    fn end(&self) {
        let confirmed = self.confirmed;
        match self.json {
            true => output::print_line(&output::object(&[("what", "done")], &json!({ "confirmed": confirmed }))),
            false => output::print_line(&format!("{confirmed} events confirmed")),
        }
    }
}
