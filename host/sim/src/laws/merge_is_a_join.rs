//! Merging claims of one name is commutative, associative and idempotent; here over the claims that
//! occur in the run.
//!
//! Source: DESIGN 6 and 7; SEMANTICS 2.8 "both sides compute the same winner from the data alone".

use std::collections::BTreeMap;

use forebay_proto::names::{Claim, merge};

use super::Violation;
use crate::{facts::What, oracle::Run};

/// Of one name; there are seldom more.
const CLAIMS_MAX: usize = 16;

pub(super) fn check(run: &Run) -> Result<(), Violation> {
    let mut claims: BTreeMap<_, Vec<&Claim>> = BTreeMap::new();
    for fact in &run.facts {
        if let What::Claimed { claim, .. } | What::Heard { claim, .. } = &fact.what {
            let known = claims.entry(&claim.name).or_default();
            if known.len() < CLAIMS_MAX && !known.contains(&claim) {
                known.push(claim);
            }
        }
    }
    match claims.values().find_map(|claims| broken(claims, &|a, b| merge([a, b]).expect("of two"))) {
        Some(what) => Err(Violation::in_the_end(run, what)),
        None => Ok(()),
    }
}

/// What is wrong with `merge` over these claims.
fn broken<'a>(claims: &[&'a Claim], merge: &dyn Fn(&'a Claim, &'a Claim) -> &'a Claim) -> Option<String> {
    for a in claims {
        if merge(a, a) != *a {
            return Some(format!("not idempotent: {a:?}"));
        }
        for b in claims {
            if merge(a, b) != merge(b, a) {
                return Some(format!("not commutative: {a:?} and {b:?}"));
            }
            for c in claims {
                if merge(merge(a, b), c) != merge(a, merge(b, c)) {
                    return Some(format!("not associative: {a:?}, {b:?} and {c:?}"));
                }
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::made_up::*;
    use super::*;

    #[test]
    fn merges_that_depend_on_order_are_found() {
        let claims = [claim(0, 1), claim(1, 2), claim(2, 1)];
        let claims: Vec<_> = claims.iter().collect();
        assert_eq!(broken(&claims, &|a, b| if a.beats(b) { a } else { b }), None);
        assert!(broken(&claims, &|a, _| a).is_some_and(|what| what.starts_with("not commutative")));
        // Rock, paper, scissors.
        let cyclic = |a, b| {
            let at = |claim| claims.iter().position(|other| *other == claim).unwrap();
            if (at(a) + 1) % 3 == at(b) { b } else { a }
        };
        assert!(broken(&claims, &cyclic).is_some_and(|what| what.starts_with("not associative")));
    }

    #[test]
    fn the_order_of_this_crate_passes() {
        let heard = |claim| What::Heard { node: crate::facts::NodeNo(0), boot: claim_boot(), claim };
        assert_eq!(check(&run([claim(0, 1), claim(1, 2), claim(2, 1)].map(heard))), Ok(()));
    }

    fn claim_boot() -> forebay_proto::ids::BootId {
        forebay_proto::ids::BootId(0)
    }
}
