//! Redis streams: a pipeline of XADD, and a consumer group whose members acknowledge a batch in the round trip that
//! fetches the next one.

use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use redis::{Client, ClientTlsConfig, Connection, TlsCertificates};

use crate::{Args, Role, events, report::Report};

const STREAM: &str = "events";
const GROUP: &str = "consumers";
const FIELD: &str = "e";

/// How long a producer waits that is as far ahead as it may be.
const AHEAD: Duration = Duration::from_millis(1);

/// The reply to XREADGROUP: streams, their entries, and the fields of each.
type Read = Vec<(String, Vec<(Vec<u8>, Vec<Vec<u8>>)>)>;

pub(crate) fn work(args: &Args, report: &Report) -> anyhow::Result<()> {
    let mut connection = connect(args)?;
    match args.role {
        Role::Setup => {
            let mut command = redis::cmd("XGROUP");
            command.arg("CREATE").arg(STREAM).arg(GROUP).arg("$").arg("MKSTREAM").exec(&mut connection)?;
            Ok(())
        }
        Role::Producer => produce(args, report, &mut connection),
        Role::Consumer => consume(args, report, &mut connection),
    }
}

fn connect(args: &Args) -> anyhow::Result<Connection> {
    let client = match args.tls.as_deref() {
        None => Client::open(format!("redis://localhost:{}", args.port))?,
        Some(folder) => Client::build_with_tls(format!("rediss://localhost:{}", args.port), certificates(folder)?)?,
    };
    client.get_connection().with_context(|| format!("cannot connect to port {}", args.port))
}

fn certificates(folder: &Path) -> anyhow::Result<TlsCertificates> {
    let read = |name: &str| std::fs::read(folder.join(name)).with_context(|| format!("cannot read {name}"));
    let client_tls = Some(ClientTlsConfig { client_cert: read("cert.pem")?, client_key: read("key.pem")? });
    Ok(TlsCertificates { client_tls, root_cert: Some(read("ca.pem")?) })
}

fn produce(args: &Args, report: &Report, connection: &mut Connection) -> anyhow::Result<()> {
    let began = Instant::now();
    let mut sent = 0;
    loop {
        let count = if args.pause().is_some() { 1 } else { args.batch };
        if let Some(pause) = args.pause() {
            thread::sleep((pause * sent).saturating_sub(began.elapsed()));
        }
        let mut pipeline = redis::pipe();
        for _ in 0..count {
            let message = events::message(args.payload, args.pack);
            // What all have read is trimmed now and then: four times what may be unread is kept.
            let mut add = redis::cmd("XADD");
            add.arg(STREAM).arg("MAXLEN").arg("~").arg(4 * args.ahead).arg("*").arg(FIELD).arg(&message[..]);
            pipeline.add_command(add).ignore();
        }
        pipeline.exec(connection)?;
        sent += 1;
        report.add((count * args.pack) as u64);
        while args.pause().is_none() && unread(connection)? > args.ahead {
            thread::sleep(AHEAD);
        }
    }
}

/// Entries that the group was not given yet.
fn unread(connection: &mut Connection) -> anyhow::Result<usize> {
    let groups: Vec<redis::streams::StreamInfoGroup> = {
        let reply: redis::streams::StreamInfoGroupsReply =
            redis::cmd("XINFO").arg("GROUPS").arg(STREAM).query(connection)?;
        reply.groups
    };
    groups.first().and_then(|group| group.lag).context("the server does not say how far its group is")
}

fn consume(args: &Args, report: &Report, connection: &mut Connection) -> anyhow::Result<()> {
    let name = format!("consumer-{}", args.index);
    let mut processed: Vec<Vec<u8>> = Vec::new();
    loop {
        let mut pipeline = redis::pipe();
        if !processed.is_empty() {
            pipeline.cmd("XACK").arg(STREAM).arg(GROUP).arg(&processed).ignore();
        }
        pipeline.cmd("XREADGROUP").arg("GROUP").arg(GROUP).arg(&name).arg("COUNT").arg(args.batch);
        pipeline.arg("BLOCK").arg(10_000).arg("STREAMS").arg(STREAM).arg(">");
        let (read,): (Option<Read>,) = pipeline.query(connection)?;
        processed.clear();
        let mut count = 0;
        for (id, fields) in read.into_iter().flatten().flat_map(|(_, entries)| entries) {
            let message = fields.get(1).context("an entry without a value")?;
            count += report.take(message, args.pack > 1, args.rate.is_some());
            processed.push(id);
        }
        report.add(count);
    }
}
