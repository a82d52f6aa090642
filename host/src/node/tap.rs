//! What a stage's task hands to whoever looks at the stage: copies, bounded, and nothing while nobody looks.
//!
//! A stage asks one atomic number whether anybody looks. While somebody does, it puts its calls into a ring, under a lock
//! that is held for a few moves of a pointer; readers take pages from there. Nobody waits for a reader.

pub(super) mod peer;

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use forebay_proto::taps::{About, Answer, Counts, Cursor, Entry, Kinds, Page, Request, Ring};
use tokio::{sync::Notify, time::Instant};

use super::directory::Directory;

/// Who has not asked for so long looks no more. Longer than a reader takes that has to print a page, or that waits for a
/// node that does not answer.
const LOOKS_FOR: Duration = Duration::from_secs(10);

/// The kinds, one by one.
const KINDS: [Kinds; 3] = [Kinds::GIVEN, Kinds::ANSWERED, Kinds::STATES];

/// Where one run of a stage is looked at.
#[derive(Debug)]
pub(crate) struct Tap {
    run: u64,
    about: About,
    /// Bits of the kinds that somebody wants. Written under the lock; read without, for it is only a hint when.
    wanted: AtomicU8,
    inner: Mutex<Inner>,
    news: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    ring: Ring,
    /// Until when each of [`KINDS`] is wanted.
    until: [Option<Instant>; 3],
}

impl Tap {
    /// `run` tells runs of a stage apart, and is not 0.
    pub(crate) fn new(run: u64, about: About) -> Arc<Self> {
        let (wanted, inner, news) = (AtomicU8::new(0), Mutex::default(), Notify::new());
        Arc::new(Self { run, about, wanted, inner, news })
    }

    /// Whether anybody wants entries of this kind.
    pub(crate) fn wants(&self, kind: Kinds) -> bool {
        self.wanted.load(Ordering::Relaxed) & kind.bits() != 0
    }

    /// Keeps an entry, which so many events went before.
    pub(crate) fn push(&self, before: Counts, entry: Entry) {
        self.inner().ring.push(before, entry);
        self.news.notify_waiters();
    }

    /// A page from `at` on; waits for an entry if there is none.
    ///
    /// # Cancel safety
    /// Cancel safe: a page can be read again.
    async fn read(self: &Arc<Self>, mut at: Cursor, kinds: Kinds, wait: Duration) -> Page {
        self.look(kinds);
        if at.run != self.run {
            let at = Cursor { run: self.run, next: self.inner().ring.end() };
            return Page { at, about: Some(self.about.clone()), entries: Vec::new() };
        }
        let until = Instant::now() + wait;
        loop {
            // Made before it is looked, so that what comes in between wakes it.
            let news = self.news.notified();
            let (next, entries) = self.inner().ring.page(at, kinds);
            at = next;
            if !entries.is_empty() || tokio::time::timeout_at(until, news).await.is_err() {
                return Page { at, about: None, entries };
            }
        }
    }

    /// Somebody looks.
    fn look(self: &Arc<Self>, kinds: Kinds) {
        if kinds == Kinds::NONE {
            return;
        }
        let until = Instant::now() + LOOKS_FOR;
        let mut inner = self.inner();
        for (of_it, _) in inner.until.iter_mut().zip(KINDS).filter(|(_, kind)| kinds.has(*kind)) {
            *of_it = Some(until);
        }
        let nobody_looked = self.wanted.load(Ordering::Relaxed) == 0;
        self.wanted.store(inner.wanted(), Ordering::Relaxed);
        if nobody_looked {
            tokio::spawn(look_away(Arc::downgrade(self), until));
        }
    }

    /// Ends what nobody has asked for lately. When to do it again, if anybody looks.
    fn let_go(&self, now: Instant) -> Option<Instant> {
        let mut inner = self.inner();
        for until in &mut inner.until {
            *until = until.filter(|until| *until > now);
        }
        let next = inner.until.iter().flatten().min().copied();
        if next.is_none() {
            inner.ring.clear();
        }
        self.wanted.store(inner.wanted(), Ordering::Relaxed);
        next
    }

