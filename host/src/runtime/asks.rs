//! What a guest asks its sources for, from the call in which it does so until the core is told.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use forebay_proto::ids::StageName;

use super::check;

/// The sources that an instance may ask, and what it has asked them for. A clone is of the same instance; see
/// [`Asks::fresh`].
#[derive(Clone, Debug, Default)]
pub struct Asks(Arc<Mutex<BTreeMap<StageName, u32>>>);

impl Asks {
    /// Of an instance whose stage subscribes to these with `ask = "manual"`.
    pub fn of(sources: impl IntoIterator<Item = StageName>) -> Self {
        Self(Arc::new(Mutex::new(sources.into_iter().map(|source| (source, 0)).collect())))
    }

    /// Of another instance of the same stage, which has asked for nothing yet.
    #[must_use]
    pub fn fresh(&self) -> Self {
        Self::of(self.counts().keys().cloned().collect::<Vec<_>>())
    }

    /// Asks a source for `count` events more. No sum passes `u32::MAX`; what is granted is bounded by `max_demand` anyhow.
    ///
    /// # Errors
    /// For a person: the source is none of these, and which there are.
    pub fn ask(&self, source: &str, count: u32) -> Result<(), String> {
        let mut counts = self.counts();
        if let Some(sum) = counts.iter_mut().find(|(known, _)| known.as_str() == source).map(|(_, sum)| sum) {
            *sum = sum.saturating_add(count);
            return Ok(());
        }
        let known: Vec<_> = counts.keys().map(|source| format!("`{source}`")).collect();
        let source = check::clean(source);
        Err(match &*known {
            [] => format!(
                "`{source}` cannot be asked: no subscription of this stage has `ask = \"manual\"` in the pipeline file"
            ),
            known => format!(
                "`{source}` cannot be asked; the subscriptions of this stage with `ask = \"manual\"` are to {}",
                known.join(", ")
            ),
        })
    }

    /// What was asked for since the last time, by source, without those that were asked for nothing.
    pub fn take(&self) -> Vec<(StageName, u32)> {
        let mut counts = self.counts();
        let taken = counts.iter_mut().map(|(source, sum)| (source.clone(), std::mem::take(sum)));
        taken.filter(|(_, sum)| *sum > 0).collect()
    }

    fn counts(&self) -> MutexGuard<'_, BTreeMap<StageName, u32>> {
        // Nothing panics while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> StageName {
        text.parse().unwrap()
    }

    #[test]
    fn what_is_asked_of_a_source_is_summed_up_and_taken_once() {
        let asks = Asks::of([name("a"), name("b"), name("c")]);
        for (source, count) in [("a", 2), ("b", 1), ("a", 3), ("c", 0), ("b", u32::MAX)] {
            asks.ask(source, count).unwrap();
        }
        assert_eq!(asks.fresh().take(), []);
        assert_eq!(asks.clone().take(), [(name("a"), 5), (name("b"), u32::MAX)]);
        assert_eq!(asks.take(), []);
        assert_eq!(asks.fresh().ask("c", 1), Ok(()));
    }

    #[test]
    fn another_source_is_refused_with_those_that_there_are() {
        let error = Asks::of([name("a"), name("b")]).ask("c\u{1b}", 1).unwrap_err();
        assert_eq!(
            error,
            "`c\\u{1b}` cannot be asked; the subscriptions of this stage with `ask = \"manual\"` are to `a`, `b`"
        );
        let error = Asks::default().ask("a", 1).unwrap_err();
        assert!(error.contains("no subscription of this stage has `ask = \"manual\"`"), "{error}");
    }
}
