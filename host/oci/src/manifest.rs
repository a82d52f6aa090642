//! The CNCF's layout of a WebAssembly artefact: a manifest, a config and one layer.
//!
//! ```text
//! manifest   application/vnd.oci.image.manifest.v1+json
//!   config   application/vnd.wasm.config.v0+json    what it is: when made, imports, exports
//!   layer    application/wasm                       the component, byte for byte
//!   annotations                                     the signature among them
//! ```
//!
//! Source: tag-runtime.cncf.io, "Wasm OCI Artifact layout". What is read here came from a registry: nothing of it is
//! believed but what the digest of these bytes says.

use std::{collections::BTreeMap, time::SystemTime};

use forebay_proto::blob::{BLOB_BYTES_MAX, Digest};
use serde::{Deserialize, Serialize};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{component::Interfaces, error::Foreign};

pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
pub(crate) const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
pub(crate) const CONFIG: &str = "application/vnd.wasm.config.v0+json";
pub(crate) const LAYER: &str = "application/wasm";

/// The annotation that carries the minisign signature's text.
pub const SIGNATURE_ANNOTATION: &str = "org.forebay.minisig";

/// The annotation with a file's name, which `oras` and `wkg` write too.
const TITLE_ANNOTATION: &str = "org.opencontainers.image.title";

/// Longest manifest that is read: what registries take at least (distribution specification, "Pushing Manifests").
pub(crate) const MANIFEST_BYTES_MAX: u64 = 4 << 20;

/// What a manifest says of a blob.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    media_type: String,
    digest: String,
    size: u64,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Written<'a> {
    schema_version: u32,
    media_type: &'a str,
    config: Descriptor,
    layers: [Descriptor; 1],
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: &'a BTreeMap<String, String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Config<'a> {
    created: String,
    author: Option<&'a str>,
    architecture: &'a str,
    os: &'a str,
    layer_digests: [String; 1],
    component: &'a Interfaces,
}

/// Of a manifest only what is needed to tell what it is.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Read {
    schema_version: u32,
    media_type: Option<String>,
    artifact_type: Option<String>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    manifests: Option<Vec<serde_json::Value>>,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
}

/// The plugin that a manifest names.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Layer {
    pub(crate) digest: Digest,
    /// Declared; at most [`BLOB_BYTES_MAX`].
    pub(crate) bytes: u64,
    pub(crate) annotations: BTreeMap<String, String>,
}

/// The config's bytes.
pub(crate) fn write_config(
    created: SystemTime,
    author: Option<&str>,
    layer: Digest,
    component: &Interfaces,
) -> Vec<u8> {
    // Beyond year 9999 there is no such text; a file that claims it gets the first second instead.
    let whole = OffsetDateTime::from(created).replace_nanosecond(0).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let created = whole.format(&Rfc3339).unwrap_or_else(|_| "1970-01-01T00:00:00Z".to_owned());
    let layer_digests = [layer.to_string()];
    let config = Config { created, author, architecture: "wasm", os: "wasip2", layer_digests, component };
    serde_json::to_vec(&config).expect("names and texts can be written as JSON")
}

/// The manifest's bytes.
pub(crate) fn write(
    config: (Digest, u64),
    layer: (Digest, u64),
    title: Option<&str>,
    annotations: &BTreeMap<String, String>,
) -> Vec<u8> {
    let descriptor = |media_type: &str, (digest, size): (Digest, u64)| Descriptor {
        media_type: media_type.to_owned(),
        digest: digest.to_string(),
        size,
        annotations: BTreeMap::new(),
    };
    let mut layer = descriptor(LAYER, layer);
    layer.annotations.extend(title.map(|title| (TITLE_ANNOTATION.to_owned(), title.to_owned())));
    let config = descriptor(CONFIG, config);
    let manifest = Written { schema_version: 2, media_type: MANIFEST, config, layers: [layer], annotations };
    serde_json::to_vec(&manifest).expect("digests and texts can be written as JSON")
}

