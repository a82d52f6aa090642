//! The suite that every kind of instance passes: wasm guests and native closures alike.

use std::{
    future::Future,
    sync::{Arc, Mutex},
    time::Duration,
};

use forebay::runtime::{
    CallError, GuestDelivery, GuestOutput, Instance, InstanceSpec, Limits, LineKind, Plugin, Role, StageError,
    StartError, Trap, wasm::Wasm,
};
use forebay_proto::{
    batch::{Batch, BatchLimits, Columns},
    ids::{Epoch, Seq, StageName},
    message::SeqRun,
};

/// Remembers what guests said.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    lines: Mutex<Vec<(LineKind, String)>>,
    dropped: Mutex<u64>,
}

impl Heard {
    pub(crate) fn lines(&self) -> Vec<(LineKind, String)> {
        self.lines.lock().unwrap().clone()
    }

    pub(crate) fn texts(&self) -> Vec<String> {
        self.lines().into_iter().map(|(_, text)| text).collect()
    }

    pub(crate) fn dropped(&self) -> u64 {
        *self.dropped.lock().unwrap()
    }
}

impl GuestOutput for Heard {
    fn line(&self, _: &StageName, kind: LineKind, line: &str) {
        self.lines.lock().unwrap().push((kind, line.to_owned()));
    }

    fn dropped(&self, _: &StageName, count: u64) {
        *self.dropped.lock().unwrap() += count;
    }
}

/// Limits of tests: a tenth of the default time, for some tests wait until it is over.
pub(crate) fn limits() -> Limits {
    Limits { call_time: Duration::from_millis(500), ..Limits::default() }
}

pub(crate) fn spec(config: &str) -> (InstanceSpec, Arc<Heard>) {
    let heard = Arc::new(Heard::default());
    let spec = InstanceSpec {
        pipeline: "test".parse().unwrap(),
        stage: "stage-1".parse().unwrap(),
        node: "node-1".parse().unwrap(),
        instance: 0,
        config: config.to_owned(),
        limits: limits(),
        output: Arc::clone(&heard) as _,
    };
    (spec, heard)
}

pub(crate) fn delivery(events: Batch) -> GuestDelivery {
    let runs = vec![SeqRun { first: Seq(7), count: u32::try_from(events.len()).unwrap() }];
    let epoch = Epoch { lamport: 3, tag: 4 };
    GuestDelivery { source: "source".parse().unwrap(), epoch, attempt: 1, runs, events }
}

pub(crate) fn texts(batch: &Batch) -> Vec<String> {
    batch.iter().map(|event| String::from_utf8_lossy(event.payload).into_owned()).collect()
}

/// No test may hang: a hang is what many of them are about.
pub(crate) async fn bounded<T>(test: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), test).await.expect("done within a minute")
}

pub(crate) async fn started(plugin: &Arc<dyn Plugin>, config: &str) -> Box<dyn Instance> {
    plugin.start(spec(config).0).await.unwrap_or_else(|error| panic!("{plugin:?} with {config}: {error}"))
}

/// A call after the end reaches no guest, whatever it is.
pub(crate) async fn assert_finished(instance: &mut Box<dyn Instance>) {
    let finished = |result: Result<(), CallError>| match result {
        Err(CallError::Trap(Trap::Finished { .. })) => {}
        other => panic!("expected a finished instance, found {other:?}"),
    };
    finished(instance.handle_demand(1).await.map(drop));
    finished(instance.handle_events(delivery(Batch::default())).await.map(drop));
    finished(instance.terminate("again").await);
}
