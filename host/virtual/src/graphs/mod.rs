//! Random acyclic pipelines of fifty stages, see `host/graphs`: without faults every event must reach each stage exactly
//! as often as the graph says, with faults at least so often.
//!
//! ```text
//! seed -> graph, cluster of three -> all subscribe, unless sources begin at once -> sources emit
//!      -> faults, if any; then all faults off
//!      -> all was handled as often as it must be, and nothing more comes
//!      -> all nodes end, and no stage has anything left
//!      -> the laws, on the trace
//! ```

mod coverage;
mod load;
mod run;

pub use coverage::Coverage;
pub use run::Report;
