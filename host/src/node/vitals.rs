//! How an instance does: what it has processed and how long that took. Written by the task that makes its calls,
//! read by whoever judges it.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use forebay_proto::deploy::Meter;
use tokio::time::Instant;

/// See the module's documentation. Each figure may be read a moment before the others.
#[derive(Debug, Default)]
pub(crate) struct Vitals {
    /// When its `init` had returned.
    started: OnceLock<Instant>,
    events: AtomicU64,
    calls: AtomicU64,
    rejected: AtomicU64,
    busy_nanos: AtomicU64,
    buffered: AtomicU64,
    unacked: AtomicU64,
    queued: AtomicU64,
    instances: AtomicU64,
    /// It is new: a trap ends it, and nobody tries which event it was.
    on_trial: AtomicBool,
}

/// Events and messages that a stage has at a moment.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct InHand {
    /// Events that nobody has asked for yet, those to be delivered again included (GenStage's
    /// `estimate_buffered_count`).
    pub(crate) buffered: u64,
    /// Events that were sent and are not acknowledged.
    pub(crate) unacked: u64,
    /// Messages with events that were received and not begun.
    pub(crate) queued: u64,
    /// Instances that its events are divided among.
    pub(crate) instances: u64,
}

impl Vitals {
    pub(crate) fn on_trial(on_trial: bool) -> Self {
        Self { on_trial: AtomicBool::new(on_trial), ..Self::default() }
    }

    pub(crate) fn start(&self) {
        // Once: an instance that takes the place of one that trapped is the same stage.
        let _ = self.started.set(Instant::now());
    }

    pub(crate) fn call(&self, events: u64, rejected: u64, busy: Duration) {
        let nanos = u64::try_from(busy.as_nanos()).unwrap_or(u64::MAX);
        self.events.fetch_add(events, Ordering::Relaxed);
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.rejected.fetch_add(rejected, Ordering::Relaxed);
        self.busy_nanos.fetch_add(nanos, Ordering::Relaxed);
    }

    pub(crate) fn weigh(&self, InHand { buffered, unacked, queued, instances }: InHand) {
        self.buffered.store(buffered, Ordering::Relaxed);
        self.unacked.store(unacked, Ordering::Relaxed);
        self.queued.store(queued, Ordering::Relaxed);
        self.instances.store(instances, Ordering::Relaxed);
    }

    /// As of when it last waited.
    pub(crate) fn in_hand(&self) -> InHand {
        InHand {
            buffered: self.buffered.load(Ordering::Relaxed),
            unacked: self.unacked.load(Ordering::Relaxed),
            queued: self.queued.load(Ordering::Relaxed),
            instances: self.instances.load(Ordering::Relaxed),
        }
    }

    pub(crate) fn put_on_trial(&self, on_trial: bool) {
        self.on_trial.store(on_trial, Ordering::Relaxed);
    }

    pub(crate) fn is_on_trial(&self) -> bool {
        self.on_trial.load(Ordering::Relaxed)
    }

    /// For how long it has run; `None` before its `init` has returned.
    pub(crate) fn ran(&self) -> Option<Duration> {
        self.started.get().map(Instant::elapsed)
    }

    pub(crate) fn meter(&self) -> Meter {
        Meter {
            events: self.events.load(Ordering::Relaxed),
            calls: self.calls.load(Ordering::Relaxed),
            rejected: self.rejected.load(Ordering::Relaxed),
            busy: Duration::from_nanos(self.busy_nanos.load(Ordering::Relaxed)),
        }
    }
}
