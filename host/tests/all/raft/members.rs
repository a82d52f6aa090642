//! Members in one process, and what carries their requests.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use forebay::registry::raft::{
    Group, GroupError, GroupOptions, Machine, MemberId, MemoryDisk, Peers, Storage, Timing, Unreachable,
};
use forebay_proto::ids::NodeName;

/// How long a proposal may take on a slow machine, before it is asked again.
pub(super) const WITHIN: Duration = Duration::from_secs(20);

/// Slower than the default: two cores for six groups at a time.
pub(super) const TIMING: Timing = Timing {
    heartbeat: Duration::from_millis(100),
    election_min: Duration::from_millis(400),
    election_max: Duration::from_millis(800),
};

pub(super) fn numbered(number: u64) -> Bytes {
    number.to_le_bytes().to_vec().into()
}

/// A machine that remembers each command with its index, and answers with the number of commands.
#[derive(Clone, Debug, Default)]
pub(super) struct Journal(pub(super) Arc<Mutex<Vec<Applied>>>);

/// A command and its index.
pub(super) type Applied = (u64, Vec<u8>);

impl Machine for Journal {
    fn apply(&mut self, index: u64, command: &[u8]) -> Vec<u8> {
        let mut commands = self.0.lock().unwrap();
        commands.push((index, command.to_vec()));
        (commands.len() as u64).to_le_bytes().to_vec()
    }

    fn snapshot(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (index, command) in &*self.0.lock().unwrap() {
            bytes.extend(index.to_le_bytes());
            bytes.extend((command.len() as u64).to_le_bytes());
            bytes.extend(command);
        }
        bytes
    }

    fn restore(&mut self, mut snapshot: &[u8]) -> Result<(), String> {
        let mut commands = Vec::new();
        while !snapshot.is_empty() {
            let (head, rest) = snapshot.split_at_checked(16).ok_or("cut short")?;
            let number = |at: usize| u64::from_le_bytes(head[at..at + 8].try_into().unwrap());
            let (command, rest) = rest.split_at_checked(usize::try_from(number(8)).unwrap()).ok_or("cut short")?;
            commands.push((number(0), command.to_vec()));
            snapshot = rest;
        }
        *self.0.lock().unwrap() = commands;
        Ok(())
    }
}

/// All members, and who cannot be reached.
#[derive(Clone, Debug, Default)]
pub(super) struct Town(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    members: BTreeMap<u64, (Arc<Group>, Journal)>,
    cut: BTreeSet<u64>,
    /// Requests carried, by kind.
    carried: BTreeMap<u8, u64>,
}

/// How one member reaches the others.
#[derive(Debug)]
struct Line {
    town: Town,
    from: u64,
}

#[async_trait]
impl Peers for Line {
    async fn call(&self, to: MemberId, node: &NodeName, request: Bytes, _: Duration) -> Result<Bytes, Unreachable> {
        assert_eq!(node.as_str(), format!("n{}", to.0));
        assert!(request.len() <= 8 << 20, "a request of {} bytes", request.len());
        let group = {
            let mut state = self.town.0.lock().unwrap();
            *state.carried.entry(request[1]).or_default() += 1;
            let open = !state.cut.contains(&self.from) && !state.cut.contains(&to.0);
            let found = state.members.get(&to.0).map(|(group, _)| group.clone());
            found.filter(|_| open).ok_or_else(|| Unreachable("cut off".to_owned()))?
        };
        let answer = group.answer(MemberId(self.from), request).await;
        match self.town.0.lock().unwrap().cut.contains(&self.from) {
            true => Err(Unreachable("cut off".to_owned())),
            false => Ok(answer),
        }
    }
}

impl Town {
    /// These members in one group, the first of which founded it.
    pub(super) async fn in_memory(members: &[u64]) -> Self {
        let town = Self::default();
        for member in members {
            town.start(*member, Storage::Memory(MemoryDisk::default())).await;
        }
        town.found_of(members).await;
        town
    }

    pub(super) async fn try_start(&self, member: u64, storage: Storage, timing: Timing) -> Result<(), GroupError> {
        let journal = Journal::default();
        let options = GroupOptions {
            member: MemberId(member),
            node: format!("n{member}").parse().unwrap(),
            timing,
            storage,
            machine: Box::new(journal.clone()),
            peers: Arc::new(Line { town: self.clone(), from: member }),
        };
        let group = Arc::new(Group::start(options).await?);
        self.0.lock().unwrap().members.insert(member, (group, journal));
        Ok(())
    }

    pub(super) async fn start(&self, member: u64, storage: Storage) {
        self.try_start(member, storage, TIMING).await.unwrap();
    }

    pub(super) async fn stop(&self, member: u64) {
        let (group, _) = self.0.lock().unwrap().members.remove(&member).unwrap();
        group.stop().await;
    }

    /// The first founds a group, the others join it and vote.
    pub(super) async fn found_of(&self, members: &[u64]) {
        let first = self.group(members[0]);
        first.found().await.unwrap();
        first.watch().until(|status| status.is_leader).await;
        for member in &members[1..] {
            first.add_learner(MemberId(*member), format!("n{member}").parse().unwrap()).await.unwrap();
        }
        let voters: BTreeSet<_> = members.iter().map(|member| MemberId(*member)).collect();
        first.set_voters(voters.clone()).await.unwrap();
        let status = first.watch().until(|status| !status.is_joint).await;
        assert_eq!(status.voters.keys().copied().collect::<BTreeSet<_>>(), voters);
    }

    pub(super) fn group(&self, member: u64) -> Arc<Group> {
        self.0.lock().unwrap().members[&member].0.clone()
    }

    pub(super) fn journal(&self, member: u64) -> Vec<Applied> {
        self.0.lock().unwrap().members[&member].1.0.lock().unwrap().clone()
    }

    /// The journal once it has the command at this index.
    pub(super) async fn journal_with(&self, member: u64, index: u64) -> Vec<Applied> {
        self.group(member).watch().until(|status| status.last_applied >= Some(index)).await;
        self.journal(member)
    }

    pub(super) fn cut(&self, member: u64) {
        self.0.lock().unwrap().cut.insert(member);
    }

    pub(super) fn heal(&self) {
        self.0.lock().unwrap().cut.clear();
    }

    pub(super) fn carried(&self, kind: u8) -> u64 {
        self.0.lock().unwrap().carried.get(&kind).copied().unwrap_or_default()
    }

    /// Who leads those that are not cut off, once somebody does.
    pub(super) async fn leader(&self) -> u64 {
        loop {
            let open: Vec<_> = {
                let state = self.0.lock().unwrap();
                let open = state.members.iter().filter(|(member, _)| !state.cut.contains(member));
                open.map(|(member, (group, _))| (*member, group.clone())).collect()
            };
            for (member, group) in &open {
                if group.status().is_leader && group.ensure_linearizable(Duration::from_secs(1)).await.is_ok() {
                    return *member;
                }
            }
            // Whoever is elected, all hear of it.
            let _ = tokio::time::timeout(Duration::from_millis(50), open[0].1.watch().changed()).await;
        }
    }

    /// Proposes these numbers to whoever leads, each until it is acknowledged. What was proposed while the
    /// leadership is settled happens once.
    pub(super) async fn propose_all(&self, numbers: Range<u64>) -> Vec<Applied> {
        let mut done = Vec::new();
        for number in numbers {
            let leader = self.leader().await;
            let (index, reply) = self.group(leader).propose(numbered(number), WITHIN).await.unwrap();
            assert_eq!(reply.len(), 8);
            done.push((index, numbered(number).to_vec()));
        }
        done
    }
}
