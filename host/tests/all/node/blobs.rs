//! Nodes give each other blobs, over memory and over QUIC, also when one of them dies in the middle.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use bytes::Bytes;
use forebay::{
    node::{Node, NodeEvent, NodeOptions},
    transport::{
        Transport,
        identity::{ClusterCa, NODE_VALIDITY},
        quic::{Quic, QuicOptions},
    },
};
use forebay_blobs::{BlobStore, FetchError, Progress, info_of};
use forebay_proto::blob::{BlobInfo, CHUNK_BYTES, Digest};
use rand::{RngExt, SeedableRng, rngs::SmallRng};

use super::{ABC, Gate, World, events};

const LENGTH: usize = 20_000_000;

/// Nodes a, b and c, all connected, each with an empty store.
struct Cluster {
    world: World,
    nodes: BTreeMap<&'static str, Node>,
    stores: BTreeMap<&'static str, BlobStore>,
    _data: tempfile::TempDir,
}

impl Cluster {
    async fn start(world: World, bind: impl Fn(&World, &str) -> Arc<dyn Transport>) -> Self {
        let data = tempfile::tempdir().unwrap();
        let (mut nodes, mut stores, mut join) = (BTreeMap::new(), BTreeMap::new(), Vec::<SocketAddr>::new());
        for name in ABC {
            let (transport, store) = (bind(&world, name), BlobStore::open(&data.path().join(name)).unwrap());
            let addr = transport.local_addr();
            let options = world.options_on(transport, name, world.numbers(&Gate::open()));
            let peers = join.iter().map(|addr| addr.to_string().parse().unwrap()).collect();
            let (agreement, blobs) = (world.agreement(name, join.len()), Some(store.clone()));
            let options = NodeOptions { join: peers, agreement, blobs, pipelines: Vec::new(), ..options };
            nodes.insert(name, Node::start(options));
            stores.insert(name, store);
            join.push(addr);
        }
        let up = |event: &NodeEvent| matches!(event, NodeEvent::PeerUp(_));
        let connected = |entries: &[_]| events(entries).filter(|(_, event)| up(event)).count() >= 6;
        world.log.until("all are connected", connected).await;
        let cluster = Self { world, nodes, stores, _data: data };
        cluster.until_members().await;
        cluster
    }

    async fn memory() -> Self {
        Self::start(World::new(), on_memory).await
    }

    async fn quic() -> Self {
        let ca = ClusterCa::generate().unwrap();
        Self::start(World::new(), move |_, name| {
            let identity = ca.issue(&name.parse().unwrap(), NODE_VALIDITY).unwrap();
            Arc::new(Quic::bind("127.0.0.1:0".parse().unwrap(), identity, QuicOptions::default()).unwrap())
        })
        .await
    }

    /// As each node sees it: only members are answered.
    async fn until_members(&self) {
        if self.world.quorum.is_some() {
            for node in self.nodes.values() {
                super::until_report(node, "all are members", |report| report.members.len() == 3).await;
            }
        }
    }

    async fn obtain(&self, node: &str, info: &BlobInfo, progress: &Progress) -> Result<(), FetchError> {
        self.nodes[node].blobs().expect("it has a store").obtain(info, progress).await
    }

    /// Ends a node without a word, as the death of its process does.
    async fn kill(&mut self, name: &'static str) {
        let mark = self.world.log.mark();
        drop(self.nodes.remove(name));
        let down = |_: &str, event: &NodeEvent| matches!(event, NodeEvent::PeerDown { .. }).then_some(());
        self.world.log.event(mark, "its end is noticed", down).await;
    }

    async fn assert_has(&self, node: &str, bytes: &Bytes, info: &BlobInfo) {
        assert!(self.stores[node].read(&info.digest).await.unwrap() == *bytes);
    }
}

fn on_memory(world: &World, name: &str) -> Arc<dyn Transport> {
    Arc::new(world.network.bind(world.addr(name), name.parse().unwrap()).unwrap())
}

fn file(seed: u64) -> (Bytes, BlobInfo) {
    let mut bytes = vec![0; LENGTH];
    SmallRng::seed_from_u64(seed).fill(&mut bytes[..]);
    let info = info_of(&bytes);
    (bytes.into(), info)
}

