//! What must hold in every run. One law, one file; each says where it comes from.
//!
//! A law reads the log of facts and, some of them, how the cluster was left; it never looks into the
//! core. `README.md` has the table.

mod acked_end_to_end;
mod acked_was_processed;
mod asked_by_the_guest;
mod asked_is_wanted;
mod attempts_count_deliveries;
mod batches_do_not_wait;
mod batches_fit_demand;
mod content_is_kept;
mod credit_holds;
mod drains_end;
mod each_group_gets_all;
mod epochs_rise;
mod first_deliveries_in_order;
mod heals;
mod keys_in_order;
mod merge_is_a_join;
mod nothing_is_lost;
mod old_epochs_change_nothing;
mod one_owner_per_epoch;
mod only_what_was_selected;
mod partitions_in_order;
mod rate_is_kept;
mod repetition_is_explained;
mod state_is_kept;
mod waiting_is_idle;

use std::time::Duration;

use crate::{facts::Fact, oracle::Run};

/// Where a law was broken first.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Violation {
    pub(crate) at: Duration,
    pub(crate) what: String,
}

impl Violation {
    fn at(fact: &Fact, what: impl Into<String>) -> Self {
        Self { at: fact.at, what: what.into() }
    }

    fn in_the_end(run: &Run, what: impl Into<String>) -> Self {
        Self { at: run.facts.last().map_or(Duration::ZERO, |fact| fact.at), what: what.into() }
    }
}

pub(crate) type Check = fn(&Run) -> Result<(), Violation>;

/// All laws, by the names of their files.
pub(crate) const LAWS: [(&str, Check); 25] = [
    ("acked_end_to_end", acked_end_to_end::check),
    ("acked_was_processed", acked_was_processed::check),
    ("asked_by_the_guest", asked_by_the_guest::check),
    ("asked_is_wanted", asked_is_wanted::check),
    ("attempts_count_deliveries", attempts_count_deliveries::check),
    ("batches_do_not_wait", batches_do_not_wait::check),
    ("batches_fit_demand", batches_fit_demand::check),
    ("content_is_kept", content_is_kept::check),
    ("credit_holds", credit_holds::check),
    ("drains_end", drains_end::check),
    ("each_group_gets_all", each_group_gets_all::check),
    ("epochs_rise", epochs_rise::check),
    ("first_deliveries_in_order", first_deliveries_in_order::check),
    ("heals", heals::check),
    ("keys_in_order", keys_in_order::check),
    ("merge_is_a_join", merge_is_a_join::check),
    ("nothing_is_lost", nothing_is_lost::check),
    ("old_epochs_change_nothing", old_epochs_change_nothing::check),
    ("one_owner_per_epoch", one_owner_per_epoch::check),
    ("rate_is_kept", rate_is_kept::check),
    ("only_what_was_selected", only_what_was_selected::check),
    ("partitions_in_order", partitions_in_order::check),
    ("repetition_is_explained", repetition_is_explained::check),
    ("state_is_kept", state_is_kept::check),
    ("waiting_is_idle", waiting_is_idle::check),
];

/// Made-up runs, to see each check find what it is for.
#[cfg(test)]
mod made_up {
    use std::{collections::BTreeSet, time::Duration};

    use forebay_proto::{
        consumer::CancelMode,
        ids::{BootId, Epoch, Seq},
        message::{Demand, SeqRun},
        names::{Claim, GlobalName},
        stage::{Ack, GuestNo, Role},
    };

    use crate::{
        facts::{Fact, Instance, InstanceNo, NodeNo, Numbered, StageNo, StreamNo, What},
        guest::{Habit, Manners},
        oracle::{Ending, Run},
        routing::Routing,
        workload::{Flow, Scope, StagePlan, Workload},
    };

    pub(super) const SOURCE: StageNo = StageNo(0);
    pub(super) const SINK: StageNo = StageNo(1);
    pub(super) const STREAM: StreamNo = StreamNo(1);

    pub(super) fn epoch(lamport: u32) -> Epoch {
        Epoch { lamport, tag: 7 }
    }

    pub(super) fn producer() -> Instance {
        Instance { no: InstanceNo(1), node: NodeNo(0), stage: SOURCE, epoch: epoch(2) }
    }

    pub(super) fn consumer() -> Instance {
        Instance { no: InstanceNo(2), node: NodeNo(0), stage: SINK, epoch: epoch(1) }
    }

