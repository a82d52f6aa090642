//! A node's settings in a TOML file.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::ConfigError;

/// A node's configuration file. Relative paths in it count from its own directory.
///
/// ```toml
/// name = "node-1"
/// join = ["node-2", "node-3:7441"]
/// pipeline = ["counter/pipeline.toml"]
/// ping_interval = "100ms"
/// ```
#[derive(Clone, Debug, Default)]
pub struct ConfigFile {
    path: PathBuf,
    keys: Keys,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    name: Option<String>,
    listen: Option<String>,
    join: Option<Vec<String>>,
    join_after: Option<String>,
    advertise: Option<String>,
    data: Option<String>,
    pipeline: Option<Vec<String>>,
    agreement: Option<String>,
    expect: Option<i64>,
    voters: Option<i64>,
    lease: Option<String>,
    heartbeat: Option<String>,
    labels: Option<Vec<String>>,
    settle: Option<String>,
    ping_interval: Option<String>,
    ping_misses: Option<i64>,
    mtu: Option<i64>,
    threads: Option<i64>,
    drain_timeout: Option<String>,
    dead_letters: Option<DeadLetters>,
    disk_reserve: Option<String>,
    trusted_keys: Option<Vec<String>>,
    require_signed: Option<bool>,
    revoked_operators: Option<Vec<String>>,
    output: Option<String>,
    log: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct DeadLetters {
    letters_max: Option<i64>,
    bytes_max: Option<String>,
}

impl DeadLetters {
    /// As an argument has it.
    fn bounds(&self) -> Vec<String> {
        let letters = self.letters_max.map(|count| format!("letters_max={count}"));
        letters.into_iter().chain(self.bytes_max.iter().map(|size| format!("bytes_max={size}"))).collect()
    }
}

impl ConfigFile {
    /// Reads the text of a configuration file. `path` is what errors call it, and what relative
    /// paths in it count from; nothing is opened.
    ///
    /// # Errors
    /// [`ConfigError::File`] if it is not TOML, a key is unknown or a value has the wrong type.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let keys = toml::from_str(text).map_err(|error| {
            // The line shown may hold anything; a terminal must not obey it.
            let safe = |c: char| if c.is_control() && c != '\n' { '?' } else { c };
            let message = error.to_string().trim_end().chars().map(safe).collect();
            ConfigError::File { path: path.to_owned(), message }
        })?;
        Ok(Self { path: path.to_owned(), keys })
    }

    /// The file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The values given for a setting. `None` if it is absent; an empty list is a value.
    pub(super) fn values(&self, key: &str) -> Option<Vec<String>> {
        let keys = &self.keys;
        let one = match key {
            "join" => return keys.join.clone(),
            "pipeline" => return keys.pipeline.clone(),
            "labels" => return keys.labels.clone(),
            "dead_letters" => return keys.dead_letters.as_ref().map(DeadLetters::bounds),
            "expect" => return keys.expect.map(|count| vec![count.to_string()]),
            "voters" => return keys.voters.map(|count| vec![count.to_string()]),
            "ping_misses" => return keys.ping_misses.map(|count| vec![count.to_string()]),
            "threads" => return keys.threads.map(|count| vec![count.to_string()]),
            "mtu" => return keys.mtu.map(|bytes| vec![bytes.to_string()]),
            "trusted_keys" => return keys.trusted_keys.clone(),
            "require_signed" => return keys.require_signed.map(|value| vec![value.to_string()]),
            "revoked_operators" => return keys.revoked_operators.clone(),
            "name" => &keys.name,
            "listen" => &keys.listen,
            "join_after" => &keys.join_after,
            "advertise" => &keys.advertise,
            "data" => &keys.data,
            "agreement" => &keys.agreement,
            "lease" => &keys.lease,
            "heartbeat" => &keys.heartbeat,
            "settle" => &keys.settle,
            "ping_interval" => &keys.ping_interval,
            "drain_timeout" => &keys.drain_timeout,
            "disk_reserve" => &keys.disk_reserve,
            "output" => &keys.output,
            "log" => &keys.log,
            _ => unreachable!("no setting is called {key}"),
        };
        one.clone().map(|value| vec![value])
    }
}
