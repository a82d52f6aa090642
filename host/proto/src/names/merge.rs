//! Merging what islands say of one name.

use super::Claim;

/// The claim that stands of any number of claims of one name.
///
/// Commutative, associative and idempotent: it is the maximum of a total order.
pub fn merge<'a>(claims: impl IntoIterator<Item = &'a Claim>) -> Option<&'a Claim> {
    claims.into_iter().reduce(|best, claim| if claim.beats(best) { claim } else { best })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ids::{BootId, Epoch, Seq};

    fn claim() -> impl Strategy<Value = Claim> {
        // Small ranges, so that ties are common.
        (0..3u8, 0..2u64, 1..4u32, 0..2u32, 0..3u64, 0..2u64).prop_map(|(node, boot, lamport, tag, at, progress)| {
            let name = super::super::GlobalName { pipeline: "p".parse().unwrap(), stage: "s".parse().unwrap() };
            Claim {
                name,
                node: format!("n{node}").parse().unwrap(),
                boot: BootId(boot),
                epoch: Epoch { lamport, tag },
                claimed_at_ms: at,
                progress: Seq(progress),
            }
        })
    }

    fn of<'a>(claims: &[&'a Claim]) -> &'a Claim {
        merge(claims.iter().copied()).unwrap()
    }

    proptest! {
        #[test]
        fn merging_is_commutative_associative_and_idempotent(a in claim(), b in claim(), c in claim()) {
            prop_assert_eq!(of(&[&a, &b]), of(&[&b, &a]));
            prop_assert_eq!(of(&[of(&[&a, &b]), &c]), of(&[&a, of(&[&b, &c])]));
            prop_assert_eq!(of(&[&a, &a]), &a);
        }

        #[test]
        fn of_two_different_claims_exactly_one_stands(a in claim(), b in claim()) {
            prop_assert!(a == b || a.beats(&b) != b.beats(&a));
        }
    }

    #[test]
    fn progress_then_epoch_then_age_then_name_decide() {
        let base = claim_of("n1", 5, 100, 7);
        assert!(claim_of("n2", 1, 200, 8).beats(&base), "more progress");
        assert!(claim_of("n2", 6, 200, 7).beats(&base), "a later succession");
        assert!(claim_of("n2", 5, 99, 7).beats(&base), "an older claim");
        assert!(claim_of("n0", 5, 100, 7).beats(&base), "a lower name");
    }

    fn claim_of(node: &str, lamport: u32, at: u64, progress: u64) -> Claim {
        Claim {
            name: super::super::GlobalName { pipeline: "p".parse().unwrap(), stage: "s".parse().unwrap() },
            node: node.parse().unwrap(),
            boot: BootId(0),
            epoch: Epoch { lamport, tag: 0 },
            claimed_at_ms: at,
            progress: Seq(progress),
        }
    }
}
