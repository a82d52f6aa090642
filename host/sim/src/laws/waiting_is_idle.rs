//! A stage that has nothing to do sleeps: after it was woken, it does not ask to be woken at once
//! without having done anything.
//!
//! Source: `Stage::poll_timeout` "when to call `handle` ... if nothing comes before"; a driver that
//! believes a past time spins.

use super::Violation;
use crate::{facts::What, oracle::Run};

pub(super) fn check(run: &Run) -> Result<(), Violation> {
    match run.facts.iter().find_map(|fact| match &fact.what {
        What::Spun { instance } => Some((fact, instance)),
        _ => None,
    }) {
        Some((fact, instance)) => Err(Violation::at(fact, format!("{instance} wants to be woken in the past"))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::made_up::*;
    use super::*;

    #[test]
    fn a_stage_that_spins_is_found() {
        assert_eq!(check(&run([])), Ok(()));
        assert!(check(&run([What::Spun { instance: producer() }])).is_err());
    }
}
