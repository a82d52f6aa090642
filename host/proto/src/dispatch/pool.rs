//! Subscriptions that share events by demand, and the events that wait for them.
//!
//! All of the demand dispatcher's, and each group of the broadcast dispatcher's, are a pool. Where nobody
//! selects by topic all events wait in one class. Otherwise events wait by *who selects them*, so that those whose
//! consumers have no demand hold up nobody else, and an ask looks at a few classes instead of at all events:
//!
//! ```text
//! subscriptions   s1 a.*     s2 a.b     s3 everything
//! classes         {s1,s2,s3}: a.b       {s1,s3}: a.c       {s3}: b
//! ```

use std::{
    collections::{BTreeMap, HashMap},
    ops::Range,
    sync::Arc,
    time::Duration,
};

use super::demands::Demands;
use crate::{
    batch::Batch,
    chunks::Chunks,
    ids::{Seq, SubId},
    message::SeqRun,
    producer::Keep,
    select::{Pattern, selects},
};

/// Who selects events, in rising order; `None`: everybody does.
type Who = Option<Arc<[SubId]>>;

/// So many topics are remembered with who selects them.
const KNOWN_MAX: usize = 10_000;

#[derive(Debug, Default)]
struct Class {
    /// To be delivered once more.
    again: Chunks,
    /// Never delivered.
    queue: Chunks,
}

impl Class {
    fn front(&self) -> Option<Seq> {
        self.again.front().or(self.queue.front())
    }
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Pool {
    demands: Demands,
    members: BTreeMap<SubId, Vec<Pattern>>,
    /// What members want that were lost, and until when they may come back.
    away: Vec<(Duration, Vec<Pattern>)>,
    /// How many of both select by topic. Counted as they come and go: every ask wants to know whether there are any.
    selecting: usize,
    /// What nobody wants waits as well: somebody may come.
    pub(super) keeps_all: bool,
    /// It does while there is no member at all.
    outlives_members: bool,
    classes: BTreeMap<Who, Class>,
    /// To be delivered once more, not before then.
    later: Vec<(Duration, Chunks)>,
    known: HashMap<String, Option<Who>>,
}

impl Pool {
    /// One in which events wait for the next member while there is none.
    pub(super) fn that_outlives_its_members() -> Self {
        Self { outlives_members: true, ..Self::default() }
    }

    /// A member comes; what it did not select before is looked at anew. Nobody is away any more if `returns`.
    ///
    /// Gives back what nobody wants any more.
    pub(super) fn join(&mut self, sub: SubId, topics: &[Pattern], returns: bool) -> Chunks {
        let was_plain = self.is_plain();
        self.demands.insert(0, sub);
        self.members.insert(sub, topics.to_vec());
        if returns {
            self.away.clear();
        }
        self.count_selecting();
        if was_plain && self.is_plain() { Chunks::default() } else { self.sort_anew() }
    }

    /// A member goes; until `away` it may come back. Gives back what nobody wants any more.
    pub(super) fn leave(&mut self, sub: SubId, away: Option<Duration>) -> Chunks {
        self.demands.remove(sub);
        let Some(topics) = self.members.remove(&sub) else { return Chunks::default() };
        let is_plain = self.is_plain();
        self.away.extend(away.map(|until| (until, topics)));
        self.count_selecting();
        if is_plain { Chunks::default() } else { self.sort_anew() }
    }

    /// The time is this. Gives back what nobody wants any more.
    pub(super) fn at(&mut self, now: Duration) -> Chunks {
        let before = self.away.len();
        self.away.retain(|(until, _)| *until > now);
        let mut unwanted = Chunks::default();
        if self.away.len() < before {
            self.count_selecting();
            unwanted = self.sort_anew();
        }
        if self.later.iter().any(|(due, _)| *due <= now) {
            let due: Vec<_> = self.later.extract_if(.., |(due, _)| *due <= now).collect();
            due.into_iter().for_each(|(_, events)| unwanted.merge(self.put_again(events)));
        }
        unwanted
    }

    pub(super) fn timeout(&self) -> Option<Duration> {
        let away = self.away.iter().map(|(until, _)| *until);
        self.later.iter().map(|(due, _)| *due).chain(away).min()
    }

    pub(super) fn ask(&mut self, sub: SubId, count: u32) {
        self.demands.add(sub, count);
    }

    pub(super) fn has(&self, sub: SubId) -> bool {
        self.members.contains_key(&sub)
    }

    pub(super) fn has_members(&self) -> bool {
        !self.members.is_empty()
    }

    /// Whether somebody was lost who may come back.
    pub(super) fn is_awaited(&self) -> bool {
        !self.away.is_empty()
    }

