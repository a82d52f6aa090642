//! The functions a stage in C defines, against those its role and its optional interfaces ask for.

use std::{collections::BTreeSet, fs, path::PathBuf};

use super::super::wasm;
use crate::{AuthorError, Language, Optional, Project, Role, Stage};

const INIT: (&str, &str) = ("stage_init", "forebay_status stage_init(const forebay_context *context)");

/// The function of a role and how it is written.
fn of_role(role: Role) -> (&'static str, &'static str) {
    match role {
        Role::Producer => {
            ("stage_handle_demand", "forebay_status stage_handle_demand(uint32_t demand, forebay_events *events)")
        }
        Role::Consumer => (
            "stage_handle_events",
            "forebay_status stage_handle_events(const forebay_delivery *delivery, forebay_rejections *rejections)",
        ),
        Role::ProducerConsumer => (
            "stage_transform",
            "forebay_status stage_transform(const forebay_delivery *delivery, forebay_events *events, \
             forebay_rejections *rejections)",
        ),
    }
}

fn of_optional(optional: Optional) -> &'static [(&'static str, &'static str)] {
    match optional {
        Optional::Checkpoint => &[
            ("stage_snapshot", "forebay_status stage_snapshot(forebay_buffer *snapshot)"),
            ("stage_restore", "forebay_status stage_restore(forebay_bytes snapshot)"),
        ],
        Optional::Timer => &[("stage_handle_tick", "forebay_status stage_handle_tick(forebay_events *events)")],
        Optional::Ingest => &[(
            "stage_handle_ingest",
            "forebay_status stage_handle_ingest(const forebay_batch *incoming, forebay_events *events)",
        )],
        Optional::Call => {
            &[("stage_handle_call", "forebay_status stage_handle_call(forebay_bytes request, forebay_buffer *answer)")]
        }
        Optional::Terminate => &[("stage_terminate", "void stage_terminate(const char *reason)")],
        // The stage calls it, and defines nothing.
        Optional::Demand => &[],
    }
}

/// Checks the objects of a stage.
///
/// # Errors
/// [`AuthorError::Source`], which names the function that is missing or too many.
pub(super) fn check(project: &Project, stage: &Stage, objects: &[PathBuf]) -> Result<(), AuthorError> {
    let mut defined = BTreeSet::new();
    for object in objects {
        let bytes = fs::read(object).map_err(|error| AuthorError::file("read", object, error))?;
        let failed = |error| AuthorError::Component {
            stage: stage.name.clone(),
            problem: format!("{} is no WebAssembly object: {error}", object.display()),
        };
        defined.extend(wasm::defined_functions(&bytes).map_err(failed)?);
    }
    match problem(project.language(), stage, &defined) {
        Some(problem) => Err(AuthorError::Source { source_file: project.source(stage), problem }),
        None => Ok(()),
    }
}

fn problem(language: Language, stage: &Stage, defined: &BTreeSet<String>) -> Option<String> {
    let has = |name: &str| defined.contains(name);
    if language == Language::Cpp {
        // The macro defines all of them and checks the class while it is compiled.
        return (!has(INIT.0)).then(|| {
            "exports no class; expected FOREBAY_STAGE(CLASS); after the class of the stage, once in its sources"
                .to_owned()
        });
    }
    let role = stage.role?;
    let (name, written) = of_role(role);
    if !has(name) {
        let other = Role::ALL.into_iter().find(|other| *other != role && has(of_role(*other).0));
        return Some(match other {
            Some(other) => format!(
                "defines `{}` of a {other}, but {} says role = \"{role}\", which needs `{name}`; write role = \"{other}\" \
                 there, or here {written}",
                of_role(other).0,
                crate::MANIFEST
            ),
            None => missing(name, written, &format!("a {role}")),
        });
    }
    if !has(INIT.0) {
        return Some(missing(INIT.0, INIT.1, "every stage"));
    }
    Optional::ALL.into_iter().find_map(|optional| optional_problem(stage, defined, optional))
}

