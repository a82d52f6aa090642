//! Operators that are connected over the network.
//!
//! None is a peer: there is no Hello, and nothing but questions and orders, each on a channel of its own, as on the
//! socket in the data directory.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use forebay_proto::ids::OperatorName;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    admin::{Desk, channel},
    line::{self, First},
};
use crate::transport::{Channel, CloseCode, Connection};

/// Questions of one operator that are being answered, on all connections together. Further ones wait.
const ASKED_MAX: usize = 8;

/// What answers operators.
#[derive(Clone, Debug)]
pub(super) struct Operators {
    desk: Desk,
    /// Of those that are connected.
    places: Arc<Mutex<HashMap<OperatorName, Weak<Semaphore>>>>,
}

impl Operators {
    pub(super) fn new(desk: Desk) -> Self {
        Self { desk, places: Arc::default() }
    }

    /// Serves a connection of an operator until it or the node ends.
    pub(super) async fn serve(self, connection: Box<dyn Connection>, operator: OperatorName) {
        tracing::debug!(%operator, from = %connection.remote_addr(), "an operator is connected");
        let (places, desk) = (self.places_of(&operator), self.desk.of_operator(operator));
        let serving = async {
            while let Ok(channel) = connection.accept().await {
                // One of each connection waits here; the others are not taken from the transport before.
                let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
                let desk = desk.clone();
                tokio::spawn(async move { answer(channel, &desk, place).await });
            }
        };
        tokio::select! {
            biased;
            () = self.desk.ended() => connection.close(CloseCode::ShuttingDown, "the node has ended"),
            () = serving => {}
        }
    }

    /// Shared by all connections of an operator.
    fn places_of(&self, operator: &OperatorName) -> Arc<Semaphore> {
        // Nothing that can panic leaves the map half changed.
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        places.retain(|_, places| places.strong_count() > 0);
        let known = places.get(operator).and_then(Weak::upgrade);
        known.unwrap_or_else(|| {
            let new = Arc::new(Semaphore::new(ASKED_MAX));
            places.insert(operator.clone(), Arc::downgrade(&new));
            new
        })
    }
}

/// Answers what a channel begins with, and refuses what only peers may ask.
async fn answer(mut channel: Channel, desk: &Desk, place: OwnedSemaphorePermit) {
    match line::read_first(&mut channel).await {
        Ok(First::Admin(line)) => channel::answer(channel, desk, &line).await,
        Ok(
            First::Subscribe(_)
            | First::Agreement(_)
            | First::Letters(_)
            | First::Call(_)
            | First::Tap(_)
            | First::Blob(_),
        ) => {
            line::refuse(channel, CloseCode::WrongState, "an operator asked for what only nodes may");
        }
        Err((code, reason)) => line::refuse(channel, code, &reason),
    }
    drop(place);
}
