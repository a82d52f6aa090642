//! Taking as many events off an inbox's entries as somebody wants at once.

use std::sync::{Mutex, PoisonError};

use forebay_proto::{
    batch::Batch,
    inbox::{Entry, InboxQueue},
};

use super::InboxEvents;

/// How much is wanted at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wish {
    pub(super) from: u64,
    pub(super) events_max: usize,
    pub(super) bytes_max: usize,
}

impl Wish {
    /// The entries that can fulfil it, at least one if there is any. Cheap: nothing is decoded or copied.
    pub(super) fn entries(self, queue: &InboxQueue) -> Vec<Entry> {
        let (mut events, mut bytes, mut taken) = (0, 0, Vec::new());
        let from = self.from.max(queue.position());
        for entry in queue.entries_from(from) {
            if !taken.is_empty() && (events >= self.events_max as u64 || bytes >= self.bytes_max) {
                break;
            }
            events += entry.end() - from.max(entry.first);
            // How much of the first is left is known once it is read.
            bytes += if entry.first < from { 0 } else { entry.events.len() };
            taken.push(entry.clone());
        }
        taken
    }
}

/// The entry that was read last: who takes a long one in small pieces does not have it decoded for each.
#[derive(Debug, Default)]
pub(super) struct LastRead(Mutex<Option<(u64, Batch)>>);

impl LastRead {
    /// What is wanted of these entries; `None` if there are none. `position`: what is before it is processed.
    pub(super) fn cut(&self, wish: Wish, position: u64, entries: &[Entry]) -> Option<InboxEvents> {
        let from = wish.from.max(position);
        let first = from.max(entries.first()?.first);
        let (mut parts, mut events_left, mut bytes_left) = (Vec::new(), wish.events_max.max(1), wish.bytes_max);
        for entry in entries {
            let batch = self.read(entry);
            let skipped = usize::try_from(first.saturating_sub(entry.first)).unwrap_or(usize::MAX).min(batch.len());
            let rest = batch.slice(skipped..batch.len());
            let fits = fitting(&rest, events_left, bytes_left);
            let count = if parts.is_empty() { fits.max(1) } else { fits };
            let part = rest.slice(0..count.min(rest.len()));
            events_left -= part.len();
            bytes_left = bytes_left.saturating_sub(part.bytes());
            let is_whole = part.len() == rest.len();
            parts.extend((!part.is_empty()).then_some(part));
            if !is_whole || events_left == 0 {
                break;
            }
        }
        // One, unless there are too many topics for it.
        let events = Batch::pack(parts, usize::MAX).into_iter().next()?;
        Some(InboxEvents { first, events })
    }

    fn read(&self, entry: &Entry) -> Batch {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &*last {
            Some((first, batch)) if *first == entry.first => batch.clone(),
            _ => {
                let batch = entry.read().expect("read once when it was put in, or found on disk");
                last.insert((entry.first, batch)).1.clone()
            }
        }
    }
}

/// How many events from the front keep both bounds.
fn fitting(batch: &Batch, events_max: usize, bytes_max: usize) -> usize {
    let most = batch.len().min(events_max);
    if batch.slice(0..most).bytes() <= bytes_max {
        return most;
    }
    let (mut fits, mut too_many) = (0, most);
    while too_many - fits > 1 {
        let middle = fits.midpoint(too_many);
        match batch.slice(0..middle).bytes() <= bytes_max {
            true => fits = middle,
            false => too_many = middle,
        }
    }
    fits
}

#[cfg(test)]
mod tests {
    use forebay_proto::inbox::Parcel;

    use super::*;

    fn queue(batches: &[&[&str]]) -> InboxQueue {
        let mut queue = InboxQueue::default();
        for (request, events) in (0..).zip(batches) {
            queue.ingest(1, request, &Parcel::pack(&Batch::from_payloads(*events)).unwrap()).unwrap();
        }
        queue
    }

    fn cut(queue: &InboxQueue, from: u64, events_max: usize, bytes_max: usize) -> Option<(u64, Vec<String>)> {
        let wish = Wish { from, events_max, bytes_max };
        let cut = LastRead::default().cut(wish, queue.position(), &wish.entries(queue))?;
        let texts = cut.events.iter().map(|event| String::from_utf8_lossy(event.payload).into_owned());
        Some((cut.first, texts.collect()))
    }

    #[test]
    fn entries_are_joined_and_cut() {
        let mut queue = queue(&[&["a", "b", "c"], &["d"], &["e", "f"]]);
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        assert_eq!(cut(&queue, 0, 100, 1 << 20), Some((0, texts(&["a", "b", "c", "d", "e", "f"]))));
        assert_eq!(cut(&queue, 1, 4, 1 << 20), Some((1, texts(&["b", "c", "d", "e"]))));
        assert_eq!(cut(&queue, 3, 1, 1 << 20), Some((3, texts(&["d"]))));
        assert_eq!(cut(&queue, 5, 9, 1 << 20), Some((5, texts(&["f"]))));
        assert_eq!(cut(&queue, 6, 9, 1 << 20), None);
        queue.processed(2).unwrap();
        assert_eq!(cut(&queue, 0, 2, 1 << 20), Some((2, texts(&["c", "d"]))), "what is processed is not given again");
    }

    #[test]
    fn bytes_are_bounded_and_one_event_is_always_given() {
        let long = "x".repeat(100);
        let queue = queue(&[&[&long, "b", &long], &[&long]]);
        let count = |from, bytes_max| cut(&queue, from, 100, bytes_max).unwrap().1.len();
        assert_eq!(count(0, 0), 1);
        // 10 bytes are counted for each event besides its payload.
        assert_eq!([count(0, 120), count(0, 121), count(0, 230), count(0, 231)], [1, 2, 2, 3]);
        assert_eq!([count(2, 110), count(2, 219), count(2, 220)], [1, 1, 2]);
    }

    #[test]
    fn keys_topics_and_headers_stay_with_their_events() {
        let columns = |payload: &str, topic: &[&str], key: &str| forebay_proto::batch::Columns {
            payloads: payload.into(),
            ends: vec![1],
            topics: topic.iter().map(|&topic| topic.to_owned()).collect(),
            topic_of: vec![0; topic.len()],
            keys: key.into(),
            key_ends: vec![1],
            headers: vec![(0, "n".to_owned(), payload.to_owned())],
        };
        let mut queue = InboxQueue::default();
        for (request, columns) in (0..).zip([columns("a", &["t"], "k"), columns("b", &[], "l")]) {
            let batch = Batch::new(columns, &forebay_proto::batch::BatchLimits::default()).unwrap();
            queue.ingest(1, request, &Parcel::pack(&batch).unwrap()).unwrap();
        }
        let wish = Wish { from: 0, events_max: 9, bytes_max: 1 << 20 };
        let cut = LastRead::default().cut(wish, 0, &wish.entries(&queue)).unwrap();
        assert_eq!((cut.events.event(0).topic, cut.events.event(0).key), (Some("t"), &b"k"[..]));
        assert_eq!((cut.events.event(1).topic, cut.events.event(1).key), (Some(""), &b"l"[..]));
        assert_eq!(cut.events.headers().collect::<Vec<_>>(), [(0, "n", "a"), (1, "n", "b")]);
        assert_eq!(cut.end(), 2);
    }
}
