//! Has `forebay-check` look at the traces of a cluster.

use std::{fs, io, path::Path, time::Duration};

use forebay_check::{Agreement, Checker, MergeError, Options, files};

use super::report::Report;

/// Why traces were not judged.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JudgeError {
    #[error("cannot read the traces")]
    Read(#[from] MergeError),
    #[error("cannot write what came of the check")]
    Write(#[from] io::Error),
}

/// Checks the traces in `dir/trace`, adds what came of it to the report, and writes it to
/// `dir/check.txt` with the records that show it.
pub(crate) fn judge(dir: &Path, who: &str, agreement: Agreement, report: &mut Report) -> Result<(), JudgeError> {
    let mut checker = Checker::new(Options { agreement, ..Options::default() });
    // All processes are on this machine and share its clock.
    for record in files(&[dir.join("trace")], Duration::ZERO)? {
        checker.see(record?);
    }
    let checked = checker.finish();
    fs::write(dir.join("check.txt"), format!("{checked}\n"))?;
    let broken = checked.violations.iter().map(|violation| format!("{who}: {}: {}", violation.law, violation.what));
    report.broken.extend(broken);
    report.inconclusive.extend(checked.missing.iter().map(|missing| format!("{who}: {missing}")));
    report.seen += &checked.coverage;
    Ok(())
}
