//! What wit-bindgen makes of `wit/`: generated, not part of the public interface.
//!
//! Each exported interface is a world of its own here, so that a component declares exactly what its
//! stage exports: the linker joins the worlds whose export macros were expanded. The role worlds of
//! `wit/` cannot be used for that, as all three export `lifecycle` and its macro can exist once only.
#![allow(
    unsafe_code,
    missing_docs,
    missing_debug_implementations,
    unreachable_pub,
    clippy::allow_attributes_without_reason,
    reason = "generated; the canonical ABI is made of raw pointers"
)]

/// What the host provides, and the types all interfaces share.
pub mod host {
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "
            package forebay:sdk;
            world host {
                import forebay:stage/types@0.1.1;
                import forebay:stage/host@0.1.1;
            }
        ",
        generate_unused_types: true,
        generate_all,
    });
    pub use forebay::stage::{host, types};

    #[expect(clippy::derivable_impls, reason = "nothing can be derived on what the macro generates")]
    impl Default for types::Batch {
        fn default() -> Self {
            Self {
                payloads: Vec::new(),
                ends: Vec::new(),
                topics: Vec::new(),
                topic_of: Vec::new(),
                keys: Vec::new(),
                key_ends: Vec::new(),
                headers: Vec::new(),
            }
        }
    }
}

/// What the host provides to a stage that asks its sources itself. A component whose stage never does declares nothing
/// of it: what is not called is not imported.
pub mod demand {
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "package forebay:sdk; world demand { import forebay:stage/demand@0.1.1; }",
        generate_all,
    });
    pub use forebay::stage::demand::ask;
}

macro_rules! exported {
    ($module:ident, $wit:literal $(, $types:literal)?) => {
        pub mod $module {
            wit_bindgen::generate!({
                path: "../../wit",
                inline: $wit,
                with: { $($types: crate::bindings::host::types)? },
                pub_export_macro: true,
            });
            pub use exports::forebay::stage::$module::Guest;
        }
    };
}

exported!(
    lifecycle,
    "package forebay:sdk; world lifecycle { export forebay:stage/lifecycle@0.1.1; }",
    "forebay:stage/types@0.1.1"
);
exported!(
    produce,
    "package forebay:sdk; world produce { export forebay:stage/produce@0.1.1; }",
    "forebay:stage/types@0.1.1"
);
exported!(
    consume,
    "package forebay:sdk; world consume { export forebay:stage/consume@0.1.1; }",
    "forebay:stage/types@0.1.1"
);
exported!(
    transform,
    "package forebay:sdk; world transform { export forebay:stage/transform@0.1.1; }",
    "forebay:stage/types@0.1.1"
);
exported!(checkpoint, "package forebay:sdk; world checkpoint { export forebay:stage/checkpoint@0.1.1; }");
exported!(timer, "package forebay:sdk; world timer { export forebay:stage/timer@0.1.1; }", "forebay:stage/types@0.1.1");
exported!(
    ingest,
    "package forebay:sdk; world ingest { export forebay:stage/ingest@0.1.1; }",
    "forebay:stage/types@0.1.1"
);
exported!(call, "package forebay:sdk; world call { export forebay:stage/call@0.1.1; }");
exported!(terminate, "package forebay:sdk; world terminate { export forebay:stage/terminate@0.1.1; }");
