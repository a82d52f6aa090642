//! A node's settings on the command line.

use std::path::PathBuf;

/// The settings of a node as command-line arguments. All optional: what is absent comes from the
/// environment, the file or the defaults, see [`NodeConfig::resolve`](super::NodeConfig::resolve).
///
/// Texts, so that a wrong value is told in the same words wherever it came from. The environment is
/// not read by clap, which would not say which of the two a value came from.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct NodeArgs {
    /// File with these settings in TOML; an argument or a variable takes precedence over it
    /// [env: FOREBAY_CONFIG]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Name of this node, unique in the cluster [env: FOREBAY_NAME], required
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,

    /// Address to listen on, UDP [env: FOREBAY_LISTEN] [default: 0.0.0.0:7440]
    #[arg(long, value_name = "IP:PORT")]
    pub listen: Option<String>,

    /// Nodes to connect to; repeat it, or separate them by commas. Port 7440 unless given
    /// [env: FOREBAY_JOIN] [default: none]
    #[arg(long, value_name = "HOST[:PORT]")]
    pub join: Vec<String>,

    /// Time to wait before connecting to the nodes of `--join`: lets a demonstration begin with
    /// islands [env: FOREBAY_JOIN_AFTER] [default: 0s]
    #[arg(long, value_name = "DURATION")]
    pub join_after: Option<String>,

    /// Address other nodes are told to reach this one at, if it is not the one they see
    /// [env: FOREBAY_ADVERTISE] [default: none]
    #[arg(long, value_name = "IP:PORT")]
    pub advertise: Option<String>,

    /// Directory for what this node keeps [env: FOREBAY_DATA] [default: forebay-data/NAME]
    #[arg(long, value_name = "DIRECTORY")]
    pub data: Option<String>,

    /// Pipeline file to run; repeat it for several. In the variable, separate them by commas
    /// [env: FOREBAY_PIPELINE] [default: none]
    #[arg(long, value_name = "FILE")]
    pub pipeline: Vec<String>,

    /// How nodes agree on the owner of a global stage: `quorum` or `islands`
    /// [env: FOREBAY_AGREEMENT] [default: quorum]
    #[arg(long, value_name = "MODE")]
    pub agreement: Option<String>,

    /// Nodes that found the group together, this one included; the same on all of them
    /// [env: FOREBAY_EXPECT] [default: 1 without join, else none]
    #[arg(long, value_name = "COUNT")]
    pub expect: Option<String>,

    /// Members of the group that vote at most: 1, 3, 5 or 7 [env: FOREBAY_VOTERS] [default: 3]
    #[arg(long, value_name = "COUNT")]
    pub voters: Option<String>,

    /// Time an owner that is not heard is waited for before its names move
    /// [env: FOREBAY_LEASE] [default: 1200ms]
    #[arg(long, value_name = "DURATION")]
    pub lease: Option<String>,

    /// Time between two signs of life of the group's leader; when three to six are missing, another
    /// is elected [env: FOREBAY_HEARTBEAT] [default: 75ms]
    #[arg(long, value_name = "DURATION")]
    pub heartbeat: Option<String>,

    /// What stages may ask of their node, as in `gpu` or `zone=a`; repeat it, or separate by commas
    /// [env: FOREBAY_LABELS] [default: none]
    #[arg(long, value_name = "LABEL")]
    pub labels: Vec<String>,

    /// Time a starting node waits for the nodes of `--join` before it claims global stages on its
    /// own [env: FOREBAY_SETTLE] [default: 1s]
    #[arg(long, value_name = "DURATION")]
    pub settle: Option<String>,

    /// Time between two pings of a peer [env: FOREBAY_PING_INTERVAL] [default: 100ms]
    #[arg(long, value_name = "DURATION")]
    pub ping_interval: Option<String>,

    /// Intervals without a word from a peer after which it is taken for lost
    /// [env: FOREBAY_PING_MISSES] [default: 5]
    #[arg(long, value_name = "COUNT")]
    pub ping_misses: Option<String>,

    /// Longest payload of a UDP packet, 1200 to 6500 bytes; above 1452 where all between the nodes takes
    /// jumbo frames [env: FOREBAY_MTU] [default: 1452]
    #[arg(long, value_name = "BYTES")]
    pub mtu: Option<String>,

    /// Threads for stages and the network, up to 1024; 0: one for each processor, which is too many where
    /// several nodes share a machine [env: FOREBAY_THREADS] [default: 0]
    #[arg(long, value_name = "COUNT")]
    pub threads: Option<String>,

    /// Time a stopping stage has for events in flight [env: FOREBAY_DRAIN_TIMEOUT] [default: 5s]
    #[arg(long, value_name = "DURATION")]
    pub drain_timeout: Option<String>,

    /// How many events that could not be processed are kept; separate the two by a comma
    /// [env: FOREBAY_DEAD_LETTERS] [default: letters_max=10000,bytes_max=64MiB]
    #[arg(long, value_name = "BOUNDS")]
    pub dead_letters: Vec<String>,
    /// Room that must stay free on the disk of `--data`; with less no events are ingested
    /// [env: FOREBAY_DISK_RESERVE] [default: 64MiB]
    #[arg(long, value_name = "SIZE")]
    pub disk_reserve: Option<String>,

    /// Public keys of minisign whose plugins are taken; repeat it, or separate by commas
    /// [env: FOREBAY_TRUSTED_KEYS] [default: none]
    #[arg(long, value_name = "KEY")]
    pub trusted_keys: Vec<String>,

    /// Whether plugins that none of `--trusted-keys` has signed are refused: `true` or `false`
    /// [env: FOREBAY_REQUIRE_SIGNED] [default: false]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub require_signed: Option<String>,

    /// Operators whose certificates are refused though still valid; repeat it, or separate by commas
    /// [env: FOREBAY_REVOKED_OPERATORS] [default: none]
    #[arg(long, value_name = "NAME")]
    pub revoked_operators: Vec<String>,

    /// Form of what is printed: `text` or `json` [env: FOREBAY_OUTPUT] [default: text]
    #[arg(long, value_name = "FORM")]
    pub output: Option<String>,

    /// What is logged: a level, or TARGET=LEVEL separated by commas
    /// [env: FOREBAY_LOG] [default: info]
    #[arg(long, value_name = "FILTER")]
    pub log: Option<String>,
}

