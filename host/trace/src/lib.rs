//! What happened at the edges of nodes and stages, as records: written by nodes and by whoever does
//! harm to them, read by `forebay-check`.
//!
//! A record says what crossed an edge (a message sent, a guest call that returned), never what a state
//! machine believes of itself. This crate knows nothing of the code that is judged by its records.
//!
//! - [`Record`] and [`Event`]: what is said.
//! - [`Writer`]: says it, into a [`Sink`]: a file ([`File`]) or a list in memory ([`Collector`]).
//! - [`read()`]: lines back into records.
//!
//! ```
//! use forebay_trace::{Clock, Collector, Event, Writer};
//!
//! let collector = Collector::default();
//! let node = Writer::new("a", 7, Clock::Monotonic, collector.clone());
//! node.write(Event::NodeStart {});
//! let line = serde_json::to_string(&collector.take()[0])?;
//! assert!(line.contains(r#""node":"a","boot":"0000000000000007","n":0,"ev":"node.start"}"#), "{line}");
//! # Ok::<(), serde_json::Error>(())
//! ```

mod event;
mod file;
mod read;
mod values;
mod writer;

pub use event::{Event, Record, Side};
pub use file::File;
pub use read::{Lines, ReadError, read};
pub use values::{Boot, Epoch, Run, Text, runs_len, runs_of};
pub use writer::{Clock, Collector, Sink, Writer};
