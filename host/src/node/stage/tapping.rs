//! What a stage shows to whoever looks at it: its calls and what came of them.

use std::{collections::BTreeMap, sync::Arc};

use forebay_proto::{
    batch::Batch,
    ids::Seq,
    stage::{Call, GuestNo, Rejected, Returned},
    taps::{About, Answered, Counts, Entry, Given, Kinds, cut, cut_reasons},
};

use super::{CallError, StageError, StageSpec};
use crate::node::tap::Tap;

/// Counts all events, so that whoever looks knows what was missed; keeps none itself.
#[derive(Debug)]
pub(super) struct Tapping {
    tap: Arc<Tap>,
    counts: Counts,
    /// Calls that are out and are shown.
    shown: BTreeMap<GuestNo, Told>,
}

/// What was told of a call that is out.
#[derive(Debug)]
enum Told {
    /// All.
    All,
    /// Nothing: where several are out at once, what an instance was given is told with what it made of that, so that the
    /// two stand next to each other. With how many events it was given.
    Nothing(Option<Given>, u64),
}

impl StageSpec {
    pub(super) fn about(&self) -> About {
        About {
            role: self.plugin.role(),
            epoch: self.epoch,
            plugin: self.plugin.digest().to_owned(),
            config: self.settings.config.clone(),
            limits: self.settings.limits,
        }
    }
}

impl Tapping {
    pub(super) fn new(tap: Arc<Tap>) -> Self {
        Self { tap, counts: Counts::default(), shown: BTreeMap::new() }
    }

    /// A call is about to be made, maybe one of several that are out at once.
    pub(super) fn calling(&mut self, guest: GuestNo, call: &Call, several: bool) {
        let is_shown =
            !matches!(call, Call::HandleCall { .. } | Call::Snapshot | Call::Renew | Call::Recycle | Call::Retire);
        let count = match call {
            Call::HandleEvents { events, .. } | Call::HandleIngest { events, .. } => events.len() as u64,
            _ => 0,
        };
        let given = if self.tap.wants(Kinds::GIVEN) { entry_of(call) } else { None };
        let told = if several {
            Told::Nothing(given, count)
        } else {
            self.tell_given(given, count);
            Told::All
        };
        if is_shown {
            self.shown.insert(guest, told);
        }
    }

    fn tell_given(&mut self, given: Option<Given>, count: u64) {
        if let Some(given) = given {
            self.tap.push(self.counts, Entry::Given(given));
        }
        self.counts = self.counts.and(Counts { given: count, emitted: 0 });
    }

    /// What came of it; `next` is the number of the first event it emits.
    pub(super) fn returned(&mut self, guest: GuestNo, returned: &Result<Returned, CallError>, next: Seq) {
        if let Ok(Returned::Snapshot(state)) = returned
            && self.tap.wants(Kinds::STATES)
        {
            self.tap.push(self.counts, Entry::State(state.clone()));
        }
        match self.shown.remove(&guest) {
            None => return,
            Some(Told::All) => {}
            Some(Told::Nothing(given, count)) => self.tell_given(given, count),
        }
        if self.tap.wants(Kinds::ANSWERED) {
            self.tap.push(self.counts, Entry::Answered(answer_of(returned, next)));
        }
        let emitted = returned.as_ref().ok().and_then(outputs).map_or(0, |(events, _)| events.len() as u64);
        self.counts = self.counts.and(Counts { given: 0, emitted });
    }
}

fn entry_of(call: &Call) -> Option<Given> {
    match call {
        Call::HandleDemand { demand } => Some(Given::Demand(*demand)),
        Call::HandleEvents { source, epoch, attempt, runs, events, .. } => {
            let (source, runs, events) = (source.clone(), runs.clone(), events.clone());
            Some(Given::Events { source, epoch: *epoch, attempt: *attempt, runs, events })
        }
        Call::HandleIngest { first, events } => Some(Given::Inbox { first: *first, events: events.clone() }),
        Call::HandleTick => Some(Given::Tick),
        Call::HandleCall { .. } | Call::Snapshot | Call::Renew | Call::Recycle | Call::Retire => None,
    }
}

