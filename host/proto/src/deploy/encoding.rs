//! The bytes of deployments and orders, as parts of commands and ledgers.

use std::{collections::BTreeMap, time::Duration};

use super::{
    Change, Deployment, Move, NewRevision, Offer, Order, Phase, PluginVersion, Report, Revision, Rollout, Standing,
    Step,
};
use crate::{
    ids::{NodeName, StageName},
    wire::{Reader, WireError, Writer, wrong},
};

pub(crate) fn write_order(writer: &mut Writer, order: &Order) {
    match order {
        Order::Deploy { after, new } => {
            writer.u8(1);
            writer.u64(*after);
            write_new(writer, new);
        }
        Order::Report { revision, at, node, report } => {
            writer.u8(2);
            writer.u64(*revision);
            writer.u32(*at);
            writer.name(node.as_str());
            write_report(writer, report);
        }
        Order::Advance { revision, at, to } => {
            writer.u8(3);
            writer.u64(*revision);
            writer.u32(*at);
            write_move(writer, to);
        }
        Order::Back { revision, why } => {
            writer.u8(4);
            writer.u64(*revision);
            writer.text(why);
        }
        Order::Pause(paused) => {
            writer.u8(5);
            writer.u8(u8::from(*paused));
        }
        Order::Undeploy => writer.u8(6),
        Order::Forget => writer.u8(7),
    }
}

pub(crate) fn read_order(reader: &mut Reader<'_>) -> Result<Order, WireError> {
    Ok(match reader.u8("order")? {
        1 => Order::Deploy { after: reader.u64("after")?, new: Box::new(read_new(reader)?) },
        2 => {
            let (revision, at) = (reader.u64("revision")?, reader.u32("step")?);
            Order::Report { revision, at, node: reader.parsed_name("node")?, report: read_report(reader)? }
        }
        3 => Order::Advance { revision: reader.u64("revision")?, at: reader.u32("step")?, to: read_move(reader)? },
        4 => Order::Back { revision: reader.u64("revision")?, why: reader.text("reason")?.to_owned() },
        5 => Order::Pause(reader.bool("paused")?),
        6 => Order::Undeploy,
        7 => Order::Forget,
        other => return Err(wrong("order", &other, "an order from 1 to 7")),
    })
}

fn write_new(writer: &mut Writer, new: &NewRevision) {
    writer.blob_info(&new.text);
    write_plugins(writer, &new.plugins);
    writer.name(new.by.as_str());
    writer.text(&new.why);
    writer.list(&new.steps, write_step);
    write_duration(writer, new.canary);
    writer.option(new.beside.as_ref(), |writer, number| writer.u64(*number));
}

fn read_new(reader: &mut Reader<'_>) -> Result<NewRevision, WireError> {
    Ok(NewRevision {
        text: reader.blob_info()?,
        plugins: read_plugins(reader)?,
        by: reader.parsed_name("node")?,
        why: reader.text("reason")?.to_owned(),
        steps: reader.list("steps", read_step)?,
        canary: read_duration(reader)?,
        beside: reader.option("has a revision beside", |reader| reader.u64("revision beside"))?,
    })
}

fn write_plugins(writer: &mut Writer, plugins: &BTreeMap<StageName, PluginVersion>) {
    writer.len(plugins.len());
    for (stage, plugin) in plugins {
        writer.name(stage.as_str());
        match plugin {
            PluginVersion::Blob { blob, signature } => {
                writer.u8(1);
                writer.blob_info(blob);
                write_signature(writer, signature.as_ref());
            }
            PluginVersion::Builtin(name) => {
                writer.u8(2);
                writer.text(name);
            }
        }
    }
}

fn read_plugins(reader: &mut Reader<'_>) -> Result<BTreeMap<StageName, PluginVersion>, WireError> {
    let plugins = reader.list("plugins", |reader| {
        let stage = reader.parsed_name("stage")?;
        let plugin = match reader.u8("plugin")? {
            1 => PluginVersion::Blob { blob: reader.blob_info()?, signature: read_signature(reader)? },
            2 => PluginVersion::Builtin(reader.text("built-in stage")?.to_owned()),
            other => return Err(wrong("plugin", &other, "1, a blob, or 2, a built-in stage")),
        };
        Ok((stage, plugin))
    })?;
    Ok(plugins.into_iter().collect())
}

