//! The baseline's consuming side.

use std::net::SocketAddr;

use bytes::Bytes;
use forebay_proto::{
    ids::Seq,
    message::{Demand, SeqRun},
};
use hdrhistogram::Histogram;
use tokio::sync::mpsc;

use super::{
    RawError, Work, close,
    frames::{Arrived, Heads, ask},
    open,
};
use crate::{
    transport::{identity::NodeIdentity, quic::connection::check_server},
    wall,
};

/// Pieces of packets that are looked at together: what one read of the socket can bring, about.
const CHUNKS: usize = 64;

/// The longest latency that is told apart. Unit: nanoseconds.
const LATENCY_MAX: u64 = 60_000_000_000;

/// What a consumer has got.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Report {
    /// Events, since the start.
    pub events: u64,
    /// Bytes of their payloads, since the start.
    pub bytes: u64,
    /// How long paced events took from their emission, in nanoseconds, and how many took so long: since the last
    /// report, to three digits.
    pub latency: Vec<(u64, u64)>,
}

/// Consumes from the server at `addr` until `orders` are no more; tells of it for each of them.
///
/// # Errors
/// [`RawError`].
pub async fn consume(
    identity: &NodeIdentity,
    addr: SocketAddr,
    work: Work,
    mut orders: mpsc::Receiver<()>,
    mut told: impl FnMut(Report),
) -> Result<(), RawError> {
    let endpoint = open(SocketAddr::from(([127, 0, 0, 1], 0)), identity, &work, false)?;
    let unreachable = |source: Box<dyn std::error::Error + Send + Sync>| RawError::Unreachable { addr, source };
    let name = identity.cluster().server_name();
    let connecting = endpoint.connect(addr, &name).map_err(|error| unreachable(error.into()))?;
    let connection = connecting.await.map_err(|error| unreachable(error.into()))?;
    check_server(&connection, identity.credentials()).map_err(|found| unreachable(found.into()))?;
    let (mut sender, mut receiver) = connection.open_bi().await.map_err(|error| RawError::lost(&error))?;

    let mut intake = Intake::new(&work);
    let mut chunks: [Bytes; CHUNKS] = std::array::from_fn(|_| Bytes::new());
    let written = sender.write_chunk(ask(intake.granted, None)).await;
    written.map_err(|error| RawError::lost(&error))?;
    loop {
        let count = tokio::select! {
            biased;
            order = orders.recv() => match order {
                Some(()) => { told(intake.report()); continue }
                None => break,
            },
            read = receiver.read_chunks(&mut chunks) => match read {
                Ok(Some(count)) => count,
                Ok(None) => return Err(RawError::Lost("the server ended the stream".to_owned())),
                Err(error) => return Err(RawError::lost(&error)),
            },
        };
        for chunk in &mut chunks[..count] {
            // Not kept until the next look: it holds a whole datagram.
            intake.take(&std::mem::take(chunk))?;
        }
        if let Some(ask) = intake.ask() {
            sender.write_chunk(ask).await.map_err(|error| RawError::lost(&error))?;
        }
    }
    close(&endpoint).await;
    Ok(())
}

/// What has come, what may come, and what is to be said of it.
#[derive(Debug)]
struct Intake {
    demand: Demand,
    heads: Heads,
    granted: u64,
    acked: u64,
    events: u64,
    bytes: u64,
    latency: Histogram<u64>,
}

impl Intake {
    fn new(work: &Work) -> Self {
        Self {
            demand: work.demand,
            heads: Heads::new(work.rate.is_some()),
            granted: u64::from(work.demand.max()),
            acked: 0,
            events: 0,
            bytes: 0,
            latency: Histogram::new_with_bounds(1, LATENCY_MAX, 3).expect("bounds that can be"),
        }
    }

