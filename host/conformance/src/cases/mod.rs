//! What every language's stages are put through. A case is one fact; it starts its own instances.

mod batcher;
mod checkpointed;
mod common;
mod counter;
mod double;
mod filter;
mod misbehaver;

use futures_util::future::LocalBoxFuture;

use crate::{expect::Outcome, stages::Stage, subject::Subject};

/// One fact about a stage.
#[derive(Clone, Copy)]
pub(crate) struct Case {
    name: &'static str,
    run: for<'a> fn(&'a Subject) -> LocalBoxFuture<'a, Outcome>,
}

impl Case {
    /// The fact, in words.
    pub(crate) fn name(self) -> String {
        self.name.replace('_', " ")
    }

    pub(crate) fn run(self, subject: &Subject) -> LocalBoxFuture<'_, Outcome> {
        (self.run)(subject)
    }
}

/// Names functions as cases.
macro_rules! cases {
    ($($name:ident),* $(,)?) => {
        &[$($crate::cases::Case { name: stringify!($name), run: |subject| Box::pin($name(subject)) }),*]
    };
}
use cases;

/// All cases of a stage.
pub(crate) fn of(stage: Stage) -> Vec<Case> {
    let own = match stage {
        Stage::Counter => counter::CASES,
        Stage::Double => double::CASES,
        Stage::Filter => filter::CASES,
        Stage::Batcher => batcher::CASES,
        Stage::Checkpointed => checkpointed::CASES,
        Stage::Misbehaver => misbehaver::CASES,
    };
    [common::CASES, own].concat()
}
