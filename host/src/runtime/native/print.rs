//! The built-in consumer `print`: a line for each event, to see what a stage emits.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use serde::Deserialize;

use super::{config, duration};
use crate::runtime::{
    CallError, GuestDelivery, Instance, InstanceSpec, LineKind, Output, Plugin, Produced, Role, StartError, Trap, check,
};

/// What the pipeline file may say.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    /// The pause after each batch, so that people can read along; none by default.
    #[serde(default)]
    pause: Option<String>,
}

#[derive(Debug)]
struct Print;

/// A consumer that prints the payload of each event as text, one line each. What is not UTF-8 is replaced, control
/// characters are escaped, and a line is cut at 8 KiB.
pub fn print() -> Arc<dyn Plugin> {
    Arc::new(Print)
}

#[async_trait]
impl Plugin for Print {
    fn role(&self) -> Role {
        Role::Consumer
    }

    fn digest(&self) -> &'static str {
        "builtin:print"
    }

    async fn start(&self, spec: InstanceSpec) -> Result<Box<dyn Instance>, StartError> {
        let pause = config(&spec).and_then(|Config { pause }| duration("pause", pause));
        let pause = pause.map_err(|message| StartError::Init { stage: spec.stage.clone(), message })?;
        Ok(Box::new(Printer { spec, pause, finished: false }))
    }
}

#[derive(Debug)]
struct Printer {
    spec: InstanceSpec,
    pause: Duration,
    /// The instance has ended.
    finished: bool,
}

#[async_trait]
impl Instance for Printer {
    async fn handle_demand(&mut self, _: u32) -> Result<Produced, CallError> {
        const CALL: &str = "handle-demand";
        let trap = if self.finished { Trap::Finished { call: CALL } } else { check::wrong_role(CALL, Role::Consumer) };
        self.finished = true;
        Err(trap.into())
    }

    async fn handle_events(&mut self, delivery: GuestDelivery) -> Result<Output, CallError> {
        if self.finished {
            return Err(Trap::Finished { call: "handle-events" }.into());
        }
        for event in delivery.events.iter() {
            let line = check::clean(&String::from_utf8_lossy(event.payload));
            self.spec.output.line(&self.spec.stage, LineKind::Stdout, &line);
        }
        tokio::time::sleep(self.pause).await;
        Ok(Output::default())
    }

    async fn terminate(&mut self, _: &str) -> Result<(), CallError> {
        if std::mem::replace(&mut self.finished, true) {
            return Err(Trap::Finished { call: "terminate" }.into());
        }
        Ok(())
    }
}
