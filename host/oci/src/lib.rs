//! Plugins in OCI registries, laid out as the CNCF's "Wasm OCI Artifact layout" says, so that `wkg` can take and give
//! them too.
//!
//! ```text
//! push ---> manifest (bytes of the layout)        reference   HOST/NAME:TAG
//! pull ---> http     (one session a registry) --> challenge, token, credentials (docker's config.json)
//! ```
//!
//! Of the distribution API five calls are used: look for a blob, begin an upload, end it, put and get a manifest, get a
//! blob. Everything blocks; call it from a thread that may.
//!
//! What comes from a registry is bounded before it is read, and is what its digest says or is refused. Whether a
//! *person* made it is what the signature says, which travels along and is checked where plugins are loaded.

mod challenge;
mod component;
mod credentials;
mod error;
mod http;
mod manifest;
mod pull;
mod push;
mod reference;
mod token;

pub use error::{Error, Foreign};
pub use http::Options;
pub use manifest::SIGNATURE_ANNOTATION;
pub use pull::{Pulled, pull};
pub use push::{Artefact, Pushed, push};
pub use reference::{Reference, ReferenceError};

pub use forebay_proto::deploy::SIGNATURE_BYTES_MAX;
