//! What a component's names say: which role it plays, in which version, and what it asks for.
//!
//! Works on the names of imports and exports alone. Whether the functions behind them have the right
//! types is checked by `signature`.

use super::{super::Role, linker};

/// The package of the WIT this host is built for.
pub(super) const PACKAGE: &str = "forebay:stage";
/// Its version.
pub(super) const VERSION: Version = Version { major: 0, minor: 1, patch: 1 };

/// Optional interfaces of the package that a plugin may export.
pub(super) const OPTIONAL: &[&str] = &["call", "checkpoint", "ingest", "terminate", "timer"];

const LIFECYCLE: &str = "lifecycle";
/// The interface by which a stage asks its sources.
pub(super) const DEMAND: &str = "demand";

/// The interface whose export makes a plugin play a role, and the name of the role's world.
pub(super) const ROLES: &[(Role, &str)] =
    &[(Role::Producer, "produce"), (Role::Consumer, "consume"), (Role::ProducerConsumer, "transform")];

/// `forebay:stage/INTERFACE@VERSION`, in the version of this host.
pub(super) fn full_name(interface: &str) -> String {
    format!("{PACKAGE}/{interface}@{VERSION}")
}

/// A version of a WIT package. What stands after the patch is not looked at.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Version {
    major: u32,
    minor: u32,
    patch: u32,
}

impl Version {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(['-', '+']).next()?.splitn(3, '.').map(|part| part.parse().ok());
        Some(Self { major: parts.next()??, minor: parts.next()??, patch: parts.next()?? })
    }

    /// Semantic versioning: before 1.0 the minor version must be the same, from 1.0 the major one.
    fn fits(self, other: Self) -> bool {
        self.major == other.major && (self.major > 0 || self.minor == other.minor)
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// One interface of our package, as a component names it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Ours<'a> {
    full: &'a str,
    interface: &'a str,
    version: Option<Version>,
}

impl<'a> Ours<'a> {
    fn parse(full: &'a str) -> Option<Self> {
        let rest = full.strip_prefix(PACKAGE)?.strip_prefix('/')?;
        let (interface, version) = rest.split_once('@').unwrap_or((rest, ""));
        Some(Self { full, interface, version: Version::parse(version) })
    }

    fn fits(self) -> bool {
        self.version.is_some_and(|version| version.fits(VERSION))
    }
}

/// The names of a component's imports and exports, as they stand in it.
#[derive(Debug)]
pub(super) struct Names {
    pub(super) imports: Vec<String>,
    pub(super) exports: Vec<String>,
}

/// A plugin's exports, by the full names that its component uses.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Contract {
    pub(super) role: Role,
    pub(super) lifecycle: String,
    pub(super) main: String,
    pub(super) terminate: Option<String>,
    pub(super) checkpoint: Option<String>,
    pub(super) ingest: Option<String>,
    pub(super) timer: Option<String>,
    pub(super) call: Option<String>,
}

impl Names {
    /// Reads the role off the exports.
    ///
    /// # Errors
    /// What is missing, in words.
    pub(super) fn contract(&self) -> Result<Contract, String> {
        self.check_versions()?;
        let roles: Vec<_> = ROLES.iter().filter_map(|&(role, name)| Some((role, self.export(name)?))).collect();
        let lifecycle = self.export(LIFECYCLE);
        let (role, main, lifecycle) = match (&*roles, lifecycle) {
            (&[(role, main)], Some(lifecycle)) => (role, main, lifecycle),
            ([], None) => return Err(self.another_world()),
            ([], Some(_)) => return Err(format!("it exports no role; {}, {}", expected_role(), self.listed())),
            ([_], None) => return Err(format!("the export `{}` is missing; {}", full_name(LIFECYCLE), self.listed())),
            _ => return Err(format!("it exports several roles; {}, {}", expected_role(), self.listed())),
        };
        let optional = |interface| self.export(interface).map(str::to_owned);
        Ok(Contract {
            role,
            lifecycle: lifecycle.to_owned(),
            main: main.to_owned(),
            terminate: optional("terminate"),
            checkpoint: optional("checkpoint"),
            ingest: optional("ingest"),
            timer: optional("timer"),
            call: optional("call"),
        })
    }

