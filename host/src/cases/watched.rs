//! Plugins of a run: what they are given and emit is noted, inputs take the place of a producer's own events, and faults
//! strike in their calls.
//!
//! A producer that is fed keeps its position as its state, so that it goes on from its checkpoint where the stage has one,
//! and from the beginning where not: as a plugin does that reads a log.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use forebay_proto::{
    batch::Batch,
    ids::{NodeName, StageName},
};
use rand::{RngExt as _, SeedableRng as _, rngs::SmallRng};

use super::{
    Side,
    book::{Book, Busy, Strike},
    uninterrupted::uninterrupted,
};
use crate::{
    checksum::crc32c,
    runtime::{
        CallError, GuestDelivery, Instance, InstanceSpec, Output, Plugin, Produced, Role, StageError, StartError, Trap,
    },
};

/// The longest a call takes in virtual time, if it is not slow. Drawn from the seed for each call, so that another seed has
/// other things happen at the same time.
///
/// Unit: milliseconds, the resolution of tokio's timers.
const CALL_TIME_MAX_MS: u64 = 3;

/// What a producer emits.
#[derive(Clone, Debug)]
pub(super) enum Feed {
    /// These events in the place of its own, with the time before which each is not there.
    Events(Arc<Vec<(Batch, Duration)>>),
    /// So many of its own.
    Count(u64),
    /// Nothing but what is pushed into it.
    Pushed,
}

/// A plugin that is watched.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) inner: Arc<dyn Plugin>,
    pub(super) book: Book,
    pub(super) feed: Option<Feed>,
    /// Where a stage of node scope is fed; on the others it emits nothing.
    pub(super) fed_on: Option<NodeName>,
    /// Whether it is asked again for what it left open.
    pub(super) is_polled: bool,
    pub(super) seed: u64,
}

#[async_trait]
impl Plugin for Watched {
    fn role(&self) -> Role {
        self.inner.role()
    }

    fn digest(&self) -> &str {
        self.inner.digest()
    }

    fn waits_for_events(&self) -> bool {
        self.feed.is_none() && self.inner.waits_for_events()
    }

    fn imports_granted(&self) -> Vec<String> {
        self.inner.imports_granted()
    }

    fn has_checkpoint(&self) -> bool {
        matches!(self.feed, Some(Feed::Events(_))) || self.inner.has_checkpoint()
    }

    fn has_ingest(&self) -> bool {
        self.inner.has_ingest()
    }

    fn has_timer(&self) -> bool {
        self.inner.has_timer()
    }

    fn has_call(&self) -> bool {
        self.inner.has_call()
    }

    fn can_ask(&self) -> bool {
        self.inner.can_ask()
    }

    async fn start(&self, mut spec: InstanceSpec) -> Result<Box<dyn Instance>, StartError> {
        let (stage, node, call_time) = (spec.stage.clone(), spec.node.clone(), spec.limits.call_time);
        let mut position = 0;
        let is_fed = self.fed_on.as_ref().is_none_or(|on| *on == node);
        let feed = self.feed.clone().map(|feed| if is_fed { feed } else { Feed::Count(0) });
        if let (Some(_), Some(state)) = (&self.feed, spec.restore.take()) {
            let (own, rest) = split(&state);
            position = own;
            spec.restore = rest.filter(|_| self.inner.has_checkpoint());
        }
        let inner = match &self.feed {
            Some(Feed::Events(_)) => None,
            _ => Some(uninterrupted(self.inner.start(spec)).await?),
        };
        let random = SmallRng::seed_from_u64(
            self.seed ^ (u64::from(crc32c([stage.as_str().as_bytes(), node.as_str().as_bytes()])) << 32),
        );
        let process = self.book.started(&stage, &node);
        let live = Live { book: self.book.clone(), stage, node, process };
        let started = WatchedInstance {
            inner,
            feed: feed.clone(),
            position,
            random,
            call_time,
            is_polled: self.is_polled,
            live,
            lost: false,
        };
        if is_fed {
            started.tell_source();
        }
        Ok(Box::new(started))
    }
}

/// An instance that is there.
#[derive(Debug)]
struct Live {
    book: Book,
    stage: StageName,
    node: NodeName,
    /// Of the node, of which there may be several in a run.
    process: u32,
}

