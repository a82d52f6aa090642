//! Requests to a stage's guest that are under way, and who waits for their answers.

use std::collections::BTreeMap;

use forebay_proto::{
    requests::{Answer, RequestNo},
    stage::Input,
};
use tokio::{sync::oneshot, time::Instant};

use crate::node::calls::StageRequest;

/// Dropped with the stage, which tells all who wait that it has ended.
#[derive(Debug, Default)]
pub(super) struct Asking {
    waiting: BTreeMap<RequestNo, oneshot::Sender<Answer>>,
    next: u64,
}

impl Asking {
    /// What the state machine is told of a request; its time counts from `started`.
    pub(super) fn begin(&mut self, StageRequest { request, until, answer }: StageRequest, started: Instant) -> Input {
        let no = RequestNo(self.next);
        self.next += 1;
        self.waiting.insert(no, answer);
        Input::Request { no, request, until: until.saturating_duration_since(started) }
    }

    pub(super) fn end(&mut self, no: RequestNo, answer: Answer) {
        if let Some(waiting) = self.waiting.remove(&no) {
            // Whoever asked may have left.
            let _ = waiting.send(answer);
        }
    }
}
