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
        fence.cut = former.last().copied().or(fence.cut);
        for sub in former {
            let mut dropped = self.gather.as_mut().map_or(0, |gather| gather.forget(sub) as usize);
            self.queue.retain(|queued| match queued {
                Queued::Events(of, events) if *of == sub => {
                    dropped += events.events.len();
                    false
                }
                _ => true,
            });
            dropped += self.current.take_if(|current| current.sub == sub).map_or(0, |current| current.rest.len());
            let mut lost = u32::try_from(dropped).unwrap_or(u32::MAX);
            if let Some(subscription) = self.subs.get_mut(&sub).filter(|subscription| !subscription.ended) {
                subscription.ended = true;
                lost = lost.saturating_add(subscription.coming());
                out.send(sub, subscription.epoch, Message::Cancel(Reason::StaleEpoch));
                self.queue.push_back(Queued::Ended(sub, Ending::Cancelled, Reason::StaleEpoch));
            }
            self.keep_asked(sub, lost, out);
        }
    }

    /// Whether this is a subscription to a former owner that was cut off.
    pub(crate) fn is_fenced(&self, sub: SubId) -> bool {
        let cut = self.fences.values().any(|fence| fence.cut == Some(sub));
        cut || self.subs.get(&sub).is_some_and(|subscription| self.is_former(&subscription.source, subscription.epoch))
    }
}
