//! Golden bytes of every request and answer (the examples of `docs/wire.md`), and what a hostile peer may
//! send.

use std::collections::{BTreeMap, BTreeSet};

use proptest::{collection, option, prelude::*};

use super::*;
use crate::registry::raft::types::{Command, Entry, LeaderId, LogId, Membership, Named, Payload, StoredMembership};

fn vote(term: u64, member: u64, committed: bool) -> Vote {
    Vote { leader_id: LeaderId { term, node_id: member }, committed }
}

fn log_id(term: u64, member: u64, index: u64) -> LogId {
    LogId { leader_id: LeaderId { term, node_id: member }, index }
}

fn membership(configs: &[&[u64]], nodes: &[(u64, &str)]) -> Membership {
    let configs = configs.iter().map(|voters| voters.iter().copied().collect()).collect();
    let nodes = nodes.iter().map(|(member, name)| (*member, Named(name.parse().unwrap())));
    Membership::new(configs, nodes.collect::<BTreeMap<_, _>>()).unwrap()
}

fn entries() -> Vec<Entry> {
    let joint = membership(&[&[1], &[1, 2]], &[(1, "a"), (2, "b")]);
    let payloads = [Payload::Blank, Payload::Normal(Command("hi".into())), Payload::Membership(joint)];
    let numbered = (10..).zip(payloads);
    numbered.map(|(index, payload)| Entry { log_id: log_id(3, 1, index), payload }).collect()
}

fn meta() -> SnapshotMeta {
    let at = Some(log_id(3, 1, 12));
    SnapshotMeta { last_log_id: at, last_membership: StoredMembership::new(at, membership(&[&[1]], &[(1, "a")])) }
}

const LEADER: &str = "0300000000000000 0100000000000000 01";
const LAST: &str = "01 0300000000000000 0100000000000000 0c00000000000000";
const NINTH: &str = "01 0200000000000000 0100000000000000 0900000000000000";

fn golden_requests() -> Vec<(&'static str, Request, String)> {
    let (leader, candidate) = (vote(3, 1, true), vote(4, 2, false));
    let (ninth, last) = (Some(log_id(2, 1, 9)), Some(log_id(3, 1, 12)));
    let heartbeat = AppendRequest { vote: leader, prev_log_id: None, leader_commit: ninth, entries: Vec::new() };
    let append = AppendRequest { vote: leader, prev_log_id: ninth, leader_commit: None, entries: entries() };
    let mut handed_over = VoteRequest::new(candidate, None);
    handed_over.leadership_transfer = true;
    let part = SnapshotPart {
        vote: leader,
        meta: meta(),
        total: 12,
        digest: [0xaa; 32],
        offset: 7,
        bytes: Bytes::from_static(b"state"),
    };
    let digest = "aa".repeat(32);
    vec![
        ("heartbeat", Request::Append(heartbeat), format!("01 01 {LEADER} 00 {NINTH} 00000000")),
        (
            "three entries",
            Request::Append(append),
            format!(
                "01 01 {LEADER} {NINTH} 00 03000000 \
                 0300000000000000 0100000000000000 0a00000000000000 00 \
                 0300000000000000 0100000000000000 0b00000000000000 01 02000000 6869 \
                 0300000000000000 0100000000000000 0c00000000000000 02 \
                 02000000 01000000 0100000000000000 02000000 0100000000000000 0200000000000000 \
                 02000000 0100000000000000 01 61 0200000000000000 01 62"
            ),
        ),
        (
            "vote",
            Request::Vote(VoteRequest::new(candidate, last)),
            format!("01 02 0400000000000000 0200000000000000 00 {LAST} 00"),
        ),
        ("pre-vote", Request::PreVote(handed_over), "01 03 0400000000000000 0200000000000000 00 00 01".to_owned()),
        (
            "piece of a snapshot",
            Request::Snapshot(part),
            format!(
                "01 04 {LEADER} {LAST} {LAST} 01000000 01000000 0100000000000000 \
                 01000000 0100000000000000 01 61 0c00000000000000 {digest} 0700000000000000 05000000 7374617465"
            ),
        ),
        (
            "hand over",
            Request::Transfer(TransferRequest::new(leader, 2, last)),
            format!("01 05 {LEADER} 0200000000000000 {LAST}"),
        ),
    ]
}

