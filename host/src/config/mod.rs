//! A node's configuration: from the command line, else the environment, else a file, else a default.
//!
#![doc = include_str!("keys.md")]

mod args;
mod bounds;
mod file;
mod peer;
mod size;

use std::{
    collections::BTreeSet,
    fmt,
    net::SocketAddr,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use forebay_proto::{
    ids::{NodeName, OperatorName},
    names::quorum::LEASE_DEFAULT,
};
use tracing_subscriber::EnvFilter;

use crate::{
    disk::DISK_RESERVE_DEFAULT,
    dlq::Bounds,
    signature::{TrustedKey, TrustedKeys},
};

pub use args::NodeArgs;
pub use file::ConfigFile;
pub use peer::{PORT_DEFAULT, PeerAddr, PeerAddrError};

/// What fits Ethernet over IPv6. Unit: bytes of a UDP payload.
pub const MTU_DEFAULT: u16 = 1452;

/// What it may be set to. QUIC takes no less; above 6550 Linux refuses what is sent at once. Unit: bytes of a UDP payload.
pub(crate) const MTU: RangeInclusive<u16> = 1200..=6500;

/// What a node was told. Every default stands in the table above, with its reason.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NodeConfig {
    /// Its name, unique in the cluster.
    pub name: NodeName,
    /// The UDP address it listens on.
    pub listen: SocketAddr,
    /// Nodes it connects to.
    pub join: Vec<PeerAddr>,
    /// How long it waits before it connects to them.
    pub join_after: Duration,
    /// Where others are told to reach it; neither an unspecified address nor port 0.
    pub advertise: Option<SocketAddr>,
    /// The directory of what it keeps.
    pub data: PathBuf,
    /// The pipeline files it runs.
    pub pipeline: Vec<PathBuf>,
    /// How the owner of a global stage is agreed on.
    pub agreement: Agreement,
    /// How many nodes found a group together; `None`: one, unless there are nodes to join.
    pub expect: Option<u16>,
    /// How many members of the group vote at most; odd.
    pub voters: usize,
    /// How long an owner that is not heard is waited for.
    pub lease: Duration,
    /// How often the leader of the group tells the others that it is there.
    pub heartbeat: Duration,
    /// What stages may ask of the node they run on.
    pub labels: BTreeSet<String>,
    /// How long a starting node waits for those it joins before it claims global stages.
    pub settle: Duration,
    /// Time between two pings of a peer.
    pub ping_interval: Duration,
    /// Intervals without a word after which a peer is taken for lost.
    pub ping_misses: u32,
    /// The longest payload of a UDP packet that path-MTU discovery may come to. Unit: bytes.
    pub mtu: u16,
    /// Threads for stages and the network; 0: one for each processor.
    pub threads: u16,
    /// How long a stopping stage may take for events in flight.
    pub drain_timeout: Duration,
    /// How many events that could not be processed it keeps.
    pub dead_letters: Bounds,
    /// What must stay free on the disk of `data`; with less no events are ingested. Unit: bytes.
    pub disk_reserve: u64,
    /// Whose plugins it takes.
    pub trusted_keys: TrustedKeys,
    /// Operators that are not let in any more.
    pub revoked_operators: BTreeSet<OperatorName>,
    /// The form of what is printed.
    pub output: OutputFormat,
    /// The log filter, in the form of tracing's `EnvFilter`; checked.
    pub log: String,
}

/// How nodes agree on the owner of a global stage.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Agreement {
    /// Each group of connected nodes has its own owner; when groups meet, one remains.
    Islands,
    /// By a majority: at most one owner is ever accepted.
    #[default]
    Quorum,
}

