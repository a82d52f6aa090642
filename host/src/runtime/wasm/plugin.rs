//! A component that was loaded and checked, and how an instance of it starts.

use std::{fmt, path::PathBuf, sync::Arc};

use async_trait::async_trait;
use forebay_proto::pipeline::Grants;
use wasmtime::component::{Component, InstancePre};

use super::{
    super::{Instance, InstanceSpec, Plugin, Role, StartError, Trap, check},
    engine::TickingEngine,
    instance::{Running, WasmInstance},
    signature::Exports,
    store::{self, State},
    trap,
    wit::WitContext,
};

/// A component, linked and with its functions found: starting it cannot fail for want of anything.
pub(super) struct WasmPlugin {
    pub(super) engine: Arc<TickingEngine>,
    /// What it is made of, for others of the same.
    pub(super) _component: Arc<Component>,
    pub(super) pre: InstancePre<State>,
    pub(super) exports: Exports,
    pub(super) role: Role,
    pub(super) digest: String,
    pub(super) path: PathBuf,
    pub(super) grants: Arc<Grants>,
    /// Its imports beyond those that every plugin is given.
    pub(super) imports_granted: Vec<String>,
    pub(super) can_ask: bool,
}

impl fmt::Debug for WasmPlugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("WasmPlugin");
        debug.field("path", &self.path).field("role", &self.role).field("digest", &self.digest).finish_non_exhaustive()
    }
}

#[async_trait]
impl Plugin for WasmPlugin {
    fn role(&self) -> Role {
        self.role
    }

    fn digest(&self) -> &str {
        &self.digest
    }

    fn imports_granted(&self) -> Vec<String> {
        self.imports_granted.clone()
    }

    fn has_checkpoint(&self) -> bool {
        self.exports.checkpoint.is_some()
    }

    fn has_ingest(&self) -> bool {
        self.role == Role::Producer && self.exports.ingest.is_some()
    }

    fn has_timer(&self) -> bool {
        self.exports.timer.is_some()
    }

    fn has_call(&self) -> bool {
        self.exports.call.is_some()
    }

    fn can_ask(&self) -> bool {
        self.can_ask
    }

    async fn start(&self, spec: InstanceSpec) -> Result<Box<dyn Instance>, StartError> {
        let mut running = self.instantiate(&spec).await?;
        let stage = || spec.stage.clone();
        if let Err(message) = running.init(WitContext::new(&spec)).await? {
            return Err(StartError::Init { stage: stage(), message: check::clean(&message) });
        }
        if let Some(snapshot) = &spec.restore
            && let Err(message) = running.restore(snapshot).await?
        {
            let (bytes, message) = (snapshot.len(), check::clean(&message));
            return Err(StartError::Restore { stage: stage(), bytes, message });
        }
        Ok(Box::new(WasmInstance::new(Arc::clone(&self.engine), running)))
    }
}

impl WasmPlugin {
    /// Makes a store and an instance in it. Start functions run here, so it is bounded as a call is.
    async fn instantiate(&self, spec: &InstanceSpec) -> Result<Running, StartError> {
        const CALL: &str = "instantiation";
        let limits = spec.limits;
        let store = store::new(self.engine.engine(), spec, &self.grants);
        let mut store = store.map_err(|message| StartError::Grants { stage: spec.stage.clone(), message })?;
        store::arm(&mut store, limits.call_time);
        let instantiated =
            tokio::time::timeout(store::patience(limits.call_time), self.pre.instantiate_async(&mut store)).await;
        let error = match instantiated {
            Err(_elapsed) => return Err(Trap::TimedOut { call: CALL, limit: limits.call_time }.into()),
            Ok(Ok(instance)) => match Running::new(store, instance, &self.exports, self.role, limits) {
                Ok(running) => return Ok(running),
                Err(error) => error,
            },
            Ok(Err(error)) => match trap::of(&store, CALL, &limits, &error) {
                trap @ Trap::TimedOut { .. } => return Err(trap.into()),
                _ => error,
            },
        };
        let plugin = self.path.display().to_string();
        Err(StartError::Instantiate { plugin, message: trap::text(&error) })
    }
}