impl Drop for Live {
    fn drop(&mut self) {
        self.book.ended(&self.stage, &self.node, self.process);
    }
}

#[derive(Debug)]
struct WatchedInstance {
    /// None of a producer whose events are all in the case.
    inner: Option<Box<dyn Instance>>,
    feed: Option<Feed>,
    /// Events of the feed that were emitted.
    position: u64,
    random: SmallRng,
    call_time: Duration,
    is_polled: bool,
    live: Live,
    /// A fault has ended it.
    lost: bool,
}

impl WatchedInstance {
    fn book(&self) -> &Book {
        &self.live.book
    }

    fn tell_source(&self) {
        let left = match &self.feed {
            Some(Feed::Events(events)) => (events.len() as u64) > self.position,
            Some(Feed::Count(count)) => *count > self.position,
            Some(Feed::Pushed) | None => return,
        };
        self.book().source(&self.live.stage, !left);
    }

    /// Nobody emits before the nodes have found each other. The time since they have.
    async fn beginning(&mut self) -> Duration {
        loop {
            if let Some(now) = self.book().now() {
                return now;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Time passes as chance has it.
    async fn pass_time(&mut self) {
        tokio::time::sleep(Duration::from_millis(self.random.random_range(0..=CALL_TIME_MAX_MS))).await;
    }

    /// Time passes that a slow stage takes for so many events. Longer than a call may take, it ends the instance.
    async fn be_slow(&mut self, call: &'static str, events: usize) -> Result<(), Trap> {
        let takes = self.book().slowness(&self.live.stage).saturating_mul(u32::try_from(events).unwrap_or(u32::MAX));
        tokio::time::sleep(takes.min(self.call_time)).await;
        if takes > self.call_time {
            self.lose();
            return Err(Trap::TimedOut { call, limit: self.call_time });
        }
        Ok(())
    }

    fn lose(&mut self) {
        self.lost = true;
        self.inner = None;
    }

    /// Nothing counts any more once its node was killed.
    fn check_alive(&self, call: &'static str) -> Result<(), Trap> {
        match self.book().is_dead(&self.live.node, self.live.process) {
            true => Err(Trap::Finished { call }),
            false => Ok(()),
        }
    }

    /// What becomes of a call that has processed so many events.
    async fn strike(&mut self, call: &'static str, events: usize) -> Result<(), CallError> {
        self.check_alive(call)?;
        match self.book().processed(&self.live.stage, &self.live.node, events) {
            Strike::None => Ok(()),
            Strike::Crash(number) => {
                self.lose();
                Err(Trap::Guest { call, message: format!("fault {number} of the case has ended this instance") }.into())
            }
            Strike::Redeliver(number) => {
                Err(StageError::Retry(format!("fault {number} of the case has lost the answer")).into())
            }
            Strike::Hang => loop {
                self.check_alive(call)?;
                tokio::time::sleep(Duration::from_millis(1)).await;
            },
        }
    }

    fn inner(&mut self, call: &'static str) -> Result<&mut Box<dyn Instance>, Trap> {
        self.inner.as_mut().ok_or(Trap::Finished { call })
    }

    /// The next events of a feed that are there by now; not more than are wanted.
    fn fed(&mut self, events: &[(Batch, Duration)], demand: u32, now: Duration) -> Batch {
        let left = events.iter().skip(usize::try_from(self.position).unwrap_or(usize::MAX));
        let there: Vec<_> = left.take_while(|(_, at)| *at <= now).map(|(event, _)| event.clone()).collect();
        let mut count = there.len().min(demand as usize);
        // Sources give what they have, which is not always all that is wanted.
        if self.is_polled && count > 1 {
            count = self.random.random_range(1..=count);
        }
        Batch::pack(there.into_iter().take(count), usize::MAX).pop().unwrap_or_default()
    }

    /// What a producer emits that is fed or counted.
    async fn produce(&mut self, demand: u32, now: Duration) -> Result<Produced, CallError> {
        const CALL: &str = "handle-demand";
        match self.feed.clone() {
            Some(Feed::Events(events)) => Ok(self.fed(&events, demand, now).into()),
            Some(Feed::Pushed) => Ok(Produced::default()),
            Some(Feed::Count(count)) => {
                let left = u32::try_from(count.saturating_sub(self.position)).unwrap_or(u32::MAX);
                match demand.min(left) {
                    0 => Ok(Produced::default()),
                    demand => uninterrupted(self.inner(CALL)?.handle_demand(demand)).await,
                }
            }
            None => uninterrupted(self.inner(CALL)?.handle_demand(demand)).await,
        }
    }

    /// Events that a call gives come to be.
    fn emit(&self, events: &Batch) {
        self.book().note(&self.live.stage, &self.live.node, Side::Emitted, events);
    }

    /// There are events to do something about, until this is dropped.
    fn busy(&self) -> Busy {
        self.book().busy()
    }
}

#[async_trait]
impl Instance for WatchedInstance {
    async fn handle_demand(&mut self, demand: u32) -> Result<Produced, CallError> {
        const CALL: &str = "handle-demand";
        if self.lost {
            return Err(Trap::Finished { call: CALL }.into());
        }
        let now = self.beginning().await;
        self.pass_time().await;
        let mut produced = self.produce(demand, now).await?;
        // What is fed ends with the case, so that faults at its end find everything at work.
        produced.finished &= self.feed.is_none();
        let count = produced.events.len();
        if count > 0 {
            let _busy = self.busy();
            self.be_slow(CALL, count).await?;
            self.strike(CALL, count).await?;
            self.position += count as u64;
            self.emit(&produced.events);
            self.tell_source();
        }
        Ok(produced)
    }

    async fn handle_events(&mut self, delivery: GuestDelivery) -> Result<Output, CallError> {
        const CALL: &str = "handle-events";
        let _busy = self.busy();
        self.pass_time().await;
        self.check_alive(CALL)?;
        let (events, count) = (delivery.events.clone(), delivery.events.len());
        self.book().note(&self.live.stage, &self.live.node, Side::Given, &events);
        let output = uninterrupted(self.inner(CALL)?.handle_events(delivery)).await?;
        self.be_slow(CALL, count).await?;
        self.strike(CALL, count).await?;
        self.emit(&output.events);
        Ok(output)
    }

    async fn snapshot(&mut self) -> Result<Bytes, CallError> {
        const CALL: &str = "snapshot";
        if self.feed.is_none() {
            return uninterrupted(self.inner(CALL)?.snapshot()).await;
        }
        let mut state = self.position.to_le_bytes().to_vec();
        if let Some(inner) = &mut self.inner {
            state.extend_from_slice(&uninterrupted(inner.snapshot()).await?);
        }
        Ok(state.into())
    }

    async fn handle_ingest(&mut self, events: Batch) -> Result<Batch, CallError> {
        const CALL: &str = "handle-ingest";
        let _busy = self.busy();
        self.pass_time().await;
        let count = events.len();
        let emitted = uninterrupted(self.inner(CALL)?.handle_ingest(events)).await?;
        self.be_slow(CALL, count).await?;
        self.strike(CALL, count).await?;
        self.emit(&emitted);
        Ok(emitted)
    }

    async fn handle_tick(&mut self) -> Result<Batch, CallError> {
        if self.book().now().is_none() || self.inner.is_none() {
            return Ok(Batch::default());
        }
        let emitted = uninterrupted(self.inner("handle-tick")?.handle_tick()).await?;
        self.check_alive("handle-tick")?;
        self.emit(&emitted);
        Ok(emitted)
    }

    async fn handle_call(&mut self, request: Bytes) -> Result<Bytes, CallError> {
        uninterrupted(self.inner("handle-call")?.handle_call(request)).await
    }

    fn take_asked(&mut self) -> Vec<(StageName, u32)> {
        self.inner.as_mut().map_or_else(Vec::new, |inner| inner.take_asked())
    }

    fn memory_bytes(&self) -> u64 {
        self.inner.as_ref().map_or(0, |inner| inner.memory_bytes())
    }

    async fn terminate(&mut self, reason: &str) -> Result<(), CallError> {
        match &mut self.inner {
            Some(inner) => uninterrupted(inner.terminate(reason)).await,
            None => Ok(()),
        }
    }
}

/// The position and the plugin's own state, if it has one.
fn split(state: &Bytes) -> (u64, Option<Bytes>) {
    let Some((position, rest)) = state.split_first_chunk::<8>() else { return (0, None) };
    (u64::from_le_bytes(*position), Some(state.slice(state.len() - rest.len()..)))
}
