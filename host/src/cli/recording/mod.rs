//! The file in which `forebay record` writes down what a stage is given and answers, and that `forebay replay` reads.
//!
//! One JSON object a line; `docs/recording.md` describes them. What an object does not say is empty or not there, so that
//! small events make short lines.

mod event;
mod read;

use forebay_proto::{
    batch::Batch,
    batch::BatchLimits,
    ids::{Epoch, Seq, StageName},
    message::SeqRun,
    pipeline::Limits,
    stage::{Rejected, Role},
    taps::{About, Answered, Entry, Given},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub(super) use self::{
    event::{Bytes64, EventLine},
    read::{Numbered, Reader},
};

/// The version of this format. Another one is refused.
pub(super) const VERSION: u16 = 1;

/// One line.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub(super) enum Line {
    /// The first, and no other.
    Recording {
        /// [`VERSION`].
        version: u16,
        /// What was recorded.
        #[serde(flatten)]
        head: Head,
    },
    /// From here on it is another run of the stage: of another owner, or after a restart or an upgrade. What was in
    /// between is not there.
    Run(Head),
    /// It was called.
    Given(GivenLine),
    /// It answered, to the call before.
    Answered(AnsweredLine),
    /// Its state after all before.
    State {
        /// As its `snapshot` gave it.
        base64: Bytes64,
    },
    /// So many events are not there.
    Missed {
        /// Given to it.
        given: u64,
        /// Emitted by it.
        emitted: u64,
    },
}

/// What was recorded.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(super) struct Head {
    pub(super) pipeline: String,
    pub(super) stage: String,
    /// `producer`, `producer-consumer` or `consumer`.
    pub(super) role: String,
    pub(super) node: String,
    /// As one number, see docs/wire.md.
    pub(super) epoch: u64,
    /// When it began, by the clock of who recorded.
    pub(super) at: String,
    /// The digest of its plugin.
    pub(super) plugin: String,
    pub(super) config: Value,
    pub(super) limits: LimitsLine,
}

/// What the stage might use.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub(super) struct LimitsLine {
    memory_bytes: u64,
    call_time_ms: u32,
    table_elements: u32,
    log_lines_per_second: u32,
    batch_events: u32,
    batch_bytes: u32,
}

/// What a stage was called with.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(tag = "call", rename_all = "snake_case")]
pub(super) enum GivenLine {
    /// So many events were wanted.
    Demand { demand: u32 },
    /// Events of another stage.
    Events {
        source: String,
        epoch: u64,
        attempt: u32,
        /// First number and count, and so on.
        runs: Vec<(u64, u32)>,
        events: Vec<EventLine>,
    },
    /// Events of its inbox.
    Inbox { first: u64, events: Vec<EventLine> },
    /// Its time had come.
    Tick,
}

/// What it answered.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub(super) enum AnsweredLine {
    /// It emitted these and rejected those.
    Done {
        /// The number of the first.
        first: u64,
        #[serde(default)]
        events: Vec<EventLine>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        rejected: Vec<RejectedLine>,
    },
    /// It wanted the call again, later.
    Retry { why: String },
    /// It did not survive the call, or could not go on.
    Lost { why: String },
}

/// An event that it could not process.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct RejectedLine {
    pub(super) index: u32,
    pub(super) retry: bool,
    pub(super) reason: String,
}

impl Head {
    /// Of a stage `PIPELINE/STAGE`.
    ///
    /// # Errors
    /// If its config is no JSON.
    pub(super) fn new(stage: &str, node: &str, about: &About, at: String) -> Result<Self, String> {
        let (pipeline, stage) = stage.split_once('/').ok_or_else(|| format!("`{stage}` is no PIPELINE/STAGE"))?;
        let config = serde_json::from_str(&about.config).map_err(|error| format!("its config is no JSON: {error}"))?;
        let Limits { memory_bytes, call_time, table_elements, log_lines_per_second, batch } = about.limits;
        let limits = LimitsLine {
            memory_bytes,
            call_time_ms: u32::try_from(call_time.as_millis()).unwrap_or(u32::MAX),
            table_elements,
            log_lines_per_second,
            batch_events: batch.events_max,
            batch_bytes: batch.bytes_max,
        };
        Ok(Self {
            pipeline: pipeline.to_owned(),
            stage: stage.to_owned(),
            role: about.role.to_string(),
            node: node.to_owned(),
            epoch: about.epoch.to_u64(),
            at,
            plugin: about.plugin.clone(),
            config,
            limits,
        })
    }

