//! What people have ordered of a stage, and what its state machine makes of it; and how much it has in hand.

use forebay_proto::stage::{Input, Role};

use super::StageTask;
use crate::node::{pipelines::only_one, vitals::InHand};

impl StageTask {
    /// Brings the state machine to what holds of it: what was ordered, and else what its file says. What its role cannot
    /// obey is left alone: another version of the stage may have another role.
    pub(super) fn obey_people(&mut self) {
        let ordered = self.ordered.borrow().clone();
        let now = ordered.in_force(&self.spec.settings);
        let role = self.spec.plugin.role();
        if role != Role::Consumer && now.demand != self.machine.demand_mode() {
            self.handle(Input::SetDemandMode(now.demand));
        }
        if role != Role::Producer && now.suspended != self.machine.is_suspended() {
            self.handle(if now.suspended { Input::Suspend } else { Input::Resume });
        }
        let may_be_resized = only_one(&self.spec.settings, &*self.spec.plugin).is_none();
        if may_be_resized && now.instances != self.machine.instances().1 {
            self.handle(Input::Resize(now.instances));
        }
        // Said again, a limit would take what is saved of its burst.
        if now.rate != self.machine.rate_limit() {
            self.handle(Input::SetRate(now.rate));
        }
    }

    /// Says how much it has in hand, for who looks: when it waits, so that whatever it does costs nothing more.
    pub(super) fn weigh(&self) {
        self.spec.vitals.weigh(InHand {
            buffered: self.machine.buffered() as u64,
            unacked: self.machine.unacked() as u64,
            queued: self.machine.queued() as u64,
            instances: self.machine.instances().0.into(),
        });
    }
}
