//! Guests of the host's own runtime, driven by one thread.

use std::{path::PathBuf, sync::Arc};

use forebay::runtime::{
    Asks, GuestDelivery, GuestOutput, Instance, InstanceSpec, Limits, LineKind, Output, Plugin, Produced, wasm::Wasm,
};
use forebay_proto::{
    batch::Batch,
    ids::{Epoch, Seq, StageName},
    message::SeqRun,
    pipeline::Grants,
};
use tokio::runtime::{Builder, Runtime};

#[derive(Debug)]
struct Silent;

impl GuestOutput for Silent {
    fn line(&self, _: &StageName, _: LineKind, _: &str) {}

    fn dropped(&self, _: &StageName, _: u64) {}
}

pub(crate) fn path_of(name: &str) -> PathBuf {
    forebay_artifacts::prebuilt().join(format!("{name}.wasm"))
}

/// A runtime of guests, with a folder of its own for compiled code.
pub(crate) struct Plugins {
    tokio: Runtime,
    wasm: Wasm,
    _folder: Option<tempfile::TempDir>,
}

impl Plugins {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder for compiled code");
        let mut new = Self::keeping(folder.path().join("compiled"));
        new._folder = Some(folder);
        new
    }

    /// Compiled code stays in `folder`.
    pub(crate) fn keeping(folder: PathBuf) -> Self {
        let tokio = Builder::new_current_thread().enable_all().build().expect("a runtime");
        Self { tokio, wasm: Wasm::new(Some(folder)).expect("wasmtime works here"), _folder: None }
    }

    pub(crate) fn load(&self, name: &str) -> Arc<dyn Plugin> {
        self.tokio.block_on(self.wasm.load(&path_of(name), &Grants::default())).expect("a plugin of ours")
    }

    pub(crate) fn start(&self, plugin: &Arc<dyn Plugin>, config: &str) -> Box<dyn Instance> {
        let spec = InstanceSpec {
            pipeline: "bench".parse().expect("a name"),
            stage: "stage".parse().expect("a name"),
            node: "node".parse().expect("a name"),
            instance: 0,
            config: config.to_owned(),
            limits: Limits::default(),
            restore: None,
            asks: Asks::default(),
            output: Arc::new(Silent),
        };
        self.tokio.block_on(plugin.start(spec)).expect("it starts")
    }
}

/// One instance, and what it runs in.
pub(crate) struct Guest {
    plugins: Plugins,
    instance: Box<dyn Instance>,
}

impl Guest {
    pub(crate) fn new(plugins: Plugins, name: &str, config: &str) -> Self {
        let instance = plugins.start(&plugins.load(name), config);
        Self { plugins, instance }
    }

    pub(crate) fn of(name: &str) -> Self {
        Self::new(Plugins::new(), name, "null")
    }

    pub(crate) fn counter() -> Self {
        Self::new(Plugins::new(), "counter", COUNTER)
    }

    /// Passes on what it is given.
    pub(crate) fn relay() -> Self {
        Self::new(Plugins::new(), "double", RELAY)
    }

    pub(crate) fn demand(&mut self, count: u32) -> Produced {
        self.plugins.tokio.block_on(self.instance.handle_demand(count)).expect("events")
    }

    /// Hands over a copy of `delivery`: its runs are copied, its events shared.
    pub(crate) fn events(&mut self, delivery: &GuestDelivery) -> Output {
        self.plugins.tokio.block_on(self.instance.handle_events(delivery.clone())).expect("they are taken")
    }
}

/// Payloads of 16 bytes.
pub(crate) const COUNTER: &str = r#"{"payload_bytes": 16}"#;

/// Little work of the guest's own: it copies each event into what it passes on.
pub(crate) const RELAY: &str = r#"{"copies": 1}"#;

fn numbers(count: u32, bytes: usize) -> Batch {
    Batch::from_payloads((0..count).map(|number| format!("{number:0bytes$}")))
}

fn delivered(events: Batch) -> GuestDelivery {
    let count = u32::try_from(events.len()).expect("a small batch");
    let runs = vec![SeqRun { first: Seq(7), count }];
    GuestDelivery { source: "source".parse().expect("a name"), epoch: Epoch::default(), attempt: 1, runs, events }
}

/// So many numbers as decimal text of `bytes` digits, at most 18 of them not 0.
pub(crate) fn delivery(count: u32, bytes: usize) -> GuestDelivery {
    delivered(numbers(count, bytes))
}

/// The same, behind one other event of the same columns.
pub(crate) fn part_of_a_delivery(count: u32, bytes: usize) -> GuestDelivery {
    delivered(numbers(count + 1, bytes).slice(1..count as usize + 1))
}