    /// The imports that are of use only if something is granted.
    pub(super) fn to_be_granted(&self) -> Vec<&str> {
        self.imports.iter().map(String::as_str).filter(|name| grant(name).is_some()).collect()
    }

    /// The imports that no plugin is given.
    pub(super) fn not_there(&self) -> Vec<&str> {
        let names = self.imports.iter().map(String::as_str);
        names.filter(|name| !is_provided(name) && grant(name).is_none()).collect()
    }

    /// Whether it may ask its sources itself.
    pub(super) fn can_ask(&self) -> bool {
        let mut ours = self.imports.iter().filter_map(|name| Ours::parse(name));
        ours.any(|ours| ours.interface == DEMAND && ours.fits())
    }

    /// The version of our package that this component was built for, if it was.
    pub(super) fn version(&self) -> Option<Version> {
        self.ours().find_map(|ours| ours.version)
    }

    /// The optional interfaces that are exported.
    pub(super) fn optional(&self) -> Vec<&'static str> {
        OPTIONAL.iter().copied().filter(|name| self.export(name).is_some()).collect()
    }

    /// The full name of an export of ours, in any version that fits.
    fn export(&self, interface: &str) -> Option<&str> {
        let mut ours = self.exports.iter().filter_map(|name| Ours::parse(name));
        ours.find(|ours| ours.interface == interface && ours.fits()).map(|ours| ours.full)
    }

    fn ours(&self) -> impl Iterator<Item = Ours<'_>> {
        self.exports.iter().chain(&self.imports).filter_map(|name| Ours::parse(name))
    }

    fn check_versions(&self) -> Result<(), String> {
        let Some(misfit) = self.ours().find(|ours| !ours.fits()) else { return Ok(()) };
        let Some(version) = misfit.version else {
            return Err(format!("`{}` has no version; expected `{}`", misfit.full, full_name(misfit.interface)));
        };
        Err(format!(
            "it is built for {PACKAGE} {version} (`{}`), this host speaks {VERSION}; before 1.0 the minor versions \
             must be the same, from 1.0 on the major ones; rebuild the plugin with an SDK for {VERSION}, or use a \
             host for {version}",
            misfit.full
        ))
    }

    fn another_world(&self) -> String {
        let lifecycle = full_name(LIFECYCLE);
        format!(
            "it is a component of another world; expected the exports `{lifecycle}` and one role, but {}; {}",
            self.listed(),
            expected_role()
        )
    }

    fn listed(&self) -> String {
        match &*self.exports {
            [] => "it exports nothing".to_owned(),
            exports => format!("it exports {}", quoted(exports)),
        }
    }
}

/// Whether this host provides an import for whatever a plugin does with it.
///
/// A newer patch of an interface may have functions we lack; linking tells those.
pub(super) fn is_provided(import: &str) -> bool {
    let (interface, version) = import.split_once('@').unwrap_or((import, ""));
    match Ours::parse(import) {
        Some(ours) => matches!(ours.interface, "host" | "types" | DEMAND),
        None => linker::WASI.contains(&interface) && version.starts_with("0.2."),
    }
}

/// The line in a pipeline file without which an import refuses everything, if it is such a one.
pub(super) fn grant(import: &str) -> Option<&'static str> {
    let (interface, version) = import.split_once('@').unwrap_or((import, ""));
    let there = linker::SOCKETS.contains(&interface) && version.starts_with("0.2.");
    there.then(|| match interface {
        _ if interface.contains("/udp") => "grants = { udp = [\"HOST:PORT\"] }",
        "wasi:sockets/ip-name-lookup" => "grants = { resolve = true }",
        _ => "grants = { tcp = [\"HOST:PORT\"] }",
    })
}

/// Names in backticks, with commas. Escaped, for they come from the file.
pub(super) fn quoted<S: AsRef<str>>(names: &[S]) -> String {
    let quoted: Vec<_> = names.iter().map(|name| format!("`{}`", name.as_ref().escape_debug())).collect();
    quoted.join(", ")
}

