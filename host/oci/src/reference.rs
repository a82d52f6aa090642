//! What names a plugin in a registry: `HOST[:PORT]/NAME:TAG`, `HOST[:PORT]/NAME@sha256:DIGEST`.

use std::{fmt, net::IpAddr, str::FromStr};

use forebay_proto::blob::Digest;

/// Names longer than this are refused by registries (distribution/reference: `NameTotalLengthMax`). Unit: characters.
const NAME_LENGTH_MAX: usize = 255;

/// The longest tag (distribution specification, "Pulling manifests"). Unit: characters.
const TAG_LENGTH_MAX: usize = 128;

/// Where a plugin is in which registry.
///
/// The registry is always named: no text goes to Docker Hub because its first part was forgotten.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Reference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// A text is no [`Reference`].
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "`{found}` names no plugin in a registry: {why}; expected HOST[:PORT]/NAME:TAG, as in ghcr.io/me/counter:1.0, or \
     HOST[:PORT]/NAME@sha256:DIGEST"
)]
pub struct ReferenceError {
    /// The text, with control characters escaped and cut to 200 characters.
    pub found: String,
    /// What is wrong with it.
    pub why: String,
}

impl Reference {
    /// The registry's host, with its port if it has one.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The name within the registry.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The manifest's digest. Counts more than the tag.
    pub fn digest(&self) -> Option<Digest> {
        self.digest
    }

    /// The last part of the name: what a file of it is called.
    pub fn short_name(&self) -> &str {
        self.repository.rsplit('/').next().unwrap_or(&self.repository)
    }

    /// The same repository, by digest alone.
    pub fn at(&self, digest: Digest) -> Self {
        Self { tag: None, digest: Some(digest), ..self.clone() }
    }

    /// Whether the registry is on this machine: `localhost` or a loopback address.
    pub fn is_loopback(&self) -> bool {
        is_loopback(host_of(&self.registry))
    }

    /// What a manifest is asked for by.
    pub(crate) fn manifest_name(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, tag) => tag.clone().unwrap_or_default(),
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        self.digest.map_or(Ok(()), |digest| write!(f, "@{digest}"))
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        parse(text).map_err(|why| ReferenceError { found: text.escape_debug().take(200).collect(), why })
    }
}

fn parse(text: &str) -> Result<Reference, String> {
    if let Some((scheme, _)) = text.split_once("://") {
        return Err(format!("leave out `{}://`", scheme.escape_debug()));
    }
    let (registry, rest) = text.split_once('/').ok_or("it has no registry's host before a `/`")?;
    check_registry(registry)?;
    let (rest, digest) = match rest.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest.parse::<Digest>().map_err(|error| error.to_string())?)),
        None => (rest, None),
    };
    // A `:` in the path can only begin the tag: the port stands before the first `/`.
    let (repository, tag) = match rest.split_once(':') {
        Some((repository, tag)) => (repository, Some(tag)),
        None => (rest, None),
    };
    check_name(registry, repository)?;
    tag.map_or(Ok(()), check_tag)?;
    if tag.is_none() && digest.is_none() {
        return Err("it has neither tag nor digest; `latest` is never assumed".to_owned());
    }
    let (registry, repository) = (registry.to_ascii_lowercase(), repository.to_owned());
    Ok(Reference { registry, repository, tag: tag.map(str::to_owned), digest })
}

fn check_registry(registry: &str) -> Result<(), String> {
    let (host, port) = match registry.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, port)) => {
            let address: Result<std::net::Ipv6Addr, _> = address.parse();
            address.map_err(|_| format!("`{}` is no IPv6 address", registry.escape_debug()))?;
            ("[]", if port.is_empty() { None } else { Some(port.strip_prefix(':').unwrap_or("")) })
        }
        None => match registry.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (registry, None),
        },
    };
    if port.is_some_and(|port| port.parse::<u16>().map_or(true, |port| port == 0) || port.starts_with('+')) {
        return Err(format!("`{}` has no port from 1 to 65535 behind its `:`", registry.escape_debug()));
    }
    let part = |part: &str| {
        let good = part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        good && !part.is_empty() && !part.starts_with('-') && !part.ends_with('-')
    };
    if host != "[]" && !host.split('.').all(part) {
        return Err(format!("`{}` is no host", host.escape_debug()));
    }
    // As docker tells a host from the first part of a name.
    if port.is_none() && !host.contains('.') && !host.eq_ignore_ascii_case("localhost") && host != "[]" {
        return Err(format!("`{host}` is no registry's host; is it docker.io/{host}/... or ghcr.io/{host}/...?"));
    }
    Ok(())
}

/// The grammar of the distribution specification: parts of `[a-z0-9]+` joined by `.`, `_`, `__` or dashes.
fn check_name(registry: &str, name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err("nothing is named in the registry".to_owned());
    }
    if registry.len() + 1 + name.len() > NAME_LENGTH_MAX {
        return Err(format!("it is longer than {NAME_LENGTH_MAX} characters"));
    }
    match name.split('/').find(|part| !is_name_part(part)) {
        Some(part) if part.bytes().any(|byte| byte.is_ascii_uppercase()) => {
            Err(format!("the name's part `{}` has capital letters", part.escape_debug()))
        }
        Some(part) => Err(format!(
            "the name's part `{}` is not made of a-z and 0-9, joined by `.`, `_`, `__` or `-`",
            part.escape_debug()
        )),
        None => Ok(()),
    }
}

