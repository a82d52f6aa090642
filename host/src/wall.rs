//! The wall clock, for people and histories. Time-outs and leases go by other clocks.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Unit: milliseconds since 1970; 0 before.
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
