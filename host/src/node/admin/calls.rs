//! Asking a stage: which is meant, where it runs, and how request and answer stand on the socket.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use forebay_proto::{
    calls::{Answer, BYTES_MAX, Request, WITHIN_MAX},
    ids::NodeName,
    names::GlobalName,
    pipeline::Scope,
};
use serde::{Deserialize, Serialize};

use super::Desk;
use crate::node::calls;

/// A request to a stage.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Call {
    /// `PIPELINE/STAGE`, or `STAGE` where only one pipeline has such a stage.
    pub stage: String,
    /// The instance on this node; none: that of the owner, or for a stage of node scope of the node that is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// How long it may wait and take, at most a minute. Unit: milliseconds.
    pub within_ms: u64,
    /// The request, at most 1 MiB: standard Base64 with padding.
    pub request: String,
}

/// What came of it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Called {
    /// The stage's answer: standard Base64 with padding.
    Given(String),
    /// The stage's error.
    Refused(String),
    /// The stage was not asked, with the reason.
    NotMade(String),
    /// The stage may have been asked; what came of it is not known, with the reason.
    Unknown(String),
}

impl Desk {
    /// Has a stage asked, wherever it runs. Bounded in time.
    ///
    /// # Errors
    /// With the reason: there is no such stage, or none that could be asked, or the request is none.
    ///
    /// # Cancel safety
    /// The stage may be asked all the same.
    pub async fn call(&self, call: Call) -> Result<Called, String> {
        let (name, door) = self.doors.find(&call.stage)?;
        let request = request(&name, &call)?;
        if !door.answers {
            return Err(calls::cannot_answer(&name));
        }
        let own = self.letters.node();
        let node = match call.node {
            Some(node) => node.parse().map_err(|error: forebay_proto::ids::NameError| error.to_string())?,
            None if door.scope == Scope::Global => self.owner(&name)?,
            None if door.runs_here => own.clone(),
            None => {
                return Err(format!(
                    "{name} does not run on {own}, which lacks its labels; say with --node which of those that have \
                     them is meant"
                ));
            }
        };
        let answer = match node == *own {
            true => {
                let directory = self.directory.upgrade().ok_or_else(|| "the node has ended".to_owned())?;
                calls::ask_here(&directory, request).await
            }
            false => calls::ask_peer(&*self.directory_with(&node)?, &node, request).await,
        };
        Ok(match answer {
            Answer::Given(answer) => Called::Given(STANDARD.encode(answer)),
            Answer::Refused(why) => Called::Refused(why),
            Answer::NotMade(why) => Called::NotMade(why),
            Answer::Unknown(why) => Called::Unknown(why),
        })
    }

    fn owner(&self, name: &GlobalName) -> Result<NodeName, String> {
        let claim = self.registry()?.lookup(name);
        claim.map(|claim| claim.node).ok_or_else(|| format!("nobody owns {name} just now; ask again later"))
    }
}

/// # Errors
/// With the reason: it is too long, or no Base64.
fn request(name: &GlobalName, call: &Call) -> Result<Request, String> {
    let request = STANDARD.decode(&call.request);
    let request = request.map_err(|error| format!("`request` is no standard Base64 with padding: {error}"))?;
    if request.len() > BYTES_MAX {
        return Err(format!("the request has {} bytes; at most {BYTES_MAX} are taken", request.len()));
    }
    let within = Duration::from_millis(call.within_ms);
    if within > WITHIN_MAX {
        return Err(format!("`within_ms` is {}; expected at most {}", call.within_ms, WITHIN_MAX.as_millis()));
    }
    let (pipeline, stage) = (name.pipeline.clone(), name.stage.clone());
    Ok(Request { pipeline, stage, within, request: request.into() })
}
