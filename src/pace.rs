//! [`Turn`]: how long a thread works before it polls its sockets and timers again.
//!
//! The runtime polls them when no task is left, or after 61 tasks, however long each of them took. Code
//! that may work for long therefore measures, and at the end of a turn (`rpc.turn_max`) waits for
//! [`next`], which lets the runtime poll first.

use std::cell::Cell;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use futures_util::task::AtomicWaker;

use crate::environment;

thread_local! {
    /// How long this thread has worked since it last polled its sockets.
    static WORKED: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// The number of steps between two readings of the clock: a reading costs a tenth of a step.
const CLOCK_STEPS: usize = 16;

/// A deadline that is nearer than this is judged by a new reading of the clock: longer than the steps between
/// two readings take, even with the largest values.
const NEAR: Duration = Duration::from_millis(20);

/// A piece of work that is measured until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    began: Instant,
    /// How long the thread may work in all, and how much of that is this turn's own.
    max: Duration,
    own: Duration,
    /// The last reading of the clock, and the steps since.
    read_at: Cell<Instant>,
    steps: Cell<usize>,
}

impl Turn {
    /// Begins to measure; `max` is how long the thread may work before it polls its sockets.
    pub(crate) fn begin(max: Duration) -> Self {
        Self::begin_beside(Duration::ZERO, max)
    }

    fn begin_beside(worked: Duration, own: Duration) -> Self {
        let began = environment::now();
        let max = worked.saturating_add(own);
        Self { began, max, own, read_at: Cell::new(began), steps: Cell::new(0) }
    }

    /// Returns the last reading of the clock. It is at most [`CLOCK_STEPS`] steps old if each step is noted.
    pub(crate) fn reading(&self) -> Instant {
        self.read_at.get()
    }

    /// Returns a reading of the clock by which `deadline` is judged: a new one if the deadline may have
    /// passed since the last.
    pub(crate) fn reading_for(&self, deadline: Instant) -> Instant {
        if deadline.saturating_duration_since(self.reading()) < NEAR {
            self.read_at.set(environment::now());
        }
        self.reading()
    }

    /// Restarts the measurement, as if the thread had just polled its sockets.
    pub(crate) fn anew(self) -> Self {
        let own = self.own;
        drop(self);
        Self::begin_beside(WORKED.get(), own)
    }

    /// Notes `steps` of about a microsecond each, and returns whether the thread has worked long
    /// enough. Reads the clock once per [`CLOCK_STEPS`].
    pub(crate) fn is_over_after(&self, steps: usize) -> bool {
        let steps = self.steps.get().saturating_add(steps);
        self.steps.set(steps);
        steps >= CLOCK_STEPS && self.is_over()
    }

    /// Reads the clock, and returns whether the thread has worked long enough.
    pub(crate) fn is_over(&self) -> bool {
        let now = environment::now();
        self.read_at.set(now);
        self.steps.set(0);
        WORKED.get() + now.saturating_duration_since(self.began) >= self.max
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
    Polled::default().await;
}

/// Resolves once the runtime has polled its sockets and timers.
///
/// `yield_now` alone also resolves when its task is polled again for another reason, and an actor polls
/// its futures on every message: under load, sockets would wait for as long as messages arrive.
#[derive(Default)]
struct Polled(Option<Arc<Deferred>>);

/// The waker that the runtime keeps until it has polled its sockets and timers.
#[derive(Default)]
struct Deferred {
    is_woken: AtomicBool,
    task: AtomicWaker,
}

impl Wake for Deferred {
    /// Begins the next turn of the thread. Not when a task resumes: several may wait for the same turn.
    fn wake(self: Arc<Self>) {
        WORKED.set(Duration::ZERO);
        self.is_woken.store(true, Ordering::Release);
        self.task.wake();
    }
}

impl Future for Polled {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(deferred) = &self.0 else {
            let deferred = Arc::<Deferred>::default();
            deferred.task.register(cx.waker());
            let waker = Waker::from(Arc::clone(&deferred));
            self.0 = Some(deferred);
            return pin!(tokio::task::yield_now()).poll(&mut Context::from_waker(&waker));
        };
        deferred.task.register(cx.waker());
        if deferred.is_woken.load(Ordering::Acquire) { Poll::Ready(()) } else { Poll::Pending }
    }
}

