//! A claim is higher than every claim of the name that its node, since it started, has made or heard
//! of.
//!
//! Source: DESIGN 6 "every claim has an epoch that only rises"; SEMANTICS 2.8 "lamport + 1".

use std::collections::BTreeMap;

use super::Violation;
use crate::{facts::What, oracle::Run};

pub(super) fn check(run: &Run) -> Result<(), Violation> {
    let mut heights = BTreeMap::new();
    for fact in &run.facts {
        match &fact.what {
            What::Heard { node, boot, claim } => {
                let height = heights.entry((*node, *boot, claim.name.clone())).or_insert(0);
                *height = claim.epoch.lamport.max(*height);
            }
            What::Claimed { node, boot, claim, .. } => {
                let height = heights.entry((*node, *boot, claim.name.clone())).or_insert(0);
                if claim.epoch.lamport <= *height {
                    let what = format!("{node} claims in epoch {}, it knew of height {height}", claim.epoch);
                    return Err(Violation::at(fact, what));
                }
                *height = claim.epoch.lamport;
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use forebay_proto::ids::BootId;

    use super::super::made_up::*;
    use super::*;
    use crate::facts::NodeNo;

    fn claimed(lamport: u32) -> What {
        What::Claimed { stage: SOURCE, node: NodeNo(0), boot: BootId(0), claim: claim(0, lamport) }
    }

    #[test]
    fn an_epoch_that_does_not_rise_is_found() {
        let heard = || What::Heard { node: NodeNo(0), boot: BootId(0), claim: claim(1, 4) };
        assert_eq!(check(&run([heard(), claimed(5), claimed(6)])), Ok(()));
        assert!(check(&run([heard(), claimed(4)])).is_err());
        assert!(check(&run([claimed(5), claimed(5)])).is_err());
    }
}
