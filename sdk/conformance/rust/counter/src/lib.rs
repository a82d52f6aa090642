//! A producer of numbers, into which events can be pushed and which can be asked.

use forebay_sdk::{Batch, Call, Context, Events, Ingest, Producer, StageError};
use serde_json::{Map, Value};

use numbers::{Config, Numbers};

#[path = "../../numbers.rs"]
mod numbers;

/// The stage.
#[derive(Debug)]
pub struct Counter(Numbers);

impl Producer for Counter {
    type Config = Config;

    fn init(context: Context<Config>) -> Result<Self, String> {
        Numbers::new(context.config).map(Self)
    }

    fn handle_demand(&mut self, demand: u32, events: &mut Events) -> Result<(), StageError> {
        self.0.emit(demand, events)
    }
}

impl Ingest for Counter {
    fn handle_ingest(&mut self, incoming: &Batch, events: &mut Events) -> Result<(), StageError> {
        for event in incoming {
            events.push_event(&event).topic("ingested");
        }
        Ok(())
    }
}

impl Call for Counter {
    fn handle_call(&mut self, request: &[u8]) -> Result<Vec<u8>, String> {
        let unknown = || format!("unknown request: {}", String::from_utf8_lossy(request));
        let fields: Map<String, Value> = serde_json::from_slice(request).map_err(|_| unknown())?;
        match (fields.len(), fields.get("set").and_then(Value::as_i64)) {
            (0, _) => {}
            (1, Some(number)) => self.0.jump(number),
            _ => return Err(unknown()),
        }
        Ok(format!("{{\"next\":{}}}", self.0.next()).into_bytes())
    }
}

forebay_sdk::export_producer!(Counter, ingest, call);

#[cfg(test)]
mod tests {
    use forebay_sdk::testing::{self, Harness, Value, json};

    use super::*;

    fn start(config: Value) -> Harness<Counter> {
        testing::producer(config).expect("a config that is right")
    }

    #[test]
    fn counts_as_it_is_told() {
        assert_eq!(start(Value::Null).demand(3).unwrap().texts(), ["0", "1", "2"]);
        let mut counter = start(json!({ "start": 7, "step": -5, "limit": 3, "payload_bytes": 3 }));
        assert_eq!(counter.demand(2).unwrap().texts(), ["007", "002"]);
        assert_eq!(counter.demand(2).unwrap().texts(), ["0-3"]);
        assert!(counter.demand(2).unwrap().is_empty());
    }

    #[test]
    fn the_last_number_is_emitted_and_the_next_is_fatal() {
        let mut counter = start(json!({ "start": i64::MAX - 1 }));
        assert_eq!(counter.demand(5).unwrap().len(), 2);
        assert!(matches!(counter.demand(1), Err(StageError::Fatal(reason)) if reason.contains("64 bits")));
    }

    #[test]
    fn emits_what_is_pushed_in() {
        let mut events = Events::default();
        events.push("a").topic("t").key("k").header("n", "v");
        events.push(b"\xff");
        let given = start(Value::Null).ingest(events).unwrap();
        let given: Vec<_> = given.iter().collect();
        assert_eq!((given[0].payload, given[0].topic, given[0].key), (&b"a"[..], Some("ingested"), &b"k"[..]));
        assert_eq!(given[0].headers().collect::<Vec<_>>(), [("n", "v")]);
        assert_eq!((given[1].payload, given[1].topic, given[1].key), (&b"\xff"[..], Some("ingested"), &b""[..]));
    }

    #[test]
    fn a_call_sets_the_next_number() {
        let mut counter = start(json!({ "limit": 2 }));
        assert_eq!(counter.ask(br#"{"set":41}"#).unwrap(), br#"{"next":41}"#);
        assert_eq!(counter.demand(9).unwrap().texts(), ["41", "42"]);
        assert_eq!(counter.ask(b"{}").unwrap(), br#"{"next":43}"#);
        for request in ["", "[]", "what?", r#"{"set":null}"#, r#"{"set":1,"get":2}"#] {
            assert_eq!(counter.ask(request.as_bytes()).unwrap_err(), format!("unknown request: {request}"));
        }
    }

    #[test]
    fn a_wrong_config_stops_the_start() {
        let refused = |config| testing::producer::<Counter>(config).expect_err("a config that is wrong");
        assert!(refused(json!({ "strat": 1 })).contains("unknown field `strat`, expected"));
        assert!(refused(json!({ "step": 0 })).contains("`step` is 0; expected"));
        assert!(refused(json!({ "start": "x" })).contains("at `start`"));
    }
}
