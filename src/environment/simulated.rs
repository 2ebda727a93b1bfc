//! [`enter`]: an environment for one thread, in which everything follows from a seed.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use rand::distr::{Distribution, StandardUniform};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

thread_local! {
    /// Whether this thread has a simulated environment: checking the other variable would cost time on
    /// every call.
    static ENTERED: Cell<bool> = const { Cell::new(false) };
    static SIMULATED: RefCell<Option<Simulated>> = const { RefCell::new(None) };
}

/// The simulated environment of a thread.
struct Simulated {
    chance: StdRng,
    next_owner: u64,
    /// The time of day at the start of the life, and the adjustments since.
    time_of_day: Duration,
    set_by_ms: i64,
    /// The latest time of day that was returned.
    latest: Duration,
    /// The start of the life on the clock of its runtime, and the last reading of that clock.
    begun: Instant,
    shown: Instant,
    /// Whether there is a runtime whose clock counts: between lives, time stands still.
    lives: bool,
    /// The most nanoseconds that one reading of the clock takes: work takes time, so turns end.
    reading_ns_max: u64,
    /// The turns of the store since they were last taken, and the counters at the end of the last one.
    turns: Vec<TurnUsage>,
    counted: TurnUsage,
}

/// The work of one turn of the store.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct TurnUsage {
    /// The keys and events examined.
    pub(crate) steps: u64,
    /// The requests executed.
    pub(crate) requests: u64,
}

/// Gives this thread an environment that follows from `seed`, until the value is dropped.
///
/// Each reading of the clock advances it by up to `reading_ns_max`.
pub(crate) fn enter(seed: u64, time_of_day: Duration, reading_ns_max: u64) -> EnvironmentGuard {
    let begun = Instant::now();
    SIMULATED.set(Some(Simulated {
        chance: StdRng::seed_from_u64(seed),
        next_owner: 1,
        time_of_day,
        set_by_ms: 0,
        latest: time_of_day,
        begun,
        shown: begun,
        lives: false,
        reading_ns_max,
        turns: Vec::new(),
        counted: TurnUsage::default(),
    }));
    ENTERED.set(true);
    EnvironmentGuard(())
}

/// A simulated environment; when the value is dropped, the thread has that of its process again.
pub(crate) struct EnvironmentGuard(());

impl Drop for EnvironmentGuard {
    fn drop(&mut self) {
        ENTERED.set(false);
        SIMULATED.set(None);
    }
}

fn with<T>(ask: impl FnOnce(&mut Simulated) -> T) -> Option<T> {
    if !ENTERED.get() {
        return None;
    }
    SIMULATED.with_borrow_mut(|it| it.as_mut().map(ask))
}

/// Begins another life on the paused runtime that was just entered: the time of day continues.
pub(crate) fn begin_life() {
    let now = tokio::time::Instant::now().into_std();
    with(|it| {
        it.time_of_day += it.shown.saturating_duration_since(it.begun);
        (it.begun, it.shown, it.lives) = (now, now, true);
        (it.turns, it.counted) = (Vec::new(), TurnUsage::default());
    });
}

/// Ends a life, before its runtime is dropped.
pub(crate) fn end_life() {
    with(|it| it.lives = false);
}

/// Notes the end of a turn of the store, with the totals of steps and requests in its life so far.
pub(crate) fn note_turn(steps: u64, requests: u64) {
    with(|it| {
        let before = std::mem::replace(&mut it.counted, TurnUsage { steps, requests });
        it.turns.push(TurnUsage {
            steps: steps.saturating_sub(before.steps),
            requests: requests.saturating_sub(before.requests),
        });
    });
}

/// Returns the turns of the store since the last call.
pub(crate) fn take_turns() -> Vec<TurnUsage> {
    with(|it| std::mem::take(&mut it.turns)).unwrap_or_default()
}

/// Moves the machine's time of day ahead or back by milliseconds.
pub(crate) fn set_clock_by(millis: i64) {
    with(|it| it.set_by_ms = it.set_by_ms.saturating_add(millis));
}

/// Sets the machine's time of day to the latest that was returned, if it is behind that.
pub(crate) fn catch_up_clock() {
    if let Some(now) = time_of_day() {
        with(|it| {
            let behind = it.latest.saturating_sub(now).as_millis();
            it.set_by_ms = it.set_by_ms.saturating_add(i64::try_from(behind).unwrap_or(i64::MAX));
        });
    }
}

/// Returns the time since the life began.
pub(crate) fn elapsed() -> Duration {
    with(|it| it.shown.saturating_duration_since(it.begun)).unwrap_or_default()
}

pub(super) fn now(runtime: Instant) -> Option<Instant> {
    with(|it| {
        let took = Duration::from_nanos(it.chance.random_range(0..=it.reading_ns_max));
        it.shown += took;
        if it.lives {
            it.shown = it.shown.max(runtime);
        }
        it.shown
    })
}

pub(super) fn time_of_day() -> Option<Duration> {
    with(|it| {
        let time = it.time_of_day + it.shown.saturating_duration_since(it.begun);
        let millis = Duration::from_millis(it.set_by_ms.unsigned_abs());
        let time = match it.set_by_ms < 0 {
            true => time.saturating_sub(millis),
            false => time + millis,
        };
        it.latest = it.latest.max(time);
        time
    })
}

pub(super) fn random<T>() -> Option<T>
where
    StandardUniform: Distribution<T>,
{
    with(|it| it.chance.random())
}

pub(super) fn next_owner() -> Option<u64> {
    with(|it| {
        it.next_owner += 1;
        it.next_owner
    })
}
