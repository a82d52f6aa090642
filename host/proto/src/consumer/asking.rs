//! Who asks a source for more besides the stage itself: its guest (GenStage's `ask/3`), and nobody while it is
//! suspended.

use super::{AskMode, Consumer, UpstreamOptions, subscription::Subscription};
use crate::{
    ids::{StageName, SubId},
    stage::{Notice, Outputs},
};

impl Consumer {
    /// What a new subscription asks for at once. Unit: events.
    pub(super) fn first_ask(&mut self, options: &UpstreamOptions) -> u32 {
        match options.ask {
            _ if self.suspended => 0,
            AskMode::Auto => options.demand.max(),
            AskMode::Manual => self.take_unsent(&options.source, options.demand.max()),
        }
    }

    /// Of what the guest asked a source for, and nobody was asked yet, at most `room`.
    fn take_unsent(&mut self, source: &StageName, room: u32) -> u32 {
        let Some(unsent) = self.unsent_asks.get_mut(source) else { return 0 };
        let taken = room.min(*unsent);
        *unsent -= taken;
        self.unsent_asks.retain(|_, unsent| *unsent > 0);
        taken
    }

    /// The latest subscription to a source, while it lasts.
    fn standing(&self, source: &StageName) -> Option<SubId> {
        let mut subs = self.subs.iter().rev();
        subs.find(|(_, subscription)| subscription.source == *source && !subscription.ended).map(|(sub, _)| *sub)
    }

    /// The guest asks a source for `count` events more. What it was given already does not count against `max_demand`,
    /// for it does not know when that is acknowledged; until then what there is no room for waits.
    pub(crate) fn on_asked(&mut self, source: &StageName, count: u32, out: &mut Outputs) {
        if self.draining {
            return;
        }
        let standing = self.standing(source).and_then(|sub| self.subs.get(&sub));
        let upstream = || self.upstreams.iter().map(|upstream| &upstream.options).find(|of| of.source == *source);
        let known = standing.map(|sub| (sub.ask, sub.demand.max().saturating_sub(sub.not_given())));
        let why = match known.or_else(|| upstream().map(|of| (of.ask, of.demand.max()))) {
            Some((AskMode::Manual, room)) => {
                let room = room.saturating_sub(self.unsent_asks.get(source).copied().unwrap_or(0));
                let granted = count.min(room);
                if granted < count {
                    out.notice(Notice::AskCut { source: source.clone(), asked: count, granted });
                }
                return self.ask(source, granted, out);
            }
            Some((AskMode::Auto, _)) => "its subscription asks by itself; set `ask = \"manual\"`",
            None => "the stage does not subscribe to it",
        };
        out.notice(Notice::AskRefused { source: source.clone(), why });
    }

    /// The guest is a fresh one, and asks for `count` events in all: a former one has asked for what is to come, and for
    /// what it was given and the fresh one is to be given `again`.
    pub(crate) fn on_asked_anew(&mut self, source: &StageName, count: u32, again: u32, out: &mut Outputs) {
        let to_come = self.standing(source).and_then(|sub| self.subs.get(&sub)).map_or(0, Subscription::not_given);
        let open = to_come.saturating_add(again).saturating_add(self.unsent_asks.get(source).copied().unwrap_or(0));
        self.on_asked(source, count.saturating_sub(open), out);
    }

    /// These were asked for by the guest on a subscription and do not come on it; of one that asks by itself nothing
    /// is to be done.
    pub(super) fn keep_asked(&mut self, sub: SubId, count: u32, out: &mut Outputs) {
        let Some(subscription) = self.subs.get(&sub).filter(|subscription| subscription.ask == AskMode::Manual) else {
            return;
        };
        let source = subscription.source.clone();
        self.ask(&source, count, out);
    }

    /// Asks for the guest, now or when there is somebody to ask.
    fn ask(&mut self, source: &StageName, count: u32, out: &mut Outputs) {
        if count > 0 {
            let unsent = self.unsent_asks.entry(source.clone()).or_default();
            *unsent = unsent.saturating_add(count);
        }
        self.send_asks(source, out);
    }

    fn send_asks(&mut self, source: &StageName, out: &mut Outputs) {
        let standing = self.standing(source).filter(|_| !self.suspended);
        let Some(sub) = standing else { return };
        if self.grant_unsent(sub)
            && let Some(subscription) = self.subs.get(&sub)
        {
            subscription.send_ask(sub, out);
        }
    }

    /// What the guest asked for and there was no room for is granted on this subscription; says whether there was any.
    pub(super) fn grant_unsent(&mut self, sub: SubId) -> bool {
        let Some(subscription) = self.subs.get(&sub).filter(|sub| sub.ask == AskMode::Manual && !self.suspended) else {
            return false;
        };
        let (source, room) = (subscription.source.clone(), subscription.room());
        let count = self.take_unsent(&source, room);
        if let Some(subscription) = self.subs.get_mut(&sub) {
            subscription.grant(count);
        }
        count > 0
    }

    /// Whether nothing is asked for and the guest is given nothing.
    pub(crate) fn is_suspended(&self) -> bool {
        self.suspended
    }

    /// Nothing more is asked for, and the guest is given nothing more. What is here, and what still comes, waits.
    pub(crate) fn suspend(&mut self) {
        self.suspended = true;
        self.call_at = None;
        self.subs.values_mut().for_each(|subscription| subscription.refills = false);
    }

    /// As before: what was not asked for meanwhile is.
    pub(crate) fn resume(&mut self, out: &mut Outputs) {
        self.suspended = false;
        for (sub, subscription) in self.subs.iter_mut().filter(|(_, subscription)| !subscription.ended) {
            subscription.refills = subscription.ask == AskMode::Auto;
            let granted = subscription.granted;
            subscription.refill();
            if subscription.granted > granted {
                subscription.send_ask(*sub, out);
            }
        }
        for source in self.unsent_asks.keys().cloned().collect::<Vec<_>>() {
            self.send_asks(&source, out);
        }
    }
}
