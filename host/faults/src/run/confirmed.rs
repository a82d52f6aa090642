//! Whether all that was confirmed to clients came to the sinks, and why some of it came again.
//!
//! A number is in one request, so it stands at one position of the inbox. The stage that has the inbox emits its events
//! in order from where it begins in an epoch on: there the distance of an event's position from its number in the
//! epoch stays the same, or grows where a former owner had some recorded as processed. Of whatever the inbox has taken
//! twice one copy is not where the client was told that it is, and breaks that, in whichever epoch.

use std::{collections::BTreeMap, fmt};

use forebay_check::Ranges;
use forebay_trace::{Epoch, Event, Run};
use serde_json::{Value, json};

use crate::{
    clients::{Place, Pushed},
    cluster::{SINK, inlet, is_stage},
};

/// What came of what the clients of one cluster pushed, or of several.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Arrived {
    /// In requests that may have been taken.
    pub(crate) sent: u64,
    pub(crate) confirmed: u64,
    /// Of those, taken by no sink.
    pub(crate) missing: u64,
    /// Taken by sinks, each once.
    pub(crate) taken: u64,
    /// Taken by sinks once more in another epoch of their source: made again from what was on record.
    pub(crate) made_again: u64,
    /// Once more in the same epoch: delivered again after a subscription was lost.
    pub(crate) delivered_again: u64,
    /// At least so many are in the inbox at another position than the client was told, or twice in one epoch.
    pub(crate) taken_twice: u64,
    /// Requests that were sent again since no answer came.
    pub(crate) asked_again: u64,
    /// Requests that found no room.
    pub(crate) full: u64,
}

impl Arrived {
    /// How often an event came to a sink that one had taken already.
    pub(crate) fn repeated(&self) -> u64 {
        self.made_again + self.delivered_again
    }

    /// For programs.
    pub(crate) fn json(&self) -> Value {
        json!({
            "sent": self.sent,
            "confirmed": self.confirmed,
            "missing": self.missing,
            "taken": self.taken,
            "repeated": self.repeated(),
            "made_again": self.made_again,
            "delivered_again": self.delivered_again,
            "taken_twice": self.taken_twice,
            "asked_again": self.asked_again,
            "full": self.full,
        })
    }
}

impl fmt::Display for Arrived {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sent, confirmed, missing, taken, made_again, delivered_again, taken_twice, asked_again, full } =
            self;
        let repeated = self.repeated();
        writeln!(f, "{confirmed} of {sent} numbers that clients pushed were confirmed, {missing} of them are missing")?;
        writeln!(
            f,
            "{taken} numbers came to the sinks, {repeated} of their events again: {made_again} from another owner, \
             {delivered_again} after a lost subscription"
        )?;
        write!(f, "{asked_again} requests sent again, {taken_twice} events taken twice; {full} found no room")
    }
}

impl std::ops::AddAssign for Arrived {
    fn add_assign(&mut self, other: Self) {
        self.sent += other.sent;
        self.confirmed += other.confirmed;
        self.missing += other.missing;
        self.taken += other.taken;
        self.made_again += other.made_again;
        self.delivered_again += other.delivered_again;
        self.taken_twice += other.taken_twice;
        self.asked_again += other.asked_again;
        self.full += other.full;
    }
}

/// Fed with all records of one cluster, in causal order.
#[derive(Debug)]
pub(crate) struct Arrivals {
    pushed: Pushed,
    /// How often each number comes to the sinks when nothing is lost or repeated.
    copies: u64,
    /// The stage that has the inbox.
    inlet: &'static str,
    /// By the first of its numbers.
    places: BTreeMap<u64, Place>,
    epochs: BTreeMap<Epoch, Emitted>,
    /// What sinks have taken, by the epoch of their source.
    sinks: BTreeMap<Epoch, Ranges>,
    handled: u64,
    taken_twice: u64,
}

/// What the stage with the inbox has emitted in one epoch.
#[derive(Debug, Default)]
struct Emitted {
    numbers: Ranges,
    /// Numbers before that no event has.
    skipped: u64,
    /// From the number of the last event in the epoch, those apart, to its position.
    distance: i128,
}

