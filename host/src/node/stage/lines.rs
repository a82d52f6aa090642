//! The lines of a stage: what it says goes out by them, and new ones are opened.

use forebay_proto::{
    ids::{NodeName, SubId},
    message::{Envelope, Message, Subscribe},
    stage::Input,
};

use super::StageTask;
use crate::node::{
    directory::StageKey,
    line::{Caller, Inlet, Line},
};

impl StageTask {
    pub(super) fn send(&mut self, sub: SubId, envelope: Envelope) {
        if let Message::Subscribe(subscribe) = &envelope.message
            && let Some(node) = self.opening.remove(&sub)
        {
            let line = self.open(sub, &node, subscribe);
            self.lines.insert(sub, line);
        }
        let Some(line) = self.lines.get(&sub) else { return };
        if let Err(reason) = line.send(envelope) {
            self.lines.remove(&sub);
            self.handle(Input::Down { sub, reason });
        }
    }

    fn open(&self, sub: SubId, node: &NodeName, subscribe: &Subscribe) -> Line {
        let inlet = Inlet { inbox: self.inlet.clone(), sub };
        let max_demand = subscribe.demand.max();
        let directory = &self.spec.directory;
        if node == directory.node() {
            let key = StageKey { pipeline: subscribe.pipeline.clone(), stage: subscribe.producer.clone() };
            let Some(callers) = directory.stage(&key) else {
                return Line::nowhere(inlet, "the stage does not run here any more");
            };
            let (line, end) = Line::local(max_demand, inlet);
            // A full or closed queue drops the producer's end, which the consumer sees as a lost line.
            let _ = callers.try_send(Box::new(Caller::Local(end)));
            return line;
        }
        match directory.peer(node) {
            Some(connection) => Line::opening(async move { connection.open().await }, max_demand, inlet),
            None => Line::nowhere(inlet, "not connected to the owner's node"),
        }
    }
}
