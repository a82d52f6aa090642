//! What every registry does: the contract of the trait, test by test.
//!
//! A new implementation is one more line in `for_every_registry!`, with a [`Group`] of its own.

mod inbox;

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use forebay::{
    disk::DiskRoom,
    registry::{
        CheckpointError, ClaimError, IslandsRegistry, Peers, Registry,
        quorum::{Home, Myself, QuorumOptions, QuorumRegistry},
    },
};
use forebay_proto::{
    checkpoints::Commit,
    ids::{BootId, Epoch, NodeName, Seq},
    names::{
        Change, Claim, GlobalName,
        quorum::{Answer, Command, MemberNo, Proposal, Request, Stranger},
    },
};
use tokio::sync::{mpsc, oneshot};

/// The registries of two nodes, a and b, that can reach each other unless they are parted.
trait Group: Sized {
    async fn start() -> Self;

    fn registry(&self, node: usize) -> &dyn Registry;

    /// Lets everything that one has said arrive at the other.
    async fn exchange(&self);

    /// From here on neither hears the other, and both notice.
    async fn part(&self);
}

macro_rules! suite {
    ($group:ty: $($name:ident,)*) => {
        $(#[tokio::test] async fn $name() { super::bounded(async { super::$name(<$group as super::Group>::start().await).await }).await; })*
    };
}

macro_rules! for_every_registry {
    ($($kind:ident: $group:ty,)*) => {
        $(mod $kind {
            suite! { $group:
                a_name_nobody_claimed_has_no_owner,
                a_claim_names_its_node_and_is_told_to_all,
                a_name_that_is_owned_is_not_granted_to_another,
                names_do_not_disturb_each_other,
                every_claim_has_a_higher_epoch_also_of_the_owner,
                a_released_name_can_be_claimed_by_another_in_a_higher_epoch,
                releasing_in_another_epoch_or_for_another_node_changes_nothing,
                a_checkpoint_is_a_compare_and_set,
                a_former_owner_is_fenced,
                changes_come_in_order_and_once,
                waiting_for_a_change_is_cancel_safe_and_wakes,
                a_parted_owners_name_is_never_owned_twice_after_they_meet,
            }
        })*
    };
}

for_every_registry! {
    islands: crate::registry::Islands,
    quorum: crate::registry::Quorum,
}

/// Two `IslandsRegistry`s, and the links between them.
pub(crate) struct Islands([(NodeName, IslandsRegistry); 2]);

impl Group for Islands {
    async fn start() -> Self {
        let node = |name: &str, boot| {
            let name: NodeName = name.parse().unwrap();
            (name.clone(), IslandsRegistry::new(name, BootId(boot)))
        };
        Self([node("a", 1), node("b", 2)])
    }

    fn registry(&self, node: usize) -> &dyn Registry {
        &self.0[node].1
    }

    async fn exchange(&self) {
        let [(a, of_a), (b, of_b)] = &self.0;
        // Twice: what one hears may change what it says.
        for _ in 0..2 {
            let (from_a, from_b) = (of_a.own(), of_b.own());
            of_b.on_names(a, from_a);
            of_a.on_names(b, from_b);
        }
    }

    async fn part(&self) {
        let [(a, of_a), (b, of_b)] = &self.0;
        of_a.on_peer_down(b, BootId(2), false);
        of_b.on_peer_down(a, BootId(1), false);
    }
}

/// Two members of a group, of which a votes, and the way between them.
pub(crate) struct Quorum {
    way: Arc<Way>,
    registries: [Arc<QuorumRegistry>; 2],
}

/// Carries requests from one registry to the other, unless it is cut.
#[derive(Debug, Default)]
struct Way {
    cut: AtomicBool,
    /// How many answers to proposals are lost from now on.
    lost_answers: AtomicUsize,
    ends: Mutex<BTreeMap<NodeName, mpsc::Sender<Asked>>>,
    /// Nodes whose disks are low.
    low: Mutex<BTreeSet<NodeName>>,
}

/// Who asks, what, and where the answer goes.
type Asked = (NodeName, Bytes, oneshot::Sender<Bytes>);

/// One node's end of the way.
#[derive(Debug)]
struct End {
    node: NodeName,
    way: Arc<Way>,
}

#[async_trait]
impl Peers for End {
    async fn ask(&self, peer: &NodeName, request: Bytes, within: Duration) -> Result<Bytes, String> {
        if self.way.cut.load(Ordering::Relaxed) {
            return Err("the way is cut".to_owned());
        }
        let end = self.way.ends.lock().unwrap().get(peer).cloned().ok_or("not there")?;
        let is_proposal = matches!(Request::decode(&request), Ok(Request::Propose { .. }));
        let (answer, answered) = oneshot::channel();
        end.send((self.node.clone(), request, answer)).await.map_err(|_| "gone")?;
        let answered = tokio::time::timeout(within, answered).await.map_err(|_| "no answer in time")?;
        let is_lost = |left: usize| left.checked_sub(1);
        if is_proposal && self.way.lost_answers.fetch_update(Ordering::Relaxed, Ordering::Relaxed, is_lost).is_ok() {
            return Err("the answer was lost".to_owned());
        }
        answered.map_err(|_| "gone".to_owned())
    }

    fn connected(&self) -> Vec<NodeName> {
        let cut = self.way.cut.load(Ordering::Relaxed);
        self.way.ends.lock().unwrap().keys().filter(|node| !cut && **node != self.node).cloned().collect()
    }
}

impl Quorum {
    fn member(way: &Arc<Way>, name: &str, boot: u64, expect: u16) -> (Arc<QuorumRegistry>, NodeName) {
        Self::member_at(Home::Memory(Arc::default()), way, name, boot, expect)
    }

    fn member_at(home: Home, way: &Arc<Way>, name: &str, boot: u64, expect: u16) -> (Arc<QuorumRegistry>, NodeName) {
        let node: NodeName = name.parse().unwrap();
        let me = Myself { node: node.clone(), boot: BootId(boot), addr: None, pipelines: Vec::new() };
        let mut options = QuorumOptions::new(home);
        options.expect = expect;
        let (disks, of) = (Arc::clone(way), node.clone());
        let free = move || Ok(if disks.low.lock().unwrap().contains(&of) { 5 } else { 10 });
        options.room = DiskRoom::new(free, 10);
        let end = Arc::new(End { node: node.clone(), way: Arc::clone(way) });
        let registry = Arc::new(QuorumRegistry::start(me, options, end));
        let (asking, mut asked) = mpsc::channel::<Asked>(64);
        way.ends.lock().unwrap().insert(node.clone(), asking);
        let answering = Arc::downgrade(&registry);
        tokio::spawn(async move {
            while let Some((peer, request, answer)) = asked.recv().await {
                let Some(registry) = answering.upgrade() else { return };
                tokio::spawn(async move {
                    let addr = "127.0.0.1:1".parse().unwrap();
                    let _ = answer.send(registry.answer(&peer, addr, request).await);
                });
            }
        });
        (registry, node)
    }
}

impl Group for Quorum {
    async fn start() -> Self {
        let way = Arc::<Way>::default();
        let (a, _) = Self::member(&way, "a", 1, 1);
        while !a.report().holds {
            a.next_change().await;
        }
        let (b, _) = Self::member(&way, "b", 2, 0);
        while !b.report().holds {
            b.next_change().await;
        }
        let group = Self { way, registries: [a, b] };
        group.exchange().await;
        group
    }

    fn registry(&self, node: usize) -> &dyn Registry {
        &*self.registries[node]
    }

    /// Both have applied the same when nothing is under way.
    async fn exchange(&self) {
        self.way.cut.store(false, Ordering::Relaxed);
        let [a, b] = &self.registries;
        let mut same = 0;
        while same < 3 {
            tokio::time::sleep(Duration::from_millis(30)).await;
            let (at_a, at_b) = (a.report().applied, b.report().applied);
            same = if at_a == at_b { same + 1 } else { 0 };
        }
    }

    async fn part(&self) {
        self.way.cut.store(true, Ordering::Relaxed);
    }
}

async fn bounded(test: impl Future<Output = ()>) {
    tokio::time::timeout(Duration::from_secs(20), test).await.expect("the test hangs");
}

/// A node that asked between the founding and the founder's own admission got the founder's number: it then
/// founded the same group a second time, and the founder was taken for removed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_but_the_founder_gets_its_number() {
    bounded(async {
        for _ in 0..5 {
            let dir = tempfile::tempdir().unwrap();
            let way = Arc::<Way>::default();
            let (a, _) = Quorum::member_at(Home::Directory(dir.path().join("raft")), &way, "a", 1, 1);
            let stranger = Stranger { expect: 0, founder: "a".parse().unwrap() };
            let addr = "127.0.0.1:1".parse().unwrap();
            let b = "b".parse().unwrap();
            let member = loop {
                let request = Request::Admit { store: 5, addr: None, stranger: stranger.clone() };
                match Answer::decode(&a.answer(&b, addr, request.encode()).await).unwrap() {
                    Answer::Admitted { member, .. } => break member,
                    Answer::NotNow(_) | Answer::Stranger(_) => tokio::task::yield_now().await,
                    other => panic!("{other:?}"),
                }
            };
            assert_ne!(member, MemberNo::FOUNDER);
            let numbers: Vec<_> = a.report().members.iter().map(|member| member.member).collect();
            assert_eq!(numbers, [MemberNo::FOUNDER.0, member.0]);
            a.stop().await;
        }
    })
    .await;
}