    /// Whether nobody selects by topic.
    pub(super) fn is_plain(&self) -> bool {
        self.selecting == 0
    }

    fn count_selecting(&mut self) {
        let all = self.members.values().chain(self.away.iter().map(|(_, topics)| topics));
        self.selecting = all.filter(|topics| !topics.is_empty()).count();
    }

    fn keeps_unwanted(&self) -> bool {
        self.keeps_all || self.outlives_members && self.members.is_empty()
    }

    /// All open demand.
    pub(super) fn demand(&self) -> u64 {
        self.demands.sum()
    }

    pub(super) fn shuffle(&mut self, seed: u64) {
        self.demands.shuffle(seed);
    }

    /// Whether somebody can be served now.
    pub(super) fn is_ready(&self) -> bool {
        self.candidate().is_some()
    }

    /// Takes over events that were never delivered. Gives back what nobody wants.
    pub(super) fn put(&mut self, events: Chunks) -> Chunks {
        self.sort_in(events, |class, part| class.queue.append(part))
    }

    /// Takes over events that are to be delivered once more. Gives back what nobody wants.
    pub(super) fn put_again(&mut self, events: Chunks) -> Chunks {
        self.sort_in(events, |class, part| class.again.merge(part))
    }

    /// These are to be delivered once more, not before then.
    pub(super) fn put_later(&mut self, due: Duration, events: Chunks) {
        self.later.push((due, events));
    }

    /// Whose turn it is, and the events for it: delivered equally often, and no more than it asked for. What was never
    /// delivered comes in the order of its numbers, from whatever classes.
    pub(super) fn next(&mut self) -> Option<(SubId, Chunks)> {
        let (sub, demand) = self.candidate()?;
        let mut events = Chunks::default();
        while events.len() < demand {
            let (who, again, until) = self.oldest_for(sub)?;
            if again && !events.is_empty() {
                break;
            }
            let class = self.classes.get_mut(&who)?;
            let missing = demand - events.len();
            events.append(match again {
                true => class.again.take_front_alike(missing),
                false => class.queue.take_until(until, missing),
            });
            if class.front().is_none() {
                self.classes.remove(&who);
            }
            if again || !self.has_more_for(sub) {
                break;
            }
        }
        self.demands.serve(sub, events.len());
        Some((sub, events))
    }

    /// Of the classes that wait for somebody with demand, whom the one with the oldest event waits for.
    fn candidate(&self) -> Option<(SubId, usize)> {
        let serve = |(who, class): (&Who, &Class)| Some((class.front()?, self.demands.first(|sub| is_in(who, sub))?));
        self.classes.iter().filter_map(serve).min_by_key(|(front, _)| *front).map(|(_, whom)| whom)
    }

    /// The class with the oldest event for a subscription, one to be delivered once more before all others; whether it
    /// is one; and where the next class begins.
    fn oldest_for(&self, sub: SubId) -> Option<(Who, bool, Seq)> {
        let own = self.classes.iter().filter(|(who, _)| is_in(who, sub));
        let mut rows: Vec<_> = own
            .flat_map(|(who, class)| [(who, true, class.again.front()), (who, false, class.queue.front())])
            .filter_map(|(who, again, front)| Some((!again, front?, who)))
            .collect();
        rows.sort_unstable();
        let (is_new, _, who) = *rows.first()?;
        let until = rows.get(1).map_or(Seq(u64::MAX), |(_, front, _)| *front);
        Some((who.clone(), !is_new, until))
    }

    fn has_more_for(&self, sub: SubId) -> bool {
        self.classes.iter().any(|(who, class)| is_in(who, sub) && class.front().is_some())
    }

    /// Takes off what was processed after all, of what was to be delivered once more.
    pub(super) fn extract_again(&mut self, run: SeqRun) -> Chunks {
        let waiting = self.later.iter_mut().map(|(_, events)| events);
        let waiting = waiting.chain(self.classes.values_mut().map(|class| &mut class.again));
        let mut found = Chunks::default();
        waiting.for_each(|events| found.append(events.extract(run)));
        self.later.retain(|(_, events)| !events.is_empty());
        self.classes.retain(|_, class| class.front().is_some());
        found
    }

    /// Waits and was never delivered.
    pub(super) fn queued(&self) -> usize {
        self.classes.values().map(|class| class.queue.len()).sum()
    }

    /// Waits.
    pub(super) fn waiting(&self) -> usize {
        let again = self.classes.values().map(|class| class.again.len()).sum::<usize>();
        self.queued() + again + self.later.iter().map(|(_, events)| events.len()).sum::<usize>()
    }

