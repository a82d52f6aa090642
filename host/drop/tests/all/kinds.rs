//! Each kind of drop, and what gives none.

use std::{
    fs::{self, File},
    io::Write as _,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use forebay_drop::{Drop, Options, Watch, Why};
use sha2::{Digest as _, Sha256};

use crate::{OPTIONS, component, next, nothing, start};

/// A plugin with this after its preamble and with this signature.
#[track_caller]
fn assert_found(drop: Drop, rest: &[u8], signed: Option<&str>) {
    let Drop::Found { name, path, bytes, digest, signature } = drop else { panic!("{drop:?} came") };
    assert_eq!((name.as_str(), path.file_name().unwrap().to_str().unwrap()), ("x", "x.wasm"));
    assert_eq!(bytes, component(rest));
    assert_eq!(digest.0, *Sha256::digest(&bytes));
    assert_eq!(signature.as_deref(), signed);
}

fn unusable(path: PathBuf, why: Why) -> Drop {
    Drop::Unusable { path, why }
}

fn gone() -> Drop {
    Drop::Gone { name: "x".into() }
}

/// Puts a file there as a careful deployer does.
fn put(folder: &Path, name: &str, bytes: &[u8]) {
    let hidden = folder.join(format!(".{name}"));
    fs::write(&hidden, bytes).unwrap();
    fs::rename(hidden, folder.join(name)).unwrap();
}

#[tokio::test]
async fn the_folder_is_made_for_its_owner_and_may_go_and_come_back() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("data").join("plugins");
    let mut watch = start(&folder);
    assert_eq!(fs::metadata(&folder).unwrap().mode() & 0o7777, 0o700);
    put(&folder, "x.wasm", &component(b"1"));
    assert_found(next(&mut watch).await, b"1", None);
    fs::remove_dir_all(&folder).unwrap();
    assert_eq!(next(&mut watch).await, gone());
    fs::create_dir(&folder).unwrap();
    put(&folder, "x.wasm", &component(b"1"));
    assert_found(next(&mut watch).await, b"1", None);
    // Nothing tells of a folder above that is moved.
    fs::rename(parent.path().join("data"), parent.path().join("other")).unwrap();
    assert_eq!(next(&mut watch).await, gone());
    fs::rename(parent.path().join("other"), parent.path().join("data")).unwrap();
    assert_found(next(&mut watch).await, b"1", None);
}

#[tokio::test]
async fn a_version_is_given_once_and_a_new_one_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut watch = start(folder.path());
    let path = folder.path().join("x.wasm");
    fs::write(&path, component(b"1")).unwrap();
    assert_found(next(&mut watch).await, b"1", None);
    // The same bytes: touched, written again, moved there.
    File::open(&path).unwrap().set_modified(SystemTime::now()).unwrap();
    nothing(&mut watch).await;
    fs::write(&path, component(b"1")).unwrap();
    nothing(&mut watch).await;
    put(folder.path(), "x.wasm", &component(b"1"));
    nothing(&mut watch).await;
    fs::write(&path, component(b"2")).unwrap();
    assert_found(next(&mut watch).await, b"2", None);
    put(folder.path(), "x.wasm", &component(b"1"));
    assert_found(next(&mut watch).await, b"1", None);
    fs::remove_file(&path).unwrap();
    assert_eq!(next(&mut watch).await, gone());
    put(folder.path(), "x.wasm", &component(b"1"));
    assert_found(next(&mut watch).await, b"1", None);
}

