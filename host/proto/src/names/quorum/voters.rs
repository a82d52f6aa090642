//! Which members vote.

use std::collections::BTreeSet;

use super::MemberNo;

/// A member as the leader sees it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Candidate {
    /// Who.
    pub member: MemberNo,
    /// Whether it votes now.
    pub votes: bool,
    /// Whether it has the log, but for what is under way: only such a one may begin to vote.
    pub is_current: bool,
    /// Whether it leads.
    pub leads: bool,
}

/// Who should vote: an odd number, since of an even one no more may fail than of one less (two voters
/// are strictly worse than one), and at most `max`.
///
/// Who votes already goes on doing so, as far as the number allows: first the leader, whose going would
/// stop the group for an election, then those that have the log. Of others the lowest number is first.
pub fn voters(members: &[Candidate], max: usize) -> BTreeSet<MemberNo> {
    let mut eligible: Vec<_> = members.iter().filter(|member| member.votes || member.is_current).collect();
    eligible.sort_by_key(|member| (!member.votes, !member.leads, !member.is_current, member.member));
    let odd = |count: usize| count - usize::from(count.is_multiple_of(2) && count > 0);
    let count = odd(eligible.len().min(max));
    eligible.into_iter().take(count).map(|member| member.member).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(number: u64, votes: bool, is_current: bool) -> Candidate {
        Candidate { member: MemberNo(number), votes, is_current, leads: false }
    }

    fn chosen(members: &[Candidate], max: usize) -> Vec<u64> {
        voters(members, max).into_iter().map(|member| member.0).collect()
    }

    #[test]
    fn the_number_of_voters_is_odd_and_bounded() {
        let all: Vec<_> = (1..=9).map(|number| member(number, number == 1, true)).collect();
        let counts: Vec<_> = (1..=9).map(|count| chosen(&all[..count], 3).len()).collect();
        assert_eq!(counts, [1, 1, 3, 3, 3, 3, 3, 3, 3]);
        let counts: Vec<_> = (1..=9).map(|count| chosen(&all[..count], 5).len()).collect();
        assert_eq!(counts, [1, 1, 3, 3, 5, 5, 5, 5, 5]);
    }

    #[test]
    fn when_one_of_three_goes_the_leader_stays_and_who_is_not_there_goes() {
        let leader = Candidate { leads: true, ..member(7, true, false) };
        assert_eq!(chosen(&[member(1, true, true), leader], 3), [7]);
        assert_eq!(chosen(&[member(1, true, false), member(7, true, true)], 3), [7]);
        assert_eq!(chosen(&[member(1, true, true), member(7, true, true)], 3), [1]);
    }

    #[test]
    fn who_votes_stays_and_who_lags_does_not_begin() {
        let members = [member(1, false, true), member(2, false, false), member(5, true, false), member(9, true, true)];
        assert_eq!(chosen(&members, 3), [1, 5, 9]);
        assert_eq!(chosen(&members[1..], 3), [9], "two of three may vote, which is no odd number");
    }
}
