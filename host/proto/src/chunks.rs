//! Numbered events in a row: what the buffer, the redelivery queue and the ledger are made of.

use std::{collections::VecDeque, ops::Range};

use crate::{
    batch::Batch,
    ids::Seq,
    message::{Events, SeqRun, push_run},
};

/// Events with consecutive numbers that were delivered equally often.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Chunk {
    first: Seq,
    /// Deliveries so far; 0 for events that were never sent.
    attempts: u32,
    events: Batch,
}

impl Chunk {
    fn run(&self) -> SeqRun {
        let count = u32::try_from(self.events.len()).expect("a batch has fewer events than 2^32");
        SeqRun { first: self.first, count }
    }

    fn slice(&self, range: Range<usize>) -> Self {
        let first = Seq(self.first.0 + range.start as u64);
        Self { first, attempts: self.attempts, events: self.events.slice(range) }
    }
}

/// A queue of numbered events that splits and joins without copying payloads.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Chunks {
    chunks: VecDeque<Chunk>,
    len: usize,
}

impl Chunks {
    pub(crate) fn new(first: Seq, events: Batch) -> Self {
        let mut new = Self::default();
        new.push(Chunk { first, attempts: 0, events });
        new
    }

    /// How many events.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn push(&mut self, chunk: Chunk) {
        if !chunk.events.is_empty() {
            self.len += chunk.events.len();
            self.chunks.push_back(chunk);
        }
    }

    /// Adds `later` behind.
    pub(crate) fn append(&mut self, later: Self) {
        if self.is_empty() {
            *self = later;
            return;
        }
        self.len += later.len;
        self.chunks.extend(later.chunks);
    }

    /// Adds events at the places their numbers give them, so that the oldest goes out first.
    pub(crate) fn merge(&mut self, other: Self) {
        self.append(other);
        self.chunks.make_contiguous().sort_by_key(|chunk| chunk.first);
    }

    /// Takes the first `count` events off, or all there are.
    pub(crate) fn take_front(&mut self, count: usize) -> Self {
        if count >= self.len {
            return std::mem::take(self);
        }
        let mut front = Self::default();
        while front.len < count {
            let Some(mut chunk) = self.chunks.pop_front() else { break };
            let missing = count - front.len;
            self.len -= chunk.events.len();
            if chunk.events.len() > missing {
                let rest = chunk.slice(missing..chunk.events.len());
                self.len += rest.events.len();
                self.chunks.push_front(rest);
                chunk = chunk.slice(0..missing);
            }
            front.push(chunk);
        }
        front
    }

    /// Takes the last `count` events off, or all there are.
    pub(crate) fn take_back(&mut self, count: usize) -> Self {
        let kept = self.take_front(self.len.saturating_sub(count));
        std::mem::replace(self, kept)
    }

    /// Takes events off that have numbers below `until`, `count` at most. For a row in the order of its numbers.
    pub(crate) fn take_until(&mut self, until: Seq, count: usize) -> Self {
        let below = |chunk: &Chunk| until.0.saturating_sub(chunk.first.0).min(chunk.events.len() as u64);
        let below: u64 = self.chunks.iter().map(below).take_while(|below| *below > 0).sum();
        self.take_front(usize::try_from(below).unwrap_or(usize::MAX).min(count))
    }

    /// The number of the first in the row; the lowest, where the row was only ever merged or appended to in order.
    pub(crate) fn front(&self) -> Option<Seq> {
        self.chunks.front().map(|chunk| chunk.first)
    }

    /// The number after that of the last in the row.
    pub(crate) fn end(&self) -> Option<Seq> {
        self.chunks.back().map(|chunk| chunk.run().end())
    }

    /// How many events the first, and how many the last piece of the row has.
    pub(crate) fn outer_lens(&self) -> Option<(usize, usize)> {
        Some((self.chunks.front()?.events.len(), self.chunks.back()?.events.len()))
    }

    /// Cuts the row into stretches by what `of` says of each piece: keys with ranges that cover it, in order. What is
    /// consecutive and has equal keys stays together.
    pub(crate) fn cut<K: PartialEq>(self, mut of: impl FnMut(&Batch) -> Vec<(K, Range<usize>)>) -> Vec<(K, Self)> {
        let mut stretches: Vec<(K, Self)> = Vec::new();
        for chunk in self.chunks {
            for (key, range) in of(&chunk.events) {
                let part = chunk.slice(range);
                match stretches.last_mut() {
                    Some((last, stretch)) if *last == key => stretch.push(part),
                    _ => {
                        let mut stretch = Self::default();
                        stretch.push(part);
                        stretches.push((key, stretch));
                    }
                }
            }
        }
        stretches
    }

    /// Takes events off as long as they were delivered equally often, `count` at most.
    pub(crate) fn take_front_alike(&mut self, count: usize) -> Self {
        let Some(attempts) = self.chunks.front().map(|chunk| chunk.attempts) else { return Self::default() };
        let alike = self.chunks.iter().take_while(|chunk| chunk.attempts == attempts);
        let alike = alike.map(|chunk| chunk.events.len()).sum::<usize>();
        self.take_front(count.min(alike))
    }

    /// A copy of the events of `range`, counted from the front.
    pub(crate) fn slice(&self, range: Range<usize>) -> Self {
        let mut part = Self::default();
        let mut start = 0;
        for chunk in &self.chunks {
            let len = chunk.events.len();
            let (from, to) = (range.start.max(start), range.end.min(start + len));
            if from < to {
                part.push(chunk.slice(from - start..to - start));
            }
            start += len;
        }
        part
    }

    /// Removes the events of `run`; says how many of them were there.
    pub(crate) fn remove(&mut self, run: SeqRun) -> u64 {
        self.extract(run).len() as u64
    }

    /// The lowest number. Takes time with the number of chunks: redeliveries stand out of order.
    pub(crate) fn first(&self) -> Option<Seq> {
        self.chunks.iter().map(|chunk| chunk.first).min()
    }

    /// Takes out the events of `run` that are there.
    pub(crate) fn extract(&mut self, run: SeqRun) -> Self {
        let mut extracted = Self::default();
        // What was sent first is acknowledged first, as a rule, and as it was sent: no number is there twice.
        if let Some(whole) = self.chunks.pop_front_if(|front| front.run() == run) {
            self.len -= whole.events.len();
            extracted.push(whole);
            return extracted;
        }
        let mut kept = VecDeque::with_capacity(self.chunks.len());
        for chunk in self.chunks.drain(..) {
            let own = chunk.run();
            let from = run.first.clamp(own.first, own.end());
            let to = run.end().clamp(own.first, own.end());
            if from >= to {
                kept.push_back(chunk);
                continue;
            }
            let index = |seq: Seq| usize::try_from(seq.0 - own.first.0).expect("an index into a batch");
            self.len -= index(to) - index(from);
            extracted.push(chunk.slice(index(from)..index(to)));
            let (head, tail) = (chunk.slice(0..index(from)), chunk.slice(index(to)..chunk.events.len()));
            kept.extend([head, tail].into_iter().filter(|part| !part.events.is_empty()));
        }
        self.chunks = kept;
        extracted
    }

    /// Counts one more delivery of every event.
    pub(crate) fn count_attempt(&mut self) {
        for chunk in &mut self.chunks {
            chunk.attempts += 1;
        }
    }

    /// These events as messages of at most `bytes_max` bytes. All must be delivered equally often.
    pub(crate) fn to_messages(&self, bytes_max: usize) -> Vec<Events> {
        let attempt = self.chunks.front().map_or(1, |chunk| chunk.attempts.max(1));
        if let (1, Some(only)) = (self.chunks.len(), self.chunks.front()) {
            return vec![Events { attempt, runs: vec![only.run()], events: only.events.clone() }];
        }
        let batches = self.batches();
        let mut start = 0;
        let mut messages = Vec::new();
        for events in Batch::pack(batches, bytes_max) {
            let end = start + events.len();
            messages.push(Events { attempt, runs: self.slice(start..end).runs(), events });
            start = end;
        }
        messages
    }

    /// The events without their numbers.
    pub(crate) fn batches(&self) -> Vec<Batch> {
        self.chunks.iter().map(|chunk| chunk.events.clone()).collect()
    }

    /// All numbers.
    pub(crate) fn runs(&self) -> Vec<SeqRun> {
        let mut runs = Vec::new();
        self.chunks.iter().map(Chunk::run).for_each(|run| push_run(&mut runs, run));
        runs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunks(first: u64, count: u64) -> Chunks {
        Chunks::new(Seq(first), Batch::from_payloads((first..first + count).map(|n| n.to_string())))
    }

    fn run(first: u64, count: u32) -> SeqRun {
        SeqRun { first: Seq(first), count }
    }

    #[test]
    fn taking_from_the_front_splits_within_a_chunk() {
        let mut all = chunks(0, 3);
        all.append(chunks(3, 3));
        let front = all.take_front(4);
        assert_eq!((front.runs(), all.runs()), (vec![run(0, 4)], vec![run(4, 2)]));
        assert_eq!((front.len(), all.len()), (4, 2));
        assert_eq!(all.take_front(9).len(), 2);
        assert!(all.is_empty());
    }

    #[test]
    fn removing_leaves_a_hole_and_counts_what_was_there() {
        let mut all = chunks(0, 10);
        assert_eq!(all.remove(run(3, 4)), 4);
        assert_eq!(all.runs(), [run(0, 3), run(7, 3)]);
        assert_eq!(all.remove(run(5, 4)), 2);
        assert_eq!((all.runs(), all.len()), (vec![run(0, 3), run(9, 1)], 4));
        assert_eq!(all.remove(run(100, 1)), 0);
    }

    #[test]
    fn merged_events_are_in_order_of_their_numbers() {
        let mut all = chunks(5, 2);
        all.merge(chunks(0, 2));
        assert_eq!(all.runs(), [run(0, 2), run(5, 2)]);
    }

    #[test]
    fn messages_hold_events_delivered_equally_often() {
        let mut again = chunks(0, 2);
        again.count_attempt();
        again.append(chunks(2, 2));
        assert_eq!(again.take_front_alike(9).len(), 2);
        assert_eq!(again.len(), 2);
    }

    #[test]
    fn a_message_keeps_numbers_beside_events_when_split_by_size() {
        let mut all = chunks(0, 2);
        all.append(chunks(7, 2));
        let messages = all.to_messages(1);
        let found: Vec<_> = messages.iter().map(|m| (m.runs.clone(), m.events.len())).collect();
        assert_eq!(found, [(vec![run(0, 2)], 2), (vec![run(7, 2)], 2)]);
    }
}
