//! The SDK as a package that stands alone: its `Cargo.toml` here inherits from our workspace, a project has none.

use std::fmt::Write;

use toml::{Table, Value};

/// A file of `sdk/rust` as it is unpacked into a project.
pub(crate) fn unpacked(path: &str, bytes: &[u8]) -> Vec<u8> {
    if path != "Cargo.toml" {
        return bytes.to_vec();
    }
    let own: Table = std::str::from_utf8(bytes).ok().and_then(|text| text.parse().ok()).expect("cargo has read it");
    let top: Table = crate::sdk::file("Cargo.toml").and_then(|text| text.parse().ok()).expect("cargo has read it");
    alone(&own, &top["workspace"]).into_bytes()
}

/// The manifest with everything that is inherited written out, and without lints.
fn alone(own: &Table, workspace: &Value) -> String {
    let mut text = "# Written by `forebay`.\n[package]\n".to_owned();
    for (key, value) in own["package"].as_table().into_iter().flatten() {
        let value = if is_inherited(value) { &workspace["package"][key] } else { value };
        writeln!(text, "{key} = {}", value).expect("writing to memory does not fail");
    }
    text.push_str("\n[dependencies]\n");
    for (name, value) in own["dependencies"].as_table().into_iter().flatten() {
        let value = if is_inherited(value) { &workspace["dependencies"][name] } else { value };
        writeln!(text, "{name} = {}", value).expect("writing to memory does not fail");
    }
    text
}

fn is_inherited(value: &Value) -> bool {
    value.get("workspace").and_then(Value::as_bool) == Some(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sdk_stands_alone() {
        let own = crate::sdk::file("sdk/rust/Cargo.toml").unwrap();
        let text = String::from_utf8(unpacked("Cargo.toml", own.as_bytes())).unwrap();
        let alone: Table = text.parse().expect("a manifest");
        assert_eq!(alone["package"]["version"].as_str(), Some(env!("CARGO_PKG_VERSION")));
        assert!(!text.contains("workspace"), "{text}");
        let bindgen = &alone["dependencies"]["wit-bindgen"];
        assert_eq!(bindgen["default-features"].as_bool(), Some(false), "{text}");
        assert!(bindgen["version"].is_str() && alone["dependencies"]["serde"]["features"].is_array(), "{text}");
    }

    #[test]
    fn other_files_stay_as_they_are() {
        assert_eq!(unpacked("src/lib.rs", b"x"), b"x");
    }
}
