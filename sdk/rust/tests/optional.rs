//! A stage with every optional interface: each is reached through the harness, and the export macro
//! takes all their names.

use forebay_sdk::{
    Batch, Call, Checkpoint, Consumer, Context, Delivery, Events, Ingest, Producer, Rejection, StageError, Terminate,
    Timer, ask, info,
    testing::{self, json},
    warn,
};

/// Adds up what it is handed.
struct Sum(u64);

impl Producer for Sum {
    type Config = ();

    fn init(context: Context<()>) -> Result<Self, String> {
        info!("{}/{}#{} on {}", context.pipeline, context.stage, context.instance, context.node);
        context.attribute("start").map_or(Ok(0), str::parse).map(Self).map_err(|error| error.to_string())
    }

    fn handle_demand(&mut self, _: u32, events: &mut Events) -> Result<(), StageError> {
        events.push_format(format_args!("{}", self.0));
        Ok(())
    }
}

impl Checkpoint for Sum {
    fn snapshot(&mut self) -> Result<Vec<u8>, String> {
        Ok(self.0.to_le_bytes().into())
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), String> {
        self.0 = u64::from_le_bytes(snapshot.try_into().map_err(|_| "expected 8 bytes")?);
        Ok(())
    }
}

impl Timer for Sum {
    fn handle_tick(&mut self, events: &mut Events) -> Result<(), StageError> {
        events.push("tick").topic("time");
        Ok(())
    }
}

impl Ingest for Sum {
    fn handle_ingest(&mut self, incoming: &Batch, events: &mut Events) -> Result<(), StageError> {
        for event in incoming {
            let number: u64 = event
                .text()
                .ok()
                .and_then(|text| text.parse().ok())
                .ok_or_else(|| StageError::Other(format!("event {} is no number", event.seq)))?;
            self.0 += number;
            events.push_event(&event).header("sum", self.0.to_string());
        }
        Ok(())
    }
}

impl Call for Sum {
    fn handle_call(&mut self, request: &[u8]) -> Result<Vec<u8>, String> {
        match request {
            b"sum" => Ok(self.0.to_string().into()),
            other => Err(format!("no such request: {}", other.escape_ascii())),
        }
    }
}

impl Terminate for Sum {
    fn terminate(&mut self, reason: &str) {
        warn!("ends with {}: {reason}", self.0);
    }
}

forebay_sdk::export_producer!(Sum, checkpoint, timer, ingest, call, terminate);

fn numbers(texts: &[&str]) -> Events {
    let mut events = Events::default();
    for text in texts {
        events.push(text).key("k");
    }
    events
}

#[test]
fn each_optional_interface_is_reached() {
    let mut stage = testing::producer::<Sum>(json!(null)).unwrap();
    let ingested = stage.ingest(numbers(&["2", "40"])).unwrap();
    assert_eq!(ingested.texts(), ["2", "40"]);
    let sums: Vec<_> = ingested.iter().flat_map(|event| event.headers().map(|(_, sum)| sum)).collect();
    assert_eq!(sums, ["2", "42"]);

    let tick = stage.tick().unwrap();
    assert_eq!(tick.iter().map(|event| event.topic).collect::<Vec<_>>(), [Some("time")]);
    assert_eq!(stage.ask(b"sum"), Ok(b"42".to_vec()));
    assert_eq!(stage.ask(b"\xff"), Err(r"no such request: \xff".to_owned()));

    let snapshot = stage.snapshot().unwrap();
    let mut next = testing::producer::<Sum>(json!(null)).unwrap();
    next.restore(&snapshot).unwrap();
    assert_eq!(next.demand(1).unwrap().texts(), ["42"]);
}

#[test]
fn an_error_of_the_stage_comes_through() {
    let mut stage = testing::producer::<Sum>(json!({})).unwrap();
    let error = stage.ingest(numbers(&["1", "x"])).unwrap_err();
    assert_eq!(error, StageError::Other("event 1 is no number".into()));
    assert_eq!(stage.restore(b"short"), Err("expected 8 bytes".to_owned()));
}

#[test]
fn the_context_is_that_of_the_setup_and_lines_are_kept_in_order() {
    let setup = testing::Setup::new(json!(null)).pipeline("p").stage("s").node("n").instance(3).attribute("start", "7");
    let stage = setup.producer::<Sum>().unwrap();
    let (stage, lines) = stage.terminate("done");
    assert_eq!(stage.0, 7);
    let messages: Vec<_> = lines.iter().map(|line| line.message.as_str()).collect();
    assert_eq!(messages, ["p/s#3 on n", "ends with 7: done"]);
    assert!(lines[1].level > lines[0].level);
}

#[test]
fn a_source_numbers_on() {
    let mut source = testing::Source { epoch: 4, attempt: 2, ..Default::default() };
    source.send(numbers(&["a", "b"]));
    let second = source.send(numbers(&["c"]));
    assert_eq!(second.iter().map(|event| event.seq).collect::<Vec<_>>(), [2]);
    assert_eq!((second.source(), second.epoch(), second.attempt()), ("source", 4, 2));
}

/// Asks for what it was told in the payload, and fails at a payload that is no number.
struct Eager;

impl Consumer for Eager {
    type Config = ();

    fn init(_: Context<()>) -> Result<Self, String> {
        ask("source", 1)?;
        Ok(Self)
    }

    fn handle_events(&mut self, delivery: &Delivery) -> Result<Vec<Rejection>, StageError> {
        for event in delivery {
            ask(delivery.source(), 1)?;
            let text = event.text().map_err(|error| StageError::Retry(error.to_string()))?;
            ask("other", text.parse().map_err(|_| StageError::Retry(format!("no number: {text}")))?)?;
        }
        Ok(Vec::new())
    }
}

impl Timer for Eager {
    fn handle_tick(&mut self, _: &mut Events) -> Result<(), StageError> {
        Ok(ask("source", 7)?)
    }
}

#[test]
fn what_a_stage_asks_for_is_kept_unless_its_call_failed() {
    let mut stage = testing::consumer::<Eager>(json!(null)).unwrap();
    let asked =
        |asks: &[(&str, u32)]| -> Vec<_> { asks.iter().map(|&(source, count)| (source.to_owned(), count)).collect() };
    assert_eq!(stage.take_asks(), asked(&[("source", 1)]));
    stage.deliver(&testing::delivery(["3", "4"])).unwrap();
    stage.deliver(&testing::delivery(["5", "x"])).unwrap_err();
    stage.tick().unwrap();
    assert_eq!(stage.take_asks(), asked(&[("source", 1), ("other", 3), ("source", 1), ("other", 4), ("source", 7)]));
    assert_eq!(stage.take_asks(), []);
}
