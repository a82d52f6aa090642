//! What of a cache is taken, and what goes.

use std::{
    collections::BTreeSet,
    fs::FileTimes,
    sync::Arc,
    thread,
    time::{Duration, SystemTime},
};

use super::{super::engine, *};

/// The smallest component there is.
const EMPTY: &[u8] = b"\0asm\x0d\0\x01\0";

fn native() -> Engine {
    Engine::new(&engine::config()).unwrap()
}

fn component(engine: &Engine) -> Component {
    Component::from_binary(engine, EMPTY).unwrap()
}

fn open() -> (tempfile::TempDir, Cache) {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(&folder.path().join("cache")).unwrap();
    (folder, cache)
}

fn names(cache: &Cache) -> BTreeSet<String> {
    let files = fs::read_dir(&cache.folder).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    files.filter(|name| name != "key").collect()
}

/// Puts a file there that was used so long ago.
fn put(cache: &Cache, name: &str, bytes: usize, unused: Duration) {
    let path = cache.folder.join(name);
    fs::write(&path, vec![0; bytes]).unwrap();
    let at = SystemTime::now() - unused;
    let times = FileTimes::new().set_accessed(at).set_modified(at);
    fs::File::options().append(true).open(path).unwrap().set_times(times).unwrap();
}

/// As on a machine with the oldest processor of this kind that there is: no feature is known of it.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
fn plain() -> Engine {
    let mut config = engine::config();
    config.target("x86_64-unknown-linux-gnu").unwrap();
    #[allow(unsafe_code, reason = "nothing is run that was compiled for it")]
    // SAFETY: it says of no feature that is not there that it is.
    unsafe {
        config.detect_host_feature(|_| Some(false));
    }
    Engine::new(&config).unwrap()
}

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
#[test]
fn code_for_another_processor_is_not_looked_at() {
    let (native, plain) = (native(), plain());
    let digest = Digest::of(EMPTY);
    assert_ne!(entry_name(&native, &digest), entry_name(&plain, &digest));
    let (_folder, cache) = open();
    cache.store(&component(&native), &digest);
    assert!(cache.load(&native, &digest).is_some());
    assert!(cache.load(&plain, &digest).is_none());
}

/// So the name alone does not have to be trusted, on processors of which wasmtime can tell.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
#[test]
fn code_for_another_processor_is_refused_also_under_a_name_that_fits() {
    let (native, plain) = (native(), plain());
    let digest = Digest::of(EMPTY);
    let code = component(&native).serialize().unwrap();
    let error = deserialize(&plain, &code).map(drop).expect_err("it needs what this one has not");
    assert!(format!("{error:#}").contains("not available on the host"), "{error:#}");
    let (_folder, cache) = open();
    let name = entry_name(&plain, &digest);
    let mac = hmac::sign(&cache.key, &signed(&name, &code));
    fs::write(cache.folder.join(&name), [mac.as_ref(), &code].concat()).unwrap();
    assert!(cache.load(&plain, &digest).is_none());
}

#[test]
fn an_entry_that_is_used_stays_and_others_go_with_time() {
    let (_folder, cache) = open();
    let day = Duration::from_secs(24 * 3600);
    put(&cache, "old.cwasm", 1, room::UNUSED_MAX + day);
    put(&cache, "young.cwasm", 1, room::UNUSED_MAX - day);
    put(&cache, "mine.cwasm", 1, room::UNUSED_MAX + day);
    put(&cache, ".tmpOld", 1, day);
    put(&cache, ".tmpNew", 1, Duration::ZERO);
    put(&cache, "notes.txt", 1, 100 * day);
    cache.room.used("mine.cwasm");
    cache.room.make(SystemTime::now());
    assert_eq!(names(&cache), [".tmpNew", "mine.cwasm", "notes.txt", "young.cwasm"].map(str::to_owned).into());
    cache.room.make(SystemTime::now() + 100 * day);
    assert_eq!(names(&cache), ["mine.cwasm", "notes.txt"].map(str::to_owned).into(), "this process uses it still");
    let later = Room::new(&cache.folder);
    later.make(SystemTime::now() + 100 * day);
    assert_eq!(names(&cache), ["notes.txt"].map(str::to_owned).into());
}

#[test]
fn what_was_used_least_recently_goes_when_there_is_too_much() {
    let (_folder, cache) = open();
    for (name, minutes) in [("a", 1), ("b", 4), ("c", 3), ("d", 2)] {
        put(&cache, &format!("{name}.cwasm"), 100, Duration::from_secs(60 * minutes));
    }
    cache.room.used("b.cwasm");
    cache.room.make_within(300, SystemTime::now()).unwrap();
    assert_eq!(names(&cache), ["a.cwasm", "b.cwasm", "d.cwasm"].map(str::to_owned).into());
    cache.room.make_within(10, SystemTime::now()).unwrap();
    assert_eq!(names(&cache), ["b.cwasm".to_owned()].into(), "the last is not thrown away for the next to compile");
}

#[test]
fn a_load_counts_as_a_use() {
    let (_folder, cache) = open();
    let (engine, digest) = (native(), Digest::of(EMPTY));
    cache.store(&component(&engine), &digest);
    let name = entry_name(&engine, &digest);
    let path = cache.folder.join(&name);
    let long_ago = SystemTime::now() - Duration::from_secs(3600);
    let times = FileTimes::new().set_accessed(long_ago).set_modified(long_ago);
    fs::File::options().append(true).open(&path).unwrap().set_times(times).unwrap();
    cache.load(&engine, &digest).unwrap();
    assert!(fs::metadata(&path).unwrap().accessed().unwrap() > long_ago + Duration::from_secs(1800));
}

/// Each opens the folder for itself, as a process does.
#[test]
fn many_that_compile_the_same_at_once_do_not_disturb_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = Arc::new(folder.path().join("cache"));
    let work = |path: Arc<PathBuf>| {
        let (engine, digest) = (native(), Digest::of(EMPTY));
        let cache = Cache::open(&path).unwrap();
        for _ in 0..20 {
            cache.store(&component(&engine), &digest);
            assert!(cache.load(&engine, &digest).is_some(), "it is whole at all times");
        }
    };
    let all: Vec<_> = (0..4).map(|_| Arc::clone(&path)).map(|path| thread::spawn(move || work(path))).collect();
    all.into_iter().for_each(|one| one.join().unwrap());
    assert_eq!(names(&Cache::open(&path).unwrap()).len(), 1);
}
