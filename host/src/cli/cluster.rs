//! `forebay cluster`: the keys by which nodes know each other, and operators.

use std::{path::PathBuf, time::Duration};

use forebay_proto::ids::{NodeName, OperatorName};

use crate::transport::identity::{ClusterCa, IdentityError};

/// Found a cluster: make the authority that signs its nodes' keys.
#[derive(Clone, Debug, clap::Args)]
pub struct Init {
    /// Where to keep the authority; made if needed, and must not hold one yet.
    ///
    /// Whoever can read it can add nodes: keep it off the nodes.
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
}

/// Make the key and certificate by which one node is known in its cluster.
#[derive(Clone, Debug, clap::Args)]
pub struct AddNode {
    /// The node's name: 1 to 63 of a-z, 0-9, `.`, `_` and `-`.
    #[arg(value_name = "NAME")]
    pub name: NodeName,
    /// The directory that `forebay cluster init` made.
    #[arg(long, value_name = "DIR")]
    pub ca: PathBuf,
    /// The node's data directory; the files come under `tls` in it.
    ///
    /// May be a directory to be carried to the node. Run again with the same name to renew.
    #[arg(long, value_name = "DATA_DIR")]
    pub out: PathBuf,
    /// How long the certificate is valid, such as `90d` or `1y`.
    #[arg(long, value_name = "TIME", default_value = "365d", value_parser = parse_validity)]
    pub valid_for: Duration,
}

/// Make the key and certificate by which nodes know one operator.
///
/// Whoever has them may give orders to every node of the cluster over the network, with --to and --identity.
#[derive(Clone, Debug, clap::Args)]
pub struct AddOperator {
    /// The operator's name: 1 to 63 of a-z, 0-9, `.`, `_` and `-`.
    #[arg(value_name = "NAME")]
    pub name: OperatorName,
    /// The directory that `forebay cluster init` made.
    #[arg(long, value_name = "DIR")]
    pub ca: PathBuf,
    /// A directory of the operator's; the files come under `tls` in it.
    ///
    /// Run again with the same name to renew.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// How long the certificate is valid, such as `90d` or `1y`.
    #[arg(long, value_name = "TIME", default_value = "365d", value_parser = parse_validity)]
    pub valid_for: Duration,
}

/// At most what a certificate's date can say, which ends with the year 9999; and no zero.
const VALIDITY_MAX: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

fn parse_validity(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(validity) if !validity.is_zero() && validity <= VALIDITY_MAX => Ok(validity),
        Ok(_) => Err("expected more than nothing and at most 100 years".to_owned()),
        Err(error) => Err(format!("{error}; expected a time such as `90d` or `1y`")),
    }
}

/// Runs `forebay cluster init`; returns what to print.
///
/// # Errors
/// [`IdentityError`].
pub fn init(args: &Init) -> Result<String, IdentityError> {
    let ca = ClusterCa::create(&args.dir)?;
    let dir = args.dir.display();
    Ok(format!(
        "cluster {} founded; its authority is in {dir}\n\
         next, for each node: forebay cluster add-node NAME --ca {dir} --out DATA_DIR",
        ca.cluster()
    ))
}

/// Runs `forebay cluster add-node`; returns what to print.
///
/// # Errors
/// [`IdentityError`].
pub fn add_node(args: &AddNode) -> Result<String, IdentityError> {
    let ca = ClusterCa::open(&args.ca)?;
    ca.issue(&args.name, args.valid_for)?.save(&args.out)?;
    Ok(format!(
        "node {} of cluster {}, valid for {}: key and certificate are in {}",
        args.name,
        ca.cluster(),
        in_days(args.valid_for),
        args.out.join("tls").display()
    ))
}

/// Runs `forebay cluster add-operator`; returns what to print.
///
/// # Errors
/// [`IdentityError`].
pub fn add_operator(args: &AddOperator) -> Result<String, IdentityError> {
    let ca = ClusterCa::open(&args.ca)?;
    ca.issue_operator(&args.name, args.valid_for)?.save(&args.out)?;
    let out = args.out.display();
    Ok(format!(
        "operator {} of cluster {}, valid for {}: key and certificate are in {}\n\
         next: forebay status --to HOST:PORT --identity {out}",
        args.name,
        ca.cluster(),
        in_days(args.valid_for),
        args.out.join("tls").display()
    ))
}

/// humantime counts in months and years of odd lengths, which nobody said.
fn in_days(validity: Duration) -> String {
    match validity.as_secs() / (24 * 3600) {
        0 => humantime::format_duration(validity).to_string(),
        1 => "1 day".to_owned(),
        days => format!("{days} days"),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::transport::identity::NodeIdentity;

    #[derive(Parser)]
    struct AddNodeLine {
        #[command(flatten)]
        args: AddNode,
    }

    #[test]
    fn a_founded_cluster_gets_nodes() {
        let dir = tempfile::tempdir().unwrap();
        let (ca, out) = (dir.path().join("ca"), dir.path().join("n1"));
        let text = init(&Init { dir: ca.clone() }).unwrap();
        assert!(text.contains(&format!("add-node NAME --ca {}", ca.display())), "{text}");
        let line =
            ["add-node", "n1", "--ca", ca.to_str().unwrap(), "--out", out.to_str().unwrap(), "--valid-for", "90d"];
        let text = add_node(&AddNodeLine::parse_from(line).args).unwrap();
        assert!(text.contains("node n1") && text.contains("valid for 90 days"), "{text}");
        assert_eq!(NodeIdentity::load(&out).unwrap().node().as_str(), "n1");
    }

    #[test]
    fn a_bad_name_or_validity_is_refused_when_the_line_is_read() {
        for bad in [vec!["N1"], vec!["n1", "--valid-for", "0s"], vec!["n1", "--valid-for", "200y"]] {
            let line = ["add-node", "--ca", "x", "--out", "y"].into_iter().chain(bad);
            assert!(AddNodeLine::try_parse_from(line).is_err());
        }
    }

    #[test]
    fn a_ca_that_is_not_there_is_named_with_the_command_that_makes_it() {
        let (name, valid_for) = ("a".parse().unwrap(), Duration::from_secs(1));
        let error = add_node(&AddNode { name, ca: "/nowhere".into(), out: "/tmp".into(), valid_for }).unwrap_err();
        assert_eq!(error.to_string(), "/nowhere/ca.pem is missing; make it with `forebay cluster init /nowhere`");
    }
}
