//! Commands for operators of running nodes: each asks a node over the socket in its data directory.

mod deploy;
mod dlq;
mod drain;
mod owners;
mod recover;
mod remove;
mod status;
mod text;

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    path::PathBuf,
    time::Duration,
};

use super::{Exit, Failure, OutputChoice};
use crate::{
    config::process_env,
    node::admin::{
        connect,
        wire::{Answer, Answered, Asked, DeployAsked, Name, Request, Status, VERSION},
    },
};

pub(super) use self::text::harmless;
pub(super) use self::{
    deploy::{
        ApplyArgs, Args as DeployArgs, DiffArgs, HistoryArgs, PauseArgs, PluginsArgs, RollbackArgs, UndeployArgs,
        apply, deploy, diff, history, pause, plugins, rollback, undeploy,
    },
    dlq::{Args as DlqArgs, dlq},
    drain::{Args as DrainArgs, drain},
    owners::{Args as OwnersArgs, owners},
    recover::{Args as RecoverArgs, recover},
    remove::{Args as RemoveArgs, remove},
    status::{Args as StatusArgs, status},
};

/// How long a node may take to answer; it gives up on its group after 3 s.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// How long a node may take that loads plugins first: compilers take up to a minute for the longest.
const LOADED_WITHIN: Duration = Duration::from_secs(300);

/// How often it is looked whether an order is carried out.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// A longer answer is none of a node's.
const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// Which node is asked.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct NodeChoice {
    /// Data directory of the node to ask, on this machine [env: FOREBAY_DATA]
    #[arg(long, value_name = "DIRECTORY")]
    data: Option<PathBuf>,
    /// Name of the node to ask, if its data is in forebay-data/NAME [env: FOREBAY_NAME]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
}

impl NodeChoice {
    pub(super) fn data(&self) -> Result<PathBuf, Failure> {
        let given = |variable| process_env(variable).filter(|value| !value.is_empty());
        let named = |name: String| PathBuf::from("forebay-data").join(name);
        // What is given here stands against what the environment says.
        let found = match (&self.data, &self.name) {
            (Some(data), _) => Some(data.clone()),
            (None, Some(name)) => Some(named(name.clone())),
            (None, None) => given("FOREBAY_DATA").map(PathBuf::from).or_else(|| given("FOREBAY_NAME").map(named)),
        };
        found.ok_or_else(|| Failure::new(Exit::Usage, "which node is to be asked? Give its --data, or its --name"))
    }

    fn client(&self) -> Result<Client, Failure> {
        Ok(Client { data: self.data()? })
    }
}

/// Asks one node.
struct Client {
    data: PathBuf,
}

impl Client {
    fn ask(&self, request: Request) -> Result<Answer, Failure> {
        let answered = self.exchange(request).map_err(|error| self.unanswered(error))?;
        if answered.version != VERSION {
            let text =
                format!("the node speaks version {} of the admin language, this command {VERSION}", answered.version);
            return Err(Failure::new(Exit::Unavailable, format!("{text}; use the `forebay` that runs the node")));
        }
        match answered.answer {
            // Another node may have said it.
            Answer::Error(why) => Err(Failure::new(Exit::Unavailable, harmless(&why))),
            answer => Ok(answer),
        }
    }

    fn exchange(&self, request: Request) -> io::Result<Answered> {
        let mut stream = connect(&self.data)?;
        stream.set_read_timeout(Some(answer_within(&request)))?;
        stream.set_write_timeout(Some(ANSWER_WITHIN))?;
        let mut line = serde_json::to_vec(&Asked { version: VERSION, request })?;
        line.push(b'\n');
        stream.write_all(&line)?;
        let mut answer = Vec::new();
        BufReader::new(stream.take(ANSWER_BYTES_MAX)).read_until(b'\n', &mut answer)?;
        if answer.is_empty() {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it ended without an answer"));
        }
        Ok(serde_json::from_slice(&answer)?)
    }

    fn unanswered(&self, error: io::Error) -> Failure {
        let data = self.data.display();
        let text = match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                let text = format!("no node runs on {data}");
                return Failure::new(
                    Exit::Unavailable,
                    format!("{text}; start it, or give the --data of one that runs"),
                );
            }
            io::ErrorKind::PermissionDenied => {
                let text = format!("not allowed to ask the node on {data}: only the user that runs it may");
                return Failure::new(Exit::Permission, text).because(error);
            }
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                format!("the node on {data} did not answer within {ANSWER_WITHIN:?}; is it paused?")
            }
            _ => format!("the node on {data} gave no answer; see its log"),
        };
        Failure::new(Exit::Unavailable, text).because(error)
    }

    fn status(&self) -> Result<Status, Failure> {
        match self.ask(Request::Status)? {
            Answer::Status(status) => Ok(*status),
            _ => Err(something_else()),
        }
    }

    fn owners(&self) -> Result<Vec<Name>, Failure> {
        match self.ask(Request::Owners)? {
            Answer::Owners(names) => Ok(names),
            _ => Err(something_else()),
        }
    }
}

/// What is to be deployed is fetched and compiled before the answer.
fn answer_within(request: &Request) -> Duration {
    match request {
        Request::Deploy(DeployAsked::Plan(_) | DeployAsked::Start { .. } | DeployAsked::Rollback { .. }) => {
            LOADED_WITHIN
        }
        _ => ANSWER_WITHIN,
    }
}

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
