//! Settings: which layer wins, and the exact words about what is wrong.

use std::collections::BTreeSet;

use clap::Args;

use super::*;

fn no_env(_: &str) -> Option<String> {
    None
}

fn file(text: &str) -> ConfigFile {
    ConfigFile::parse(text, Path::new("etc/node.toml")).unwrap_or_else(|error| panic!("{error}"))
}

fn from_file(text: &str) -> Result<NodeConfig, ConfigError> {
    NodeConfig::resolve(&NodeArgs::default(), &no_env, Some(&file(text)))
}

fn named() -> NodeArgs {
    NodeArgs { name: Some("n1".into()), ..NodeArgs::default() }
}

#[test]
fn a_name_is_all_a_node_needs() {
    let config = NodeConfig::resolve(&named(), &no_env, None).unwrap();
    assert_eq!(config, NodeConfig::new("n1".parse().unwrap()));
    assert_eq!(config.lost_after(), Duration::from_millis(500));
}

#[test]
fn the_command_line_wins_over_the_environment_over_the_file() {
    let file = file("name = \"file\"\nlog = \"error\"\nping_misses = 7\nsettle = \"7s\"\n");
    let env = |variable: &str| match variable {
        "FOREBAY_NAME" => Some("env".to_owned()),
        "FOREBAY_LOG" => Some("debug".to_owned()),
        "FOREBAY_SETTLE" => Some(String::new()),
        _ => None,
    };
    let config = NodeConfig::resolve(&named(), &env, Some(&file)).unwrap();
    assert_eq!((config.name.as_str(), &*config.log, config.ping_misses), ("n1", "debug", 7));
    assert_eq!(config.settle, Duration::from_secs(7), "an empty variable counts as absent");
    assert_eq!(config.drain_timeout, Duration::from_secs(5));
}

#[test]
fn lists_are_given_in_the_ways_of_each_layer() {
    let peers = ["a:7440", "b:1", "[::1]:7440"];
    let shown = |config: &NodeConfig| config.join.iter().map(PeerAddr::to_string).collect::<Vec<_>>();
    let args = NodeArgs { join: vec!["a,b:1".into(), "[::1]".into()], ..named() };
    assert_eq!(shown(&NodeConfig::resolve(&args, &no_env, None).unwrap()), peers);
    let env = |variable: &str| (variable == "FOREBAY_JOIN").then(|| "a, b:1 ,[::1],".to_owned());
    assert_eq!(shown(&NodeConfig::resolve(&named(), &env, None).unwrap()), peers);
    assert_eq!(shown(&from_file("name = \"n\"\njoin = [\"a\", \"b:1\", \"[::1]\"]").unwrap()), peers);
}

#[test]
fn bounds_are_given_in_the_ways_of_each_layer() {
    let expected = Bounds { letters_max: 7, bytes_max: 32 << 20 };
    let args = NodeArgs { dead_letters: vec!["letters_max=7,bytes_max=32MiB".into()], ..named() };
    assert_eq!(NodeConfig::resolve(&args, &no_env, None).unwrap().dead_letters, expected);
    let env =
        |variable: &str| (variable == "FOREBAY_DEAD_LETTERS").then(|| "bytes_max=32MiB, letters_max=7".to_owned());
    assert_eq!(NodeConfig::resolve(&named(), &env, None).unwrap().dead_letters, expected);
    let table = "name = \"n\"\ndead_letters = { letters_max = 7, bytes_max = \"32MiB\" }";
    assert_eq!(from_file(table).unwrap().dead_letters, expected);
    let wrong = from_file("name = \"n\"\n[dead_letters]\nletters_max = 0\n").unwrap_err().to_string();
    assert!(
        wrong.starts_with("`dead_letters` in etc/node.toml is \"letters_max=0\"; expected letters_max=COUNT"),
        "{wrong}"
    );
}

#[test]
fn paths_of_a_file_count_from_its_directory() {
    let config = from_file("name = \"n\"\ndata = \"data\"\npipeline = [\"a.toml\", \"/b.toml\"]").unwrap();
    assert_eq!(config.data, Path::new("etc/data"));
    assert_eq!(config.pipeline, [Path::new("etc/a.toml"), Path::new("/b.toml")]);
    let args = NodeArgs { pipeline: vec!["a,b.toml".into()], ..named() };
    let config = NodeConfig::resolve(&args, &no_env, None).unwrap();
    assert_eq!(config.pipeline, [Path::new("a,b.toml")], "a comma may stand in an argument's path");
}

