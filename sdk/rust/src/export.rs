//! From the calls the host makes to the traits a stage implements.

use std::{cell::RefCell, thread::LocalKey};

use crate::{
    Batch, Call, Checkpoint, Consumer, Context, Delivery, Events, Ingest, Output, Producer, ProducerConsumer,
    Terminate, Timer,
    bindings::{call, checkpoint, consume, host::types, ingest, lifecycle, produce, terminate, timer, transform},
};

/// Exports a type that implements [`Producer`] as the stage of this component.
///
/// After the type come the optional interfaces it implements, of `checkpoint`, `timer`, `ingest`,
/// `call` and `terminate`. Once per crate, whose crate type is `cdylib`.
///
/// ```
/// use forebay_sdk::{Checkpoint, Context, Events, Producer, StageError};
///
/// struct Counter(u64);
///
/// impl Producer for Counter {
///     type Config = ();
///     fn init(_: Context<()>) -> Result<Self, String> {
///         Ok(Self(0))
///     }
///     fn handle_demand(&mut self, demand: u32, events: &mut Events) -> Result<(), StageError> {
///         for _ in 0..demand {
///             events.push_format(format_args!("{}", self.0));
///             self.0 += 1;
///         }
///         Ok(())
///     }
/// }
///
/// impl Checkpoint for Counter {
///     fn snapshot(&mut self) -> Result<Vec<u8>, String> {
///         Ok(self.0.to_le_bytes().into())
///     }
///     fn restore(&mut self, snapshot: &[u8]) -> Result<(), String> {
///         self.0 = u64::from_le_bytes(snapshot.try_into().map_err(|_| "expected 8 bytes")?);
///         Ok(())
///     }
/// }
///
/// forebay_sdk::export_producer!(Counter, checkpoint);
/// ```
///
/// Naming an interface the type does not implement is an error natively as well:
///
/// ```compile_fail
/// # struct Counter;
/// forebay_sdk::export_producer!(Counter, checkpoint);
/// ```
#[macro_export]
macro_rules! export_producer {
    ($stage:ty $(, $optional:ident)* $(,)?) => {
        $crate::__export!($stage, Producer, produce, start_producer; $($optional)*);
    };
}

/// Exports a type that implements [`Consumer`] as the stage of this component.
///
/// After the type come the optional interfaces it implements; see
/// [`export_producer!`](crate::export_producer).
#[macro_export]
macro_rules! export_consumer {
    ($stage:ty $(, $optional:ident)* $(,)?) => {
        $crate::__export!($stage, Consumer, consume, start_consumer; $($optional)*);
    };
}

