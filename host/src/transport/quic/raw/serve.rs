//! The baseline's producing side.

use std::{net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use bytes::Bytes;
use forebay_proto::message::Demand;
use quinn::{Incoming, RecvStream, SendStream};
use tokio::{
    sync::{Mutex, mpsc},
    task::JoinSet,
    time::{self, MissedTickBehavior},
};

use super::{
    BindError, RawError, Work, close,
    frames::{Asks, Supply},
    open,
};
use crate::{
    transport::{identity::NodeIdentity, quic::connection::check_client},
    wall,
};

/// Asks that were looked at together. A consumer has one under way for each look of its own.
const CHUNKS: usize = 16;

/// Events whose time has come and that no consumer took yet: a minute's worth at 1,000 a second. When it is full,
/// the clock of events waits.
const DUE_LEN: usize = 60_000;

/// Times of emission, taken by consumers in turn.
type Due = Arc<Mutex<mpsc::Receiver<u64>>>;

/// Sends events to whoever connects and asks.
#[derive(Debug)]
pub struct Server {
    endpoint: quinn::Endpoint,
    identity: NodeIdentity,
    work: Work,
}

impl Server {
    /// Listens on a port of loopback that the system chooses.
    ///
    /// # Errors
    /// [`BindError`].
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn bind(identity: NodeIdentity, work: Work) -> Result<Self, BindError> {
        let endpoint = open(SocketAddr::from(([127, 0, 0, 1], 0)), &identity, &work, true)?;
        Ok(Self { endpoint, identity, work })
    }

    /// Where consumers connect to.
    ///
    /// # Errors
    /// What the system says.
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.endpoint.local_addr()
    }

    /// Serves until `ended`. Consumers may come and go.
    ///
    /// # Errors
    /// [`RawError::Broken`] if one passed its bounds.
    pub async fn run(self, ended: impl Future<Output = ()>) -> Result<(), RawError> {
        let mut ended = pin!(ended);
        let mut consumers = JoinSet::new();
        let supply = Arc::new(Supply::new(&self.work));
        let due = self.work.rate.map(|rate| {
            let (told, due) = mpsc::channel(DUE_LEN);
            (told, rate, Arc::new(Mutex::new(due)))
        });
        let mut clock = JoinSet::new();
        let outcome = loop {
            tokio::select! {
                biased;
                () = &mut ended => break Ok(()),
                Some(ended) = consumers.join_next() => {
                    // One that has gone is none of the others' business.
                    if let Ok(Err(error @ RawError::Broken(_))) = ended {
                        break Err(error);
                    }
                }
                incoming = self.endpoint.accept() => {
                    let Some(incoming) = incoming else { break Ok(()) };
                    // The first consumer starts the clock: what nobody could take is not to wait for it.
                    if let Some((told, rate, _)) = due.as_ref().filter(|_| clock.is_empty()) {
                        clock.spawn(emit(told.clone(), Duration::from_secs(1) / rate.get()));
                    }
                    let due = due.as_ref().map(|(_, _, due)| Arc::clone(due));
                    consumers.spawn(take(incoming, self.identity.clone(), self.work.demand, Arc::clone(&supply), due));
                }
            }
        };
        close(&self.endpoint).await;
        outcome
    }
}

/// Tells the time of each event when it comes. Tokio's timers have a resolution of a millisecond: above 1,000 events a
/// second several come together.
async fn emit(told: mpsc::Sender<u64>, every: Duration) {
    let mut ticks = time::interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    loop {
        ticks.tick().await;
        if told.send(wall::now_ns()).await.is_err() {
            return;
        }
    }
}

async fn take(
    incoming: Incoming,
    identity: NodeIdentity,
    demand: Demand,
    supply: Arc<Supply>,
    due: Option<Due>,
) -> Result<(), RawError> {
    let connection = incoming.await.map_err(|error| RawError::lost(&error))?;
    check_client(&connection, identity.credentials()).map_err(RawError::Lost)?;
    let (sender, receiver) = connection.accept_bi().await.map_err(|error| RawError::lost(&error))?;
    let consumer = Consumer { sender, receiver, asks: Asks::default(), books: Books::new(demand), supply };
    match due {
        Some(due) => consumer.serve_due(due).await,
        None => consumer.serve().await,
    }
}

