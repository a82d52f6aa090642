//! What is measured: who runs where, how large events are, how many may be asked for.

use std::{fmt, str::FromStr, time::Duration};

use crate::config::MTU_DEFAULT;

/// Who runs where.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub(super) enum Topology {
    /// A consumer on the producer's node
    Local,
    /// A consumer on another node
    Remote,
    /// Three consumers, each on another node
    #[value(name = "remote-3")]
    Remote3,
    /// Three nodes with a consumer each, one of them with the producer
    Beside,
    /// Producer, producer-consumer and consumer, each on a node of its own
    Chain,
    /// Many consumers on another node, as many as --consumers says
    FanOut,
}

/// A node's name, and what runs on it: the labels that stages ask for.
pub(super) type Place = (&'static str, &'static [&'static str]);

impl Topology {
    pub(super) fn places(self) -> &'static [Place] {
        match self {
            Self::Local => &[("a", &["source", "sink"])],
            Self::Remote | Self::FanOut => &[("a", &["source"]), ("b", &["sink"])],
            Self::Remote3 => &[("a", &["source"]), ("b", &["sink"]), ("c", &["sink"]), ("d", &["sink"])],
            Self::Beside => &[("a", &["source", "sink"]), ("b", &["sink"]), ("c", &["sink"])],
            Self::Chain => &[("a", &["source"]), ("b", &["relay"]), ("c", &["sink"])],
        }
    }

    /// How many nodes have consumers.
    pub(super) fn sinks(self) -> usize {
        self.places().iter().filter(|(_, labels)| labels.contains(&"sink")).count()
    }

    /// Whether raw QUIC can do the same: one connection for each consumer, and nothing between.
    pub(super) fn is_direct(self) -> bool {
        matches!(self, Self::Remote | Self::Remote3)
    }
}

/// What a subscription may have open, as a pipeline file says it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Demand {
    pub(super) max: u32,
    pub(super) min: u32,
}

impl FromStr for Demand {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("expected MAX or MAX/MIN, as 1000 or 5/0, with MIN below MAX; found `{text}`");
        let number = |text: &str| text.parse::<u32>().map_err(|_| wrong());
        let (max, min) = match text.split_once('/') {
            Some((max, min)) => (number(max)?, number(min)?),
            None => (number(text)?, number(text)? / 2),
        };
        if min < max && max <= 10_000_000 { Ok(Self { max, min }) } else { Err(wrong()) }
    }
}

impl fmt::Display for Demand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.max, self.min)
    }
}

/// The length of a payload. Unit: bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Payload(pub(super) u32);

impl FromStr for Payload {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (digits, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
        let factor = match unit {
            "" | "B" => Some(1),
            "KiB" => Some(1024),
            _ => None,
        };
        let bytes = factor.and_then(|factor| digits.parse::<u32>().ok()?.checked_mul(factor));
        bytes
            .filter(|bytes| (8..=65_536).contains(bytes))
            .map(Self)
            .ok_or_else(|| format!("expected 8 to 65536 bytes, as 100, 100B or 1KiB; found `{text}`"))
    }
}

impl fmt::Display for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            bytes if bytes >= 1024 && bytes % 1024 == 0 => write!(f, "{} KiB", bytes / 1024),
            bytes => write!(f, "{bytes} B"),
        }
    }
}

/// By which means the work is done.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, clap::ValueEnum)]
pub(super) enum Way {
    /// Forebay, with WebAssembly components
    Wasm,
    /// Forebay, with stages of native code that do the same
    Native,
    /// Raw QUIC: mutual TLS, the same frames and the same credit, and nothing else
    Raw,
}

impl Way {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Wasm => "wasm",
            Self::Native => "native",
            Self::Raw => "raw",
        }
    }
}

/// One thing to measure.
#[derive(Clone, Copy, Debug)]
pub(super) struct Work {
    pub(super) topology: Topology,
    pub(super) payload: Payload,
    pub(super) demand: Demand,
    /// Consumers on each node that has any.
    pub(super) consumers: u16,
    /// The longest UDP payload. Unit: bytes.
    pub(super) mtu: u16,
    /// Threads of each node.
    pub(super) threads: u16,
    /// Events a second; none: as many as can be.
    pub(super) rate: Option<u32>,
    /// How long it is measured.
    pub(super) duration: Duration,
}

/// One event in a call, or what comes in within a millisecond if that is more: a tenth of the limit is worth a call.
fn rate_limit(rate: u32) -> String {
    let events = 10 * rate.div_ceil(1000);
    let micros = u64::from(events) * 1_000_000 / u64::from(rate);
    format!("rate_limit = {{ events = {events}, per = \"{micros}us\" }}\n")
}

