//! `forebay bench-raw`: one process of the baseline that `forebay bench` compares nodes with.

use std::{
    io::{BufRead as _, Write as _},
    net::SocketAddr,
    num::NonZeroU32,
    path::PathBuf,
};

use forebay_proto::message::Demand;
use serde_json::json;
use tokio::sync::mpsc;

use crate::{
    chain::chain,
    cli::{Exit, Failure},
    transport::{
        identity::NodeIdentity,
        quic::raw::{RawError, Report, Server, Work, consume},
    },
};

/// Be one process of raw QUIC, without nodes and stages, for `forebay bench`.
///
/// Ends when its standard input ends. Prints one JSON object a line.
#[derive(Clone, Debug, clap::Args)]
pub(in crate::cli) struct RawArgs {
    #[command(subcommand)]
    side: Side,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum Side {
    /// Send events to whoever connects and asks; prints where it listens
    Serve(WorkArgs),
    /// Ask for events and count them; prints what came for each line `report` of its standard input
    Consume {
        /// Where `serve` listens
        #[arg(long, value_name = "ADDRESS")]
        connect: SocketAddr,
        #[command(flatten)]
        work: WorkArgs,
    },
}

#[derive(Clone, Debug, clap::Args)]
struct WorkArgs {
    /// The folder with a node's keys
    #[arg(long, value_name = "DIR")]
    identity: PathBuf,
    /// Length of a payload
    #[arg(long, value_name = "BYTES", default_value_t = 16)]
    payload: u32,
    /// Events in a frame, and no more than one grant brings
    #[arg(long, value_name = "EVENTS", default_value = "500")]
    batch: NonZeroU32,
    /// Events that may be open
    #[arg(long, value_name = "EVENTS", default_value_t = Demand::MAX_DEFAULT)]
    max_demand: u32,
    /// Events left open before more are asked for [default: half of --max-demand]
    #[arg(long, value_name = "EVENTS")]
    min_demand: Option<u32>,
    /// The largest UDP payload
    #[arg(long, value_name = "BYTES", default_value_t = crate::config::MTU_DEFAULT)]
    mtu: u16,
    /// Events a second, each in a frame of its own that says when it was emitted [default: as many as can be]
    #[arg(long, value_name = "EVENTS")]
    rate: Option<NonZeroU32>,
}

impl WorkArgs {
    fn read(&self) -> Result<(NodeIdentity, Work), Failure> {
        let usage = |error: &dyn std::error::Error| Failure::new(Exit::Usage, error.to_string());
        let demand = Demand::new(self.max_demand, self.min_demand).map_err(|error| usage(&error))?;
        let work = Work::new((self.payload, self.batch), demand, self.mtu, self.rate).map_err(|error| usage(&error))?;
        Ok((NodeIdentity::load(&self.identity)?, work))
    }
}

pub(in crate::cli) fn raw(args: &RawArgs) -> Result<Exit, Failure> {
    // One thread for the socket and all that is done with it: the baseline is QUIC at its best.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(Exit::Software, "cannot start a runtime").because(error))?;
    match &args.side {
        Side::Serve(work) => {
            let (identity, work) = work.read()?;
            runtime.block_on(serve(identity, work))?;
        }
        Side::Consume { connect, work } => {
            let (identity, work) = work.read()?;
            runtime.block_on(consume(&identity, *connect, work, orders(), tell)).map_err(failure)?;
        }
    }
    Ok(Exit::Done)
}

async fn serve(identity: NodeIdentity, work: Work) -> Result<(), Failure> {
    let server = Server::bind(identity, work)?;
    let address = server.local_addr().map_err(|error| Failure::new(Exit::Io, "no address").because(error))?;
    print(&json!({ "what": "listening", "address": address }));
    let mut orders = orders();
    server.run(async move { while orders.recv().await.is_some() {} }).await.map_err(failure)
}

fn failure(error: RawError) -> Failure {
    let exit = match error {
        RawError::Bind(error) => return error.into(),
        RawError::Unreachable { .. } | RawError::Lost(_) => Exit::Unavailable,
        RawError::Broken(_) => Exit::Software,
    };
    Failure::new(exit, chain(&error))
}

/// Orders from standard input, until it ends. A thread of its own reads it, which ends with the process.
fn orders() -> mpsc::Receiver<()> {
    // When it is full, who gives orders waits.
    let (order, orders) = mpsc::channel(16);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            match line {
                Ok(line) if line.trim() == "report" => {}
                Ok(line) => {
                    eprintln!("forebay: `{line}` is no order; expected `report`");
                    continue;
                }
                Err(_) => return,
            }
            if order.blocking_send(()).is_err() {
                return;
            }
        }
    });
    orders
}

fn tell(Report { events, bytes, latency }: Report) {
    print(&json!({ "what": "report", "events": events, "bytes": bytes, "latency": latency }));
}

fn print(line: &serde_json::Value) {
    // Who started this process may have ended; then so does our standard input.
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}
