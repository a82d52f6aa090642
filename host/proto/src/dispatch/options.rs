//! Which dispatcher a stage has, and its settings.

use std::time::Duration;

use super::{Dispatcher, broadcast::Broadcast, demand::Demand, partition::Partition};
use crate::{ids::PartitionName, producer::BufferOptions, select::PARTITIONS_MAX};

/// How long what is kept for a lost consumer waits for it by default: a node that was started again is back by then.
pub const AWAY_DEFAULT: Duration = Duration::from_secs(10);

/// How many partitions there are by default: several for each of the consumers that most stages have, so that they
/// can be shared out evenly.
pub const PARTITIONS_DEFAULT: u32 = 16;

/// Who gets which events (GenStage's `:dispatcher`).
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum DispatcherOptions {
    /// Each event to one subscription, the one with the largest open demand first.
    Demand {
        /// Asks above it are reported; by default the first ask sets it.
        max: Option<u32>,
        /// The first dispatch serves consumers in an order drawn by lot rather than by demand (GenStage's
        /// `shuffle_demands_on_first_dispatch`), so that the first to subscribe does not get all of a short input.
        shuffle: bool,
    },
    /// Each event to all.
    Broadcast {
        /// How long events are retained for a consumer that was lost.
        away: Duration,
    },
    /// Each event to the subscription that has its partition.
    Partition(PartitionOptions),
}

impl Default for DispatcherOptions {
    fn default() -> Self {
        Self::Demand { max: None, shuffle: false }
    }
}

/// What the partition dispatcher goes by.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PartitionOptions {
    /// What tells an event's partition.
    pub by: PartitionBy,
    /// The partitions; at least one, and each once.
    pub partitions: Vec<PartitionName>,
    /// How long the partitions of a consumer that was lost wait for it.
    pub away: Duration,
}

/// What tells an event's partition.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum PartitionBy {
    /// The hash of its key; an event without one has the empty key.
    #[default]
    Key,
    /// The hash of its topic; an event without one has the empty topic.
    Topic,
    /// The hash of the value of this header.
    Header(String),
    /// The value of this header is the partition.
    Number(String),
}

/// Partitions that have numbers for names, from 0 on.
pub fn numbered_partitions(count: u32) -> Vec<PartitionName> {
    (0..count).map(|number| number.to_string().parse().expect("digits are a name")).collect()
}

impl DispatcherOptions {
    /// `seed` is for what is drawn by lot.
    ///
    /// # Panics
    /// If there is no partition, or more than [`PARTITIONS_MAX`].
    pub(crate) fn build(&self, seed: u64, buffer: BufferOptions) -> Box<dyn Dispatcher> {
        match self {
            Self::Demand { max, shuffle } => Box::new(Demand::new(*max, shuffle.then_some(seed), buffer)),
            Self::Broadcast { away } => Box::new(Broadcast::new(*away, buffer)),
            Self::Partition(options) => {
                let count = options.partitions.len();
                assert!((1..=PARTITIONS_MAX).contains(&count), "{count} partitions; the pipeline file was checked");
                Box::new(Partition::new(options.clone(), buffer))
            }
        }
    }
}
