//! Has `forebay-check` look at the traces of a cluster.

use std::{fs, io, path::Path, time::Duration};

use forebay_check::{Agreement, Checker, Coverage, MergeError, Options, files};

use super::{confirmed::Arrivals, report::Report, sums::Tally};
use crate::clients::Pushed;

/// Why traces were not judged.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JudgeError {
    #[error("cannot read the traces")]
    Read(#[from] MergeError),
    #[error("cannot write what came of the check")]
    Write(#[from] io::Error),
}

/// Checks the traces in `dir/trace`, adds what came of it to the report, and writes it to
/// `dir/check.txt` with the records that show it. `pushed`: where clients did, instead of a counter.
pub(crate) fn judge(
    dir: &Path,
    who: &str,
    agreement: Agreement,
    chain: bool,
    pushed: Option<Pushed>,
    report: &mut Report,
) -> Result<(), JudgeError> {
    let mut checker = Checker::new(Options { agreement, ..Options::default() });
    let mut tally = Tally::new(chain);
    let mut arrivals = pushed.map(|pushed| Arrivals::new(pushed, chain));
    // All processes are on this machine and share its clock.
    for record in files(&[dir.join("trace")], Duration::ZERO)? {
        let record = record?;
        match &mut arrivals {
            Some(arrivals) => arrivals.see(&record.event),
            None => tally.see(&record.event),
        }
        checker.see(record);
    }
    let sums = tally.sums();
    // Without a majority a new owner starts over.
    if agreement == Agreement::Quorum && sums.missing > 0 {
        report.broken.push(format!("{who}: {} of {} numbers on record came to no sink", sums.missing, sums.recorded));
    }
    report.sums += sums;
    if let Some(arrivals) = arrivals {
        report.broken.extend(arrivals.broken().into_iter().map(|why| format!("{who}: {why}")));
        *report.arrived.get_or_insert_default() += arrivals.arrived();
    }
    let checked = checker.finish();
    fs::write(dir.join("check.txt"), format!("{checked}\n"))?;
    let broken = checked.violations.iter().map(|violation| format!("{who}: {}: {}", violation.law, violation.what));
    report.broken.extend(broken);
    report.inconclusive.extend(checked.missing.iter().map(|missing| format!("{who}: {missing}")));
    report.inconclusive.extend(empty(&checked.coverage).map(|why| format!("{who}: {why}")));
    report.seen += &checked.coverage;
    Ok(())
}

/// Why traces say nothing, whatever laws they keep.
fn empty(coverage: &Coverage) -> Option<&'static str> {
    let is_empty = coverage.handled == 0;
    is_empty.then_some("no trace says that an event was handled; is the binary one that knows FOREBAY_TRACE?")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{record::Recorder, run::Verdict};

    #[test]
    fn traces_without_a_handled_event_say_nothing() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("trace")).unwrap();
        let recorder = Recorder::create(&dir.path().join("trace")).unwrap();
        recorder.begin(1, "kill", &["a".to_owned()].into(), "kill-owner");
        recorder.end(1, true);
        let mut report = Report::default();
        judge(dir.path(), "cluster 1", Agreement::Islands, false, None, &mut report).unwrap();
        assert_eq!(report.verdict(), Verdict::Inconclusive);
        assert!(report.inconclusive[0].starts_with("cluster 1: no trace says"), "{:?}", report.inconclusive);
    }
}