    /// Nothing that can panic leaves it half changed.
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn wanted(&self) -> u8 {
        let wanted = self.until.iter().zip(KINDS).filter(|(until, _)| until.is_some());
        wanted.fold(Kinds::NONE, |all, (_, kind)| all.and(kind)).bits()
    }
}

/// Runs while somebody looks at a stage; one for each that is looked at.
async fn look_away(tap: Weak<Tap>, mut at: Instant) {
    loop {
        tokio::time::sleep_until(at).await;
        match tap.upgrade().and_then(|tap| tap.let_go(Instant::now())) {
            Some(next) => at = next,
            None => return,
        }
    }
}

/// A page of a stage of this node.
///
/// # Cancel safety
/// As of [`Tap::read`].
pub(super) async fn read_here(directory: &Directory, asked: Request) -> Answer {
    match directory.tap(&asked.name) {
        Some(tap) => Answer::Page(Box::new(tap.read(asked.at, asked.kinds, asked.wait).await)),
        None => Answer::NotHere(format!("{} does not run on {} just now", asked.name, directory.node())),
    }
}

#[cfg(test)]
mod tests {
    use forebay_proto::{
        ids::Epoch,
        pipeline::Limits,
        stage::Role,
        taps::{Given, WAIT_MAX},
    };

    use super::*;

    fn tap() -> Arc<Tap> {
        let (plugin, config) = ("sha256:0".to_owned(), "null".to_owned());
        let about = About { role: Role::Producer, epoch: Epoch::default(), plugin, config, limits: Limits::default() };
        Tap::new(7, about)
    }

    async fn begun(tap: &Arc<Tap>) -> Cursor {
        let page = tap.read(Cursor::default(), Kinds::GIVEN, WAIT_MAX).await;
        assert!(page.about.is_some() && page.entries.is_empty());
        page.at
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_wanted_or_kept_but_while_somebody_asks() {
        let tap = tap();
        assert!(!tap.wants(Kinds::ALL));
        tap.read(Cursor::default(), Kinds::NONE, WAIT_MAX).await;
        assert!(!tap.wants(Kinds::ALL), "what the stage is costs the stage nothing");
        let at = begun(&tap).await;
        assert!(tap.wants(Kinds::GIVEN) && !tap.wants(Kinds::ANSWERED));
        tap.push(Counts::default(), Entry::Given(Given::Tick));
        tokio::time::sleep(LOOKS_FOR - Duration::from_secs(1)).await;
        let page = tap.read(at, Kinds::GIVEN.and(Kinds::STATES), Duration::ZERO).await;
        assert_eq!(page.entries.len(), 1);
        tokio::time::sleep(LOOKS_FOR - Duration::from_secs(1)).await;
        assert!(tap.wants(Kinds::GIVEN), "it was asked again");
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert!(!tap.wants(Kinds::ALL));
        assert_eq!(tap.inner().ring.page(at, Kinds::ALL).1, [], "nothing is kept");
        begun(&tap).await;
        assert!(tap.wants(Kinds::GIVEN), "and it can be looked at again");
    }

    #[tokio::test(start_paused = true)]
    async fn a_page_is_waited_for_until_there_is_an_entry_or_time_is_over() {
        let tap = tap();
        let at = begun(&tap).await;
        let began = Instant::now();
        let page = tap.read(at, Kinds::GIVEN, Duration::from_secs(2)).await;
        assert_eq!((page.entries.len(), began.elapsed()), (0, Duration::from_secs(2)));
        let (pushing, began) = (Arc::clone(&tap), Instant::now());
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(500)).await;
            // Not what is waited for, and what is.
            pushing.push(Counts::default(), Entry::State(bytes::Bytes::new()));
            pushing.push(Counts::default(), Entry::Given(Given::Tick));
        });
        let page = tap.read(page.at, Kinds::GIVEN, Duration::from_secs(2)).await;
        assert_eq!((page.entries.len(), began.elapsed()), (1, Duration::from_millis(500)));
        assert_eq!(page.at, Cursor { run: 7, next: 2 });
    }
}