fn expected_role() -> String {
    let names: Vec<_> = ROLES.iter().map(|(_, name)| full_name(name)).collect();
    format!("a plugin exports exactly one of {}", quoted(&names))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(imports: &[&str], exports: &[&str]) -> Names {
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        Names { imports: owned(imports), exports: owned(exports) }
    }

    #[test]
    fn a_role_is_read_off_the_exports_in_any_patch_version() {
        let names = names(&[], &["forebay:stage/lifecycle@0.1.7", "other:x/y", "forebay:stage/consume@0.1.7"]);
        let contract = names.contract().unwrap();
        assert_eq!((contract.role, &*contract.main), (Role::Consumer, "forebay:stage/consume@0.1.7"));
        assert_eq!(contract.terminate, None);
    }

    #[test]
    fn a_host_serves_older_and_newer_plugins_of_its_line() {
        let version = |text| Version::parse(text).unwrap();
        for (plugin, host, is_served) in [
            ("0.1.0", "0.1.7", true),
            ("0.1.7", "0.1.0", true),
            ("0.1.7", "0.2.0", false),
            ("0.2.0", "0.1.7", false),
            ("1.0.0", "1.4.2", true),
            ("1.4.2", "1.0.0", true),
            ("1.0.0", "2.0.0", false),
            ("0.1.0", "1.1.0", false),
        ] {
            assert_eq!(version(plugin).fits(version(host)), is_served, "plugin {plugin}, host {host}");
        }
    }

    #[test]
    fn another_minor_version_is_refused_with_both_named() {
        let error = names(&[], &["forebay:stage/lifecycle@0.2.3"]).contract().unwrap_err();
        assert!(error.contains("forebay:stage 0.2.3") && error.contains("speaks 0.1.1"), "{error}");
        let error = names(&["forebay:stage/host"], &[]).contract().unwrap_err();
        assert!(error.contains("`forebay:stage/host` has no version"), "{error}");
    }

    #[test]
    fn what_is_missing_is_named_with_what_is_there() {
        let error = |exports: &[&str]| names(&[], exports).contract().unwrap_err();
        let other = error(&["wasi:cli/run@0.2.0"]);
        assert!(other.contains("another world") && other.contains("it exports `wasi:cli/run@0.2.0`"), "{other}");
        assert!(other.contains("`forebay:stage/lifecycle@0.1.1`") && other.contains("`forebay:stage/produce@0.1.1`"));
        let bare = error(&["forebay:stage/produce@0.1.0"]);
        assert!(bare.starts_with("the export `forebay:stage/lifecycle@0.1.1` is missing"), "{bare}");
        let both =
            error(&["forebay:stage/lifecycle@0.1.0", "forebay:stage/produce@0.1.0", "forebay:stage/consume@0.1.0"]);
        assert!(both.starts_with("it exports several roles"), "{both}");
        let none = error(&["forebay:stage/lifecycle@0.1.0"]);
        assert!(none.starts_with("it exports no role"), "{none}");
    }

    #[test]
    fn a_plugin_that_imports_demand_can_ask() {
        let asks = names(&["forebay:stage/host@0.1.0", "forebay:stage/demand@0.1.3"], &[]);
        assert!(asks.can_ask() && asks.not_there().is_empty());
        assert!(!names(&["forebay:stage/host@0.1.1", "other:stage/demand@0.1.1"], &[]).can_ask());
    }

    #[test]
    fn sockets_ask_for_a_grant_and_what_is_unknown_is_not_there() {
        let names = names(&["wasi:sockets/tcp@0.2.6", "wasi:filesystem/types@0.2.6", "wasi:io/poll@0.3.0", "x"], &[]);
        assert_eq!(names.to_be_granted(), ["wasi:sockets/tcp@0.2.6"]);
        assert_eq!(names.not_there(), ["wasi:io/poll@0.3.0", "x"]);
        assert_eq!(grant("wasi:sockets/tcp@0.2.6"), Some("grants = { tcp = [\"HOST:PORT\"] }"));
        assert_eq!(grant("wasi:sockets/udp-create-socket@0.2.6"), Some("grants = { udp = [\"HOST:PORT\"] }"));
        assert_eq!(grant("wasi:sockets/ip-name-lookup@0.2.6"), Some("grants = { resolve = true }"));
        assert_eq!((grant("wasi:sockets/tcp@0.3.0"), grant("wasi:http/types@0.2.6")), (None, None));
        assert!(is_provided("forebay:stage/host@0.1.9"));
    }
}
