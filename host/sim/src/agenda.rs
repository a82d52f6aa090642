//! What is to happen when, and what everybody in the simulation can reach: the clock, the lots, the
//! network and the log.

use std::{collections::BTreeMap, time::Duration};

use forebay_proto::stage::GuestNo;
use rand::rngs::SmallRng;

use crate::{
    facts::{Fact, Fault, InstanceNo, NodeNo, Side, StreamNo, What},
    guest::Phase,
    network::{Network, SessionNo},
};

/// Something that is due.
#[derive(Clone, Debug)]
pub(crate) enum Due {
    /// The next frame of a subscription arrives at this end.
    Frame(StreamNo, Side),
    /// The next control message arrives at this node.
    Control(SessionNo, NodeNo),
    /// A subscription could not even begin.
    NoWay(StreamNo),
    /// This node finds that a connection is over: by silence, if the cut with this number still is.
    Disconnect {
        session: SessionNo,
        node: NodeNo,
        by_silence: Option<u32>,
    },
    /// Two nodes try to connect.
    Connect(NodeNo, NodeNo),
    /// A guest call is over.
    Return(NodeNo, InstanceNo, GuestNo),
    /// A guest emits by itself.
    Pay(NodeNo, InstanceNo),
    /// A stage wants to be woken.
    Wake(NodeNo, InstanceNo),
    /// A node wants to be woken.
    NodeWake(NodeNo),
    Start(NodeNo),
    Fault(Fault),
    Calm,
    Closing,
    /// Is all done?
    Look,
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Env {
    pub(crate) now: Duration,
    pub(crate) phase: Phase,
    pub(crate) rng: SmallRng,
    pub(crate) network: Network,
    pub(crate) facts: Vec<Fact>,
    agenda: BTreeMap<(Duration, u64), Due>,
    scheduled: u64,
    instances: u32,
}

impl Env {
    pub(crate) fn new(rng: SmallRng, network: Network) -> Self {
        Self {
            now: Duration::ZERO,
            phase: Phase::Faults,
            rng,
            network,
            facts: Vec::new(),
            agenda: BTreeMap::new(),
            scheduled: 0,
            instances: 0,
        }
    }

    pub(crate) fn after(&mut self, delay: Duration, due: Due) {
        self.at(self.now + delay, due);
    }

    /// Things due at one time happen in the order in which they were scheduled.
    pub(crate) fn at(&mut self, at: Duration, due: Due) {
        self.scheduled += 1;
        self.agenda.insert((at.max(self.now), self.scheduled), due);
    }

    pub(crate) fn next(&mut self) -> Option<Due> {
        let ((at, _), due) = self.agenda.pop_first()?;
        self.now = at;
        Some(due)
    }

    pub(crate) fn note(&mut self, what: What) {
        self.facts.push(Fact { at: self.now, what });
    }

    pub(crate) fn new_instance(&mut self) -> InstanceNo {
        self.instances += 1;
        InstanceNo(self.instances)
    }
}
