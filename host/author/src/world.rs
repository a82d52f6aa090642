//! The world of one stage: its role and what it exports besides, as WIT.

use wit_parser::{Resolve, WorldId};

use crate::{AuthorError, Stage};

/// The version of the package `forebay:stage` in this binary.
pub(crate) const WIT_VERSION: &str = "0.1.1";
/// The name of every world made here, so that what generators make of it has the same names in all projects.
pub(crate) const WORLD: &str = "stage";

/// The package with the world of a stage, as text.
pub(crate) fn text(stage: &Stage) -> String {
    let role = stage.role.map(|role| role.name().to_owned());
    let optional = stage.optional.iter().map(|optional| format!("optional-{}", optional.name()));
    let included: String = role
        .into_iter()
        .chain(optional)
        .map(|world| format!("  include forebay:stage/{world}@{WIT_VERSION};\n"))
        .collect();
    format!(
        "// Written by `forebay` from {} for the stage `{}`.\npackage forebay:plugin;\n\nworld {WORLD} {{\n{included}}}\n",
        crate::MANIFEST,
        stage.name
    )
}

/// The world of a stage, resolved.
///
/// # Errors
/// [`AuthorError::Component`]: only if our own WIT does not resolve.
pub(crate) fn resolve(stage: &Stage) -> Result<(Resolve, WorldId), AuthorError> {
    let failed = |error: &dyn std::fmt::Display| AuthorError::Component {
        stage: stage.name.clone(),
        problem: format!("its world does not resolve: {error:#}"),
    };
    let mut resolve = Resolve::default();
    resolve.push_source("stage.wit", crate::sdk::wit()).map_err(|error| failed(&error))?;
    let own = resolve.push_source("world.wit", &text(stage)).map_err(|error| failed(&error))?;
    let world = resolve.select_world(&[own], Some(WORLD)).map_err(|error| failed(&error))?;
    Ok((resolve, world))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Optional, Role};

    #[test]
    fn every_role_resolves_with_all_optional_interfaces() {
        for role in Role::ALL {
            let optional = Optional::ALL.to_vec();
            let stage = Stage { name: "a-stage".into(), role: Some(role), source: None, optional };
            let (resolve, world) = resolve(&stage).unwrap();
            // `lifecycle`, the role's own, and the optional ones but `demand`; `types` comes along.
            assert!(resolve.worlds[world].exports.len() > stage.optional.len(), "{role}");
            let imports: Vec<_> = resolve.worlds[world].imports.keys().map(|key| resolve.name_world_key(key)).collect();
            assert!(imports.contains(&format!("forebay:stage/demand@{WIT_VERSION}")), "{imports:?}");
        }
    }

    #[test]
    fn the_version_is_that_of_the_wit() {
        assert!(crate::sdk::wit().contains(&format!("package forebay:stage@{WIT_VERSION};")));
    }
}
