//! The ledger's part in what people have ordered of stages.

use std::time::Duration;

use super::{Applied, Ledger, Outcome};
use crate::{
    ids::PipelineName,
    names::GlobalName,
    orders::{By, Given, OrderBook, Ordered, StageOrder},
    producer::DemandMode,
    rate::RateLimit,
    stage::MAX_INSTANCES,
    wire::{Reader, WireError, Writer, wrong},
};

impl Ledger {
    /// What is ordered of stages.
    pub fn ordered(&self) -> &OrderBook {
        &self.ordered
    }

    pub(super) fn order_stage(&mut self, at_ms: u64, name: GlobalName, by: By, order: StageOrder) -> Applied {
        match self.ordered.obey(name, at_ms, by, order) {
            Ok(()) => Outcome::Done.into(),
            Err(why) => Outcome::Refused(why).into(),
        }
    }

    /// What is ordered of a stage goes with it. While a revision is on its way nothing is settled: it may be taken back.
    pub(super) fn forget_orders(&mut self, pipeline: &PipelineName) {
        let deployment = self.deployments.get(pipeline);
        if deployment.is_some_and(|deployment| deployment.rollout().is_some()) {
            return;
        }
        let is_there = |stage: &_| deployment.is_some_and(|deployment| deployment.stages().contains_key(stage));
        self.ordered.retain(pipeline, is_there);
    }
}

pub(super) fn write_book(writer: &mut Writer, book: &OrderBook) {
    writer.len(book.iter().len());
    for (name, Ordered { demand, suspended, rate, instances }) in book.iter() {
        writer.global_name(name);
        writer.option(demand.as_ref(), |writer, given| {
            write_given(writer, given, |writer, mode| write_mode(writer, *mode));
        });
        writer.option(suspended.as_ref(), |writer, given| write_given(writer, given, |_, ()| {}));
        writer.option(rate.as_ref(), |writer, given| {
            write_given(writer, given, |writer, rate| writer.option(rate.as_ref(), write_rate));
        });
        writer.option(instances.as_ref(), |writer, given| {
            write_given(writer, given, |writer, instances| writer.u32(*instances));
        });
    }
}

pub(super) fn read_book(reader: &mut Reader<'_>) -> Result<OrderBook, WireError> {
    let orders = reader.list("stages with orders", |reader| {
        let name = reader.global_name()?;
        let demand = reader.option("has a demand mode", |reader| read_given(reader, read_mode))?;
        let suspended = reader.option("is suspended", |reader| read_given(reader, |_| Ok(())))?;
        let rate = |reader: &mut Reader<'_>| reader.option("is limited", read_rate);
        let rate = reader.option("has a rate", |reader| read_given(reader, rate))?;
        let instances = reader.option("has instances", |reader| read_given(reader, read_instances))?;
        Ok((name, Ordered { demand, suspended, rate, instances }))
    })?;
    Ok(OrderBook::restore(orders))
}

pub(super) fn write_order(writer: &mut Writer, order: StageOrder) {
    match order {
        StageOrder::Demand(mode) => {
            writer.u8(1);
            writer.option(mode.as_ref(), |writer, mode| write_mode(writer, *mode));
        }
        StageOrder::Suspend(suspend) => {
            writer.u8(2);
            writer.u8(u8::from(suspend));
        }
        StageOrder::Rate(rate) => {
            writer.u8(3);
            writer.option(rate.as_ref(), |writer, rate| writer.option(rate.as_ref(), write_rate));
        }
        StageOrder::Resize(instances) => {
            writer.u8(4);
            writer.option(instances.as_ref(), |writer, instances| writer.u32(*instances));
        }
    }
}

pub(super) fn read_order(reader: &mut Reader<'_>) -> Result<StageOrder, WireError> {
    Ok(match reader.u8("order of a stage")? {
        1 => StageOrder::Demand(reader.option("has a demand mode", read_mode)?),
        2 => StageOrder::Suspend(reader.bool("suspend")?),
        3 => StageOrder::Rate(reader.option("has a rate", |reader| reader.option("is limited", read_rate))?),
        4 => StageOrder::Resize(reader.option("has instances", read_instances)?),
        other => return Err(wrong("order of a stage", &other, "an order from 1 to 4")),
    })
}

pub(super) fn write_by(writer: &mut Writer, By { node, operator }: &By) {
    writer.name(node.as_str());
    writer.option(operator.as_ref(), |writer, operator| writer.name(operator.as_str()));
}

pub(super) fn read_by(reader: &mut Reader<'_>) -> Result<By, WireError> {
    let node = reader.parsed_name("node")?;
    Ok(By { node, operator: reader.option("has an operator", |reader| reader.parsed_name("operator"))? })
}

fn write_given<T>(writer: &mut Writer, given: &Given<T>, write: impl FnOnce(&mut Writer, &T)) {
    write(writer, &given.value);
    write_by(writer, &given.by);
    writer.u64(given.at_ms);
}

fn read_given<T>(
    reader: &mut Reader<'_>,
    read: impl FnOnce(&mut Reader<'_>) -> Result<T, WireError>,
) -> Result<Given<T>, WireError> {
    Ok(Given { value: read(reader)?, by: read_by(reader)?, at_ms: reader.u64("ordered at")? })
}

fn read_instances(reader: &mut Reader<'_>) -> Result<u32, WireError> {
    match reader.u32("instances")? {
        instances @ 1..=MAX_INSTANCES => Ok(instances),
        other => Err(wrong("instances", &other, "1 to 256")),
    }
}

fn write_mode(writer: &mut Writer, mode: DemandMode) {
    writer.u8(match mode {
        DemandMode::Forward => 1,
        DemandMode::Accumulate => 2,
    });
}

fn read_mode(reader: &mut Reader<'_>) -> Result<DemandMode, WireError> {
    match reader.u8("demand mode")? {
        1 => Ok(DemandMode::Forward),
        2 => Ok(DemandMode::Accumulate),
        other => Err(wrong("demand mode", &other, "1 or 2")),
    }
}

fn write_rate(writer: &mut Writer, rate: &RateLimit) {
    writer.u32(rate.events);
    writer.u64(u64::try_from(rate.per.as_nanos()).unwrap_or(u64::MAX));
}

fn read_rate(reader: &mut Reader<'_>) -> Result<RateLimit, WireError> {
    let (events, per) = (reader.u32("events of a rate")?, Duration::from_nanos(reader.u64("time of a rate")?));
    match events == 0 || per.is_zero() {
        true => Err(wrong("rate", &format!("{events} events in {per:?}"), "one event or more in some time")),
        false => Ok(RateLimit { events, per }),
    }
}

#[cfg(test)]
mod tests;
