//! What authors of stages do: make a project, build it, test it.

mod build;
mod dev;
mod new;
mod test;

pub(super) use build::{Args as BuildArgs, build, build_project};
pub(super) use dev::{Args as DevArgs, dev};
pub(super) use new::{Args as NewArgs, new};
pub(super) use test::{project, test};
