//! The baseline: processes of `forebay bench-raw`, which do the same over raw QUIC.

use std::{io, path::Path, process::Stdio, time::Duration};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{self, ChildStdin, ChildStdout, Command},
    time::{Instant, sleep, timeout},
};

use super::{
    figures::{Ages, Sample, Taken},
    nodes::{Told, WARM_UP},
    vitals::Used,
    work::Work,
};
use crate::cli::{Exit, Failure};

/// How long a process may take to answer.
const ANSWER_WAIT: Duration = Duration::from_secs(10);

/// A process, which ends when its standard input does, or with this.
struct Raw {
    process: process::Child,
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Raw {
    /// `keys`: a folder as `forebay cluster add-node` makes it.
    fn start(side: &[&str], keys: &Path, work: &Work) -> io::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("bench-raw").args(side).arg("--identity").arg(keys);
        for (option, value) in [
            ("--payload", work.payload.0),
            ("--batch", work.call_events()),
            ("--max-demand", work.demand.max),
            ("--min-demand", work.demand.min),
            ("--mtu", work.mtu.into()),
        ] {
            command.arg(option).arg(value.to_string());
        }
        if let Some(rate) = work.rate {
            command.arg("--rate").arg(rate.to_string());
        }
        command.process_group(0).kill_on_drop(true);
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let stdin = process.stdin.take().expect("it was asked for");
        let stdout = process.stdout.take().expect("it was asked for");
        Ok(Self { process, stdin, lines: BufReader::new(stdout).lines() })
    }

    async fn line(&mut self) -> io::Result<Value> {
        let line = timeout(ANSWER_WAIT, self.lines.next_line()).await.map_err(io::Error::from)??;
        let line = line.ok_or_else(|| io::Error::new(io::ErrorKind::UnexpectedEof, "it has ended; see above"))?;
        Ok(serde_json::from_str(&line)?)
    }

    async fn report(&mut self) -> io::Result<Told> {
        self.stdin.write_all(b"report\n").await?;
        self.stdin.flush().await?;
        Ok(serde_json::from_value(self.line().await?)?)
    }

    fn used(&self) -> io::Result<Used> {
        let pid = self.process.id().ok_or_else(|| io::Error::other("it has ended; see above"))?;
        Used::of(pid)
    }
}

/// One that serves, and its consumers.
pub(super) struct Raws {
    server: Raw,
    consumers: Vec<Raw>,
}

impl Raws {
    /// Starts as many consumers as `work` has.
    pub(super) async fn start(dir: &Path, work: &Work) -> Result<Self, Failure> {
        Self::begin(dir, work).await.map_err(failed)
    }

    async fn begin(dir: &Path, work: &Work) -> io::Result<Self> {
        let mut places = work.topology.places().iter().map(|(name, _)| dir.join(name));
        let own = places.next().unwrap_or_else(|| dir.join("a"));
        let mut server = Raw::start(&["serve"], &own, work)?;
        let told = server.line().await?;
        let address = told["address"].as_str().ok_or_else(|| io::Error::other("it did not say where it listens"))?;
        let consumers = places.map(|keys| Raw::start(&["consume", "--connect", address], &keys, work));
        let consumers = consumers.collect::<io::Result<Vec<_>>>()?;
        sleep(WARM_UP).await;
        Ok(Self { server, consumers })
    }

    /// Measures for a while.
    pub(super) async fn measure(&mut self, duration: Duration) -> Result<Taken, Failure> {
        let (before, _) = self.sample().await.map_err(failed)?;
        sleep(duration).await;
        let (after, ages) = self.sample().await.map_err(failed)?;
        Ok(Taken { before, after, ages })
    }

    /// With how old events were since the last time.
    async fn sample(&mut self) -> io::Result<(Sample, Ages)> {
        let (mut ages, mut events) = (Ages::default(), Vec::new());
        for consumer in &mut self.consumers {
            let told = consumer.report().await?;
            events.push(told.events);
            ages.add(&told.latency);
        }
        let at = Instant::now();
        let all = std::iter::once(&self.server).chain(&self.consumers);
        let used = all.map(Raw::used).collect::<io::Result<Vec<_>>>()?;
        Ok((Sample { at, events, used }, ages))
    }
}

fn failed(error: io::Error) -> Failure {
    Failure::new(Exit::Software, "a process of the baseline failed").because(error)
}
