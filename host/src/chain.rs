//! Errors with their causes as one text, for who gets no more than that.

use std::error::Error;

/// The error and whatever caused it, on one line: `what: why: why that`.
pub(crate) fn chain(error: &dyn Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| (*cause).source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Outer(&'static str, #[source] Inner);

    #[derive(Debug, thiserror::Error)]
    #[error("cannot read it")]
    struct Inner(#[source] io::Error);

    #[test]
    fn all_causes_are_told_and_each_once() {
        let error = Outer("no node", Inner(io::Error::other("the disk is gone")));
        assert_eq!(chain(&error), "no node: cannot read it: the disk is gone");
        assert_eq!(chain(&io::Error::other("alone")), "alone");
    }
}