fn golden_answers() -> Vec<(&'static str, Answer, String)> {
    use openraft::raft::TransferLeaderError as Transfer;
    let (leader, candidate) = (vote(3, 1, true), vote(4, 2, false));
    let last = Some(log_id(3, 1, 12));
    let higher = "0400000000000000 0200000000000000 00";
    vec![
        ("failed", Answer::Failed("no".to_owned()), "01 00 02000000 6e6f".to_owned()),
        ("appended", Answer::Append(AppendResponse::Success), "01 01 00".to_owned()),
        ("appended in part", Answer::Append(AppendResponse::PartialSuccess(last)), format!("01 01 01 {LAST}")),
        ("no such previous entry", Answer::Append(AppendResponse::Conflict), "01 01 02".to_owned()),
        ("a higher vote", Answer::Append(AppendResponse::HigherVote(candidate)), format!("01 01 03 {higher}")),
        ("voted", Answer::Vote(VoteResponse::new(candidate, None, true)), format!("01 02 {higher} 01 00")),
        ("not voted", Answer::Vote(VoteResponse::new(leader, last, false)), format!("01 02 {LEADER} 00 {LAST}")),
        ("piece taken", Answer::SnapshotTaken(7), "01 04 00 0700000000000000".to_owned()),
        ("installed", Answer::SnapshotDone(SnapshotResponse::new(leader)), format!("01 04 01 {LEADER}")),
        ("takes over", Answer::Transfer(Ok(())), "01 05 00".to_owned()),
        (
            "another vote",
            Answer::Transfer(Err(Transfer::VoteChanged { expected: leader, actual: candidate })),
            format!("01 05 01 {LEADER} {higher}"),
        ),
        (
            "not all of the log",
            Answer::Transfer(Err(Transfer::LogNotFlushed { expected: last, actual: None })),
            format!("01 05 02 {LAST} 00"),
        ),
    ]
}

