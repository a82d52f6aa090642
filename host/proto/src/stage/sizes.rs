//! How large a producer's events are, and so how many of them one call is asked for.

use crate::batch::Batch;

/// Part of the largest message that one call's events are to fill: events may be four times as large as those before.
const PARTS: usize = 4;

/// Under demand by itself a batch is as large as consumers have room for, and so its bytes are whatever events take. What
/// is far beyond a message is refused by the host, does not fit the caches, and holds up others meanwhile.
#[derive(Debug, Default)]
pub(super) struct Sizes {
    /// Of an event, about; none before the first. Unit: bytes.
    event: usize,
}

impl Sizes {
    /// These were made. Larger ones count at once, smaller ones by and by.
    pub(super) fn count(&mut self, events: &Batch) {
        if !events.is_empty() {
            self.event = events.bytes().div_ceil(events.len()).max(self.event - self.event / 8);
        }
    }

    /// How many events a call may be asked for, where a message has `message_bytes_max` at most.
    pub(super) fn call_events(&self, message_bytes_max: usize) -> u32 {
        let fit = (message_bytes_max / PARTS).checked_div(self.event);
        fit.map_or(u32::MAX, |fit| u32::try_from(fit.max(1)).unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(bytes: usize) -> Batch {
        Batch::from_payloads([vec![0; bytes], vec![0; bytes]])
    }

    #[test]
    fn large_events_count_at_once_and_small_ones_by_and_by() {
        let mut sizes = Sizes::default();
        assert_eq!(sizes.call_events(4_000), u32::MAX);
        sizes.count(&batch(90));
        assert_eq!(sizes.call_events(4_000), 10, "with ten bytes for the columns");
        sizes.count(&Batch::default());
        sizes.count(&batch(490));
        assert_eq!(sizes.call_events(4_000), 2);
        assert_eq!(sizes.call_events(100), 1, "never none");
        sizes.count(&batch(0));
        assert_eq!(sizes.call_events(4_000), 2);
        for _ in 0..50 {
            sizes.count(&batch(0));
        }
        assert!(sizes.call_events(4_000) > 50);
    }
}