    /// The lowest number that waits.
    pub(super) fn first(&self) -> Option<Seq> {
        let classes = self.classes.values().flat_map(|class| [&class.again, &class.queue]);
        classes.chain(self.later.iter().map(|(_, events)| events)).filter_map(Chunks::first).min()
    }

    /// Takes off everything that waits, oldest first.
    pub(super) fn take_all(&mut self) -> Chunks {
        let mut all = Chunks::default();
        let classes = std::mem::take(&mut self.classes).into_values().flat_map(|class| [class.again, class.queue]);
        let later = std::mem::take(&mut self.later).into_iter().map(|(_, events)| events);
        classes.chain(later).for_each(|events| all.append(events));
        all.merge(Chunks::default());
        all
    }

    /// Takes off so many events at the end that does not survive; of those never delivered only, or of all but those
    /// that wait for a pause. Piece by piece where there are several classes.
    pub(super) fn trim(&mut self, mut excess: usize, keep: Keep, also_again: bool) -> Chunks {
        let mut discarded = Chunks::default();
        while excess > 0 {
            let waiting = self.classes.values_mut().flat_map(|class| {
                let again = also_again.then_some(&mut class.again);
                again.into_iter().chain([&mut class.queue])
            });
            let waiting = waiting.filter(|events| !events.is_empty());
            let part = match keep {
                Keep::Last => waiting.min_by_key(|events| events.front()).map(|events| {
                    let piece = events.outer_lens().map_or(0, |(first, _)| first);
                    events.take_front(excess.min(piece))
                }),
                Keep::First => waiting.max_by_key(|events| events.end()).map(|events| {
                    let piece = events.outer_lens().map_or(0, |(_, last)| last);
                    events.take_back(excess.min(piece))
                }),
            };
            let Some(part) = part.filter(|part| !part.is_empty()) else { break };
            excess -= part.len();
            discarded.append(part);
        }
        self.classes.retain(|_, class| class.front().is_some());
        discarded
    }

    fn sort_in(&mut self, events: Chunks, mut put: impl FnMut(&mut Class, Chunks)) -> Chunks {
        if events.is_empty() {
            return events;
        }
        if self.is_plain() && (self.has_members() || self.is_awaited() || self.keeps_unwanted()) {
            put(self.classes.entry(None).or_default(), events);
            return Chunks::default();
        }
        let mut unwanted = Chunks::default();
        for (who, part) in events.cut(|batch| self.route(batch)) {
            match who {
                Some(who) => put(self.classes.entry(who).or_default(), part),
                None => unwanted.append(part),
            }
        }
        unwanted
    }

    /// Who selects which events of a batch; `None`: nobody wants them.
    fn route(&mut self, batch: &Batch) -> Vec<(Option<Who>, Range<usize>)> {
        let mut of_topics: Vec<Option<Option<Who>>> = vec![None; batch.topics().len()];
        let of = |(topic, range): (Option<usize>, Range<usize>)| match topic {
            None => (self.who(None), range),
            Some(at) => (of_topics[at].get_or_insert_with(|| self.remembered(&batch.topics()[at])).clone(), range),
        };
        batch.topic_runs().into_iter().map(of).collect()
    }

    fn remembered(&mut self, topic: &str) -> Option<Who> {
        if let Some(who) = self.known.get(topic) {
            return who.clone();
        }
        if self.known.len() >= KNOWN_MAX {
            self.known.clear();
        }
        let who = self.who(Some(topic));
        self.known.insert(topic.to_owned(), who.clone());
        who
    }

    fn who(&self, topic: Option<&str>) -> Option<Who> {
        let of_members = self.members.iter().filter(|(_, topics)| selects(topics, topic));
        let who: Arc<[SubId]> = of_members.map(|(sub, _)| *sub).collect();
        let is_awaited = || self.keeps_unwanted() || self.away.iter().any(|(_, topics)| selects(topics, topic));
        (!who.is_empty() || is_awaited()).then_some(Some(who))
    }

    /// Somebody came or went: who selects what is another matter now. Gives back what nobody wants any more.
    pub(super) fn sort_anew(&mut self) -> Chunks {
        self.known.clear();
        let (mut again, mut queue) = (Chunks::default(), Chunks::default());
        for class in std::mem::take(&mut self.classes).into_values() {
            again.append(class.again);
            queue.append(class.queue);
        }
        queue.merge(Chunks::default());
        let mut unwanted = self.put_again(again);
        unwanted.append(self.put(queue));
        unwanted
    }
}

fn is_in(who: &Who, sub: SubId) -> bool {
    who.as_ref().is_none_or(|who| who.binary_search(&sub).is_ok())
}