/// What one consumer has asked for and got.
#[derive(Debug)]
struct Books {
    demand: Demand,
    granted: u64,
    acked: u64,
    sent: u64,
}

impl Books {
    fn new(demand: Demand) -> Self {
        Self { demand, granted: 0, acked: 0, sent: 0 }
    }

    /// # Errors
    /// If the consumer acknowledges what it did not get, or has more open than its window.
    fn asked(&mut self, granted: u64, acked: u64) -> Result<(), RawError> {
        let acked = self.acked + acked;
        let window = u64::from(self.demand.max());
        if acked > self.sent || granted < self.granted || granted - acked > window {
            let sent = self.sent;
            return Err(RawError::Broken(format!("{granted} granted, {acked} acknowledged, {sent} sent")));
        }
        (self.granted, self.acked) = (granted, acked);
        Ok(())
    }

    fn open(&self) -> u64 {
        self.granted - self.sent
    }
}

#[derive(Debug)]
struct Consumer {
    sender: SendStream,
    receiver: RecvStream,
    asks: Asks,
    books: Books,
    supply: Arc<Supply>,
}

impl Consumer {
    /// As much as is asked for, as soon as it is.
    async fn serve(mut self) -> Result<(), RawError> {
        let mut chunks: [Bytes; CHUNKS] = Default::default();
        let mut pieces = Vec::new();
        while self.hear(&mut chunks).await? {
            let open = self.books.open();
            self.supply.take(open, &mut pieces);
            self.books.sent += open;
            self.sender.write_all_chunks(&mut pieces).await.map_err(|error| RawError::lost(&error))?;
            pieces.clear();
        }
        Ok(())
    }

    /// One event at a time, when it is due and this consumer's turn.
    async fn serve_due(mut self, due: Due) -> Result<(), RawError> {
        let mut chunks: [Bytes; CHUNKS] = Default::default();
        loop {
            let may_send = self.books.open() > 0;
            let next = async { due.lock().await.recv().await };
            let emitted = tokio::select! {
                biased;
                heard = self.hear(&mut chunks) => if heard? { continue } else { return Ok(()) },
                emitted = next, if may_send => emitted,
            };
            let Some(emitted) = emitted else { return Ok(()) };
            self.books.sent += 1;
            let written = self.sender.write_chunk(self.supply.stamped(emitted)).await;
            written.map_err(|error| RawError::lost(&error))?;
        }
    }

    /// Waits for asks, and takes all that are there. `false` once the consumer has ended. Cancel safe.
    async fn hear(&mut self, chunks: &mut [Bytes]) -> Result<bool, RawError> {
        let read = self.receiver.read_chunks(chunks).await.map_err(|error| RawError::lost(&error))?;
        let Some(count) = read else { return Ok(false) };
        let (books, mut outcome) = (&mut self.books, Ok(()));
        for chunk in &chunks[..count] {
            let asked = |granted, acked| {
                if outcome.is_ok() {
                    outcome = books.asked(granted, acked);
                }
            };
            self.asks.take(chunk, asked).map_err(RawError::Broken)?;
        }
        outcome.map(|()| true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_consumer_that_passes_its_bounds_is_found_out() {
        let books = || Books { demand: Demand::new(10, Some(5)).unwrap(), granted: 10, acked: 0, sent: 8 };
        assert!(books().asked(15, 5).is_ok());
        assert!(books().asked(10, 0).is_ok(), "the same once more");
        assert!(matches!(books().asked(19, 9), Err(RawError::Broken(_))), "acknowledged what was not sent");
        assert!(matches!(books().asked(16, 5), Err(RawError::Broken(_))), "more open than its window");
        assert!(matches!(books().asked(9, 5), Err(RawError::Broken(_))), "took back what it had granted");
    }
}
