//! A stage's guests and their calls, of one guest one after the other.
//!
//! A call of the only guest begins in the stage's own task: most are over at once, and cost no hop to another task and back
//! (a round trip of 5 events took a third more processor time with two of them). What takes longer, a guest that
//! waits or computes until the engine's next tick, goes on in a task of its own, so that the stage stays within reach. Of
//! several guests each call has a task from the start: they are there to run beside each other. So has each call of native
//! code, which may block its thread.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use forebay_proto::stage::{Call, GuestNo, Input, Rejected, Returned};
use tokio::{task::JoinSet, time::Instant};

use crate::{
    node::vitals::Vitals,
    runtime::{CallError, GuestDelivery, Instance, InstanceSpec, Plugin, Rejection, Role, StageError, Trap},
};

/// How long a stage that stops waits for a call in flight before it lets go of the guest.
const LAST_CALL_WAIT: Duration = Duration::from_secs(1);

/// All guests. One call of each at a time.
pub(super) struct Workers {
    /// Those without a call, in no order. Mostly one or none.
    #[expect(clippy::vec_box, reason = "they go to and from the futures of their calls")]
    idle: Vec<Box<Guest>>,
    /// Calls that are out, each with its guest.
    out: JoinSet<(Box<Guest>, Return)>,
    plugin: Arc<dyn Plugin>,
    spec: InstanceSpec,
    vitals: Arc<Vitals>,
}

/// What came of a call.
pub(super) struct Return {
    /// Of which guest.
    pub(super) guest: GuestNo,
    pub(super) returned: Result<Returned, CallError>,
    /// What the guest asked its sources for in it, each [`Input::Asked`] or [`Input::AskedAnew`].
    pub(super) asked: Vec<Input>,
    /// What the instance takes now.
    pub(super) memory_bytes: u64,
}

impl Workers {
    /// With the first guest. `plugin` and `spec` make another instance when this one has ended, and further ones.
    pub(super) fn new(
        instance: Box<dyn Instance>,
        plugin: Arc<dyn Plugin>,
        spec: InstanceSpec,
        vitals: Arc<Vitals>,
    ) -> Self {
        let mut workers = Self { idle: Vec::new(), out: JoinSet::new(), plugin, spec, vitals };
        let first = workers.guest(GuestNo::FIRST, Some(instance));
        workers.idle.push(first);
        workers
    }

    fn guest(&self, no: GuestNo, instance: Option<Box<dyn Instance>>) -> Box<Guest> {
        let (plugin, vitals) = (Arc::clone(&self.plugin), Arc::clone(&self.vitals));
        // What was kept of a stage is of one instance.
        let restore = self.spec.restore.clone().filter(|_| no == GuestNo::FIRST);
        let spec = InstanceSpec { instance: no.0, restore, ..self.spec.clone() };
        Box::new(Guest { no, instance, plugin, spec, vitals })
    }

    /// Makes a call; the first one of a further guest is that it begins. Gives what came of it, if that is known at once; it
    /// comes by [`Workers::next`] otherwise.
    ///
    /// The machine has one call of each out at a time.
    pub(super) fn begin(&mut self, no: GuestNo, call: Call) -> Option<Return> {
        let idle = self.idle.iter().position(|guest| guest.no == no);
        let guest = if let Some(at) = idle { self.idle.swap_remove(at) } else { self.guest(no, None) };
        let gives_way = guest.instance.as_ref().is_some_and(|instance| instance.gives_way());
        let is_at_once = gives_way && self.idle.is_empty() && self.out.is_empty();
        let mut work: Pin<Box<dyn Future<Output = (Box<Guest>, Return)> + Send>> = Box::pin(guest.work(call));
        if is_at_once {
            // Whoever would wake it wakes the task that it goes on in, which looks again first.
            match work.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(done) => return Some(self.rest(done)),
                Poll::Pending => {}
            }
        }
        self.out.spawn(work);
        None
    }

    /// A guest without an instance, that is to begin again or was one too many, is made anew when it has a call.
    fn rest(&mut self, (guest, returned): (Box<Guest>, Return)) -> Return {
        if !matches!(returned.returned, Ok(Returned::Retired)) {
            self.idle.push(guest);
        }
        returned
    }

    /// The next return, and never one if no call is out; `None` if a call has panicked, which would be a bug of the host.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub(super) async fn next(&mut self) -> Option<Return> {
        match self.out.join_next().await {
            Some(done) => Some(self.rest(done.ok()?)),
            None => std::future::pending().await,
        }
    }

    pub(super) async fn terminate(self, reason: &str) {
        let Self { idle, mut out, .. } = self;
        let reason = reason.to_owned();
        let mut end = JoinSet::new();
        end.spawn(async move {
            let mut ends = JoinSet::new();
            let mut end = |mut guest: Box<Guest>| {
                let reason = reason.clone();
                ends.spawn(async move { guest.terminate(&reason).await });
            };
            idle.into_iter().for_each(&mut end);
            // Behind calls in flight.
            while let Some(done) = out.join_next().await {
                done.into_iter().for_each(|(guest, _)| end(guest));
            }
            while ends.join_next().await.is_some() {}
        });
        // A guest that does not come back is stopped by its time limit, without us.
        let is_over = tokio::time::timeout(LAST_CALL_WAIT, end.join_next()).await.is_ok();
        if !is_over {
            end.detach_all();
        }
    }
}

