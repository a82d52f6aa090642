//! An epoch of a name belongs to one start of one node, and to one instance of the stage there.
//!
//! Source: DESIGN 6 "at most one owner is ever accepted per name, by epoch"; SEMANTICS I1, and 2.9,
//! where a restart that keeps the epoch loses events.

use std::collections::BTreeMap;

use forebay_proto::stage::Role;

use super::Violation;
use crate::{facts::What, oracle::Run};

pub(super) fn check(run: &Run) -> Result<(), Violation> {
    let mut owners = BTreeMap::new();
    let mut instances = BTreeMap::new();
    for fact in &run.facts {
        match &fact.what {
            What::Claimed { stage, node, boot, claim } => {
                let owner = (*node, *boot);
                let first = *owners.entry((*stage, claim.epoch)).or_insert(owner);
                if first != owner {
                    let what = format!("{stage}@{} belongs to {first:?} and to {owner:?}", claim.epoch);
                    return Err(Violation::at(fact, what));
                }
            }
            What::Started { instance, role } if *role != Role::Consumer => {
                let first = *instances.entry((instance.stage, instance.epoch)).or_insert(instance.no);
                if first != instance.no {
                    let what = format!("{instance} starts in the epoch of {first}");
                    return Err(Violation::at(fact, what));
                }
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
    use crate::facts::{InstanceNo, NodeNo};

    fn claimed(node: u8, lamport: u32) -> What {
        let boot = BootId(u64::from(node));
        What::Claimed { stage: SOURCE, node: NodeNo(node), boot, claim: claim(node, lamport) }
    }

    #[test]
    fn two_owners_of_one_epoch_are_found() {
        assert_eq!(check(&run([claimed(0, 1), claimed(1, 2)])), Ok(()));
        assert!(check(&run([claimed(0, 1), claimed(1, 1)])).is_err());
    }

    #[test]
    fn a_new_instance_in_an_old_epoch_is_found() {
        let started = |instance| What::Started { instance, role: Role::Producer };
        let second = crate::facts::Instance { no: InstanceNo(9), ..producer() };
        assert_eq!(check(&run([started(producer())])), Ok(()));
        assert!(check(&run([started(producer()), started(second)])).is_err());
    }
}
