//! Where letters lie: how they are named across nodes, which nodes there are, and which of them are not heard.

use std::str::FromStr;

use forebay_proto::ids::NodeName;

use super::{Client, Of, all_nodes, ask, something_else, text};
use crate::{
    cli::{Exit, Failure},
    node::admin::wire::{AboutLetters, Letter, LettersQuestion},
};

/// More of one node are not believed: twice as many as any may be told to keep.
const LETTERS_MAX: usize = 200_000;

/// A letter as operators name it: `NODE:ID`, or `ID` of the node that is asked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct LetterName {
    pub(super) node: Option<NodeName>,
    pub(super) id: u64,
}

impl FromStr for LetterName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (node, id) = match text.rsplit_once(':') {
            Some((node, id)) => (Some(node), id),
            None => (None, text),
        };
        let name = node.map(|node| node.parse()).transpose().ok().zip(id.parse().ok());
        let (node, id) =
            name.ok_or("expected NODE:ID as `forebay dlq list` shows it, or the ID of one on the node asked")?;
        Ok(Self { node, id })
    }
}

impl LetterName {
    /// Its node, if any is named; `on` is what `--node` says.
    ///
    /// # Errors
    /// If they contradict each other.
    pub(super) fn node(&self, on: Option<&NodeName>) -> Result<Option<String>, Failure> {
        match (&self.node, on) {
            (Some(node), Some(on)) if node != on => Err(Failure::new(
                Exit::Usage,
                format!("letter {node}:{} does not lie on {on}, as --node says", self.id),
            )),
            (Some(node), _) | (None, Some(node)) => Ok(Some(node.to_string())),
            (None, None) => Ok(None),
        }
    }
}

/// Nodes whose letters are not known, each with the reason.
#[derive(Debug, Default)]
pub(super) struct NotHeard(Vec<String>);

impl NotHeard {
    /// What is said of them at the end.
    pub(super) fn problems(self) -> Vec<String> {
        self.0
    }
}

/// All letters that are meant, oldest first.
///
/// # Errors
/// If no node is heard that could have them.
pub(super) fn find(client: &Client, of: &Of) -> Result<(Vec<Letter>, NotHeard), Failure> {
    let nodes = match &of.node {
        Some(node) => vec![node.to_string()],
        None => all_nodes(client)?,
    };
    let (mut letters, mut not_heard) = (Vec::new(), NotHeard::default());
    for node in &nodes {
        match of_node(client, of, node) {
            Ok(found) => letters.extend(found),
            Err(failure) if nodes.len() == 1 => return Err(failure),
            Err(failure) => not_heard.0.push(format!("{node} is not heard, and its letters are not known: {failure}")),
        }
    }
    // Each node has its own clock; that is good enough for the eye.
    letters.sort_by(|one, other| (one.at_ms, &one.node, one.id).cmp(&(other.at_ms, &other.node, other.id)));
    Ok((letters, not_heard))
}

/// A page at a time; each goes on where the last one ended, as the node that is asked has seen to.
fn of_node(client: &Client, of: &Of, node: &str) -> Result<Vec<Letter>, Failure> {
    let mut letters: Vec<Letter> = Vec::new();
    loop {
        let (pipeline, stage, after) = (of.pipeline.clone(), of.stage.clone(), letters.last().map(|letter| letter.id));
        let question = LettersQuestion::List { pipeline, stage, after };
        let AboutLetters::Page(page) = ask(client, Some(node), question)? else { return Err(something_else()) };
        letters.extend(page.letters);
        if !page.more {
            return Ok(letters);
        }
        if letters.len() > LETTERS_MAX {
            let told = format!("it tells of more than {LETTERS_MAX} letters, which is not to be believed");
            return Err(Failure::new(Exit::Unavailable, text::harmless(&told)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_is_named_with_its_node_or_without() {
        let name = |text: &str| text.parse::<LetterName>();
        assert_eq!(name("7"), Ok(LetterName { node: None, id: 7 }));
        assert_eq!(name("node-1.x:7"), Ok(LetterName { node: Some("node-1.x".parse().unwrap()), id: 7 }));
        for wrong in ["", "a:", ":7", "a:b", "A:7", "a:-1", "a:b:7", "7:a", "a:18446744073709551616"] {
            assert!(name(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_letters_node_and_that_of_the_arguments_agree() {
        let (a, b): (NodeName, NodeName) = ("a".parse().unwrap(), "b".parse().unwrap());
        let (plain, named) = ("7".parse::<LetterName>().unwrap(), "a:7".parse::<LetterName>().unwrap());
        assert_eq!(plain.node(None).unwrap(), None);
        assert_eq!(plain.node(Some(&b)).unwrap().as_deref(), Some("b"));
        assert_eq!(named.node(Some(&a)).unwrap().as_deref(), Some("a"));
        let told = named.node(Some(&b)).unwrap_err().to_string();
        assert!(told.contains("letter a:7 does not lie on b"), "{told}");
    }
}
