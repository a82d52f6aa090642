//! The key `grants`.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    str::FromStr,
};

use super::{
    super::{
        fields::Node,
        problem::{Problems, quote},
    },
    Dir, Endpoint, EndpointError, Grants,
};

pub(in super::super) fn read(node: &Node<'_>, problems: &mut Problems) -> Option<Grants> {
    let mut fields = node.fields(problems, "a table, as in { tcp = [\"db.example:5432\"] }")?;
    let env = fields.optional(problems, "env", variables).unwrap_or_default();
    let env_from_host = fields.optional(problems, "env_from_host", |list, problems| {
        let names = names(list, problems)?;
        match names.iter().find(|name| env.contains_key(*name)) {
            Some(name) => {
                let found = format!("contradictory: {} is also in `env`", quote(name));
                list.problem(problems, found, "each variable once")
            }
            None => Some(names),
        }
    });
    let dirs = fields.optional(problems, "dirs", dirs);
    let tcp = fields.optional(problems, "tcp", endpoints);
    let udp = fields.optional(problems, "udp", endpoints);
    let resolve = fields.optional(problems, "resolve", |node, problems| node.flag(problems));
    fields.finish(problems);
    Some(Grants {
        env,
        env_from_host: env_from_host.unwrap_or_default(),
        dirs: dirs.unwrap_or_default(),
        tcp: tcp.unwrap_or_default(),
        udp: udp.unwrap_or_default(),
        resolve: resolve.unwrap_or_default(),
    })
}

fn variables(node: &Node<'_>, problems: &mut Problems) -> Option<BTreeMap<String, String>> {
    let mut variables = BTreeMap::new();
    for (name, node) in node.fields(problems, "a table, as in { NAME = \"value\" }")?.entries() {
        let value = node.text(problems, "a string")?;
        if !is_variable(name) {
            let found = format!("named {}", quote(name));
            return node.problem(problems, found, EXPECTED_VARIABLE);
        }
        if value.contains('\0') {
            return node.unexpected(problems, "a string without the character 0, which ends a variable");
        }
        variables.insert(name.to_owned(), value.to_owned());
    }
    Some(variables)
}

const EXPECTED_VARIABLE: &str = "the name of a variable: no `=`, no control character, not empty";

fn is_variable(name: &str) -> bool {
    !name.is_empty() && !name.contains(|c: char| c == '=' || c.is_control())
}

fn names(node: &Node<'_>, problems: &mut Problems) -> Option<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for element in node.elements(problems, "an array of names of variables, as in [\"DATABASE_URL\"]")? {
        match element.text(problems, EXPECTED_VARIABLE)? {
            name if !is_variable(name) => return element.unexpected(problems, EXPECTED_VARIABLE),
            name => names.insert(name.to_owned()),
        };
    }
    Some(names)
}

fn dirs(node: &Node<'_>, problems: &mut Problems) -> Option<BTreeMap<String, Dir>> {
    let mut dirs = BTreeMap::new();
    let expected = "an array of tables, as in [{ host = \"/srv/data\", guest = \"/data\" }]";
    for element in node.elements(problems, expected)? {
        let (guest, dir) = directory(&element, problems)?;
        let twice = format!("with the guest path {} for the second time", quote(&guest));
        if dirs.insert(guest, dir).is_some() {
            return element.problem(problems, twice, "each guest path once");
        }
    }
    Some(dirs)
}

fn directory(node: &Node<'_>, problems: &mut Problems) -> Option<(String, Dir)> {
    let mut fields = node.fields(problems, "a table, as in { host = \"/srv/data\", guest = \"/data\" }")?;
    let expected = "the directory's whole path on the node";
    let host = fields.required(problems, "host", expected, absolute);
    let guest = fields.required(problems, "guest", "the whole path under which the plugin sees it", absolute);
    let write = fields.optional(problems, "write", |node, problems| node.flag(problems));
    fields.finish(problems);
    Some((guest?, Dir { host: PathBuf::from(host?), write: write.unwrap_or_default() }))
}

/// A path that says by itself which directory it is: the stage may run on any node, in any directory.
fn absolute(node: &Node<'_>, problems: &mut Problems) -> Option<String> {
    let expected = "a whole path that begins with `/`, without `.`, `..` and empty parts, as in \"/srv/data\"";
    let text = node.text(problems, expected)?;
    let ok = text == "/"
        || text.strip_prefix('/').is_some_and(|parts| {
            parts.split('/').all(|part| !matches!(part, "" | "." | "..") && !part.contains(char::is_control))
        });
    if ok { Some(text.to_owned()) } else { node.unexpected(problems, expected) }
}

fn endpoints(node: &Node<'_>, problems: &mut Problems) -> Option<BTreeSet<Endpoint>> {
    let mut endpoints = BTreeSet::new();
    let expected = "an array of hosts with ports, as in [\"db.example:5432\", \"10.0.0.1:*\"]";
    for element in node.elements(problems, expected)? {
        let text = element.text(problems, "a host and a port, as in \"db.example:5432\"")?;
        match Endpoint::from_str(text) {
            Ok(endpoint) => endpoints.insert(endpoint),
            Err(EndpointError(expected)) => return element.unexpected(problems, expected),
        };
    }
    Some(endpoints)
}