    /// # Errors
    /// If it names none.
    pub(super) fn role(&self) -> Result<Role, String> {
        let roles = [Role::Producer, Role::ProducerConsumer, Role::Consumer];
        let found = roles.into_iter().find(|role| role.to_string() == self.role);
        found.ok_or_else(|| format!("`role` is {:?}; expected producer, producer-consumer or consumer", self.role))
    }
}

impl LimitsLine {
    pub(super) fn limits(self) -> Limits {
        Limits {
            memory_bytes: self.memory_bytes,
            call_time: std::time::Duration::from_millis(self.call_time_ms.into()),
            table_elements: self.table_elements,
            log_lines_per_second: self.log_lines_per_second,
            batch: BatchLimits { events_max: self.batch_events, bytes_max: self.batch_bytes },
        }
    }
}

impl Line {
    /// As it is told.
    pub(super) fn of(entry: Entry) -> Self {
        match entry {
            Entry::Given(given) => Self::Given(GivenLine::of(given)),
            Entry::Answered(answered) => Self::Answered(AnsweredLine::of(answered)),
            Entry::State(state) => Self::State { base64: Bytes64(state.to_vec()) },
        }
    }
}

impl GivenLine {
    fn of(given: Given) -> Self {
        match given {
            Given::Demand(demand) => Self::Demand { demand },
            Given::Events { source, epoch, attempt, runs, events } => Self::Events {
                source: source.to_string(),
                epoch: epoch.to_u64(),
                attempt,
                runs: runs.iter().map(|run| (run.first.0, run.count)).collect(),
                events: EventLine::all(&events),
            },
            Given::Inbox { first, events } => Self::Inbox { first, events: EventLine::all(&events) },
            Given::Tick => Self::Tick,
        }
    }

    /// What it says.
    ///
    /// # Errors
    /// With the reason: it contradicts itself.
    pub(super) fn given(self) -> Result<Given, String> {
        Ok(match self {
            Self::Demand { demand: 0 } => return Err("`demand` is 0; expected at least 1".to_owned()),
            Self::Demand { demand } => Given::Demand(demand),
            Self::Events { source, epoch, attempt, runs, events } => {
                let source: StageName = source.parse().map_err(|error| format!("`source`: {error}"))?;
                let numbered: u64 = runs.iter().map(|(_, count)| u64::from(*count)).sum();
                if numbered != events.len() as u64 {
                    return Err(format!("`runs` holds {numbered} numbers for {} events", events.len()));
                }
                if let Some((first, count)) =
                    runs.iter().find(|(first, count)| first.checked_add((*count).into()).is_none())
                {
                    return Err(format!("`runs` holds {count} numbers from {first} on; there are none so high"));
                }
                let runs = runs.iter().map(|&(first, count)| SeqRun { first: Seq(first), count }).collect();
                let (epoch, events) = (Epoch::from_u64(epoch), EventLine::batch(events)?);
                Given::Events { source, epoch, attempt: attempt.max(1), runs, events }
            }
            Self::Inbox { first, events } => Given::Inbox { first, events: EventLine::batch(events)? },
            Self::Tick => Given::Tick,
        })
    }
}

impl AnsweredLine {
    /// As it is told.
    pub(super) fn of(answered: Answered) -> Self {
        let rejected = |Rejected { index, retry, reason }| RejectedLine { index, retry, reason };
        match answered {
            Answered::Done { first, events, rejected: those } => Self::Done {
                first: first.0,
                events: EventLine::all(&events),
                rejected: those.into_iter().map(rejected).collect(),
            },
            Answered::Retry(why) => Self::Retry { why },
            Answered::Lost(why) => Self::Lost { why },
        }
    }
}

/// Of what a peer or a file may have said, as much as any batch may be.
fn wide() -> forebay_proto::batch::BatchLimits {
    forebay_proto::batch::BatchLimits { events_max: u32::MAX, bytes_max: u32::MAX }
}

