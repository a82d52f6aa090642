//! From a node without a place to a member: found a group, or be let into one.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, atomic::Ordering},
    time::Duration,
};

use forebay_proto::{
    ids::NodeName,
    names::{
        Change,
        quorum::{Answer, GroupId, MemberNo, Request, Step},
    },
};

use super::{Ended, Home, HomeError, Inner, Membership, Phase, Place, lock, machine::LedgerMachine};
use crate::{
    chain::chain,
    registry::{
        Peers,
        raft::{self, Group, GroupError, GroupOptions, MemberId},
    },
};

/// The pause between two rounds of asking everybody who is connected.
const ASK_AGAIN: Duration = Duration::from_millis(50);

/// How long a peer may take to let a node in: as long as agreeing on it takes at worst.
const ADMIT_WITHIN: Duration = Duration::from_secs(4);

impl Inner {
    /// Comes to a place and starts the consensus protocol.
    pub(super) async fn take_place(self: &Arc<Self>) -> Result<Membership, Ended> {
        let mut place = self.at_home(|home, node| home.load(node)).await?;
        self.store.store(place.store, Ordering::Relaxed);
        let (group, member) = match place.member {
            Some(member) => {
                // Peers are told from now on: those of another group do not stay connected.
                let _ = self.group.set(member.0);
                member
            }
            None => {
                let member = self.seek_place(place).await?;
                place.member = Some(member);
                // Before it takes part: a member that forgot its number could vote twice.
                self.at_home(move |home, node| home.save(node, place)).await?;
                member
            }
        };
        let _ = self.group.set(group);
        let peers = Arc::new(RaftPeers { group, member, peers: Arc::clone(&self.peers), refused: Mutex::default() });
        let options = GroupOptions {
            member: MemberId(member.0),
            node: self.me.node.clone(),
            timing: self.options.timing,
            storage: self.options.home.storage(),
            machine: Box::new(LedgerMachine(Arc::clone(&self.agreed))),
            peers,
        };
        let raft = Group::start(options).await.map_err(|error| Ended::Failed(chain(&error)))?;
        if member == MemberNo::FOUNDER && !place.began {
            match raft.found().await {
                // It did so before, and starts again.
                Ok(()) | Err(GroupError::NotFresh) => {}
                Err(error) => return Err(Ended::Failed(chain(&error))),
            }
        }
        if !place.began {
            place.began = true;
            self.at_home(move |home, node| home.save(node, place)).await?;
        }
        Ok(Membership { group, member, raft: Arc::new(raft) })
    }

    /// Does something with what this node keeps, where it may block.
    async fn at_home<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Home, &NodeName) -> Result<T, HomeError> + Send + 'static,
    ) -> Result<T, Ended> {
        let (home, node) = (self.options.home.clone(), self.me.node.clone());
        let done = match home {
            Home::Memory(_) => work(&home, &node),
            Home::Directory(_) => match tokio::task::spawn_blocking(move || work(&home, &node)).await {
                Ok(done) => done,
                Err(error) => return Err(Ended::Failed(format!("reading or writing this node's place: {error}"))),
            },
        };
        done.map_err(|error| Ended::Failed(chain(&error)))
    }

    /// Asks everybody until somebody lets it in, or it is this node's turn to found a group.
    async fn seek_place(&self, place: Place) -> Result<(GroupId, MemberNo), Ended> {
        lock(&self.founding).seek(true);
        loop {
            let mut member_met = false;
            for peer in self.peers.connected() {
                match self.ask_in(&peer, place).await {
                    // A founder takes itself in, nobody else does.
                    Some(Answer::Admitted { group, member }) if member != MemberNo::FOUNDER => {
                        lock(&self.founding).seek(false);
                        return Ok((group, member));
                    }
                    Some(Answer::Stranger(stranger)) => lock(&self.founding).on_stranger(&peer, stranger),
                    Some(Answer::Refused(why)) => {
                        return Err(Ended::Removed(format!("{peer} does not let this node in: {why}")));
                    }
                    Some(_) => {
                        // It has a group: there is none to be founded.
                        member_met = true;
                        lock(&self.founding).forget(&peer);
                    }
                    None => lock(&self.founding).forget(&peer),
                }
            }
            let (step, waits_for) = {
                let mut founding = lock(&self.founding);
                (founding.decide(member_met), founding.waits_for())
            };
            if step == Step::Found {
                return Ok((new_group(), MemberNo::FOUNDER));
            }
            self.wait_for(waits_for);
            tokio::time::sleep(ASK_AGAIN).await;
        }
    }

    /// Says what it waits for, once.
    fn wait_for(&self, what: String) {
        let is_news = self.phase.send_if_modified(|phase| match phase {
            Phase::Joining(before) if *before != what => {
                before.clone_from(&what);
                true
            }
            _ => false,
        });
        if is_news {
            self.agreed.tell(Change::Quorum { holds: false, why: format!("this node waits for {what}") });
        }
    }

    async fn ask_in(&self, peer: &NodeName, place: Place) -> Option<Answer> {
        let stranger = lock(&self.founding).own();
        let request = Request::Admit { store: place.store, addr: self.me.addr, stranger };
        let answer = self.peers.ask(peer, request.encode(), ADMIT_WITHIN).await.ok()?;
        Answer::decode(&answer).ok()
    }
}

pub(super) fn new_group() -> GroupId {
    let random = ring::rand::generate::<[u8; 16]>(&ring::rand::SystemRandom::new());
    GroupId(u128::from_le_bytes(random.expect("the system has random numbers").expose()))
}

/// Calls of the consensus protocol, as requests to peers.
#[derive(Debug)]
struct RaftPeers {
    group: GroupId,
    member: MemberNo,
    peers: Arc<dyn Peers>,
    /// Why each peer last refused, so that it is told once.
    refused: Mutex<BTreeMap<NodeName, String>>,
}

impl RaftPeers {
    fn tell_refusal(&self, peer: &NodeName, why: &str) {
        let before = lock(&self.refused).insert(peer.clone(), why.to_owned());
        if before.as_deref() != Some(why) {
            tracing::warn!(%peer, %why, "refuses what this member says");
        }
    }
}

#[async_trait::async_trait]
impl raft::Peers for RaftPeers {
    async fn call(
        &self,
        to: MemberId,
        node: &NodeName,
        call: bytes::Bytes,
        within: Duration,
    ) -> Result<bytes::Bytes, raft::Unreachable> {
        let request = Request::Raft { group: self.group, from: self.member, to: MemberNo(to.0), call };
        let answer = self.peers.ask(node, request.encode(), within).await.map_err(raft::Unreachable)?;
        match Answer::decode(&answer) {
            Ok(Answer::Raft(answer)) => Ok(answer),
            Ok(Answer::NotNow(why)) => Err(raft::Unreachable(why)),
            Ok(Answer::Refused(why)) => {
                self.tell_refusal(node, &why);
                Err(raft::Unreachable(why))
            }
            Ok(other) => Err(raft::Unreachable(format!("an answer to something else: {other:?}"))),
            Err(error) => Err(raft::Unreachable(error.to_string())),
        }
    }
}
