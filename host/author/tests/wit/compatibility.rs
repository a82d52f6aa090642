//! Whether plugins built from a released WIT go on working with the present one, by the table in `wit/README.md`.

use std::collections::BTreeMap;

use crate::shape::{Definition, Interface, Member, Package, Version, World};

/// What is different between two versions.
#[derive(Default)]
struct Differences {
    /// What only a new major version may change: item, what happened to it and what to do.
    forbidden: Vec<String>,
    /// What was added and disturbs nobody.
    added: Vec<String>,
}

/// What is wrong with the present WIT, given that one was released. Nothing: it may be released too.
///
/// # Errors
/// If one of them does not parse.
pub(crate) fn check(released: &str, present: &str) -> Result<Vec<String>, String> {
    let was = Package::parse(released).map_err(|error| format!("the released WIT does not parse: {error}"))?;
    let is = Package::parse(present).map_err(|error| format!("the present WIT does not parse: {error}"))?;
    if was.name != is.name {
        return Ok(vec![format!("the package is {}, was {}: that is another package", is.name, was.name)]);
    }
    if is.version < was.version {
        return Ok(vec![format!(
            "the package has the version {}, and {} was released already",
            is.version, was.version
        )]);
    }
    // A new major version owes nothing to those before it.
    if !is.version.is_of_line(was.version) {
        return Ok(Vec::new());
    }
    let mut differences = Differences::default();
    differences.of_interfaces(&was.interfaces, &is.interfaces);
    differences.of_worlds(&was.worlds, &is.worlds);
    let Differences { forbidden: mut problems, added } = differences;
    problems.extend(unversioned(was.version, is.version, &added));
    Ok(problems)
}

/// What was added needs a version of its own, so that a plugin which needs it can say so.
fn unversioned(was: Version, is: Version, added: &[String]) -> Option<String> {
    let is_raised = match was.major {
        0 => is > was,
        _ => is.minor > was.minor,
    };
    if added.is_empty() || is_raised {
        return None;
    }
    let (what, next) = match was.major {
        0 => ("version", Version { patch: was.patch + 1, ..was }),
        _ => ("minor version", Version { minor: was.minor + 1, patch: 0, ..was }),
    };
    let added = added.join(", ");
    Some(format!("{added}: added since {was} was released, and the package is {is}; raise its {what}, to {next}"))
}

impl Differences {
    fn forbid(&mut self, item: &str, problem: &str) {
        self.forbidden.push(format!("{item}: {problem}"));
    }

    fn of_interfaces(&mut self, was: &BTreeMap<String, Interface>, is: &BTreeMap<String, Interface>) {
        for (name, was) in was {
            match is.get(name) {
                None => self.forbid(
                    &format!("interface `{name}`"),
                    "is gone; plugins that name it would not load; put it back",
                ),
                Some(is) => {
                    self.of_types(name, was, is);
                    self.of_functions(name, was, is);
                }
            }
        }
        let added = is.keys().filter(|name| !was.contains_key(*name));
        self.added.extend(added.map(|name| format!("interface `{name}`")));
    }

    fn of_types(&mut self, interface: &str, was: &Interface, is: &Interface) {
        for (name, was) in &was.types {
            let item = format!("type `{interface}.{name}`");
            match is.types.get(name) {
                None => self.forbid(&item, "is gone; put it back"),
                Some(is) => self.of_definition(&item, was, is),
            }
        }
        let added = is.types.keys().filter(|name| !was.types.contains_key(*name));
        self.added.extend(added.map(|name| format!("type `{interface}.{name}`")));
    }

    fn of_definition(&mut self, item: &str, was: &Definition, is: &Definition) {
        if was == is {
            return;
        }
        let what = what_changed(was, is);
        let advice = "components carry its layout; put it back, and make a type of another name for what is new, used by \
                      a new function of `host` or by a new optional interface";
        self.forbid(item, &format!("{what}; {advice}"));
    }

    fn of_functions(&mut self, interface: &str, was: &Interface, is: &Interface) {
        for (name, was) in &was.functions {
            let item = format!("function `{interface}.{name}`");
            match is.functions.get(name) {
                None => self.forbid(&item, "is gone; plugins that have or call it would not load; put it back"),
                Some(is) if is == was => {}
                Some(is) => {
                    let problem = format!(
                        "is `{is}`, was `{was}`; a function keeps the names and types of its parameters and its \
                         result; put it back, and add a function of another name"
                    );
                    self.forbid(&item, &problem);
                }
            }
        }
        for name in is.functions.keys().filter(|name| !was.functions.contains_key(*name)) {
            let item = format!("function `{interface}.{name}`");
            // What plugins export, plugins that are there already lack.
            match was.is_exported || is.is_exported {
                true => self.forbid(
                    &item,
                    "was added to an interface that plugins export; those that are there lack it; put it into a new \
                     optional interface, with a world `optional-…` of its own",
                ),
                false => self.added.push(item),
            }
        }
    }

    fn of_worlds(&mut self, was: &BTreeMap<String, World>, is: &BTreeMap<String, World>) {
        for (name, was) in was {
            let item = format!("world `{name}`");
            let Some(is) = is.get(name) else {
                self.forbid(&item, "is gone; sources that include it would not build; put it back");
                continue;
            };
            for gone in was.imports.difference(&is.imports) {
                self.forbid(&item, &format!("no longer imports `{gone}`, which plugins call; put it back"));
            }
            for gone in was.exports.difference(&is.exports) {
                self.forbid(&item, &format!("no longer exports `{gone}`; put it back"));
            }
            for new in is.exports.difference(&was.exports) {
                let advice = "plugins that are there lack it; make a world `optional-…` that exports it";
                self.forbid(&item, &format!("exports `{new}` besides; {advice}"));
            }
            let added = is.imports.difference(&was.imports);
            self.added.extend(added.map(|new| format!("import `{new}` of world `{name}`")));
        }
        let added = is.keys().filter(|name| !was.contains_key(*name));
        self.added.extend(added.map(|name| format!("world `{name}`")));
    }
}

/// The first difference between two definitions of one name, in words.
fn what_changed(was: &Definition, is: &Definition) -> String {
    if was.kind != is.kind {
        return format!("is a {}, was a {}", is.kind, was.kind);
    }
    let word = match was.kind.as_str() {
        "record" => "field",
        "flags" => "flag",
        "variant" | "enum" => "case",
        _ => return format!("is `{}`, was `{}`", is.members[0].ty, was.members[0].ty),
    };
    let named = |members: &[Member], name: &str| members.iter().find(|member| member.name == name).cloned();
    let gone = was.members.iter().find(|member| named(&is.members, &member.name).is_none());
    let new = is.members.iter().find(|member| named(&was.members, &member.name).is_none());
    let changed = was.members.iter().find_map(|was| Some((was, named(&is.members, &was.name).filter(|is| is != was)?)));
    match (gone, new, changed) {
        (Some(gone), Some(new), _) if was.members.len() == is.members.len() => {
            format!("{word} `{}` is `{}` now", gone.name, new.name)
        }
        (Some(gone), ..) => format!("{word} `{}` was taken away", gone.name),
        (None, Some(new), _) => format!("{word} `{}` was added", new.name),
        (None, None, Some((was, is))) => format!("{word} `{}` is `{}`, was `{}`", was.name, is.ty, was.ty),
        (None, None, None) => format!("its {word}s are in another order"),
    }
}
