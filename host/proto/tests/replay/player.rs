//! One of our stages in a recorded scenario, set up as the recording says.

use std::{collections::BTreeMap, time::Duration};

use forebay_proto::{
    consumer::{AskMode, CancelMode, UpstreamOptions},
    dispatch::{DispatcherOptions, PartitionBy, PartitionOptions, numbered_partitions},
    ids::{StageName, SubId},
    message::{Demand, Reason},
    producer::{DemandMode, Keep},
    select::Selection,
    stage::{Ack, Call, Ending, GuestNo, Input, Notice, Returned, Role, Stage, StageOptions},
};
use serde_json::Value;

use super::{
    EPOCH, NOW, Observed,
    script::{Script, batch, values},
    text_of,
};

/// One of our stages, with the recording's names for its subscriptions.
pub(super) struct Player {
    pub(super) stage: Stage,
    pub(super) script: Script,
    pub(super) names: BTreeMap<SubId, String>,
    /// Names of subscriptions this stage will begin, in order.
    pub(super) begun: BTreeMap<String, u32>,
}

impl Player {
    pub(super) fn id(&self, name: &str) -> Option<SubId> {
        self.names.iter().find(|(_, known)| *known == name).map(|(id, _)| *id)
    }

    /// What its `handle_subscribe` answers.
    pub(super) fn ask(&self) -> AskMode {
        if self.script.config["demand"] == "manual" { AskMode::Manual } else { AskMode::Auto }
    }

    pub(super) fn call(&mut self, call: Call) -> Vec<Observed> {
        let (lines, returned) = match call {
            Call::HandleDemand { demand } => {
                let (events, finished) = self.script.produce(demand);
                let line = format!("handle_demand {demand} -> {}", Value::from(events.clone()));
                // Neither Galena's producers nor those of a collection have this callback in the recordings.
                let lines = if self.script.is_scripted() { vec![line] } else { Vec::new() };
                (lines, Returned::Produced { events: batch(&events, &self.script.config), finished })
            }
            Call::HandleEvents { sub, events, .. } => {
                let events = values(&events);
                let output = self.script.transform(&events);
                let of_galena = |event: &Value| format!("handle_consume {} {}", event[0], event[1]);
                let lines = match self.script.role() {
                    "galena_consumer" => events.iter().map(of_galena).collect(),
                    "galena_producer_consumer" => Vec::new(),
                    _ => {
                        let [events, output] = [&events, &output].map(|list| Value::from(list.clone()));
                        vec![format!("handle_events {} {events} -> {output}", self.names[&sub])]
                    }
                };
                (lines, Returned::Processed { events: batch(&output, &self.script.config), rejected: Vec::new() })
            }
            Call::HandleIngest { .. }
            | Call::HandleTick
            | Call::HandleCall { .. }
            | Call::Snapshot
            | Call::Renew
            | Call::Retire
            | Call::Recycle => {
                panic!("GenStage has no such thing: {call:?}")
            }
        };
        self.stage.handle(NOW, Input::Returned(GuestNo::FIRST, returned));
        lines
    }

    pub(super) fn logged(&self, notice: &Notice) -> Option<Observed> {
        match notice {
            Notice::Ended { .. } if !self.script.is_scripted() => None,
            Notice::Ended { sub, ending, reason } => {
                let how = if *ending == Ending::Down { "down" } else { "cancel" };
                Some(format!("handle_cancel {} {how} {reason}", self.names[sub]))
            }
            Notice::Refused { reason: Reason::DuplicatedSubscription, .. } => {
                Some("log duplicated_subscription".into())
            }
            Notice::Refused { .. } => Some("log refused".into()),
            Notice::Unroutable { count, .. } => Some(format!("log unroutable {count}")),
            Notice::DemandAboveMax(_) => Some("log demand_above_dispatcher_max".into()),
            Notice::Discarded { .. } if self.script.config["format_discarded"] == false => None,
            Notice::Discarded { count } => Some(format!("log buffer_discarded {count}")),
            Notice::NotAConsumer { .. } => Some("log producer_cannot_subscribe".into()),
            Notice::AskCut { asked, granted, .. } => Some(format!("log ask_cut {asked} {granted}")),
            Notice::NotAProducer => Some("log demand_mode_on_non_producer".into()),
            Notice::Stopping { .. } => Some("log consumer_stopping_after_cancel".into()),
            Notice::Subscribed { .. } | Notice::ConsumerJoined { .. } | Notice::Finished | Notice::Unwanted { .. } => {
                None
            }
            Notice::Rejected { .. }
            | Notice::AskRefused { .. }
            | Notice::NothingToSuspend
            | Notice::Dropped { .. }
            | Notice::GivenUp { .. }
            | Notice::Resent { .. }
            | Notice::Trapped { .. }
            | Notice::LostInRequest { .. }
            | Notice::Skipped(_)
            | Notice::NoSnapshot { .. }
            | Notice::Resized { .. }
            | Notice::Recycled { .. }
            | Notice::NotRecycled { .. } => {
                panic!("GenStage has no such thing: {notice:?}")
            }
        }
    }
}

