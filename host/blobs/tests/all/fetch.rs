//! Fetches: from several peers, broken off anywhere, with peers that lie.

use std::sync::Arc;

use forebay_blobs::{FetchError, Progress, digest_of};
use forebay_proto::blob::{BLOB_BYTES_MAX, BlobInfo, CHUNK_BYTES, Digest};

use crate::{
    Home, file,
    peers::{Peer, Peers},
};

const CHUNKS: u64 = 10;
const LENGTH: usize = 9 * CHUNK_BYTES as usize + 1000;

#[tokio::test]
async fn a_blob_comes_from_whoever_has_it_and_each_chunk_once() {
    let (bytes, info) = file(1, LENGTH);
    let has = || Peer::Has(bytes.clone());
    let peers = Peers::new(&[("b", has()), ("c", Peer::HasNone), ("d", has()), ("e", Peer::Fails)]);
    let (home, progress) = (Home::new(), Progress::default());
    let store = home.open();
    store.fetch(&info, &peers, &progress).await.unwrap();
    assert_eq!(store.read(&info.digest).await.unwrap(), bytes);
    assert_eq!((progress.held(), progress.bytes()), (info.bytes, info.bytes));
    assert_eq!(peers.asked("b") + peers.asked("d"), CHUNKS as usize);
    assert!(peers.asked("b") > 1 && peers.asked("d") > 1, "both have their share");
    assert!((1..=4).contains(&peers.asked("c")), "who has nothing is asked no more: {}", peers.asked("c"));
    assert_eq!(home.partials(), [""; 0]);
}

#[tokio::test]
async fn whoever_lies_is_not_asked_again() {
    let (bytes, info) = file(2, LENGTH);
    let lie = file(3, CHUNK_BYTES as usize).0;
    let peers = Peers::new(&[
        ("a", Peer::Invents),
        ("b", Peer::Lies(bytes.clone(), lie.clone())),
        ("c", Peer::Has(bytes.clone())),
        ("d", Peer::Lies(bytes.clone(), bytes.slice(..0))),
    ]);
    let home = Home::new();
    let store = home.open();
    store.fetch(&info, &peers, &Progress::default()).await.unwrap();
    assert_eq!(store.read(&info.digest).await.unwrap(), bytes);
    // As many as are on their way at once.
    assert!(peers.asked("b") <= 4 && peers.asked("d") <= 4, "{:?}", peers.chunks);
    assert_eq!((peers.asked("a"), peers.asked("c")), (0, CHUNKS as usize));
}

#[tokio::test]
async fn where_all_lie_the_error_names_them_and_nothing_is_kept_of_it() {
    let (bytes, info) = file(4, LENGTH);
    let peers = Peers::new(&[("b", Peer::Lies(bytes.clone(), file(5, 9).0)), ("c", Peer::HasNone)]);
    let home = Home::new();
    let store = home.open();
    let error = store.fetch(&info, &peers, &Progress::default()).await.unwrap_err();
    let FetchError::NoSource { held: 0, bytes: LENGTH_U64, why, .. } = error else { panic!("{error}") };
    assert!(why.contains("b: cannot be believed: what it gave is sha256:"), "{why}");
    assert!(why.contains("c: does not have it"), "{why}");
    assert_eq!(std::fs::metadata(home.partial(&info.digest, "")).unwrap().len(), 0);
    let nobody = store.fetch(&file(6, 10).1, &Peers::default(), &Progress::default()).await.unwrap_err();
    assert!(nobody.to_string().ends_with("of which 0 of 10 bytes are here: no other node is connected"), "{nobody}");
}

const LENGTH_U64: u64 = LENGTH as u64;

#[tokio::test]
async fn broken_off_after_any_chunk_it_goes_on_and_fetches_nothing_twice() {
    let (bytes, info) = file(7, LENGTH);
    for after in 0..CHUNKS {
        let home = Home::new();
        let first = Peers::ending_after(&bytes, after);
        let progress = Progress::default();
        let error = home.open().fetch(&info, &first, &progress).await.unwrap_err();
        assert!(matches!(&error, FetchError::NoSource { why, .. } if why == "b: gone"), "{error}");
        let (held, again) = (held_chunks(&home, &info), Peers::of(&bytes));
        assert_eq!(held, after, "what came before the others failed is written");
        home.open().fetch(&info, &again, &Progress::default()).await.unwrap();
        assert_eq!(again.chunks.lock().unwrap().len() as u64, CHUNKS - held, "after {after} chunks");
        assert_eq!(again.lists.lock().unwrap().len(), 0, "the list is kept");
        assert_eq!(home.open().read(&info.digest).await.unwrap(), bytes);
    }
}

