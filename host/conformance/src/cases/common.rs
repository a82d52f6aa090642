//! What holds of every stage of the set.

use forebay::runtime::Role;

use super::{Case, cases};
use crate::{
    expect::{self, Outcome, equal, holds},
    stages::Stage,
    subject::Subject,
};

pub(super) const CASES: &[Case] = cases![
    exports_its_role_and_what_it_has_besides,
    starts_without_config_and_with_an_empty_one,
    refuses_a_key_it_does_not_know,
    refuses_a_value_of_another_type,
    an_empty_batch_gives_nothing,
];

async fn exports_its_role_and_what_it_has_besides(subject: &Subject) -> Outcome {
    let plugin = &subject.plugin;
    equal("the role", &plugin.role(), &subject.stage.role())?;
    let has = [
        ("call", plugin.has_call()),
        ("checkpoint", plugin.has_checkpoint()),
        ("demand", plugin.can_ask()),
        ("ingest", plugin.has_ingest()),
        ("timer", plugin.has_timer()),
    ];
    let has: Vec<_> = has.into_iter().filter_map(|(name, there)| there.then_some(name)).collect();
    equal("the optional interfaces", &has, &subject.stage.optional())
}

async fn starts_without_config_and_with_an_empty_one(subject: &Subject) -> Outcome {
    for config in ["null", "{}"] {
        subject.start(config).await?;
    }
    Ok(())
}

async fn refuses_a_key_it_does_not_know(subject: &Subject) -> Outcome {
    subject.refuses(r#"{"nonsense":1}"#, &["`nonsense`", "expected"]).await?;
    // Beside one that it knows, and with a name that is no identifier anywhere.
    let (key, value) = known(subject.stage);
    subject
        .refuses(&format!(r#"{{"{key}":{value},"gr\u00f6\u00dfe 1":[{{"a":null}}]}}"#), &["`größe 1`", "expected"])
        .await
}

/// A key of the stage with a value it takes.
fn known(stage: Stage) -> (&'static str, &'static str) {
    match stage {
        Stage::Counter | Stage::Checkpointed => ("start", "1"),
        Stage::Double => ("copies", "1"),
        Stage::Filter => ("contains", r#""a""#),
        Stage::Batcher => ("size", "1"),
        Stage::Misbehaver => ("mode", r#""ok""#),
    }
}

/// The keys of a stage that take a number, and those that take a text.
fn keys(stage: Stage) -> (&'static [&'static str], &'static [&'static str]) {
    match stage {
        Stage::Counter | Stage::Checkpointed => (&["start", "step", "limit", "payload_bytes"], &[]),
        Stage::Double => (&["copies"], &[]),
        Stage::Filter => (&[], &["contains"]),
        Stage::Batcher => (&["size"], &["ask"]),
        Stage::Misbehaver => (&[], &["mode"]),
    }
}

async fn refuses_a_value_of_another_type(subject: &Subject) -> Outcome {
    let (numbers, texts) = keys(subject.stage);
    let of_others = |key: &'static str, values: &[&'static str]| -> Vec<(&'static str, &'static str)> {
        values.iter().map(|value| (key, *value)).collect()
    };
    let wrong = numbers.iter().flat_map(|key| of_others(key, &[r#""3""#, "1.5", "true", "[3]", r#"{"a":3}"#]));
    let wrong = wrong.chain(texts.iter().flat_map(|key| of_others(key, &["3", "false", r#"["a"]"#, "{}"])));
    for (key, value) in wrong {
        // Where the value is a list, the path in the text may lead into it.
        subject.refuses(&format!(r#"{{"{key}":{value}}}"#), &[&format!("`{key}"), "expected"]).await?;
    }
    Ok(())
}

async fn an_empty_batch_gives_nothing(subject: &Subject) -> Outcome {
    let mut running = subject.start("null").await?;
    if subject.stage.role() != Role::Producer {
        let output = running.deliver(&[]).await?;
        expect::events("the output", &output.events, &[])?;
        return holds(output.rejections.is_empty(), || format!("{:?}", output.rejections));
    }
    let mut limited = subject.start(r#"{"limit":0}"#).await?;
    expect::events("the events of a producer at its limit", &limited.demand(10).await?, &[])?;
    if subject.plugin.has_ingest() {
        let given = running.instance.handle_ingest(forebay_proto::batch::Batch::default()).await;
        expect::events("the answer to an empty ingest", &expect::done("handle-ingest", given)?, &[])?;
    }
    Ok(())
}
