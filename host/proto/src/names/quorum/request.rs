//! What the members of a group, and those who want to be, ask each other.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;

use super::{EncodingError, MemberNo, Stranger, encoding::begin_versioned};
use crate::{
    ids::{BootId, NodeName},
    wire::{Reader, Writer, wrong},
};

/// The version of requests and answers; what they carry of the log has its own.
const VERSION: u8 = 1;

fn begin(bytes: &[u8]) -> Result<Reader<'_>, EncodingError> {
    match begin_versioned(bytes)? {
        (reader, VERSION) => Ok(reader),
        (_, other) => Err(EncodingError::Version(other)),
    }
}

/// A group, by a random number it was founded with: nodes of two groups have nothing to agree on.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct GroupId(pub u128);

impl std::fmt::Display for GroupId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// A request to a peer. Who asks is known from its certificate.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Request {
    /// Take me in.
    Admit {
        /// Of the asking node's data.
        store: u64,
        /// Where it is reached; `None`: where it came from.
        addr: Option<SocketAddr>,
        /// What it would do without a group.
        stranger: Stranger,
    },
    /// Have this command agreed on; the bytes are a [`Proposal`](super::Proposal).
    Propose {
        /// Of the group it is meant for.
        group: GroupId,
        /// The command.
        proposal: Bytes,
    },
    /// I am there, and own names.
    Renew {
        /// Of the group.
        group: GroupId,
        /// The asking process.
        boot: BootId,
    },
    /// A call of the consensus protocol between members; its bytes are the host's.
    Raft {
        /// Of the group.
        group: GroupId,
        /// The asking member.
        from: MemberNo,
        /// The member that is asked: a node that lost its data is another one, and must not answer for
        /// the former.
        to: MemberNo,
        /// The call.
        call: Bytes,
    },
}

/// The answer to a [`Request`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Answer {
    /// To `Admit`: you are a member.
    Admitted {
        /// Of this group.
        group: GroupId,
        /// With this number.
        member: MemberNo,
    },
    /// To `Admit`: I have no group either.
    Stranger(Stranger),
    /// To `Propose`: it was agreed on; the bytes are an [`Outcome`](super::Outcome).
    Agreed(Bytes),
    /// To `Propose` and `Renew`: ask this one, or whoever leads.
    NotLeader(Option<NodeName>),
    /// To `Renew`: go on, once what the leader had carried out by then is known.
    Renewed {
        /// The place in the log of the last of that: one of these may have taken the asker's names away.
        as_of: u64,
        /// How long the leader waits for an owner that it does not hear.
        lease: Duration,
    },
    /// To `Raft`: the host's bytes.
    Raft(Bytes),
    /// Not now, with the reason; whether a proposal was agreed on is not known.
    NotNow(String),
    /// Never, with the reason: another group, or a member that is none any more.
    Refused(String),
    /// To `Renew`: the asking node is no member any more, with the reason.
    Retired(String),
}

impl Request {
    /// Its bytes.
    pub fn encode(&self) -> Bytes {
        let mut writer = Writer::default();
        writer.u8(VERSION);
        match self {
            Self::Admit { store, addr, stranger } => {
                writer.u8(1);
                writer.u64(*store);
                writer.optional_addr(*addr);
                write_stranger(&mut writer, stranger);
            }
            Self::Propose { group, proposal } => {
                writer.u8(2);
                writer.u128(group.0);
                writer.bytes(proposal);
            }
            Self::Renew { group, boot } => {
                writer.u8(3);
                writer.u128(group.0);
                writer.u64(boot.0);
            }
            Self::Raft { group, from, to, call } => {
                writer.u8(4);
                writer.u128(group.0);
                writer.u64(from.0);
                writer.u64(to.0);
                writer.bytes(call);
            }
        }
        writer.finish()
    }

    /// The inverse of [`Request::encode`].
    ///
    /// # Errors
    /// [`EncodingError`] names the field.
    pub fn decode(bytes: &[u8]) -> Result<Self, EncodingError> {
        let mut reader = begin(bytes)?;
        let request = match reader.u8("request")? {
            1 => {
                let (store, addr) = (reader.u64("store")?, reader.optional_addr()?);
                let stranger = Stranger { expect: reader.u16("expect")?, founder: reader.parsed_name("founder")? };
                Self::Admit { store, addr, stranger }
            }
            2 => Self::Propose { group: GroupId(reader.u128("group")?), proposal: reader.rest() },
            3 => Self::Renew { group: GroupId(reader.u128("group")?), boot: BootId(reader.u64("boot")?) },
            4 => {
                let (group, from) = (GroupId(reader.u128("group")?), MemberNo(reader.u64("member")?));
                Self::Raft { group, from, to: MemberNo(reader.u64("member")?), call: reader.rest() }
            }
            other => return Err(wrong("request", &other, "a request from 1 to 4").into()),
        };
        reader.finish()?;
        Ok(request)
    }
}

