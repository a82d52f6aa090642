//! Each kind of change, allowed and forbidden, made to the WIT that was released first.
//!
//! What the rules say of a change to types and functions is checked against `wit-component`, which tries a component of
//! the old world in a place for the new one.

use wit_component::semver_check;
use wit_parser::Resolve;

use crate::{
    compatibility,
    shape::{Package, Version},
};

const RELEASED: &str = include_str!("../../../../wit/released/0.1.0/stage.wit");

/// The released WIT with some text in the place of another, at another version.
fn changed(version: &str, from: &str, to: &str) -> String {
    assert_eq!(RELEASED.matches(from).count(), 1, "{from:?} stands once in the WIT");
    let text = RELEASED.replace(from, to);
    text.replace("package forebay:stage@0.1.0;", &format!("package forebay:stage@{version};"))
}

fn problems(present: &str) -> Vec<String> {
    compatibility::check(RELEASED, present).expect("both parse")
}

/// Whether a component of each old world fits where one of the new world is expected.
fn fits(present: &str) -> Result<(), String> {
    let worlds = Package::parse(RELEASED).expect("it was released").worlds;
    for world in worlds.keys() {
        let mut resolve = Resolve::default();
        let was = resolve.push_source("was.wit", RELEASED).map_err(|error| error.to_string())?;
        let is = resolve.push_source("is.wit", present).map_err(|error| error.to_string())?;
        let was = resolve.select_world(&[was], Some(world)).map_err(|error| error.to_string())?;
        let is = resolve.select_world(&[is], Some(world)).map_err(|error| error.to_string())?;
        semver_check(resolve, was, is).map_err(|error| format!("{world}: {error:#}"))?;
    }
    Ok(())
}

fn allowed(from: &str, to: &str) {
    let present = changed("0.1.1", from, to);
    assert_eq!(problems(&present), Vec::<String>::new());
    fits(&present).unwrap_or_else(|error| panic!("{error}"));
}

/// One problem is found, whose text contains these; `wit-component` finds one too.
fn forbidden(from: &str, to: &str, parts: &[&str]) {
    let present = changed("0.1.1", from, to);
    refused(&present, parts);
    fits(&present).expect_err("wit-component refuses it too");
}

fn refused(present: &str, parts: &[&str]) {
    let problems = problems(present);
    assert_eq!(problems.len(), 1, "{problems:#?}");
    for part in parts {
        assert!(problems[0].contains(part), "{part:?} is not in: {}", problems[0]);
    }
}

const LOG: &str = "log: func(level: level, message: string);";

#[test]
fn docs_may_change_without_a_new_version() {
    assert_eq!(problems(RELEASED), Vec::<String>::new());
    let present = changed("0.1.0", "/// A source of events.", "/// Where events come from.");
    assert_eq!(problems(&present), Vec::<String>::new());
}

#[test]
fn a_function_may_be_added_to_what_the_host_provides() {
    allowed(LOG, &format!("{LOG} now: func() -> u64;"));
}

#[test]
fn an_interface_may_be_added_that_plugins_may_export() {
    allowed(
        "/// A source of events.",
        "interface audit { use types.{batch}; audit: func(events: batch); } world optional-audit { export audit; }",
    );
}

#[test]
fn an_interface_may_be_added_that_the_host_provides() {
    allowed("world producer {\n", "interface clock { now: func() -> u64; }\nworld producer {\n  import clock;\n");
}

#[test]
fn a_type_may_be_added() {
    allowed(
        "  /// What a stage is told about itself",
        "  record place { x: u32 }\n  /// What a stage is told about itself",
    );
}

#[test]
fn what_is_added_needs_a_version_of_its_own() {
    let added = |version| changed(version, LOG, &format!("{LOG} now: func() -> u64;"));
    refused(&added("0.1.0"), &["function `host.now`: added since 0.1.0 was released", "to 0.1.1"]);
    refused(&added("0.0.9"), &["has the version 0.0.9, and 0.1.0 was released"]);
    assert_eq!(problems(&added("0.1.7")), Vec::<String>::new());
    let world = changed("0.1.0", "/// A source of events.", "world other { import host; }");
    refused(&world, &["world `other`: added"]);
}

#[test]
fn from_1_0_on_what_is_added_needs_a_minor_version() {
    let released = RELEASED.replace("stage@0.1.0", "stage@1.2.0");
    let added = |version| changed(version, LOG, &format!("{LOG} now: func() -> u64;"));
    let problems = |version| compatibility::check(&released, &added(version)).expect("both parse");
    assert!(problems("1.2.5")[0].contains("raise its minor version, to 1.3.0"), "{:?}", problems("1.2.5"));
    assert_eq!(problems("1.3.0"), Vec::<String>::new());
    assert_eq!(compatibility::check(&released, &changed("1.2.1", LOG, LOG)), Ok(Vec::new()), "nothing but a number");
}

