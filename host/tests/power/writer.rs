//! A group of one that agrees on numbered commands until something ends it, for `tests/power/run`.
//!
//! `power-writer write DIR`: prints `ack N` once command N is agreed on, N from 0 on or from where the
//! directory ends. Exit code 74 when the disk fails.
//! `power-writer check DIR ACKS`: reads `ack` lines and fails with 1 if DIR lacks one of them.
//! `power-writer control FILE`: the same as `write`, with nothing but a file and fdatasync.
//! `power-writer control-check FILE ACKS`: the same as `check` for it.

#![allow(clippy::unwrap_used, reason = "a test program: whoever runs it sees what failed")]

use std::{
    error::Error,
    fs::{self, File},
    io::Write as _,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use forebay::registry::raft::{
    Group, GroupOptions, Machine, MemberId, Peers, ProposeError, Storage, Timing, Unreachable,
};
use forebay_proto::ids::NodeName;

/// Of each command. So many that snapshots are taken every few seconds.
const COMMAND_BYTES: usize = 4096;

/// How many commands are on their way at a time, so that several wait for one fsync.
const AT_ONCE: u64 = 4;

/// Also `EX_IOERR` of sysexits.h.
const DISK_FAILED: u8 = 74;

/// Which numbers were agreed on: one bit each.
#[derive(Clone, Debug, Default)]
struct Seen(Arc<Mutex<Vec<u8>>>);

impl Seen {
    fn has(&self, number: u64) -> bool {
        let (byte, bit) = (usize::try_from(number / 8).unwrap(), number % 8);
        self.0.lock().unwrap().get(byte).is_some_and(|byte| byte >> bit & 1 == 1)
    }

    /// One more than the highest.
    fn end(&self) -> u64 {
        let bytes = self.0.lock().unwrap();
        let last = bytes.last().map_or(0, |last| u64::from(8 - last.leading_zeros()));
        (bytes.len() as u64).saturating_sub(1) * 8 + last
    }
}

impl Machine for Seen {
    fn apply(&mut self, _: u64, command: &[u8]) -> Vec<u8> {
        let number = u64::from_le_bytes(command[..8].try_into().unwrap());
        let mut bytes = self.0.lock().unwrap();
        let byte = usize::try_from(number / 8).unwrap();
        if bytes.len() <= byte {
            bytes.resize(byte + 1, 0);
        }
        bytes[byte] |= 1 << (number % 8);
        Vec::new()
    }

    fn snapshot(&self) -> Vec<u8> {
        self.0.lock().unwrap().clone()
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), String> {
        *self.0.lock().unwrap() = snapshot.to_vec();
        Ok(())
    }
}

/// There are no others.
#[derive(Debug)]
struct Nobody;

#[async_trait]
impl Peers for Nobody {
    async fn call(&self, _: MemberId, _: &NodeName, _: Bytes, _: Duration) -> Result<Bytes, Unreachable> {
        Err(Unreachable("there is nobody else".to_owned()))
    }
}

type Failure = Box<dyn Error>;

async fn start(directory: PathBuf) -> Result<(Arc<Group>, Seen), Failure> {
    let seen = Seen::default();
    let ms = Duration::from_millis;
    let group = Group::start(GroupOptions {
        member: MemberId(1),
        node: "alone".parse()?,
        timing: Timing { heartbeat: ms(20), election_min: ms(60), election_max: ms(120) },
        storage: Storage::Directory(directory),
        machine: Box::new(seen.clone()),
        peers: Arc::new(Nobody),
    });
    let group = Arc::new(group.await?);
    // Refused unless the directory is new.
    let _ = group.found().await;
    let status = group.watch().until(|status| status.is_leader || status.failed.is_some()).await;
    if let Some(why) = status.failed {
        return Err(why.into());
    }
    group.ensure_linearizable(Duration::from_secs(20)).await?;
    Ok((group, seen))
}

fn command(number: u64) -> Bytes {
    let mut bytes = vec![0xa5; COMMAND_BYTES];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    bytes.into()
}

async fn write(directory: PathBuf) -> Result<ExitCode, Failure> {
    let (group, seen) = match start(directory).await {
        Ok(started) => started,
        Err(error) => return disk_failed(&*error),
    };
    let mut next = seen.end();
    loop {
        let proposals = (next..next + AT_ONCE).map(|number| {
            let group = group.clone();
            async move {
                let proposed = group.propose(command(number), Duration::from_secs(20)).await;
                proposed.map(|_| acknowledge(number))
            }
        });
        next += AT_ONCE;
        for proposed in futures_util::future::join_all(proposals).await {
            match proposed {
                Ok(()) => {}
                Err(ProposeError::Stopped(why)) => return disk_failed(&*Failure::from(why)),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn acknowledge(number: u64) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "ack {number}").and_then(|()| out.flush()).expect("somebody reads what is acknowledged");
}

fn disk_failed(error: &dyn Error) -> Result<ExitCode, Failure> {
    let (mut text, mut cause) = (error.to_string(), error.source());
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    eprintln!("the disk failed: {text}");
    Ok(ExitCode::from(DISK_FAILED))
}

/// Whole lines only: the last one may be cut.
fn acknowledged(path: &Path) -> Result<Vec<u64>, Failure> {
    let text = fs::read_to_string(path)?;
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.lines().map(|line| Ok(line.strip_prefix("ack ").ok_or("no ack line")?.parse()?)).collect()
}

fn compare(acknowledged: &[u64], has: impl Fn(u64) -> bool) -> ExitCode {
    let lost: Vec<_> = acknowledged.iter().filter(|number| !has(**number)).collect();
    println!("{} acknowledged, {} lost", acknowledged.len(), lost.len());
    match lost.first() {
        None => ExitCode::SUCCESS,
        Some(first) => {
            eprintln!("the first of {} that are lost is {first}", lost.len());
            ExitCode::FAILURE
        }
    }
}

async fn check(directory: PathBuf, acks: &Path) -> Result<ExitCode, Failure> {
    let (group, seen) = start(directory).await?;
    let result = compare(&acknowledged(acks)?, |number| seen.has(number));
    group.stop().await;
    Ok(result)
}

fn control(path: &Path) -> Result<ExitCode, Failure> {
    let file = File::options().read(true).write(true).create(true).truncate(false).open(path)?;
    for number in file.metadata()?.len() / 8.. {
        file.write_all_at(&(number + 1).to_le_bytes(), number * 8)?;
        file.sync_data()?;
        acknowledge(number);
    }
    Ok(ExitCode::SUCCESS)
}

fn control_check(path: &Path, acks: &Path) -> Result<ExitCode, Failure> {
    let bytes = fs::read(path).unwrap_or_default();
    Ok(compare(&acknowledged(acks)?, |number| {
        let at = usize::try_from(number * 8).unwrap();
        bytes.get(at..at + 8) == Some(&(number + 1).to_le_bytes())
    }))
}

#[tokio::main]
async fn main() -> Result<ExitCode, Failure> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["write", directory] => write(directory.into()).await,
        ["check", directory, acks] => check(directory.into(), acks.as_ref()).await,
        ["control", file] => control(file.as_ref()),
        ["control-check", file, acks] => control_check(file.as_ref(), acks.as_ref()),
        _ => Err("usage: power-writer write DIR | check DIR ACKS | control FILE | control-check FILE ACKS".into()),
    }
}