#[tokio::test]
async fn what_was_there_at_the_start_is_given_when_it_is_old() {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), "x.wasm", &component(b"1"));
    put(folder.path(), "x.wasm.minisig", b"s");
    let begun = std::time::Instant::now();
    let mut watch = Watch::start(folder.path(), Options { doubt: Duration::from_secs(1), ..OPTIONS }).unwrap();
    assert_found(next(&mut watch).await, b"1", Some("s"));
    assert!(begun.elapsed() > Duration::from_millis(900), "{:?}", begun.elapsed());
    drop(watch);
    let begun = std::time::Instant::now();
    let mut watch = Watch::start(folder.path(), Options { doubt: Duration::from_secs(1), ..OPTIONS }).unwrap();
    assert_found(next(&mut watch).await, b"1", Some("s"));
    assert!(begun.elapsed() < Duration::from_millis(900), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_file_with_an_open_writer_waits_until_it_is_closed() {
    let folder = tempfile::tempdir().unwrap();
    let mut watch = start(folder.path());
    let mut writer = File::create(folder.path().join("x.wasm")).unwrap();
    writer.write_all(&component(b"1")).unwrap();
    nothing(&mut watch).await;
    writer.write_all(b"2").unwrap();
    nothing(&mut watch).await;
    drop(writer);
    assert_found(next(&mut watch).await, b"12", None);
}

#[tokio::test]
async fn a_writer_of_a_file_that_was_moved_over_holds_nothing_up() {
    let folder = tempfile::tempdir().unwrap();
    let mut watch = start(folder.path());
    let mut writer = File::create(folder.path().join("x.wasm")).unwrap();
    put(folder.path(), "x.wasm", &component(b"1"));
    writer.write_all(b"into nowhere").unwrap();
    assert_found(next(&mut watch).await, b"1", None);
}

#[tokio::test]
async fn a_writer_that_was_there_before_the_start_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = File::create(folder.path().join("x.wasm")).unwrap();
    writer.write_all(&component(b"1")).unwrap();
    let mut watch = Watch::start(folder.path(), Options { ask_for_writers: true, ..OPTIONS }).unwrap();
    nothing(&mut watch).await;
    writer.write_all(b"2").unwrap();
    drop(writer);
    assert_found(next(&mut watch).await, b"12", None);
}

#[tokio::test]
async fn a_signature_comes_with_its_plugin_and_gives_it_again_when_it_changes() {
    let folder = tempfile::tempdir().unwrap();
    let mut watch = start(folder.path());
    let signature = folder.path().join("x.wasm.minisig");
    put(folder.path(), "x.wasm.minisig", b"first");
    put(folder.path(), "x.wasm", &component(b"1"));
    assert_found(next(&mut watch).await, b"1", Some("first"));
    fs::write(&signature, "second").unwrap();
    assert_found(next(&mut watch).await, b"1", Some("second"));
    fs::write(&signature, "second").unwrap();
    nothing(&mut watch).await;
    fs::remove_file(&signature).unwrap();
    assert_found(next(&mut watch).await, b"1", None);
    fs::write(&signature, "late").unwrap();
    assert_found(next(&mut watch).await, b"1", Some("late"));
}

#[tokio::test]
async fn a_signature_that_is_none_is_said_and_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let signature = folder.path().join("x.wasm.minisig");
    let mut watch = start(folder.path());
    fs::write(&signature, [b's'; 4097]).unwrap();
    put(folder.path(), "x.wasm", &component(b"1"));
    assert_eq!(next(&mut watch).await, unusable(signature.clone(), Why::SignatureTooLong { bytes: 4097 }));
    assert_found(next(&mut watch).await, b"1", None);
    fs::write(&signature, [0xff]).unwrap();
    assert_eq!(next(&mut watch).await, unusable(signature.clone(), Why::SignatureNotText));
    nothing(&mut watch).await;
    fs::write(&signature, [b's'; 4096]).unwrap();
    assert_found(next(&mut watch).await, b"1", Some(&"s".repeat(4096)));
}

