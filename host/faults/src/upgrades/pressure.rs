//! How busy the machine was, by the kernel's pressure stall information: a run on one that has no time shows little.

use std::{
    fs,
    time::{Duration, Instant},
};

/// From when on it is measured.
#[derive(Debug)]
pub(super) struct Pressure {
    began: Instant,
    waited: Option<Duration>,
}

impl Pressure {
    pub(super) fn begin() -> Self {
        Self { began: Instant::now(), waited: waited() }
    }

    /// For how much of the time since the begin somebody waited for a processor. Unit: percent. None if the kernel does not
    /// tell.
    pub(super) fn percent(&self) -> Option<u64> {
        let waited = waited()?.saturating_sub(self.waited?).as_micros() * 100;
        u64::try_from(waited / self.began.elapsed().as_micros().max(1)).ok()
    }
}

fn waited() -> Option<Duration> {
    total(&fs::read_to_string("/proc/pressure/cpu").ok()?)
}

/// The total of the line `some avg10=0.00 avg60=0.00 avg300=0.00 total=MICROSECONDS`.
fn total(text: &str) -> Option<Duration> {
    let some = text.lines().find(|line| line.starts_with("some "))?;
    some.rsplit_once("total=")?.1.trim().parse().ok().map(Duration::from_micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_line_is_read() {
        let text = "some avg10=12.59 avg60=57.23 avg300=71.42 total=29405518469\nfull avg10=0.00 total=7\n";
        assert_eq!(total(text), Some(Duration::from_micros(29_405_518_469)));
        assert_eq!(total("full avg10=0.00 total=7"), None);
        assert_eq!(total(""), None);
    }
}
