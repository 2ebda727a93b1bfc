//! [`Turn`]: how long a thread works before it polls its sockets and timers again.
//!
//! The runtime polls them when no task is left, or after 61 tasks, however long each of them took. Code
//! that may work for long therefore measures, and at the end of a turn (`rpc.turn_max`) waits for
//! [`next`], which lets the runtime poll first.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::environment;

thread_local! {
    /// How long this thread has worked since it last polled its sockets.
    static WORKED: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// The number of steps between two readings of the clock: a reading costs a tenth of a step.
const CLOCK_STEPS: usize = 16;

/// A piece of work that is measured until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    began: Instant,
    max: Duration,
    /// The steps since the clock was read.
    steps: Cell<usize>,
}

impl Turn {
    /// Begins to measure; `max` is how long the thread may work before it polls its sockets.
    pub(crate) fn begin(max: Duration) -> Self {
        Self { began: environment::now(), max, steps: Cell::new(0) }
    }

    /// Returns the time of the beginning.
    pub(crate) fn began(&self) -> Instant {
        self.began
    }

    /// Restarts the measurement, as if the thread had just polled its sockets.
    pub(crate) fn anew(self) -> Self {
        let max = self.max;
        drop(self);
        Self::begin(max.saturating_add(WORKED.get()))
    }

    /// Notes `steps` of about a microsecond each, and returns whether the thread has worked long
    /// enough. Reads the clock once per [`CLOCK_STEPS`].
    pub(crate) fn is_over_after(&self, steps: usize) -> bool {
        let steps = self.steps.get().saturating_add(steps);
        let looks = steps >= CLOCK_STEPS;
        self.steps.set(if looks { 0 } else { steps });
        looks && self.is_over()
    }

    /// Returns whether the thread has worked long enough.
    pub(crate) fn is_over(&self) -> bool {
        WORKED.get() + environment::since(self.began) >= self.max
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        WORKED.set(WORKED.get() + environment::since(self.began));
    }
}

/// Adds work of known duration that was not measured.
pub(crate) fn note(worked: Duration) {
    WORKED.set(WORKED.get() + worked);
}

/// Returns whether this thread has worked for `max` since it last polled its sockets.
pub(crate) fn is_over(max: Duration) -> bool {
    WORKED.get() >= max
}

/// Waits until the thread has polled its sockets and timers.
pub(crate) async fn next() {
    tokio::task::yield_now().await;
    WORKED.set(Duration::ZERO);
}

/// The state of [`next`] for use within a poll.
#[derive(Default)]
pub(crate) struct Pause(Option<Pin<Box<dyn Future<Output = ()> + Send>>>);

impl Pause {
    /// Returns `Ready` during the turn of this thread, and after its end once the next turn has begun.
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