/// An instance, until it fails, and what another is made of.
struct Guest {
    no: GuestNo,
    instance: Option<Box<dyn Instance>>,
    plugin: Arc<dyn Plugin>,
    spec: InstanceSpec,
    vitals: Arc<Vitals>,
}

impl Guest {
    async fn work(mut self: Box<Self>, call: Call) -> (Box<Self>, Return) {
        let returned = self.make(call).await;
        let memory_bytes = self.instance.as_ref().map_or(0, |instance| instance.memory_bytes());
        let (guest, asked) = (self.no, self.asked(&returned));
        (self, Return { guest, returned, asked, memory_bytes })
    }

    /// What the guest asked for in a call. A call that failed is made again, or its guest has another to take its place,
    /// and then it is asked for again: so it does not count.
    fn asked(&mut self, returned: &Result<Returned, CallError>) -> Vec<Input> {
        let taken = self.instance.as_mut().map_or_else(Vec::new, |instance| instance.take_asked());
        let asked = taken.into_iter();
        match returned {
            Err(_) | Ok(Returned::Answered(Err(_)) | Returned::NoSnapshot(_) | Returned::NotRecycled(_)) => Vec::new(),
            Ok(Returned::Renewed | Returned::Recycled { .. }) => {
                asked.map(|(source, count)| Input::AskedAnew { source, count }).collect()
            }
            Ok(_) => asked.map(|(source, count)| Input::Asked { source, count }).collect(),
        }
    }

    async fn terminate(&mut self, reason: &str) {
        if let Some(instance) = self.instance.take() {
            end(instance, self.plugin.role(), reason).await;
        }
    }

    async fn make(&mut self, call: Call) -> Result<Returned, CallError> {
        match call {
            Call::Renew => return self.renew().await,
            Call::Recycle => return self.recycle().await,
            Call::Retire => {
                self.terminate("fewer instances are to run").await;
                return Ok(Returned::Retired);
            }
            _ => {}
        }
        let is_request = matches!(call, Call::HandleCall { .. });
        let given = match &call {
            Call::HandleEvents { events, .. } | Call::HandleIngest { events, .. } => Some(events.len()),
            _ => None,
        };
        let began = Instant::now();
        let Some(instance) = &mut self.instance else { return Err(Trap::Finished { call: "the call" }.into()) };
        let returned = make_call(&mut **instance, call).await;
        self.measure(given, &returned, began.elapsed());
        match returned {
            Err(CallError::Trap(trap)) => {
                self.instance = None;
                // Which of the events it was is not for a version to find out that may be gone in a moment.
                let is_tried_again = (given.is_some() || is_request) && !self.vitals.is_on_trial();
                if is_tried_again { Ok(Returned::Trapped(trap.to_string())) } else { Err(trap.into()) }
            }
            Ok(Returned::Snapshot(state)) => {
                self.spec.restore = Some(state.clone());
                Ok(Returned::Snapshot(state))
            }
            other => other,
        }
    }

