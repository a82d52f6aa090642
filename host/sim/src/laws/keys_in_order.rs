//! Of a stage with several guests, events of one key are never with two of them at once, and those that are delivered
//! for the first time are handed over in the order of their numbers.
//!
//! Source: Broadway's `:partition_by`, "messages with the same key are processed in order".

use std::collections::{BTreeMap, BTreeSet};

use forebay_proto::stage::GuestNo;

use super::Violation;
use crate::{
    facts::{InstanceNo, Seq, StreamNo, What},
    oracle::Run,
    routing::{Kind, key, partition},
};

pub(super) fn check(run: &Run) -> Result<(), Violation> {
    let mut out: BTreeMap<(InstanceNo, GuestNo), BTreeSet<u8>> = BTreeMap::new();
    let mut last: BTreeMap<(StreamNo, u8, Option<u8>), Seq> = BTreeMap::new();
    for fact in &run.facts {
        match &fact.what {
            What::Called { consumer, guest, stream, source, events, .. }
                if run.workload.stage(consumer.stage).is_pooled() =>
            {
                let keys: BTreeSet<u8> = events.payloads.iter().filter_map(|payload| key(payload)).collect();
                let others = out.iter().filter(|((of, with), _)| *of == consumer.no && with != guest);
                let shared = |(_, with_other): (_, &BTreeSet<u8>)| with_other.intersection(&keys).next().copied();
                if let Some(key) = others.filter_map(|other| shared((other.0, other.1))).next() {
                    let what = format!("key {key} is with two guests of {consumer} at once");
                    return Err(Violation::at(fact, what));
                }
                out.insert((consumer.no, *guest), keys);
                for (seq, payload) in events.seqs().zip(&events.payloads).filter(|_| events.attempt == 1) {
                    let Some(key) = key(payload) else { continue };
                    // Where the source has partitions, it keeps the order of each.
                    let has_partitions = run.workload.routing.kind(*source) == Kind::Partition;
                    let partition = partition(payload).filter(|_| has_partitions);
                    if let Some(before) = last.insert((*stream, key, partition), seq).filter(|before| *before >= seq) {
                        let what = format!("event {} of {stream}, key {key}, comes after {}", seq.0, before.0);
                        return Err(Violation::at(fact, what));
                    }
                }
            }
            What::Processed { consumer, guest, .. } | What::WantsRetry { consumer, guest, .. } => {
                out.remove(&(consumer.no, *guest));
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::made_up::*;
    use super::*;

    fn pooled(whats: Vec<What>) -> Result<(), Violation> {
        let mut run = subscribed(whats);
        run.workload.stages[1].flow.instances = 2;
        check(&run)
    }

    fn by_second(mut what: What) -> What {
        if let What::Called { guest, .. } = &mut what {
            *guest = GuestNo(1);
        }
        what
    }

    #[test]
    fn a_key_with_two_guests_is_found() {
        assert_eq!(pooled(vec![called(1, 1, 1), by_second(called(2, 1, 1))]), Ok(()));
        assert!(pooled(vec![called(1, 1, 1), by_second(called(7, 1, 1))]).is_err());
        assert_eq!(pooled(vec![called(1, 1, 1), processed(1, 1), by_second(called(7, 1, 1))]), Ok(()));
    }

    #[test]
    fn events_of_a_key_that_come_out_of_order_are_found() {
        assert!(pooled(vec![called(7, 1, 1), processed(7, 1), called(1, 1, 1)]).is_err());
        assert_eq!(pooled(vec![called(7, 1, 1), processed(7, 1), called(2, 1, 1)]), Ok(()));
    }
}
