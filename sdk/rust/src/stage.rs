//! What a stage implements: one trait for its role, and any of the optional ones.

use std::fmt;

use serde::de::DeserializeOwned;

use crate::{Batch, Context, Delivery, Events, bindings::host::types};

/// A source of events.
///
/// The host makes one call at a time, `init` first. A call that panics ends the instance; the host
/// starts another by the stage's restart policy.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is exported as a producer but does not implement `forebay_sdk::Producer`",
    note = "implement `Producer`, or use `export_consumer!` or `export_producer_consumer!`"
)]
pub trait Producer: Sized + 'static {
    /// What the pipeline file may say under `config`; `()` for nothing. See [`Context`].
    type Config: DeserializeOwned;

    /// Starts the stage.
    ///
    /// # Errors
    /// For a person; it stops the start.
    fn init(context: Context<Self::Config>) -> Result<Self, String>;

    /// Adds up to `demand` events to `events`; `demand` is at least 1.
    ///
    /// Adding fewer, or none, is fine: the host remembers what was left open and asks again when the
    /// stage's `poll` interval has passed. Adding more is an error, and the host takes none of them.
    ///
    /// # Errors
    /// See [`StageError`]. Events added before an error are dropped.
    fn handle_demand(&mut self, demand: u32, events: &mut Events) -> Result<(), StageError>;
}

/// A sink of events.
///
/// The host makes one call at a time, `init` first. A call that panics ends the instance; what it
/// was handed is delivered again.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is exported as a consumer but does not implement `forebay_sdk::Consumer`",
    note = "implement `Consumer`, or use `export_producer!` or `export_producer_consumer!`"
)]
pub trait Consumer: Sized + 'static {
    /// What the pipeline file may say under `config`; `()` for nothing. See [`Context`].
    type Config: DeserializeOwned;

    /// Starts the stage.
    ///
    /// # Errors
    /// For a person; it stops the start.
    fn init(context: Context<Self::Config>) -> Result<Self, String>;

    /// Takes one batch. The host acknowledges it to the source after the return, so whatever must
    /// outlive a crash has to be written by then.
    ///
    /// Returns the events that could not be processed: [`Event::reject`](crate::Event::reject) and
    /// [`Event::retry`](crate::Event::retry) make the entries. An empty list: all of it was processed.
    ///
    /// # Errors
    /// See [`StageError`]; nothing of the batch counts as processed then.
    fn handle_events(&mut self, delivery: &Delivery) -> Result<Vec<Rejection>, StageError>;
}

/// A stage that makes events of events.
///
/// The host makes one call at a time, `init` first. A call that panics ends the instance; what it
/// was handed is delivered again.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is exported as a producer-consumer but does not implement `forebay_sdk::ProducerConsumer`",
    note = "implement `ProducerConsumer`, or use `export_producer!` or `export_consumer!`"
)]
pub trait ProducerConsumer: Sized + 'static {
    /// What the pipeline file may say under `config`; `()` for nothing. See [`Context`].
    type Config: DeserializeOwned;

    /// Starts the stage.
    ///
    /// # Errors
    /// For a person; it stops the start.
    fn init(context: Context<Self::Config>) -> Result<Self, String>;

    /// Takes one batch and puts what it makes of it into `output`: fewer events, as many, or more.
    ///
    /// # Errors
    /// See [`StageError`]; nothing of `delivery` counts as processed then and `output` is dropped.
    fn handle_events(&mut self, delivery: &Delivery, output: &mut Output) -> Result<(), StageError>;
}

/// Optional: a stage whose state can move to another node.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is exported with `checkpoint` but does not implement `forebay_sdk::Checkpoint`"
)]
pub trait Checkpoint {
    /// The whole state after the last call, to be handed to `restore` of a later instance.
    ///
    /// # Errors
    /// For a person; the host keeps the snapshot before.
    fn snapshot(&mut self) -> Result<Vec<u8>, String>;

    /// Takes over what `snapshot` gave. Called after `init` and before anything else.
    ///
    /// # Errors
    /// For a person; it stops the start.
    fn restore(&mut self, snapshot: &[u8]) -> Result<(), String>;
}

/// Optional: a stage that acts by the clock.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is exported with `timer` but does not implement `forebay_sdk::Timer`"
)]
pub trait Timer {
    /// Called each time the stage's `tick` interval has passed; never, if the pipeline file has none. What is added to
    /// `events` is emitted, asked for or not. A consumer adds none.
    ///
    /// The first call comes one interval after the start, and calls that are missed are not made up. A consumer or
    /// producer-consumer that ends in good order is called once more after its last events. What a stage keeps from one
    /// call to the next is lost with its instance, unless it is in its [`Checkpoint`] too.
    ///
    /// # Errors
    /// See [`StageError`].
    fn handle_tick(&mut self, events: &mut Events) -> Result<(), StageError>;
}

/// Optional: a producer into which events can be pushed from outside.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is exported with `ingest` but does not implement `forebay_sdk::Ingest`"
)]
pub trait Ingest {
    /// Takes events from outside; what is added to `events` is emitted in their place.
    ///
    /// # Errors
    /// See [`StageError`].
    fn handle_ingest(&mut self, incoming: &Batch, events: &mut Events) -> Result<(), StageError>;
}

/// Optional: a stage that answers questions.
#[diagnostic::on_unimplemented(message = "`{Self}` is exported with `call` but does not implement `forebay_sdk::Call`")]
pub trait Call {
    /// Answers one request. Both sides agree on the bytes; `forebay call` sends JSON.
    ///
    /// # Errors
    /// For whoever asked.
    fn handle_call(&mut self, request: &[u8]) -> Result<Vec<u8>, String>;
}

/// Optional: a stage that wants to know of its end.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is exported with `terminate` but does not implement `forebay_sdk::Terminate`"
)]
pub trait Terminate {
    /// The last call of an instance that ends in good order; not made after a trap.
    fn terminate(&mut self, reason: &str);
}

/// One event a stage could not process.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Rejection {
    /// Its index in the delivered batch.
    pub index: u32,
    /// Whether a later attempt may succeed. If not, the event is a dead letter at once.
    pub retry: bool,
    /// Why, for a person.
    pub reason: String,
}

/// What a producer-consumer makes of one delivery.
#[derive(Debug, Default)]
pub struct Output {
    /// The events to pass on.
    pub events: Events,
    /// The delivered events that could not be processed; empty: all were.
    pub rejections: Vec<Rejection>,
}

/// Why a call failed as a whole, in the stage's own words.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum StageError {
    /// A passing trouble: the host makes the call again, later.
    Retry(String),
    /// The stage cannot go on: the host ends this instance and applies the restart policy.
    Fatal(String),
    /// Anything else; treated as `Fatal`.
    Other(String),
}

impl fmt::Display for StageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Retry(reason) => write!(f, "passing trouble: {reason}"),
            Self::Fatal(reason) => write!(f, "cannot go on: {reason}"),
            Self::Other(reason) => f.write_str(reason),
        }
    }
}

impl std::error::Error for StageError {}

impl From<StageError> for types::StageError {
    fn from(error: StageError) -> Self {
        match error {
            StageError::Retry(reason) => Self::Retry(reason),
            StageError::Fatal(reason) => Self::Fatal(reason),
            StageError::Other(reason) => Self::Other(reason),
        }
    }
}

impl From<Rejection> for types::Rejection {
    fn from(Rejection { index, retry, reason }: Rejection) -> Self {
        Self { index, retry, reason }
    }
}
