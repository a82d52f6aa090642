//! How a stage consumes from its sources.

use crate::{ids::StageName, message::Demand, select::Selection};

/// What the end of a subscription does to its consumer (GenStage's `:cancel`).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum CancelMode {
    /// The consumer stops, whatever the reason.
    Permanent,
    /// The consumer stops unless the reason is normal or a shutdown.
    Transient,
    /// The consumer goes on, and subscribes again once the source has an owner. Our default, unlike
    /// GenStage's: there a supervisor restarts the consumer to get the same.
    #[default]
    Temporary,
}

/// What happens when a stage cannot keep up with a source.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum WhenFull {
    /// The source is asked for less: nothing is lost.
    #[default]
    Block,
    /// The source is asked all the same; of more than `max_demand` events that wait the oldest are dropped.
    DropOldest,
    /// The same, and the newest are dropped.
    DropNewest,
}

/// Who decides when a source is asked for more.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum AskMode {
    /// The stage, by its demand.
    #[default]
    Auto,
    /// Its guest (GenStage's `:manual`): nothing is asked for by itself, and messages are handed over whole.
    Manual,
}

/// How a stage consumes from one source.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct UpstreamOptions {
    /// The stage to subscribe to.
    pub source: StageName,
    /// How much to ask for.
    pub demand: Demand,
    /// What its end does.
    pub cancel: CancelMode,
    /// What happens when the stage cannot keep up.
    pub when_full: WhenFull,
    /// Who asks for more. With [`AskMode::Manual`] nothing is dropped, whatever `when_full` says.
    pub ask: AskMode,
    /// What it wants of the source.
    pub select: Selection,
}

impl UpstreamOptions {
    /// Defaults for everything but the stage and how much is asked for.
    pub fn new(source: StageName, demand: Demand) -> Self {
        let (cancel, when_full) = (CancelMode::default(), WhenFull::default());
        Self { source, demand, cancel, when_full, ask: AskMode::default(), select: Selection::default() }
    }
}
