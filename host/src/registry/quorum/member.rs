//! What a member does: says that it has started, renews its tenure; and, while it leads, lets nodes in,
//! has an odd number of them vote, and ends the claims of those that are not heard any more.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use forebay_proto::{
    ids::{BootId, NodeName},
    names::{
        Change,
        quorum::{Answer, Candidate, Command, MemberNo, NodeRecord, Outcome, Proposal, Request, voters},
    },
};
use tokio::{
    task::JoinSet,
    time::{Instant, MissedTickBehavior},
};

use super::{Ended, Inner, Membership, conduct::Rollouts, lock, propose::TRY_WITHIN};
use crate::{
    registry::raft::{Group, GroupStatus, MemberId, ReadError},
    wall::now_ms,
};

/// How often a member looks at what there is to do, if nothing calls for it earlier.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// How often a member renews its tenure; a tenth of a second is a twelfth of the default lease.
const RENEW_EVERY: Duration = Duration::from_millis(100);

/// How long a renewal may take before it is sent again.
const RENEW_WITHIN: Duration = Duration::from_millis(300);

/// How often a member without a leader asks everybody who is connected whether it is one still.
const ASK_AROUND_EVERY: Duration = Duration::from_millis(500);

/// Entries a member may lack and still begin to vote: what comes in during a round trip.
const LAG_MAX: u64 = 100;

/// How long a member that was removed goes on voting, so that the others can agree to do without it.
const GOODBYE_WITHIN: Duration = Duration::from_secs(2);

/// How long the leader waits for another to take over when it ends.
const PASS_WITHIN: Duration = Duration::from_millis(700);

/// How often another process may take this node's place before this one gives up.
const DISPLACED_MAX: u32 = 2;

/// What a member remembers between two looks.
#[derive(Default)]
pub(super) struct Books {
    booted: bool,
    /// The ledger has shown this process as its node's.
    seen: bool,
    /// How often it has shown another one after that.
    displaced: u32,
    draining: bool,
    addresses: Vec<SocketAddr>,
    holds: bool,
    leads: bool,
    renewed: Option<Instant>,
    /// It is no member any more, since then.
    leaving: Option<(Instant, Ended)>,
    /// Under way: at most one change of members, one renewal, one boot, one round of ending claims.
    changing: JoinSet<()>,
    vacating: JoinSet<()>,
    renewing: JoinSet<Option<Ended>>,
    /// How long this leader has seen each roll-out as it is.
    pub(super) rollouts: Rollouts,
    pub(super) conducting: JoinSet<()>,
    booting: JoinSet<Result<Outcome, String>>,
}

impl Books {
    /// The first reason counts.
    fn leave(&mut self, ended: Ended) {
        self.leaving.get_or_insert_with(|| (Instant::now(), ended));
    }
}

