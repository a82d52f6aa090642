//! Whether owners on this node may go on: what a stage looks at before each call and each message.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{sync::watch, time::Instant};

/// The clock that leases are measured with.
#[derive(Clone, Copy, Debug)]
pub enum Clock {
    /// The system's time since it started, which goes on while the machine is suspended
    /// (`CLOCK_BOOTTIME`), unlike [`Instant`].
    SinceBoot,
    /// Tokio's, since this moment: for tests in virtual time.
    Tokio(Instant),
}

impl Clock {
    /// Time since a fixed moment.
    pub fn now(self) -> Duration {
        match self {
            Self::SinceBoot => {
                let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
                let (seconds, nanos) = (u64::try_from(time.tv_sec), u32::try_from(time.tv_nsec));
                Duration::new(seconds.unwrap_or_default(), nanos.unwrap_or_default())
            }
            Self::Tokio(start) => start.elapsed(),
        }
    }
}

/// The writing end: for the registry.
#[derive(Debug)]
pub(super) struct TenureCell {
    shared: Arc<Shared>,
    changed: watch::Sender<()>,
}

#[derive(Debug)]
struct Shared {
    clock: Option<Clock>,
    /// Unit: nanoseconds of the clock.
    until: AtomicU64,
}

impl TenureCell {
    /// Nobody may own anything yet.
    pub(super) fn new(clock: Clock) -> Self {
        let shared = Arc::new(Shared { clock: Some(clock), until: AtomicU64::new(0) });
        Self { shared, changed: watch::Sender::new(()) }
    }

    /// Owners may go on until then.
    pub(super) fn extend(&self, until: Duration) {
        let nanos = u64::try_from(until.as_nanos()).unwrap_or(u64::MAX);
        self.shared.until.fetch_max(nanos, Ordering::AcqRel);
        self.changed.send_replace(());
    }

    pub(super) fn watch(&self) -> TenureWatch {
        TenureWatch { shared: Arc::clone(&self.shared), changed: self.changed.subscribe(), needs: None }
    }
}

/// The reading end: for stages.
#[derive(Clone)]
pub struct TenureWatch {
    shared: Arc<Shared>,
    changed: watch::Receiver<()>,
    needs: Option<Needs>,
}

type Needs = Arc<dyn Fn() -> bool + Send + Sync>;

impl std::fmt::Debug for TenureWatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TenureWatch({:?}, holds: {})", self.shared, self.holds())
    }
}

impl TenureWatch {
    /// Of owners that nobody can take anything from without telling them.
    pub fn unlimited() -> Self {
        let (_, changed) = watch::channel(());
        Self { shared: Arc::new(Shared { clock: None, until: AtomicU64::new(u64::MAX) }), changed, needs: None }
    }

    /// This one, and only while `needs` is so, too.
    pub(super) fn that_needs(mut self, needs: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        self.needs = Some(Arc::new(needs));
        self
    }

    /// Whether owners may go on now. Reads a clock: also true to a process that was paused.
    pub fn holds(&self) -> bool {
        let Some(clock) = self.shared.clock else { return true };
        let until = self.shared.until.load(Ordering::Acquire);
        clock.now() < Duration::from_nanos(until) && self.needs.as_ref().is_none_or(|needs| needs())
    }

    /// Waits for a renewal; for ever if there can be none.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn renewed(&mut self) {
        if self.changed.changed().await.is_err() {
            std::future::pending().await
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_tenure_ends_by_itself_and_a_renewal_is_told() {
        let cell = TenureCell::new(Clock::Tokio(Instant::now()));
        let mut watch = cell.watch();
        assert!(!watch.holds());
        cell.extend(Duration::from_secs(2));
        cell.extend(Duration::from_secs(1));
        watch.renewed().await;
        assert!(watch.holds(), "a shorter one takes nothing back");
        assert!(!watch.clone().that_needs(|| false).holds(), "whatever the time is");
        tokio::time::advance(Duration::from_secs(2)).await;
        assert!(!watch.holds());
        assert!(TenureWatch::unlimited().holds());
    }

    #[test]
    fn the_systems_clock_goes_on() {
        let before = Clock::SinceBoot.now();
        std::thread::sleep(Duration::from_millis(2));
        assert!(Clock::SinceBoot.now() > before + Duration::from_millis(1));
    }
}
