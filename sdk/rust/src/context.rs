//! What a stage is told about itself when it starts, with its config parsed.

use serde::de::DeserializeOwned;

use crate::bindings::host::types;

/// What a stage is told about itself when it starts.
///
/// `C` is the stage's own config type. The host hands over the `config` table of the pipeline file;
/// the SDK parses it, so that a stage sees a value of its type or is not started at all.
///
/// # Which config types work
/// Anything serde reads from JSON. A stage without config uses `()`. When the pipeline file has no
/// `config`, a struct of which every field has a default is given its defaults. Put
/// `#[serde(deny_unknown_fields)]` on it: a misspelt key is then an error that names it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Context<C> {
    /// The pipeline's name.
    pub pipeline: String,
    /// The stage's name in the pipeline.
    pub stage: String,
    /// The name of the node it runs on.
    pub node: String,
    /// Which instance of the stage on this node, from 0.
    pub instance: u32,
    /// The stage's config.
    pub config: C,
    /// Further facts, (name, value), that a later host may add.
    pub attributes: Vec<(String, String)>,
}

impl<C> Context<C> {
    /// The value of an attribute, if the host gave it.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

impl<C: DeserializeOwned> Context<C> {
    /// Parses the config of what the host handed over.
    ///
    /// # Errors
    /// For a person: the stage, what serde found, and where in the config.
    pub(crate) fn parse(given: types::Context) -> Result<Self, String> {
        let types::Context { pipeline, stage, node, instance, config, attributes } = given;
        let config = parse_config(&config).map_err(|found| format!("config of stage `{stage}`: {found}"))?;
        Ok(Self { pipeline, stage, node, instance, config, attributes })
    }
}

fn parse_config<C: DeserializeOwned>(text: &str) -> Result<C, String> {
    let parse = |text: &str| serde_json::from_str(text).map_err(|error| describe(&error, text));
    match text.trim() {
        // An absent table and an empty one mean the same, whether the type is `()`, an `Option` or a
        // struct of defaults. The error for `{}` is the better one: it names the missing field.
        "" | "null" | "{}" => parse("null").or_else(|_| parse("{}")),
        text => parse(text),
    }
}

/// What serde found, with the path in place of line and column: the JSON was written by the host, so
/// a position in it means nothing to the author of the pipeline file.
fn describe(error: &serde_json::Error, text: &str) -> String {
    let position = format!(" at line {} column {}", error.line(), error.column());
    let whole = error.to_string();
    let message = whole.strip_suffix(&position).unwrap_or(&whole);
    match path_at(text, offset_of(text, error.line(), error.column())) {
        path if path.is_empty() => message.to_owned(),
        path => format!("at `{path}`: {message}"),
    }
}

fn offset_of(text: &str, line: usize, column: usize) -> usize {
    let before: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    before + column
}

enum Step {
    Key(String),
    Index(usize),
}

/// The path of the value that ends at `offset`, as `limits.sizes[2]`; empty for the whole.
fn path_at(text: &str, offset: usize) -> String {
    let mut steps = Vec::new();
    let mut key_is_next = false;
    let mut rest = text.get(..offset).unwrap_or(text).char_indices();
    while let Some((start, char)) = rest.next() {
        match char {
            '{' => steps.push(Step::Key(String::new())),
            '[' => steps.push(Step::Index(0)),
            '}' | ']' => drop(steps.pop()),
            '"' => {
                let string = string_from(&text[start..]);
                let end = start + string.len();
                if let (true, Some(Step::Key(key))) = (key_is_next, steps.last_mut()) {
                    *key = serde_json::from_str(string).unwrap_or_default();
                }
                while rest.clone().next().is_some_and(|(at, _)| at < end) {
                    rest.next();
                }
            }
            ',' => {
                if let Some(Step::Index(index)) = steps.last_mut() {
                    *index += 1;
                }
            }
            _ => {}
        }
        if matches!(char, '{' | ',' | ':' | '[') {
            key_is_next = matches!(char, '{' | ',') && matches!(steps.last(), Some(Step::Key(_)));
        }
    }
    join(&steps)
}

/// The JSON string at the start of `text`, quotes included.
fn string_from(text: &str) -> &str {
    let mut escaped = false;
    for (at, char) in text.char_indices().skip(1) {
        match char {
            '"' if !escaped => return &text[..=at],
            _ => escaped = char == '\\' && !escaped,
        }
    }
    text
}

fn join(steps: &[Step]) -> String {
    let mut path = String::new();
    for step in steps {
        match step {
            Step::Key(key) if path.is_empty() => path.push_str(key),
            Step::Key(key) => path.extend([".", key]),
            Step::Index(index) => path.push_str(&format!("[{index}]")),
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(default, deny_unknown_fields)]
    struct Defaults {
        start: u32,
        inner: Inner,
    }

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        sizes: Vec<u8>,
    }

    fn error(config: &str) -> String {
        let given = types::Context {
            pipeline: "p".into(),
            stage: "counter".into(),
            node: "n".into(),
            instance: 0,
            config: config.into(),
            attributes: vec![],
        };
        Context::<Defaults>::parse(given).expect_err("a config that is wrong").to_string()
    }

    #[test]
    fn no_config_gives_the_defaults() {
        for text in ["null", "{}", "", " null "] {
            assert_eq!(parse_config::<Defaults>(text), Ok(Defaults::default()), "{text:?}");
            assert_eq!(parse_config::<()>(text), Ok(()), "{text:?}");
            assert_eq!(parse_config::<Option<Inner>>(text), Ok(None), "{text:?}");
        }
    }

    #[test]
    fn no_config_names_the_field_that_has_no_default() {
        assert_eq!(parse_config::<Inner>("null"), Err("missing field `sizes`".to_owned()));
    }

    #[test]
    fn an_error_names_the_stage_the_place_and_what_serde_found() {
        assert_eq!(
            error(r#"{"strat":1}"#),
            "config of stage `counter`: at `strat`: unknown field `strat`, expected `start` or `inner`"
        );
        assert_eq!(
            error(r#"{"inner":{"sizes":[1, 2]},"start":"a\"},[b"}"#),
            "config of stage `counter`: at `start`: invalid type: string \"a\\\"},[b\", expected u32"
        );
    }

    #[test]
    fn the_path_leads_into_lists_and_tables() {
        let wrong_item = error("{\n \"start\": 1,\n \"inner\": {\"sizes\": [1, 2, 300]}}");
        assert!(wrong_item.contains("at `inner.sizes[2]`: invalid value: integer `300`"), "{wrong_item}");
        let missing = error(r#"{"inner":{},"start":1}"#);
        assert!(missing.contains("at `inner`: missing field `sizes`"), "{missing}");
    }

    #[test]
    fn text_that_is_no_json_is_an_error() {
        assert!(error("{\"start\":").contains("EOF while parsing"));
        assert!(error("{\"sta").contains("EOF while parsing"));
    }
}
