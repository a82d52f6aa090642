//! What nodes ask each other about dead letters: a letter lies where its event failed, and an operator
//! asks one node for those of all.
//!
//! A request has one answer. Both are bounded, and what is longer is asked for piece by piece. A peer may
//! answer anything, so whoever asks checks each piece ([`Answer::check`]): then asking on comes to an end.

use std::fmt;

use bytes::Bytes;

use crate::ids::{Epoch, PipelineName, Seq, StageName};

/// Letters in one answer; each takes less than 1 KiB of it.
pub const PAGE_LETTERS: usize = 200;

/// Bytes of an event in one answer.
pub const PART_BYTES: usize = 256 << 10;

/// The longest event of a letter. Unit: bytes. What a stage emits in a batch, 4 MiB at most, is shorter, and so is
/// what came in a frame.
pub const EVENT_BYTES_MAX: u64 = 8 << 20;

/// Letters resent in one request, so that it is answered in time.
pub const RESEND_MAX: usize = 100;

/// Letters dropped in one request.
pub const DROP_MAX: usize = 1000;

/// How much of a reason's first line a list shows. Unit: bytes.
pub const LINE_BYTES_MAX: usize = 200;

/// The longest reason of a letter. Unit: bytes. Twice the longest text of a guest, for what the host says around it.
pub const REASON_BYTES_MAX: usize = 16 << 10;

/// The number of a letter on its node: rises, and is never given twice.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct LetterId(pub u64);

impl fmt::Display for LetterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a node is asked about its own letters.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Request {
    /// Some of them, by number.
    List {
        /// Of this pipeline only.
        pipeline: Option<PipelineName>,
        /// Of stages of this name only.
        stage: Option<StageName>,
        /// Above this number only.
        after: Option<LetterId>,
    },
    /// One, with a part of its event.
    Show {
        /// Which.
        id: LetterId,
        /// From which byte of the event on.
        from: u64,
    },
    /// Have their events processed once more; at most [`RESEND_MAX`].
    Resend(Vec<LetterId>),
    /// Remove them for good; at most [`DROP_MAX`].
    Drop(Vec<LetterId>),
}

/// The answer to a [`Request`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Answer {
    /// To any: it was not done, with the reason.
    Refused(String),
    /// To `List`.
    Page {
        /// At most [`PAGE_LETTERS`], by number.
        letters: Vec<Line>,
        /// Whether there are more above the last.
        more: bool,
    },
    /// To `Show`.
    Part(Part),
    /// To `Resend` and `Drop`: what became of each, in the order asked.
    Outcomes(Vec<(LetterId, Outcome)>),
}

/// A letter, as a list shows it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Line {
    /// Its number on its node.
    pub id: LetterId,
    /// When it was given up, by its node's clock. Unit: milliseconds since 1970.
    pub at_ms: u64,
    /// Of which pipeline.
    pub pipeline: PipelineName,
    /// The stage that could not process it.
    pub stage: StageName,
    /// The stage that emitted it.
    pub source: StageName,
    /// In which epoch.
    pub epoch: Epoch,
    /// Under which number.
    pub seq: Seq,
    /// How often it was tried.
    pub attempts: u32,
    /// The length of its payload.
    pub payload_bytes: u64,
    /// The first line of the reason, at most [`LINE_BYTES_MAX`]. Not safe for a terminal.
    pub reason: String,
}

/// A letter with a part of its event.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Part {
    /// As in a list.
    pub letter: Line,
    /// The whole reason, at most [`REASON_BYTES_MAX`]. Not safe for a terminal.
    pub reason: String,
    /// The length of the event as a batch of one, at most [`EVENT_BYTES_MAX`].
    pub event_bytes: u64,
    /// At most [`PART_BYTES`] of it; none only beyond its end.
    pub part: Bytes,
}

/// What became of one letter.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// What was asked for.
    Done,
    /// There is none of that number.
    Unknown,
    /// It was refused, with the reason.
    Refused(String),
}

/// An answer that does not belong to its request.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Misfit {
    /// An answer to another kind of request.
    #[error("the answer is one to another request")]
    Other,
    /// Its letters are not above the last one, or not in order; or more are said to follow none.
    #[error("the page does not go on where the last one ended")]
    Page,
    /// A part that is too long, that ends behind the event, or that has nothing although there is more.
    #[error("the part is not the one of the event that was asked for")]
    Part,
    /// Other letters than asked for.
    #[error("the outcomes are of other letters than asked for")]
    Outcomes,
}

impl Answer {
    /// Gives it back if it belongs to `request`: who asks on where it ended comes to an end.
    ///
    /// # Errors
    /// [`Misfit`].
    pub fn check(self, request: &Request) -> Result<Self, Misfit> {
        let (fits, misfit) = match (&self, request) {
            (Self::Refused(_), _) => return Ok(self),
            (Self::Page { letters, more }, Request::List { after, .. }) => {
                (goes_on(letters, *more, *after), Misfit::Page)
            }
            (Self::Part(part), Request::Show { id, from }) => (part.is_of(*id, *from), Misfit::Part),
            (Self::Outcomes(outcomes), Request::Resend(ids) | Request::Drop(ids)) => {
                (outcomes.iter().map(|(id, _)| id).eq(ids), Misfit::Outcomes)
            }
            _ => return Err(Misfit::Other),
        };
        if fits { Ok(self) } else { Err(misfit) }
    }
}