#[test]
fn a_new_major_version_may_change_anything() {
    assert_eq!(problems(&changed("0.2.0", LOG, "")), Vec::<String>::new());
    assert_eq!(problems(&changed("1.0.0", LOG, "")), Vec::<String>::new());
    let version = |major, minor, patch| Version { major, minor, patch };
    assert!(version(0, 1, 0).is_of_line(version(0, 1, 9)) && version(1, 0, 0).is_of_line(version(1, 7, 0)));
    assert!(!version(0, 1, 0).is_of_line(version(0, 2, 0)) && !version(1, 0, 0).is_of_line(version(2, 0, 0)));
}

#[test]
fn a_function_may_not_be_added_to_what_plugins_export() {
    let of_produce = "handle-demand: func(demand: u32) -> result<batch, stage-error>;";
    let parts = ["function `produce.pause`", "new optional interface"];
    forbidden(of_produce, &format!("{of_produce} pause: func();"), &parts);
    let of_timer = "handle-tick: func() -> result<batch, stage-error>;";
    forbidden(
        of_timer,
        &format!("{of_timer} pause: func();"),
        &["function `timer.pause`", "those that are there lack it"],
    );
}

#[test]
fn a_function_may_not_go_or_change() {
    forbidden(LOG, "", &["function `host.log`", "is gone", "put it back"]);
    let signature = "was `func(level: host.level, message: string)`";
    forbidden(LOG, "log: func(level: level, text: string);", &["function `host.log`", "text: string", signature]);
    forbidden(LOG, "log: func(level: level, message: list<u8>);", &["message: list<u8>", signature]);
    forbidden(LOG, "log: func(level: level, message: string) -> bool;", &["-> bool", signature]);
    forbidden(LOG, "log: func(message: string, level: level);", &["function `host.log`", signature]);
    let tick = "handle-tick: func() -> result<batch, stage-error>;";
    let parts = ["function `timer.handle-tick`", "-> types.batch`", "result<types.batch, types.stage-error>"];
    forbidden(tick, "handle-tick: func() -> batch;", &parts);
}

#[test]
fn the_fields_of_a_record_are_what_they_are() {
    let reason = "/// Why, for a person.\n    reason: string,";
    let item = "type `types.rejection`";
    forbidden(reason, "reason: string, code: u32,", &[item, "field `code` was added", "type of another name"]);
    forbidden(reason, "", &[item, "field `reason` was taken away"]);
    forbidden(reason, "why: string,", &[item, "field `reason` is `why` now"]);
    forbidden(reason, "reason: option<string>,", &[item, "field `reason` is `option<string>`, was `string`"]);
    let attempt = "attempt: u32,\n";
    let moved = changed("0.1.1", "epoch: u64,", "").replace(attempt, "attempt: u32, epoch: u64,\n");
    refused(&moved, &["type `types.delivery`", "its fields are in another order"]);
    fits(&moved).expect_err("wit-component refuses it too");
}

#[test]
fn the_cases_of_a_variant_or_enum_are_what_they_are() {
    forbidden("other(string),", "other(string), stop(string),", &["type `types.stage-error`", "case `stop` was added"]);
    forbidden("other(string),", "", &["case `other` was taken away"]);
    forbidden("other(string),", "other,", &["case `other` is ``, was `string`"]);
    forbidden("enum level { trace, debug,", "enum level { debug, trace,", &["type `host.level`", "another order"]);
    forbidden("info, warn, error }", "info, warn, error, panic }", &["type `host.level`", "case `panic` was added"]);
    forbidden(
        "enum level { trace, debug, info, warn, error }",
        "type level = u8;",
        &["type `host.level`", "is a type, was a enum"],
    );
}

#[test]
fn an_interface_or_type_may_not_go() {
    let present = RELEASED.replace("stage@0.1.0", "stage@0.1.1").replace("interface call ", "interface ask ");
    let problems = problems(&present.replace("export call;", "export ask;"));
    assert!(problems.iter().any(|problem| problem.starts_with("interface `call`: is gone")), "{problems:#?}");
    let present = RELEASED.replace("stage@0.1.0", "stage@0.1.1").replace("rejection", "refusal");
    let problems = super::compatibility::check(RELEASED, &present).expect("both parse");
    assert!(problems.iter().any(|problem| problem.starts_with("type `types.rejection`: is gone")), "{problems:#?}");
}

#[test]
fn a_world_keeps_what_it_exports_and_imports() {
    let more = "world producer {\n  export terminate;\n";
    forbidden("world producer {\n", more, &["world `producer`", "exports `terminate` besides", "optional-…"]);
    let gone = changed("0.1.1", "world optional-timer { export timer; }", "");
    refused(&gone, &["world `optional-timer`", "is gone"]);
    let without = changed("0.1.1", "  export lifecycle;\n  export produce;", "  export lifecycle;");
    assert!(problems(&without).iter().any(|problem| problem.contains("no longer exports `produce`")));
    let without = changed(
        "0.1.1",
        "  import host;\n  export lifecycle;\n  export consume;",
        "  export lifecycle;\n  export consume;",
    );
    refused(&without, &["world `consumer`", "no longer imports `host`"]);
}