fn write_signature(writer: &mut Writer, signature: Option<&String>) {
    writer.option(signature, |writer, signature| writer.text(signature));
}

fn read_signature(reader: &mut Reader<'_>) -> Result<Option<String>, WireError> {
    reader.option("has a signature", |reader| Ok(reader.text("signature")?.to_owned()))
}

fn write_step(writer: &mut Writer, step: &Step) {
    writer.u8(match step.change {
        Change::Start => 1,
        Change::Replace => 2,
        Change::Stop => 3,
    });
    writer.list(&step.stages, |writer, stage| writer.name(stage.as_str()));
}

fn read_step(reader: &mut Reader<'_>) -> Result<Step, WireError> {
    let change = match reader.u8("change")? {
        1 => Change::Start,
        2 => Change::Replace,
        3 => Change::Stop,
        other => return Err(wrong("change", &other, "a change from 1 to 3")),
    };
    Ok(Step { change, stages: reader.list("stages", |reader| reader.parsed_name("stage"))? })
}

fn write_duration(writer: &mut Writer, duration: Duration) {
    writer.u64(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX));
}

/// At most an hour, so that sums of it stay times.
fn read_duration(reader: &mut Reader<'_>) -> Result<Duration, WireError> {
    match reader.u64("time to watch")? {
        ms @ 0..=3_600_000 => Ok(Duration::from_millis(ms)),
        other => Err(wrong("time to watch", &other, "at most 3600000 ms")),
    }
}

fn write_report(writer: &mut Writer, report: &Report) {
    match report {
        Report::Well => writer.u8(1),
        Report::NotHere => writer.u8(2),
        Report::Failed(why) => {
            writer.u8(3);
            writer.text(why);
        }
    }
}

fn read_report(reader: &mut Reader<'_>) -> Result<Report, WireError> {
    Ok(match reader.u8("report")? {
        1 => Report::Well,
        2 => Report::NotHere,
        3 => Report::Failed(reader.text("reason")?.to_owned()),
        other => return Err(wrong("report", &other, "a report from 1 to 3")),
    })
}

fn write_move(writer: &mut Writer, to: &Move) {
    match to {
        Move::Canary(node) => {
            writer.u8(1);
            writer.name(node.as_str());
        }
        Move::Everywhere => writer.u8(2),
        Move::Next => writer.u8(3),
        Move::Back(why) => {
            writer.u8(4);
            writer.text(why);
        }
    }
}

fn read_move(reader: &mut Reader<'_>) -> Result<Move, WireError> {
    Ok(match reader.u8("move")? {
        1 => Move::Canary(reader.parsed_name("node")?),
        2 => Move::Everywhere,
        3 => Move::Next,
        4 => Move::Back(reader.text("reason")?.to_owned()),
        other => return Err(wrong("move", &other, "a move from 1 to 4")),
    })
}

pub(crate) fn write_offer(writer: &mut Writer, offer: &Offer) {
    writer.blob_info(&offer.blob);
    write_signature(writer, offer.signature.as_ref());
    writer.name(offer.node.as_str());
    writer.u64(offer.at_ms);
}

pub(crate) fn read_offer(reader: &mut Reader<'_>) -> Result<Offer, WireError> {
    let (blob, signature) = (reader.blob_info()?, read_signature(reader)?);
    Ok(Offer { blob, signature, node: reader.parsed_name("node")?, at_ms: reader.u64("offered at")? })
}

pub(crate) fn write_deployment(writer: &mut Writer, deployment: &Deployment) {
    let revisions: Vec<_> = deployment.revisions.iter().collect();
    writer.list(&revisions, |writer, revision| write_revision(writer, revision));
    write_numbers(writer, &deployment.stages);
    writer.option(deployment.rollout.as_ref(), write_rollout);
    writer.u8(u8::from(deployment.paused));
}

