//! A future that is polled on for as long as it only gives way to others.
//!
//! A guest that computes gives way each 10 ms of real time. Other tasks would then run at moments that depend on how fast
//! the machine is, and a seed would not give the same run.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

/// Runs a future until it has ended or waits for something.
pub(super) fn uninterrupted<F: Future>(future: F) -> Uninterrupted<F> {
    Uninterrupted { future: Box::pin(future), bell: Arc::default() }
}

/// See the module's documentation.
pub(super) struct Uninterrupted<F> {
    future: Pin<Box<F>>,
    bell: Arc<Bell>,
}

#[derive(Default)]
struct Bell {
    /// It was rung since the last poll began.
    rung: AtomicBool,
    /// Whoever rings now is heard by us.
    listening: AtomicBool,
    outer: Mutex<Option<Waker>>,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.rung.store(true, Ordering::SeqCst);
        if !self.listening.load(Ordering::SeqCst)
            && let Some(outer) = &*self.outer.lock().unwrap_or_else(PoisonError::into_inner)
        {
            outer.wake_by_ref();
        }
    }
}

impl<F: Future> Future for Uninterrupted<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        *self.bell.outer.lock().unwrap_or_else(PoisonError::into_inner) = Some(cx.waker().clone());
        let waker = Waker::from(Arc::clone(&self.bell));
        loop {
            self.bell.rung.store(false, Ordering::SeqCst);
            self.bell.listening.store(true, Ordering::SeqCst);
            let polled = self.future.as_mut().poll(&mut Context::from_waker(&waker));
            self.bell.listening.store(false, Ordering::SeqCst);
            if polled.is_ready() || !self.bell.rung.load(Ordering::SeqCst) {
                return polled;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn giving_way_is_not_noticed_and_waiting_is() {
        let mut polls = 0;
        let gives_way = std::future::poll_fn(|cx| {
            polls += 1;
            cx.waker().wake_by_ref();
            if polls == 5 { Poll::Ready(()) } else { Poll::Pending }
        });
        let mut future = uninterrupted(gives_way);
        assert!(Pin::new(&mut future).poll(&mut Context::from_waker(Waker::noop())).is_ready());
        let (tell, told) = tokio::sync::oneshot::channel();
        let mut waits = uninterrupted(told);
        assert!(Pin::new(&mut waits).poll(&mut Context::from_waker(Waker::noop())).is_pending());
        tokio::spawn(async move { tell.send(7) });
        assert_eq!(waits.await, Ok(7));
    }
}
