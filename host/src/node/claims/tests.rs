//! What becomes of claims whose answers come late, and of names that cannot be given up.

use std::{
    net::SocketAddr,
    sync::{Mutex, atomic::AtomicUsize, atomic::Ordering},
};

use async_trait::async_trait;
use bytes::Bytes;
use forebay_proto::{
    batch::Batch,
    checkpoints::Commit,
    ids::{BootId, Seq},
    names::quorum::GroupId,
    orders::{By, Ordered, StageOrder},
    pipeline::Pipeline,
};
use tokio::sync::{mpsc, watch};

use super::*;
use crate::{
    node::{
        AgreementOptions, LoadedPipeline, NodeOptions, Plugins, Silent, Tracer, Wanted, core::Inboxes,
        letters::LetterDesk,
    },
    registry::{CheckpointError, Registry, TenureWatch},
    runtime::native::Native,
    transport::memory::Network,
};

/// A group that does what the test says.
#[derive(Debug, Default)]
pub(in crate::node) struct Scripted {
    standing: Mutex<Option<Claim>>,
    /// Releases that came, and how many of them are not answered.
    released: Mutex<Vec<Epoch>>,
    unanswered: usize,
    claimed: AtomicUsize,
    /// What there is to tell.
    changes: Mutex<Vec<Change>>,
}

#[async_trait]
impl Registry for Scripted {
    async fn claim(&self, _: &GlobalName) -> Result<Claim, ClaimError> {
        self.claimed.fetch_add(1, Ordering::Relaxed);
        std::future::pending().await
    }

    async fn release(&self, _: &GlobalName, epoch: Epoch, _: &str) -> bool {
        let mut released = self.released.lock().unwrap();
        released.push(epoch);
        let agreed = released.len() > self.unanswered;
        if agreed {
            *self.standing.lock().unwrap() = None;
        }
        agreed
    }

    fn last_checkpoint(&self, _: &GlobalName) -> Option<(Seq, Bytes)> {
        None
    }

    async fn checkpoint(&self, _: &GlobalName, _: Epoch, _: &Commit) -> Result<(), CheckpointError> {
        Ok(())
    }

    fn ordered(&self, _: &GlobalName) -> Ordered {
        Ordered::default()
    }

    async fn order_stage(&self, _: &GlobalName, _: By, _: StageOrder) -> Result<(), String> {
        Ok(())
    }

    fn lookup(&self, _: &GlobalName) -> Option<Claim> {
        self.standing.lock().unwrap().clone()
    }

    fn own(&self) -> Vec<Claim> {
        self.standing.lock().unwrap().iter().cloned().collect()
    }

    async fn next_change(&self) -> Change {
        let change = self.changes.lock().unwrap().pop();
        match change {
            Some(change) => change,
            None => std::future::pending().await,
        }
    }

    fn agreement(&self) -> Agreement {
        Agreement::Quorum
    }

    fn tenure(&self, _: &GlobalName, _: Epoch) -> TenureWatch {
        TenureWatch::unlimited()
    }

    fn group(&self) -> Option<GroupId> {
        None
    }

    fn on_peer_up(&self, _: &NodeName, _: BootId) {}

    fn on_names(&self, _: &NodeName, _: Vec<Claim>) {}

    fn on_peer_down(&self, _: &NodeName, _: BootId, _: bool) {}

    /// Calls of the consensus at once, anything else never.
    async fn answer(&self, _: &NodeName, _: SocketAddr, request: Bytes) -> Bytes {
        if crate::node::agreement::is_consensus(&request) { request } else { std::future::pending().await }
    }

    /// Takes as long as another leader takes to be elected.
    async fn leave(&self) {
        tokio::time::sleep(Duration::from_millis(500)).await;
    }

    async fn stop(&self) {}
}

/// A core whose group the test plays, and whose outside world is kept here.
struct Played {
    core: Core,
    group: Arc<Scripted>,
    _outside: (watch::Sender<Wanted>, mpsc::Sender<SocketAddr>, mpsc::Sender<crate::node::admin::Question>),
}

/// With so many global stages, `s0` and so on.
fn play(stages: usize) -> Played {
    let names: Vec<_> = (0..stages).map(|number| format!("s{number}")).collect();
    let table = |name: &String| format!("[stages.{name}]\nplugin = \"native\"\nscope = \"global\"\n");
    let text = format!("name = \"p\"\n{}", names.iter().map(table).collect::<String>());
    let pipeline = Pipeline::parse(&text, "test.toml").unwrap();
    let plugin = Native::producer("nothing", |_| Ok(|_: u32| Ok(Batch::default().into())));
    let plugins: Plugins = names.iter().map(|name| (name.parse().unwrap(), Arc::clone(&plugin))).collect();
    let addr = SocketAddr::from(([10, 0, 0, 1], 1));
    let options = NodeOptions {
        name: "a".parse().unwrap(),
        boot: BootId(1),
        transport: Arc::new(Network::new().bind(addr, "a".parse().unwrap()).unwrap()),
        join: Vec::new(),
        join_after: Duration::ZERO,
        advertise: None,
        agreement: AgreementOptions::Islands,
        labels: BTreeSet::new(),
        settle: Duration::ZERO,
        ping_interval: Duration::from_millis(100),
        ping_misses: 5,
        drain_timeout: Duration::from_secs(1),
        inboxes: crate::inbox::LocalStore::in_memory("a".parse().unwrap()),
        pipelines: vec![LoadedPipeline::new(pipeline, plugins).unwrap()],
        dead_letters: crate::dlq::DeadLetters::in_memory(crate::dlq::Bounds::default()),
        blobs: None,
        observer: Arc::new(Silent),
        tracer: Tracer::OFF,
        loader: None,
        plugins: None,
        until_finished: false,
    };
    let (wanting, wanted) = watch::channel(Wanted::Run);
    let (joining, joins) = mpsc::channel(1);
    let (asking, questions) = mpsc::channel(1);
    let letters = LetterDesk::new("a".parse().unwrap(), asking.clone(), options.dead_letters.clone());
    let mut core = Core::new(options, Inboxes { wanted, joins, questions, fits: mpsc::channel(1).1, letters });
    let group = Arc::new(Scripted { unanswered: 2, ..Scripted::default() });
    core.registry = Arc::clone(&group) as _;
    Played { core, group, _outside: (wanting, joining, asking) }
}