/// The form of what is printed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum OutputFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl NodeConfig {
    /// The defaults, for a node of this name.
    pub fn new(name: NodeName) -> Self {
        Self {
            data: Path::new("forebay-data").join(name.as_str()),
            name,
            listen: SocketAddr::from(([0, 0, 0, 0], PORT_DEFAULT)),
            join: Vec::new(),
            join_after: Duration::ZERO,
            advertise: None,
            pipeline: Vec::new(),
            agreement: Agreement::default(),
            expect: None,
            voters: 3,
            lease: LEASE_DEFAULT,
            heartbeat: Duration::from_millis(75),
            labels: BTreeSet::new(),
            settle: Duration::from_secs(1),
            ping_interval: Duration::from_millis(100),
            ping_misses: 5,
            mtu: MTU_DEFAULT,
            threads: 0,
            drain_timeout: Duration::from_secs(5),
            dead_letters: Bounds::default(),
            disk_reserve: DISK_RESERVE_DEFAULT,
            trusted_keys: TrustedKeys::default(),
            revoked_operators: BTreeSet::new(),
            output: OutputFormat::default(),
            log: "info".to_owned(),
        }
    }

    /// Takes each setting from the command line, else the environment, else the file, else its
    /// default. `env` looks up a variable, see [`process_env`]; an empty one counts as absent.
    ///
    /// # Errors
    /// [`ConfigError::Values`] with everything that is wrong, each with where it came from.
    pub fn resolve(
        args: &NodeArgs,
        env: &dyn Fn(&str) -> Option<String>,
        file: Option<&ConfigFile>,
    ) -> Result<Self, ConfigError> {
        let mut values = Values { args, env, file, problems: Vec::new() };
        let config = values.read();
        if values.problems.is_empty() {
            Ok(config.expect("the name is missing only with a problem"))
        } else {
            Err(ConfigError::Values { problems: values.problems })
        }
    }

    /// Time without a word after which a peer is taken for lost.
    pub fn lost_after(&self) -> Duration {
        self.ping_interval * self.ping_misses
    }

    /// How many nodes found a group together; 0: this one founds none, but waits to be let into one.
    pub fn expected(&self) -> u16 {
        self.expect.unwrap_or(u16::from(self.join.is_empty()))
    }
}

/// The configuration file that `--config` or `FOREBAY_CONFIG` names.
pub fn config_path(args: &NodeArgs, env: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
    let variable = || env("FOREBAY_CONFIG").filter(|path| !path.is_empty()).map(PathBuf::from);
    args.config.clone().or_else(variable)
}

/// A variable of this process. What is not UTF-8 in it is replaced, and then refused as a value.
pub fn process_env(variable: &str) -> Option<String> {
    std::env::var_os(variable).map(|value| value.to_string_lossy().into_owned())
}

/// A node's configuration was refused.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ConfigError {
    /// The file is not TOML, or has an unknown key or a wrong type.
    #[error("{}: {message}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// Line, column, the line itself, and what is wrong.
        message: String,
    },
    /// Values are wrong.
    #[error("{}", lines(problems))]
    Values {
        /// At least one.
        problems: Vec<ValueProblem>,
    },
}

fn lines(problems: &[ValueProblem]) -> String {
    problems.iter().map(ValueProblem::to_string).collect::<Vec<_>>().join("\n")
}

/// One value that is wrong.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{source_of} is {found}; expected {expected}")]
pub struct ValueProblem {
    /// Where it came from.
    pub source_of: Source,
    /// The value in quotation marks, with control characters escaped; or that it is missing.
    pub found: String,
    /// What was expected.
    pub expected: String,
}

/// Where a value came from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Source {
    /// An argument, such as `--ping-interval`.
    CommandLine(String),
    /// A variable, such as `FOREBAY_PING_INTERVAL`.
    Environment(String),
    /// A key of a file.
    File {
        /// The key.
        key: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// Nowhere, though it has no default.
    Nowhere(&'static str),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CommandLine(name) | Self::Environment(name) => write!(f, "`{name}`"),
            Self::File { key, path } => write!(f, "`{key}` in {}", path.display()),
            Self::Nowhere(key) => write!(f, "`{}`", argument(key)),
        }
    }
}

fn argument(key: &str) -> String {
    format!("--{}", key.replace('_', "-"))
}

fn variable(key: &str) -> String {
    format!("FOREBAY_{}", key.to_ascii_uppercase())
}

/// Elements of texts that hold one or more, separated by commas.
fn split_list(texts: &[String]) -> Vec<String> {
    let elements = texts.iter().flat_map(|text| text.split(','));
    elements.map(str::trim).filter(|element| !element.is_empty()).map(str::to_owned).collect()
}

/// The layers settings are taken from, and what was wrong in them.
struct Values<'a> {
    args: &'a NodeArgs,
    env: &'a dyn Fn(&str) -> Option<String>,
    file: Option<&'a ConfigFile>,
    problems: Vec<ValueProblem>,
}

