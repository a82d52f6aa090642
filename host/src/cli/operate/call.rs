//! `forebay call`: asks a stage something, and prints its answer.

use std::{
    io::{self, IsTerminal, Read, Write},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use forebay_proto::{
    calls::{BYTES_MAX, WITHIN_MAX},
    ids::NodeName,
};

use super::{NodeChoice, harmless, something_else};
use crate::{
    cli::{Exit, Failure},
    node::admin::{
        Call, Called,
        wire::{Answer, Request},
    },
};

/// Ask a stage something, and print its answer.
///
/// The stage's plugin must export `call`; what it understands is its author's choice, JSON by custom. Request and
/// answer are bytes, at most 1 MiB each, and the answer is printed as it is. Any node of a cluster can be asked. A request
/// waits its turn between the stage's other calls. Exit code 76: the stage refused it. After another failure it may have
/// reached the stage all the same, unless the error says that it was not asked.
#[derive(Clone, Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// The stage, as PIPELINE/STAGE, or STAGE where only one pipeline has it
    #[arg(value_name = "STAGE")]
    stage: String,
    /// What to ask; `-` is standard input
    #[arg(value_name = "REQUEST", allow_hyphen_values = true)]
    request: String,
    /// The instance on this node. Without it a global stage is asked where it has its owner, any other on the node asked
    #[arg(long, value_name = "NODE")]
    node: Option<NodeName>,
    /// How long the request may wait and take, at most 1m
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = within)]
    within: Duration,
    #[command(flatten)]
    asked: NodeChoice,
}

fn within(text: &str) -> Result<Duration, String> {
    let within = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    match within > WITHIN_MAX {
        true => Err(format!("expected at most {}", humantime::format_duration(WITHIN_MAX))),
        false => Ok(within),
    }
}

pub(in crate::cli) fn call(args: &Args) -> Result<Exit, Failure> {
    let request = match args.request.as_str() {
        "-" => read(io::stdin())?,
        text => text.as_bytes().to_vec(),
    };
    let call = Call {
        stage: args.stage.clone(),
        node: args.node.as_ref().map(NodeName::to_string),
        within_ms: u64::try_from(args.within.as_millis()).unwrap_or(u64::MAX),
        request: STANDARD.encode(request),
    };
    let failed = |exit, what: &str, why: String| Err(Failure::new(exit, format!("{what}{}", harmless(&why))));
    match args.asked.client()?.ask(Request::Call(call))? {
        Answer::Called(Called::Given(answer)) => {
            let answer = STANDARD.decode(answer).map_err(|_| something_else())?;
            print(&answer)
        }
        Answer::Called(Called::Refused(why)) => failed(Exit::Refused, "the stage refused the request: ", why),
        Answer::Called(Called::NotMade(why)) => failed(Exit::Unavailable, "the stage was not asked: ", why),
        Answer::Called(Called::Unknown(why)) => failed(Exit::Unavailable, "", why),
        _ => Err(something_else()),
    }
}

/// One more byte than may be is enough to know.
fn read(input: impl Read) -> Result<Vec<u8>, Failure> {
    let mut request = Vec::new();
    let failed = |error| Failure::new(Exit::Io, "cannot read the request from standard input").because(error);
    input.take(BYTES_MAX as u64 + 1).read_to_end(&mut request).map_err(failed)?;
    match request.len() > BYTES_MAX {
        true => Err(Failure::new(Exit::Data, format!("the request has more than {BYTES_MAX} bytes"))),
        false => Ok(request),
    }
}

/// As it is; for a terminal with its end, and with nothing in it that a terminal obeys.
fn print(answer: &[u8]) -> Result<Exit, Failure> {
    let mut out = io::stdout();
    let printed = match out.is_terminal() {
        false => out.write_all(answer),
        true => String::from_utf8_lossy(answer).lines().try_for_each(|line| writeln!(out, "{}", harmless(line))),
    };
    let failed = |error| Failure::new(Exit::Io, "cannot print the answer").because(error);
    printed.and_then(|()| out.flush()).map_err(failed)?;
    Ok(Exit::Done)
}