/// Exports a type that implements [`ProducerConsumer`] as the stage of this
/// component.
///
/// After the type come the optional interfaces it implements; see
/// [`export_producer!`](crate::export_producer).
#[macro_export]
macro_rules! export_producer_consumer {
    ($stage:ty $(, $optional:ident)* $(,)?) => {
        $crate::__export!($stage, ProducerConsumer, transform, start_producer_consumer; $($optional)*);
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __export {
    ($stage:ty, $role:ident, $interface:ident, $start:ident; $($optional:ident)*) => {
        const _: () = {
            const fn implements_the_role<S: $crate::$role>() {}
            implements_the_role::<$stage>();
            $($crate::__check_optional!($optional, $stage);)*
        };

        // Only a component has exports: on a native target the symbols of two stages in one test
        // binary would clash.
        #[cfg(target_arch = "wasm32")]
        #[allow(unsafe_code, reason = "the exports wit-bindgen generates take raw pointers")]
        const _: () = {
            struct Exported;

            ::std::thread_local! {
                static STAGE: ::std::cell::RefCell<::core::option::Option<$stage>> =
                    const { ::std::cell::RefCell::new(::core::option::Option::None) };
            }

            impl $crate::__private::Slot for Exported {
                type Stage = $stage;

                fn cell() -> &'static ::std::thread::LocalKey<::std::cell::RefCell<::core::option::Option<$stage>>> {
                    &STAGE
                }

                fn start(
                    context: $crate::__private::bindings::host::types::Context,
                ) -> ::core::result::Result<$stage, ::std::string::String> {
                    $crate::__private::$start(context)
                }
            }

            $crate::__private::bindings::lifecycle::export!(
                Exported with_types_in $crate::__private::bindings::lifecycle
            );
            $crate::__private::bindings::$interface::export!(
                Exported with_types_in $crate::__private::bindings::$interface
            );
            $($crate::__private::bindings::$optional::export!(
                Exported with_types_in $crate::__private::bindings::$optional
            );)*
        };
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __check_optional {
    (checkpoint, $stage:ty) => { $crate::__check_optional!(@ Checkpoint, $stage) };
    (timer, $stage:ty) => { $crate::__check_optional!(@ Timer, $stage) };
    (ingest, $stage:ty) => { $crate::__check_optional!(@ Ingest, $stage) };
    (call, $stage:ty) => { $crate::__check_optional!(@ Call, $stage) };
    (terminate, $stage:ty) => { $crate::__check_optional!(@ Terminate, $stage) };
    (@ $interface:ident, $stage:ty) => {
        const _: () = {
            const fn implements_what_is_exported<S: $crate::$interface>() {}
            implements_what_is_exported::<$stage>();
        };
    };
    ($other:ident, $stage:ty) => {
        ::core::compile_error!(::core::concat!(
            "`", ::core::stringify!($other), "` is no optional interface; ",
            "expected `checkpoint`, `timer`, `ingest`, `call` or `terminate`"
        ));
    };
}

/// Where the one stage of a component lives.
pub trait Slot: 'static {
    /// The stage.
    type Stage: 'static;
    /// Its place; empty until `init`.
    fn cell() -> &'static LocalKey<RefCell<Option<Self::Stage>>>;
    /// Makes the stage.
    fn start(context: types::Context) -> Result<Self::Stage, String>;
}

fn with<T: Slot, R>(call: impl FnOnce(&mut T::Stage) -> R) -> R {
    T::cell().with_borrow_mut(|stage| call(stage.as_mut().expect("the host calls `init` before anything else")))
}

impl<T: Slot> lifecycle::Guest for T {
    fn init(context: types::Context) -> Result<(), String> {
        #[cfg(target_arch = "wasm32")]
        crate::log::log_panics();
        let stage = T::start(context)?;
        T::cell().set(Some(stage));
        Ok(())
    }
}

impl<T: Slot<Stage: Producer>> produce::Guest for T {
    fn handle_demand(demand: u32) -> Result<types::Batch, types::StageError> {
        let mut events = Events::default();
        with::<T, _>(|stage| stage.handle_demand(demand, &mut events))?;
        Ok(events.into_columns())
    }
}

impl<T: Slot<Stage: Consumer>> consume::Guest for T {
    fn handle_events(delivery: types::Delivery) -> Result<Vec<types::Rejection>, types::StageError> {
        let rejections = with::<T, _>(|stage| stage.handle_events(&Delivery::new(delivery)))?;
        Ok(rejections.into_iter().map(Into::into).collect())
    }
}

impl<T: Slot<Stage: ProducerConsumer>> transform::Guest for T {
    fn handle_events(delivery: types::Delivery) -> Result<types::Output, types::StageError> {
        let mut output = Output::default();
        with::<T, _>(|stage| stage.handle_events(&Delivery::new(delivery), &mut output))?;
        let rejections = output.rejections.into_iter().map(Into::into).collect();
        Ok(types::Output { events: output.events.into_columns(), rejections })
    }
}

impl<T: Slot<Stage: Checkpoint>> checkpoint::Guest for T {
    fn snapshot() -> Result<Vec<u8>, String> {
        with::<T, _>(Checkpoint::snapshot)
    }

    fn restore(snapshot: Vec<u8>) -> Result<(), String> {
        with::<T, _>(|stage| stage.restore(&snapshot))
    }
}

impl<T: Slot<Stage: Timer>> timer::Guest for T {
    fn handle_tick() -> Result<types::Batch, types::StageError> {
        let mut events = Events::default();
        with::<T, _>(|stage| stage.handle_tick(&mut events))?;
        Ok(events.into_columns())
    }
}

impl<T: Slot<Stage: Ingest>> ingest::Guest for T {
    fn handle_ingest(incoming: types::Batch) -> Result<types::Batch, types::StageError> {
        let mut events = Events::default();
        with::<T, _>(|stage| stage.handle_ingest(&Batch::new(incoming), &mut events))?;
        Ok(events.into_columns())
    }
}

impl<T: Slot<Stage: Call>> call::Guest for T {
    fn handle_call(request: Vec<u8>) -> Result<Vec<u8>, String> {
        with::<T, _>(|stage| stage.handle_call(&request))
    }
}

impl<T: Slot<Stage: Terminate>> terminate::Guest for T {
    fn terminate(reason: String) {
        with::<T, _>(|stage| stage.terminate(&reason));
    }
}

/// Parses the config and starts a producer.
pub fn start_producer<S: Producer>(context: types::Context) -> Result<S, String> {
    S::init(Context::parse(context)?)
}

/// Parses the config and starts a consumer.
pub fn start_consumer<S: Consumer>(context: types::Context) -> Result<S, String> {
    S::init(Context::parse(context)?)
}

/// Parses the config and starts a producer-consumer.
pub fn start_producer_consumer<S: ProducerConsumer>(context: types::Context) -> Result<S, String> {
    S::init(Context::parse(context)?)
}