impl Values<'_> {
    /// `None` only after noting a problem.
    fn read(&mut self) -> Option<NodeConfig> {
        let name = self.name();
        // Read the others even without a name, to note what is wrong with them.
        let default = NodeConfig::new(name.clone().unwrap_or_else(|| "unnamed".parse().expect("a name")));
        let config = NodeConfig {
            listen: self.one("listen", socket_address).unwrap_or(default.listen),
            join: self.list("join", PeerAddr::from_str).unwrap_or(default.join),
            join_after: self.duration("join_after", Duration::ZERO..=HOUR).unwrap_or(default.join_after),
            advertise: self.one("advertise", reachable_address),
            data: self.paths("data").and_then(|mut paths| paths.pop()).unwrap_or(default.data),
            pipeline: self.paths("pipeline").unwrap_or(default.pipeline),
            agreement: self.one("agreement", agreement).unwrap_or(default.agreement),
            expect: self.one("expect", expect),
            voters: self.one("voters", voters).unwrap_or(default.voters),
            lease: self.duration("lease", LEASE).unwrap_or(default.lease),
            heartbeat: self.duration("heartbeat", HEARTBEAT).unwrap_or(default.heartbeat),
            labels: self.list("labels", label).map_or(default.labels, BTreeSet::from_iter),
            settle: self.duration("settle", Duration::ZERO..=MINUTE).unwrap_or(default.settle),
            ping_interval: self.duration("ping_interval", PING_INTERVAL).unwrap_or(default.ping_interval),
            ping_misses: self.one("ping_misses", ping_misses).unwrap_or(default.ping_misses),
            mtu: self.one("mtu", mtu).unwrap_or(default.mtu),
            threads: self.one("threads", threads).unwrap_or(default.threads),
            drain_timeout: self.duration("drain_timeout", Duration::ZERO..=HOUR).unwrap_or(default.drain_timeout),
            dead_letters: self.list("dead_letters", bounds::bound).map_or(default.dead_letters, bounds::all),
            disk_reserve: self.one("disk_reserve", size::parse).unwrap_or(default.disk_reserve),
            trusted_keys: self.trusted_keys().unwrap_or(default.trusted_keys),
            revoked_operators: self
                .list("revoked_operators", operator)
                .map_or(default.revoked_operators, BTreeSet::from_iter),
            output: self.one("output", output).unwrap_or(default.output),
            log: self.one("log", log_filter).unwrap_or(default.log),
            name: default.name,
        };
        name.map(|_| config)
    }

    fn name(&mut self) -> Option<NodeName> {
        let expected = "1 to 63 of the characters a-z, 0-9, `.`, `_` and `-`, beginning with a letter or digit";
        if self.find("name").is_none() {
            let expected = format!("a name for this node here, in `FOREBAY_NAME`, or as `name` in a file: {expected}");
            let found = "missing".to_owned();
            self.problems.push(ValueProblem { source_of: Source::Nowhere("name"), found, expected });
        }
        self.one("name", |text| text.parse().map_err(|_| expected))
    }

    /// `None` only after noting a problem.
    fn trusted_keys(&mut self) -> Option<TrustedKeys> {
        let before = self.problems.len();
        let keys = self.list("trusted_keys", TrustedKey::parse).unwrap_or_default();
        let require_signed = self.one("require_signed", truth).unwrap_or_default();
        if self.problems.len() > before {
            return None;
        }
        if let (true, true, Some((_, source_of))) = (require_signed, keys.is_empty(), self.find("require_signed")) {
            let (found, expected) = (quote("true"), "at least one key in `trusted_keys` with it".to_owned());
            self.problems.push(ValueProblem { source_of, found, expected });
            return None;
        }
        Some(TrustedKeys { keys, require_signed })
    }

    /// The first layer that has a setting. An empty list in the file is a value.
    fn find(&self, key: &'static str) -> Option<(Vec<String>, Source)> {
        let given = self.args.values(key);
        if !given.is_empty() {
            return Some((given, Source::CommandLine(argument(key))));
        }
        if let Some(text) = (self.env)(&variable(key)).filter(|text| !text.is_empty()) {
            let texts = if matches!(
                key,
                "join" | "pipeline" | "labels" | "dead_letters" | "trusted_keys" | "revoked_operators"
            ) {
                split_list(&[text])
            } else {
                vec![text]
            };
            return Some((texts, Source::Environment(variable(key))));
        }
        let file = self.file?;
        Some((file.values(key)?, Source::File { key, path: file.path().to_owned() }))
    }

    fn one<T, E: fmt::Display>(&mut self, key: &'static str, parse: impl Fn(&str) -> Result<T, E>) -> Option<T> {
        self.list(key, parse)?.pop()
    }

    /// Every value of a setting; `None` if it is absent or one is wrong.
    fn list<T, E: fmt::Display>(&mut self, key: &'static str, parse: impl Fn(&str) -> Result<T, E>) -> Option<Vec<T>> {
        let (texts, source) = self.find(key)?;
        let before = self.problems.len();
        let mut values = Vec::new();
        for text in &texts {
            match parse(text) {
                Ok(value) => values.push(value),
                Err(expected) => self.problems.push(ValueProblem {
                    source_of: source.clone(),
                    found: quote(text),
                    expected: expected.to_string(),
                }),
            }
        }
        (self.problems.len() == before).then_some(values)
    }

    fn duration(&mut self, key: &'static str, range: RangeInclusive<Duration>) -> Option<Duration> {
        self.one(key, |text| {
            let duration = humantime::parse_duration(text).ok().filter(|duration| range.contains(duration));
            duration.ok_or_else(|| {
                let [start, end] = [range.start(), range.end()].map(|end| humantime::format_duration(*end));
                format!("a duration with its unit, as in 250ms or 5s, from {start} to {end}")
            })
        })
    }

    /// Paths; those of the file count from its directory, as it may be moved with what it names.
    fn paths(&mut self, key: &'static str) -> Option<Vec<PathBuf>> {
        let (_, source) = self.find(key)?;
        let base = match &source {
            Source::File { path, .. } => path.parent().map(Path::to_owned).unwrap_or_default(),
            _ => PathBuf::new(),
        };
        self.list(key, |text| {
            if text == "~" || text.starts_with("~/") {
                return Err("a path without `~`, which is not expanded: write the whole path");
            }
            if text.is_empty() || text.contains('\0') {
                return Err("a path");
            }
            Ok(base.join(text))
        })
    }
}

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const LEASE: RangeInclusive<Duration> = Duration::from_millis(300)..=MINUTE;
const HEARTBEAT: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(5);
const PING_INTERVAL: RangeInclusive<Duration> = Duration::from_millis(10)..=MINUTE;

