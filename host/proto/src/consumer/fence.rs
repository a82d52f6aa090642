//! Former owners of a source: nothing is taken from one once a later one is known, where that matters.

use super::{Consumer, Queued, Subscription};
use crate::{
    ids::{Epoch, StageName, SubId},
    message::{Message, Reason},
    stage::{Ending, Outputs},
};

/// What is known of a source of which former owners are fenced.
#[derive(Debug, Default)]
pub(super) struct Fence {
    /// The highest epoch heard of.
    epoch: Epoch,
    /// The latest subscription that was cut off: what still comes on it is of a former owner.
    cut: Option<SubId>,
}

impl Consumer {
    /// Whether a later owner than that of this epoch is known, and matters.
    pub(super) fn is_former(&self, source: &StageName, epoch: Epoch) -> bool {
        self.fences.get(source).is_some_and(|fence| epoch < fence.epoch)
    }

    /// An owner is known: what came of former ones and is not in hand goes back to them, unacknowledged,
    /// and they are told.
    pub(super) fn fence(&mut self, source: &StageName, epoch: Epoch, out: &mut Outputs) {
        let Some(fence) = self.fences.get_mut(source).filter(|fence| fence.epoch < epoch) else { return };
        fence.epoch = epoch;
        let former = |(_, sub): &(&SubId, &Subscription)| sub.source == *source && sub.epoch < epoch;
        let former: Vec<SubId> = self.subs.iter().filter(former).map(|(sub, _)| *sub).collect();
        for sub in former {
            fence.cut = Some(sub);
            self.queue.retain(|queued| !matches!(queued, Queued::Events(of, _) if *of == sub));
            self.current.take_if(|current| current.sub == sub);
            if let Some(gather) = &mut self.gather {
                gather.forget(sub);
            }
            let Some(subscription) = self.subs.get_mut(&sub).filter(|subscription| !subscription.ended) else {
                continue;
            };
            subscription.ended = true;
            out.send(sub, subscription.epoch, Message::Cancel(Reason::StaleEpoch));
            self.queue.push_back(Queued::Ended(sub, Ending::Cancelled, Reason::StaleEpoch));
        }
    }

    /// Whether this is a subscription to a former owner that was cut off.
    pub(crate) fn is_fenced(&self, sub: SubId) -> bool {
        let cut = self.fences.values().any(|fence| fence.cut == Some(sub));
        cut || self.subs.get(&sub).is_some_and(|subscription| self.is_former(&subscription.source, subscription.epoch))
    }
}
