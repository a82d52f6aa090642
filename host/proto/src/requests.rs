//! Requests of people and programs that wait for a stage's guest, each until its time is over.
//!
//! They are bounded in number: who asks when all places are taken is told so at once. Each request has one
//! answer, whatever becomes of it, as long as the stage runs.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;

/// Requests that may wait for one stage. Each is held in memory, with up to 1 MiB.
pub const WAITING_MAX: usize = 16;

/// Counts the requests of one stage.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct RequestNo(pub u64);

/// What came of a request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Answer {
    /// The guest's answer.
    Given(Bytes),
    /// The guest's error, for whoever asked.
    Refused(String),
    /// The guest did not survive it; another takes its place.
    Lost(String),
    /// It waited for too long and was not made.
    Late,
    /// [`WAITING_MAX`] others wait; it was not made.
    Busy,
    /// The stage ends and takes none any more; it was not made.
    Ending,
}

#[derive(Debug)]
struct Waiting {
    no: RequestNo,
    request: Bytes,
    until: Duration,
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    waiting: VecDeque<Waiting>,
    answers: VecDeque<(RequestNo, Answer)>,
    is_ending: bool,
}

impl Requests {
    /// One more, to be made before `until`.
    pub(crate) fn add(&mut self, no: RequestNo, request: Bytes, until: Duration) {
        if self.is_ending {
            self.answer(no, Answer::Ending);
        } else if self.waiting.len() >= WAITING_MAX {
            self.answer(no, Answer::Busy);
        } else {
            self.waiting.push_back(Waiting { no, request, until });
        }
    }

    /// The next to be made: the one that came first.
    pub(crate) fn take(&mut self, now: Duration) -> Option<(RequestNo, Bytes)> {
        self.expire(now);
        self.waiting.pop_front().map(|waiting| (waiting.no, waiting.request))
    }

    /// Those whose time is over are not made.
    pub(crate) fn expire(&mut self, now: Duration) {
        let all = std::mem::take(&mut self.waiting).into_iter();
        let (late, left): (VecDeque<_>, VecDeque<_>) = all.partition(|waiting| waiting.until <= now);
        self.waiting = left;
        self.answers.extend(late.into_iter().map(|waiting| (waiting.no, Answer::Late)));
    }

    pub(crate) fn answer(&mut self, no: RequestNo, answer: Answer) {
        self.answers.push_back((no, answer));
    }

    /// The stage ends: none is made any more.
    pub(crate) fn end(&mut self) {
        self.is_ending = true;
        let left = std::mem::take(&mut self.waiting);
        self.answers.extend(left.into_iter().map(|waiting| (waiting.no, Answer::Ending)));
    }

    pub(crate) fn poll(&mut self) -> Option<(RequestNo, Answer)> {
        self.answers.pop_front()
    }

    /// When the next one's time is over.
    pub(crate) fn timeout(&self) -> Option<Duration> {
        self.waiting.iter().map(|waiting| waiting.until).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(requests: &mut Requests) -> Vec<(u64, Answer)> {
        std::iter::from_fn(|| requests.poll()).map(|(no, answer)| (no.0, answer)).collect()
    }

    fn second(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn requests_are_made_in_their_order_until_their_time_is_over() {
        let mut requests = Requests::default();
        for (no, until) in [(1, 5), (2, 2), (3, 9)] {
            requests.add(RequestNo(no), Bytes::from_static(b"?"), second(until));
        }
        assert_eq!(requests.timeout(), Some(second(2)));
        assert_eq!(requests.take(second(2)), Some((RequestNo(1), Bytes::from_static(b"?"))));
        assert_eq!(answers(&mut requests), [(2, Answer::Late)]);
        assert_eq!(requests.timeout(), Some(second(9)));
        requests.expire(second(9));
        assert_eq!((requests.take(second(9)), answers(&mut requests)), (None, vec![(3, Answer::Late)]));
        assert_eq!(requests.timeout(), None);
    }

    #[test]
    fn one_more_than_there_is_room_for_is_told_so_at_once() {
        let mut requests = Requests::default();
        for no in 0..=WAITING_MAX as u64 {
            requests.add(RequestNo(no), Bytes::new(), second(1));
        }
        assert_eq!(answers(&mut requests), [(WAITING_MAX as u64, Answer::Busy)]);
    }

    #[test]
    fn a_stage_that_ends_answers_all() {
        let mut requests = Requests::default();
        requests.add(RequestNo(1), Bytes::new(), second(1));
        requests.end();
        requests.add(RequestNo(2), Bytes::new(), second(1));
        assert_eq!(answers(&mut requests), [(1, Answer::Ending), (2, Answer::Ending)]);
        assert_eq!(requests.take(second(0)), None);
    }
}
