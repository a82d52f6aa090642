//! What a node answers about its own dead letters, whoever asks: its operators, or its peers for theirs.

use std::collections::HashMap;

use forebay_proto::{
    ids::NodeName,
    letters::{Answer, LetterId, Line, Outcome, PAGE_LETTERS, PART_BYTES, Part, Request},
};
use tokio::sync::mpsc;

use crate::{
    chain::chain,
    dlq::{Count, DeadLetters, Filter, Letter, Summary},
    node::{
        admin::{Question, ask_core},
        letters::Resent,
    },
};

/// Payloads given to the core at a time. Unit: bytes; one letter may have more.
const RESEND_BYTES: usize = 8 << 20;

/// See the module's documentation. Does not keep the node up.
#[derive(Clone, Debug)]
pub(in crate::node) struct LetterDesk {
    node: NodeName,
    core: mpsc::Sender<Question>,
    letters: DeadLetters,
}

impl LetterDesk {
    pub(in crate::node) fn new(node: NodeName, core: mpsc::Sender<Question>, letters: DeadLetters) -> Self {
        Self { node, core, letters }
    }

    /// Whose letters these are.
    pub(in crate::node) fn node(&self) -> &NodeName {
        &self.node
    }

    pub(in crate::node) fn count(&self) -> Count {
        self.letters.count()
    }

    /// # Cancel safety
    /// Letters may have been resent or dropped, or some of them.
    pub(in crate::node) async fn answer(&self, request: Request) -> Answer {
        let answered = match request {
            Request::List { pipeline, stage, after } => {
                let pipeline = pipeline.map(|name| name.to_string());
                Ok(self.page(&Filter { pipeline, stage: stage.map(|name| name.to_string()) }, after).await)
            }
            Request::Show { id, from } => self.part(id, from).await,
            Request::Resend(ids) => self.resend(ids).await,
            Request::Drop(ids) => self.drop_letters(ids).await,
        };
        answered.unwrap_or_else(Answer::Refused)
    }

    async fn page(&self, filter: &Filter, after: Option<LetterId>) -> Answer {
        let mut found = self.letters.list(filter, after, PAGE_LETTERS + 1).await;
        let more = found.len() > PAGE_LETTERS;
        found.truncate(PAGE_LETTERS);
        Answer::Page { letters: found.iter().map(line).collect(), more }
    }

    async fn part(&self, id: LetterId, from: u64) -> Result<Answer, String> {
        let letter = self.letter(id).await?;
        let letter = letter.ok_or_else(|| format!("there is no dead letter {}:{id}", self.node))?;
        let event = letter.event.encode();
        let begin = usize::try_from(from).unwrap_or(usize::MAX).min(event.len());
        Ok(Answer::Part(Part {
            letter: line(&Summary::of(id, &letter)),
            reason: letter.reason.as_str().to_owned(),
            event_bytes: event.len() as u64,
            part: event.slice(begin..event.len().min(begin.saturating_add(PART_BYTES))),
        }))
    }

    async fn letter(&self, id: LetterId) -> Result<Option<Letter>, String> {
        self.letters.get(id).await.map_err(|error| chain(&error))
    }

    /// Hands them to the core, a few at a time. What is processed disappears by itself.
    async fn resend(&self, ids: Vec<LetterId>) -> Result<Answer, String> {
        let (mut outcomes, mut group, mut bytes) = (HashMap::new(), Vec::new(), 0);
        for id in &ids {
            let Some(letter) = self.letter(*id).await? else { continue };
            bytes += letter.event.bytes();
            group.push((*id, letter));
            if bytes >= RESEND_BYTES {
                outcomes.extend(self.resend_now(std::mem::take(&mut group)).await?);
                bytes = 0;
            }
        }
        outcomes.extend(self.resend_now(group).await?);
        let outcome = |id: LetterId| match outcomes.get(&id) {
            None => Outcome::Unknown,
            Some(Ok(())) => Outcome::Done,
            Some(Err(why)) => Outcome::Refused(why.clone()),
        };
        Ok(Answer::Outcomes(ids.into_iter().map(|id| (id, outcome(id))).collect()))
    }

    async fn resend_now(&self, letters: Vec<(LetterId, Letter)>) -> Result<Vec<Resent>, String> {
        match letters.is_empty() {
            true => Ok(Vec::new()),
            false => ask_core(&self.core, |answer| Question::Resend { letters, answer }).await,
        }
    }

    async fn drop_letters(&self, ids: Vec<LetterId>) -> Result<Answer, String> {
        let missing = self.letters.remove(ids.clone()).await.map_err(|error| chain(&error))?;
        let outcome = |id: &LetterId| if missing.contains(id) { Outcome::Unknown } else { Outcome::Done };
        Ok(Answer::Outcomes(ids.into_iter().map(|id| (id, outcome(&id))).collect()))
    }
}

fn line(letter: &Summary) -> Line {
    Line {
        id: letter.id,
        at_ms: letter.at_ms,
        pipeline: letter.pipeline().clone(),
        stage: letter.stage().clone(),
        source: letter.source().clone(),
        epoch: letter.epoch(),
        seq: letter.seq(),
        attempts: letter.attempts,
        payload_bytes: letter.payload_bytes,
        reason: letter.first_line.to_string(),
    }
}