impl Arrivals {
    /// `chain`: of a cluster in which a stage stands between the inbox and the sinks, which doubles each event.
    pub(crate) fn new(pushed: Pushed, chain: bool) -> Self {
        let places = pushed.confirmed.iter().map(|place| (place.numbers.first, *place)).collect();
        Self {
            pushed,
            copies: if chain { 2 } else { 1 },
            inlet: inlet(chain),
            places,
            epochs: BTreeMap::new(),
            sinks: BTreeMap::new(),
            handled: 0,
            taken_twice: 0,
        }
    }

    pub(crate) fn see(&mut self, event: &Event) {
        match event {
            Event::Emit { stage, epoch, first, serials, .. } if is_stage(stage, self.inlet) => {
                let mut seq = *first;
                for run in serials {
                    self.emitted(*epoch, seq, *run);
                    seq += run.count;
                }
            }
            Event::Skipped { stage, epoch, count, .. } if is_stage(stage, self.inlet) => {
                self.epochs.entry(*epoch).or_default().skipped += count;
            }
            Event::Handled { stage, epoch, serials, .. } if is_stage(stage, SINK) => {
                for run in serials {
                    self.handled += run.count;
                    self.sinks.entry(*epoch).or_default().insert(*run);
                }
            }
            _ => {}
        }
    }

    /// The events from `seq` on have these numbers.
    fn emitted(&mut self, epoch: Epoch, seq: u64, run: Run) {
        let emitted = self.epochs.entry(epoch).or_default();
        let known = run.count - emitted.numbers.missing_count(run);
        let mut displaced = 0;
        emitted.numbers.insert(run);
        let start = self.places.range(..=run.first).next_back().map_or(run.first, |(first, _)| *first);
        for Place { numbers, position } in self.places.range(start..run.end()).map(|(_, place)| place) {
            let (from, to) = (numbers.first.max(run.first), numbers.end().min(run.end()));
            if from < to {
                let (position, seq) = (position + (from - numbers.first), seq + (from - run.first));
                let distance = i128::from(position) + i128::from(emitted.skipped) - i128::from(seq);
                displaced += if distance < emitted.distance { to - from } else { 0 };
                // Also when it was less: what follows is well again, and is not to be counted too.
                emitted.distance = distance;
            }
        }
        self.taken_twice += known.max(displaced);
    }

    /// What came of it all.
    pub(crate) fn arrived(&self) -> Arrived {
        let all = self.all_taken();
        let count = |ranges: &Ranges| -> u64 { ranges.runs().map(|run| run.count).sum() };
        let (taken, of_epochs) = (count(&all), self.sinks.values().map(count).sum::<u64>());
        let repeated = self.handled.saturating_sub(self.copies * taken);
        let made_again = (self.copies * (of_epochs - taken)).min(repeated);
        Arrived {
            sent: self.pushed.sent,
            confirmed: self.pushed.confirmed_count(),
            missing: self.pushed.confirmed.iter().map(|place| all.missing_count(place.numbers)).sum(),
            taken,
            made_again,
            delivered_again: repeated - made_again,
            taken_twice: self.taken_twice,
            asked_again: self.pushed.again,
            full: self.pushed.full,
        }
    }

    /// What nodes must never have done, in words.
    pub(crate) fn broken(&self) -> Vec<String> {
        let Arrived { confirmed, missing, taken_twice, .. } = self.arrived();
        let mut broken = Vec::new();
        if missing > 0 {
            let first = self.first_missing().map_or_else(String::new, |number| format!(", the first is {number}"));
            broken.push(format!("{missing} of {confirmed} confirmed events came to no sink{first}"));
        }
        if taken_twice > 0 {
            broken.push(format!("{taken_twice} events were emitted that the inbox had taken already"));
        }
        if self.pushed.unknown > 0 {
            broken.push(format!("{} requests had no answer when all was well again", self.pushed.unknown));
        }
        broken.extend(self.pushed.refused.iter().map(|why| format!("a client was refused: {why}")));
        broken
    }

    /// What sinks have taken, in whichever epoch.
    fn all_taken(&self) -> Ranges {
        let mut all = Ranges::default();
        for run in self.sinks.values().flat_map(Ranges::runs) {
            all.insert(run);
        }
        all
    }

