//! Finds the event that a guest fails on: a batch in whose call it trapped or ran out of time is tried again
//! on a fresh instance, then in halves, until the one event is known.
//!
//! Of n events with one poison among them that takes one further call for the whole and two for each
//! halving, so about 2 log2(n); the others are processed on the way, in their order.

use std::{collections::VecDeque, time::Duration};

use crate::stage::Call;

/// More poison events than this within this time are no poison, but a stage that does not work: it is
/// ended before it has thrown away all that it is given.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PoisonLimit {
    /// Unit: events.
    pub max: u32,
    /// Counted over.
    pub within: Duration,
}

impl Default for PoisonLimit {
    /// As a supervisor counts restarts.
    fn default() -> Self {
        Self { max: 10, within: Duration::from_secs(300) }
    }
}

/// What follows from a call that failed.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// Parts of it are tried.
    Tried,
    /// It has one event, and that is it.
    Poison(Call),
    /// As before, once too often.
    TooMany(u32),
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Suspects {
    limit: PoisonLimit,
    /// To be tried, in order. All have failed as part of something.
    parts: VecDeque<Call>,
    /// The part being tried has failed before.
    is_suspect: bool,
    found: VecDeque<Duration>,
    traps: VecDeque<Duration>,
}

/// So many guests may be lost in [`TRAPS_WITHIN`] without a pause: enough to find two poison events.
const TRAPS_AT_ONCE: usize = 32;

const TRAPS_WITHIN: Duration = Duration::from_secs(10);

/// From then on. A guest that fails now and then keeps its stage, and leaves the processor to others.
const PAUSE: Duration = Duration::from_secs(1);

impl Suspects {
    pub(crate) fn new(limit: PoisonLimit) -> Self {
        Self { limit, parts: VecDeque::new(), is_suspect: false, found: VecDeque::new(), traps: VecDeque::new() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        self.parts.clear();
    }

    /// What is to be tried.
    pub(crate) fn parts(&self) -> impl Iterator<Item = &Call> {
        self.parts.iter()
    }

    /// Forgets the parts for which this holds.
    pub(crate) fn drop_if(&mut self, is_it: impl Fn(&Call) -> bool) {
        self.parts.retain(|part| !is_it(part));
    }

    /// The next part to try; whatever else is called is no suspect.
    pub(crate) fn next(&mut self) -> Option<Call> {
        let part = self.parts.pop_front();
        self.is_suspect = part.is_some();
        part
    }

    /// How long to wait before another guest is started.
    pub(crate) fn pause(&mut self, now: Duration) -> Option<Duration> {
        self.traps.retain(|at| now.saturating_sub(*at) <= TRAPS_WITHIN);
        self.traps.push_back(now);
        (self.traps.len() > TRAPS_AT_ONCE).then_some(PAUSE)
    }

    /// How many poison events were found lately.
    pub(crate) fn found(&self, now: Duration) -> usize {
        self.found.iter().filter(|at| now.saturating_sub(**at) <= self.limit.within).count()
    }

    /// The guest did not survive this call with events. Other instances of the stage have found so many lately.
    pub(crate) fn on_trap(&mut self, now: Duration, call: Call, by_others: usize) -> Verdict {
        let Some((first, second)) = halves(&call) else {
            if !self.is_suspect {
                self.parts.push_front(again(call));
                return Verdict::Tried;
            }
            return self.convict(now, call, by_others);
        };
        if self.is_suspect {
            self.parts.push_front(second);
            self.parts.push_front(first);
        } else {
            self.parts.push_front(again(call));
        }
        Verdict::Tried
    }

    fn convict(&mut self, now: Duration, call: Call, by_others: usize) -> Verdict {
        self.found.retain(|at| now.saturating_sub(*at) <= self.limit.within);
        let found = u32::try_from(self.found(now) + by_others).unwrap_or(u32::MAX);
        if found >= self.limit.max {
            return Verdict::TooMany(found);
        }
        self.found.push_back(now);
        Verdict::Poison(call)
    }
}

/// The same, once more.
pub(crate) fn again(mut call: Call) -> Call {
    if let Call::HandleEvents { attempt, .. } = &mut call {
        *attempt = attempt.saturating_add(1);
    }
    call
}

/// The two halves of a call, as a further attempt each; `None` if it has one event, or none.
fn halves(call: &Call) -> Option<(Call, Call)> {
    let (Call::HandleEvents { events, .. } | Call::HandleIngest { events, .. }) = call else { return None };
    let middle = events.len() / 2;
    if middle == 0 {
        return None;
    }
    let mut second = again(call.clone());
    let first = second.take_front(middle)?;
    Some((first, second))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        batch::Batch,
        ids::{Epoch, Seq, SubId},
        message::SeqRun,
    };

