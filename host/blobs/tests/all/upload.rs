//! Uploads: in order, resumed, bounded, and nothing but what its digest says.

use std::{fs, time::Duration};

use bytes::Bytes;
use forebay_blobs::{BlobError, UPLOADS_MAX, Uploaded, digest_of};
use forebay_proto::blob::BLOB_BYTES_MAX;

use crate::{Home, file};

#[tokio::test]
async fn an_upload_goes_on_in_the_next_process_where_it_was_broken_off() {
    let (home, (bytes, info)) = (Home::new(), file(1, 500_000));
    let length = bytes.len() as u64;
    for at in (0..bytes.len()).step_by(70_000) {
        let (store, part) = (home.open(), bytes.slice(at..bytes.len().min(at + 70_000)));
        let held = store.upload(&info.digest, length, 0, Bytes::new()).await.unwrap();
        assert_eq!(held, Uploaded::Held(at as u64), "an empty part asks");
        assert!(!store.has(&info.digest));
        let end = at + part.len();
        let expected = if end == bytes.len() { Uploaded::Whole(info) } else { Uploaded::Held(end as u64) };
        assert_eq!(store.upload(&info.digest, length, at as u64, part).await.unwrap(), expected);
    }
    let store = home.open();
    assert_eq!(store.read(&info.digest).await.unwrap(), bytes);
    assert_eq!(home.partials(), [""; 0]);
    let again = store.upload(&info.digest, length, 0, bytes.slice(..10)).await.unwrap();
    assert_eq!((again, home.partials().len()), (Uploaded::Whole(info), 0), "it is here already");
}

#[tokio::test]
async fn parts_that_do_not_go_on_change_nothing() {
    let (home, (bytes, info)) = (Home::new(), file(2, 1000));
    let store = home.open();
    let upload =
        async |at: u64, part: &[u8]| store.upload(&info.digest, 1000, at, Bytes::copy_from_slice(part)).await.unwrap();
    assert_eq!(upload(10, b"ahead").await, Uploaded::Held(0));
    assert_eq!(upload(0, &bytes[..600]).await, Uploaded::Held(600));
    assert_eq!(upload(0, b"twice").await, Uploaded::Held(600));
    assert_eq!(upload(500, &bytes[500..1000]).await, Uploaded::Held(600));
    assert_eq!(upload(600, &bytes[600..]).await, Uploaded::Whole(info));
    assert_eq!(store.read(&info.digest).await.unwrap(), bytes);
}

#[tokio::test]
async fn other_bytes_than_told_are_dropped() {
    let (home, (bytes, info)) = (Home::new(), file(3, 1000));
    let store = home.open();
    let wrong = Bytes::from(vec![0; 1000]);
    let error = store.upload(&info.digest, 1000, 0, wrong.clone()).await.unwrap_err();
    assert!(matches!(error, BlobError::Mismatch { found, .. } if found == digest_of(&wrong)), "{error}");
    assert!(!store.has(&info.digest));
    assert_eq!(home.partials(), [""; 0]);
    assert_eq!(store.upload(&info.digest, 1000, 0, bytes).await.unwrap(), Uploaded::Whole(info));
}

#[tokio::test]
async fn lengths_are_bounded() {
    let (home, (bytes, info)) = (Home::new(), file(4, 1000));
    let store = home.open();
    let upload = async |bytes, at, part| store.upload(&info.digest, bytes, at, part).await;
    let part = bytes.slice(..10);
    let error = upload(BLOB_BYTES_MAX + 1, 0, part.clone()).await;
    assert!(matches!(error, Err(BlobError::TooLong { .. })));
    for (length, at) in [(9, 0), (1000, 991), (1000, u64::MAX)] {
        assert!(matches!(upload(length, at, part.clone()).await, Err(BlobError::Overrun { .. })));
    }
    assert_eq!(upload(1000, 0, part.clone()).await.unwrap(), Uploaded::Held(10));
    // Who tells another length now does not go on with the same file.
    assert_eq!(upload(5, 5, Bytes::new()).await.unwrap(), Uploaded::Held(0));
    assert_eq!(home.partials().len(), 1);
}

#[tokio::test]
async fn the_oldest_upload_goes_for_one_too_many() {
    let home = Home::new();
    let store = home.open();
    let files: Vec<_> = (0..=UPLOADS_MAX as u64).map(|seed| file(100 + seed, 100)).collect();
    let begin = async |at: usize| {
        let (bytes, info) = &files[at];
        let held = store.upload(&info.digest, 100, 0, bytes.slice(..50)).await.unwrap();
        assert_eq!(held, Uploaded::Held(50));
    };
    for (at, (_, info)) in files.iter().enumerate().take(UPLOADS_MAX) {
        begin(at).await;
        let upload = fs::File::open(home.partial(&info.digest, ".upload")).unwrap();
        let age = Duration::from_secs(1000 - at as u64 * 10);
        upload.set_modified(std::time::SystemTime::now() - age).unwrap();
    }
    assert_eq!(home.partials().len(), UPLOADS_MAX);
    begin(UPLOADS_MAX).await;
    assert_eq!(home.partials().len(), UPLOADS_MAX);
    let held = async |at: usize| store.upload(&files[at].1.digest, 100, 0, Bytes::new()).await.unwrap();
    assert_eq!(held(1).await, Uploaded::Held(50));
    assert!(!home.partial(&files[0].1.digest, ".upload").exists());
}
