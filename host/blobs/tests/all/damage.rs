//! Bits that flip on disk, anywhere and at any time: nothing wrong is ever given, and the right blob comes in the end.

use std::{fs, path::Path, sync::atomic::Ordering};

use forebay_blobs::{BlobError, BlobStore, Progress};
use forebay_proto::blob::CHUNK_BYTES;
use rand::{RngExt, SeedableRng, rngs::SmallRng};

use crate::{Home, file, peers::Peers};

/// Flips of each run, over all kinds of files together.
const FLIPS: usize = 1000;
const SEED: u64 = 5;
const CHUNKS: u64 = 4;
const LENGTH: usize = 3 * CHUNK_BYTES as usize + 777;

/// Flips one bit, or cuts the file off there. Whether there was anything to alter.
fn alter(path: &Path, random: &mut SmallRng) -> bool {
    let Ok(mut bytes) = fs::read(path) else { return false };
    if bytes.is_empty() {
        return false;
    }
    let at = random.random_range(0..bytes.len());
    match random.random_range(0..20) {
        0 => bytes.truncate(at),
        _ => bytes[at] ^= 1 << random.random_range(0..8),
    }
    fs::write(path, bytes).unwrap();
    true
}

#[tokio::test]
async fn a_thousand_altered_files_never_give_a_wrong_byte() {
    let mut random = SmallRng::seed_from_u64(SEED);
    let (home, (bytes, info)) = (Home::new(), file(1, LENGTH));
    let [mut partials, mut lists, mut blobs] = [0; 3];
    let [mut damaged, mut chunks_damaged] = [0; 2];
    while partials + lists + blobs < FLIPS {
        // A fetch that is broken off, and what is left of it altered before the next process comes.
        let gives = random.random_range(1..CHUNKS);
        let _ = home.open().fetch(&info, &Peers::ending_after(&bytes, gives), &Progress::default()).await;
        partials += usize::from(alter(&home.partial(&info.digest, ""), &mut random));
        if random.random_bool(0.5) {
            lists += usize::from(alter(&home.partial(&info.digest, ".list"), &mut random));
        }
        let peers = Peers::of(&bytes);
        let store = home.open();
        store.fetch(&info, &peers, &Progress::default()).await.unwrap();
        // Before it is altered each chunk can be given, and sometimes was.
        if random.random_bool(0.5) {
            store.chunk_list(&info.digest).await.unwrap();
        }
        blobs += usize::from(alter(&home.blob(&info.digest), &mut random));
        let store = if random.random_bool(0.5) { home.open() } else { store };
        let by_chunk = random.random_bool(0.5) && gives_right_chunks(&store, &bytes, &info.digest).await;
        match (store.read(&info.digest).await, by_chunk) {
            (Err(BlobError::Missing { .. }), true) => chunks_damaged += 1,
            (Err(BlobError::Damaged { .. }), false) => damaged += 1,
            (read, _) => panic!("it was altered, seed {SEED}: {read:?}"),
        }
        assert!(!home.blob(&info.digest).exists());
        // Sometimes it is fetched anew at once, so that the next download begins from nothing as well.
        if random.random_bool(0.3) {
            let peers = Peers::of(&bytes);
            store.fetch(&info, &peers, &Progress::default()).await.unwrap();
            assert_eq!(peers.budget.load(Ordering::Relaxed), u64::MAX - CHUNKS);
            assert!(store.read(&info.digest).await.unwrap() == bytes);
            fs::remove_file(home.blob(&info.digest)).unwrap();
        }
    }
    assert!(partials > 200 && lists > 100 && blobs > 200, "{partials}, {lists}, {blobs}");
    assert!(damaged > 100 && chunks_damaged > 100, "{damaged}, {chunks_damaged}");
    assert_eq!(damaged + chunks_damaged, blobs);
    home.open().fetch(&info, &Peers::of(&bytes), &Progress::default()).await.unwrap();
    assert!(home.open().read(&info.digest).await.unwrap() == bytes);
    println!("altered {partials} partial files, {lists} lists, {blobs} blobs; {chunks_damaged} seen by a chunk first");
}

/// Asks for all chunks. Whether one was refused.
async fn gives_right_chunks(store: &BlobStore, bytes: &[u8], digest: &forebay_proto::blob::Digest) -> bool {
    let mut refused = false;
    for (index, right) in bytes.chunks(CHUNK_BYTES as usize).enumerate() {
        match store.chunk(digest, index as u64).await {
            Ok(chunk) => assert!(chunk == right, "a wrong chunk was given: seed {SEED}"),
            Err(BlobError::Damaged { .. } | BlobError::Missing { .. }) => refused = true,
            Err(error) => panic!("{error}"),
        }
    }
    refused
}