/// Whoever has a copy of a member's data, or a certificate and bad intent, speaks for itself only.
#[tokio::test]
async fn a_peer_speaks_for_nobody_else() {
    bounded(async {
        let quorum = Quorum::start().await;
        let a = &quorum.registries[0];
        let (group, addr, b) = (a.group().unwrap(), "127.0.0.1:1".parse().unwrap(), "b".parse().unwrap());
        let claim = a.claim(&name("s")).await.unwrap();
        let asked = async |request: Request| Answer::decode(&a.answer(&b, addr, request.encode()).await).unwrap();
        let call = Request::Raft { group, from: MemberNo::FOUNDER, to: MemberNo::FOUNDER, call: Bytes::new() };
        assert_eq!(
            asked(call).await,
            Answer::Refused("member 1 is a, not b: b runs with a copy of its data".to_owned())
        );
        for command in [
            Command::Release { name: name("s"), epoch: claim.epoch, why: "w".to_owned() },
            Command::Vacate { node: "a".parse().unwrap(), boot: BootId(1), why: "w".to_owned() },
            Command::Boot {
                node: "a".parse().unwrap(),
                member: MemberNo::FOUNDER,
                boot: BootId(9),
                addr: None,
                pipelines: Vec::new(),
            },
        ] {
            let proposal = Proposal { at_ms: 0, command }.encode();
            assert!(matches!(asked(Request::Propose { group, proposal }).await, Answer::Refused(_)));
        }
        assert_eq!(a.lookup(&name("s")), Some(claim));
    })
    .await;
}

