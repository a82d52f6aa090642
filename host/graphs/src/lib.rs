//! Random acyclic pipelines of fifty stages on three nodes, and how often each event must reach each stage.
//!
//! ```text
//! seed -- draw --> Graph --+-- pipeline --> a pipeline file --> nodes, in virtual time or as processes
//!                          |                                      | their traces
//!                          '-- judge: how often? <-- Tally <------'
//! ```
//!
//! The judge knows the graph, and nothing of the code it judges: it says itself which topics a selection means and
//! which partition a key has. What a stage was given is counted from the traces, where the nodes write what their
//! guests have handled.
//!
//! - [`Graph`]: what is drawn from a seed; [`Options`] say what may be in it.
//! - [`Tally`]: how often each event was handled by each stage, of each of its sources, on each node.
//! - [`Graph::unlike`], [`Graph::missing`]: what is not as it must be, after a run without and one with faults.
//! - [`processes`]: a graph on three real `forebay node` processes.

mod draw;
mod event;
mod graph;
mod judge;
mod pipeline;
pub mod processes;
mod tally;

pub use event::{Pattern, key_of, topic_of};
pub use graph::{Dispatcher, Graph, Input, NODES, Options, PIPELINE, Place, Role, STAGES, Scope, Stage};
pub use pipeline::Plugin;
pub use tally::Tally;
