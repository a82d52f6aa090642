//! The bytes of Subscribe: what most subscriptions do not have costs them nothing but a bit.

use super::{
    WireError,
    read::{Reader, wrong},
    write::Writer,
};
use crate::{
    message::{Demand, Subscribe},
    select::{Deliver, InstanceId, PARTITIONS_MAX, PATTERNS_MAX, Pattern, PatternError, Selection},
};

const INSTANCE: u8 = 1;
const SHARED: u8 = 2;
const TOPICS: u8 = 4;
const PARTITIONS: u8 = 8;

pub(super) fn write(writer: &mut Writer, subscribe: &Subscribe) {
    let Subscribe { pipeline, producer, consumer, instance, demand, select } = subscribe;
    writer.name(pipeline.as_str());
    writer.name(producer.as_str());
    writer.name(consumer.as_str());
    writer.name(instance.node.as_str());
    writer.u32(demand.max());
    writer.u32(demand.min());
    let has = |bit: u8, present: bool| if present { bit } else { 0 };
    let flags = has(INSTANCE, instance.number != 0) | has(SHARED, select.deliver == Deliver::Shared);
    writer.u8(flags | has(TOPICS, !select.topics.is_empty()) | has(PARTITIONS, !select.partitions.is_empty()));
    if instance.number != 0 {
        writer.u32(instance.number);
    }
    if !select.topics.is_empty() {
        writer.list(&select.topics, |writer, pattern| writer.text(pattern.as_str()));
    }
    if !select.partitions.is_empty() {
        writer.list(&select.partitions, |writer, partition| writer.name(partition.as_str()));
    }
}

pub(super) fn read(reader: &mut Reader<'_>) -> Result<Subscribe, WireError> {
    let pipeline = reader.parsed_name("pipeline")?;
    let producer = reader.parsed_name("producer")?;
    let consumer = reader.parsed_name("consumer")?;
    let node = reader.parsed_name("consuming node")?;
    let demand = read_demand(reader)?;
    let flags = reader.u8("wants")?;
    if flags & !(INSTANCE | SHARED | TOPICS | PARTITIONS) != 0 {
        return Err(wrong("wants", &format!("0x{flags:02x}"), "no bits but 1, 2, 4 and 8"));
    }
    let number = match flags & INSTANCE {
        0 => 0,
        _ => reader.u32("instance")?,
    };
    if flags & INSTANCE != 0 && number == 0 {
        return Err(wrong("instance", &0, "at least 1, as 0 is not written"));
    }
    let mut select = Selection::default();
    if flags & SHARED != 0 {
        select.deliver = Deliver::Shared;
    }
    if flags & TOPICS != 0 {
        select.topics = some(reader.at_most(PATTERNS_MAX, "topics", read_pattern)?, "topics")?;
    }
    if flags & PARTITIONS != 0 {
        let partition = |reader: &mut Reader<'_>| reader.parsed_name("partition");
        select.partitions = some(reader.at_most(PARTITIONS_MAX, "partitions", partition)?, "partitions")?;
    }
    Ok(Subscribe { pipeline, producer, consumer, instance: InstanceId { node, number }, demand, select })
}

fn read_demand(reader: &mut Reader<'_>) -> Result<Demand, WireError> {
    let (max, min) = (reader.u32("max_demand")?, reader.u32("min_demand")?);
    if max > Demand::MAX_ALLOWED {
        return Err(wrong("max_demand", &max, "at most 10,000,000"));
    }
    Demand::new(max, Some(min))
        .map_err(|_| wrong("min_demand", &format!("{min} with max_demand {max}"), "less than max_demand"))
}

fn read_pattern(reader: &mut Reader<'_>) -> Result<Pattern, WireError> {
    let expected = "words with a `.` between them, `*` for any word, `>` at the end for the rest; at most 255 bytes";
    let refused = |error: PatternError| wrong("topics", &format!("`{}`", error.found), expected);
    reader.text("topics")?.parse().map_err(refused)
}

fn some<T>(items: Vec<T>, field: &'static str) -> Result<Vec<T>, WireError> {
    if items.is_empty() { Err(wrong(field, &"nothing", "at least one, as none is not written")) } else { Ok(items) }
}