fn outputs(returned: &Returned) -> Option<(&Batch, &[Rejected])> {
    match returned {
        Returned::Processed { events, rejected } => Some((events, rejected)),
        Returned::Produced { events, .. } | Returned::Ingested(events) | Returned::Ticked(events) => {
            Some((events, &[]))
        }
        _ => None,
    }
}

fn answer_of(returned: &Result<Returned, CallError>, first: Seq) -> Answered {
    match returned {
        Ok(Returned::Trapped(why)) => Answered::Lost(cut(why).to_owned()),
        Ok(returned) => {
            let (events, rejected) = outputs(returned)
                .map_or_else(Default::default, |(events, rejected)| (events.clone(), cut_reasons(rejected)));
            Answered::Done { first, events, rejected }
        }
        Err(CallError::Stage(StageError::Retry(why))) => Answered::Retry(cut(why).to_owned()),
        Err(error) => Answered::Lost(cut(&error.to_string()).to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use forebay_proto::{
        ids::Epoch,
        pipeline::Limits,
        stage::Role,
        taps::{Cursor, Follower, Heard, Request},
    };

    use super::*;
    use crate::{
        node::{
            directory::{Directory, StageKey},
            tap::read_here,
        },
        runtime::Trap,
    };

    /// A stage that is driven by hand, and a node that it is read on.
    struct Driven {
        tapping: Tapping,
        directory: Directory,
        name: StageKey,
    }

    impl Driven {
        fn new() -> Self {
            let about = About {
                role: Role::ProducerConsumer,
                epoch: Epoch::default(),
                plugin: "native".to_owned(),
                config: "null".to_owned(),
                limits: Limits::default(),
            };
            let tap = Tap::new(7, about);
            let directory = Directory::new("a".parse().unwrap());
            let name = StageKey { pipeline: "p".parse().unwrap(), stage: "s".parse().unwrap() };
            directory.add_stage(name.clone(), tokio::sync::mpsc::channel(1).0, None, Arc::clone(&tap));
            Self { tapping: Tapping::new(tap), directory, name }
        }

        fn call(&mut self, call: &Call, returned: Result<Returned, CallError>, next: u64) {
            self.tapping.calling(GuestNo::FIRST, call, false);
            self.tapping.returned(GuestNo::FIRST, &returned, Seq(next));
        }

        async fn read(&self, follower: &mut Follower) -> Vec<Heard> {
            let (at, kinds) = follower.asks();
            let asked = Request { name: self.name.clone(), kinds, at, wait: std::time::Duration::ZERO };
            match read_here(&self.directory, asked).await {
                forebay_proto::taps::Answer::Page(page) => follower.take(*page),
                other => panic!("{other:?}"),
            }
        }
    }

    fn inbox(count: usize) -> Call {
        Call::HandleIngest { first: 0, events: batch(count) }
    }

    fn batch(count: usize) -> Batch {
        Batch::from_payloads(vec!["x"; count])
    }

    fn ingested(count: usize) -> Result<Returned, CallError> {
        Ok(Returned::Ingested(batch(count)))
    }

    #[tokio::test(start_paused = true)]
    async fn events_are_counted_while_nobody_looks_too() {
        let (mut stage, mut follower) = (Driven::new(), Follower::new(Kinds::GIVEN.and(Kinds::ANSWERED)));
        assert!(matches!(stage.read(&mut follower).await[..], [Heard::Began(_)]));
        stage.call(&inbox(2), ingested(3), 0);
        assert_eq!(stage.read(&mut follower).await.len(), 2, "what it was given, and what it answered");
        // Longer than anybody is waited for.
        tokio::time::sleep(std::time::Duration::from_secs(60)).await;
        tokio::task::yield_now().await;
        stage.call(&inbox(5), ingested(7), 3);
        assert_eq!(stage.read(&mut follower).await, [], "nothing was kept");
        stage.call(&inbox(1), ingested(1), 10);
        let heard = stage.read(&mut follower).await;
        assert_eq!(heard[0], Heard::Missed(Counts { given: 5, emitted: 7 }));
        let Heard::Entry(Entry::Answered(Answered::Done { first, .. })) = &heard[2] else { panic!("{heard:?}") };
        assert_eq!((heard.len(), *first), (3, Seq(10)));
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_of_a_call_is_told_as_it_was() {
        let (mut stage, mut follower) = (Driven::new(), Follower::new(Kinds::ALL));
        stage.read(&mut follower).await;
        let rejected = vec![Rejected { index: 0, retry: true, reason: "odd".to_owned() }];
        let processed = Ok(Returned::Processed { events: batch(0), rejected: rejected.clone() });
        stage.call(&inbox(1), processed, 4);
        stage.call(&inbox(1), Err(StageError::Retry("busy".to_owned()).into()), 4);
        stage.call(&inbox(1), Ok(Returned::Trapped("panicked".to_owned())), 4);
        let trap = Trap::Guest { call: "handle-ingest", message: "panicked".to_owned() };
        stage.call(&inbox(1), Err(trap.into()), 4);
        stage.call(&Call::Snapshot, Ok(Returned::Snapshot(bytes::Bytes::from_static(b"9"))), 4);
        let told: Vec<_> = stage
            .read(&mut follower)
            .await
            .into_iter()
            .filter(|heard| !matches!(heard, Heard::Entry(Entry::Given(_))))
            .collect();
        let answered = |answered| Heard::Entry(Entry::Answered(answered));
        let expected = [
            answered(Answered::Done { first: Seq(4), events: batch(0), rejected }),
            answered(Answered::Retry("busy".to_owned())),
            answered(Answered::Lost("panicked".to_owned())),
            answered(Answered::Lost("handle-ingest trapped: panicked".to_owned())),
            Heard::Entry(Entry::State(bytes::Bytes::from_static(b"9"))),
        ];
        assert_eq!(told, expected);
    }

    /// Requests of people are between them and the stage.
    #[tokio::test(start_paused = true)]
    async fn requests_and_what_becomes_of_instances_is_not_told() {
        let (mut stage, mut follower) = (Driven::new(), Follower::new(Kinds::ALL));
        stage.read(&mut follower).await;
        let request = Call::HandleCall { no: forebay_proto::requests::RequestNo(1), request: bytes::Bytes::new() };
        stage.call(&request, Ok(Returned::Trapped("panicked".to_owned())), 0);
        stage.call(&Call::Renew, Ok(Returned::Renewed), 0);
        assert_eq!(follower.asks().0, Cursor { run: 7, next: 0 });
        assert_eq!(stage.read(&mut follower).await, []);
    }

    #[tokio::test(start_paused = true)]
    async fn of_several_instances_what_one_was_given_stands_beside_its_answer() {
        let (mut stage, mut follower) = (Driven::new(), Follower::new(Kinds::GIVEN.and(Kinds::ANSWERED)));
        stage.read(&mut follower).await;
        stage.tapping.calling(GuestNo(0), &inbox(1), true);
        stage.tapping.calling(GuestNo(1), &inbox(2), true);
        stage.tapping.returned(GuestNo(1), &ingested(2), Seq(0));
        stage.tapping.returned(GuestNo(0), &ingested(1), Seq(2));
        let counts = |heard: &Heard| match heard {
            Heard::Entry(Entry::Given(Given::Inbox { events, .. })) => (events.len(), "given"),
            Heard::Entry(Entry::Answered(Answered::Done { events, .. })) => (events.len(), "answered"),
            other => panic!("{other:?}"),
        };
        let told: Vec<_> = stage.read(&mut follower).await.iter().map(counts).collect();
        assert_eq!(told, [(2, "given"), (2, "answered"), (1, "given"), (1, "answered")], "and nothing was missed");
    }
}
