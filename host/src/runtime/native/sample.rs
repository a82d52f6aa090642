//! The built-in producer `sample`: emits the texts in its config, to try a stage with.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use forebay_proto::batch::Batch;
use serde::Deserialize;
use tokio::time::{Instant, sleep_until};

use super::{config, duration};
use crate::runtime::{
    CallError, GuestDelivery, Instance, InstanceSpec, Output, Plugin, Produced, Role, StartError, Trap, check,
};

/// What the pipeline file may say.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    /// One event each.
    events: Vec<String>,
    /// Whether to begin again after the last one, for ever.
    #[serde(default)]
    repeat: bool,
    /// The pause before each event; without one they go as fast as they are asked for.
    #[serde(default)]
    every: Option<String>,
}

#[derive(Debug)]
struct Sample;

/// A producer of the texts in `config.events`, once or again and again.
pub fn sample() -> Arc<dyn Plugin> {
    Arc::new(Sample)
}

#[async_trait]
impl Plugin for Sample {
    fn role(&self) -> Role {
        Role::Producer
    }

    fn digest(&self) -> &'static str {
        "builtin:sample"
    }

    fn waits_for_events(&self) -> bool {
        true
    }

    fn has_checkpoint(&self) -> bool {
        true
    }

    async fn start(&self, spec: InstanceSpec) -> Result<Box<dyn Instance>, StartError> {
        let failed = |message| StartError::Init { stage: spec.stage.clone(), message };
        let mut sampler = Sampler::new(config(&spec).map_err(failed)?).map_err(failed)?;
        if let Some(snapshot) = &spec.restore {
            let (stage, bytes) = (spec.stage.clone(), snapshot.len());
            sampler.restore(snapshot).map_err(|message| StartError::Restore { stage, bytes, message })?;
        }
        Ok(Box::new(sampler))
    }
}

#[derive(Debug)]
struct Sampler {
    events: Vec<String>,
    repeat: bool,
    every: Duration,
    emitted: u64,
    /// When the next event may go.
    due: Instant,
    /// The instance has ended.
    finished: bool,
}

impl Sampler {
    fn new(config: Config) -> Result<Self, String> {
        let Config { events, repeat, every } = config;
        let every = duration("every", every)?;
        if events.is_empty() {
            return Err("`events` is empty; expected one text or more".to_owned());
        }
        Ok(Self { events, repeat, every, emitted: 0, due: Instant::now() + every, finished: false })
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), String> {
        let number = std::str::from_utf8(snapshot).ok().and_then(|text| text.parse().ok());
        self.emitted = number.ok_or_else(|| format!("snapshot `{}`: expected a number", snapshot.escape_ascii()))?;
        Ok(())
    }

    fn is_at_end(&self) -> bool {
        !self.repeat && self.emitted >= self.events.len() as u64
    }

    /// The next events: one after a pause, or as many as are wanted.
    async fn emit(&mut self, demand: u32) -> Produced {
        let mut payloads = Vec::new();
        if !self.every.is_zero() && !self.is_at_end() {
            sleep_until(self.due).await;
            self.due = Instant::now() + self.every;
        }
        let most = if self.every.is_zero() { demand as usize } else { 1 };
        while payloads.len() < most && !self.is_at_end() {
            let index = usize::try_from(self.emitted % self.events.len() as u64).expect("below the length of a Vec");
            payloads.push(self.events[index].clone());
            self.emitted += 1;
        }
        Produced { events: Batch::from_payloads(payloads), finished: self.is_at_end() }
    }

    fn usable(&self, call: &'static str) -> Result<(), Trap> {
        if self.finished { Err(Trap::Finished { call }) } else { Ok(()) }
    }
}

#[async_trait]
impl Instance for Sampler {
    async fn handle_demand(&mut self, demand: u32) -> Result<Produced, CallError> {
        self.usable("handle-demand")?;
        Ok(self.emit(demand).await)
    }

    async fn handle_events(&mut self, _: GuestDelivery) -> Result<Output, CallError> {
        const CALL: &str = "handle-events";
        self.usable(CALL)?;
        self.finished = true;
        Err(check::wrong_role(CALL, Role::Producer).into())
    }

    async fn snapshot(&mut self) -> Result<Bytes, CallError> {
        self.usable("snapshot")?;
        Ok(Bytes::from(self.emitted.to_string()))
    }

    async fn terminate(&mut self, _: &str) -> Result<(), CallError> {
        self.usable("terminate")?;
        self.finished = true;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sampler(json: &str) -> Result<Sampler, String> {
        Sampler::new(serde_json::from_str(json).map_err(|error| error.to_string())?)
    }

    fn texts(produced: &Produced) -> Vec<String> {
        produced.events.iter().map(|event| String::from_utf8_lossy(event.payload).into_owned()).collect()
    }

    #[tokio::test]
    async fn events_come_once_and_the_last_says_so() {
        let mut sampler = sampler(r#"{"events": ["a", "b", "c"]}"#).unwrap();
        let first = sampler.emit(2).await;
        assert_eq!((texts(&first), first.finished), (vec!["a".into(), "b".into()], false));
        let last = sampler.emit(2).await;
        assert_eq!((texts(&last), last.finished), (vec!["c".into()], true));
    }

    #[tokio::test(start_paused = true)]
    async fn with_a_pause_they_come_one_by_one_for_ever() {
        let mut sampler = sampler(r#"{"events": ["a", "b"], "repeat": true, "every": "500ms"}"#).unwrap();
        let began = Instant::now();
        let mut seen = Vec::new();
        for _ in 0..5 {
            seen.extend(texts(&sampler.emit(100).await));
        }
        assert_eq!(seen, ["a", "b", "a", "b", "a"]);
        assert_eq!(began.elapsed(), Duration::from_millis(2500));
    }

    #[tokio::test]
    async fn another_instance_goes_on() {
        let config = r#"{"events": ["a", "b", "c"]}"#;
        let mut first = sampler(config).unwrap();
        first.emit(2).await;
        let snapshot = first.snapshot().await.unwrap();
        let mut second = sampler(config).unwrap();
        second.restore(&snapshot).unwrap();
        assert_eq!(texts(&second.emit(9).await), ["c"]);
        assert!(second.restore(b"x").unwrap_err().contains("expected a number"));
    }

    #[test]
    fn a_config_that_is_wrong_is_named() {
        assert!(sampler(r#"{"events": []}"#).unwrap_err().contains("`events` is empty"));
        assert!(sampler(r#"{"events": ["a"], "every": "soon"}"#).unwrap_err().contains("`every` is \"soon\""));
        assert!(sampler(r#"{"events": ["a"], "evry": "1s"}"#).unwrap_err().contains("unknown field `evry`"));
    }
}
