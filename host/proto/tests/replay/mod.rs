//! One recorded scenario, and a world of our stages that plays it.
//!
//! What a stage does is compared as lines of text: first what it sends and what its guest is
//! called with, in order; then what it logs. Messages between two real stages of a scenario are our
//! own, handed over when the recording says; those of raw peers are made up from the recording.

pub(crate) mod differences;
pub(crate) mod elsewhere;
mod player;
mod script;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use forebay_proto::{
    batch::Batch,
    consumer::{Owner, UpstreamOptions},
    ids::{Epoch, Seq},
    message::{Envelope, Events, Message, Reason, SeqRun, Subscribe},
    producer::DemandMode,
    select::InstanceId,
    stage::{GuestNo, Input, Transmit},
};
use player::{Player, demand, player, selection, upstream};
use script::{batch, values};
use serde_json::Value;

/// One thing a stage did, as text.
pub(crate) type Observed = String;

/// What a stage does upon one input in any recording is far less; more is a loop without end.
const DOES_MAX: usize = 1000;

const NOW: Duration = Duration::ZERO;
const EPOCH: Epoch = Epoch { lamport: 1, tag: 0 };

pub(crate) struct Scenario {
    pub(crate) name: String,
    pub(crate) steps: Vec<Step>,
    /// Whether the original drew lots.
    pub(crate) shuffles: bool,
    stages: BTreeMap<String, Value>,
}

pub(crate) struct Step {
    pub(crate) number: u64,
    pub(crate) at: String,
    pub(crate) input: Value,
    pub(crate) observed: Vec<Observed>,
}

impl Scenario {
    pub(crate) fn parse(text: &str) -> Self {
        let json: Value = serde_json::from_str(text).unwrap();
        let steps = json["steps"].as_array().unwrap().iter().map(Step::parse).collect();
        let stages = json["stages"].as_object().unwrap().clone().into_iter().collect();
        Self { name: text_of(&json["name"]), steps, shuffles: text.contains("shuffle_demands"), stages }
    }
}

impl Step {
    fn parse(json: &Value) -> Self {
        let mut did = Vec::new();
        let mut logged = Vec::new();
        for observation in json["observed"].as_array().unwrap().iter().filter(|json| !is_empty_message(json)) {
            let log = ["log", "stop", "reply"].iter().any(|key| observation.get(key).is_some());
            let into = if log || observation["callback"] == "handle_cancel" { &mut logged } else { &mut did };
            into.extend(observed(observation));
        }
        did.append(&mut logged);
        Self {
            number: json["step"].as_u64().unwrap(),
            at: text_of(&json["at"]),
            input: json["input"].clone(),
            observed: did,
        }
    }
}

/// A broadcast whose selector refuses everything sends its consumer a message without events. Ours does not, wherever
/// that is, and such a message is not handed over either.
fn is_empty_message(json: &Value) -> bool {
    json["send"] == "events" && json["events"].as_array().is_some_and(Vec::is_empty)
}

/// A recorded observation as our text. Callbacks that our guests do not have are left out:
/// `handle_subscribe`, `handle_cast` and `handle_produce` (an input here), `format_discarded`, `terminate`.
fn observed(json: &Value) -> Option<Observed> {
    let sub = text_of(&json["sub"]);
    let returns = json.get("returns").map_or("[]".into(), Value::to_string);
    if let Some(callback) = json.get("callback") {
        return match callback.as_str().unwrap() {
            "handle_demand" => Some(format!("handle_demand {} -> {returns}", json["n"])),
            "handle_events" => Some(format!("handle_events {sub} {} -> {returns}", json["events"])),
            "handle_cancel" => {
                let how = text_of(&json["reason"][0]);
                Some(format!("handle_cancel {sub} {how} {}", reason(&json["reason"][1])))
            }
            "handle_consume" => Some(format!("handle_consume {} {}", json["topic"], json["message"])),
            _ => None,
        };
    }
    if let Some(sent) = json.get("send") {
        let what = match sent.as_str().unwrap() {
            "subscribe" => "subscribe".to_owned(),
            "ask" => format!("ask {}", json["n"]),
            "events" => format!("events {}", json["events"]),
            "cancel" => format!("cancel {}", reason(&json["reason"])),
            other => panic!("unknown send {other}"),
        };
        return Some(format!("send {sub} {what}"));
    }
    // Ours logs what it does as well, but not in recordings of its own kind.
    if json["kind"] == "galena_subscribing" {
        return None;
    }
    if json.get("log").is_some() {
        let kind = text_of(&json["kind"]);
        let count = json.get("count").map(|count| format!(" {count}")).unwrap_or_default();
        return Some(format!("log {kind}{count}"));
    }
    if let Some(stop) = json.get("stop") {
        return Some(format!("stop {}", reason(stop)));
    }
    match json.get("reply") {
        Some(reply) if reply.is_string() => Some(format!("reply {}", text_of(reply))),
        Some(reply) if reply.is_number() => Some(format!("reply {reply}")),
        _ => None,
    }
}

