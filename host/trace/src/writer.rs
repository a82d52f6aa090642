//! Numbers and dates what happened, and gives it to a sink.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use crate::{
    event::{Event, Record},
    values::{Boot, Text},
};

/// Where records go.
///
/// Called one record at a time per [`Writer`], in the order of `n`. It must not block for long: tasks
/// that serve events call it.
pub trait Sink: fmt::Debug + Send + Sync {
    /// Takes one.
    fn record(&self, record: Record);
}

impl<S: Sink + ?Sized> Sink for Arc<S> {
    fn record(&self, record: Record) {
        (**self).record(record);
    }
}

/// What `t_mono` counts.
#[derive(Clone, Copy)]
pub enum Clock {
    /// `CLOCK_MONOTONIC`, the same for all processes of a machine.
    Monotonic,
    /// Time since this moment, as this function tells the present: tokio's clock, which tests stop.
    Since(Instant, fn() -> Instant),
}

impl Clock {
    fn nanos(self) -> u64 {
        let (seconds, nanos) = match self {
            Self::Monotonic => {
                let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
                (u64::try_from(now.tv_sec), u64::try_from(now.tv_nsec))
            }
            Self::Since(start, now) => {
                let since = now().saturating_duration_since(start);
                (Ok(since.as_secs()), Ok(since.subsec_nanos().into()))
            }
        };
        // This clock is never negative.
        seconds.unwrap_or_default().saturating_mul(1_000_000_000).saturating_add(nanos.unwrap_or_default())
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Monotonic => "Monotonic",
            Self::Since(..) => "Since",
        })
    }
}

/// One process's hand in a trace.
#[derive(Debug)]
pub struct Writer {
    node: Text,
    boot: Boot,
    clock: Clock,
    sink: Box<dyn Sink>,
    /// The `n` of the next record. Held while a record is dated and handed over, so that a trace's
    /// order is that of its times.
    next: Mutex<u64>,
}

impl Writer {
    /// For one start of one node; an injector takes the name `fault`.
    pub fn new(node: &str, boot: u64, clock: Clock, sink: impl Sink + 'static) -> Self {
        Self { node: node.into(), boot: Boot(boot), clock, sink: Box::new(sink), next: Mutex::new(0) }
    }

    /// Says that this happened, now.
    pub fn write(&self, event: Event) {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let t_wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let record = Record {
            t_mono: self.clock.nanos(),
            t_wall: u64::try_from(t_wall).unwrap_or(u64::MAX),
            node: self.node.clone(),
            boot: self.boot,
            n: *next,
            event,
        };
        *next += 1;
        self.sink.record(record);
    }
}

/// Keeps records in memory, those of all its clones in one list, in the order they came.
#[derive(Clone, Debug, Default)]
pub struct Collector(Arc<Mutex<Vec<Record>>>);

impl Collector {
    /// Takes out what has been collected.
    pub fn take(&self) -> Vec<Record> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Sink for Collector {
    fn record(&self, record: Record) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(record);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_counted_per_process_and_their_times_never_fall() {
        let collector = Collector::default();
        let writers = ["a", "b"].map(|node| Writer::new(node, 1, Clock::Monotonic, collector.clone()));
        for writer in writers.iter().cycle().take(6) {
            writer.write(Event::LeaseLost {});
        }
        let records = collector.take();
        let counted: Vec<_> = records.iter().map(|record| (&*record.node, record.n)).collect();
        assert_eq!(counted, [("a", 0), ("b", 0), ("a", 1), ("b", 1), ("a", 2), ("b", 2)]);
        assert!(records.is_sorted_by_key(|record| record.t_mono), "{records:?}");
        assert!(collector.take().is_empty());
    }
}