fn optional_problem(stage: &Stage, defined: &BTreeSet<String>, optional: Optional) -> Option<String> {
    let listed = stage.optional.contains(&optional);
    let (name, written) = of_optional(optional).iter().find(|(name, _)| defined.contains(*name) != listed)?;
    if listed {
        let whom = format!("`optional` with \"{}\" in {}", optional.name(), crate::MANIFEST);
        return Some(missing(name, written, &whom));
    }
    Some(format!(
        "defines `{name}`, but `optional` of the stage `{}` in {} does not list \"{}\"; add it there, or rename the function",
        stage.name,
        crate::MANIFEST,
        optional.name()
    ))
}

fn missing(name: &str, written: &str, whom: &str) -> String {
    format!("defines no `{name}`, which {whom} needs; expected {written} {{ ... }}, not static")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stage(role: Role, optional: &[Optional]) -> Stage {
        Stage { name: "meter".into(), role: Some(role), source: None, optional: optional.to_vec() }
    }

    fn found(stage: &Stage, defined: &[&str]) -> Option<String> {
        problem(Language::C, stage, &defined.iter().map(|name| (*name).to_owned()).collect())
    }

    #[test]
    fn a_stage_with_all_its_functions_is_fine() {
        let stage = stage(Role::Producer, &[Optional::Checkpoint]);
        let all = ["stage_init", "stage_handle_demand", "stage_snapshot", "stage_restore", "helper"];
        assert_eq!(found(&stage, &all), None);
    }

    #[test]
    fn a_forgotten_function_is_named_with_its_signature() {
        let problem = found(&stage(Role::Consumer, &[]), &["stage_init"]).unwrap();
        assert!(problem.contains("defines no `stage_handle_events`, which a consumer needs"), "{problem}");
        assert!(problem.contains("forebay_status stage_handle_events(const forebay_delivery *delivery,"), "{problem}");
        let problem = found(&stage(Role::Consumer, &[]), &["stage_handle_events"]).unwrap();
        assert!(problem.contains("`stage_init`, which every stage needs"), "{problem}");
        let half = ["stage_init", "stage_handle_demand", "stage_snapshot"];
        let problem = found(&stage(Role::Producer, &[Optional::Checkpoint]), &half).unwrap();
        assert!(problem.contains("`stage_restore`") && problem.contains("\"checkpoint\""), "{problem}");
    }

    #[test]
    fn a_function_of_another_role_is_noticed() {
        let problem = found(&stage(Role::Producer, &[]), &["stage_init", "stage_transform"]).unwrap();
        assert!(problem.contains("`stage_transform` of a producer-consumer"), "{problem}");
        assert!(problem.contains("role = \"producer\", which needs `stage_handle_demand`"), "{problem}");
    }

    #[test]
    fn a_function_that_is_not_listed_is_noticed() {
        let problem =
            found(&stage(Role::Producer, &[]), &["stage_init", "stage_handle_demand", "stage_handle_tick"]).unwrap();
        assert!(problem.contains("`stage_handle_tick`") && problem.contains("does not list \"timer\""), "{problem}");
    }

    #[test]
    fn a_cpp_stage_without_its_macro_is_told_about_it() {
        let stage = stage(Role::Producer, &[]);
        assert!(problem(Language::Cpp, &stage, &BTreeSet::new()).unwrap().contains("FOREBAY_STAGE(CLASS)"));
        assert_eq!(problem(Language::Cpp, &stage, &BTreeSet::from(["stage_init".to_owned()])), None);
    }

    #[test]
    fn the_signatures_are_those_of_the_header() {
        let header =
            crate::sdk::file("sdk/c/include/forebay/stage.h").unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
        let optional = Optional::ALL.into_iter().flat_map(of_optional).copied();
        for (_, written) in Role::ALL.map(of_role).into_iter().chain([INIT]).chain(optional) {
            assert!(header.contains(&format!("{written};")), "{written}");
        }
    }

    #[test]
    fn the_sdk_is_written_against_the_wit_of_this_binary() {
        let line = format!("#define FOREBAY_WIT_VERSION \"{}\"", crate::world::WIT_VERSION);
        assert!(crate::sdk::file("sdk/c/src/log.h").unwrap().contains(&line));
    }
}
