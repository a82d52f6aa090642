//! Cases of the group's inboxes, and bytes of the release before them.

use super::*;
use crate::{
    batch::Batch,
    ids::BootId,
    inbox::{ENTRY_BYTES, PARCEL_BYTES_MAX},
    names::quorum::{EncodingError, MemberNo, Proposal},
};

fn name(stage: &str) -> GlobalName {
    GlobalName { pipeline: "p".parse().unwrap(), stage: stage.parse().unwrap() }
}

fn ingest(stage: &str, client: u128, request: u64, events: &[&str]) -> Command {
    let events = Batch::from_payloads(events);
    let count = u32::try_from(events.len()).unwrap();
    Command::Ingest { name: name(stage), client, request, count, events: events.encode() }
}

#[derive(Default)]
struct Log(Ledger, u64);

impl Log {
    fn apply(&mut self, command: Command) -> Outcome {
        self.1 += 1;
        let proposal = Proposal { at_ms: 0, command };
        let outcome = self.0.apply(self.1, Proposal::decode(&proposal.encode()).unwrap()).outcome;
        assert_eq!(Outcome::decode(&outcome.encode()).unwrap(), outcome);
        assert_eq!(Ledger::decode(&self.0.encode()).unwrap(), self.0);
        outcome
    }

    /// Lets node a own `s`.
    fn claimed(&mut self) -> Epoch {
        let node = || "a".parse().unwrap();
        self.apply(Command::Admit { node: node(), store: 1, addr: None });
        let (member, boot) = (MemberNo::FOUNDER, BootId(1));
        self.apply(Command::Boot { node: node(), member, boot, addr: None, pipelines: Vec::new() });
        match self.apply(Command::Claim { name: name("s"), node: node(), boot, request: self.1 }) {
            Outcome::Claimed(claim) => claim.epoch,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn events_are_taken_once_and_kept_through_snapshots_and_owners() {
    let mut log = Log::default();
    assert_eq!(log.apply(ingest("s", 1, 1, &["a", "b"])), Outcome::Ingested { first: 0 }, "before anybody owns it");
    let again = ingest("s", 1, 1, &["a", "b"]);
    assert_eq!(log.0.foresee(&again), Some(Outcome::Ingested { first: 0 }), "no need to propose it");
    assert_eq!(log.apply(again), Outcome::Ingested { first: 0 });
    assert_eq!(log.apply(ingest("t", 1, 2, &["c"])), Outcome::Ingested { first: 0 }, "each stage counts by itself");
    log.claimed();
    log.claimed();
    log.0.recover(&"a".parse().unwrap(), 0);
    assert_eq!(log.0.inbox(&name("s")).unwrap().end(), 2);
    assert_eq!(log.0.foresee(&ingest("s", 1, 2, &["d"])), None);
    assert_eq!(log.0.foresee(&Command::Remove { node: "a".parse().unwrap() }), None);
}

#[test]
fn only_the_owner_says_what_is_processed() {
    let mut log = Log::default();
    log.apply(ingest("s", 1, 1, &["a", "b"]));
    let processed = |epoch, upto| Command::Processed { name: name("s"), epoch, upto };
    let nobody = log.apply(processed(Epoch::default(), 1));
    assert!(matches!(nobody, Outcome::Fenced(Fenced { current: None, .. })), "{nobody:?}");
    let old = log.claimed();
    let new = log.claimed();
    assert!(matches!(log.apply(processed(old, 2)), Outcome::Fenced(_)), "a former owner");
    assert_eq!(log.apply(processed(new, 2)), Outcome::Done);
    assert_eq!(log.apply(processed(new, 1)), Outcome::Done, "said again, late");
    assert_eq!(log.0.inbox(&name("s")).unwrap().position(), 2);
    let beyond = log.apply(processed(new, 3));
    let only_two = Some((new, Seq(2)));
    assert!(matches!(&beyond, Outcome::Fenced(fenced) if fenced.current == only_two), "{beyond:?}");
}

#[test]
fn an_owner_without_events_has_processed_none() {
    let mut log = Log::default();
    let epoch = log.claimed();
    assert_eq!(log.apply(Command::Processed { name: name("s"), epoch, upto: 0 }), Outcome::Done);
    assert!(matches!(log.apply(Command::Processed { name: name("s"), epoch, upto: 1 }), Outcome::Fenced(_)));
    assert_eq!(log.0.inbox(&name("s")), None);
}

#[test]
fn what_cannot_be_read_changes_nothing() {
    let mut log = Log::default();
    let Command::Ingest { name, client, request, events, .. } = ingest("s", 1, 1, &["a"]) else { unreachable!() };
    let wrong = Command::Ingest { name, client, request, count: 2, events };
    assert!(matches!(log.apply(wrong), Outcome::Refused(_)));
    assert!(log.0.inboxes.is_empty());
}

#[test]
fn all_inboxes_together_are_bounded() {
    let mut ledger = Ledger::default();
    let long = Batch::from_payloads([vec![b'x'; PARCEL_BYTES_MAX - 13]]).encode();
    let take = |ledger: &mut Ledger, stage: u64, request| {
        ledger.ingest(name(&format!("s{stage}")), 1, request, 1, long.clone())
    };
    // Four stages, each by itself below its bound.
    let each = INBOXES_BYTES_MAX / 4 / (PARCEL_BYTES_MAX as u64 + ENTRY_BYTES);
    for (stage, request) in (0..4).flat_map(|stage| (0..each).map(move |request| (stage, request))) {
        assert_eq!(take(&mut ledger, stage, request), Outcome::Ingested { first: request });
    }
    let mut more = 0;
    let full = loop {
        match take(&mut ledger, 4, more) {
            Outcome::Ingested { .. } => more += 1,
            other => break other,
        }
    };
    assert!(more <= 4, "{more}");
    assert!(matches!(full, Outcome::Full(Full::Group { bytes_max: INBOXES_BYTES_MAX, .. })), "{full:?}");
    assert!(ledger.encode().len() < 256 << 20, "a snapshot that others take");
}

#[test]
fn the_number_of_inboxes_is_bounded() {
    let mut log = Ledger::default();
    let one = Batch::from_payloads(["x"]).encode();
    for stage in 0..INBOXES_MAX {
        assert_eq!(log.ingest(name(&format!("s{stage}")), 1, 1, 1, one.clone()), Outcome::Ingested { first: 0 });
    }
    assert!(matches!(log.ingest(name("more"), 1, 1, 1, one.clone()), Outcome::Refused(_)));
    assert_eq!(log.ingest(name("s0"), 1, 2, 1, one), Outcome::Ingested { first: 1 });
}

/// Entries and snapshots as the release before inboxes wrote them, to the byte.
#[test]
fn what_version_1_wrote_is_read() {
    let remove = [&[1][..], &5u64.to_le_bytes(), &[8, 1, b'a']].concat();
    let expected = Proposal { at_ms: 5, command: Command::Remove { node: "a".parse().unwrap() } };
    assert_eq!(Proposal::decode(&remove), Ok(expected));
    assert_eq!(Outcome::decode(&[1, 1]), Ok(Outcome::Done));
    // Generation 3, no names, no nodes, member 9 retired.
    let ledger = [&[1][..], &3u16.to_le_bytes(), &[0; 8], &1u32.to_le_bytes(), &9u64.to_le_bytes()].concat();
    let read = Ledger::decode(&ledger).unwrap();
    assert_eq!((read.generation(), read.retired(), read.inboxes.len()), (3, &[MemberNo(9)][..], 0));
    assert_eq!(Ledger::decode(&read.encode()), Ok(read));
    let later = Ledger::decode(&[5, 0, 0]).unwrap_err();
    assert_eq!(later, EncodingError::Version(5));
    assert!(later.to_string().contains("written in version 5, this release reads versions 1 to 4"), "{later}");
}

/// As the release before deployments wrote it: the same without a list of them, and of plugins.
#[test]
fn what_version_2_wrote_is_read() {
    let ledger = [&[2][..], &3u16.to_le_bytes(), &[0; 8], &1u32.to_le_bytes(), &9u64.to_le_bytes(), &[0; 4]].concat();
    let read = Ledger::decode(&ledger).unwrap();
    assert_eq!((read.generation(), read.retired(), read.deployments().count()), (3, &[MemberNo(9)][..], 0));
    assert_eq!(Ledger::decode(&read.encode()), Ok(read));
}

#[test]
fn a_checkpoint_and_an_inbox_of_one_name_are_apart() {
    let mut log = Log::default();
    log.apply(ingest("s", 1, 1, &["a", "b"]));
    let epoch = log.claimed();
    let (previous, seq, snapshot) = (Seq(0), Seq(9), Bytes::new());
    log.apply(Command::Checkpoint { name: name("s"), epoch, previous, seq, snapshot });
    assert_eq!(log.0.inbox(&name("s")).unwrap().position(), 0);
    log.apply(Command::Processed { name: name("s"), epoch, upto: 1 });
    assert_eq!(log.0.record(&name("s")).unwrap().checkpoint().unwrap().seq, Seq(9));
}