impl Inner {
    /// Takes part until this is no member any more or its disk fails.
    pub(super) async fn take_part(self: &Arc<Self>, membership: &Membership) -> Ended {
        let mut books = Books::default();
        let mut watch = membership.raft.watch();
        let mut ticks = tokio::time::interval(LOOK_AGAIN);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let status = watch.status();
            if let Some(fatal) = &status.failed {
                return Ended::Failed(fatal.clone());
            }
            if let Some(ended) = self.look_at_place(membership, &status, &mut books) {
                return ended;
            }
            self.look_at_clock(status.is_leader);
            if status.is_leader != std::mem::replace(&mut books.leads, status.is_leader) {
                self.agreed.tell(Change::Leads { leads: status.is_leader, term: status.term });
            }
            if books.leaving.is_none() {
                self.look_at_tenure(membership, &status, &mut books);
                self.look_at_orders(&mut books);
                self.look_at_boot(&mut books);
                if !books.booted && books.booting.is_empty() {
                    self.boot(membership, &mut books);
                }
            }
            if self.is_heard(&status) {
                if books.vacating.is_empty() {
                    self.vacate(membership, &mut books);
                }
                if books.changing.is_empty() {
                    self.look_at_members(membership, &status, &mut books);
                }
                if books.conducting.is_empty() {
                    self.conduct(membership, &mut books);
                }
            } else {
                books.rollouts = Rollouts::default();
            }
            tokio::select! {
                biased;
                Some(done) = books.booting.join_next() => match done {
                    Ok(Ok(Outcome::Refused(why))) => books.leave(Ended::Removed(why)),
                    Ok(Ok(_)) => {
                        books.booted = true;
                        // Now the leader can: it is not waited for the next turn.
                        books.renewed = None;
                    }
                    // Tried again at once: one that fails takes its time.
                    Ok(Err(_)) | Err(_) => {}
                },
                Some(done) = books.renewing.join_next() => if let Ok(Some(ended)) = done {
                    books.leave(ended);
                },
                Some(_) = books.changing.join_next() => {}
                Some(_) = books.vacating.join_next() => {}
                Some(_) = books.conducting.join_next() => {}
                _ = watch.changed() => {}
                () = self.woken.notified() => {}
                _ = ticks.tick() => {}
            }
        }
    }

    /// Whether this member takes part no more. One that was removed goes on voting until the others
    /// have agreed to do without it: the last voter would take the group with it. And one that leads goes
    /// on until it knows that they have, however long that takes: it alone can tell them.
    fn look_at_place(&self, membership: &Membership, status: &GroupStatus, books: &mut Books) -> Option<Ended> {
        let member = membership.member;
        let is_retired = self.agreed.read(|ledger| ledger.retired().contains(&member));
        if is_retired {
            let number = member.0;
            let why = format!(
                "member {number} was removed from the group, or its place was taken by other data of the same name"
            );
            books.leave(Ended::Removed(why));
        }
        let votes = status.voters.contains_key(&MemberId(member.0));
        let may_go = |since: &Instant| match is_retired && status.is_leader {
            true => !votes && status.is_settled,
            false => !votes || since.elapsed() >= GOODBYE_WITHIN,
        };
        let (_, ended) = books.leaving.take_if(|(since, _)| may_go(since))?;
        Some(ended)
    }

    /// A process that started later is the node's, or one that has said so late: this one says that it is
    /// there, once; then it gives way.
    fn look_at_boot(&self, books: &mut Books) {
        let is_shown =
            self.agreed.read(|ledger| ledger.node(&self.me.node).is_some_and(|node| node.boot == Some(self.me.boot)));
        if is_shown {
            books.seen = true;
        } else if std::mem::take(&mut books.seen) {
            books.booted = false;
            books.displaced += 1;
            if books.displaced >= DISPLACED_MAX {
                let why = "another process takes part as this node: it runs with a copy of this node's data; stop one, \
                           and remove the `raft` directory in the data of the one that shall join anew";
                books.leave(Ended::Failed(why.to_owned()));
            }
        }
    }

    /// Notes that time has passed. After a pause of this process, or of its machine, nobody's silence counts:
    /// it was this node that did not listen. And what was heard before is old, by whatever clock.
    fn look_at_clock(&self, leads: bool) {
        let now = self.now();
        let (mut looked, mut leases) = (lock(&self.looked), lock(&self.leases));
        if now.saturating_sub(looked.at) > self.options.lease / 4 {
            leases.lead(now, false);
            looked.resumed = Some(Instant::now());
        }
        looked.at = now;
        leases.lead(now, leads);
    }

    /// Has the member look at what there is to do.
    pub(super) fn wake(&self) {
        self.woken.notify_one();
    }

    fn boot(self: &Arc<Self>, membership: &Membership, books: &mut Books) {
        let me = self.me.clone();
        let member = membership.member;
        let command = match member {
            // The founder is a member before the ledger knows of it. Only then: one that was removed would
            // let itself in again.
            MemberNo::FOUNDER if self.agreed.read(|ledger| ledger.nodes().next().is_none()) => {
                Command::Admit { node: me.node, store: self.store(), addr: me.addr }
            }
            _ => Command::Boot { node: me.node, member, boot: me.boot, addr: me.addr, pipelines: me.pipelines },
        };
        let is_boot = matches!(command, Command::Boot { .. });
        let inner = Arc::clone(self);
        books.booting.spawn(async move {
            match paced(inner.propose(command).await).await? {
                outcome if is_boot => Ok(outcome),
                _ => Err("admitted, not booted yet".to_owned()),
            }
        });
    }

    /// Renews this node's tenure, and tells the node when it ends and begins.
    fn look_at_tenure(self: &Arc<Self>, membership: &Membership, status: &GroupStatus, books: &mut Books) {
        if status.is_leader {
            if let Some(ago) = self.heard_ago(status) {
                let now = self.now();
                self.extend_tenure(now.saturating_sub(ago), self.options.lease);
                if self.is_heard(status) {
                    lock(&self.leases).renew(now, &self.me.node, self.me.boot);
                }
            }
        } else if let Some(leader) = status.leader_name()
            && books.renewing.is_empty()
            && books.renewed.is_none_or(|at| at.elapsed() >= RENEW_EVERY)
        {
            books.renewed = Some(Instant::now());
            books.renewing.spawn(Arc::clone(self).renew(membership.clone(), leader.clone()));
        } else if status.leader.is_none()
            && books.renewing.is_empty()
            && books.renewed.is_none_or(|at| at.elapsed() >= ASK_AROUND_EVERY)
        {
            books.renewed = Some(Instant::now());
            books.renewing.spawn(Arc::clone(self).ask_around(membership.clone()));
        }
        let holds = books.booted && self.cell.watch().holds();
        if holds != books.holds {
            books.holds = holds;
            let why = match status.leader_name() {
                _ if holds => "the group can be reached".to_owned(),
                Some(leader) => format!("the leader, {leader}, does not answer"),
                None => "the group has no leader that can be reached".to_owned(),
            };
            self.agreed.tell(Change::Quorum { holds, why });
        }
    }

    async fn renew(self: Arc<Self>, membership: Membership, leader: NodeName) -> Option<Ended> {
        let sent_at = self.now();
        let request = Request::Renew { group: membership.group, boot: self.me.boot };
        let answer = self.peers.ask(&leader, request.encode(), RENEW_WITHIN).await.ok()?;
        match Answer::decode(&answer).ok()? {
            Answer::Renewed { as_of, lease } => {
                // An owner that was away hears first whether it is one still, then it goes on.
                let mut watch = membership.raft.watch();
                let hears = watch.until(|status| status.last_applied >= Some(as_of));
                if tokio::time::timeout(RENEW_WITHIN, hears).await.is_ok() {
                    self.extend_tenure(sent_at, lease);
                }
            }
            Answer::Retired(why) => return Some(Ended::Removed(format!("{leader} says: {why}"))),
            _ => {}
        }
        None
    }

    /// A member that was removed while it was away hears of no leader: those who stayed do not talk to
    /// it. So it asks whoever is there.
    async fn ask_around(self: Arc<Self>, membership: Membership) -> Option<Ended> {
        for peer in self.peers.connected() {
            let request = Request::Renew { group: membership.group, boot: self.me.boot };
            let answer = self.peers.ask(&peer, request.encode(), RENEW_WITHIN).await.ok();
            if let Some(Ok(Answer::Retired(why))) = answer.map(|answer| Answer::decode(&answer)) {
                return Some(Ended::Removed(format!("{peer} says: {why}")));
            }
        }
        None
    }

    fn extend_tenure(&self, sent_at: Duration, lease: Duration) {
        let mut tenure = lock(&self.tenure);
        tenure.renewed(sent_at, lease);
        if let Some(until) = tenure.until() {
            self.cell.extend(until);
        }
    }

    /// Whether this leader has heard a majority lately; else it may be none any more.
    pub(super) fn is_heard(&self, status: &GroupStatus) -> bool {
        status.is_leader && self.heard_ago(status).is_some_and(|ago| ago <= self.options.timing.election_min)
    }

    /// How long ago a leader has sent what a majority has answered. Alone it is its own majority.
    fn heard_ago(&self, status: &GroupStatus) -> Option<Duration> {
        let resumed = lock(&self.looked).resumed;
        match status.voters.len() {
            1 => Some(Duration::ZERO),
            _ => status.quorum_acknowledged.filter(|at| resumed.is_none_or(|since| *at > since)).map(|at| at.elapsed()),
        }
    }

    /// The leader's answer to a renewal.
    pub(super) async fn answer_renewal(&self, membership: &Membership, peer: &NodeName, boot: BootId) -> Answer {
        let status = membership.raft.status();
        if !status.is_leader {
            return Answer::NotLeader(status.leader_name().cloned());
        }
        if let Err(answer) = self.check_node(membership, peer).await {
            return answer;
        }
        if let Err(answer) = self.check_term(membership, status.term).await {
            return answer;
        }
        let status = membership.raft.status();
        self.look_at_clock(status.is_leader);
        if !self.is_heard(&status) {
            return Answer::NotNow("this leader has not heard a majority lately".to_owned());
        }
        if self.agreed.read(|ledger| ledger.node(peer).is_none_or(|node| node.boot != Some(boot))) {
            return Answer::NotNow("this start of the node is not agreed on yet, or another is".to_owned());
        }
        // From here on to the end, as in `vacate`: either its claims are being ended, or it is renewed.
        let vacating = lock(&self.vacating);
        if vacating.contains(&(peer.clone(), boot)) {
            return Answer::NotNow("its claims are being ended".to_owned());
        }
        match lock(&self.leases).renew(self.now(), peer, boot) {
            true => Answer::Renewed { as_of: status.last_applied.unwrap_or_default(), lease: self.options.lease },
            false => Answer::NotLeader(None),
        }
    }

    /// Waits until this leader has carried out all that was agreed on before it was elected: a former leader
    /// may have ended claims of whoever asks.
    async fn check_term(&self, membership: &Membership, term: u64) -> Result<(), Answer> {
        if self.term_begun.load(Ordering::Relaxed) == term {
            return Ok(());
        }
        match membership.raft.ensure_linearizable(TRY_WITHIN).await {
            Ok(()) => {
                self.term_begun.store(term, Ordering::Relaxed);
                Ok(())
            }
            Err(ReadError::NotLeader { leader }) => Err(Answer::NotLeader(leader.map(|(_, node)| node))),
            Err(error) => Err(Answer::NotNow(error.to_string())),
        }
    }

    /// Tells the node what operators have ordered, and where the others are.
    fn look_at_orders(&self, books: &mut Books) {
        let draining = self.agreed.read(|ledger| ledger.node(&self.me.node).is_some_and(|node| node.draining));
        if draining != books.draining {
            books.draining = draining;
            self.agreed.tell(Change::Draining(draining));
        }
        // Whom this node was told to join may be gone by the time it starts again.
        let others = |(node, record): (&NodeName, &NodeRecord)| record.addr.filter(|_| *node != self.me.node);
        let addresses: Vec<_> = self.agreed.read(|ledger| ledger.nodes().filter_map(others).collect());
        if addresses != books.addresses {
            books.addresses.clone_from(&addresses);
            self.agreed.tell(Change::Addresses(addresses));
        }
    }

    /// Ends the claims of processes that are not heard any more.
    fn vacate(self: &Arc<Self>, membership: &Membership, books: &mut Books) {
        let now = self.now();
        let owners: BTreeSet<_> =
            self.agreed.read(|ledger| ledger.claims().map(|claim| (claim.node.clone(), claim.boot)).collect());
        for (node, boot) in owners {
            let mut vacating = lock(&self.vacating);
            if lock(&self.leases).due(&node, boot).is_none_or(|due| due > now) {
                continue;
            }
            vacating.insert((node.clone(), boot));
            drop(vacating);
            let why = match lock(&self.leases).has_ended(&node, boot) {
                true => "its process has ended".to_owned(),
                false => format!("not heard for {} ms", self.options.lease.as_millis()),
            };
            tracing::info!(%node, %why, "ending its claims");
            let (inner, raft) = (Arc::clone(self), Arc::clone(&membership.raft));
            books.vacating.spawn(async move {
                let command = Command::Vacate { node: node.clone(), boot, why };
                // By this leader or by none: the next one gives everybody a lease of its own.
                decree(&raft, command).await;
                lock(&inner.vacating).remove(&(node, boot));
            });
        }
    }

    /// Begins the next change of members that is due, if any.
    fn look_at_members(self: &Arc<Self>, membership: &Membership, status: &GroupStatus, books: &mut Books) {
        let (nodes, retired) = self.agreed.read(|ledger| {
            let nodes: Vec<_> = ledger.nodes().map(|(name, node)| (name.clone(), node.member)).collect();
            (nodes, ledger.retired().to_vec())
        });
        let known: BTreeSet<_> = status.voters.keys().chain(status.learners.keys()).map(|member| member.0).collect();
        let missing = nodes.iter().find(|(_, member)| !known.contains(&member.0));
        let wanted = voters(&self.candidates(status, &retired), self.options.voters);
        let wanted: BTreeSet<_> = wanted.into_iter().map(|member| MemberId(member.0)).collect();
        let voting: BTreeSet<_> = status.voters.keys().copied().collect();
        let gone: BTreeSet<_> =
            status.learners.keys().copied().filter(|member| retired.contains(&MemberNo(member.0))).collect();
        let raft = Arc::clone(&membership.raft);
        if status.is_joint {
            // A leader has ended before it was done.
            let voters = if wanted.is_empty() { voting } else { wanted };
            books.changing.spawn(async move {
                tracing::info!(to = ?voters, "finishing a change of who votes");
                said("change who votes", raft.set_voters(voters)).await;
            });
        } else if let Some((node, member)) = missing.cloned() {
            books.changing.spawn(async move {
                tracing::info!(%node, member = member.0, "taking it in");
                said("take a member in", raft.add_learner(MemberId(member.0), node)).await;
            });
        } else if !wanted.is_empty() && wanted != voting {
            books.changing.spawn(async move {
                tracing::info!(from = ?voting, to = ?wanted, "changing who votes");
                said("change who votes", raft.set_voters(wanted)).await;
            });
        } else if !gone.is_empty() {
            books.changing.spawn(async move {
                said("let members go", raft.remove(gone)).await;
            });
        }
    }

    fn candidates(&self, status: &GroupStatus, retired: &[MemberNo]) -> Vec<Candidate> {
        let last = status.last_log.unwrap_or_default();
        let connected = self.peers.connected();
        let members = status.voters.iter().map(|voter| (voter, true));
        let members = members.chain(status.learners.iter().map(|learner| (learner, false)));
        let present = members.filter(|((member, _), _)| !retired.contains(&MemberNo(member.0)));
        let candidate = |((member, node), votes): ((&MemberId, &NodeName), bool)| {
            let matched = status.replicated.get(member).copied().flatten();
            let is_current = matched.is_some_and(|at| at + LAG_MAX >= last) && connected.contains(node);
            Candidate { member: MemberNo(member.0), votes, is_current, leads: *member == status.member }
        };
        present.map(candidate).collect()
    }

    /// Has another member lead, if this one does and there is another that votes.
    pub(super) async fn pass_leadership(&self) {
        let Some(membership) = self.membership() else { return };
        let status = membership.raft.status();
        let connected = self.peers.connected();
        let others = status.voters.iter().filter(|(_, node)| connected.contains(node));
        let next = others.max_by_key(|(member, _)| status.replicated.get(member).copied().flatten());
        let Some((next, _)) = next.filter(|_| status.is_leader) else { return };
        membership.raft.transfer_leadership(*next).await;
        let passed = async {
            membership.raft.watch().until(|status| !status.is_leader).await;
        };
        // If it does not come to that, the others elect one when they miss this one.
        let _ = tokio::time::timeout(PASS_WITHIN, passed).await;
    }
}

/// What came of an attempt, late if it failed. It is tried again as soon as it is known: what is refused at once would
/// keep a processor busy.
async fn paced<T, E>(outcome: Result<T, E>) -> Result<T, E> {
    if outcome.is_err() {
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    outcome
}

/// Has a command of the leader agreed on, by itself. What comes of it shows in the ledger; if nothing does it is tried
/// again.
pub(super) async fn decree(raft: &Group, command: Command) {
    if paced(raft.propose(Proposal { at_ms: now_ms(), command }.encode(), TRY_WITHIN).await).await.is_ok() {
        raft.spread().await;
    }
}

/// Makes a change, and says if it could not be made.
async fn said<E: std::fmt::Display>(what: &str, change: impl Future<Output = Result<(), E>>) {
    // The next look finds what is still to be done.
    let _ = paced(change.await.inspect_err(|error| tracing::warn!(%error, "could not {what}; trying again"))).await;
}
