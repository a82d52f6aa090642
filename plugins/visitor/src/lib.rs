//! A producer that tries what it may do outside, for tests of grants.
//!
//! On each call of `handle-demand` it takes the next of its `steps`, emits how that went as one event
//! (`ok: …` or `error: …`), and after the last it emits nothing more.
//!
//! | config  | default | meaning                                    |
//! |---------|---------|--------------------------------------------|
//! | `steps` | `[]`    | what to try, in order; see the table below |
//!
//! | step               | what it tries                                               | what is told if it works |
//! |--------------------|-------------------------------------------------------------|--------------------------|
//! | `env NAME`         | to read a variable                                          | its value                |
//! | `read PATH`        | to read a file                                              | its text                 |
//! | `write PATH TEXT`  | to write a file                                             | nothing                  |
//! | `list PATH`        | to list a directory                                         | the names, sorted        |
//! | `connect ADDRESS`  | to connect over TCP, and to read to the end                 | what it read             |
//! | `listen ADDRESS`   | to listen for connections over TCP                          | `listens`                |
//! | `lookup NAME`      | to look a name up                                           | the addresses, sorted    |
//! | `send ADDRESS`     | to send `ping` over UDP, and to wait up to 1 s for a datagram | what came              |
//! | `bind ADDRESS`     | to bind a UDP socket                                        | `bound`                  |

use std::{env, fs, io};

use forebay_sdk::{Context, Events, Producer, StageError};
use serde::Deserialize;

#[cfg(target_os = "wasi")]
mod net;

/// What the pipeline file may say; see the table above.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    steps: Vec<String>,
}

/// The stage.
#[derive(Debug)]
pub struct Visitor {
    steps: std::vec::IntoIter<String>,
}

impl Producer for Visitor {
    type Config = Config;

    fn init(context: Context<Config>) -> Result<Self, String> {
        Ok(Self { steps: context.config.steps.into_iter() })
    }

    fn handle_demand(&mut self, _demand: u32, events: &mut Events) -> Result<(), StageError> {
        let Some(step) = self.steps.next() else { return Ok(()) };
        match attempt(&step) {
            Ok(told) => events.push_format(format_args!("ok: {told}")),
            Err(error) => events.push_format(format_args!("error: {error}")),
        };
        Ok(())
    }
}

fn attempt(step: &str) -> Result<String, String> {
    let (action, rest) = step.split_once(' ').ok_or("a step is an action and what to try it on")?;
    let (what, more) = rest.split_once(' ').unwrap_or((rest, ""));
    let told = match action {
        "env" => return env::var(what).map_err(|error| error.to_string()),
        "read" => fs::read_to_string(what),
        "write" => fs::write(what, more).map(|()| String::new()),
        "list" => list(what),
        #[cfg(target_os = "wasi")]
        "connect" => return net::connect(what),
        #[cfg(target_os = "wasi")]
        "listen" => return net::listen(what),
        #[cfg(target_os = "wasi")]
        "lookup" => return net::lookup(what),
        #[cfg(target_os = "wasi")]
        "send" => return net::send(what),
        #[cfg(target_os = "wasi")]
        "bind" => return net::bind(what),
        _ => return Err(format!("no action `{action}`")),
    };
    told.map_err(|error| error.to_string())
}

fn list(path: &str) -> io::Result<String> {
    let names = fs::read_dir(path)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    let mut names = names.collect::<io::Result<Vec<_>>>()?;
    names.sort();
    Ok(names.join(" "))
}

forebay_sdk::export_producer!(Visitor);

#[cfg(test)]
mod tests {
    use forebay_sdk::testing::{self, json};

    #[test]
    fn tells_how_each_step_went_and_then_nothing() {
        let folder = env!("CARGO_MANIFEST_DIR");
        let steps = [format!("list {folder}"), format!("read {folder}/none"), "dance x".to_owned()];
        let mut stage = testing::producer::<super::Visitor>(json!({ "steps": steps })).unwrap();
        assert_eq!(stage.demand(9).unwrap().texts(), ["ok: Cargo.toml src"]);
        assert!(stage.demand(9).unwrap().texts()[0].starts_with("error: No such file"));
        assert_eq!(stage.demand(9).unwrap().texts(), ["error: no action `dance`"]);
        assert!(stage.demand(9).unwrap().texts().is_empty());
    }
}
