//! Collecting: what nobody refers to goes once it is old, and nothing else.

use std::{
    collections::HashSet,
    fs::{self, File},
    path::Path,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use forebay_blobs::{Collected, Progress};

use crate::{Home, file, names, peers::Peers};

const HOUR: Duration = Duration::from_secs(3600);

fn age(path: &Path) {
    File::open(path).unwrap().set_modified(SystemTime::now() - 2 * HOUR).unwrap();
}

#[tokio::test]
async fn what_is_old_and_nobody_refers_to_goes() {
    let home = Home::new();
    let store = home.open();
    let [kept, old, young, again] = [1, 2, 3, 4].map(|seed| file(seed, 300_000));
    for (bytes, _) in [&kept, &old, &young, &again] {
        store.put(bytes.clone()).await.unwrap();
    }
    for (_, info) in [&kept, &old, &again] {
        age(&home.blob(&info.digest));
    }
    store.put(again.0.clone()).await.unwrap();
    fs::write(home.path("of-somebody-else"), "x").unwrap();
    age(&home.path("of-somebody-else"));
    let keep = HashSet::from([kept.1.digest]);
    let collected = store.collect(&keep, HOUR).await.unwrap();
    assert_eq!(collected, Collected { blobs: 1, partials: 0, bytes: 300_000 });
    assert_eq!([&kept, &old, &young, &again].map(|(_, info)| store.has(&info.digest)), [true, false, true, true]);
    assert!(names(&home.path("")).contains(&"of-somebody-else".to_owned()));
    assert_eq!(store.collect(&keep, Duration::ZERO).await.unwrap().blobs, 2);
}

#[tokio::test]
async fn partial_files_go_as_blobs_do() {
    let home = Home::new();
    let store = home.open();
    let [kept, old, uploaded] = [1, 2, 3].map(|seed| file(seed, 800_000));
    for (bytes, info) in [&kept, &old] {
        store.fetch(info, &Peers::ending_after(bytes, 2), &Progress::default()).await.unwrap_err();
    }
    store.upload(&uploaded.1.digest, 800_000, 0, uploaded.0.slice(..100)).await.unwrap();
    let keep = HashSet::from([kept.1.digest]);
    assert_eq!(store.collect(&keep, HOUR).await.unwrap(), Collected::default());
    for name in home.partials() {
        age(&home.path("partial").join(name));
    }
    assert_eq!(store.collect(&keep, HOUR).await.unwrap().partials, 3);
    let left = [kept.1.digest.hex(), kept.1.digest.hex() + ".list"];
    assert_eq!(home.partials(), left);
}

#[tokio::test]
async fn what_is_being_fetched_stays() {
    let home = Home::new();
    let (store, (bytes, info)) = (home.open(), file(1, 800_000));
    let peers = Peers::of(&bytes);
    let progress = Progress::default();
    let fetch = store.fetch(&info, &peers, &progress);
    let collect = async {
        let mut removed = 0;
        while progress.held() < info.bytes {
            removed += store.collect(&HashSet::new(), Duration::ZERO).await.unwrap().partials;
        }
        removed
    };
    let (fetched, removed) = tokio::join!(fetch, collect);
    fetched.unwrap();
    assert_eq!(removed, 0);
}

#[tokio::test]
async fn who_reads_while_it_goes_gets_it_all_or_hears_that_it_is_missing() {
    let home = Home::new();
    let (store, bytes) = (home.open(), Bytes::from(vec![1; 3_000_000]));
    for _ in 0..20 {
        let info = store.put(bytes.clone()).await.unwrap();
        let nothing = HashSet::new();
        let (read, collected) = tokio::join!(store.read(&info.digest), store.collect(&nothing, Duration::ZERO));
        assert_eq!(collected.unwrap().blobs, 1);
        match read {
            Ok(read) => assert!(read == bytes),
            Err(error) => assert!(matches!(error, forebay_blobs::BlobError::Missing { .. }), "{error}"),
        }
    }
}