/// The state of [`next`] for use within a poll.
#[derive(Default)]
pub(crate) struct TurnPause(Option<Pin<Box<dyn Future<Output = ()> + Send>>>);

impl TurnPause {
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
    use std::io::Write;

    use super::*;

    #[test]
    fn a_reading_is_refreshed_with_each_look_at_the_clock() {
        let turn = Turn::begin(Duration::MAX);
        let first = turn.reading();
        while environment::now() == first {}
        assert!(!turn.is_over_after(CLOCK_STEPS - 1));
        assert_eq!(turn.reading(), first);
        assert!(!turn.is_over_after(1));
        let second = turn.reading();
        assert!(second > first);
        while environment::now() == second {}
        assert!(!turn.is_over() && turn.reading() > second);
    }

    #[test]
    fn r2_a_near_deadline_is_judged_by_a_new_reading() {
        let turn = Turn::begin(Duration::MAX);
        let first = turn.reading();
        while environment::now() == first {}
        assert_eq!(turn.reading_for(first + 2 * NEAR), first);
        assert!(turn.reading_for(first + NEAR / 2) > first);
    }

    #[tokio::test]
    async fn s10_a_thread_that_has_worked_for_a_turn_waits_for_the_next() {
        let max = Duration::from_millis(1);
        assert!(!is_over(max) && is_over(Duration::ZERO));
        let turn = Turn::begin(max);
        while !turn.is_over() {}
        drop(turn);
        assert!(is_over(max));
        let mut pause = TurnPause::default();
        let mut polls = 0;
        std::future::poll_fn(|cx| {
            polls += 1;
            pause.poll(max, cx)
        })
        .await;
        assert!(polls > 1, "the runtime had its turn");
        assert!(!is_over(max));
    }

    #[test]
    fn s10_each_part_of_a_turn_has_the_same_time_of_its_own() {
        let own = Duration::from_millis(1);
        let first = Turn::begin(own);
        while environment::since(first.began) < 2 * own {}
        let second = first.anew();
        assert_eq!(second.max, WORKED.get() + own);
        while environment::since(second.began) < 2 * own {}
        let third = second.anew();
        assert_eq!(third.max, WORKED.get() + own);
    }

    #[tokio::test]
    async fn s10_tasks_that_wait_for_the_same_turn_share_it() {
        let max = Duration::from_millis(1);
        note(max);
        let (mut one, mut other) = (TurnPause::default(), TurnPause::default());
        std::future::poll_fn(|cx| {
            if other.0.is_none() {
                assert!(other.poll(max, cx).is_pending());
            }
            one.poll(max, cx)
        })
        .await;
        assert!(!is_over(max));
        note(max);
        std::future::poll_fn(|cx| other.poll(max, cx)).await;
        assert!(is_over(max), "what the first has worked counts");
    }

    #[tokio::test]
    async fn s10_a_task_that_is_woken_meanwhile_waits_for_the_sockets_all_the_same() {
        let (mut here, there) = std::os::unix::net::UnixStream::pair().unwrap();
        there.set_nonblocking(true).unwrap();
        let there = tokio::net::UnixStream::from_std(there).unwrap();
        let is_seen = Arc::new(AtomicBool::new(false));
        let sees = Arc::clone(&is_seen);
        let reader = tokio::spawn(async move {
            there.readable().await.unwrap();
            sees.store(true, Ordering::Release);
        });
        let waiter = tokio::spawn(async move {
            // The reader waits already.
            next().await;
            here.write_all(b"x").unwrap();
            let mut next = pin!(next());
            std::future::poll_fn(|cx| {
                cx.waker().wake_by_ref();
                next.as_mut().poll(cx)
            })
            .await;
            // Behind the reader, if that was woken; the runtime does not look at sockets in between.
            let mut polls = 0;
            std::future::poll_fn(|cx| {
                polls += 1;
                cx.waker().wake_by_ref();
                if polls > 1 { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
            assert!(is_seen.load(Ordering::Acquire), "the socket was polled first");
        });
        reader.await.unwrap();
        waiter.await.unwrap();
    }
}
