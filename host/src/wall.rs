//! The wall clock, for people and histories. Time-outs and leases go by other clocks.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Unit: milliseconds since 1970; 0 before.
pub(crate) fn now_ms() -> u64 {
    u64::try_from(since_1970().as_millis()).unwrap_or(u64::MAX)
}

/// Unit: nanoseconds since 1970; 0 before. For how old events of a bench are: all processes of a machine share this clock.
pub(crate) fn now_ns() -> u64 {
    u64::try_from(since_1970().as_nanos()).unwrap_or(u64::MAX)
}

fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO)
}