/// Reads a manifest that the registry declared as `declared`.
///
/// # Errors
/// What was found instead of a plugin.
pub(crate) fn read(bytes: &[u8], declared: Option<&str>) -> Result<Layer, Foreign> {
    let manifest: Read = serde_json::from_slice(bytes).map_err(|error| Foreign::Unreadable(error.to_string()))?;
    check_kind(&manifest, declared)?;
    let config = manifest.config.ok_or(Foreign::Lacks("config"))?;
    if config.media_type != CONFIG {
        let artefact = manifest.artifact_type.unwrap_or(config.media_type);
        return Err(Foreign::Kind { found: shown(&artefact), hint: hint_of(&artefact) });
    }
    let layers = manifest.layers.ok_or(Foreign::Lacks("layers"))?;
    let count = layers.len();
    let [layer] = <[Descriptor; 1]>::try_from(layers).map_err(|_| Foreign::Layers(count))?;
    if layer.media_type != LAYER {
        return Err(Foreign::Layer(shown(&layer.media_type)));
    }
    let digest = layer.digest.parse().map_err(|_| Foreign::Digest(shown(&layer.digest)))?;
    if layer.size > BLOB_BYTES_MAX {
        return Err(Foreign::TooLong { bytes: layer.size, bytes_max: BLOB_BYTES_MAX });
    }
    Ok(Layer { digest, bytes: layer.size, annotations: manifest.annotations.unwrap_or_default() })
}

/// Whether it is one image manifest and nothing else. A document that could be read as two kinds at once is refused
/// (CVE-2021-41190).
fn check_kind(manifest: &Read, declared: Option<&str>) -> Result<(), Foreign> {
    let inside = manifest.media_type.as_deref();
    if let Some(list) = &manifest.manifests {
        return Err(Foreign::Index(list.len()));
    }
    if let Some(kind) = [inside, declared].into_iter().flatten().find(|&kind| kind != MANIFEST) {
        return Err(Foreign::Kind { found: shown(kind), hint: hint_of(kind) });
    }
    match (inside.or(declared), manifest.schema_version) {
        (None, _) => Err(Foreign::Lacks("mediaType")),
        (Some(_), 2) => Ok(()),
        (Some(_), other) => Err(Foreign::Unreadable(format!("its schemaVersion is {other}, expected 2"))),
    }
}

fn hint_of(kind: &str) -> &'static str {
    match kind {
        INDEX | DOCKER_LIST => " (an image index: several images under one name)",
        DOCKER_MANIFEST | "application/vnd.docker.container.image.v1+json" => " (an image of Docker's)",
        "application/vnd.oci.image.config.v1+json" => " (a container image)",
        "application/vnd.wasm.config.v1+json" => {
            " (wasm-to-oci's own layout; push it again with `wkg` or `forebay push`)"
        }
        _ => "",
    }
}