/// Waits until a part of it is there, a quarter at least.
async fn a_quarter(progress: &Progress) {
    while progress.held() < LENGTH as u64 / 4 {
        tokio::task::yield_now().await;
    }
}

async fn comes_from_whoever_has_it(cluster: Cluster) {
    let ((bytes, info), progress) = (file(1), Progress::default());
    cluster.stores["b"].put(bytes.clone()).await.unwrap();
    cluster.obtain("a", &info, &progress).await.unwrap();
    assert_eq!((progress.held(), progress.bytes()), (info.bytes, info.bytes));
    cluster.assert_has("a", &bytes, &info).await;
    let unknown = BlobInfo { digest: Digest([3; 32]), ..info };
    let error = cluster.obtain("a", &unknown, &progress).await.unwrap_err();
    let FetchError::NoSource { why, .. } = error else { panic!("{error}") };
    assert_eq!(why, "b: does not have it; c: does not have it");
}

#[tokio::test]
async fn a_blob_comes_over_memory_from_whoever_has_it() {
    comes_from_whoever_has_it(Cluster::memory().await).await;
}

#[tokio::test]
async fn a_blob_comes_over_quic_from_whoever_has_it() {
    comes_from_whoever_has_it(Cluster::quic().await).await;
}

#[tokio::test]
async fn members_of_a_group_give_each_other_blobs() {
    comes_from_whoever_has_it(Cluster::start(World::of_quorum(), on_memory).await).await;
}

/// Two have it, and one dies: nobody notices but for the time.
async fn goes_on_with_the_other(mut cluster: Cluster) {
    let ((bytes, info), progress) = (file(2), Arc::new(Progress::default()));
    for name in ["b", "c"] {
        cluster.stores[name].put(bytes.clone()).await.unwrap();
    }
    let (blobs, seen) = (cluster.nodes["a"].blobs().unwrap(), Arc::clone(&progress));
    let obtaining = tokio::spawn(async move { blobs.obtain(&info, &seen).await });
    a_quarter(&progress).await;
    assert!(progress.held() < info.bytes, "it is in the middle");
    cluster.kill("b").await;
    obtaining.await.unwrap().unwrap();
    cluster.assert_has("a", &bytes, &info).await;
}

#[tokio::test]
async fn a_fetch_over_memory_survives_the_death_of_one_of_two() {
    goes_on_with_the_other(Cluster::memory().await).await;
}

#[tokio::test]
async fn a_fetch_over_quic_survives_the_death_of_one_of_two() {
    goes_on_with_the_other(Cluster::quic().await).await;
}

/// The only one that has it dies; later another has it.
async fn goes_on_later(mut cluster: Cluster) {
    let ((bytes, info), progress) = (file(3), Arc::new(Progress::default()));
    cluster.stores["b"].put(bytes.clone()).await.unwrap();
    let (blobs, seen) = (cluster.nodes["a"].blobs().unwrap(), Arc::clone(&progress));
    let obtaining = tokio::spawn(async move { blobs.obtain(&info, &seen).await });
    a_quarter(&progress).await;
    cluster.kill("b").await;
    let error = obtaining.await.unwrap().unwrap_err();
    let FetchError::NoSource { held, .. } = error else { panic!("{error}") };
    assert!(held >= info.bytes / 4 && held < info.bytes, "{held}");
    cluster.stores["c"].put(bytes.clone()).await.unwrap();
    let again = Progress::default();
    let (obtained, begun_with) = tokio::join!(cluster.obtain("a", &info, &again), async {
        while again.held() == 0 {
            tokio::task::yield_now().await;
        }
        again.held()
    });
    obtained.unwrap();
    assert!(begun_with >= held && begun_with <= held + 4 * CHUNK_BYTES, "it goes on from {held}, not {begun_with}");
    cluster.assert_has("a", &bytes, &info).await;
}

#[tokio::test]
async fn a_fetch_over_memory_goes_on_when_another_has_it() {
    goes_on_later(Cluster::memory().await).await;
}

#[tokio::test]
async fn a_fetch_over_quic_goes_on_when_another_has_it() {
    goes_on_later(Cluster::quic().await).await;
}