/// Chunks in the partial file that are right.
fn held_chunks(home: &Home, info: &BlobInfo) -> u64 {
    let list = std::fs::read(home.partial(&info.digest, ".list")).unwrap();
    let partial = std::fs::read(home.partial(&info.digest, "")).unwrap();
    let chunks = partial.chunks(CHUNK_BYTES as usize).zip(list.chunks(32));
    chunks.filter(|(chunk, digest)| digest_of(chunk).0 == **digest).count() as u64
}

#[tokio::test]
async fn broken_off_by_dropping_it_goes_on() {
    let (bytes, info) = file(8, LENGTH);
    for polls in 1..30 {
        let home = Home::new();
        let (store, peers) = (home.open(), Peers::of(&bytes));
        {
            let progress = Progress::default();
            let mut fetch = std::pin::pin!(store.fetch(&info, &peers, &progress));
            for _ in 0..polls {
                tokio::select! { biased; _ = &mut fetch => break, () = tokio::task::yield_now() => {} }
                tokio::time::sleep(std::time::Duration::from_micros(200)).await;
            }
        }
        store.fetch(&info, &Peers::of(&bytes), &Progress::default()).await.unwrap();
        assert_eq!(store.read(&info.digest).await.unwrap(), bytes);
        assert_eq!(home.partials(), [""; 0]);
    }
}

#[tokio::test]
async fn two_fetches_of_one_blob_are_one() {
    let ((bytes, info), home) = (file(9, LENGTH), Home::new());
    let (store, peers) = (home.open(), Arc::new(Peers::of(&bytes)));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..5 {
        let (store, peers) = (store.clone(), Arc::clone(&peers));
        tasks.spawn(async move { store.fetch(&info, &*peers, &Progress::default()).await.unwrap() });
    }
    tasks.join_all().await;
    assert_eq!(peers.indexes(), (0..CHUNKS).collect::<Vec<_>>());
    store.fetch(&info, &Peers::default(), &Progress::default()).await.expect("it is here");
}

#[tokio::test]
async fn what_contradicts_itself_is_never_a_blob() {
    let (bytes, info) = file(10, LENGTH);
    let other = file(11, 5).1;
    let (home, peers) = (Home::new(), Peers::of(&bytes));
    let store = home.open();
    for wrong in [
        BlobInfo { digest: other.digest, ..info },
        BlobInfo { bytes: info.bytes + CHUNK_BYTES, ..info },
        BlobInfo { bytes: CHUNK_BYTES, ..info },
    ] {
        let error = store.fetch(&wrong, &peers, &Progress::default()).await.unwrap_err();
        assert!(matches!(error, FetchError::Contradiction { .. }), "{error}");
        assert!(!store.has(&wrong.digest));
        assert_eq!(home.partials(), [""; 0]);
    }
    let chunks = BlobInfo { chunks: Digest([1; 32]), ..info };
    let error = store.fetch(&chunks, &peers, &Progress::default()).await.unwrap_err();
    assert!(matches!(error, FetchError::NoSource { .. }), "a list is judged by what was agreed on: {error}");
    let long = BlobInfo { bytes: BLOB_BYTES_MAX + 1, ..info };
    assert!(matches!(store.fetch(&long, &peers, &Progress::default()).await, Err(FetchError::Blob(_))));
    store.fetch(&info, &peers, &Progress::default()).await.unwrap();
    let error = store.fetch(&chunks, &peers, &Progress::default()).await.unwrap_err();
    assert!(matches!(error, FetchError::Contradiction { .. }), "{error}");
}

#[tokio::test]
async fn an_empty_blob_and_the_longest_are_fetched() {
    for length in [0, BLOB_BYTES_MAX as usize] {
        let ((bytes, info), home) = (file(12, length), Home::new());
        let (store, progress) = (home.open(), Progress::default());
        store.fetch(&info, &Peers::of(&bytes), &progress).await.unwrap();
        assert!(store.read(&info.digest).await.unwrap() == bytes);
        assert_eq!((progress.held(), progress.bytes()), (info.bytes, info.bytes));
    }
}
