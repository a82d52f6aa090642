//! One process of a measurement of a peer: the producer, one of the consumers, or who sets a server up.
//!
//! `run` beside this crate starts servers and these processes, and asks them for their figures.

mod events;
mod jetstream;
mod nats;
mod redis_streams;
mod report;

use std::{path::PathBuf, sync::Arc, time::Duration};

use clap::{Parser, ValueEnum};

use crate::report::Report;

/// Which way of passing events on.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Peer {
    /// NATS without acknowledgements, to a queue group
    Nats,
    /// JetStream; every event is acknowledged by itself
    Jetstream,
    /// JetStream; each consumer has a share of the subjects, and the last event of a batch acknowledges all before it
    JetstreamAckAll,
    /// Redis streams, with one consumer group
    Redis,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Role {
    /// Makes streams and groups, and ends
    Setup,
    Producer,
    Consumer,
}

/// Where JetStream keeps a stream.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub(crate) enum Storage {
    #[default]
    Memory,
    File,
}

/// Does one part of the work until standard input ends; answers each line of it with what was done until then.
#[derive(Clone, Debug, Parser)]
pub(crate) struct Args {
    pub(crate) peer: Peer,
    pub(crate) role: Role,
    /// Which of the consumers this is, from 0.
    #[arg(long, default_value_t = 0)]
    pub(crate) index: usize,
    /// How many consumers there are.
    #[arg(long, default_value_t = 3)]
    pub(crate) consumers: usize,
    /// Port of the server on 127.0.0.1.
    #[arg(long)]
    pub(crate) port: u16,
    /// Bytes of an event, at least 8: the first say when it was made.
    #[arg(long, default_value_t = 16)]
    pub(crate) payload: usize,
    /// Events in each message.
    #[arg(long, default_value_t = 1)]
    pub(crate) pack: usize,
    /// Events a second; as many as can be, without.
    #[arg(long)]
    pub(crate) rate: Option<u32>,
    #[arg(long, value_enum, default_value_t)]
    pub(crate) storage: Storage,
    /// Messages that a consumer takes at a time.
    #[arg(long, default_value_t = 500)]
    pub(crate) batch: usize,
    /// Messages that a producer may have sent of which it does not know that they are kept.
    #[arg(long, default_value_t = 4_000)]
    pub(crate) in_flight: usize,
    /// Messages that may wait at the server: more than this the producer is not ahead of the consumers.
    #[arg(long, default_value_t = 50_000)]
    pub(crate) ahead: usize,
    /// A folder with ca.pem, cert.pem and key.pem: TLS with certificates on both sides.
    #[arg(long)]
    pub(crate) tls: Option<PathBuf>,
}

impl Args {
    /// The time from one message to the next, if their rate is given.
    pub(crate) fn pause(&self) -> Option<Duration> {
        let each = |rate: u32| Duration::from_secs(1) * u32::try_from(self.pack).unwrap_or(u32::MAX) / rate.max(1);
        self.rate.map(each)
    }
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    anyhow::ensure!(args.payload >= events::STAMP, "an event has at least {} bytes", events::STAMP);
    rustls::crypto::ring::default_provider().install_default().ok();
    let report = Arc::new(Report::default());
    if args.role != Role::Setup {
        report::answer(Arc::clone(&report));
    }
    if args.peer == Peer::Redis {
        return redis_streams::work(&args, &report);
    }
    // A thread for each process: with more, the processes take the two cores from each other.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match args.peer {
            Peer::Nats => nats::work(&args, &report).await,
            _ => jetstream::work(&args, &report).await,
        }
    })
}
