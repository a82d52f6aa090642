//! The kinds of faults.

use std::{fmt, str::FromStr};

/// What goes wrong. The target is chosen when the fault begins, from who is what at that moment.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) enum Kind {
    /// SIGKILL of the source's owner, and a new start after a while.
    KillOwner,
    /// The same of the Raft leader.
    KillLeader,
    /// The same of a node that is neither.
    KillOther,
    /// SIGSTOP of the owner, and SIGCONT after a while.
    StopOwner,
    /// The same of the Raft leader.
    StopLeader,
    /// The same of a node that is neither.
    StopOther,
    /// A minority with the owner reaches none of the others.
    CutOwner,
    /// A minority without the owner reaches none of the others.
    CutOther,
    /// No node reaches any other.
    Shatter,
    /// One node hears the others, and they do not hear it.
    Mute,
    /// One node does not hear the others, and they hear it.
    Deaf,
    /// Two nodes do not reach each other; all others reach both.
    NonTransitive,
    /// 5 to 20 % of all packets vanish.
    Loss,
    /// All packets take 20 to 100 ms, more or less, and overtake each other.
    Delay,
    /// 5 to 20 % of all packets arrive twice, some of them late.
    Duplicate,
    /// SIGKILL of the owner, whose machine is silent too: nothing refuses what comes for it.
    PowerOwner,
    /// SIGKILL of all nodes at once, and a new start of all.
    PowerAll,
    /// SIGTERM and a new start of one node after the other.
    RollingRestart,
    /// The disk of the owner has no byte free. As the others that are about disks only where each node has its own.
    FullOwner,
    /// The same of the Raft leader.
    FullLeader,
    /// The disks of all nodes at once.
    FullAll,
}

impl Kind {
    pub(crate) const ALL: [Self; 21] = [
        Self::KillOwner,
        Self::KillLeader,
        Self::KillOther,
        Self::StopOwner,
        Self::StopLeader,
        Self::StopOther,
        Self::CutOwner,
        Self::CutOther,
        Self::Shatter,
        Self::Mute,
        Self::Deaf,
        Self::NonTransitive,
        Self::Loss,
        Self::Delay,
        Self::Duplicate,
        Self::PowerOwner,
        Self::PowerAll,
        Self::RollingRestart,
        Self::FullOwner,
        Self::FullLeader,
        Self::FullAll,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::KillOwner => "kill-owner",
            Self::KillLeader => "kill-leader",
            Self::KillOther => "kill-other",
            Self::StopOwner => "stop-owner",
            Self::StopLeader => "stop-leader",
            Self::StopOther => "stop-other",
            Self::CutOwner => "cut-owner",
            Self::CutOther => "cut-other",
            Self::Shatter => "shatter",
            Self::Mute => "mute",
            Self::Deaf => "deaf",
            Self::NonTransitive => "non-transitive",
            Self::Loss => "loss",
            Self::Delay => "delay",
            Self::Duplicate => "duplicate",
            Self::PowerOwner => "power-owner",
            Self::PowerAll => "power-all",
            Self::RollingRestart => "rolling-restart",
            Self::FullOwner => "full-owner",
            Self::FullLeader => "full-leader",
            Self::FullAll => "full-all",
        }
    }

    /// What a trace calls it.
    pub(crate) fn class(self) -> &'static str {
        match self {
            Self::KillOwner | Self::KillLeader | Self::KillOther => "kill",
            Self::StopOwner | Self::StopLeader | Self::StopOther => "pause",
            Self::CutOwner | Self::CutOther | Self::Shatter | Self::NonTransitive => "partition",
            Self::Mute | Self::Deaf => "one-way",
            Self::Loss => "loss",
            Self::Delay => "delay",
            Self::Duplicate => "duplicate",
            Self::PowerOwner | Self::PowerAll => "power",
            Self::RollingRestart => "restart",
            Self::FullOwner | Self::FullLeader | Self::FullAll => "disk",
        }
    }

    /// Whether it is about the Raft leader, which only an agreement by quorum has.
    pub(crate) fn needs_leader(self) -> bool {
        matches!(self, Self::KillLeader | Self::StopLeader | Self::FullLeader)
    }

    /// Whether it is about a node's disk, which is to be the node's alone then.
    pub(crate) fn needs_disks(self) -> bool {
        matches!(self, Self::FullOwner | Self::FullLeader | Self::FullAll)
    }

    /// The fewest nodes that it makes sense with.
    pub(crate) fn nodes_min(self) -> usize {
        if self == Self::NonTransitive { 3 } else { 2 }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Some kinds, given as names or the beginnings of names, up to a `-`: `kill,loss` are four.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Kinds(pub(crate) Vec<Kind>);

impl FromStr for Kinds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut kinds = Vec::new();
        for word in text.split(',').map(str::trim) {
            let is_meant = |kind: &Kind| kind.name().split('-').next() == Some(word) || kind.name() == word;
            let before = kinds.len();
            kinds.extend(Kind::ALL.into_iter().filter(is_meant));
            if kinds.len() == before {
                return Err(format!("no kind is `{word}`; there are {}", Kind::ALL.map(Kind::name).join(", ")));
            }
        }
        kinds.sort_unstable();
        kinds.dedup();
        Ok(Self(kinds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_given_by_name_or_by_the_first_word() {
        let kinds = |text: &str| text.parse::<Kinds>().unwrap().0;
        assert_eq!(kinds("kill"), [Kind::KillOwner, Kind::KillLeader, Kind::KillOther]);
        assert_eq!(kinds("loss, kill-owner,loss"), [Kind::KillOwner, Kind::Loss]);
        let refused = "loss,kil".parse::<Kinds>().unwrap_err();
        assert!(refused.starts_with("no kind is `kil`; there are kill-owner, "), "{refused}");
    }

    #[test]
    fn every_kind_has_a_name_of_its_own_and_is_found_by_it() {
        for kind in Kind::ALL {
            assert_eq!(kind.name().parse::<Kinds>().unwrap().0, [kind]);
        }
    }
}
