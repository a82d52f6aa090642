//! What a stage's state machine is told of its settings, its plugin and where it begins; and what its guests are told.

use std::{sync::Arc, time::Duration};

use forebay_proto::{
    consumer::{AskMode, UpstreamOptions},
    pipeline,
    poison::PoisonLimit,
    select::InstanceId,
    stage::StageOptions,
};

use super::{Observer, StageSpec};
use crate::{
    node::pipelines::checkpoint_of,
    runtime::{Asks, InstanceSpec},
};

impl StageSpec {
    pub(super) fn options(&self) -> StageOptions {
        let settings = &*self.settings;
        let role = self.plugin.role();
        let mut options = StageOptions::new(self.pipeline.clone(), settings.name.clone(), role);
        options.epoch = self.epoch;
        options.instance = InstanceId::first_on(self.node.clone());
        // Another with every start.
        options.seed = self.epoch.to_u64();
        if let Some(size) = settings.buffer.size {
            options.buffer.size = Some(size);
        }
        options.buffer.keep = settings.buffer.keep;
        options.demand_mode = settings.demand;
        options.poll = if self.plugin.waits_for_events() { Some(Duration::ZERO) } else { settings.poll };
        options.call_events_max = settings.limits.batch.events_max;
        options.message_bytes_max = settings.limits.batch.bytes_max as usize;
        let upstream = |subscription: &pipeline::Subscription| UpstreamOptions {
            source: subscription.to.clone(),
            demand: subscription.demand,
            cancel: subscription.cancel,
            when_full: subscription.when_full,
            ask: subscription.ask,
            select: subscription.select.clone(),
        };
        options.dispatcher.clone_from(&settings.dispatcher);
        options.batch.clone_from(&settings.batch);
        options.rate_limit = settings.rate_limit;
        options.concurrency.clone_from(&settings.concurrency);
        options.tick = settings.tick.filter(|_| self.plugin.has_timer());
        options.upstreams = settings.subscribe.iter().map(upstream).collect();
        options.fenced.clone_from(&self.fenced);
        options.first_seq = self.start.seq;
        options.checkpoint = checkpoint_of(settings, &*self.plugin);
        options.inbox = self.inbox.as_ref().map(|inbox| inbox.position());
        options.ack = settings.ack;
        options.retry = settings.retry;
        let (memory_bytes, has_checkpoint) = (settings.limits.memory_bytes, self.plugin.has_checkpoint());
        options.recycle = settings.recycle.marks(memory_bytes, role, has_checkpoint);
        options.poison = PoisonLimit { max: settings.restart.max, within: settings.restart.within };
        options
    }

    /// Of the sources that its guest asks.
    fn asks(&self) -> Asks {
        let by_guest = self.settings.subscribe.iter().filter(|subscription| subscription.ask == AskMode::Manual);
        Asks::of(by_guest.map(|subscription| subscription.to.clone()))
    }

    pub(super) fn instance(&self) -> InstanceSpec {
        let output: Arc<dyn Observer> = Arc::clone(&self.observer);
        InstanceSpec {
            pipeline: self.pipeline.clone(),
            stage: self.settings.name.clone(),
            node: self.node.clone(),
            instance: 0,
            config: self.settings.config.clone(),
            limits: self.settings.limits,
            restore: self.start.snapshot.clone().filter(|_| self.plugin.has_checkpoint()),
            asks: self.asks(),
            output,
        }
    }
}