fn is_name_part(part: &str) -> bool {
    let word = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = part.as_bytes();
    let joints = bytes.split(word).filter(|joint| !joint.is_empty());
    let ends = bytes.first().is_some_and(word) && bytes.last().is_some_and(word);
    ends && joints
        .into_iter()
        .all(|joint| matches!(joint, b"." | b"_" | b"__") || joint.iter().all(|&byte| byte == b'-'))
}

fn check_tag(tag: &str) -> Result<(), String> {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    let starts = tag.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if starts && tag.len() <= TAG_LENGTH_MAX && tag.bytes().all(good) {
        return Ok(());
    }
    Err(format!(
        "`{}` is no tag: 1 to {TAG_LENGTH_MAX} letters, digits, `_`, `.` and `-`, and no `.` or `-` first",
        tag.escape_debug().take(150).collect::<String>()
    ))
}

/// The host of `HOST[:PORT]`, an IPv6 address without its brackets.
pub(crate) fn host_of(authority: &str) -> &str {
    match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => authority.split(':').next().unwrap_or(authority),
    }
}

pub(crate) fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn a_reference_survives_its_text() {
        let cases = [
            "ghcr.io/me/counter:1.0".to_owned(),
            "localhost/a:b".to_owned(),
            "registry:5000/a-b--c/d__e.f/g_h:v1_2.3-x".to_owned(),
            "127.0.0.1:5000/a:1".to_owned(),
            "[::1]:5000/a:1".to_owned(),
            format!("ghcr.io/me/counter@{DIGEST}"),
            format!("ghcr.io/me/counter:1.0@{DIGEST}"),
        ];
        for text in cases {
            assert_eq!(text.parse::<Reference>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn its_parts_are_told_apart() {
        let reference: Reference = format!("GHCR.io:443/me/counter:1.0@{DIGEST}").parse().unwrap();
        assert_eq!((reference.registry(), reference.repository()), ("ghcr.io:443", "me/counter"));
        assert_eq!((reference.short_name(), reference.tag()), ("counter", Some("1.0")));
        // The digest counts, not the tag that may have moved on.
        assert_eq!(reference.manifest_name(), DIGEST);
    }

    #[test]
    fn what_is_wrong_with_a_text_is_said() {
        let long_name = format!("ghcr.io/{}:1", "a".repeat(250));
        let long_tag = format!("ghcr.io/a:{}", "a".repeat(129));
        let cases = [
            ("", "no registry's host"),
            ("counter:1.0", "no registry's host"),
            ("me/counter:1.0", "docker.io/me/..."),
            ("https://ghcr.io/me/counter:1.0", "leave out `https://`"),
            ("ghcr.io/me/counter", "neither tag nor digest"),
            ("ghcr.io/", "nothing is named"),
            ("ghcr.io/:1", "nothing is named"),
            ("ghcr.io/Me/counter:1", "`Me` has capital letters"),
            ("ghcr.io/me//counter:1", "part `` is not made"),
            ("ghcr.io/me/../etc:1", "part `..` is not made"),
            ("ghcr.io/a___b:1", "part `a___b`"),
            ("ghcr.io/-a:1", "part `-a`"),
            ("ghcr.io/a?b:1", "part `a?b`"),
            ("ghcr.io/a:", "`` is no tag"),
            ("ghcr.io/a:b:c", "`b:c` is no tag"),
            ("ghcr.io/a:.b", "`.b` is no tag"),
            ("ghcr.io/a:b/c", "`b/c` is no tag"),
            ("ghcr.io/a@sha256:00", "is no digest"),
            ("ghcr.io/a@sha512:00", "is no digest"),
            ("ghcr.io:/a:1", "no port"),
            ("ghcr.io:0/a:1", "no port"),
            ("ghcr.io:65536/a:1", "no port"),
            ("[::1/a:1", "no port"),
            ("[x]:1/a:1", "no IPv6 address"),
            ("[::1]5/a:1", "no port"),
            ("user@ghcr.io/a:1", "is no host"),
            ("ghcr..io/a:1", "is no host"),
            (&long_name, "longer than 255"),
            (&long_tag, "is no tag"),
        ];
        for (text, expected) in cases {
            let error = text.parse::<Reference>().unwrap_err();
            assert!(error.why.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn only_this_machine_is_loopback() {
        let loopback = |registry: &str| format!("{registry}/a:1").parse::<Reference>().unwrap().is_loopback();
        for registry in ["localhost", "LOCALHOST:5000", "127.0.0.1:5000", "127.9.9.9", "[::1]:5000"] {
            assert!(loopback(registry), "{registry}");
        }
        for registry in ["localhost.example.org", "127.0.0.1.example.org", "128.0.0.1", "[::2]:1", "10.0.0.1:5000"] {
            assert!(!loopback(registry), "{registry}");
        }
    }
}
