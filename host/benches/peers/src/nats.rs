//! NATS without JetStream: one producer, a queue group of consumers, nothing acknowledged.
//!
//! NATS drops what a consumer does not take in time. So that this is a measurement of what arrives, consumers say now and
//! then how far they are, and the producer waits for that; this is not part of NATS and costs a message for some hundred.

use std::path::Path;

use anyhow::Context as _;
use async_nats::{Client, ConnectOptions};
use futures_util::StreamExt as _;

use crate::{Args, Role, events, report::Report};

const SUBJECT: &str = "events";
const DONE: &str = "done";
const GROUP: &str = "consumers";

/// A client, with keys for TLS if a folder of them is given.
pub(crate) async fn connect(args: &Args) -> anyhow::Result<Client> {
    let options = ConnectOptions::new().subscription_capacity(args.ahead * 2);
    let options = match args.tls.as_deref() {
        None => options,
        Some(folder) => with_tls(options, folder),
    };
    let address = format!("nats://localhost:{}", args.port);
    options.connect(&address).await.with_context(|| format!("cannot connect to {address}"))
}

fn with_tls(options: ConnectOptions, folder: &Path) -> ConnectOptions {
    options
        .require_tls(true)
        .add_root_certificates(folder.join("ca.pem"))
        .add_client_certificate(folder.join("cert.pem"), folder.join("key.pem"))
}

pub(crate) async fn work(args: &Args, report: &Report) -> anyhow::Result<()> {
    let client = connect(args).await?;
    match args.role {
        Role::Setup => Ok(()),
        Role::Producer => produce(args, report, &client).await,
        Role::Consumer => consume(args, report, &client).await,
    }
}

async fn produce(args: &Args, report: &Report, client: &Client) -> anyhow::Result<()> {
    let mut done = client.subscribe(DONE).await?;
    let mut ticks = args.pause().map(tokio::time::interval);
    let mut ahead = 0;
    loop {
        if let Some(ticks) = &mut ticks {
            ticks.tick().await;
        }
        while ahead >= args.ahead {
            let message = done.next().await.context("the server hung up")?;
            ahead = ahead.saturating_sub(std::str::from_utf8(&message.payload)?.parse()?);
        }
        client.publish(SUBJECT, events::message(args.payload, args.pack)).await?;
        ahead += 1;
        report.add(args.pack as u64);
    }
}

async fn consume(args: &Args, report: &Report, client: &Client) -> anyhow::Result<()> {
    let messages = client.queue_subscribe(SUBJECT, GROUP.to_owned()).await?;
    let mut batches = messages.ready_chunks(args.batch);
    let mut untold = 0;
    while let Some(batch) = batches.next().await {
        let is_timed = args.rate.is_some();
        report.add(batch.iter().map(|message| report.take(&message.payload, args.pack > 1, is_timed)).sum());
        untold += batch.len();
        if untold >= args.batch {
            client.publish(DONE, untold.to_string().into()).await?;
            untold = 0;
        }
    }
    anyhow::bail!("the server hung up")
}
