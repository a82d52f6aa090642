//! JetStream: a stream that refuses what does not fit, a producer with many publications in flight, and pulling consumers.

use std::{collections::VecDeque, time::Duration};

use anyhow::Context as _;
use async_nats::jetstream::{
    self, Context,
    consumer::{AckPolicy, pull},
    context::{ContextBuilder, PublishAckFuture},
    stream::{self, DiscardPolicy, RetentionPolicy, StorageType},
};
use futures_util::StreamExt as _;

use crate::{Args, Peer, Role, Storage, events, nats, report::Report};

const STREAM: &str = "events";

/// How long a producer waits whose message was refused because the stream is full.
const FULL: Duration = Duration::from_millis(1);

pub(crate) async fn work(args: &Args, report: &Report) -> anyhow::Result<()> {
    let client = nats::connect(args).await?;
    let context = ContextBuilder::new().max_ack_inflight(args.in_flight).build(client);
    match args.role {
        Role::Setup => set_up(args, &context).await,
        Role::Producer => produce(args, report, &context).await,
        Role::Consumer => consume(args, report, &context).await,
    }
}

/// Whether consumers share all events or have a subject each. Only then the last event of a batch may stand for all
/// before it, for those are none of another's.
fn is_divided(args: &Args) -> bool {
    args.peer == Peer::JetstreamAckAll
}

fn subject(args: &Args, index: usize) -> String {
    if is_divided(args) { format!("events.{}", index % args.consumers) } else { "events.0".to_owned() }
}

fn durable(args: &Args, index: usize) -> String {
    if is_divided(args) { format!("consumer-{index}") } else { "consumers".to_owned() }
}

/// One stream. What is acknowledged leaves it, so that it is full when consumers lag, and then refuses.
async fn set_up(args: &Args, context: &Context) -> anyhow::Result<()> {
    let stream = context
        .create_stream(stream::Config {
            name: STREAM.to_owned(),
            subjects: vec!["events.*".to_owned()],
            // A work queue wants each message acknowledged by itself.
            retention: if is_divided(args) { RetentionPolicy::Interest } else { RetentionPolicy::WorkQueue },
            max_messages: i64::try_from(args.ahead)?,
            discard: DiscardPolicy::New,
            storage: match args.storage {
                Storage::Memory => StorageType::Memory,
                Storage::File => StorageType::File,
            },
            ..Default::default()
        })
        .await?;
    let consumers = if is_divided(args) { args.consumers } else { 1 };
    for index in 0..consumers {
        let config = pull::Config {
            durable_name: Some(durable(args, index)),
            filter_subject: subject(args, index),
            ack_policy: if is_divided(args) { AckPolicy::All } else { AckPolicy::Explicit },
            // The default of 1,000 would hold three consumers with batches of 500 up.
            max_ack_pending: i64::try_from(args.ahead)?,
            memory_storage: args.storage == Storage::Memory,
            ..Default::default()
        };
        stream.create_consumer(config).await?;
    }
    Ok(())
}

async fn produce(args: &Args, report: &Report, context: &Context) -> anyhow::Result<()> {
    let mut ticks = args.pause().map(tokio::time::interval);
    let mut unsure = VecDeque::with_capacity(args.in_flight);
    let subjects: Vec<_> = (0..args.consumers).map(|index| subject(args, index)).collect();
    for subject in subjects.into_iter().cycle() {
        if let Some(ticks) = &mut ticks {
            ticks.tick().await;
        }
        unsure.push_back(context.publish(subject, events::message(args.payload, args.pack)).await?);
        // Half at a time, so that the task is not woken for each answer.
        if unsure.len() >= args.in_flight {
            settle(args, report, unsure.drain(..args.in_flight / 2)).await?;
        }
    }
    Ok(())
}

/// Waits until the server has said what came of each. What it refused for want of room is not counted; another event,
/// for they are all alike, takes its place after a pause.
async fn settle(args: &Args, report: &Report, sent: impl Iterator<Item = PublishAckFuture>) -> anyhow::Result<()> {
    let mut is_full = false;
    for sent in sent {
        match sent.await {
            Ok(_) => report.add(args.pack as u64),
            Err(error) if error.to_string().contains("maximum messages exceeded") => is_full = true,
            Err(error) => return Err(error).context("a message was not kept"),
        }
    }
    if is_full {
        tokio::time::sleep(FULL).await;
    }
    Ok(())
}

async fn consume(args: &Args, report: &Report, context: &Context) -> anyhow::Result<()> {
    let stream = context.get_stream(STREAM).await?;
    let consumer: jetstream::consumer::Consumer<pull::Config> =
        stream.get_consumer(&durable(args, args.index)).await.map_err(|error| anyhow::anyhow!("{error}"))?;
    let messages = consumer.stream().max_messages_per_batch(args.batch).messages().await?;
    let mut batches = messages.ready_chunks(args.batch);
    while let Some(batch) = batches.next().await {
        let batch = batch.into_iter().collect::<Result<Vec<_>, _>>()?;
        let is_timed = args.rate.is_some();
        report.add(batch.iter().map(|message| report.take(&message.payload, args.pack > 1, is_timed)).sum());
        let first = if is_divided(args) { batch.len().saturating_sub(1) } else { 0 };
        for message in &batch[first..] {
            message.ack().await.map_err(|error| anyhow::anyhow!("{error}"))?;
        }
    }
    anyhow::bail!("the server hung up")
}
