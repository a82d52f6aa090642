//! A stage's `config` as the JSON text its plugin gets.

use serde_json::{Map, Number, Value};
use toml::de::{DeFloat, DeInteger, DeTable, DeValue};

use super::{
    fields::{Node, join},
    problem::{Found, Problems},
};

/// How deep tables and arrays may stand in each other. More is taken for a mistake or an attack:
/// guests read JSON by recursion.
pub(super) const DEPTH_MAX: usize = 32;

/// JSON of a table. Keys are sorted, so equal tables give equal texts; dates become strings.
pub(super) fn from_table(node: &Node<'_>, problems: &mut Problems) -> Option<String> {
    let Some(table) = node.value.as_table() else {
        return node.unexpected(problems, "a table");
    };
    object(table, &node.path, DEPTH_MAX - 1, problems).map(|value| value.to_string())
}

fn object(table: &DeTable<'_>, path: &str, depth: usize, problems: &mut Problems) -> Option<Value> {
    let mut map = Map::new();
    for (key, value) in table.iter() {
        let node = Node { value: value.get_ref(), at: value.span().start, path: join(path, key.get_ref()) };
        map.insert(key.get_ref().clone().into_owned(), from_node(&node, depth, problems)?);
    }
    Some(Value::Object(map))
}

fn from_node(node: &Node<'_>, depth: usize, problems: &mut Problems) -> Option<Value> {
    match node.value {
        DeValue::String(text) => Some(Value::String(text.clone().into_owned())),
        DeValue::Integer(number) => integer(number)
            .or_else(|| node.unexpected(problems, "an integer from -9223372036854775808 to 9223372036854775807")),
        DeValue::Float(number) => {
            float(number).or_else(|| node.unexpected(problems, "a finite number, as JSON has no other"))
        }
        DeValue::Boolean(value) => Some(Value::Bool(*value)),
        DeValue::Datetime(date) => Some(Value::String(date.to_string())),
        DeValue::Array(_) | DeValue::Table(_) if depth == 0 => {
            let found = Found {
                key: node.path.clone(),
                found: "nested too deeply".to_owned(),
                expected: format!("at most {DEPTH_MAX} tables and arrays in each other"),
                nearest: None,
            };
            problems.push(node.at, found);
            None
        }
        DeValue::Array(array) => {
            let element = |(index, value): (usize, &toml::Spanned<DeValue<'_>>)| {
                let path = format!("{}[{index}]", node.path);
                from_node(&Node { value: value.get_ref(), at: value.span().start, path }, depth - 1, problems)
            };
            array.iter().enumerate().map(element).collect::<Option<Vec<_>>>().map(Value::Array)
        }
        DeValue::Table(table) => object(table, &node.path, depth - 1, problems),
    }
}

fn integer(number: &DeInteger<'_>) -> Option<Value> {
    let number = i64::from_str_radix(number.as_str(), number.radix()).ok()?;
    Some(Value::Number(number.into()))
}

fn float(number: &DeFloat<'_>) -> Option<Value> {
    Number::from_f64(number.as_str().parse().ok()?).map(Value::Number)
}