#[test]
fn keys_are_given_in_the_ways_of_each_layer_and_required_only_if_there_are_any() {
    let key = include_str!("../../tests/signed/key.pub").lines().nth(1).unwrap();
    let expected = TrustedKeys { keys: vec![TrustedKey::parse(key).unwrap()], require_signed: true };
    let of = |args: &NodeArgs| NodeConfig::resolve(args, &no_env, None).unwrap().trusted_keys;
    let require_signed = Some("true".to_owned());
    assert_eq!(of(&NodeArgs { trusted_keys: vec![key.into()], require_signed, ..named() }), expected);
    let env = |variable: &str| match variable {
        "FOREBAY_TRUSTED_KEYS" => Some(format!("{key},")),
        "FOREBAY_REQUIRE_SIGNED" => Some("true".to_owned()),
        _ => None,
    };
    assert_eq!(NodeConfig::resolve(&named(), &env, None).unwrap().trusted_keys, expected);
    let text = format!("name = \"n\"\ntrusted_keys = [\"{key}\"]\nrequire_signed = true\n");
    assert_eq!(from_file(&text).unwrap().trusted_keys, expected);
    let wrong = |lines: &str| from_file(&format!("name = \"n\"\n{lines}\n")).unwrap_err().to_string();
    assert_eq!(
        wrong("require_signed = true"),
        "`require_signed` in etc/node.toml is \"true\"; expected at least one key in `trusted_keys` with it"
    );
    assert_eq!(
        wrong("trusted_keys = [\"RWQ\"]\nrequire_signed = true"),
        "`trusted_keys` in etc/node.toml is \"RWQ\"; expected a public key of minisign: the second line of its \
         `.pub` file, as in RWQf6LRC..."
    );
}

