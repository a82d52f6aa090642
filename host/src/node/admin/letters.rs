//! Dead letters of this node and of the others: whose are meant, and how requests and answers stand on the socket.

use std::{collections::HashSet, sync::Arc};

use forebay_proto::{
    ids::NodeName,
    letters::{Answer, DROP_MAX, LetterId, Line, Outcome, Part, RESEND_MAX, Request},
};

use super::{
    Desk,
    wire::{self, AboutLetters, LetterPart, LettersAsked, LettersPage, LettersQuestion, OutcomeOf},
};
use crate::node::{directory::Directory, letters::peer};

impl Desk {
    pub(super) fn letters_kept(&self) -> wire::LettersKept {
        let count = self.letters.count();
        wire::LettersKept {
            letters: count.letters,
            bytes: count.bytes,
            letters_max: count.bounds.letters_max,
            bytes_max: count.bounds.bytes_max,
            full: count.is_full,
        }
    }

    /// Has a question about dead letters answered by the node where they lie. Bounded in time if that is another one.
    ///
    /// # Errors
    /// With the reason: nobody knows the node, it is not connected, it does not answer, or it refuses; and as
    /// [`AboutLetters`] says. What was to be done may have been done if the node was asked.
    ///
    /// # Cancel safety
    /// As after an error.
    pub async fn dead_letters(&self, asked: LettersAsked) -> Result<AboutLetters, String> {
        let request = request(asked.question)?;
        let own = self.letters.node();
        let node = match asked.node {
            None => own.clone(),
            Some(name) => name.parse::<NodeName>().map_err(|error| error.to_string())?,
        };
        let answer = match node == *own {
            true => self.letters.answer(request).await,
            false => peer::ask(&*self.directory_with(&node)?, &node, request).await?,
        };
        about(&node, answer)
    }

    pub(super) fn directory_with(&self, node: &NodeName) -> Result<Arc<Directory>, String> {
        let directory = self.directory.upgrade().ok_or_else(|| "the node has ended".to_owned())?;
        let mut known: Vec<_> = directory.peers();
        let report = self.registry()?.as_quorum().map(|quorum| quorum.report());
        known.extend(report.into_iter().flat_map(|report| report.members).map(|member| member.node));
        match known.contains(node) {
            true => Ok(directory),
            false => Err(format!("{} knows of no node `{node}`", self.letters.node())),
        }
    }
}

/// # Errors
/// With the reason: too many letters are asked for, or a name is none.
fn request(question: LettersQuestion) -> Result<Request, String> {
    let request = match question {
        LettersQuestion::List { pipeline, stage, after } => {
            let pipeline = pipeline.map(|name| name.parse()).transpose();
            let stage = stage.map(|name| name.parse()).transpose();
            let wrong = |error: forebay_proto::ids::NameError| error.to_string();
            Request::List {
                pipeline: pipeline.map_err(wrong)?,
                stage: stage.map_err(wrong)?,
                after: after.map(LetterId),
            }
        }
        LettersQuestion::Show { id, from } => Request::Show { id: LetterId(id), from },
        LettersQuestion::Resend { ids } => Request::Resend(at_most(RESEND_MAX, ids)?),
        LettersQuestion::Drop { ids } => Request::Drop(at_most(DROP_MAX, ids)?),
    };
    Ok(request)
}

/// Each of these once, in their order.
fn at_most(max: usize, ids: Vec<u64>) -> Result<Vec<LetterId>, String> {
    if ids.len() > max {
        return Err(format!("{} letters in one request, at most {max} are allowed; ask for the rest after", ids.len()));
    }
    let mut seen = HashSet::new();
    Ok(ids.into_iter().map(LetterId).filter(|id| seen.insert(*id)).collect())
}

fn about(node: &NodeName, answer: Answer) -> Result<AboutLetters, String> {
    match answer {
        Answer::Refused(why) => Err(why),
        Answer::Page { letters, more } => {
            let letters = letters.into_iter().map(|letter| line(node, letter)).collect();
            Ok(AboutLetters::Page(LettersPage { letters, more }))
        }
        Answer::Part(Part { letter, reason, event_bytes, part }) => {
            let part = part.iter().map(|byte| format!("{byte:02x}")).collect();
            Ok(AboutLetters::Part(Box::new(LetterPart { letter: line(node, letter), reason, event_bytes, part })))
        }
        Answer::Outcomes(outcomes) => Ok(AboutLetters::Outcomes(outcomes.into_iter().map(outcome).collect())),
    }
}

fn line(node: &NodeName, letter: Line) -> wire::Letter {
    wire::Letter {
        node: node.to_string(),
        id: letter.id.0,
        at_ms: letter.at_ms,
        pipeline: letter.pipeline.to_string(),
        stage: letter.stage.to_string(),
        source: letter.source.to_string(),
        epoch: letter.epoch.to_string(),
        seq: letter.seq.0,
        attempts: letter.attempts,
        payload_bytes: letter.payload_bytes,
        reason: letter.reason,
    }
}

fn outcome((id, outcome): (LetterId, Outcome)) -> OutcomeOf {
    let outcome = match outcome {
        Outcome::Done => wire::Outcome::Done,
        Outcome::Unknown => wire::Outcome::Unknown,
        Outcome::Refused(why) => wire::Outcome::Refused(why),
    };
    OutcomeOf { id: id.0, outcome }
}
