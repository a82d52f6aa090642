//! Which node a command asks, and in whose name.

use std::path::PathBuf;

use super::{client::Client, remote::Remote};
use crate::{
    cli::{Exit, Failure},
    config::{PeerAddr, process_env},
};

/// Which node is asked: one on this machine, by its data directory, or any, by its address.
#[derive(Clone, Debug, clap::Args)]
pub(in crate::cli) struct NodeChoice {
    /// Data directory of the node to ask, on this machine [env: FOREBAY_DATA]
    #[arg(long, value_name = "DIRECTORY")]
    data: Option<PathBuf>,
    /// Name of the node to ask, if its data is in forebay-data/NAME [env: FOREBAY_NAME]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Address of the node to ask, on any machine; port 7440 unless given. Needs --identity [env: FOREBAY_TO]
    // Commands have arguments called `to` of their own.
    #[arg(id = "node_to", long = "to", value_name = "HOST[:PORT]", conflicts_with_all = ["data", "name"])]
    to: Option<PeerAddr>,
    /// Directory with the keys of an operator, as `forebay cluster add-operator` made it [env: FOREBAY_IDENTITY]
    #[arg(long, value_name = "DIRECTORY", conflicts_with_all = ["data", "name"])]
    identity: Option<PathBuf>,
}

/// Where the node to ask is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(in crate::cli) enum Place {
    /// On this machine, with this data directory.
    Data(PathBuf),
    /// Reached at this address with the operator's keys in this directory.
    Network(PeerAddr, PathBuf),
}

impl NodeChoice {
    pub(in crate::cli) fn place(&self) -> Result<Place, Failure> {
        self.place_with(&process_env)
    }

    /// The data directory of a node on this machine.
    ///
    /// # Errors
    /// If another way to a node is given: what asks for this works on the files, or on this machine alone.
    pub(in crate::cli) fn data(&self) -> Result<PathBuf, Failure> {
        match self.place()? {
            Place::Data(data) => Ok(data),
            Place::Network(to, _) => Err(Failure::new(
                Exit::Usage,
                format!("this works on the files of a node, not over the network to {to}; give its --data"),
            )),
        }
    }

    pub(super) fn client(&self) -> Result<Client, Failure> {
        match self.place()? {
            Place::Data(data) => Ok(Client::on(data)),
            Place::Network(to, identity) => Ok(Client::over(Remote::new(to, &identity)?)),
        }
    }

    /// What is given here stands against what the environment says.
    fn place_with(&self, env: &dyn Fn(&str) -> Option<String>) -> Result<Place, Failure> {
        let given = |variable: &str| env(variable).filter(|value| !value.is_empty());
        let named = |name: String| PathBuf::from("forebay-data").join(name);
        match (&self.data, &self.name, &self.to) {
            (Some(data), ..) => return Ok(Place::Data(data.clone())),
            (None, Some(name), _) => return Ok(Place::Data(named(name.clone()))),
            (None, None, Some(to)) => return self.over_network(to.clone(), env),
            (None, None, None) => {}
        }
        let data = given("FOREBAY_DATA").map(PathBuf::from).or_else(|| given("FOREBAY_NAME").map(named));
        match (data, given("FOREBAY_TO")) {
            (Some(_), Some(_)) => Err(Failure::new(
                Exit::Usage,
                "the environment names two nodes: FOREBAY_TO, and FOREBAY_DATA or FOREBAY_NAME; give --to, --data or --name",
            )),
            (None, Some(to)) => {
                let wrong = |error| Failure::new(Exit::Usage, format!("FOREBAY_TO is {to:?}; expected {error}"));
                self.over_network(to.parse().map_err(wrong)?, env)
            }
            (Some(data), None) => Ok(Place::Data(data)),
            (None, None) => {
                let text = "which node is to be asked? Give its --data or its --name, or --to with its address";
                Err(Failure::new(Exit::Usage, text))
            }
        }
    }

    fn over_network(&self, to: PeerAddr, env: &dyn Fn(&str) -> Option<String>) -> Result<Place, Failure> {
        let given = || env("FOREBAY_IDENTITY").filter(|value| !value.is_empty()).map(PathBuf::from);
        let identity = self.identity.clone().or_else(given).ok_or_else(|| {
            let text = format!("in whose name is {to} to be asked? Give --identity with the directory");
            Failure::new(Exit::Usage, format!("{text} that `forebay cluster add-operator` made"))
        })?;
        Ok(Place::Network(to, identity))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        node: NodeChoice,
    }

    fn place(args: &[&str], env: &[(&str, &str)]) -> Result<Place, String> {
        let line = Line::try_parse_from(std::iter::once(&"x").chain(args)).map_err(|error| error.to_string())?;
        let lookup = |variable: &str| env.iter().find(|(name, _)| *name == variable).map(|(_, value)| (*value).into());
        line.node.place_with(&lookup).map_err(|failure| failure.to_string())
    }

    #[test]
    fn a_node_is_chosen_by_its_data_or_by_its_address_and_arguments_stand_against_variables() {
        let data = |data: &str| Ok(Place::Data(data.into()));
        let network = |to: &str| Ok(Place::Network(to.parse().unwrap(), "me".into()));
        let (to, who) = (("FOREBAY_TO", "h:1"), ("FOREBAY_IDENTITY", "me"));
        let here = ("FOREBAY_DATA", "d");
        assert_eq!(place(&["--data", "x"], &[to, who]), data("x"));
        assert_eq!(place(&["--name", "n"], &[to, who]), data("forebay-data/n"));
        assert_eq!(place(&["--to", "h", "--identity", "me"], &[here]), network("h:7440"));
        assert_eq!(place(&["--to", "h"], &[here, who]), network("h:7440"));
        assert_eq!(place(&["--identity", "me"], &[to]), network("h:1"));
        assert_eq!(place(&[], &[to, who]), network("h:1"));
        assert_eq!(place(&[], &[here, who]), data("d"));
        assert_eq!(place(&[], &[("FOREBAY_NAME", "n"), ("FOREBAY_DATA", "")]), data("forebay-data/n"));
    }

    #[test]
    fn a_choice_that_is_none_or_two_is_refused() {
        let (to, who, here) = (("FOREBAY_TO", "h:1"), ("FOREBAY_IDENTITY", "me"), ("FOREBAY_DATA", "d"));
        type Case<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)], &'a str);
        let cases: [Case<'_>; 7] = [
            (&[], &[], "which node is to be asked?"),
            (&[], &[who], "which node is to be asked?"),
            (&["--to", "h"], &[], "in whose name is h:7440 to be asked?"),
            (&[], &[to, who, here], "the environment names two nodes"),
            (&[], &[("FOREBAY_TO", "::1"), who], "FOREBAY_TO is \"::1\"; expected HOST, HOST:PORT"),
            (&["--to", "h", "--data", "d"], &[], "cannot be used with"),
            (&["--to", "https://h"], &[], "HOST, HOST:PORT or [IPV6]:PORT"),
        ];
        for (args, env, why) in cases {
            let told = place(args, env).unwrap_err();
            assert!(told.contains(why), "{args:?}: {told}");
        }
    }
}
