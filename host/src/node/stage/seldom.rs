//! What a stage hears seldom beside its events, and when it is to look at the time.
//!
//! It waits for both between any two batches, so that waiting must cost little: what comes seldom is waited for by one future
//! that is looked at only when something has come, instead of registering with each and leaving it again; and the timer is
//! moved only when it would be late.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures_util::{
    future::BoxFuture,
    stream::{FuturesUnordered, Stream as _},
};
use tokio::time::{Instant, Sleep};

use super::{Inboxes, Resend, StageRequest};
use crate::node::line::Caller;

/// Something that comes seldom.
pub(super) enum News {
    /// The node wants something else of it.
    Order,
    /// So do people.
    Ordered,
    /// Other stages, or others' stages, own its sources.
    Owners,
    Caller(Box<Caller>),
    Resend(Box<Resend>),
    Request(StageRequest),
}

impl Inboxes {
    async fn next(mut self) -> (Self, News) {
        let news = tokio::select! {
            biased;
            Ok(()) = self.orders.changed() => News::Order,
            Ok(()) = self.ordered.changed() => News::Ordered,
            Ok(()) = self.owners.changed() => News::Owners,
            Some(caller) = self.callers.recv() => News::Caller(caller),
            Some(resend) = self.resends.recv() => News::Resend(resend),
            Some(request) = self.requests.recv() => News::Request(request),
            // The node has let go of the stage, and with it goes its task.
            else => std::future::pending().await,
        };
        (self, news)
    }
}

/// What comes seldom, in the order in which it is looked at.
pub(super) struct Seldom {
    /// One, which is woken apart from the stage's task.
    next: FuturesUnordered<BoxFuture<'static, (Inboxes, News)>>,
}

impl Seldom {
    pub(super) fn new(inboxes: Inboxes) -> Self {
        Self { next: FuturesUnordered::from_iter([Box::pin(inboxes.next()) as BoxFuture<'static, _>]) }
    }

    /// The next that comes.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(super) async fn next(&mut self) -> News {
        std::future::poll_fn(|context| {
            let Some((inboxes, news)) = ready!(Pin::new(&mut self.next).poll_next(context)) else {
                return Poll::Pending;
            };
            self.next.push(Box::pin(inboxes.next()));
            Poll::Ready(news)
        })
        .await
    }
}

/// A timer that is set again and again, mostly to a later time.
#[derive(Default)]
pub(super) struct Alarm {
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Alarm {
    /// Waits until then; for ever without a time.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(super) async fn until(&mut self, at: Option<Instant>) {
        let Some(at) = at else { return std::future::pending().await };
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at)));
        std::future::poll_fn(|context| poll(sleep.as_mut(), at, context)).await;
    }
}

fn poll(mut sleep: Pin<&mut Sleep>, at: Instant, context: &mut Context<'_>) -> Poll<()> {
    // One that is set too early only costs a look.
    if sleep.deadline() > at {
        sleep.as_mut().reset(at);
    }
    while sleep.as_mut().poll(context).is_ready() {
        if sleep.deadline() >= at {
            return Poll::Ready(());
        }
        sleep.as_mut().reset(at);
    }
    Poll::Pending
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_alarm_is_moved_both_ways() {
        let (start, mut alarm) = (Instant::now(), Alarm::default());
        let at = |millis| Some(start + Duration::from_millis(millis));
        for millis in [30, 10, 500] {
            let waited = tokio::time::timeout(Duration::from_millis(1), alarm.until(at(millis))).await;
            waited.expect_err("too early");
        }
        alarm.until(at(20)).await;
        assert_eq!(start.elapsed(), Duration::from_millis(20));
        alarm.until(at(20)).await;
        alarm.until(at(15)).await;
        assert_eq!(start.elapsed(), Duration::from_millis(20), "a time that has passed");
        alarm.until(at(40)).await;
        assert_eq!(start.elapsed(), Duration::from_millis(40));
        tokio::time::timeout(Duration::from_secs(9), alarm.until(None)).await.expect_err("there is no time");
    }
}