/// A text of a registry's, safe to print.
pub(crate) fn shown(text: &str) -> String {
    text.escape_debug().take(200).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::*;

    const LAYER_DIGEST: Digest = Digest([7; 32]);

    fn good() -> Value {
        let annotations = BTreeMap::from([(SIGNATURE_ANNOTATION.to_owned(), "signed\n".to_owned())]);
        let bytes = write((Digest([1; 32]), 9), (LAYER_DIGEST, 1234), Some("a.wasm"), &annotations);
        serde_json::from_slice(&bytes).unwrap()
    }

    fn read_value(value: &Value, declared: Option<&str>) -> Result<Layer, Foreign> {
        read(value.to_string().as_bytes(), declared)
    }

    #[test]
    fn what_is_written_is_read() {
        let layer = read_value(&good(), Some(MANIFEST)).unwrap();
        assert_eq!((layer.digest, layer.bytes), (LAYER_DIGEST, 1234));
        assert_eq!(layer.annotations[SIGNATURE_ANNOTATION], "signed\n");
        // Without annotations there is no empty object: oci-client writes none either.
        let bytes = write((Digest([1; 32]), 9), (LAYER_DIGEST, 1), None, &BTreeMap::new());
        assert!(!String::from_utf8(bytes).unwrap().contains("annotations"));
    }

    #[test]
    fn the_manifest_and_the_config_are_the_cncfs() {
        let expected = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {"mediaType": "application/vnd.wasm.config.v0+json", "digest": Digest([1; 32]).to_string(), "size": 9},
            "layers": [{
                "mediaType": "application/wasm", "digest": LAYER_DIGEST.to_string(), "size": 1234,
                "annotations": {"org.opencontainers.image.title": "a.wasm"},
            }],
            "annotations": {"org.forebay.minisig": "signed\n"},
        });
        assert_eq!(good(), expected);
        let component = Interfaces { exports: vec!["a:b/c@1.0.0".to_owned()], imports: vec!["run".to_owned()] };
        let created = SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_900);
        let config: Value =
            serde_json::from_slice(&write_config(created, Some("me"), LAYER_DIGEST, &component)).unwrap();
        let expected = json!({
            "created": "2023-11-14T22:13:20Z", "author": "me", "architecture": "wasm", "os": "wasip2",
            "layerDigests": [LAYER_DIGEST.to_string()],
            "component": {"exports": ["a:b/c@1.0.0"], "imports": ["run"]},
        });
        assert_eq!(config, expected);
    }

    #[test]
    fn what_is_no_plugin_is_named() {
        type Change = fn(&mut Value);
        let cases: &[(Change, &str)] = &[
            (|m| m["mediaType"] = json!(DOCKER_MANIFEST), "an image of Docker's"),
            (|m| m["mediaType"] = json!(INDEX), "an image index"),
            (|m| m["manifests"] = json!([{}, {}]), "2 manifests"),
            (|m| m["config"]["mediaType"] = json!("application/vnd.oci.image.config.v1+json"), "a container image"),
            (|m| m["config"]["mediaType"] = json!("application/vnd.wasm.config.v1+json"), "wasm-to-oci"),
            (|m| m["layers"] = json!([]), "0 layers"),
            (
                |m| {
                    let l = m["layers"][0].clone();
                    m["layers"] = json!([l, l]);
                },
                "2 layers",
            ),
            (|m| m["layers"][0]["mediaType"] = json!("application/gzip\u{1b}"), "application/gzip\\u{1b}"),
            (|m| m["layers"][0]["digest"] = json!("sha512:00"), "sha512:00"),
            (|m| m["layers"][0]["size"] = json!(BLOB_BYTES_MAX + 1), "67108865 bytes"),
            (|m| m["layers"][0]["size"] = json!(-1), "invalid value"),
            (|m| m["schemaVersion"] = json!(1), "schemaVersion is 1"),
            (|m| drop(m.as_object_mut().unwrap().remove("config")), "no `config`"),
            (|m| drop(m.as_object_mut().unwrap().remove("layers")), "no `layers`"),
        ];
        for (change, expected) in cases {
            let mut manifest = good();
            change(&mut manifest);
            let found = read_value(&manifest, Some(MANIFEST)).unwrap_err().to_string();
            assert!(found.contains(expected), "{expected}: {found}");
        }
        assert!(matches!(read(b"<html>", None), Err(Foreign::Unreadable(_))));
    }

    #[test]
    fn the_registry_and_the_manifest_must_agree_on_what_it_is() {
        assert!(matches!(read_value(&good(), Some(INDEX)), Err(Foreign::Kind { .. })));
        let mut silent = good();
        silent.as_object_mut().unwrap().remove("mediaType");
        assert!(read_value(&silent, Some(MANIFEST)).is_ok());
        assert_eq!(read_value(&silent, None), Err(Foreign::Lacks("mediaType")));
    }
}