fn text_of(json: &Value) -> String {
    json.as_str().unwrap_or_default().to_owned()
}

fn reason(json: &Value) -> Reason {
    match json {
        Value::String(symbol) => match symbol.as_str() {
            "normal" => Reason::Normal,
            "shutdown" => Reason::Shutdown(None),
            "unknown_subscription" => Reason::UnknownSubscription,
            "duplicated_subscription" => Reason::DuplicatedSubscription,
            other => Reason::Failed(other.to_owned()),
        },
        Value::Array(pair) if pair[0] == "shutdown" => Reason::Shutdown(Some(text_of(&pair[1]))),
        Value::Object(crash) => Reason::Failed(text_of(&crash["exception"])),
        other => panic!("unknown reason {other}"),
    }
}

/// What the raw ends of a subscription remember.
#[derive(Default)]
struct RawEnd {
    granted: u64,
    delivered: Vec<SeqRun>,
    next_seq: u64,
    /// What our consumer has granted so far, to turn it into asks.
    seen: u64,
}

pub(crate) struct World {
    players: BTreeMap<String, Player>,
    raw: BTreeMap<String, RawEnd>,
    /// Our own messages that wait to be handed over, by (subscription, receiver).
    wires: BTreeMap<(String, String), VecDeque<Message>>,
    /// The subscriptions of the scenario.
    links: BTreeSet<String>,
}

impl World {
    pub(crate) fn new(scenario: &Scenario, shuffle_seed: u64) -> Self {
        let real = scenario.stages.iter().filter(|(_, config)| !text_of(&config["role"]).starts_with("raw_"));
        let players = real.map(|(name, config)| (name.clone(), player(name, config, shuffle_seed))).collect();
        let links = scenario.steps.iter().map(|step| text_of(&step.input["sub"])).collect();
        Self { players, raw: BTreeMap::new(), wires: BTreeMap::new(), links }
    }

    /// Gives the step's input to its stage; what the stage did.
    pub(crate) fn play(&mut self, step: &Step) -> Vec<Observed> {
        let dead = self.players[&step.at].stage.stopped().is_some();
        let reply = self.input(&step.at, &step.input);
        if dead {
            return Vec::new();
        }
        let mut found = self.run(&step.at);
        found.extend(reply);
        found
    }

    fn input(&mut self, at: &str, input: &Value) -> Option<Observed> {
        let name = text_of(&input["sub"]);
        self.acknowledge_for_raw(at, &name);
        match input["type"].as_str().unwrap() {
            "api" => return self.api(at, input),
            "cast" => self.cast(at, input),
            "start" => self.start(at),
            "events" if input["via"] == "network" && input["count"] == 0 => {}
            "down" => {
                let player = self.players.get_mut(at).unwrap();
                // The original's monitor tells; over QUIC it is the end of the stream.
                if let Some(sub) = player.id(&name) {
                    player.stage.handle(NOW, Input::Down { sub, reason: reason(&input["reason"]) });
                }
            }
            "subscribe" => {
                let same = input["same_reference"] == true;
                let player = self.players.get_mut(at).unwrap();
                let sub = if same { player.id(&name).unwrap() } else { player.stage.accept() };
                player.names.insert(sub, name.clone());
                self.deliver(at, &name, input);
            }
            "ask" if input["unknown"] == true => {
                let player = self.players.get_mut(at).unwrap();
                let sub = player.stage.accept();
                player.names.insert(sub, name.clone());
                self.deliver(at, &name, input);
            }
            _ => self.deliver(at, &name, input),
        }
        None
    }

