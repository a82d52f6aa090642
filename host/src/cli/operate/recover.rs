//! `forebay recover`: one node goes on alone when a quorum is gone for good.

use std::{
    io::{BufRead, Write},
    net::{Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use forebay_proto::ids::NodeName;
use serde_json::json;
use tokio::task::JoinSet;

use super::{NodeChoice, Teller, text};
use crate::{
    cli::{Exit, Failure, OutputArgs, node::lock},
    node::group_at,
    registry::quorum::{NoRecovery, Remains},
    transport::{
        Transport,
        identity::NodeIdentity,
        quic::{Quic, QuicOptions},
    },
};

/// How long other voters may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);

/// Let one node go on alone when a majority of the voters is gone for good.
///
/// The node must be stopped. It becomes the only member of a new group, with all it knows of the old
/// one: owners, epochs, checkpoints. What only the lost nodes knew is lost. Former members are not let
/// in before their `raft` directories are removed. Refused when another voter of the old group
/// answers: two groups would go on side by side.
#[derive(Clone, Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Do not ask for confirmation
    #[arg(long)]
    yes: bool,
    /// Go on although another voter of the old group answers
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    node: NodeChoice,
    #[command(flatten)]
    output: OutputArgs,
}

pub(in crate::cli) async fn recover(args: Args) -> Result<Exit, Failure> {
    let (data, teller) = (args.node.data()?, Teller::new(args.output.output));
    // First, so that a mistyped directory is not made.
    let identity = NodeIdentity::load(&data)?;
    let _lock = lock(&data)?;
    let node = identity.node().clone();
    let remains = Remains::read(&data.join("raft"), &node)?;
    if remains.other_voters().is_empty() && !args.force {
        let text =
            format!("{node} is the only voter of its group: it needs nobody else, and there is nothing to recover");
        return Err(Failure::new(Exit::Unavailable, format!("{text}; start it")));
    }
    if !args.force {
        refuse_if_answered(&remains, identity).await?;
    }
    announce(teller, &remains, &node);
    if !args.yes && !confirmed() {
        return Err(Failure::new(Exit::Usage, "not confirmed; nothing was changed"));
    }
    let (group, recovered) = remains.recover()?;
    let kept = recovered.old.display();
    teller.tell(
        "recovered",
        &json!({"node": node.as_str(), "group": group.to_string(), "kept": kept.to_string()}),
        &format!(
            "{node} is the only member of the new group {group}; the former state is kept in {kept}\n\
             next: start {node}; then, for each other node, remove its `raft` directory and start it with --join;\n\
             on its former data a node that was the only other voter would go on as a second group"
        ),
    );
    Ok(Exit::Done)
}

fn announce(teller: Teller, remains: &Remains, node: &NodeName) {
    let (survey, ledger) = (remains.survey(), remains.ledger());
    let others: Vec<String> =
        ledger.nodes().map(|(name, _)| name).filter(|name| *name != node).map(ToString::to_string).collect();
    let owned = ledger.claims().count();
    let checkpoints = ledger.names().filter(|(_, record)| record.checkpoint().is_some()).count();
    let text = format!(
        "{node} knows group {} up to entry {}, {} of them not confirmed by a majority\n\
         kept: {} names, {owned} of them owned, {checkpoints} with a checkpoint\n\
         lost: whatever was agreed on after that entry, and the membership of {}",
        remains.group(),
        survey.last_index,
        survey.unconfirmed,
        ledger.names().count(),
        text::list(&others),
    );
    let fields = json!({
        "node": node.as_str(),
        "group": remains.group().to_string(),
        "last_index": survey.last_index,
        "unconfirmed": survey.unconfirmed,
        "names": ledger.names().count(),
        "owned": owned,
        "checkpoints": checkpoints,
        "leaves_behind": others,
    });
    teller.tell("found", &fields, &text);
}

fn confirmed() -> bool {
    eprint!("Are the other voters gone for good, and shall this node go on alone? Type `yes`: ");
    // Whoever cannot read the question cannot answer it.
    let _ = std::io::stderr().flush();
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).is_ok() && line.trim() == "yes"
}

async fn refuse_if_answered(remains: &Remains, identity: NodeIdentity) -> Result<(), Failure> {
    let others = remains.other_voters();
    if others.is_empty() {
        return Ok(());
    }
    let any = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0));
    let transport = match Quic::bind(any, identity.clone(), QuicOptions::default()) {
        Ok(transport) => transport,
        // A machine without IPv6.
        Err(_) => Quic::bind(SocketAddr::from(([0, 0, 0, 0], 0)), identity, QuicOptions::default())?,
    };
    let transport: Arc<dyn Transport> = Arc::new(transport);
    let mut asked = JoinSet::new();
    for (node, addr) in others {
        let Some(addr) = addr else {
            tracing::warn!(%node, "where this voter is reached is not known: it was not asked");
            continue;
        };
        let transport = Arc::clone(&transport);
        asked.spawn(async move {
            let group = tokio::time::timeout(ANSWER_WITHIN, group_at(&*transport, addr)).await;
            (node, addr, group.ok().flatten())
        });
    }
    let mut answered = Vec::new();
    while let Some(asked) = asked.join_next().await {
        match asked {
            Ok((node, addr, Some((found, group)))) if found == node && group == remains.group() => {
                answered.push(format!("{node} at {addr}"));
            }
            _ => {}
        }
    }
    transport.close("recovering").await;
    if answered.is_empty() {
        return Ok(());
    }
    let text = format!("voters of the group answer: {}", text::list(&answered));
    let remedy = "start this node as it is, or remove it there; --force only if they must never come back";
    Err(Failure::new(Exit::Unavailable, format!("{text}; {remedy}")))
}

impl From<NoRecovery> for Failure {
    fn from(error: NoRecovery) -> Self {
        let exit = match &error {
            NoRecovery::NoPlace(_) => Exit::NoInput,
            NoRecovery::Removed(_) => Exit::Permission,
            NoRecovery::Home(_) | NoRecovery::Store(_) => Exit::Io,
        };
        Self::of(exit, &error)
    }
}