    fn first_missing(&self) -> Option<u64> {
        let all = self.all_taken();
        self.pushed.confirmed.iter().find_map(|place| all.missing(place.numbers))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::SOURCE;

    fn run(first: u64, count: u64) -> Run {
        Run { first, count }
    }

    /// Of numbers 0 to 9 at positions 100 to 109, and 10 to 14 at 200 to 204.
    fn arrivals() -> Arrivals {
        let confirmed = [(0, 10, 100), (10, 5, 200)]
            .map(|(first, count, position)| Place { numbers: run(first, count), position })
            .to_vec();
        Arrivals::new(Pushed { confirmed, sent: 15, ..Pushed::default() }, false)
    }

    fn emitted(epoch: u64, first: u64, serials: Run) -> Event {
        let stage = format!("faults/{SOURCE}").as_str().into();
        Event::Emit { stage, epoch: Epoch(epoch), first, count: serials.count, asked: None, serials: vec![serials] }
    }

    fn taken(epoch: u64, serials: Run) -> Event {
        let (stage, source) = (format!("faults/{SINK}").as_str().into(), format!("faults/{SOURCE}").as_str().into());
        let (runs, serials) = (vec![run(0, serials.count)], vec![serials]);
        Event::Handled { stage, own: Epoch(1), source, epoch: Epoch(epoch), sub: 1, attempt: 1, runs, serials }
    }

    fn see(events: &[Event]) -> Arrivals {
        let mut arrivals = arrivals();
        events.iter().for_each(|event| arrivals.see(event));
        arrivals
    }

    #[test]
    fn what_was_confirmed_and_not_taken_is_missing() {
        let arrivals = see(&[taken(1, run(0, 8)), taken(1, run(10, 4))]);
        assert_eq!((arrivals.arrived().missing, arrivals.arrived().taken), (3, 12));
        assert_eq!(arrivals.broken(), ["3 of 15 confirmed events came to no sink, the first is 8"]);
    }

    #[test]
    fn repeats_are_of_a_successor_or_of_a_lost_subscription() {
        let arrivals = see(&[taken(1, run(0, 10)), taken(1, run(8, 2)), taken(2, run(5, 10))]);
        let Arrived { made_again, delivered_again, missing, .. } = arrivals.arrived();
        assert_eq!((made_again, delivered_again, missing), (5, 2, 0));
        assert_eq!((arrivals.arrived().repeated(), arrivals.broken().len()), (7, 0));
    }

    #[test]
    fn an_event_stands_at_one_position_in_all_epochs() {
        let whole = [emitted(1, 0, run(0, 10)), emitted(2, 0, run(4, 6)), taken(1, run(0, 15))];
        assert_eq!(see(&whole).arrived().taken_twice, 0);
        let skipped = [emitted(1, 0, run(0, 2)), emitted(1, 2, run(6, 4)), taken(1, run(0, 15))];
        assert_eq!(see(&skipped).arrived().taken_twice, 0, "a former owner had the others recorded as processed");
        let stage = format!("faults/{SOURCE}").as_str().into();
        let skip = Event::Skipped { stage, epoch: Epoch(1), first: 2, count: 3 };
        let numbered = [emitted(1, 0, run(0, 2)), skip, emitted(1, 5, run(2, 8)), taken(1, run(0, 15))];
        assert_eq!(see(&numbered).arrived().taken_twice, 0, "a checkpoint took three numbers");
        let copied = [emitted(1, 0, run(0, 10)), emitted(1, 10, run(3, 2)), taken(1, run(0, 15))];
        assert_eq!(see(&copied).arrived().taken_twice, 2);
        // The copy is emitted by a successor, which never emitted the first.
        let later =
            [emitted(1, 0, run(0, 10)), emitted(2, 0, run(8, 2)), emitted(2, 2, run(3, 2)), taken(1, run(0, 15))];
        assert_eq!(see(&later).broken(), ["2 events were emitted that the inbox had taken already"]);
    }

    #[test]
    fn what_was_refused_or_never_answered_is_told() {
        let pushed = Pushed { refused: vec!["no such stage".to_owned()], unknown: 1, ..Pushed::default() };
        let broken = Arrivals::new(pushed, true).broken();
        assert_eq!(broken, ["1 requests had no answer when all was well again", "a client was refused: no such stage"]);
    }
}
