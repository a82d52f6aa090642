//! The built-in consumer `print`: a line for each event, to see what a stage emits.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use forebay_proto::{batch::Event, ids::StageName};
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
    /// What else of an event stands before its payload, in this order.
    #[serde(default)]
    show: Vec<Show>,
}

/// What a line can tell of an event, as `topic=NAME`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Show {
    /// The stage that emitted it.
    Source,
    /// Nothing, if it has none.
    Topic,
    /// Nothing, if it has none.
    Key,
    /// Each by its name.
    Headers,
}

impl Show {
    /// With a space behind each.
    fn of(self, source: &StageName, event: &Event<'_>, headers: &[(&str, &str)]) -> String {
        match self {
            Self::Source => format!("source={source} "),
            Self::Topic => event.topic.map(|topic| format!("topic={topic} ")).unwrap_or_default(),
            Self::Key if event.key.is_empty() => String::new(),
            Self::Key => format!("key={} ", String::from_utf8_lossy(event.key)),
            Self::Headers => headers.iter().map(|(name, value)| format!("{name}={value} ")).collect(),
        }
    }
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
        let said = config(&spec).and_then(|Config { pause, show }| Ok((duration("pause", pause)?, show)));
        let (pause, show) = said.map_err(|message| StartError::Init { stage: spec.stage.clone(), message })?;
        Ok(Box::new(Printer { spec, pause, show, finished: false }))
    }
}

#[derive(Debug)]
struct Printer {
    spec: InstanceSpec,
    pause: Duration,
    show: Vec<Show>,
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
        let mut headers = delivery.events.headers().peekable();
        for (index, event) in delivery.events.iter().enumerate() {
            let mut own = Vec::new();
            while let Some((_, name, value)) = headers.next_if(|(of, _, _)| *of as usize == index) {
                own.push((name, value));
            }
            let said: String = self.show.iter().map(|show| show.of(&delivery.source, &event, &own)).collect();
            let line = check::clean(&format!("{said}{}", String::from_utf8_lossy(event.payload)));
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