impl NodeArgs {
    /// The values given for a setting; empty if none.
    pub(super) fn values(&self, key: &str) -> Vec<String> {
        let one = match key {
            "join" => return super::split_list(&self.join),
            "pipeline" => return self.pipeline.clone(),
            "labels" => return super::split_list(&self.labels),
            "dead_letters" => return super::split_list(&self.dead_letters),
            "trusted_keys" => return super::split_list(&self.trusted_keys),
            "revoked_operators" => return super::split_list(&self.revoked_operators),
            "require_signed" => &self.require_signed,
            "name" => &self.name,
            "listen" => &self.listen,
            "join_after" => &self.join_after,
            "advertise" => &self.advertise,
            "data" => &self.data,
            "agreement" => &self.agreement,
            "expect" => &self.expect,
            "voters" => &self.voters,
            "lease" => &self.lease,
            "heartbeat" => &self.heartbeat,
            "settle" => &self.settle,
            "ping_interval" => &self.ping_interval,
            "ping_misses" => &self.ping_misses,
            "mtu" => &self.mtu,
            "threads" => &self.threads,
            "drain_timeout" => &self.drain_timeout,
            "disk_reserve" => &self.disk_reserve,
            "output" => &self.output,
            "log" => &self.log,
            _ => unreachable!("no setting is called {key}"),
        };
        one.iter().cloned().collect()
    }
}
