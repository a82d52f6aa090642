//! Asking sources for events, for a stage that decides itself when it wants more.

use std::fmt;

use crate::StageError;

/// Asks a source, by its name in the pipeline, for `count` further events.
///
/// Only of a source to which the pipeline file subscribes with `ask = "manual"`: of that nothing comes but what is asked
/// for here, in as many calls of `handle_events` as the source makes of it. It may be called in every call of a consumer
/// or producer-consumer but `terminate`, and counts once that call has succeeded. At most the subscription's `max_demand`
/// is open at a time, asked for and not handed over.
///
/// What was asked for stays asked for when the source moves to another node. A fresh instance asks anew, in `init`: what
/// is still open of a former one on the same node is part of it.
///
/// ```
/// use forebay_sdk::{Consumer, Context, Delivery, Rejection, StageError, ask, testing};
///
/// /// Takes one event at a time.
/// struct Patient;
///
/// impl Consumer for Patient {
///     type Config = ();
///     fn init(_: Context<()>) -> Result<Self, String> {
///         ask("letters", 1)?;
///         Ok(Self)
///     }
///     fn handle_events(&mut self, delivery: &Delivery) -> Result<Vec<Rejection>, StageError> {
///         ask(delivery.source(), 1)?;
///         Ok(Vec::new())
///     }
/// }
///
/// let mut stage = testing::consumer::<Patient>(testing::json!(null)).unwrap();
/// assert_eq!(stage.take_asks(), [("letters".to_owned(), 1)]);
/// ```
///
/// Outside a host, under `cargo test`, what is asked for goes to the [harness](crate::testing), where every source may be
/// asked.
///
/// # Errors
/// [`AskError`]: there is no such subscription; nothing is asked for.
pub fn ask(source: &str, count: u32) -> Result<(), AskError> {
    #[cfg(target_arch = "wasm32")]
    return crate::bindings::demand::ask(source, count).map_err(AskError);
    #[cfg(not(target_arch = "wasm32"))]
    {
        crate::testing::record_ask(source, count);
        Ok(())
    }
}

/// A source cannot be asked: the pipeline file has no subscription to it with `ask = "manual"`. The text says which there
/// are. `?` makes it the error of `init`, and [`StageError::Fatal`] elsewhere.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AskError(String);

impl fmt::Display for AskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for AskError {}

impl From<AskError> for String {
    fn from(AskError(problem): AskError) -> Self {
        problem
    }
}

impl From<AskError> for StageError {
    fn from(AskError(problem): AskError) -> Self {
        Self::Fatal(problem)
    }
}
