//! [`Turn`]: how long a thread works before it looks at its sockets and timers again.
//!
//! The runtime looks at them when no task is left to poll, or after 61 tasks, however long each of
//! them took. So whoever may work for long measures, and at the end of a turn (`rpc.turn_max`) waits
//! for [`next`], which lets the runtime look first.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::environment;

thread_local! {
    /// How long this thread has worked since it last looked at its sockets.
    static WORKED: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// The clock is read once for this many steps: reading it costs a tenth of one of them.
const CLOCK_STEPS: usize = 16;

/// A piece of work that is measured, until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    began: Instant,
    max: Duration,
    /// The steps since the clock was read.
    steps: Cell<usize>,
}

impl Turn {
    /// Begins to measure; `max` is what the thread may work in all before it looks at its sockets.
    pub(crate) fn begin(max: Duration) -> Self {
        Self { began: environment::now(), max, steps: Cell::new(0) }
    }

    /// Returns when it began.
    pub(crate) fn began(&self) -> Instant {
        self.began
    }

    /// Measures from now on, as if the thread had just looked at its sockets.
    pub(crate) fn anew(self) -> Self {
        let max = self.max;
        drop(self);
        Self::begin(max.saturating_add(WORKED.get()))
    }

    /// Notes `steps` of about a microsecond each, and returns whether the thread has worked long enough.
    /// Reads the clock once for [`CLOCK_STEPS`] of them.
    pub(crate) fn is_over_after(&self, steps: usize) -> bool {
        let steps = self.steps.get().saturating_add(steps);
        let looks = steps >= CLOCK_STEPS;
        self.steps.set(if looks { 0 } else { steps });
        looks && self.is_over()
    }

    /// Whether the thread has worked long enough.
    pub(crate) fn is_over(&self) -> bool {
        WORKED.get() + environment::since(self.began) >= self.max
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        WORKED.set(WORKED.get() + environment::since(self.began));
    }
}

/// Notes work that was not measured, as it is known what it takes.
pub(crate) fn note(worked: Duration) {
    WORKED.set(WORKED.get() + worked);
}

/// Whether this thread has worked for `max` since it last looked at its sockets.
pub(crate) fn is_over(max: Duration) -> bool {
    WORKED.get() >= max
}

/// Waits until the thread has looked at its sockets and timers.
pub(crate) async fn next() {
    tokio::task::yield_now().await;
    WORKED.set(Duration::ZERO);
}

/// [`next`], as part of a poll.
#[derive(Default)]
pub(crate) struct Pause(Option<Pin<Box<dyn Future<Output = ()> + Send>>>);

impl Pause {
    /// Ready while the turn of this thread lasts, and after it when the next has begun.
    pub(crate) fn poll(&mut self, max: Duration, cx: &mut Context<'_>) -> Poll<()> {
        if self.0.is_none() && !is_over(max) {
            return Poll::Ready(());
        }
        let next = self.0.get_or_insert_with(|| Box::pin(next()));
        let polled = next.as_mut().poll(cx);
        if polled.is_ready() {
            self.0 = None;
        }
        polled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn s10_a_thread_that_has_worked_for_a_turn_waits_for_the_next() {
        let max = Duration::from_millis(1);
        assert!(!is_over(max) && is_over(Duration::ZERO));
        let turn = Turn::begin(max);
        while !turn.is_over() {}
        drop(turn);
        assert!(is_over(max));
        let mut pause = Pause::default();
        let mut polls = 0;
        std::future::poll_fn(|cx| {
            polls += 1;
            pause.poll(max, cx)
        })
        .await;
        assert!(polls > 1, "the runtime had its turn");
        assert!(!is_over(max));
    }
}
