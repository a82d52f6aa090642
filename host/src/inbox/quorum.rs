//! The inbox of a global stage where nodes agree by majority: events are put in by a proposal, and read from the
//! ledger of the node that owns the stage.

use std::sync::Arc;

use async_trait::async_trait;
use forebay_proto::{batch::Batch, ids::Epoch, inbox::Parcel, names::GlobalName};

use super::{
    CheckpointError, Inbox, InboxEvents, IngestError,
    cut::{LastRead, Wish},
};
use crate::registry::{Registry, quorum::QuorumRegistry};

/// See the module's documentation.
#[derive(Debug)]
pub struct QuorumInbox {
    registry: Arc<dyn Registry>,
    name: GlobalName,
    last_read: LastRead,
}

impl QuorumInbox {
    /// # Panics
    /// If the registry is none of a group.
    pub fn new(registry: Arc<dyn Registry>, name: GlobalName) -> Self {
        assert!(registry.as_quorum().is_some(), "only a group has inboxes of a group");
        Self { registry, name, last_read: LastRead::default() }
    }

    fn quorum(&self) -> &QuorumRegistry {
        self.registry.as_quorum().expect("looked at when this was made")
    }

    fn look(&self, wish: Wish) -> Option<InboxEvents> {
        let (position, entries) = self.quorum().read_inbox(&self.name, |inbox| {
            inbox.map_or((0, Vec::new()), |inbox| (inbox.position(), wish.entries(inbox)))
        });
        self.last_read.cut(wish, position, &entries)
    }
}

#[async_trait]
impl Inbox for QuorumInbox {
    async fn ingest(&self, client: u128, request: u64, events: Batch) -> Result<u64, IngestError> {
        let parcel = Parcel::pack(&events).map_err(|error| IngestError::Refused(error.to_string()))?;
        self.quorum().ingest(&self.name, client, request, &parcel).await
    }

    async fn next(&self, from: u64, events_max: usize, bytes_max: usize) -> InboxEvents {
        let wish = Wish { from, events_max, bytes_max };
        // Listening begins before the look, so that nothing in between is missed.
        let mut news = self.quorum().inbox_news();
        loop {
            if let Some(events) = self.look(wish) {
                return events;
            }
            news.changed().await.expect("its sender lives as long as the registry");
        }
    }

    async fn processed(&self, epoch: Epoch, upto: u64) -> Result<(), CheckpointError> {
        self.quorum().processed(&self.name, epoch, upto).await
    }

    fn position(&self) -> u64 {
        self.quorum().read_inbox(&self.name, |inbox| inbox.map_or(0, |inbox| inbox.position()))
    }
}