fn goes_on(letters: &[Line], more: bool, after: Option<LetterId>) -> bool {
    let above = letters.first().is_none_or(|first| after.is_none_or(|after| first.id > after));
    let rises = letters.is_sorted_by(|one, next| one.id < next.id);
    above && rises && letters.len() <= PAGE_LETTERS && !(more && letters.is_empty())
}

impl Part {
    fn is_of(&self, id: LetterId, from: u64) -> bool {
        let left = self.event_bytes.saturating_sub(from);
        let length = self.part.len() as u64;
        let is_part = length <= left && self.part.len() <= PART_BYTES && (length > 0 || left == 0);
        self.letter.id == id && self.event_bytes <= EVENT_BYTES_MAX && is_part
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn line(id: u64) -> Line {
        Line {
            id: LetterId(id),
            at_ms: 1000,
            pipeline: "counter".parse().unwrap(),
            stage: "p".parse().unwrap(),
            source: "c".parse().unwrap(),
            epoch: Epoch { lamport: 2, tag: 0xabcd },
            seq: Seq(9),
            attempts: 5,
            payload_bytes: 4,
            reason: "odd".to_owned(),
        }
    }

    fn page(ids: &[u64], more: bool) -> Answer {
        Answer::Page { letters: ids.iter().map(|id| line(*id)).collect(), more }
    }

    fn list(after: Option<u64>) -> Request {
        Request::List { pipeline: None, stage: None, after: after.map(LetterId) }
    }

    fn part(id: u64, event_bytes: u64, length: usize) -> Answer {
        Answer::Part(Part { letter: line(id), reason: String::new(), event_bytes, part: vec![0; length].into() })
    }

    #[test]
    fn a_page_goes_on_or_is_refused() {
        for (answer, after) in [(page(&[], false), None), (page(&[1, 2], true), None), (page(&[8], false), Some(7))] {
            assert_eq!(answer.clone().check(&list(after)), Ok(answer));
        }
        let many: Vec<_> = (1..=PAGE_LETTERS as u64 + 1).collect();
        for (answer, after) in [
            (page(&[], true), None),
            (page(&[7], true), Some(7)),
            (page(&[1, 2], true), Some(7)),
            (page(&[9, 8], false), Some(7)),
            (page(&[8, 8], false), Some(7)),
            (page(&many, false), None),
        ] {
            assert_eq!(answer.check(&list(after)), Err(Misfit::Page));
        }
    }

    #[test]
    fn a_part_is_of_the_event_asked_for_and_brings_it_nearer_to_its_end() {
        let show = |from| Request::Show { id: LetterId(1), from };
        for (answer, from) in
            [(part(1, 10, 10), 0), (part(1, 10, 4), 6), (part(1, 10, 0), 10), (part(1, 10, 0), u64::MAX)]
        {
            assert_eq!(answer.clone().check(&show(from)), Ok(answer));
        }
        for (answer, from) in [
            (part(2, 10, 10), 0),
            (part(1, 10, 11), 0),
            (part(1, 10, 5), 6),
            (part(1, 10, 0), 9),
            (part(1, EVENT_BYTES_MAX + 1, 10), 0),
            (part(1, EVENT_BYTES_MAX, PART_BYTES + 1), 0),
        ] {
            assert_eq!(answer.check(&show(from)), Err(Misfit::Part));
        }
    }

    #[test]
    fn outcomes_are_of_the_letters_asked_for() {
        let (ids, done) = (vec![LetterId(3), LetterId(1)], |id| (LetterId(id), Outcome::Done));
        for request in [Request::Resend(ids.clone()), Request::Drop(ids)] {
            let answer = Answer::Outcomes(vec![done(3), (LetterId(1), Outcome::Unknown)]);
            assert_eq!(answer.clone().check(&request), Ok(answer));
            for outcomes in [vec![], vec![done(3)], vec![done(1), done(3)], vec![done(3), done(1), done(1)]] {
                assert_eq!(Answer::Outcomes(outcomes).check(&request), Err(Misfit::Outcomes));
            }
        }
    }

    #[test]
    fn a_refusal_answers_anything_and_nothing_else_does() {
        let requests = [list(None), Request::Show { id: LetterId(1), from: 0 }, Request::Drop(Vec::new())];
        let answers = [page(&[], false), part(1, 0, 0), Answer::Outcomes(Vec::new())];
        for (at, request) in requests.iter().enumerate() {
            assert!(Answer::Refused("no".to_owned()).check(request).is_ok());
            for (of, answer) in answers.iter().enumerate() {
                assert_eq!(answer.clone().check(request).err(), (at != of).then_some(Misfit::Other));
            }
        }
    }
}