    /// Hands a message over: our own if a real stage sent it, else one made up.
    fn deliver(&mut self, at: &str, name: &str, input: &Value) {
        let own = self.wires.get_mut(&(name.to_owned(), at.to_owned())).and_then(VecDeque::pop_front);
        let message = own.unwrap_or_else(|| self.made_up(name, input));
        let player = self.players.get_mut(at).unwrap();
        let Some(sub) = player.id(name) else { panic!("{at} does not know {name}") };
        player.stage.handle(NOW, Input::Received { sub, envelope: Envelope { epoch: EPOCH, message } });
    }

    /// A raw consumer has processed whatever it was sent, so that nothing is delivered again.
    fn acknowledge_for_raw(&mut self, at: &str, name: &str) {
        let Some(raw) = self.raw.get_mut(name) else { return };
        if self.players.contains_key(&peer_of(name, at)) || raw.delivered.is_empty() {
            return;
        }
        let message = Message::Ask { granted: raw.granted, acked: std::mem::take(&mut raw.delivered) };
        let player = self.players.get_mut(at).unwrap();
        let sub = player.id(name).unwrap();
        player.stage.handle(NOW, Input::Received { sub, envelope: Envelope { epoch: EPOCH, message } });
    }

    fn made_up(&mut self, name: &str, input: &Value) -> Message {
        let raw = self.raw.entry(name.to_owned()).or_default();
        match input["type"].as_str().unwrap() {
            "subscribe" => {
                let (producer, consumer) = ends(name);
                let name = |text: &str| text.to_lowercase().parse().unwrap();
                Message::Subscribe(Subscribe {
                    select: selection(&input["opts"]),
                    ..Subscribe::new(
                        "replay".parse().unwrap(),
                        name(&producer),
                        name(&consumer),
                        InstanceId::first_on("n".parse().unwrap()),
                        demand(&input["opts"]),
                    )
                })
            }
            "ask" => {
                raw.granted += input["n"].as_u64().unwrap();
                Message::Ask { granted: raw.granted, acked: Vec::new() }
            }
            "events" => {
                let events = input["events"].as_array().unwrap();
                let count = u32::try_from(events.len()).unwrap();
                let runs = if count == 0 { vec![] } else { vec![SeqRun { first: Seq(raw.next_seq), count }] };
                raw.next_seq += u64::from(count);
                Message::Events(Events {
                    attempt: 1,
                    runs,
                    events: Batch::from_payloads(events.iter().map(Value::to_string)),
                })
            }
            "cancel" => Message::Cancel(reason(&input["reason"])),
            other => panic!("unknown message {other}"),
        }
    }

    fn api(&mut self, at: &str, input: &Value) -> Option<Observed> {
        let player = self.players.get_mut(at).unwrap();
        match input["call"].as_str().unwrap() {
            "async_subscribe" | "sync_subscribe" => {
                let link = text_of(&input["link"]);
                let source = link.split('>').next().unwrap().to_lowercase().parse().unwrap();
                *player.begun.entry(link).or_default() += 1;
                let ask = player.ask();
                let options = UpstreamOptions { ask, ..upstream(source, &input["opts"]) };
                let owner = Owner { node: "n".parse().unwrap(), epoch: EPOCH };
                player.stage.handle(NOW, Input::Subscribe { options, owner });
            }
            "demand" => match input["mode"].as_str() {
                None => {
                    let mode = format!("{:?}", player.stage.demand_mode()).to_lowercase();
                    return Some(format!("reply {mode}"));
                }
                Some("forward") => player.stage.handle(NOW, Input::SetDemandMode(DemandMode::Forward)),
                Some(_) => player.stage.handle(NOW, Input::SetDemandMode(DemandMode::Accumulate)),
            },
            "ingest" => {
                let messages = match input["message_range"].as_array() {
                    Some(ends) => (ends[0].as_i64().unwrap()..=ends[1].as_i64().unwrap()).map(Value::from).collect(),
                    None => vec![input["message"].clone()],
                };
                for message in messages {
                    let event = Value::from(vec![input["topic"].clone(), message]);
                    player.stage.handle(NOW, Input::Emit(batch(&[event], &player.script.config)));
                }
            }
            "estimate_buffered_count" => return Some(format!("reply {}", player.stage.buffered())),
            "stop" => player.stage.handle(NOW, Input::Stop(reason(&input["reason"]))),
            // Ours has no messages to a stage itself.
            "async_info" | "sync_info" => {}
            other => panic!("unknown call {other}"),
        }
        None
    }