fn socket_address(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse().map_err(|_| "an IP address and a port, as in 0.0.0.0:7440 or [::]:7440; names are not resolved here")
}

fn reachable_address(text: &str) -> Result<SocketAddr, &'static str> {
    let address = socket_address(text)?;
    let reachable = !address.ip().is_unspecified() && address.port() != 0;
    reachable.then_some(address).ok_or("an address others can send to, so neither 0.0.0.0 nor [::] nor port 0")
}

fn truth(text: &str) -> Result<bool, &'static str> {
    text.parse().map_err(|_| "true or false")
}

fn agreement(text: &str) -> Result<Agreement, &'static str> {
    match text {
        "islands" => Ok(Agreement::Islands),
        "quorum" => Ok(Agreement::Quorum),
        _ => Err("quorum or islands"),
    }
}

fn expect(text: &str) -> Result<u16, &'static str> {
    text.parse().ok().filter(|count| (1..=99).contains(count)).ok_or("an integer from 1 to 99")
}

fn voters(text: &str) -> Result<usize, &'static str> {
    text.parse()
        .ok()
        .filter(|count| [1, 3, 5, 7].contains(count))
        .ok_or("1, 3, 5 or 7: an even number bears no more losses than one less")
}

/// A label: a word, or a key and a value, as Kubernetes and others write them.
pub(crate) fn label(text: &str) -> Result<String, &'static str> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/' | '=');
    let fits = (1..=63).contains(&text.len()) && text.chars().all(is_part);
    fits.then(|| text.to_owned())
        .ok_or("1 to 63 of the characters a-z, A-Z, 0-9, `-`, `_`, `.`, `/` and `=`, as in `gpu` or `zone=a`")
}

fn operator(text: &str) -> Result<OperatorName, &'static str> {
    text.parse().map_err(|_| "the name of an operator, as in `forebay cluster add-operator NAME`")
}

fn ping_misses(text: &str) -> Result<u32, &'static str> {
    text.parse().ok().filter(|count| (2..=100).contains(count)).ok_or("an integer from 2 to 100")
}

fn threads(text: &str) -> Result<u16, &'static str> {
    text.parse().ok().filter(|count| *count <= 1024).ok_or("an integer from 0 to 1024")
}

fn mtu(text: &str) -> Result<u16, &'static str> {
    text.parse().ok().filter(|bytes| MTU.contains(bytes)).ok_or("an integer from 1200 to 6500")
}

fn output(text: &str) -> Result<OutputFormat, &'static str> {
    match text {
        "text" => Ok(OutputFormat::Text),
        "json" => Ok(OutputFormat::Json),
        _ => Err("text or json"),
    }
}

fn log_filter(text: &str) -> Result<String, &'static str> {
    let expected = "a level (error, warn, info, debug, trace, off), or TARGET=LEVEL separated by commas";
    EnvFilter::try_new(text).map(|_| text.to_owned()).map_err(|_| expected)
}

/// A value for a message: in quotation marks, escaped, cut to 80 characters.
fn quote(text: &str) -> String {
    let shown: String = text.chars().take(80).flat_map(char::escape_debug).collect();
    format!("\"{shown}\"")
}

#[cfg(test)]
mod tests;
