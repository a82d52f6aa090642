//! Whether a stage that ended is started again, when, and when to give up.
//!
//! As an OTP supervisor decides, with a growing pause before each restart. Only decides: the caller
//! waits and starts.
//!
//! ```text
//!           exit                      exit              more than `max` within `within`
//! running ------> waiting `after` --> running --> ... ------------------------------> given up
//!    ^                |                  |
//!    +----------------+                  +--> done: it may end, by its `When`
//! ```

use std::{collections::VecDeque, time::Duration};

use crate::{backoff::Backoff, message::Reason};

/// When and how often a stage is started again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RestartPolicy {
    /// After which ends. Default permanent: a stage of a running pipeline is meant to be there.
    pub when: When,
    /// Restarts allowed within [`RestartPolicy::within`]; the next one gives up. Default 10.
    ///
    /// With the default back-off ten restarts take 81 s: long enough for a database to come back.
    pub max: u32,
    /// The window `max` counts in, and how long a stage must run for the back-off to start over.
    /// Default 5 min.
    ///
    /// It must be longer than the back-offs of `max` restarts take together, else `max` is never
    /// reached. OTP's 3 in 5 s has no back-off; here the third restart alone would be past it.
    pub within: Duration,
    /// Pause before the first restart; each further one doubles it. Default 100 ms.
    pub backoff: Duration,
    /// The longest pause. Default 30 s, so that a mended cause is noticed within half a minute.
    pub backoff_max: Duration,
}

impl Default for RestartPolicy {
    fn default() -> Self {
        Self {
            when: When::Permanent,
            max: 10,
            within: Duration::from_secs(300),
            backoff: Duration::from_millis(100),
            backoff_max: Duration::from_secs(30),
        }
    }
}

/// After which ends a stage is started again; OTP's words.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum When {
    /// After every end.
    #[default]
    Permanent,
    /// After a failure, not after a graceful end.
    Transient,
    /// Never.
    Temporary,
}

/// How a stage ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Exit {
    /// Its work was done, or somebody ordered it to stop.
    Graceful,
    /// A trap, a fatal error, a lost subscription.
    Failed,
}

impl From<&Reason> for Exit {
    fn from(reason: &Reason) -> Self {
        if reason.is_graceful() { Self::Graceful } else { Self::Failed }
    }
}

/// What to do about an end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Decision {
    /// Start it again.
    Restart {
        /// How long to wait first.
        after: Duration,
    },
    /// It fails too often: leave it, release its name, and say so.
    GiveUp {
        /// Restarts there were.
        restarts: u32,
        /// In which window.
        within: Duration,
    },
    /// It may end.
    Done,
}

/// Remembers the restarts of one stage and decides on the next.
#[derive(Clone, Debug)]
pub struct Supervisor {
    policy: RestartPolicy,
    /// When the restarts were decided, oldest first; at most `policy.max`.
    restarts: VecDeque<Duration>,
    /// Starts over when the stage has run for longer than `policy.within`.
    backoff: Backoff,
    /// When the stage was last due to run again.
    up_at: Duration,
}

impl Supervisor {
    /// A supervisor of a stage that was just started for the first time.
    pub fn new(policy: RestartPolicy) -> Self {
        let backoff = Backoff::new(policy.backoff, policy.backoff_max);
        Self { policy, restarts: VecDeque::new(), backoff, up_at: Duration::ZERO }
    }

    /// Decides what follows from the stage's end at `now`.
    ///
    /// `now` is the time since any fixed moment and never falls. A restart counts as of its
    /// decision; one that is exactly `within` ago still counts, as in OTP.
    pub fn on_exit(&mut self, now: Duration, how: Exit) -> Decision {
        let Self { policy, .. } = *self;
        let again = match policy.when {
            When::Permanent => true,
            When::Transient => how == Exit::Failed,
            When::Temporary => false,
        };
        if !again {
            return Decision::Done;
        }
        self.restarts.retain(|&at| now.saturating_sub(at) <= policy.within);
        let restarts = u32::try_from(self.restarts.len()).expect("at most `max`, a u32");
        if restarts >= policy.max {
            return Decision::GiveUp { restarts, within: policy.within };
        }
        Decision::Restart { after: self.restart(now) }
    }