#[test]
fn every_wrong_value_is_told_with_its_source() {
    let file = file("settle = \"5\"\nping_misses = 1\ndata = \"~/x\"\n");
    let args = NodeArgs { listen: Some("localhost:7440".into()), join: vec!["::1".into()], ..NodeArgs::default() };
    let env = |variable: &str| match variable {
        "FOREBAY_PING_INTERVAL" => Some("1ms".to_owned()),
        "FOREBAY_ADVERTISE" => Some("0.0.0.0:7440".to_owned()),
        "FOREBAY_OUTPUT" => Some("\u{1b}[31m".to_owned()),
        "FOREBAY_AGREEMENT" => Some("majority".to_owned()),
        "FOREBAY_LOG" => Some("a=b=c".to_owned()),
        _ => None,
    };
    let error = NodeConfig::resolve(&args, &env, Some(&file)).unwrap_err().to_string();
    let expected = [
        "`--name` is missing; expected a name for this node here, in `FOREBAY_NAME`, or as `name` in a file: \
         1 to 63 of the characters a-z, 0-9, `.`, `_` and `-`, beginning with a letter or digit",
        "`--listen` is \"localhost:7440\"; expected an IP address and a port, as in 0.0.0.0:7440 or [::]:7440; \
         names are not resolved here",
        "`--join` is \"::1\"; expected HOST, HOST:PORT or [IPV6]:PORT, with a port from 1 to 65535, \
         as in node-1.example or 10.0.0.1:7440",
        "`FOREBAY_ADVERTISE` is \"0.0.0.0:7440\"; expected an address others can send to, \
         so neither 0.0.0.0 nor [::] nor port 0",
        "`data` in etc/node.toml is \"~/x\"; expected a path without `~`, which is not expanded: write the whole path",
        "`FOREBAY_AGREEMENT` is \"majority\"; expected quorum or islands",
        "`settle` in etc/node.toml is \"5\"; expected a duration with its unit, as in 250ms or 5s, from 0s to 1m",
        "`FOREBAY_PING_INTERVAL` is \"1ms\"; expected a duration with its unit, as in 250ms or 5s, from 10ms to 1m",
        "`ping_misses` in etc/node.toml is \"1\"; expected an integer from 2 to 100",
        "`FOREBAY_OUTPUT` is \"\\u{1b}[31m\"; expected text or json",
        "`FOREBAY_LOG` is \"a=b=c\"; expected a level (error, warn, info, debug, trace, off), \
         or TARGET=LEVEL separated by commas",
    ];
    assert_eq!(error.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn an_unknown_key_of_the_file_is_told_with_its_place() {
    let error = ConfigFile::parse("name = \"n\"\nlitsen = 1\n", Path::new("etc/node.toml")).unwrap_err().to_string();
    let lines: Vec<_> = error.lines().collect();
    assert_eq!(lines[0], "etc/node.toml: TOML parse error at line 2, column 1");
    assert!(lines[4].starts_with("unknown field `litsen`, expected one of `name`, `listen`,"), "{error}");
}

#[test]
fn the_configuration_file_is_named_by_an_argument_or_a_variable() {
    let env = |variable: &str| (variable == "FOREBAY_CONFIG").then(|| "env.toml".to_owned());
    assert_eq!(config_path(&NodeArgs::default(), &env), Some("env.toml".into()));
    let args = NodeArgs { config: Some("arg.toml".into()), ..NodeArgs::default() };
    assert_eq!(config_path(&args, &env), Some("arg.toml".into()));
    assert_eq!(config_path(&NodeArgs::default(), &no_env), None);
}

/// Rows of keys.md: key and default.
fn rows() -> Vec<[&'static str; 2]> {
    let rows = include_str!("keys.md").lines().filter(|line| line.starts_with("| `"));
    let cells = |row: &'static str| row.split(" | ").map(|cell| cell.trim_matches(['|', ' '])).collect::<Vec<_>>();
    rows.map(cells).map(|cells| [cells[0].trim_matches('`'), cells[1].trim_matches('`')]).collect()
}

fn clap_command() -> clap::Command {
    NodeArgs::augment_args(clap::Command::new("test"))
}

#[test]
fn the_table_the_arguments_and_the_file_hold_the_same_keys() {
    let documented: BTreeSet<_> = rows().iter().map(|[key, _]| (*key).to_owned()).collect();
    let arguments = clap_command().get_arguments().map(|arg| arg.get_id().to_string()).collect::<BTreeSet<_>>();
    let arguments: BTreeSet<_> = arguments.into_iter().filter(|key| key != "config").collect();
    assert_eq!(arguments, documented);
    let error = ConfigFile::parse("x = 1", Path::new("f")).unwrap_err().to_string();
    let fields =
        error.split_once("expected one of ").unwrap().1.split(", ").map(|key| key.trim_matches('`').to_owned());
    assert_eq!(fields.collect::<BTreeSet<_>>(), documented);
}

#[test]
fn every_default_in_the_table_is_the_real_one() {
    for [key, default] in rows() {
        let real = match (key, default) {
            ("name", default) => default == "required",
            ("advertise", default) => default == "none" && NodeConfig::new("n".parse().unwrap()).advertise.is_none(),
            ("expect", default) => {
                let joins = from_file("name = \"n\"\njoin = [\"a\"]").unwrap();
                let founds = NodeConfig::new("n".parse().unwrap());
                default == "1 without join, else none" && (founds.expected(), joins.expected()) == (1, 0)
            }
            ("data", default) => NodeConfig::new("n".parse().unwrap()).data == Path::new(&default.replace("NAME", "n")),
            (key, default) => from_file(&format!("name = \"n\"\n{key} = {default}\n")) == from_file("name = \"n\""),
        };
        assert!(real, "{key} is not {default} by default");
    }
}

#[test]
fn the_help_of_every_argument_names_its_variable_and_its_default() {
    let rows = rows();
    for argument in clap_command().get_arguments().filter(|argument| argument.get_id() != "config") {
        let key = argument.get_id().as_str();
        let help = argument.get_help().unwrap().to_string();
        assert!(help.contains(&format!("[env: {}]", variable(key))), "{key}: {help}");
        let default = rows.iter().find(|[name, _]| *name == key).unwrap()[1].trim_matches('"');
        let default = match default {
            "required" => "required".to_owned(),
            "[]" => "[default: none]".to_owned(),
            // An argument has it without the signs of TOML.
            table if table.starts_with('{') => {
                let bare = table.replace(['{', '}', ' ', '"'], "");
                format!("[default: {bare}]")
            }
            default => format!("[default: {default}]"),
        };
        assert!(help.contains(&default), "{key}: `{default}` is not in `{help}`");
    }
}