    fn call(count: u32) -> Call {
        let events = Batch::from_payloads((0..count).map(|n| n.to_string()));
        let (source, runs) = ("s".parse().unwrap(), vec![SeqRun { first: Seq(0), count }]);
        Call::HandleEvents { sub: SubId(1), source, epoch: Epoch::default(), attempt: 1, runs, events }
    }

    fn numbers(call: &Call) -> Vec<u64> {
        let Call::HandleEvents { runs, events, .. } = call else { panic!("{call:?}") };
        let numbers: Vec<_> = runs.iter().flat_map(|run| run.first.0..run.end().0).collect();
        let payloads: Vec<u64> =
            events.iter().map(|event| std::str::from_utf8(event.payload).unwrap().parse().unwrap()).collect();
        assert_eq!(numbers, payloads, "numbers stay with their events");
        numbers
    }

    /// Plays a guest that fails on these events. Gives the calls it took, what was processed, and what was
    /// convicted.
    fn play(count: u32, poison: &[u64]) -> (usize, Vec<u64>, Vec<u64>) {
        let mut suspects = Suspects::new(PoisonLimit { max: u32::MAX, ..PoisonLimit::default() });
        let (mut calls, mut processed, mut convicted) = (0, Vec::new(), Vec::new());
        let mut next = Some(call(count));
        while let Some(call) = next {
            calls += 1;
            let numbers = numbers(&call);
            if !numbers.iter().any(|number| poison.contains(number)) {
                processed.extend(numbers);
            } else if let Verdict::Poison(_) = suspects.on_trap(Duration::ZERO, call, 0) {
                convicted.extend(numbers);
            }
            next = suspects.next();
        }
        (calls, processed, convicted)
    }

    #[test]
    fn one_poison_event_of_a_thousand_costs_two_calls_a_halving() {
        for poison in [0, 1, 499, 500, 777, 999] {
            let (calls, processed, convicted) = play(1000, &[poison]);
            assert_eq!(convicted, [poison]);
            let others: Vec<_> = (0..1000).filter(|number| *number != poison).collect();
            assert_eq!(processed, others, "the others, once and in order");
            let extra = calls - 1;
            assert!(extra <= 21, "{extra} extra calls; 2 log2(1000) is 19.9, and one for the whole");
        }
    }

    #[test]
    fn a_guest_that_fails_again_and_again_is_started_once_a_second() {
        let mut suspects = Suspects::new(PoisonLimit::default());
        let second = Duration::from_secs(1);
        let pauses: Vec<_> = (0..40).map(|_| suspects.pause(Duration::ZERO)).collect();
        assert!(pauses[..32].iter().all(Option::is_none) && pauses[32..].iter().all(|pause| *pause == Some(second)));
        assert_eq!(suspects.pause(11 * second), None);
    }

    #[test]
    fn each_of_several_is_found() {
        let (_, processed, convicted) = play(100, &[3, 4, 99]);
        assert_eq!(convicted, [3, 4, 99]);
        assert_eq!(processed.len(), 97);
        assert_eq!(play(1, &[0]), (2, vec![], vec![0]), "a single one is tried twice");
    }

    #[test]
    fn a_guest_that_fails_on_everything_is_not_given_everything() {
        let mut suspects = Suspects::new(PoisonLimit { max: 2, within: Duration::from_secs(10) });
        let mut verdicts = Vec::new();
        for at in [0, 1, 2, 12] {
            assert!(suspects.next().is_none(), "nothing is left of the last one");
            suspects.on_trap(Duration::from_secs(at), call(1), 0);
            let part = suspects.next().unwrap();
            verdicts.push(matches!(suspects.on_trap(Duration::from_secs(at), part, 0), Verdict::Poison(_)));
        }
        assert_eq!(verdicts, [true, true, false, true], "a third within ten seconds is too many");
    }
}