    fn restart(&mut self, now: Duration) -> Duration {
        if now.saturating_sub(self.up_at) > self.policy.within {
            self.backoff.reset();
        }
        let after = self.backoff.fail();
        self.restarts.push_back(now);
        self.up_at = now.saturating_add(after);
        after
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    fn millis(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    /// Lets a stage fail as soon as it is started, until the supervisor gives up.
    fn crash_at_once(policy: RestartPolicy) -> (Vec<u128>, Duration, Decision) {
        let mut supervisor = Supervisor::new(policy);
        let (mut pauses, mut now) = (Vec::new(), seconds(1000));
        loop {
            match supervisor.on_exit(now, Exit::Failed) {
                Decision::Restart { after } => {
                    pauses.push(after.as_millis());
                    now += after;
                }
                last => return (pauses, now - seconds(1000), last),
            }
        }
    }

    #[test]
    fn by_default_a_stage_that_always_fails_is_given_up_after_ten_restarts_and_81_seconds() {
        let (pauses, took, last) = crash_at_once(RestartPolicy::default());
        assert_eq!(pauses, [100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 30_000]);
        assert_eq!(took, millis(81_100));
        assert_eq!(last, Decision::GiveUp { restarts: 10, within: seconds(300) });
    }

    #[test]
    fn max_zero_gives_up_at_once() {
        let policy = RestartPolicy { max: 0, ..RestartPolicy::default() };
        assert_eq!(crash_at_once(policy).2, Decision::GiveUp { restarts: 0, within: seconds(300) });
    }

    #[test]
    fn otp_three_restarts_in_five_seconds_and_the_fourth_gives_up() {
        let policy = RestartPolicy { max: 3, within: seconds(5), ..RestartPolicy::default() };
        let mut supervisor = Supervisor::new(policy);
        for at in [0, 2, 4] {
            assert!(matches!(supervisor.on_exit(seconds(at), Exit::Failed), Decision::Restart { .. }));
        }
        let mut late = supervisor.clone();
        let exactly = supervisor.on_exit(seconds(5), Exit::Failed);
        assert_eq!(exactly, Decision::GiveUp { restarts: 3, within: seconds(5) }, "five seconds ago still counts");
        assert!(matches!(late.on_exit(millis(5001), Exit::Failed), Decision::Restart { .. }));
    }

    #[test]
    fn the_back_off_starts_over_after_a_quiet_time_as_long_as_the_window() {
        let policy = RestartPolicy { within: seconds(5), backoff: seconds(10), ..RestartPolicy::default() };
        let mut supervisor = Supervisor::new(policy);
        let mut exit = |at| supervisor.on_exit(seconds(at), Exit::Failed);
        assert_eq!(exit(100), Decision::Restart { after: seconds(10) });
        assert_eq!(exit(115), Decision::Restart { after: seconds(20) }, "it ran 5 s, no longer than the window");
        assert_eq!(exit(135), Decision::Restart { after: seconds(30) }, "cut to backoff_max");
        assert_eq!(exit(171), Decision::Restart { after: seconds(10) }, "it ran 6 s");
    }

    #[test]
    fn each_policy_restarts_after_the_ends_otp_names() {
        let decide = |when, how| {
            let policy = RestartPolicy { when, ..RestartPolicy::default() };
            Supervisor::new(policy).on_exit(seconds(1), how)
        };
        let restart = Decision::Restart { after: millis(100) };
        assert_eq!(decide(When::Permanent, Exit::Graceful), restart);
        assert_eq!(decide(When::Permanent, Exit::Failed), restart);
        assert_eq!(decide(When::Transient, Exit::Graceful), Decision::Done);
        assert_eq!(decide(When::Transient, Exit::Failed), restart);
        assert_eq!(decide(When::Temporary, Exit::Graceful), Decision::Done);
        assert_eq!(decide(When::Temporary, Exit::Failed), Decision::Done);
    }

    #[test]
    fn a_thousand_restarts_do_not_overflow_the_back_off() {
        let policy = RestartPolicy { max: 1000, within: seconds(100_000), ..RestartPolicy::default() };
        let (pauses, ..) = crash_at_once(policy);
        assert_eq!((pauses.len(), pauses[999]), (1000, 30_000));
    }

    #[test]
    fn a_reason_is_a_failure_unless_graceful() {
        assert_eq!(Exit::from(&Reason::Shutdown(None)), Exit::Graceful);
        assert_eq!(Exit::from(&Reason::NotOwner), Exit::Failed);
    }
}
