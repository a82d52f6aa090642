//! Finds the functions of a plugin's exports and checks their types.

use wasmtime::component::{
    Component, ComponentExportIndex, ComponentNamedList, InstancePre, Lift, Lower,
    types::{ComponentFunc, ComponentItem},
};

use super::{
    super::Role,
    contract::Contract,
    store::State,
    wit::calls::{
        CallParams, CallResult, ConsumeResult, EventsParams, IngestParams, InitParams, InitResult, ProduceParams,
        ProduceResult, RestoreParams, RestoreResult, SnapshotResult, TerminateParams, TransformResult,
    },
};

/// Where the functions of a plugin are, looked up once per component.
pub(super) struct Exports {
    pub(super) init: ComponentExportIndex,
    pub(super) main: ComponentExportIndex,
    pub(super) terminate: Option<ComponentExportIndex>,
    pub(super) checkpoint: Option<Checkpoint>,
    pub(super) ingest: Option<ComponentExportIndex>,
    pub(super) timer: Option<ComponentExportIndex>,
    pub(super) call: Option<ComponentExportIndex>,
}

/// The two functions of `checkpoint`.
pub(super) struct Checkpoint {
    pub(super) snapshot: ComponentExportIndex,
    pub(super) restore: ComponentExportIndex,
}

impl Exports {
    /// # Errors
    /// A function is missing or has another type; the text has its name and its type in WIT.
    pub(super) fn find(pre: &InstancePre<State>, contract: &Contract) -> Result<Self, String> {
        let Contract { role, lifecycle, main, terminate, checkpoint, ingest, timer, call } = contract;
        let init = "init: func(ctx: context) -> result<_, string>";
        let init = find::<InitParams, InitResult>(pre, lifecycle, init)?;
        let main = match role {
            Role::Producer => {
                let wit = "handle-demand: func(demand: u32) -> result<batch, stage-error>";
                find::<ProduceParams, ProduceResult>(pre, main, wit)?
            }
            Role::Consumer => {
                let wit = "handle-events: func(delivery: delivery) -> result<list<rejection>, stage-error>";
                find::<EventsParams, ConsumeResult>(pre, main, wit)?
            }
            Role::ProducerConsumer => {
                let wit = "handle-events: func(delivery: delivery) -> result<output, stage-error>";
                find::<EventsParams, TransformResult>(pre, main, wit)?
            }
        };
        let wit = "terminate: func(reason: string)";
        let terminate = terminate.as_deref().map(|interface| find::<TerminateParams, ()>(pre, interface, wit));
        let checkpoint = checkpoint.as_deref().map(|interface| Checkpoint::find(pre, interface)).transpose()?;
        let wit = "handle-ingest: func(events: batch) -> result<batch, stage-error>";
        let ingest = ingest.as_deref().map(|interface| find::<IngestParams, ProduceResult>(pre, interface, wit));
        let wit = "handle-tick: func() -> result<batch, stage-error>";
        let timer = timer.as_deref().map(|interface| find::<(), ProduceResult>(pre, interface, wit));
        let wit = "handle-call: func(request: list<u8>) -> result<list<u8>, string>";
        let call = call.as_deref().map(|interface| find::<CallParams, CallResult>(pre, interface, wit));
        let (terminate, ingest) = (terminate.transpose()?, ingest.transpose()?);
        Ok(Self { init, main, terminate, checkpoint, ingest, timer: timer.transpose()?, call: call.transpose()? })
    }
}

impl Checkpoint {
    fn find(pre: &InstancePre<State>, interface: &str) -> Result<Self, String> {
        let wit = "snapshot: func() -> result<list<u8>, string>";
        let snapshot = find::<(), SnapshotResult>(pre, interface, wit)?;
        let wit = "restore: func(snapshot: list<u8>) -> result<_, string>";
        Ok(Self { snapshot, restore: find::<RestoreParams, RestoreResult>(pre, interface, wit)? })
    }
}

/// The function that `wit` declares in `interface`, if it takes `P` and returns `R`.
fn find<P, R>(pre: &InstancePre<State>, interface: &str, wit: &str) -> Result<ComponentExportIndex, String>
where
    P: ComponentNamedList + Lower,
    R: ComponentNamedList + Lift,
{
    let name = wit.split(':').next().unwrap_or(wit);
    let Some((func, index)) = function(pre.component(), interface, name) else {
        return Err(format!("its export `{interface}` has no function `{name}`; expected `{wit}`"));
    };
    func.typecheck::<P, R>(&pre.instance_type()).map_err(|error| {
        format!("its function `{name}` of `{interface}` has another type ({error:#}); expected `{wit}` as in the WIT")
    })?;
    Ok(index)
}

fn function(component: &Component, interface: &str, name: &str) -> Option<(ComponentFunc, ComponentExportIndex)> {
    let interface = component.get_export_index(None, interface)?;
    match component.get_export(Some(&interface), name)? {
        (ComponentItem::ComponentFunc(func), index) => Some((func, index)),
        _ => None,
    }
}