fn name() -> GlobalName {
    GlobalName { pipeline: "p".parse().unwrap(), stage: "s0".parse().unwrap() }
}

fn claim(lamport: u32) -> Claim {
    let epoch = Epoch { lamport, tag: 0 };
    Claim { name: name(), node: "a".parse().unwrap(), boot: BootId(1), epoch, claimed_at_ms: 0, progress: Seq(0) }
}

#[tokio::test]
async fn a_claim_that_was_taken_away_before_it_was_answered_starts_nothing() {
    let Played { mut core, group, .. } = play(1);
    core.on_claim(Ok(Done::Claimed(name(), Ok(claim(1)))));
    assert!(!core.is_running(&name()), "nobody owns the name any more");
    *group.standing.lock().unwrap() = Some(claim(3));
    core.on_claim(Ok(Done::Claimed(name(), Ok(claim(2)))));
    assert!(!core.is_running(&name()), "another claim stands");
    core.on_claim(Ok(Done::Claimed(name(), Ok(claim(3)))));
    assert!(core.is_running(&name()));
}

async fn next_done(core: &mut Core) {
    let done = core.claims.tasks.join_next().await.expect("something is under way");
    core.on_claim(done);
}

#[tokio::test(start_paused = true)]
async fn a_name_is_given_up_again_until_the_group_agrees() {
    let Played { mut core, group, .. } = play(1);
    *group.standing.lock().unwrap() = Some(claim(4));
    core.placement.bar(&name(), Duration::MAX);
    core.begin_release(&name(), claim(4).epoch, "test");
    for _ in 0..3 {
        next_done(&mut core).await;
    }
    assert_eq!(*group.released.lock().unwrap(), [claim(4).epoch; 3]);
    assert!(core.claims.tasks.is_empty(), "once it is agreed on, that is all");
}

#[tokio::test(start_paused = true)]
async fn a_name_that_is_claimed_anew_is_not_given_up_again() {
    let Played { mut core, group, .. } = play(1);
    *group.standing.lock().unwrap() = Some(claim(4));
    core.begin_release(&name(), claim(4).epoch, "test");
    next_done(&mut core).await;
    *group.standing.lock().unwrap() = Some(claim(5));
    next_done(&mut core).await;
    assert!(core.claims.tasks.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_idle_name_of_ours_is_claimed_anew_after_its_stage_has_ended() {
    let Played { mut core, group, .. } = play(1);
    *group.standing.lock().unwrap() = Some(claim(4));
    core.placement.on_owner(core.now(), &name(), true);
    core.on_claim(Ok(Done::Claimed(name(), Ok(claim(4)))));
    core.stage_mut(&name()).unwrap().order(Order::Stop(Reason::Shutdown(None)));
    while core.is_running(&name()) {
        core.step().await;
    }
    core.claim_due();
    tokio::task::yield_now().await;
    assert_eq!(group.claimed.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn a_node_makes_so_many_claims_at_a_time_and_the_others_later() {
    let Played { mut core, group, .. } = play(CLAIMS_MAX + 3);
    core.claim_due();
    tokio::task::yield_now().await;
    assert_eq!((group.claimed.load(Ordering::Relaxed), core.may_claim()), (CLAIMS_MAX, false));
    let refused = || Err(ClaimError::Held(claim(1)));
    let claimed = core.claims.claiming.first().unwrap().clone();
    core.on_claim(Ok(Done::Claimed(claimed, refused())));
    core.placement.on_owner(core.now(), &name(), true);
    core.claim_due();
    tokio::task::yield_now().await;
    assert_eq!(group.claimed.load(Ordering::Relaxed), CLAIMS_MAX + 1);
}

/// Its claim of before the restart stood, and nothing gave it up.
#[tokio::test(start_paused = true)]
async fn a_stage_that_is_to_be_restarted_on_a_drained_node_leaves_its_name() {
    let Played { mut core, group, .. } = play(1);
    *group.standing.lock().unwrap() = Some(claim(4));
    core.claims.draining = true;
    core.put_off(&name());
    next_done(&mut core).await;
    core.on_claim(Ok(Done::Claimed(name(), Err(ClaimError::Refused("draining".to_owned())))));
    next_done(&mut core).await;
    assert!(group.released.lock().unwrap().len() >= 2, "given up, whether it was to be claimed or was refused");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_passes_the_lead_on_hears_of_its_group_meanwhile() {
    let Played { mut core, group, .. } = play(1);
    core.claims.quorum = false;
    group.changes.lock().unwrap().push(Change::Quorum { holds: true, why: "test".to_owned() });
    core.pass_on().await;
    assert!(core.claims.quorum, "it was told before it went on");
}
