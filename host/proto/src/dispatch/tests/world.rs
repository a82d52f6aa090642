//! A producer and its consumers, who speak for themselves.

use std::{collections::BTreeMap, ops::Range, time::Duration};

use crate::{
    batch::{Batch, BatchLimits, Columns},
    dispatch::DispatcherOptions,
    ids::{Epoch, Seq, SubId},
    message::{Demand, Message, Reason, SeqRun, Subscribe},
    producer::{BufferOptions, DemandMode, Producer},
    select::{InstanceId, Selection},
    stage::{Ending, Notice, Outputs, Transmit},
};

pub(super) struct World {
    producer: Producer,
    out: Outputs,
    now: Duration,
    next: u64,
    subs: u64,
    sent: BTreeMap<SubId, Vec<u64>>,
    cancelled: BTreeMap<SubId, Reason>,
    notices: Vec<Notice>,
    granted: BTreeMap<SubId, u64>,
    /// How often each event was reported as settled.
    settled: BTreeMap<u64, u32>,
}

impl World {
    pub(super) fn new(dispatcher: DispatcherOptions, buffer: BufferOptions) -> Self {
        let dispatcher = dispatcher.build(0, buffer);
        let producer = Producer::new(Epoch::default(), dispatcher, buffer, 1 << 20, DemandMode::Forward, Seq(0));
        let mut world = Self {
            producer,
            out: Outputs::default(),
            now: Duration::ZERO,
            next: 0,
            subs: 0,
            sent: BTreeMap::new(),
            cancelled: BTreeMap::new(),
            notices: Vec::new(),
            granted: BTreeMap::new(),
            settled: BTreeMap::new(),
        };
        world.at(Duration::ZERO);
        world
    }

    fn act(&mut self, act: impl FnOnce(&mut Producer, &mut Outputs)) {
        self.producer.at(self.now);
        act(&mut self.producer, &mut self.out);
        while let Some(transmit) = self.out.transmits.pop_front() {
            let Transmit::Send { sub, envelope } = transmit else { continue };
            match envelope.message {
                Message::Events(events) => {
                    let numbers = events.runs.iter().flat_map(|run| run.first.0..run.end().0);
                    self.sent.entry(sub).or_default().extend(numbers);
                }
                Message::Cancel(reason) => drop(self.cancelled.insert(sub, reason)),
                other => panic!("a producer says {other:?}"),
            }
        }
        self.notices.extend(self.out.notices.drain(..));
        for number in self.producer.take_settled().iter().flat_map(|run| run.first.0..run.end().0) {
            *self.settled.entry(number).or_default() += 1;
            assert_eq!(self.settled[&number], 1, "event {number} was settled before");
        }
    }

    pub(super) fn at(&mut self, now: Duration) {
        self.now = now;
        self.act(|producer, out| producer.on_timeout(out));
    }

    /// Instance of `consumer` on the node of that number, which asks for `max` events.
    pub(super) fn join(&mut self, consumer: &str, number: u32, select: Selection, max: u32) -> SubId {
        self.subs += 1;
        let sub = SubId(self.subs);
        let instance = InstanceId::first_on(format!("n{number}").parse().unwrap());
        let demand = Demand::new(1000, Some(0)).unwrap();
        let (pipeline, producer) = ("p".parse().unwrap(), "s".parse().unwrap());
        let subscribe = Subscribe::new(pipeline, producer, consumer.parse().unwrap(), instance, demand);
        self.act(|producer, out| producer.on_subscribe(sub, &Subscribe { select, ..subscribe }, out));
        if !self.cancelled.contains_key(&sub) {
            self.granted.insert(sub, max.into());
            self.act(|producer, out| producer.on_ask(sub, max.into(), &[], out));
        }
        sub
    }

    /// Acknowledges, and has asked for `granted` in all.
    pub(super) fn ack(&mut self, sub: SubId, numbers: Range<u64>, granted: u64) {
        let granted = granted.max(self.granted[&sub]);
        self.granted.insert(sub, granted);
        self.act(|producer, out| producer.on_ask(sub, granted, &[run(numbers)], out));
        assert_eq!(self.cancelled.get(&sub), None);
    }