/// Payloads of one guest call, at most. Unit: bytes. A quarter of what a batch may have.
const CALL_BYTES: u32 = 1 << 20;

impl Work {
    /// How many events a source makes in one call at most.
    pub(super) fn call_events(&self) -> u32 {
        (CALL_BYTES / self.payload.0).max(1)
    }

    /// The pipeline file, with plugins from `plugins`, or with the built-in ones.
    pub(super) fn pipeline(&self, way: Way) -> String {
        let plugin = |component: &str, builtin: &str| match way {
            Way::Wasm => format!("./{component}.wasm"),
            Way::Native | Way::Raw => format!("builtin:bench-{builtin}"),
        };
        let (source, relay, sink) =
            (plugin("bench-source", "source"), plugin("double", "relay"), plugin("bench-sink", "sink"));
        let rate = self.rate.map_or_else(String::new, rate_limit);
        let Demand { max, min } = self.demand;
        let mut text = format!(
            "name = \"bench\"\n\
             [stages.source]\n\
             plugin = \"{source}\"\n\
             scope = \"global\"\n\
             labels = [\"source\"]\n\
             config = {{ payload_bytes = {}, batch = {} }}\n{rate}",
            self.payload.0,
            self.call_events()
        );
        let mut from = "source";
        if self.topology == Topology::Chain {
            from = "relay";
            let config = if way == Way::Wasm { "config = { copies = 1 }\n" } else { "" };
            text += &format!(
                "[stages.relay]\n\
                 plugin = \"{relay}\"\n\
                 scope = \"global\"\n\
                 labels = [\"relay\"]\n{config}\
                 subscribe = [{{ to = \"source\", max_demand = {max}, min_demand = {min} }}]\n"
            );
        }
        for no in 0..self.consumers {
            text += &format!(
                "[stages.sink-{no}]\n\
                 plugin = \"{sink}\"\n\
                 labels = [\"sink\"]\n\
                 config = {{ latency = {} }}\n\
                 subscribe = [{{ to = \"{from}\", max_demand = {max}, min_demand = {min} }}]\n",
                self.rate.is_some()
            );
        }
        text
    }

    /// In words, for a heading.
    pub(super) fn title(&self) -> String {
        let who = match self.topology {
            Topology::Local => "1 local consumer".to_owned(),
            Topology::Remote => "1 remote consumer".to_owned(),
            Topology::Remote3 => "3 remote consumers".to_owned(),
            Topology::Beside => "3 consumers, 1 beside the producer".to_owned(),
            Topology::Chain => "a chain of 3".to_owned(),
            Topology::FanOut => format!("{} consumers on another node", self.consumers),
        };
        let mtu = if self.mtu == MTU_DEFAULT { String::new() } else { format!(", MTU {}", self.mtu) };
        format!("{who}, {}, max_demand {}{mtu}", self.payload, self.demand)
    }
}

#[cfg(test)]
mod tests {
    use forebay_proto::pipeline::Pipeline;

    use super::*;

    #[test]
    fn demands_and_payloads_are_read_as_they_are_shown() {
        let demand = |text: &str| text.parse::<Demand>().map(|demand| demand.to_string());
        assert_eq!(demand("5/0").as_deref(), Ok("5/0"));
        assert_eq!(demand("1000").as_deref(), Ok("1000/500"));
        assert!(demand("5/5").unwrap_err().contains("found `5/5`"));
        assert!(demand("0").is_err() && demand("x").is_err());
        let payload = |text: &str| text.parse::<Payload>().map(|payload| payload.to_string());
        assert_eq!(payload("100").as_deref(), Ok("100 B"));
        assert_eq!(payload("16KiB").as_deref(), Ok("16 KiB"));
        assert!(payload("7").unwrap_err().contains("8 to 65536"));
        assert!(payload("1MiB").is_err() && payload("").is_err());
    }

    #[test]
    fn every_pipeline_is_one() {
        for topology in <Topology as clap::ValueEnum>::value_variants() {
            for (way, rate) in [(Way::Wasm, None), (Way::Native, Some(1_000)), (Way::Wasm, Some(200))] {
                let work = Work {
                    topology: *topology,
                    payload: Payload(16),
                    demand: Demand { max: 5, min: 0 },
                    consumers: 2,
                    mtu: MTU_DEFAULT,
                    threads: 1,
                    rate,
                    duration: Duration::from_secs(1),
                };
                let text = work.pipeline(way);
                let pipeline = Pipeline::parse(&text, "bench.toml").unwrap_or_else(|error| panic!("{error}\n{text}"));
                let stages = if *topology == Topology::Chain { 4 } else { 3 };
                assert_eq!(pipeline.stages().len(), stages);
            }
        }
    }
}
