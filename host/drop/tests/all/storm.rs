//! A file that is replaced again and again, at random moments and in every way: always one whole version.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
    process::Command,
    thread::sleep,
    time::Instant,
};

use forebay_drop::{Drop, Options, Watch};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use sha2::{Digest as _, Sha256};

use crate::{OPTIONS, SETTLE, component, next, nothing};

/// Versions of one file, and how they get there.
struct Deployer {
    random: StdRng,
    /// Where versions are made.
    workshop: PathBuf,
    path: PathBuf,
    /// Their numbers by the digests of their contents.
    versions: HashMap<[u8; 32], usize>,
    /// How often each way was taken.
    ways: [usize; 7],
}

impl Deployer {
    /// A new version: the digest of the rest, and the rest, so that a mix of two is known as such.
    fn version(&mut self) -> Vec<u8> {
        let mut rest = vec![0; self.random.random_range(1 << 10..1 << 19)];
        self.random.fill(&mut rest[..]);
        let whole = component(&[&Sha256::digest(&rest)[..], &rest].concat());
        let number = self.versions.len();
        self.versions.insert(Sha256::digest(&whole).into(), number);
        whole
    }

    fn prepared(&mut self) -> PathBuf {
        let bytes = self.version();
        let path = self.workshop.join("next");
        fs::write(&path, bytes).unwrap();
        path
    }

    fn pause(&mut self, least: f64, most: f64) {
        sleep(SETTLE.mul_f64(self.random.random_range(least..most)));
    }

    fn replace(&mut self) {
        let way = self.random.random_range(0..self.ways.len());
        self.ways[way] += 1;
        match way {
            0 => self.run("cp"),
            1 => self.run("mv"),
            2 => self.write_slowly(false),
            3 => self.write_slowly(true),
            4 => {
                let hidden = self.path.with_file_name(".x.wasm.tmp");
                fs::write(&hidden, self.version()).unwrap();
                fs::rename(hidden, &self.path).unwrap();
            }
            5 => {
                self.run("cp");
                self.run("mv");
            }
            // When the one before is just being read.
            _ => {
                self.run("cp");
                self.pause(0.9, 1.3);
                self.write_slowly(true);
            }
        }
    }

    fn run(&mut self, program: &str) {
        let from = self.prepared();
        assert!(Command::new(program).arg("-f").arg(from).arg(&self.path).status().unwrap().success());
    }

    /// Over the version that is there, without cutting it first; or anew, as a move between two file systems does.
    fn write_slowly(&mut self, over: bool) {
        let bytes = self.version();
        if !over {
            fs::remove_file(&self.path).unwrap();
        }
        let mut file = File::options().write(true).create(true).truncate(false).open(&self.path).unwrap();
        let mut at = 0;
        while at < bytes.len() {
            let end = self.random.random_range(at + 1..=bytes.len().min(at + bytes.len() / 2 + 1));
            file.seek(SeekFrom::Start(at as u64)).unwrap();
            file.write_all(&bytes[at..end]).unwrap();
            at = end;
            if self.random.random_bool(0.2) {
                self.pause(0.0, 2.0);
            }
        }
        file.set_len(bytes.len() as u64).unwrap();
    }
}

/// What is wrong with what was handed out.
fn fault(bytes: &[u8]) -> Option<&'static str> {
    let Some((digest, rest)) = bytes[8..].split_first_chunk::<32>() else { return Some("only its beginning") };
    (Sha256::digest(rest)[..] != *digest).then_some("not one whole version")
}

async fn storm(seed: u64, rounds: usize, options: Options) {
    let (folder, workshop) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut watch = Watch::start(folder.path(), options).unwrap();
    let path = folder.path().join("x.wasm");
    let workshop = Path::to_owned(workshop.path());
    let random = StdRng::seed_from_u64(seed);
    let mut deployer = Deployer { random, workshop, path, versions: HashMap::new(), ways: [0; 7] };
    deployer.run("cp");
    let begun = Instant::now();
    let deploying = tokio::task::spawn_blocking(move || {
        for _ in 0..rounds {
            deployer.replace();
            if deployer.random.random_bool(0.5) {
                deployer.pause(0.0, 2.0);
            }
        }
        deployer
    });
    let (mut found, mut given) = (Vec::new(), 0);
    while !deploying.is_finished() {
        if let Ok(drop) = tokio::time::timeout(SETTLE, watch.next()).await {
            found.extend(whole(drop, seed, &mut given));
        }
    }
    let deployer = deploying.await.unwrap();
    let last: [u8; 32] = Sha256::digest(fs::read(&deployer.path).unwrap()).into();
    while found.last() != Some(&last) {
        found.extend(whole(next(&mut watch).await, seed, &mut given));
    }
    nothing(&mut watch).await;
    println!(
        "seed {seed}: {given} of {} versions in {:?}, ways {:?}",
        deployer.versions.len(),
        begun.elapsed(),
        deployer.ways
    );
    let numbers: Vec<usize> = found.iter().map(|digest| deployer.versions[digest]).collect();
    assert!(numbers.is_sorted_by(|one, next| one < next), "seed {seed}: each once and in turn, found {numbers:?}");
    assert_eq!(deployer.versions[&last], deployer.versions.len() - 1);
    assert!(given > rounds / 8, "seed {seed}: only {given} of {} versions were seen", deployer.versions.len());
}

/// The digest of a plugin that was handed out. One that was removed for a while may be said to be gone.
fn whole(drop: Drop, seed: u64, given: &mut usize) -> Option<[u8; 32]> {
    match drop {
        Drop::Found { bytes, digest, .. } => {
            *given += 1;
            assert_eq!(fault(&bytes), None, "seed {seed}, drop {given}");
            Some(digest.0)
        }
        Drop::Gone { .. } => None,
        unusable => panic!("seed {seed}: {unusable:?}"),
    }
}

#[tokio::test]
async fn of_a_file_replaced_200_times_always_one_whole_version_is_given() {
    storm(5, 200, OPTIONS).await;
}

#[tokio::test]
async fn a_file_whose_writers_can_be_seen_is_given_whole_too() {
    storm(6, 40, Options { ask_for_writers: true, ..OPTIONS }).await;
}
