//! What must hold in every run. One law, one file; each says where it comes from. The README has the
//! table.

mod acks_follow_handling;
mod batches_fit_demand;
mod checkpoints_advance;
mod checkpoints_are_covered;
mod consumers_fence;
mod content_is_kept;
mod credit_holds;
mod epochs_rise;
mod fenced_owners_stop;
mod first_deliveries_in_order;
mod nothing_is_lost;
mod one_emitter;
mod received_was_sent;
mod repetition_is_explained;
mod stopped_is_silent;
mod strangers_are_not_heard;
mod successors_go_on;

use std::fmt;

use crate::{
    Fact, Report, Violation,
    options::{Agreement, Options},
    world::World,
};

/// Looks at records in their order and says what is wrong.
trait Law {
    /// The next record, which the world knows already.
    fn see(&mut self, fact: &Fact, world: &World, found: &mut Found);

    /// There are no more.
    fn end(&mut self, _world: &World, _found: &mut Found) {}
}

/// What one law has found.
#[derive(Debug)]
struct Found {
    law: &'static str,
    violations: Vec<Violation>,
}

impl Found {
    /// The law is broken. `because` are the records that show it; they are put in their order.
    fn broken<'a>(&mut self, what: impl Into<String>, because: impl IntoIterator<Item = &'a Fact>) {
        if self.violations.len() < Report::VIOLATIONS_MAX {
            let mut slice: Vec<_> = because.into_iter().map(|fact| (**fact).clone()).collect();
            slice.sort_by_key(|record| record.t_mono);
            slice.dedup();
            self.violations.push(Violation { law: self.law, what: what.into(), slice });
        }
    }
}

/// All laws, and what they have found.
pub(crate) struct Laws(Vec<(Box<dyn Law>, Found)>);

impl fmt::Debug for Laws {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(_, found)| found)).finish()
    }
}

macro_rules! laws {
    ($($law:ident),* $(,)?) => {
        vec![$({
            let law: Box<dyn Law> = Box::new($law::new());
            (law, Found { law: stringify!($law), violations: Vec::new() })
        }),*]
    };
}

impl Laws {
    /// Those that hold for a run with these options.
    pub(crate) fn new(options: &Options) -> Self {
        let mut laws = laws![
            acks_follow_handling,
            batches_fit_demand,
            checkpoints_advance,
            checkpoints_are_covered,
            content_is_kept,
            credit_holds,
            epochs_rise,
            fenced_owners_stop,
            first_deliveries_in_order,
            nothing_is_lost,
            one_emitter,
            received_was_sent,
            repetition_is_explained,
            stopped_is_silent,
            strangers_are_not_heard,
            successors_go_on,
        ];
        if options.agreement == Agreement::Quorum {
            laws.extend(laws![consumers_fence]);
        }
        Self(laws)
    }

    pub(crate) fn see(&mut self, fact: &Fact, world: &World) {
        self.0.iter_mut().for_each(|(law, found)| law.see(fact, world, found));
    }

    pub(crate) fn end(&mut self, world: &World) {
        self.0.iter_mut().for_each(|(law, found)| law.end(world, found));
    }

    pub(crate) fn into_violations(self) -> Vec<Violation> {
        self.0.into_iter().flat_map(|(_, found)| found.violations).collect()
    }
}

#[cfg(test)]
pub(crate) mod made_up;