/// Its claims would be ended and granted again each time one of the two says that it has started.
#[tokio::test]
async fn of_two_processes_of_a_node_the_former_gives_way() {
    bounded(async {
        let quorum = Quorum::start().await;
        let [a, b] = &quorum.registries;
        let number = b.report().members.into_iter().find(|member| member.node.as_str() == "b").unwrap().member;
        for boot in [77, 78] {
            let member = MemberNo(number);
            let addr = None;
            let boot = BootId(boot);
            a.order(Command::Boot { node: "b".parse().unwrap(), member, boot, addr, pipelines: Vec::new() })
                .await
                .unwrap();
            // Once it says that it is there, for what it was told may be old.
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        loop {
            if let Change::Failed(why) = b.next_change().await {
                return assert!(why.contains("another process takes part as this node"), "{why}");
            }
        }
    })
    .await;
}

fn name(stage: &str) -> GlobalName {
    GlobalName { pipeline: "p".parse().unwrap(), stage: stage.parse().unwrap() }
}

/// The changes there are now.
async fn changes(registry: &dyn Registry) -> Vec<Change> {
    let mut all = Vec::new();
    while let Ok(change) = tokio::time::timeout(Duration::from_millis(20), registry.next_change()).await {
        // What only one kind of registry tells.
        if !matches!(change, Change::Current | Change::Quorum { .. } | Change::Leads { .. } | Change::Addresses(_)) {
            all.push(change);
        }
    }
    all
}

fn owners(changes: &[Change], of: &GlobalName) -> Vec<Option<String>> {
    let owner = |change: &Change| match change {
        Change::Owner { name, claim } if name == of => Some(claim.as_ref().map(|claim| claim.node.to_string())),
        _ => None,
    };
    changes.iter().filter_map(owner).collect()
}

async fn a_name_nobody_claimed_has_no_owner(group: impl Group) {
    assert_eq!(group.registry(0).lookup(&name("s")), None);
    assert_eq!(changes(group.registry(0)).await, []);
}

async fn a_claim_names_its_node_and_is_told_to_all(group: impl Group) {
    let claim = group.registry(0).claim(&name("s")).await.unwrap();
    assert_eq!((claim.node.as_str(), &claim.name, claim.progress), ("a", &name("s"), Seq(0)));
    group.exchange().await;
    for node in 0..2 {
        assert_eq!(group.registry(node).lookup(&name("s")), Some(claim.clone()));
        assert_eq!(owners(&changes(group.registry(node)).await, &name("s")), [Some("a".to_owned())]);
    }
}

async fn a_name_that_is_owned_is_not_granted_to_another(group: impl Group) {
    let claim = group.registry(0).claim(&name("s")).await.unwrap();
    group.exchange().await;
    let refused = group.registry(1).claim(&name("s")).await.unwrap_err();
    assert_eq!(refused, ClaimError::Held(claim.clone()));
    assert_eq!(refused.to_string(), format!("p/s is owned by a in epoch {}", claim.epoch));
    group.exchange().await;
    assert_eq!(group.registry(0).lookup(&name("s")), Some(claim));
}

async fn names_do_not_disturb_each_other(group: impl Group) {
    let first = group.registry(0).claim(&name("s")).await.unwrap();
    group.exchange().await;
    let second = group.registry(1).claim(&name("t")).await.unwrap();
    group.registry(0).release(&name("t"), first.epoch, "test").await;
    group.exchange().await;
    for node in 0..2 {
        assert_eq!(group.registry(node).lookup(&name("s")), Some(first.clone()));
        assert_eq!(group.registry(node).lookup(&name("t")), Some(second.clone()));
    }
}

async fn every_claim_has_a_higher_epoch_also_of_the_owner(group: impl Group) {
    let mut last = Epoch::default();
    for _ in 0..5 {
        let claim = group.registry(0).claim(&name("s")).await.unwrap();
        assert!(claim.epoch > last, "{} after {last}", claim.epoch);
        last = claim.epoch;
        group.exchange().await;
        assert_eq!(group.registry(1).lookup(&name("s")), Some(claim));
    }
}

async fn a_released_name_can_be_claimed_by_another_in_a_higher_epoch(group: impl Group) {
    let first = group.registry(0).claim(&name("s")).await.unwrap();
    group.exchange().await;
    group.registry(0).release(&name("s"), first.epoch, "test").await;
    group.exchange().await;
    assert_eq!(group.registry(1).lookup(&name("s")), None);
    let second = group.registry(1).claim(&name("s")).await.unwrap();
    assert!(second.epoch > first.epoch && second.node.as_str() == "b");
    group.exchange().await;
    assert_eq!(group.registry(0).lookup(&name("s")), Some(second));
}

async fn releasing_in_another_epoch_or_for_another_node_changes_nothing(group: impl Group) {
    let old = group.registry(0).claim(&name("s")).await.unwrap();
    let claim = group.registry(0).claim(&name("s")).await.unwrap();
    group.exchange().await;
    group.registry(0).release(&name("s"), old.epoch, "test").await;
    group.registry(1).release(&name("s"), claim.epoch, "test").await;
    group.registry(1).release(&name("t"), claim.epoch, "test").await;
    group.exchange().await;
    for node in 0..2 {
        assert_eq!(group.registry(node).lookup(&name("s")), Some(claim.clone()));
    }
}

fn commit(previous: u64, seq: u64) -> Commit {
    Commit { previous: Seq(previous), seq: Seq(seq), snapshot: format!("after {seq}").into() }
}

fn progress(claim: Option<Claim>) -> Option<Seq> {
    claim.map(|claim| claim.progress)
}

async fn a_checkpoint_is_a_compare_and_set(group: impl Group) {
    let registry = group.registry(0);
    let (old, claim) = (registry.claim(&name("s")).await.unwrap(), registry.claim(&name("s")).await.unwrap());
    let stated = async |epoch, previous, seq| registry.checkpoint(&name("s"), epoch, &commit(previous, seq)).await;
    assert_eq!(stated(claim.epoch, 0, 5).await, Ok(()));
    for (epoch, previous, seq, why) in [
        (old.epoch, 5, 9, "of an older epoch"),
        (claim.epoch, 0, 9, "made after another checkpoint"),
        (claim.epoch, 5, 5, "goes nowhere"),
        (claim.epoch, 5, 4, "goes back"),
    ] {
        let refused = stated(epoch, previous, seq).await;
        assert!(matches!(refused, Err(CheckpointError::Fenced(_))), "{why}: {refused:?}");
    }
    assert_eq!(stated(claim.epoch, 5, 9).await, Ok(()));
    assert_eq!(progress(registry.lookup(&name("s"))), Some(Seq(9)));
    let again = registry.claim(&name("s")).await.unwrap();
    assert_eq!(again.progress, Seq(9), "a new instance begins where the last checkpoint was");
    assert_eq!(registry.last_checkpoint(&name("s")), Some((Seq(9), "after 9".into())));
    assert_eq!(registry.last_checkpoint(&name("t")), None);
    let unowned = registry.checkpoint(&name("t"), again.epoch, &commit(0, 1)).await;
    assert!(matches!(unowned, Err(CheckpointError::Fenced(_))), "{unowned:?}");
}

async fn a_former_owner_is_fenced(group: impl Group) {
    let first = group.registry(0).claim(&name("s")).await.unwrap();
    group.exchange().await;
    group.registry(0).release(&name("s"), first.epoch, "test").await;
    group.exchange().await;
    group.registry(1).claim(&name("s")).await.unwrap();
    group.exchange().await;
    let late = group.registry(0).checkpoint(&name("s"), first.epoch, &commit(0, 5)).await;
    let text = late.unwrap_err().to_string();
    assert!(text.starts_with("checkpoint of p/s refused: made in epoch "), "{text}");
}

async fn changes_come_in_order_and_once(group: impl Group) {
    let first = group.registry(0).claim(&name("s")).await.unwrap();
    group.registry(0).release(&name("s"), first.epoch, "test").await;
    let second = group.registry(0).claim(&name("s")).await.unwrap();
    let told = changes(group.registry(0)).await;
    assert_eq!(owners(&told, &name("s")), [Some("a".to_owned()), None, Some("a".to_owned())]);
    let last = told.iter().rev().find_map(|change| match change {
        Change::Owner { claim, .. } => claim.clone(),
        _ => None,
    });
    assert_eq!(last, Some(second));
    assert_eq!(changes(group.registry(0)).await, [], "each is handed out once");
}

async fn waiting_for_a_change_is_cancel_safe_and_wakes(group: impl Group) {
    let registry = group.registry(0);
    changes(registry).await;
    for _ in 0..3 {
        let nothing = tokio::time::timeout(Duration::from_millis(1), registry.next_change()).await;
        assert!(nothing.is_err());
    }
    let claiming = async {
        tokio::task::yield_now().await;
        registry.claim(&name("s")).await.unwrap()
    };
    let (first, _claim) = tokio::join!(registry.next_change(), claiming);
    let mut told = vec![first];
    told.extend(changes(registry).await);
    assert_eq!(owners(&told, &name("s")), [Some("a".to_owned())]);
}

/// Where both sides of a parted group claim, one of them must hear that it has lost; where only one
/// side may claim while they are parted, nothing is to be lost.
async fn a_parted_owners_name_is_never_owned_twice_after_they_meet(group: impl Group) {
    let old = group.registry(0).claim(&name("s")).await.unwrap();
    group.exchange().await;
    changes(group.registry(0)).await;
    group.part().await;
    let new = group.registry(1).claim(&name("s")).await;
    group.exchange().await;
    let standing = group.registry(0).lookup(&name("s")).unwrap();
    assert_eq!(group.registry(1).lookup(&name("s")), Some(standing.clone()));
    let told = changes(group.registry(0)).await;
    let lost = told.iter().find_map(|change| match change {
        Change::Lost { claim, to } => Some((claim.clone(), to.clone().unwrap())),
        _ => None,
    });
    match new {
        Ok(new) => {
            assert!(new.epoch > old.epoch);
            assert_eq!(standing, new, "the successor stands");
            assert_eq!(lost, Some((old.clone(), new)));
            let late = group.registry(0).checkpoint(&name("s"), old.epoch, &commit(0, 1)).await;
            assert!(late.is_err(), "the old owner is fenced");
        }
        Err(_) => assert_eq!((standing, lost), (old, None)),
    }
}

#[tokio::test]
async fn a_claim_is_one_entry_of_the_log_and_renewals_are_none() {
    bounded(async {
        let group = Quorum::start().await;
        let [a, b] = &group.registries;
        let before = a.report().applied;
        b.claim(&name("s")).await.unwrap();
        assert_eq!(a.report().applied, before + 1);
        // Some ten renewals and heartbeats of both.
        tokio::time::sleep(Duration::from_millis(1000)).await;
        group.exchange().await;
        assert_eq!((a.report().applied, b.report().applied), (before + 1, before + 1));
    })
    .await;
}

#[tokio::test]
async fn a_claim_whose_answers_are_lost_is_granted_once() {
    bounded(async {
        let group = Quorum::start().await;
        let [a, b] = &group.registries;
        group.way.lost_answers.store(3, Ordering::Relaxed);
        let claim = b.claim(&name("s")).await.unwrap();
        assert_eq!(group.way.lost_answers.load(Ordering::Relaxed), 0, "all three were lost");
        group.exchange().await;
        for registry in [a, b] {
            let names = registry.names();
            let terms: Vec<_> = names[0].1.history().map(|term| (term.epoch, term.end.clone())).collect();
            assert_eq!(terms, [(claim.epoch, None)], "one term, in the epoch that was answered");
        }
        assert_eq!(owners(&changes(&**b).await, &name("s")), [Some("b".to_owned())], "told once");
    })
    .await;
}

/// A node that lost its data is asked in the place of the member it was: its answer would be a second
/// vote of that member, without what the first one promised.
#[tokio::test]
async fn a_member_answers_no_call_that_is_meant_for_another() {
    bounded(async {
        let group = Quorum::start().await;
        let [a, b] = &group.registries;
        let own = b.report().members.iter().find(|member| member.node.as_str() == "b").unwrap().member;
        let (from, call) = (MemberNo::FOUNDER, Bytes::from_static(b"?"));
        let asked = async |to: u64| {
            let request = Request::Raft { group: a.group().unwrap(), from, to: MemberNo(to), call: call.clone() };
            let answer = b.answer(&"a".parse().unwrap(), "127.0.0.1:1".parse().unwrap(), request.encode()).await;
            Answer::decode(&answer).unwrap()
        };
        assert!(matches!(asked(own).await, Answer::Raft(_)), "its own it answers");
        assert_eq!(asked(own + 1).await, Answer::Refused(format!("this is member {own}, not {}", own + 1)));
    })
    .await;
}

/// Whoever is told that it is no member ends. Only the leader knows for sure.
#[tokio::test]
async fn only_a_leader_tells_a_stranger_that_it_is_none_of_the_group() {
    bounded(async {
        let group = Quorum::start().await;
        let [a, b] = &group.registries;
        let asked = async |registry: &QuorumRegistry| {
            let group = a.group().unwrap();
            let proposal = Bytes::from_static(b"?");
            let mut answers = Vec::new();
            for request in [Request::Renew { group, boot: BootId(9) }, Request::Propose { group, proposal }] {
                let stranger = "stranger".parse().unwrap();
                let answer = registry.answer(&stranger, "127.0.0.1:1".parse().unwrap(), request.encode()).await;
                answers.push(Answer::decode(&answer).unwrap());
            }
            answers
        };
        let refused = Answer::Retired("stranger is no member of this group".to_owned());
        assert_eq!(asked(a).await, [refused.clone(), refused]);
        let elsewhere = Answer::NotLeader(Some("a".parse().unwrap()));
        assert_eq!(asked(b).await, [elsewhere.clone(), elsewhere]);
    })
    .await;
}