    fn measure(&self, given: Option<usize>, returned: &Result<Returned, CallError>, busy: Duration) {
        let (events, rejected) = match (given, returned) {
            (Some(given), Ok(Returned::Processed { rejected, .. })) => (given, rejected.len()),
            (Some(given), Ok(_)) => (given, 0),
            (None, Ok(Returned::Produced { events, .. })) => (events.len(), 0),
            _ => return,
        };
        self.vitals.call(events as u64, rejected as u64, busy);
    }

    /// The limits of memory and the rest hold for one at a time.
    async fn renew(&mut self) -> Result<Returned, CallError> {
        self.instance = None;
        match self.plugin.start(self.spec.clone()).await {
            Ok(instance) => {
                self.instance = Some(instance);
                Ok(Returned::Renewed)
            }
            Err(error) => Err(StageError::Fatal(format!("no other instance starts: {error}")).into()),
        }
    }

    /// Replaces an instance that is whole. It stays until the other one is there, with its state: so nothing is lost if
    /// that fails, and for a moment there are two.
    async fn recycle(&mut self) -> Result<Returned, CallError> {
        let Some(instance) = &mut self.instance else { return Err(Trap::Finished { call: "snapshot" }.into()) };
        let mut restore = None;
        if self.plugin.has_checkpoint() {
            match instance.snapshot().await {
                Ok(state) => restore = Some(state),
                Err(CallError::Stage(StageError::Retry(why) | StageError::Fatal(why))) => {
                    return Ok(Returned::NotRecycled(why));
                }
                Err(trap) => {
                    self.instance = None;
                    return Err(trap);
                }
            }
        }
        // The state is not kept: one that is renewed later begins with the last checkpoint, and is given what came since.
        match self.plugin.start(InstanceSpec { restore, ..self.spec.clone() }).await {
            Ok(fresh) => {
                let memory_bytes = fresh.memory_bytes();
                if let Some(former) = self.instance.replace(fresh) {
                    end(former, self.plugin.role(), "a fresh instance has taken its place, for the memory it takes")
                        .await;
                }
                Ok(Returned::Recycled { memory_bytes })
            }
            Err(error) => Ok(Returned::NotRecycled(format!("no other instance starts: {error}"))),
        }
    }
}

async fn end(mut instance: Box<dyn Instance>, role: Role, reason: &str) {
    if let Err(error) = instance.terminate(reason).await {
        tracing::warn!(%role, %error, "the guest failed in its last call");
    }
}

async fn make_call(instance: &mut dyn Instance, call: Call) -> Result<Returned, CallError> {
    match call {
        Call::HandleDemand { demand } => {
            let produced = instance.handle_demand(demand).await?;
            Ok(Returned::Produced { events: produced.events, finished: produced.finished })
        }
        Call::HandleEvents { source, epoch, attempt, runs, events, .. } => {
            let delivery = GuestDelivery { source, epoch, attempt, runs, events };
            let output = instance.handle_events(delivery).await?;
            let rejected = output.rejections.into_iter().map(|Rejection { index, retry, reason }| Rejected {
                index,
                retry,
                reason,
            });
            Ok(Returned::Processed { events: output.events, rejected: rejected.collect() })
        }
        Call::HandleIngest { events, .. } => Ok(Returned::Ingested(instance.handle_ingest(events).await?)),
        Call::HandleTick => Ok(Returned::Ticked(instance.handle_tick().await?)),
        Call::HandleCall { request, .. } => match instance.handle_call(request).await {
            Ok(answer) => Ok(Returned::Answered(Ok(answer))),
            Err(CallError::Stage(StageError::Refused(why))) => Ok(Returned::Answered(Err(why))),
            Err(error) => Err(error),
        },
        Call::Snapshot => match instance.snapshot().await {
            Ok(snapshot) => Ok(Returned::Snapshot(snapshot)),
            Err(CallError::Stage(StageError::Retry(why) | StageError::Fatal(why) | StageError::Refused(why))) => {
                Ok(Returned::NoSnapshot(why))
            }
            Err(trap) => Err(trap),
        },
        Call::Renew | Call::Recycle | Call::Retire => {
            Err(StageError::Fatal("nobody can renew itself: a bug of the host".to_owned()).into())
        }
    }
}