    /// A stage of Galena subscribes to all producers of the scenario.
    fn start(&mut self, at: &str) {
        let producers: Vec<_> = self.players.iter().filter(|(name, _)| *name != at).collect();
        let produces = |player: &Player| text_of(&player.script.config["role"]).starts_with("galena_producer");
        let topics = self.players[at].script.config["topics"].clone();
        let of = |name: &str| topics.as_object().map_or(Some(topics.clone()), |each| each.get(name).cloned());
        let sources: Vec<_> = producers
            .into_iter()
            .filter(|(name, player)| produces(player) && self.feeds(name, at))
            .filter_map(|(name, _)| Some((name.clone(), of(name)?)))
            .collect();
        let player = self.players.get_mut(at).unwrap();
        for (source, topics) in sources {
            *player.begun.entry(format!("{source}>{at}")).or_default() += 1;
            let options = upstream(
                source.to_lowercase().parse().unwrap(),
                &serde_json::json!({ "selector": { "topics": topics } }),
            );
            player
                .stage
                .handle(NOW, Input::Subscribe { options, owner: Owner { node: "n".parse().unwrap(), epoch: EPOCH } });
        }
    }

    /// Whether one stage of Galena subscribes to another, by what the scenario goes on with.
    fn feeds(&self, producer: &str, consumer: &str) -> bool {
        self.links.contains(&format!("{producer}>{consumer}"))
    }

    fn cast(&mut self, at: &str, input: &Value) {
        let player = self.players.get_mut(at).unwrap();
        let input = if let Some(events) = input.get("emit") {
            Input::Emit(batch(events.as_array().unwrap(), &player.script.config))
        } else if let Some(range) = input.get("emit_range") {
            let ends: Vec<i64> = range.as_array().unwrap().iter().map(|end| end.as_i64().unwrap()).collect();
            Input::Emit(batch(&(ends[0]..=ends[1]).map(Value::from).collect::<Vec<_>>(), &player.script.config))
        } else if let Some(stop) = input.get("stop") {
            Input::Stop(reason(stop))
        } else if let Some(raised) = input.get("raise") {
            Input::Stop(Reason::Failed(text_of(raised)))
        } else if let Some(count) = input.get("ask") {
            let (_, name) = player.names.first_key_value().unwrap();
            let source = name.split('>').next().unwrap().to_lowercase().parse().unwrap();
            Input::Asked { source, count: u32::try_from(count.as_u64().unwrap()).unwrap() }
        } else if let Some(cancel) = input.get("cancel") {
            let (&sub, _) = player.names.first_key_value().unwrap();
            Input::Cancel { sub, reason: reason(cancel) }
        } else {
            panic!("unknown cast {input}")
        };
        player.stage.handle(NOW, input);
    }