fn hex(text: &str) -> Vec<u8> {
    let digits: String = text.split_whitespace().collect();
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

/// Requests have no equality of their own, and need none elsewhere.
fn shown(request: &Request) -> String {
    format!("{request:?}")
}

#[test]
fn requests_and_answers_have_the_golden_bytes() {
    for (what, request, bytes) in golden_requests() {
        assert_eq!(request.encode(), hex(&bytes), "{what}");
        assert_eq!(shown(&Request::decode(&hex(&bytes)).unwrap()), shown(&request), "{what}");
    }
    for (what, answer, bytes) in golden_answers() {
        assert_eq!(answer.encode(), hex(&bytes), "{what}");
        assert_eq!(Answer::decode(&hex(&bytes)).unwrap(), answer, "{what}");
    }
}

#[test]
fn the_document_shows_the_golden_bytes() {
    let document = include_str!("../../../../../docs/wire.md");
    let requests = golden_requests().into_iter().map(|(what, _, bytes)| (what, bytes));
    for (what, bytes) in requests.chain(golden_answers().into_iter().map(|(what, _, bytes)| (what, bytes))) {
        let line = format!("`{}`", bytes.split_whitespace().collect::<Vec<_>>().join(" "));
        assert!(document.contains(&line), "docs/wire.md lacks the example of {what}: {line}");
    }
}

#[test]
fn every_truncated_or_longer_one_is_refused() {
    let requests = golden_requests().into_iter().map(|(what, _, bytes)| (what, true, hex(&bytes)));
    let answers = golden_answers().into_iter().map(|(what, _, bytes)| (what, false, hex(&bytes)));
    for (what, is_request, bytes) in requests.chain(answers) {
        let error = |bytes: &[u8]| match is_request {
            true => Request::decode(bytes).err(),
            false => Answer::decode(bytes).err(),
        };
        for len in 0..bytes.len() {
            assert!(error(&bytes[..len]).is_some(), "{what} cut to {len} bytes");
        }
        assert_eq!(error(&[&bytes[..], &[0]].concat()), Some(CodecError::Trailing { count: 1 }), "{what}");
        let other_version = [&[2], &bytes[1..]].concat();
        assert!(matches!(error(&other_version), Some(CodecError::Field { field: "version", .. })), "{what}");
    }
}

#[test]
fn counts_that_lie_are_refused_before_anything_is_allocated() {
    let entries = format!("01 01 {LEADER} 00 00 ffffffff");
    assert!(matches!(Request::decode(&hex(&entries)), Err(CodecError::Short { field: "log id of an entry", .. })));
    let command =
        format!("01 01 {LEADER} 00 00 01000000 0300000000000000 0100000000000000 0b00000000000000 01 ffffffff 00");
    assert!(matches!(
        Request::decode(&hex(&command)),
        Err(CodecError::Short { field: "command", missing: 0xffff_fffe })
    ));
}

#[test]
fn a_membership_that_contradicts_itself_is_refused() {
    let refused = |membership: &str, field: &str| {
        let entry = "0300000000000000 0100000000000000 0c00000000000000 02";
        let bytes = hex(&format!("01 01 {LEADER} 00 00 01000000 {entry} {membership}"));
        match Request::decode(&bytes) {
            Err(CodecError::Field { field: found, .. }) => assert_eq!(found, field, "{membership}"),
            other => panic!("{membership}: {other:?}"),
        }
    };
    let (one, two) = ("0100000000000000", "0200000000000000");
    refused(&format!("01000000 02000000 {two} {one} 00000000"), "voters");
    refused(&format!("01000000 01000000 {one} 02000000 {two} 01 62 {one} 01 61"), "members");
    refused(&format!("01000000 01000000 {one} 01000000 {two} 01 62"), "membership");
    refused("01000000 00000000 00000000", "membership");
    refused(&format!("01000000 01000000 {one} 01000000 {one} 01 41"), "node name");
}

#[test]
fn the_text_of_a_failure_is_cut_between_characters() {
    let long = format!("{}ä", "x".repeat(FAILED_BYTES_MAX - 1));
    let Ok(Answer::Failed(text)) = Answer::decode(&Answer::Failed(long).encode()) else { panic!("a failure") };
    assert_eq!(text, "x".repeat(FAILED_BYTES_MAX - 1));
}

fn any_log_id() -> impl Strategy<Value = LogId> {
    (any::<u64>(), any::<u64>(), any::<u64>()).prop_map(|(term, member, index)| log_id(term, member, index))
}

fn any_vote() -> impl Strategy<Value = Vote> {
    (any::<u64>(), any::<u64>(), any::<bool>()).prop_map(|(term, member, committed)| vote(term, member, committed))
}

fn any_membership() -> impl Strategy<Value = Membership> {
    let nodes = collection::btree_map(any::<u64>(), "[a-z0-9][a-z0-9._-]{0,62}", 1..6);
    (nodes, any::<[u8; 2]>(), 0..3_usize).prop_map(|(nodes, picks, joint)| {
        let ids: Vec<u64> = nodes.keys().copied().collect();
        let some = |pick: u8| {
            let chosen: BTreeSet<u64> =
                ids.iter().enumerate().filter(|(at, _)| pick >> at & 1 == 1).map(|(_, id)| *id).collect();
            if chosen.is_empty() { [ids[0]].into() } else { chosen }
        };
        let configs = picks.iter().take(joint).map(|pick| some(*pick)).collect();
        let named = nodes.into_iter().map(|(id, name)| (id, Named(name.parse().unwrap())));
        Membership::new(configs, named.collect::<BTreeMap<_, _>>()).unwrap()
    })
}

fn any_entry() -> impl Strategy<Value = Entry> {
    let payload = prop_oneof![
        Just(Payload::Blank),
        collection::vec(any::<u8>(), 0..40).prop_map(|bytes| Payload::Normal(Command(bytes.into()))),
        any_membership().prop_map(Payload::Membership),
    ];
    (any_log_id(), payload).prop_map(|(log_id, payload)| Entry { log_id, payload })
}

fn any_request() -> impl Strategy<Value = Request> {
    let ballot = || {
        (any_vote(), option::of(any_log_id()), any::<bool>()).prop_map(|(vote, last, transfer)| {
            let mut request = VoteRequest::new(vote, last);
            request.leadership_transfer = transfer;
            request
        })
    };
    let entries = collection::vec(any_entry(), 0..4);
    let append = (any_vote(), option::of(any_log_id()), option::of(any_log_id()), entries);
    let meta = (option::of(any_log_id()), option::of(any_log_id()), any_membership());
    let piece = (any::<u64>(), any::<[u8; 32]>(), any::<u64>(), collection::vec(any::<u8>(), 0..40));
    prop_oneof![
        append.prop_map(|(vote, prev_log_id, leader_commit, entries)| {
            Request::Append(AppendRequest { vote, prev_log_id, leader_commit, entries })
        }),
        ballot().prop_map(Request::Vote),
        ballot().prop_map(Request::PreVote),
        (any_vote(), meta, piece).prop_map(|(vote, (last, at, members), (total, digest, offset, bytes))| {
            let last_membership = StoredMembership::new(at, members);
            let meta = SnapshotMeta { last_log_id: last, last_membership };
            Request::Snapshot(SnapshotPart { vote, meta, total, digest, offset, bytes: bytes.into() })
        }),
        (any_vote(), any::<u64>(), option::of(any_log_id()))
            .prop_map(|(vote, to, last)| Request::Transfer(TransferRequest::new(vote, to, last))),
    ]
}

proptest! {
    #[test]
    fn what_was_written_is_read(request in any_request()) {
        let bytes = request.encode();
        let back = Request::decode(&bytes).unwrap();
        prop_assert_eq!(shown(&back), shown(&request));
        prop_assert_eq!(back.encode(), bytes);
    }

    #[test]
    fn no_bytes_make_it_panic_and_what_is_read_is_written_alike(
        kind in 0..7_u8, rest in collection::vec(any::<u8>(), 0..300),
    ) {
        let bytes = [&[VERSION, kind], &rest[..]].concat();
        if let Ok(request) = Request::decode(&bytes) {
            prop_assert_eq!(request.encode(), bytes.clone());
        }
        match Answer::decode(&bytes) {
            // Text that is no UTF-8, or too long, is read all the same.
            Ok(Answer::Failed(_)) | Err(_) => {}
            Ok(answer) => prop_assert_eq!(answer.encode(), bytes),
        }
    }

    #[test]
    fn a_request_with_a_changed_byte_does_not_make_it_panic(
        request in any_request(), at in any::<prop::sample::Index>(), to in any::<u8>(),
    ) {
        let mut bytes = request.encode().to_vec();
        let at = at.index(bytes.len());
        bytes[at] = to;
        if let Ok(request) = Request::decode(&bytes) {
            prop_assert_eq!(request.encode(), bytes);
        }
    }
}