    /// Has asked for `granted` in all.
    pub(super) fn ask(&mut self, sub: SubId, granted: u64) {
        self.granted.insert(sub, granted);
        self.act(|producer, out| producer.on_ask(sub, granted, &[], out));
    }

    pub(super) fn give_back(&mut self, sub: SubId, numbers: Range<u64>, after: Duration) {
        let now = self.now;
        self.act(|producer, out| producer.on_retry(now, sub, after, &[run(numbers)], out));
    }

    pub(super) fn down(&mut self, sub: SubId, reason: Reason) {
        self.act(|producer, out| producer.end(sub, Ending::Down, reason, out));
    }

    pub(super) fn cancel(&mut self, sub: SubId, reason: Reason) {
        self.act(|producer, out| producer.end(sub, Ending::Cancelled, reason, out));
    }

    fn emit_columns(&mut self, columns: Columns) {
        self.next += columns.ends.len() as u64;
        let events = Batch::new(columns, &BatchLimits::default()).unwrap();
        self.act(|producer, out| producer.emit(events, out));
    }

    pub(super) fn emit(&mut self, numbers: Range<u64>) {
        assert_eq!(self.next, numbers.start, "the number of the next event");
        let count = usize::try_from(numbers.end - numbers.start).unwrap();
        self.emit_columns(Columns { ends: vec![0; count], ..Columns::default() });
    }

    pub(super) fn emit_topics(&mut self, topics: &[&str]) {
        self.emit_columns(Columns {
            ends: vec![0; topics.len()],
            topics: topics.iter().map(|&topic| topic.to_owned()).collect(),
            topic_of: (0..u16::try_from(topics.len()).unwrap()).collect(),
            ..Columns::default()
        });
    }

    pub(super) fn emit_partitions(&mut self, partitions: &[u32]) {
        let header = |(at, partition): (u32, &u32)| (at, "p".to_owned(), partition.to_string());
        let headers = (0..).zip(partitions).map(header).collect();
        self.emit_columns(Columns { ends: vec![0; partitions.len()], headers, ..Columns::default() });
    }

    /// What was sent since the last look.
    pub(super) fn sent(&mut self, sub: SubId) -> Vec<u64> {
        self.sent.remove(&sub).unwrap_or_default()
    }

    pub(super) fn cancelled(&self, sub: SubId) -> Option<Reason> {
        self.cancelled.get(&sub).cloned()
    }

    /// What the guest is to be asked for.
    pub(super) fn asked(&self) -> u64 {
        self.producer.unasked()
    }

    pub(super) fn buffered(&self) -> usize {
        self.producer.buffered()
    }

    pub(super) fn timeout(&self) -> Option<Duration> {
        self.producer.timeout()
    }

    pub(super) fn first_unsettled(&self) -> u64 {
        self.producer.first_unsettled().0
    }

    /// How many events were settled so far.
    pub(super) fn settled(&self) -> usize {
        self.settled.len()
    }

    pub(super) fn notices(&self, notice: &Notice) -> usize {
        self.notices.iter().filter(|found| *found == notice).count()
    }

    pub(super) fn given_up(&mut self) -> Vec<u64> {
        let count = |notice: Notice| match notice {
            Notice::GivenUp { count, .. } => Some(count),
            _ => None,
        };
        std::mem::take(&mut self.notices).into_iter().filter_map(count).collect()
    }

    pub(super) fn unwanted(&self) -> u64 {
        let count = |notice: &Notice| match notice {
            Notice::Unwanted { count } => *count,
            _ => 0,
        };
        self.notices.iter().map(count).sum()
    }
}

fn run(numbers: Range<u64>) -> SeqRun {
    SeqRun { first: Seq(numbers.start), count: u32::try_from(numbers.end - numbers.start).unwrap() }
}
