//! What a process has done so far, told to whoever asks on standard input.

use std::{
    fmt::Write as _,
    io::{BufRead as _, Write as _},
    process,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
};

use crate::events;

/// Counts of one process. Counted once for each batch.
#[derive(Debug, Default)]
pub(crate) struct Report {
    events: AtomicU64,
    /// Nanoseconds from making an event to having it, of events since the last question. Kept at given rates only:
    /// a consumer that lags tells nothing by how much.
    ages: Mutex<Vec<u64>>,
}

impl Report {
    pub(crate) fn add(&self, events: u64) {
        self.events.fetch_add(events, Relaxed);
    }

    /// Counts the events of a message; where `is_timed`, how old each is, too.
    pub(crate) fn take(&self, message: &[u8], is_packed: bool, is_timed: bool) -> u64 {
        let mut count = 0;
        let now = if is_timed { events::now() } else { 0 };
        for event in events::unpack(message, is_packed) {
            // A consumer that looks at nothing would not notice that it was given nothing.
            count += u64::from(std::hint::black_box(event.len()) >= events::STAMP);
            if is_timed {
                let age = events::age(event, now);
                self.ages.lock().unwrap_or_else(PoisonError::into_inner).extend(age);
            }
        }
        count
    }

    /// One line of JSON: when, how many events so far, and their ages since the last line.
    fn line(&self) -> String {
        let ages = std::mem::take(&mut *self.ages.lock().unwrap_or_else(PoisonError::into_inner));
        let mut line = format!(r#"{{"at": {}, "events": {}, "ages": ["#, events::now(), self.events.load(Relaxed));
        for (index, age) in ages.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            let _ = write!(line, "{comma}{age}");
        }
        line.push_str("]}");
        line
    }
}

/// Answers each line of standard input with one of the report; ends the process with standard input.
pub(crate) fn answer(report: Arc<Report>) {
    thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            if line.is_err() || writeln!(std::io::stdout(), "{}", report.line()).is_err() {
                break;
            }
        }
        process::exit(0);
    });
}