pub(super) fn demand(options: &Value) -> Demand {
    let number = |key: &str| options[key].as_u64().map(|n| u32::try_from(n).unwrap());
    Demand::new(number("max_demand").unwrap_or(Demand::MAX_DEFAULT), number("min_demand")).unwrap()
}

/// The original's default for `cancel` is permanent.
pub(super) fn upstream(source: StageName, options: &Value) -> UpstreamOptions {
    let cancel = match options["cancel"].as_str() {
        None | Some("permanent") => CancelMode::Permanent,
        Some("transient") => CancelMode::Transient,
        Some(_) => CancelMode::Temporary,
    };
    UpstreamOptions { cancel, select: selection(options), ..UpstreamOptions::new(source, demand(options)) }
}

/// A selector is a function there, and topics here: `script::batch` gives integers the topics that say the same.
pub(super) fn selection(options: &Value) -> Selection {
    let pattern = |text: &str| text.parse().unwrap();
    let topics = match &options["selector"] {
        Value::String(name) => match name.as_str() {
            "even" => vec![pattern("even.*")],
            "odd" => vec![pattern("odd.*")],
            "below_5" => vec![pattern("*.small")],
            "above_100" => vec![pattern("*.large")],
            "accept_all" => Vec::new(),
            other => panic!("unknown selector {other}"),
        },
        Value::Object(selector) => {
            selector["topics"].as_array().unwrap().iter().map(|topic| pattern(&text_of(topic))).collect()
        }
        _ => Vec::new(),
    };
    let partitions = match &options["partition"] {
        Value::Null => Vec::new(),
        Value::String(name) => vec![name.parse().unwrap()],
        number => vec![number.to_string().parse().unwrap()],
    };
    Selection { topics, partitions, ..Selection::default() }
}

/// A consumer that is gone is gone there: nothing waits for it.
const AWAY: Duration = Duration::ZERO;

fn dispatcher(config: &Value) -> DispatcherOptions {
    if text_of(&config["role"]).starts_with("galena_producer") || config["dispatcher"] == "broadcast" {
        return DispatcherOptions::Broadcast { away: AWAY };
    }
    if config["dispatcher"] == "partition" {
        let partitions = match &config["partitions"] {
            Value::Array(names) => names.iter().map(|name| text_of(name).parse().unwrap()).collect(),
            count => numbered_partitions(count.as_u64().unwrap().try_into().unwrap()),
        };
        let by = PartitionBy::Number("partition".to_owned());
        return DispatcherOptions::Partition(PartitionOptions { by, partitions, away: AWAY });
    }
    let options = &config["dispatcher_options"];
    let max = options["max_demand"].as_u64().map(|max| u32::try_from(max).unwrap());
    DispatcherOptions::Demand { max, shuffle: options["shuffle_demands_on_first_dispatch"] == true }
}

pub(super) fn player(name: &str, config: &Value, shuffle_seed: u64) -> Player {
    let role = match config["role"].as_str().unwrap() {
        "producer" | "from_enumerable" | "galena_producer" => Role::Producer,
        "producer_consumer" | "galena_producer_consumer" => Role::ProducerConsumer,
        "consumer" | "galena_consumer" => Role::Consumer,
        other => panic!("unknown role {other}"),
    };
    let mut options = StageOptions::new("replay".parse().unwrap(), name.to_lowercase().parse().unwrap(), role);
    options.dispatcher = dispatcher(config);
    options.seed = shuffle_seed;
    options.epoch = EPOCH;
    options.ack = Ack::Early;
    match &config["buffer_size"] {
        Value::Number(size) => options.buffer.size = size.as_u64(),
        Value::String(infinity) if infinity == "infinity" => options.buffer.size = None,
        _ => {}
    }
    if config["buffer_keep"] == "first" {
        options.buffer.keep = Keep::First;
    }
    if config["demand"] == "accumulate" {
        options.demand_mode = DemandMode::Accumulate;
    }
    Player {
        stage: Stage::new(options),
        script: Script::new(config.clone()),
        names: BTreeMap::new(),
        begun: BTreeMap::new(),
    }
}