    /// Lets a stage do all it can, its guest answering at once.
    fn run(&mut self, at: &str) -> Vec<Observed> {
        let mut did = Vec::new();
        loop {
            while let Some(transmit) = self.players.get_mut(at).unwrap().stage.poll_transmit() {
                did.extend(self.transmit(at, transmit));
            }
            let player = self.players.get_mut(at).unwrap();
            let Some(call) = player.stage.poll_call(NOW, GuestNo::FIRST) else { break };
            did.extend(player.call(call));
            assert!(did.len() < DOES_MAX, "{at} does not come to rest: {:?} ...", &did[..20]);
        }
        while let Some(transmit) = self.players.get_mut(at).unwrap().stage.poll_transmit() {
            did.extend(self.transmit(at, transmit));
        }
        let player = self.players.get_mut(at).unwrap();
        while let Some(notice) = player.stage.poll_notice() {
            did.extend(player.logged(&notice));
        }
        if let Some(reason) = player.stage.stopped() {
            did.push(format!("stop {reason}"));
        }
        did
    }

    /// Notes what was sent, and puts it where the other side will get it.
    fn transmit(&mut self, at: &str, transmit: Transmit) -> Option<Observed> {
        let player = self.players.get_mut(at).unwrap();
        match transmit {
            Transmit::Open { sub, .. } => {
                let (link, count) = player.begun.last_key_value().map(|(l, c)| (l.clone(), *c)).unwrap();
                let fresh = player.begun.iter().find(|(link, _)| player.id(link).is_none());
                let name = match fresh {
                    Some((link, _)) => link.clone(),
                    None => format!("{link}#{count}"),
                };
                player.names.insert(sub, name);
                None
            }
            Transmit::Close { .. } => None,
            Transmit::Send { sub, envelope: Envelope { message, .. } } => {
                let name = player.names[&sub].clone();
                let stopped = player.stage.stopped().is_some();
                self.sent(at, &name, message, stopped)
            }
        }
    }

    fn sent(&mut self, at: &str, name: &str, message: Message, stopped: bool) -> Option<Observed> {
        let raw = self.raw.entry(name.to_owned()).or_default();
        let what = match &message {
            Message::Subscribe(_) => "subscribe".to_owned(),
            Message::Ask { granted, .. } => {
                let more = granted - raw.seen;
                raw.seen = *granted;
                format!("ask {more}")
            }
            Message::Events(events) => {
                raw.delivered.extend(&events.runs);
                format!("events {}", Value::from(values(&events.events)))
            }
            Message::Retry { .. } | Message::Processed { .. } => panic!("GenStage has no such thing: {message:?}"),
            // A stage that stops says goodbye; in the original its monitors do.
            Message::Cancel(_) if stopped && at_end_of(name, at) => return None,
            Message::Cancel(reason) => format!("cancel {reason}"),
        };
        let peer = peer_of(name, at);
        // An ask for nothing only acknowledges, which the original does not have: hand it over now.
        if what == "ask 0" {
            self.acknowledge(&peer, name, message);
            return None;
        }
        if self.players.contains_key(&peer) {
            self.wires.entry((name.to_owned(), peer)).or_default().push_back(message);
        }
        Some(format!("send {name} {what}"))
    }

    fn acknowledge(&mut self, peer: &str, name: &str, message: Message) {
        let Some(player) = self.players.get_mut(peer) else { return };
        // Behind asks that are still on their way it must wait, as on a stream.
        match self.wires.get_mut(&(name.to_owned(), peer.to_owned())).and_then(VecDeque::back_mut) {
            Some(Message::Ask { acked, .. }) => {
                let Message::Ask { acked: more, .. } = message else { panic!("an ask") };
                acked.extend(more);
            }
            _ => {
                let sub = player.id(name).unwrap();
                player.stage.handle(NOW, Input::Received { sub, envelope: Envelope { epoch: EPOCH, message } });
            }
        }
    }
}

fn ends(name: &str) -> (String, String) {
    let (producer, consumer) = name.split_once('>').unwrap();
    (producer.to_owned(), consumer.split('#').next().unwrap().to_owned())
}

fn peer_of(name: &str, at: &str) -> String {
    let (producer, consumer) = ends(name);
    if producer == at { consumer } else { producer }
}

fn at_end_of(name: &str, at: &str) -> bool {
    let (producer, consumer) = ends(name);
    producer == at || consumer == at
}