    fn plan(no: StageNo, role: Role) -> StagePlan {
        let upstreams = vec![(SOURCE, demand(), CancelMode::Temporary)];
        StagePlan {
            no,
            role,
            scope: if role == Role::Producer { Scope::Global } else { Scope::Node },
            nodes: BTreeSet::from([NodeNo(0)]),
            upstreams: if role == Role::Producer { Vec::new() } else { upstreams },
            habit: Habit::Sink,
            manners: Manners { trap: 0, retry: 0, reject: 0, slow_us: 1000 },
            poll: Some(Duration::from_millis(50)),
            tick: None,
            checkpoint: None,
            ack: Ack::Early,
            call_events_max: 1000,
            message_bytes_max: 1000,
            flow: Flow::default(),
        }
    }

    fn demand() -> Demand {
        Demand::new(5, Some(2)).unwrap()
    }

    /// One thing each millisecond, on one node with a producer and a consumer of it.
    pub(super) fn run(whats: impl IntoIterator<Item = What>) -> Run {
        let fact = |(at, what)| Fact { at: Duration::from_millis(at), what };
        let workload = Workload {
            nodes: 1,
            stages: vec![plan(SOURCE, Role::Producer), plan(SINK, Role::Consumer)],
            routing: Routing::default(),
            faults: Vec::new(),
            is_faultless: false,
            groups: vec![0],
            calm_at: Duration::ZERO,
            closing_at: Duration::ZERO,
            end_at: Duration::ZERO,
        };
        Run { facts: (0..).zip(whats).map(fact).collect(), workload, ending: Ending::default() }
    }

    pub(super) fn subscribed_by(stream: StreamNo) -> [What; 2] {
        let (consumer, epoch, demand) = (consumer(), producer().epoch, demand());
        [
            What::Subscribed { stream, consumer, source: SOURCE, epoch, demand },
            What::Joined { stream, producer: producer() },
        ]
    }

    /// The log of a subscription that has begun and goes on with `whats`.
    pub(super) fn subscribed(whats: impl IntoIterator<Item = What>) -> Run {
        run(subscribed_by(STREAM).into_iter().chain(whats))
    }

    pub(super) fn runs(first: u64, count: u32) -> Vec<SeqRun> {
        vec![SeqRun { first: Seq(first), count }]
    }

    pub(super) fn events(first: u64, count: u32, attempt: u32) -> Numbered {
        let payloads = (first..first + u64::from(count)).map(|n| n.to_string().into_bytes()).collect();
        Numbered { attempt, runs: runs(first, count), payloads }
    }

    pub(super) fn sent(first: u64, count: u32, attempt: u32) -> What {
        What::EventsSent { stream: STREAM, events: events(first, count, attempt) }
    }

    pub(super) fn ask_taken(granted: u64, acked: Vec<SeqRun>) -> What {
        What::AskTaken { stream: STREAM, granted, acked }
    }

    pub(super) fn emitted_by(producer: Instance, count: u64) -> What {
        What::Emitted { producer, payloads: vec![Vec::new(); count as usize] }
    }

    pub(super) fn emitted(count: u64) -> What {
        let payloads = (0..count).map(|n| n.to_string().into_bytes()).collect();
        What::Emitted { producer: producer(), payloads }
    }

    pub(super) fn called(first: u64, count: u32, attempt: u32) -> What {
        let (source, epoch, events) = (SOURCE, producer().epoch, events(first, count, attempt));
        What::Called { consumer: consumer(), guest: GuestNo::FIRST, stream: STREAM, source, epoch, events }
    }

    pub(super) fn processed(first: u64, count: u32) -> What {
        let (source, epoch, runs) = (SOURCE, producer().epoch, runs(first, count));
        What::Processed { consumer: consumer(), guest: GuestNo::FIRST, stream: STREAM, source, epoch, runs }
    }

    pub(super) fn claim(node: u8, lamport: u32) -> Claim {
        Claim {
            name: GlobalName { pipeline: "p".parse().unwrap(), stage: "s0".parse().unwrap() },
            node: format!("n{node}").parse().unwrap(),
            boot: BootId(u64::from(node)),
            epoch: epoch(lamport),
            claimed_at_ms: 5,
            progress: Seq(0),
        }
    }
}
