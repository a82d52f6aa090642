//! Dead letters, listed, shown, resent and dropped.

use std::collections::HashMap;

use super::{
    Desk, Question,
    wire::{self, AboutLetters, LetterPart, LettersAsked, LettersPage, Outcome, OutcomeOf},
};
use crate::{
    chain::chain,
    dlq::{Filter, Letter, LetterId, Summary},
};

/// Letters in one answer; each takes less than 1 KiB of it.
const PAGE_LETTERS: usize = 200;

/// Bytes of an event in one answer, which says them in twice as many.
const PART_BYTES: usize = 256 << 10;

/// Letters resent in one request, so that it is answered in time.
pub const RESEND_MAX: usize = 100;

/// Letters dropped in one request, which must fit a line.
pub const DROP_MAX: usize = 1000;

/// Payloads given to the core at a time. Unit: bytes; one letter may have more.
const RESEND_BYTES: usize = 8 << 20;

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

    /// # Errors
    /// With the reason: there is none of that number, too many are asked for, or the disk says no.
    pub(super) async fn dead_letters(&self, asked: LettersAsked) -> Result<AboutLetters, String> {
        match asked {
            LettersAsked::List { pipeline, stage, after } => {
                Ok(AboutLetters::Page(self.page(&Filter { pipeline, stage }, after.map(LetterId)).await))
            }
            LettersAsked::Show { id, from } => self.part(LetterId(id), from).await.map(AboutLetters::Part),
            LettersAsked::Resend { ids } => self.resend(at_most(RESEND_MAX, ids)?).await.map(AboutLetters::Outcomes),
            LettersAsked::Drop { ids } => self.drop_letters(at_most(DROP_MAX, ids)?).await.map(AboutLetters::Outcomes),
        }
    }

    async fn page(&self, filter: &Filter, after: Option<LetterId>) -> LettersPage {
        let mut found = self.letters.list(filter, after, PAGE_LETTERS + 1).await;
        let more = found.len() > PAGE_LETTERS;
        found.truncate(PAGE_LETTERS);
        LettersPage { letters: found.iter().map(line).collect(), more }
    }

    async fn part(&self, id: LetterId, from: u64) -> Result<LetterPart, String> {
        let letter = self.letter(id).await?.ok_or_else(|| format!("there is no dead letter {id} on this node"))?;
        let event = letter.event.encode();
        let from = usize::try_from(from).unwrap_or(usize::MAX).min(event.len());
        let part = &event[from..event.len().min(from.saturating_add(PART_BYTES))];
        Ok(LetterPart {
            letter: line(&Summary::of(id, &letter)),
            reason: letter.reason.as_str().to_owned(),
            event_bytes: event.len() as u64,
            part: part.iter().map(|byte| format!("{byte:02x}")).collect(),
        })
    }

    async fn letter(&self, id: LetterId) -> Result<Option<Letter>, String> {
        self.letters.get(id).await.map_err(|error| chain(&error))
    }

    /// Sends letters to their stages again, a few at a time; says what became of each. What is processed
    /// disappears by itself.
    ///
    /// # Errors
    /// If the node ends.
    pub async fn resend(&self, ids: Vec<LetterId>) -> Result<Vec<OutcomeOf>, String> {
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
        let outcome = |id: &LetterId| match outcomes.get(id) {
            None => Outcome::Unknown,
            Some(Ok(())) => Outcome::Done,
            Some(Err(why)) => Outcome::Refused(why.clone()),
        };
        Ok(ids.iter().map(|id| OutcomeOf { id: id.0, outcome: outcome(id) }).collect())
    }

    async fn resend_now(
        &self,
        letters: Vec<(LetterId, Letter)>,
    ) -> Result<Vec<(LetterId, Result<(), String>)>, String> {
        match letters.is_empty() {
            true => Ok(Vec::new()),
            false => self.ask(|answer| Question::Resend { letters, answer }).await,
        }
    }

    async fn drop_letters(&self, ids: Vec<LetterId>) -> Result<Vec<OutcomeOf>, String> {
        let missing = self.letters.remove(ids.clone()).await.map_err(|error| chain(&error))?;
        let outcome = |id: &LetterId| if missing.contains(id) { Outcome::Unknown } else { Outcome::Done };
        Ok(ids.iter().map(|id| OutcomeOf { id: id.0, outcome: outcome(id) }).collect())
    }
}

/// Each of these once, in their order.
fn at_most(max: usize, ids: Vec<u64>) -> Result<Vec<LetterId>, String> {
    if ids.len() > max {
        return Err(format!("{} letters in one request, at most {max} are allowed; ask for the rest after", ids.len()));
    }
    let mut seen = std::collections::HashSet::new();
    Ok(ids.into_iter().map(LetterId).filter(|id| seen.insert(*id)).collect())
}

fn line(letter: &Summary) -> wire::Letter {
    wire::Letter {
        id: letter.id.0,
        at_ms: letter.at_ms,
        pipeline: letter.pipeline().to_string(),
        stage: letter.stage().to_string(),
        source: letter.source().to_string(),
        epoch: letter.epoch().to_string(),
        seq: letter.seq().0,
        attempts: letter.attempts,
        payload_bytes: letter.payload_bytes,
        reason: letter.first_line.to_string(),
    }
}