fn write_stranger(writer: &mut Writer, stranger: &Stranger) {
    writer.u16(stranger.expect);
    writer.name(stranger.founder.as_str());
}

impl Answer {
    /// Its bytes.
    pub fn encode(&self) -> Bytes {
        let mut writer = Writer::default();
        writer.u8(VERSION);
        match self {
            Self::Admitted { group, member } => {
                writer.u8(1);
                writer.u128(group.0);
                writer.u64(member.0);
            }
            Self::Stranger(stranger) => {
                writer.u8(2);
                write_stranger(&mut writer, stranger);
            }
            Self::Agreed(outcome) => {
                writer.u8(3);
                writer.bytes(outcome);
            }
            Self::NotLeader(leader) => {
                writer.u8(4);
                writer.u8(u8::from(leader.is_some()));
                if let Some(leader) = leader {
                    writer.name(leader.as_str());
                }
            }
            Self::Renewed { as_of, lease } => {
                writer.u8(5);
                writer.u64(*as_of);
                writer.u32(u32::try_from(lease.as_millis()).unwrap_or(u32::MAX));
            }
            Self::Raft(answer) => {
                writer.u8(6);
                writer.bytes(answer);
            }
            Self::NotNow(why) => {
                writer.u8(7);
                writer.text(why);
            }
            Self::Refused(why) => {
                writer.u8(8);
                writer.text(why);
            }
            Self::Retired(why) => {
                writer.u8(9);
                writer.text(why);
            }
        }
        writer.finish()
    }

    /// The inverse of [`Answer::encode`].
    ///
    /// # Errors
    /// [`EncodingError`] names the field.
    pub fn decode(bytes: &[u8]) -> Result<Self, EncodingError> {
        let mut reader = begin(bytes)?;
        let answer = match reader.u8("answer")? {
            1 => Self::Admitted { group: GroupId(reader.u128("group")?), member: MemberNo(reader.u64("member")?) },
            2 => Self::Stranger(Stranger { expect: reader.u16("expect")?, founder: reader.parsed_name("founder")? }),
            3 => Self::Agreed(reader.rest()),
            4 if reader.bool("has a leader")? => Self::NotLeader(Some(reader.parsed_name("leader")?)),
            4 => Self::NotLeader(None),
            5 => {
                let as_of = reader.u64("applied")?;
                Self::Renewed { as_of, lease: Duration::from_millis(reader.u32("lease")?.into()) }
            }
            6 => Self::Raft(reader.rest()),
            7 => Self::NotNow(reader.text("reason")?.to_owned()),
            8 => Self::Refused(reader.text("reason")?.to_owned()),
            9 => Self::Retired(reader.text("reason")?.to_owned()),
            other => return Err(wrong("answer", &other, "an answer from 1 to 9").into()),
        };
        reader.finish()?;
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stranger() -> Stranger {
        Stranger { expect: 3, founder: "a".parse().unwrap() }
    }

    #[test]
    fn requests_and_answers_survive_their_bytes() {
        let (group, bytes) = (GroupId(7), Bytes::from_static(b"x"));
        let addr = Some("[::1]:9".parse().unwrap());
        for request in [
            Request::Admit { store: 5, addr, stranger: stranger() },
            Request::Admit { store: 5, addr: None, stranger: stranger() },
            Request::Propose { group, proposal: bytes.clone() },
            Request::Renew { group, boot: BootId(9) },
            Request::Raft { group, from: MemberNo(4), to: MemberNo(6), call: bytes.clone() },
        ] {
            assert_eq!(Request::decode(&request.encode()), Ok(request));
        }
        for answer in [
            Answer::Admitted { group, member: MemberNo(4) },
            Answer::Stranger(stranger()),
            Answer::Agreed(bytes.clone()),
            Answer::NotLeader(Some("b".parse().unwrap())),
            Answer::NotLeader(None),
            Answer::Renewed { as_of: 77, lease: Duration::from_millis(1200) },
            Answer::Raft(bytes),
            Answer::NotNow("w".into()),
            Answer::Refused("w".into()),
            Answer::Retired("w".into()),
        ] {
            assert_eq!(Answer::decode(&answer.encode()), Ok(answer));
        }
    }

    #[test]
    fn the_bytes_of_a_renewal_are_these() {
        let renewal = Request::Renew { group: GroupId(0x0102), boot: BootId(0x0304) };
        let group = [2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(renewal.encode()[..], [&[1, 3][..], &group, &[4, 3, 0, 0, 0, 0, 0, 0]].concat());
    }

    proptest! {
        #[test]
        fn bytes_of_anybody_are_read_or_refused(mut bytes in prop::collection::vec(any::<u8>(), 1..60)) {
            bytes[0] = VERSION;
            drop((Request::decode(&bytes), Answer::decode(&bytes)));
        }
    }
}