    /// Takes the next bytes of the stream. Each frame is processed as a consumer's batch is: it makes room, and when
    /// no more than `min_demand` is open, as much is granted as is missing to `max_demand`.
    fn take(&mut self, bytes: &[u8]) -> Result<(), RawError> {
        let Self { demand, heads, granted, events, bytes: sum, latency, .. } = self;
        let arrived = |arrived: Arrived| {
            *events += u64::from(arrived.events);
            *sum += u64::from(arrived.payload_bytes);
            let open = granted.saturating_sub(*events);
            if open <= u64::from(demand.min()) && *events <= *granted {
                *granted = *events + u64::from(demand.max());
            }
            if let Some(emitted) = arrived.emitted {
                // A wall clock may be set back.
                latency.saturating_record(wall::now_ns().saturating_sub(emitted).max(1));
            }
        };
        heads.take(bytes, arrived).map_err(RawError::Broken)?;
        if self.events > self.granted {
            return Err(RawError::Broken(format!("{} events sent, {} granted", self.events, self.granted)));
        }
        Ok(())
    }

    /// What is to be said now, if anything has come since the last time.
    fn ask(&mut self) -> Option<Bytes> {
        let count = u32::try_from(self.events - self.acked).expect("no more than a window");
        if count == 0 {
            return None;
        }
        let acked = SeqRun { first: Seq(self.acked), count };
        self.acked = self.events;
        Some(ask(self.granted, Some(acked)))
    }

    fn report(&mut self) -> Report {
        let latency =
            self.latency.iter_recorded().map(|step| (step.value_iterated_to(), step.count_since_last_iteration()));
        let report = Report { events: self.events, bytes: self.bytes, latency: latency.collect() };
        self.latency.reset();
        report
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::{super::frames::Supply, *};

    fn work(rate: Option<u32>) -> Work {
        let demand = Demand::new(10, Some(5)).unwrap();
        Work::new((16, NonZeroU32::new(5).unwrap()), demand, 1452, rate.and_then(NonZeroU32::new)).unwrap()
    }

    fn frames(count: u64) -> Vec<u8> {
        let mut pieces = Vec::new();
        Supply::new(&work(None)).take(count, &mut pieces);
        pieces.concat()
    }

    #[test]
    fn demand_is_that_of_a_consumer() {
        let mut intake = Intake::new(&work(None));
        assert_eq!((intake.granted, intake.ask()), (10, None));
        intake.take(&frames(3)).unwrap();
        assert_eq!(intake.granted, 10, "7 are open, more than 5");
        intake.take(&frames(2)).unwrap();
        assert_eq!(intake.granted, 15);
        assert_eq!(intake.ask().unwrap(), ask(15, Some(SeqRun { first: Seq(0), count: 5 })));
        intake.take(&frames(10)).unwrap();
        assert_eq!(intake.granted, 25, "both frames made room");
        assert_eq!(intake.report(), Report { events: 15, bytes: 240, latency: vec![] });
    }

    #[test]
    fn a_server_that_passes_its_credit_is_found_out() {
        // One frame of more than was granted.
        let demand = Demand::new(100, Some(0)).unwrap();
        let larger = Work::new((16, NonZeroU32::new(11).unwrap()), demand, 1452, None).unwrap();
        let mut pieces = Vec::new();
        Supply::new(&larger).take(11, &mut pieces);
        let mut intake = Intake::new(&work(None));
        assert!(matches!(intake.take(&pieces.concat()), Err(RawError::Broken(_))));
    }

    #[test]
    fn latency_is_that_since_the_last_report() {
        let mut intake = Intake::new(&work(Some(1000)));
        let emitted = wall::now_ns() - 1_000_000;
        intake.take(&Supply::new(&work(Some(1000))).stamped(emitted)).unwrap();
        let latency = intake.report().latency;
        assert!(matches!(latency[..], [(nanos, 1)] if nanos >= 999_000), "{latency:?}");
        assert_eq!(intake.report().latency, []);
    }
}
