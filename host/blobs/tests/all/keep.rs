//! What is put is given back as it was, or not at all.

use std::{fs, os::unix::fs::PermissionsExt};

use bytes::Bytes;
use forebay_blobs::{BlobError, digest_of, info_of};
use forebay_proto::blob::{BLOB_BYTES_MAX, CHUNK_BYTES};

use crate::{Home, file};

#[tokio::test]
async fn what_is_put_is_read_by_this_store_and_the_next() {
    let home = Home::new();
    for length in [0, 1, CHUNK_BYTES as usize, 700_000] {
        let store = home.open();
        let (bytes, info) = file(1, length);
        assert!(!store.has(&info.digest));
        assert!(matches!(store.read(&info.digest).await, Err(BlobError::Missing { digest }) if digest == info.digest));
        assert_eq!(store.put(bytes.clone()).await.unwrap(), info);
        assert_eq!(store.put(bytes.clone()).await.unwrap(), info, "twice is once");
        let next = home.open();
        assert!(store.has(&info.digest) && next.has(&info.digest));
        assert_eq!(next.read(&info.digest).await.unwrap(), bytes);
        assert_eq!(next.info(&info.digest).await.unwrap(), info);
    }
    assert_eq!(home.partials(), [""; 0], "nothing is left of writing");
}

#[tokio::test]
async fn folders_and_files_are_the_owners_alone() {
    let home = Home::new();
    let info = home.open().put(Bytes::from_static(b"secret")).await.unwrap();
    let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(home.path("")), 0o700);
    assert_eq!(mode(home.path("partial")), 0o700);
    assert_eq!(mode(home.blob(&info.digest)), 0o600);
}

#[tokio::test]
async fn an_altered_file_is_never_given_and_goes() {
    let (bytes, info) = file(2, 600_000);
    let longer = [&bytes[..], b"x"].concat();
    let (mut flipped, shorter) = (bytes.to_vec(), bytes[..599_999].to_vec());
    flipped[300_000] ^= 4;
    for altered in [flipped, shorter, longer, Vec::new()] {
        let home = Home::new();
        let store = home.open();
        store.put(bytes.clone()).await.unwrap();
        fs::write(home.blob(&info.digest), &altered).unwrap();
        assert!(matches!(store.read(&info.digest).await, Err(BlobError::Damaged { .. })), "{} bytes", altered.len());
        assert!(!home.blob(&info.digest).exists());
        assert!(matches!(store.read(&info.digest).await, Err(BlobError::Missing { .. })));
    }
}

#[tokio::test]
async fn putting_an_altered_file_again_puts_it_in_order() {
    let (home, (bytes, info)) = (Home::new(), file(3, 1000));
    let store = home.open();
    store.put(bytes.clone()).await.unwrap();
    fs::write(home.blob(&info.digest), vec![0; 1000]).unwrap();
    store.put(bytes.clone()).await.unwrap();
    assert_eq!(store.read(&info.digest).await.unwrap(), bytes);
}

#[tokio::test]
async fn the_longest_blob_is_kept_and_nothing_longer() {
    let store = Home::new();
    let (home, store) = (&store, store.open());
    let longest = Bytes::from(vec![3; BLOB_BYTES_MAX as usize]);
    let info = store.put(longest.clone()).await.unwrap();
    assert!(store.read(&info.digest).await.unwrap() == longest);
    let longer = Bytes::from(vec![3; BLOB_BYTES_MAX as usize + 1]);
    assert!(matches!(store.put(longer.clone()).await, Err(BlobError::TooLong { .. })));
    let digest = digest_of(&longer);
    fs::write(home.blob(&digest), &longer).unwrap();
    assert!(matches!(store.read(&digest).await, Err(BlobError::Damaged { .. })), "nor is it read");
}

#[tokio::test]
async fn what_an_earlier_process_was_writing_is_gone() {
    let home = Home::new();
    home.open();
    fs::write(home.path("partial/.put-abc"), "half").unwrap();
    fs::write(home.path("partial/of-somebody"), "else").unwrap();
    home.open();
    assert_eq!(home.partials(), ["of-somebody"]);
}

#[tokio::test]
async fn peers_are_given_lists_and_chunks() {
    let home = Home::new();
    let (store, (bytes, info)) = (home.open(), file(4, 2 * CHUNK_BYTES as usize + 5));
    assert!(matches!(store.chunk_list(&info.digest).await, Err(BlobError::Missing { .. })));
    store.put(bytes.clone()).await.unwrap();
    let list = store.chunk_list(&info.digest).await.unwrap();
    let chunks: Vec<_> = bytes.chunks(CHUNK_BYTES as usize).collect();
    assert_eq!(*list, *chunks.iter().map(|chunk| digest_of(chunk)).collect::<Vec<_>>());
    for (index, chunk) in chunks.iter().enumerate() {
        assert_eq!(store.chunk(&info.digest, index as u64).await.unwrap(), chunk);
    }
    for index in [3, u64::MAX] {
        assert!(matches!(store.chunk(&info.digest, index).await, Err(BlobError::NoChunk { chunks: 3, .. })));
    }
}

#[tokio::test]
async fn a_chunk_that_was_altered_after_its_list_was_made_is_never_given() {
    let home = Home::new();
    let (store, (bytes, info)) = (home.open(), file(5, 2 * CHUNK_BYTES as usize));
    store.put(bytes.clone()).await.unwrap();
    store.chunk_list(&info.digest).await.unwrap();
    let mut altered = bytes.to_vec();
    altered[CHUNK_BYTES as usize] ^= 1;
    fs::write(home.blob(&info.digest), &altered).unwrap();
    assert!(matches!(store.chunk(&info.digest, 1).await, Err(BlobError::Damaged { .. })));
    assert!(matches!(store.chunk(&info.digest, 0).await, Err(BlobError::Missing { .. })));
    assert!(matches!(store.chunk_list(&info.digest).await, Err(BlobError::Missing { .. })));
}

#[tokio::test]
async fn many_at_once_put_and_read_the_same() {
    let home = Home::new();
    let (store, (bytes, info)) = (home.open(), file(6, 300_000));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let (store, bytes) = (store.clone(), bytes.clone());
        tasks.spawn(async move {
            assert_eq!(store.put(bytes.clone()).await.unwrap(), info_of(&bytes));
            assert_eq!(store.read(&info.digest).await.unwrap(), bytes);
            assert_eq!(store.chunk(&info.digest, 0).await.unwrap(), bytes[..CHUNK_BYTES as usize]);
        });
    }
    assert_eq!(tasks.join_all().await.len(), 20);
    assert_eq!(home.partials(), [""; 0]);
}
