//! What stage authors use: projects in eight languages, their SDKs, and the way from source to component.
//!
//! A project is a folder with a `forebay.toml`. Everything an author needs of Forebay is in the binary this crate is
//! linked into: the WIT, the SDKs, templates, and the step from a core module to a component. Only the language's own
//! compiler has to be there.
//!
//! ```text
//! forebay.toml --manifest--> Project --sdk--> .forebay/   the SDK and the WIT, unpacked
//!                               |--languages--> core module --component--> build/NAME.wasm
//! ```
//!
//! Nothing here runs a component: this crate knows no wasmtime.

pub mod component;
mod error;
mod inputs;
mod language;
mod languages;
mod manifest;
mod project;
mod scaffold;
mod sdk;
mod tools;
mod world;

pub use error::AuthorError;
pub use language::{Engine, Language};
pub use languages::rust;
pub use manifest::{MANIFEST, Manifest, Optional, Role, Stage};
pub use project::{Built, Project};
pub use scaffold::{New, new};
pub use sdk::HIDDEN;
