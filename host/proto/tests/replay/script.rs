//! What the callbacks of a recorded stage do, and how its events become ours.

use forebay_proto::batch::{Batch, BatchLimits, Columns};
use serde_json::{Value, json};

/// What a scripted callback does.
pub(super) struct Script {
    pub(super) config: Value,
    next: i64,
    emitted: usize,
}

impl Script {
    pub(super) fn new(config: Value) -> Self {
        let next = config["start"].as_i64().unwrap_or(0);
        Self { config, next, emitted: 0 }
    }

    pub(super) fn role(&self) -> &str {
        self.config["role"].as_str().unwrap()
    }

    /// Whether its callbacks are in the recordings.
    pub(super) fn is_scripted(&self) -> bool {
        self.role() != "from_enumerable" && !self.role().starts_with("galena")
    }

    /// The events, and whether there will be no more.
    pub(super) fn produce(&mut self, demand: u32) -> (Vec<Value>, bool) {
        let demand = demand as usize;
        if let Some(values) = self.config["values"].as_array() {
            let left = &values[self.emitted..];
            let events = left[..demand.min(left.len())].to_vec();
            self.emitted += events.len();
            // As there, the end is only found by asking for more than there is.
            return (events, demand > left.len());
        }
        let number = |key: &str| usize::try_from(self.config[key].as_u64().unwrap()).unwrap();
        let count = match self.config["events"].as_str().unwrap_or("none") {
            "counter" => demand,
            "at_most" => demand.min(number("limit")),
            "extra" => demand + number("extra"),
            "until" => demand.min(number("total") - self.emitted),
            "none" => 0,
            other => panic!("unknown events {other}"),
        };
        let end = self.next + i64::try_from(count).unwrap();
        let events = (self.next..end).map(Value::from).collect();
        self.next = end;
        self.emitted += count;
        (events, false)
    }

    pub(super) fn transform(&self, events: &[Value]) -> Vec<Value> {
        if self.role() == "galena_producer_consumer" {
            let suffixed = |value: &Value, suffix: &str| format!("{}{suffix}", value.as_str().unwrap());
            return events
                .iter()
                .map(|event| json!([suffixed(&event[0], "_derived"), suffixed(&event[1], "!")]))
                .collect();
        }
        let of_one = |event: &Value| match (self.config["transform"].as_str(), event.as_i64()) {
            (None | Some("drop_all"), _) => vec![],
            (Some("identity"), Some(x)) => vec![x],
            (Some("triple"), Some(x)) => vec![10 * x, 10 * x + 1, 10 * x + 2],
            (Some("keep_even"), Some(x)) if x % 2 == 0 => vec![x],
            (Some("keep_even"), Some(_)) => vec![],
            (other, event) => panic!("unknown transform {other:?} of {event:?}"),
        };
        events.iter().flat_map(of_one).map(Value::from).collect()
    }
}

pub(super) fn values(batch: &Batch) -> Vec<Value> {
    batch.iter().map(|event| serde_json::from_slice(event.payload).unwrap()).collect()
}

/// Events of a stage with this configuration. Those of Galena have their topics. Where events are broadcast an integer
/// has a topic that tells all that selectors go by; where they are partitioned, a header with what the hash function
/// gives, and it is what that function makes of it.
pub(super) fn batch(events: &[Value], config: &Value) -> Batch {
    let is_galena = config["role"].as_str().is_some_and(|role| role.starts_with("galena"));
    let mut columns = Columns::default();
    for (at, event) in (0..).zip(events) {
        let mut payload = event.clone();
        if is_galena {
            put_topic(&mut columns, event[0].as_str().unwrap().to_owned());
        } else if config["dispatcher"] == "broadcast" {
            put_topic(&mut columns, topic_of(event.as_i64().unwrap()));
        } else if config["dispatcher"] == "partition" {
            let (changed, partition) = hash(config["hash"].as_str().unwrap(), event.as_i64().unwrap());
            payload = Value::from(changed);
            columns.headers.extend(partition.map(|partition| (at, "partition".to_owned(), partition)));
        }
        columns.payloads.extend(payload.to_string().into_bytes());
        columns.ends.push(u32::try_from(columns.payloads.len()).unwrap());
    }
    Batch::new(columns, &BatchLimits::default()).unwrap()
}

fn put_topic(columns: &mut Columns, topic: String) {
    let known = columns.topics.iter().position(|known| *known == topic);
    let at = known.unwrap_or_else(|| {
        columns.topics.push(topic);
        columns.topics.len() - 1
    });
    columns.topic_of.push(u16::try_from(at).unwrap());
}

fn topic_of(x: i64) -> String {
    let parity = if x % 2 == 0 { "even" } else { "odd" };
    let size = match x {
        ..5 => "small",
        5..=100 => "middling",
        _ => "large",
    };
    format!("{parity}.{size}")
}

/// What the original's own hash gives for 0 to 19 and three partitions (`partition_default_hash`).
const DEFAULT_HASH: [u8; 20] = [1, 1, 0, 1, 2, 0, 0, 0, 0, 2, 2, 1, 2, 1, 1, 0, 0, 2, 1, 1];

/// The event as the hash function leaves it, and its partition if it has one.
fn hash(function: &str, x: i64) -> (i64, Option<String>) {
    let modulo = |k: i64| Some(x.rem_euclid(k).to_string());
    match function {
        "mod2" => (x, modulo(2)),
        "mod3" => (x, modulo(3)),
        "mod4" => (x, modulo(4)),
        "parity_name" => (x, Some(if x % 2 == 0 { "even" } else { "odd" }.to_owned())),
        "mod2_times_ten" => (10 * x, modulo(2)),
        "mod2_drop_multiples_of_3" => (x, modulo(2).filter(|_| x % 3 != 0)),
        "always_7" => (x, Some("7".to_owned())),
        "default" => (x, Some(DEFAULT_HASH[usize::try_from(x).unwrap()].to_string())),
        other => panic!("unknown hash function {other}"),
    }
}
