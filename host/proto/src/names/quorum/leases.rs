//! How long an owner goes on without being heard, and how long it is waited for.
//!
//! ```text
//! owner:   renews ----> goes on until LEASE x 7/10 after the sending of the last renewal answered
//! leader:  <----------- waits LEASE from the last renewal, or from when it began to lead
//! ```
//!
//! Liveness only. The owner counts from before the leader does and stops earlier, so that with clocks
//! of about the same rate a former owner has fallen silent before there is a new one. A process that
//! was paused may still speak: what it says is refused for its epoch.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::ids::{BootId, NodeName};

/// How long an owner that is not heard is waited for, unless configured.
///
/// 1.2 s: twelve renewals at the default of a ping every 100 ms. A paused owner's name moves on in
/// less than 2 s; a processor that is busy for a second moves nothing.
pub const LEASE_DEFAULT: Duration = Duration::from_millis(1200);

/// A process of a node.
type Process = (NodeName, BootId);

/// The leader's books of who was heard when.
#[derive(Debug)]
pub struct Leases {
    lease: Duration,
    /// Since when this node leads; before, it has heard nobody.
    leading_since: Option<Duration>,
    heard: BTreeMap<Process, Duration>,
    /// Processes that have ended, as far as can be told from outside.
    ended: BTreeSet<Process>,
}

impl Leases {
    /// Books of a node that does not lead.
    pub fn new(lease: Duration) -> Self {
        Self { lease, leading_since: None, heard: BTreeMap::new(), ended: BTreeSet::new() }
    }

    /// This node leads from now on, or does not any more. A new leader gives everybody a full lease:
    /// the former one may have renewed it just now.
    pub fn lead(&mut self, now: Duration, leads: bool) {
        if leads != self.leading_since.is_some() {
            self.leading_since = leads.then_some(now);
            self.heard.clear();
        }
    }

    /// A process asks for renewal. Whether it is granted: only a leader can.
    pub fn renew(&mut self, now: Duration, node: &NodeName, boot: BootId) -> bool {
        let process = (node.clone(), boot);
        self.ended.remove(&process);
        if self.leading_since.is_some() {
            self.heard.insert(process, now);
        }
        self.leading_since.is_some()
    }

    /// A process has ended, by the word of its machine or its own: there is nobody to wait for. A
    /// wrong word costs a change of owner, nothing else.
    pub fn ended(&mut self, node: &NodeName, boot: BootId) {
        self.ended.insert((node.clone(), boot));
    }

    /// Whether the process is taken for ended.
    pub fn has_ended(&self, node: &NodeName, boot: BootId) -> bool {
        self.ended.contains(&(node.clone(), boot))
    }

    /// A process is connected: what was said of its end was wrong.
    pub fn connected(&mut self, node: &NodeName, boot: BootId) {
        self.ended.retain(|(other, _)| other != node);
        let process = (node.clone(), boot);
        self.heard.retain(|other, _| other.0 != process.0 || *other == process);
    }

    /// When this owner's claims end unless it is heard; `None`: not by this node's word.
    pub fn due(&self, node: &NodeName, boot: BootId) -> Option<Duration> {
        let since = self.leading_since?;
        let process = (node.clone(), boot);
        if self.ended.contains(&process) {
            return Some(since);
        }
        let heard = self.heard.get(&process).copied().unwrap_or(since);
        Some(heard + self.lease)
    }
}

/// An owner's own view: whether it may go on.
#[derive(Debug)]
pub struct Tenure {
    lease: Duration,
    until: Option<Duration>,
}

impl Tenure {
    /// Of a process that was not heard by a leader yet.
    pub fn new(lease: Duration) -> Self {
        Self { lease, until: None }
    }

    /// A renewal that was sent at `sent_at` was granted by a leader that waits for `lease`. Of its lease and
    /// this node's own, the shorter one counts.
    pub fn renewed(&mut self, sent_at: Duration, lease: Duration) {
        self.until = self.until.max(Some(sent_at + self.lease.min(lease) * 7 / 10));
    }

    /// Until when the owner may go on; `None`: it may not.
    pub fn until(&self) -> Option<Duration> {
        self.until
    }

    /// Whether it may go on now.
    pub fn holds(&self, now: Duration) -> bool {
        self.until().is_some_and(|until| now < until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(1);
    const BOOT: BootId = BootId(7);

    fn node() -> NodeName {
        "a".parse().unwrap()
    }

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_leader_waits_a_full_lease_from_when_it_began_or_last_heard() {
        let mut leases = Leases::new(LEASE);
        assert_eq!(leases.due(&node(), BOOT), None, "it does not lead");
        assert!(!leases.renew(at(100), &node(), BOOT));
        leases.lead(at(500), true);
        assert_eq!(leases.due(&node(), BOOT), Some(at(1500)), "what it heard before does not count");
        assert!(leases.renew(at(900), &node(), BOOT));
        assert_eq!(leases.due(&node(), BOOT), Some(at(1900)));
        assert_eq!(leases.due(&node(), BootId(8)), Some(at(1500)), "another start of it was not heard");
    }

    #[test]
    fn leading_again_gives_everybody_a_full_lease_again() {
        let mut leases = Leases::new(LEASE);
        leases.lead(at(0), true);
        leases.renew(at(10), &node(), BOOT);
        leases.lead(at(20), false);
        leases.lead(at(5000), true);
        leases.lead(at(5500), true);
        assert_eq!(leases.due(&node(), BOOT), Some(at(6000)));
    }

    #[test]
    fn a_process_that_has_ended_is_not_waited_for_unless_it_speaks_again() {
        let mut leases = Leases::new(LEASE);
        leases.lead(at(0), true);
        leases.renew(at(900), &node(), BOOT);
        leases.ended(&node(), BOOT);
        assert!(leases.due(&node(), BOOT).unwrap() <= at(900));
        leases.renew(at(950), &node(), BOOT);
        assert_eq!(leases.due(&node(), BOOT), Some(at(1950)));
        leases.ended(&node(), BOOT);
        leases.connected(&node(), BOOT);
        assert_eq!(leases.due(&node(), BOOT), Some(at(1950)));
    }

    #[test]
    fn an_owner_stops_before_the_leader_gives_its_name_away() {
        let (mut leases, mut tenure) = (Leases::new(LEASE), Tenure::new(LEASE));
        assert!(!tenure.holds(at(0)));
        leases.lead(at(0), true);
        let (sent, received) = (at(100), at(101));
        leases.renew(received, &node(), BOOT);
        tenure.renewed(sent, LEASE);
        assert!(tenure.holds(at(799)) && !tenure.holds(at(800)));
        assert!(tenure.until().unwrap() < leases.due(&node(), BOOT).unwrap());
        tenure.renewed(at(50), LEASE);
        assert_eq!(tenure.until(), Some(at(800)), "an answer that comes late takes nothing back");
        tenure.renewed(at(700), LEASE / 2);
        assert_eq!(tenure.until(), Some(at(1050)), "a leader that waits less long has the say");
        tenure.renewed(at(700), LEASE * 9);
        assert_eq!(tenure.until(), Some(at(1400)), "and so has the owner");
    }
}
