//! What is known of one file from its events and looks at it, and when it may be read.

use std::time::{Duration, Instant};

use crate::{Options, file::Look};

/// What an event says about a file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Sign {
    /// It is new: made by a writer, which opened it, or linked, which says nothing about its writer.
    Created,
    /// Something was written, or it was cut.
    Modified,
    /// A writer closed it, or it was moved here.
    Finished,
    /// Its times, rights or links changed.
    Touched,
    /// It was removed or moved away.
    Removed,
}

/// Whether a file's writer has finished.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Writer {
    Unknown,
    Writing,
    Finished,
}

/// One file. Given the time, reads no clock.
#[derive(Clone, Debug)]
pub(crate) struct History {
    writer: Writer,
    /// The last time that something happened.
    changed: Instant,
    seen: Look,
    /// Whether the file as it is now has still to be dealt with.
    pending: bool,
}

impl History {
    /// A file of which nothing is known but how it looks. One that is not there is nothing to deal with.
    pub(crate) fn unknown(look: Look, now: Instant) -> Self {
        let pending = look.identity.is_some();
        Self { writer: Writer::Unknown, changed: now, seen: look, pending }
    }

    /// Something happened. To be followed by [`History::look`] when all events are taken.
    pub(crate) fn on(&mut self, sign: Sign, now: Instant) {
        self.writer = match (sign, self.writer) {
            (Sign::Created, _) => Writer::Unknown,
            (Sign::Modified, _) => Writer::Writing,
            (Sign::Finished | Sign::Removed, _) => Writer::Finished,
            (Sign::Touched, writer) => writer,
        };
        self.changed = now;
        self.pending = true;
    }

    /// How the file looks after the events so far.
    pub(crate) fn look(&mut self, look: Look) {
        self.seen = look;
    }

    /// Events may have been lost: a file that looks otherwise than it did was written by who knows whom.
    pub(crate) fn look_again(&mut self, look: Look, now: Instant) {
        let was_finished = !self.pending && look.identity == self.seen.identity;
        if !was_finished {
            self.doubt(look, now);
        }
    }

    /// The file is not as its events say.
    pub(crate) fn doubt(&mut self, look: Look, now: Instant) {
        *self = Self { writer: Writer::Unknown, changed: now, seen: look, pending: true };
    }

    /// When it may be dealt with, if nothing happens until then; `None` while there is nothing to deal with.
    pub(crate) fn due(&self, options: &Options) -> Option<Instant> {
        let wait = match self.writer {
            _ if self.seen.identity.is_none() => options.settle,
            Writer::Unknown => options.doubt.saturating_sub(self.seen.age),
            Writer::Finished => options.settle,
            Writer::Writing => return None,
        };
        self.pending.then(|| self.changed + wait)
    }

    /// Whether somebody is writing it.
    pub(crate) fn is_written(&self) -> bool {
        self.writer == Writer::Writing && self.seen.identity.is_some()
    }

    /// How it looked after its last event.
    pub(crate) fn seen(&self) -> &Look {
        &self.seen
    }

    /// It was dealt with as it was seen.
    pub(crate) fn settled(&mut self) {
        self.pending = false;
        self.writer = Writer::Finished;
    }

    /// It has to be dealt with again after the time `wait`, since a writer has it open.
    pub(crate) fn wait_for_writer(&mut self, now: Instant) {
        let look = Look { age: Duration::ZERO, ..self.seen };
        self.doubt(look, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file::Identity;

    const OPTIONS: Options =
        Options { settle: Duration::from_millis(300), doubt: Duration::from_secs(2), ask_for_writers: false };

    fn look(age: Duration) -> Look {
        Look { identity: Some(Identity::default()), age }
    }

    /// After these signs, all at one moment: how long it has to wait.
    fn wait(signs: &[Sign]) -> Option<Duration> {
        let now = Instant::now();
        let mut history = History::unknown(look(Duration::MAX), now);
        history.settled();
        for sign in signs {
            history.on(*sign, now);
        }
        history.look(look(Duration::ZERO));
        history.due(&OPTIONS).map(|due| due - now)
    }

    #[test]
    fn a_file_waits_as_long_as_its_writer_is_not_known_to_have_finished() {
        use Sign::*;
        let (settle, doubt) = (Some(OPTIONS.settle), Some(OPTIONS.doubt));
        assert_eq!(wait(&[]), None);
        assert_eq!(wait(&[Created]), doubt);
        assert_eq!(wait(&[Created, Modified]), None);
        assert_eq!(wait(&[Created, Modified, Finished]), settle);
        assert_eq!(wait(&[Finished, Modified]), None);
        assert_eq!(wait(&[Modified, Touched]), None);
        assert_eq!(wait(&[Modified, Removed]), settle);
        assert_eq!(wait(&[Modified, Removed, Created]), doubt);
        assert_eq!(wait(&[Touched]), settle);
    }

    #[test]
    fn a_file_of_which_nothing_is_known_must_be_old() {
        let now = Instant::now();
        let due = |age| History::unknown(look(age), now).due(&OPTIONS).map(|due| due - now);
        assert_eq!(due(Duration::ZERO), Some(OPTIONS.doubt));
        assert_eq!(due(Duration::from_millis(1500)), Some(Duration::from_millis(500)));
        assert_eq!(due(Duration::from_secs(99)), Some(Duration::ZERO));
        assert_eq!(History::unknown(Look::MISSING, now).due(&OPTIONS), None);
    }

    #[test]
    fn after_lost_events_only_what_looks_otherwise_is_dealt_with() {
        let now = Instant::now();
        let mut history = History::unknown(look(Duration::MAX), now);
        history.settled();
        history.look_again(look(Duration::ZERO), now);
        assert_eq!(history.due(&OPTIONS), None);
        let other = Identity { bytes: 7, ..Identity::default() };
        history.look_again(Look { identity: Some(other), age: Duration::ZERO }, now);
        assert_eq!(history.due(&OPTIONS), Some(now + OPTIONS.doubt));
        // Its close may be among what was lost.
        history.on(Sign::Modified, now);
        history.look_again(Look { identity: Some(other), age: Duration::ZERO }, now);
        assert_eq!(history.due(&OPTIONS), Some(now + OPTIONS.doubt));
        history.look_again(Look::MISSING, now);
        assert_eq!(history.due(&OPTIONS), Some(now + OPTIONS.settle));
    }
}
