//! Commands for operators of running nodes: each asks a node, over the socket in its data directory or the network.

mod choice;
mod client;
mod dlq;
mod drain;
mod owners;
mod recover;
mod remote;
mod remove;
mod status;
mod text;

use std::time::Duration;

use super::{Exit, Failure, OutputChoice};

use self::client::Client;
pub(super) use self::text::harmless;
pub(super) use self::{
    choice::NodeChoice,
    dlq::{Args as DlqArgs, dlq},
    drain::{Args as DrainArgs, drain},
    owners::{Args as OwnersArgs, owners},
    recover::{Args as RecoverArgs, recover},
    remove::{Args as RemoveArgs, remove},
    status::{Args as StatusArgs, status},
};

/// How long a node may take to answer; it gives up on its group after 3 s.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// How often it is looked whether an order is carried out.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

fn something_else() -> Failure {
    Failure::new(Exit::Software, "the node answered something else than was asked")
}

/// Prints what happens while an order is carried out.
#[derive(Clone, Copy)]
struct Teller {
    json: bool,
}

impl Teller {
    fn new(output: OutputChoice) -> Self {
        Self { json: matches!(output, OutputChoice::Json) }
    }

    /// One step, as text or as an object with `what` and these fields.
    fn tell(self, what: &str, fields: &serde_json::Value, text: &str) {
        match self.json {
            true => super::output::print_line(&super::output::object(&[("what", what)], fields)),
            false => super::output::print_line(text),
        }
    }
}
