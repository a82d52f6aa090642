//! Looking at a stage: which is meant, where it runs, and how pages stand on the socket.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use forebay_proto::{
    ids::NodeName,
    names::GlobalName,
    pipeline::Scope,
    taps::{Answer, Cursor, Kinds, Request, WAIT_MAX},
    wire::{self, Frame},
};
use serde::{Deserialize, Serialize};

use super::Desk;
use crate::node::tap;

/// A request for a page of what a stage is given and answers.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Tap {
    /// `PIPELINE/STAGE`, or `STAGE` where only one pipeline has such a stage.
    pub stage: String,
    /// The instance on this node; none: that of the owner, or for a stage of node scope of the node that is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Bits of [`Kinds`].
    pub kinds: u8,
    /// The run that is read, see [`Cursor`].
    pub run: u64,
    /// The entry that is wanted next.
    pub next: u64,
    /// How long to wait for an entry, at most 2 s. Unit: milliseconds.
    pub wait_ms: u64,
}

/// What came of it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Tapped {
    /// A page.
    Page {
        /// Of the instance on this node.
        node: String,
        /// Of this stage: `PIPELINE/STAGE`.
        stage: String,
        /// A frame `Tap told`, in standard Base64 with padding.
        page: String,
    },
    /// The stage cannot be looked at now, with the reason; later it may.
    NotThere(String),
}

impl Desk {
    /// A page of what a stage is given and answers, wherever it runs. Bounded in time.
    ///
    /// # Errors
    /// With the reason: there is no such stage or node, or the request is none, or it is refused.
    ///
    /// # Cancel safety
    /// Cancel safe: a page can be asked for again.
    pub async fn tap(&self, asked: Tap) -> Result<Tapped, String> {
        let (name, door) = self.doors.find(&asked.stage)?;
        let request = request(&name, &asked)?;
        let own = self.letters.node();
        let node = match asked.node {
            Some(node) => node.parse().map_err(|error: forebay_proto::ids::NameError| error.to_string())?,
            None if door.scope == Scope::Global => match self.registry()?.lookup(&name) {
                Some(claim) => return self.of_owner(claim.node, request).await,
                None => return Ok(Tapped::NotThere(format!("nobody owns {name} just now"))),
            },
            None if door.runs_here => own.clone(),
            None => {
                return Err(format!(
                    "{name} does not run on {own}, which lacks its labels; say with --node which of those that have \
                     them is meant, or --all-nodes"
                ));
            }
        };
        if node != *own {
            self.directory_with(&node)?;
        }
        self.of_owner(node, request).await
    }

    /// From a node that may be gone: then it is asked for again, and perhaps of another.
    async fn of_owner(&self, node: NodeName, request: Request) -> Result<Tapped, String> {
        let directory = self.directory.upgrade().ok_or_else(|| "the node has ended".to_owned())?;
        let stage = request.name.to_string();
        let answer = match node == *self.letters.node() {
            true => tap::read_here(&directory, request).await,
            false => tap::peer::ask(&directory, &node, request).await,
        };
        match answer {
            Answer::Refused(why) => Err(why),
            Answer::NotHere(why) => Ok(Tapped::NotThere(why)),
            page @ Answer::Page(_) => {
                let page = STANDARD.encode(wire::encode(&Frame::TapTold(page)));
                Ok(Tapped::Page { node: node.to_string(), stage, page })
            }
        }
    }
}

/// # Errors
/// With the reason: it asks for what there is not, or for too long.
fn request(name: &GlobalName, asked: &Tap) -> Result<Request, String> {
    let kinds = Kinds::from_bits(asked.kinds);
    let kinds = kinds.ok_or_else(|| format!("`kinds` is {}; expected at most {}", asked.kinds, Kinds::ALL.bits()))?;
    let wait = Duration::from_millis(asked.wait_ms);
    if wait > WAIT_MAX {
        return Err(format!("`wait_ms` is {}; expected at most {}", asked.wait_ms, WAIT_MAX.as_millis()));
    }
    Ok(Request { name: name.clone(), kinds, at: Cursor { run: asked.run, next: asked.next }, wait })
}
