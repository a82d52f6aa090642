//! The order in which a node ends.
//!
//! 1. Meet nobody new, claim nothing new; pass the lead of the group on, if it is ours.
//! 2. Drain stages, sources first: a source produces nothing more and hands out what it has; when all
//!    of it is acknowledged it ends, and those that consume from it follow. A consumer finishes the
//!    batch in its hands; what it has not begun goes back to its producer, which gives it to others.
//!    What is not done when the drain time is over is stopped where it is.
//! 3. Release names, so that others take them up at once.
//! 4. Tell the peers, and close.
//!
//! A second order to end cuts step 2 short. A node that its group has expelled ends as on an order, and
//! its global stages stop where they are.

use std::sync::Arc;

use forebay_proto::message::Reason;
use forebay_trace::Event;
use tokio::time::Instant;

use super::{
    NodeExit, Wanted,
    core::Core,
    directory::StageKey,
    event::NodeEvent,
    pipelines::{RunningPipeline, StageState},
    stage::Order,
};

impl Core {
    pub(super) async fn shut_down(mut self) -> NodeExit {
        self.report(NodeEvent::Draining);
        let ordered = *self.inboxes.wanted.borrow() != Wanted::Run || self.expelled.is_some();
        // At the end of its input a node takes the time it needs; on an order, what it is given.
        let mut deadline = ordered.then(|| Instant::now() + self.drain_timeout);
        self.stop_meeting();
        self.pass_on().await;
        let mut cut_short = Vec::new();
        let keys: Vec<StageKey> = self.pipelines.iter().flat_map(in_order).collect();
        for key in keys {
            if !self.end_stage(&key, &mut deadline).await {
                cut_short.push(key.stage);
            }
        }
        self.release_all().await;
        self.hang_up().await;
        self.registry.stop().await;
        self.tracer.write(|| Event::NodeStop {});
        NodeExit { gave_up: std::mem::take(&mut self.gave_up), cut_short, expelled: self.expelled.take() }
    }

    /// Whoever leads the group from here on need not be missed first. Stages go on meanwhile, and so does what
    /// there is to tell of them.
    pub(super) async fn pass_on(&mut self) {
        let registry = Arc::clone(&self.registry);
        let mut leaving = registry.leave();
        loop {
            tokio::select! {
                biased;
                () = &mut leaving => return,
                change = registry.next_change() => self.on_change(change),
            }
        }
    }

    /// Whether the stage ended in good order.
    async fn end_stage(&mut self, key: &StageKey, deadline: &mut Option<Instant>) -> bool {
        let reason = Reason::Shutdown(Some("the node is shutting down".into()));
        let Some(state) = self.stage_mut(key) else { return true };
        state.restart_at = None;
        state.cut_short = false;
        let is_global = state.is_global();
        state.order(Order::Drain(reason.clone()));
        while self.stage_mut(key).is_some_and(|state| state.running.is_some()) {
            let wanted = *self.inboxes.wanted.borrow();
            let expelled = self.expelled.is_some();
            match wanted {
                // Nobody accepts what an owner says whose node was expelled.
                _ if expelled && is_global => self.order_stop(key, &reason),
                Wanted::Stop => self.order_stop(key, &reason),
                // What a stage that gave up would have consumed is waited for no longer than that.
                Wanted::Run if self.gave_up.is_empty() && !expelled => {}
                Wanted::Run | Wanted::Drain => {
                    let at = *deadline.get_or_insert_with(|| Instant::now() + self.drain_timeout);
                    self.limit(key, at, &reason);
                }
            }
            self.step().await;
        }
        self.stage_mut(key).is_none_or(|state| !state.cut_short)
    }

    fn order_stop(&mut self, key: &StageKey, reason: &Reason) {
        if let Some(state) = self.stage_mut(key) {
            state.stop_at = None;
            state.order(Order::Stop(reason.clone()));
        }
    }

    /// Has the stage stopped where it is once `at` is over.
    fn limit(&mut self, key: &StageKey, at: Instant, reason: &Reason) {
        if Instant::now() >= at {
            return self.order_stop(key, reason);
        }
        if let Some(state) = self.stage_mut(key) {
            state.stop_at = Some(at);
        }
    }

    async fn release_all(&mut self) {
        // Who is expelled is not heard.
        if self.expelled.is_none() {
            // One that is granted just now is to be released, too.
            while self.claims.tasks.join_next().await.is_some() {}
            for claim in self.registry.own() {
                self.begin_release(&claim.name, claim.epoch, "its node was shut down");
            }
            while self.claims.tasks.join_next().await.is_some() {}
        }
    }
}

impl StageState {
    /// Tells a running stage what is wanted of it.
    pub(super) fn order(&self, order: Order) {
        if let Some(handle) = &self.running {
            handle.orders.send_replace(order);
        }
    }
}

fn in_order(pipeline: &RunningPipeline) -> Vec<StageKey> {
    pipeline.in_order().map(|stage| pipeline.key(&stage.name)).collect()
}
