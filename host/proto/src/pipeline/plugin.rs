//! The keys `plugin` and `follow`: where a stage's code is.

use std::path::PathBuf;

use super::{
    PluginRef,
    fields::{Fields, Node},
    problem::{Problems, quote},
};
use crate::{blob::Digest, ids::StageName};

/// What `plugin` may be.
pub(super) const EXPECTED: &str = "the path of a component, as in \"./a.wasm\", the name of a plugin in the cluster's store, or `builtin:` and a name";

/// A text with `/` or with `.wasm` at its end is a path, anything else a name.
pub(super) fn read(node: &Node<'_>, problems: &mut Problems) -> Option<PluginRef> {
    let text = node.text(problems, EXPECTED)?;
    if let Some(name) = text.strip_prefix("builtin:") {
        let expected = "the name of a built-in stage after `builtin:`, as in \"builtin:lines\"";
        return match name.parse::<StageName>() {
            Ok(_) => Some(PluginRef::Builtin(name.to_owned())),
            Err(_) => node.unexpected(problems, expected),
        };
    }
    if text.is_empty() || text.contains(char::is_control) {
        return node.unexpected(problems, EXPECTED);
    }
    if text == "~" || text.starts_with("~/") {
        let expected = "a path without `~`, which is not expanded: write the whole path, \
                        or one from the directory of this file";
        return node.unexpected(problems, expected);
    }
    match text.contains('/') || text.ends_with(".wasm") {
        true => Some(PluginRef::File(PathBuf::from(text))),
        false => named(text, node, problems),
    }
}

fn named(text: &str, node: &Node<'_>, problems: &mut Problems) -> Option<PluginRef> {
    let (name, digest) = match text.split_once('@') {
        Some((name, digest)) => (name, Some(digest)),
        None => (text, None),
    };
    let Ok(name) = name.parse() else {
        let expected = "a name of 1 to 63 of the characters a-z, 0-9, `.`, `_` and `-`, beginning with a letter or \
                        digit, or a path, which has a `/` or `.wasm` at its end";
        return node.unexpected(problems, expected);
    };
    match digest.map(str::parse::<Digest>).transpose() {
        Ok(digest) => Some(PluginRef::Name { name, digest }),
        Err(_) => node.unexpected(problems, "a digest after `@`: `sha256:` and 64 of the characters 0-9 and a-f"),
    }
}

/// The key `follow`, which needs a `plugin` that can be followed.
pub(super) fn follow(fields: &mut Fields<'_>, plugin: Option<&PluginRef>, problems: &mut Problems) -> bool {
    let read = |node: &Node<'_>, problems: &mut Problems| {
        let follow = node.flag(problems)?;
        let found = match plugin {
            Some(PluginRef::File(_)) => "true, and the plugin is a file",
            Some(PluginRef::Builtin(_)) => "true, and the plugin is a part of the host",
            Some(PluginRef::Name { digest: Some(_), .. }) => "true, and the plugin is pinned by its digest",
            Some(PluginRef::Name { digest: None, .. }) | None => return Some(follow),
        };
        match follow {
            true => node.problem(problems, found, "it only with a plugin's name alone, as in plugin = \"counter\""),
            false => Some(false),
        }
    };
    fields.optional(problems, "follow", read).unwrap_or_default()
}

/// Only what is not the host itself can be granted anything.
pub(super) fn may_be_granted(node: &Node<'_>, plugin: Option<&PluginRef>, problems: &mut Problems) -> Option<()> {
    let Some(builtin @ PluginRef::Builtin(_)) = plugin else { return Some(()) };
    let found = format!("there, and the plugin is {}", quote(&builtin.to_string()));
    node.problem(problems, found, "it only with a component, as a built-in stage is the host itself")
}