fn checked(columns: forebay_proto::batch::Columns) -> Result<Batch, String> {
    Batch::new(columns, &wide()).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use forebay_proto::batch::Columns;

    use super::*;

    fn rich() -> Batch {
        let columns = Columns {
            payloads: b"a\xff\"b".to_vec(),
            ends: vec![1, 2, 4],
            topics: vec!["x".into(), "y".into()],
            topic_of: vec![0, 1, 0],
            keys: b"k\xfe".to_vec(),
            key_ends: vec![0, 1, 2],
            headers: vec![(1, "h".into(), "1".into()), (2, "h".into(), "2".into())],
        };
        checked(columns).unwrap()
    }

    fn read_back(entry: &Entry) -> Line {
        let text = serde_json::to_string(&Line::of(entry.clone())).unwrap();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    #[test]
    fn what_was_given_is_read_as_it_was() {
        let runs = vec![SeqRun { first: Seq(7), count: 2 }, SeqRun { first: Seq(20), count: 1 }];
        let (source, epoch) = ("s".parse().unwrap(), Epoch { lamport: 1 << 30, tag: 7 });
        for given in [
            Given::Demand(7),
            Given::Events { source, epoch, attempt: 2, runs, events: rich() },
            Given::Inbox { first: 3, events: Batch::from_payloads(["", "b"]) },
            Given::Tick,
        ] {
            let Line::Given(line) = read_back(&Entry::Given(given.clone())) else { panic!("{given:?}") };
            assert_eq!(line.given(), Ok(given));
        }
    }

    #[test]
    fn what_was_answered_and_the_rest_is_read_as_it_was() {
        let rejected = vec![Rejected { index: 1, retry: true, reason: "odd".into() }];
        for entry in [
            Entry::Answered(Answered::Done { first: Seq(u64::MAX - 3), events: rich(), rejected }),
            Entry::Answered(Answered::Done { first: Seq(0), events: Batch::default(), rejected: vec![] }),
            Entry::Answered(Answered::Retry("busy".into())),
            Entry::Answered(Answered::Lost("trap".into())),
            Entry::State(bytes::Bytes::from_static(b"\0\xff")),
        ] {
            assert_eq!(read_back(&entry), Line::of(entry));
        }
    }

    #[test]
    fn text_stands_as_text_and_the_rest_as_base64() {
        let line = Line::of(Entry::Given(Given::Inbox { first: 0, events: rich() }));
        assert_eq!(
            serde_json::to_string(&line).unwrap(),
            r#"{"what":"given","call":"inbox","first":0,"events":[{"payload":"a","topic":"x"},{"payload_base64":"/w==","topic":"y","key":"k","headers":[["h","1"]]},{"payload":"\"b","topic":"x","key_base64":"/g==","headers":[["h","2"]]}]}"#
        );
    }

    #[test]
    fn lines_that_contradict_themselves_are_refused() {
        let refused = |text: &str| {
            let Line::Given(line) = serde_json::from_str(text).unwrap() else { panic!("{text}") };
            line.given().unwrap_err()
        };
        let events = |runs: &str, events: &str| {
            format!(
                r#"{{"what":"given","call":"events","source":"s","epoch":1,"attempt":1,"runs":{runs},"events":{events}}}"#
            )
        };
        for (text, why) in [
            (r#"{"what":"given","call":"demand","demand":0}"#.to_owned(), "at least 1"),
            (events("[[1,2]]", r#"[{"payload":"a"}]"#), "2 numbers for 1 events"),
            (events("[[18446744073709551615,1]]", r#"[{"payload":"a"}]"#), "none so high"),
            (events("[[1,1]]", r#"[{}]"#), "neither `payload` nor `payload_base64`"),
            (events("[[1,1]]", r#"[{"payload":"a","payload_base64":"YQ=="}]"#), "both"),
            (events("[[1,2]]", r#"[{"payload":"a","topic":"x"},{"payload":"b"}]"#), "all of a batch have a topic"),
        ] {
            let told = refused(&text);
            assert!(told.contains(why), "{text}: {told}");
        }
    }
}