pub(crate) fn read_deployment(reader: &mut Reader<'_>) -> Result<Deployment, WireError> {
    Ok(Deployment {
        revisions: reader.list("revisions", read_revision)?.into(),
        stages: read_numbers(reader)?,
        rollout: reader.option("has a roll-out", read_rollout)?,
        paused: reader.bool("paused")?,
    })
}

fn write_revision(writer: &mut Writer, revision: &Revision) {
    writer.u64(revision.number);
    writer.blob_info(&revision.text);
    write_plugins(writer, &revision.plugins);
    writer.u64(revision.at_ms);
    writer.name(revision.by.as_str());
    writer.text(&revision.why);
    match &revision.standing {
        Standing::RollingOut => writer.u8(1),
        Standing::RolledOut { at_ms } => {
            writer.u8(2);
            writer.u64(*at_ms);
        }
        Standing::RolledBack { at_ms, why } => {
            writer.u8(3);
            writer.u64(*at_ms);
            writer.text(why);
        }
    }
}

fn read_revision(reader: &mut Reader<'_>) -> Result<Revision, WireError> {
    let (number, text, plugins) = (reader.u64("revision")?, reader.blob_info()?, read_plugins(reader)?);
    let (at_ms, by, why) = (reader.u64("proposed at")?, reader.parsed_name("node")?, reader.text("reason")?.to_owned());
    let standing = match reader.u8("standing")? {
        1 => Standing::RollingOut,
        2 => Standing::RolledOut { at_ms: reader.u64("rolled out at")? },
        3 => Standing::RolledBack { at_ms: reader.u64("rolled back at")?, why: reader.text("reason")?.to_owned() },
        other => return Err(wrong("standing", &other, "a standing from 1 to 3")),
    };
    Ok(Revision { number, text, plugins, at_ms, by, why, standing })
}

fn write_numbers(writer: &mut Writer, stages: &BTreeMap<StageName, u64>) {
    writer.len(stages.len());
    for (stage, revision) in stages {
        writer.name(stage.as_str());
        writer.u64(*revision);
    }
}

fn read_numbers(reader: &mut Reader<'_>) -> Result<BTreeMap<StageName, u64>, WireError> {
    let stages = reader.list("stages", |reader| Ok((reader.parsed_name("stage")?, reader.u64("revision")?)))?;
    Ok(stages.into_iter().collect())
}

fn write_rollout(writer: &mut Writer, rollout: &Rollout) {
    writer.u64(rollout.revision);
    write_numbers(writer, &rollout.former);
    writer.list(&rollout.steps, write_step);
    writer.u32(rollout.at);
    match &rollout.phase {
        Phase::Pending => writer.u8(1),
        Phase::Canary(node) => {
            writer.u8(2);
            writer.name(node.as_str());
        }
        Phase::Everywhere => writer.u8(3),
    }
    writer.len(rollout.reports.len());
    for (node, report) in &rollout.reports {
        writer.name(node.as_str());
        write_report(writer, report);
    }
    write_duration(writer, rollout.canary);
}

fn read_rollout(reader: &mut Reader<'_>) -> Result<Rollout, WireError> {
    let (revision, former) = (reader.u64("revision")?, read_numbers(reader)?);
    let (steps, at) = (reader.list("steps", read_step)?, reader.u32("step")?);
    let phase = match reader.u8("phase")? {
        1 => Phase::Pending,
        2 => Phase::Canary(reader.parsed_name("node")?),
        3 => Phase::Everywhere,
        other => return Err(wrong("phase", &other, "a phase from 1 to 3")),
    };
    let reports: Vec<(NodeName, Report)> =
        reader.list("reports", |reader| Ok((reader.parsed_name("node")?, read_report(reader)?)))?;
    let reports = reports.into_iter().collect();
    Ok(Rollout { revision, former, steps, at, phase, reports, canary: read_duration(reader)? })
}