#[tokio::test]
async fn what_cannot_be_used_is_said_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut watch = start(folder.path());
    let path = folder.path().join("x.wasm");
    let check = [
        (&b""[..], Why::Empty),
        (b"\0asm\x01\0\0\0core", Why::CoreModule),
        (b"(component)", Why::NotComponent),
        (b"\0asm\x0d\0\x01", Why::NotComponent),
    ];
    for (bytes, why) in check {
        fs::write(&path, bytes).unwrap();
        assert_eq!(next(&mut watch).await, unusable(path.clone(), why));
        File::open(&path).unwrap().set_modified(SystemTime::now()).unwrap();
        nothing(&mut watch).await;
    }
    // A new one that is as bad is said again, and a good one is found.
    fs::write(&path, "other").unwrap();
    assert_eq!(next(&mut watch).await, unusable(path.clone(), Why::NotComponent));
    fs::write(&path, component(b"1")).unwrap();
    assert_found(next(&mut watch).await, b"1", None);
    let bytes = (64 << 20) + 1;
    File::create(&path).unwrap().set_len(bytes).unwrap();
    assert_eq!(next(&mut watch).await, unusable(path.clone(), Why::TooLong { bytes }));
    nothing(&mut watch).await;
}

#[tokio::test]
async fn only_regular_files_with_a_name_are_used() {
    let folder = tempfile::tempdir().unwrap();
    let mut watch = start(folder.path());
    fs::write(folder.path().join("whole"), component(b"1")).unwrap();
    symlink(folder.path().join("whole"), folder.path().join("a.wasm")).unwrap();
    assert_eq!(next(&mut watch).await, unusable(folder.path().join("a.wasm"), Why::NotRegular));
    fs::create_dir(folder.path().join("b.wasm")).unwrap();
    assert_eq!(next(&mut watch).await, unusable(folder.path().join("b.wasm"), Why::NotRegular));
    let pipe = folder.path().join("c.wasm");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, 0o600.into()).unwrap();
    assert_eq!(next(&mut watch).await, unusable(pipe, Why::NotRegular));
    put(folder.path(), "No Name.wasm", &component(b"1"));
    let Drop::Unusable { path, why: Why::Name(_) } = next(&mut watch).await else { panic!("it has a name") };
    assert_eq!(path, folder.path().join("No Name.wasm"));
    put(folder.path(), "No Name.wasm", &component(b"2"));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    for other in [".x.wasm", "#x.wasm#", "~x.wasm", "x.wasm~", "x.wasm.part", "x.txt"] {
        fs::write(folder.path().join(other), component(b"1")).unwrap();
    }
    nothing(&mut watch).await;
}

#[tokio::test]
async fn nothing_is_lost_when_more_happens_than_the_system_tells() {
    let folder = tempfile::tempdir().unwrap();
    let mut watch = start(folder.path());
    let events: usize = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap().trim().parse().unwrap();
    // Four files which nobody asks for keep the watching busy, while all that can be queued is queued.
    for name in ["a", "b", "c", "d"] {
        put(folder.path(), &format!("{name}.wasm"), &component(name.as_bytes()));
    }
    tokio::time::sleep(OPTIONS.settle * 5).await;
    // In turn, since the same event twice in a row is queued once.
    let others = ["one", "other"].map(|name| File::create(folder.path().join(name)).unwrap());
    for number in 0..=events {
        others[number % 2].set_permissions(fs::Permissions::from_mode(0o600)).unwrap();
    }
    put(folder.path(), "x.wasm", &component(b"1"));
    fs::remove_file(folder.path().join("a.wasm")).unwrap();
    let mut names = Vec::new();
    while names.len() < 6 {
        names.push(match next(&mut watch).await {
            Drop::Found { name, .. } => name,
            Drop::Gone { name } => format!("{name} gone"),
            unusable => panic!("{unusable:?}"),
        });
    }
    names.sort();
    assert_eq!(names, ["a", "a gone", "b", "c", "d", "x"]);
    nothing(&mut watch).await;
}

#[tokio::test]
async fn dropping_it_ends_its_thread_also_when_nobody_took_what_it_has() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a", "b", "c", "d"] {
        put(folder.path(), &format!("{name}.wasm"), &component(name.as_bytes()));
    }
    let watch = start(folder.path());
    tokio::time::sleep(OPTIONS.doubt * 2).await;
    let idle = start(&folder.path().join("empty"));
    let begun = std::time::Instant::now();
    drop(watch);
    drop(idle);
    assert!(begun.elapsed() < Duration::from_millis(500), "{:?}", begun.elapsed());
}
