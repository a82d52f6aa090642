//! What a process has used, as the kernel counts it.

use std::{fs, io, time::Duration};

/// See the module's documentation.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Used {
    /// On all threads, since its start.
    pub(super) cpu: Duration,
    /// Resident now. Unit: bytes.
    pub(super) resident: u64,
    /// Resident at most, so far. Unit: bytes.
    pub(super) peak: u64,
}

impl Used {
    /// # Errors
    /// It is gone, or the kernel's tables read otherwise than Linux's.
    pub(super) fn of(pid: u32) -> io::Result<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let unreadable = || io::Error::new(io::ErrorKind::InvalidData, format!("/proc/{pid} is not as Linux has it"));
        Self::read(&stat, &status, rustix::param::clock_ticks_per_second()).ok_or_else(unreadable)
    }

    /// See proc(5): fields 14 and 15 of `stat`, `VmRSS` and `VmHWM` of `status`.
    fn read(stat: &str, status: &str, ticks_per_second: u64) -> Option<Self> {
        // The second field, the program's name, may hold anything; it ends with the last parenthesis.
        let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
        let ticks = fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?;
        let cpu = Duration::from_millis(ticks * 1000 / ticks_per_second.max(1));
        let kib = |key: &str| -> Option<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(key))?;
            line.trim_start_matches(':').trim().trim_end_matches(" kB").parse().ok()
        };
        Some(Self { cpu, resident: kib("VmRSS")? << 10, peak: kib("VmHWM")? << 10 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_tables_are_read() {
        let stat = "7 (a (b) c) S 1 7 7 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 9 0 1";
        let status = "Name:\ta\nVmPeak:\t  9000 kB\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n";
        let expected = Used { cpu: Duration::from_secs(3), resident: 1 << 20, peak: 2 << 20 };
        assert_eq!(Used::read(stat, status, 100), Some(expected));
        assert_eq!(Used::read("7 (a) S 1", status, 100), None);
        assert!(Used::of(std::process::id()).unwrap().resident > 1 << 20);
    }
}
