//! [`Clock`]: the two clocks of a service, shared by its actors.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::config::QueueConfig;
use crate::environment;
use crate::model::UnixMillis;
use crate::queue::{CLOCK_SET_BACK_MS, Now};
use crate::time::Micros;

/// Differences to the machine's time of day up to this one are ignored: a clock that is being
/// disciplined moves by this much.
const DRIFT_MICROS: i64 = 500_000;

const MICROS_PER_MILLI: i64 = 1_000;

/// How often the clock must be read, so that a gap shows that the process did not run.
pub(super) const CLOCK_READ_EVERY: Duration = Duration::from_secs(1);

/// The smallest gap between two readings that shows that the process did not run.
const STALL_MIN: Duration = Duration::from_secs(2);

const STALL_MIN_MICROS: Micros = micros(STALL_MIN);
const CLOCK_READ_EVERY_MICROS: Micros = micros(CLOCK_READ_EVERY);

/// A handle to the monotonic clock and the time of day that all actors of a service use.
#[derive(Clone)]
pub(crate) struct Clock {
    started: Instant,
    readings: Rc<RefCell<Readings>>,
}

impl Clock {
    /// Starts the clock of a service whose newest record was written at `last` (0: no record).
    pub(crate) fn new(config: &QueueConfig, last: UnixMillis) -> Self {
        let started = environment::now();
        let readings = Readings::new(config.clock_settle, last, environment::time_of_day());
        Self { started, readings: Rc::new(RefCell::new(readings)) }
    }

    /// Reads both clocks.
    pub(crate) fn now(&self) -> Now {
        self.now_at(environment::now())
    }

    /// Returns the times at a reading of the monotonic clock that was just made; reads the time of day.
    pub(super) fn now_at(&self, reading: Instant) -> Now {
        let elapsed = reading.saturating_duration_since(self.started);
        self.readings.borrow_mut().read(elapsed, environment::time_of_day())
    }

    /// Returns the steady time of a reading of the clock that was just made.
    pub(super) fn steady_of(&self, reading: Instant) -> Micros {
        let mut readings = self.readings.borrow_mut();
        let elapsed = micros(reading.saturating_duration_since(self.started));
        readings.note_gap(elapsed);
        readings.steady(elapsed)
    }

    /// Returns the part of the time of day that does not count as age, see [`Readings::unaged`].
    pub(super) fn unaged(&self) -> UnixMillis {
        self.readings.borrow().unaged
    }

    /// Returns the wait that, counted from `now`, ends at `deadline` and not before, however long ago
    /// `now` was read.
    pub(super) fn wait_until(&self, deadline: Instant, now: Now) -> Duration {
        let micros = self.steady(deadline).saturating_add(1).saturating_sub(now.steady);
        Duration::from_micros(micros)
    }

    /// Returns the steady time of `at`, which must be recent.
    pub(super) fn steady(&self, at: Instant) -> Micros {
        let elapsed = micros(at.saturating_duration_since(self.started));
        self.readings.borrow().steady(elapsed)
    }
}

/// Derives the service's time from successive readings of the machine's clocks.
///
/// No single reading is trusted. A jump ahead of the time of day is followed if it lasts for
/// `queue.clock_settle`; a jump back is not followed before the next start. A gap much longer than
/// [`CLOCK_READ_EVERY`] between two readings of the steady clock shows that the process was stopped:
/// deadlines are extended by it, because whatever would have met them is still unread.
struct Readings {
    settle: Duration,
    /// The time since the start at the last reading. Each message of a connection takes one.
    read_at: Micros,
    /// The time during which the process did not run.
    stalled: Micros,
    /// The time of day less the time since the start, in microseconds: due times in milliseconds would
    /// be early by the sum of what two readings are rounded down.
    offset: i64,
    /// The offset after a jump of the machine's time of day, and the time of the jump.
    jump: Option<(i64, Duration)>,
    /// Milliseconds by which the time of day jumped ahead, which do not shorten retention.
    unaged: UnixMillis,
    /// Whether the time between the last record and the start is not trusted yet.
    starting: bool,
}

impl Readings {
    /// Starts the time of day at `last` or at the machine's, whichever is later; but at the machine's
    /// if that is so much earlier that the last record must have been written by a wrong clock.
    fn new(settle: Duration, last: UnixMillis, machine: Duration) -> Self {
        let set_back = last.saturating_sub(millis(machine));
        let mut utc = machine.max(Duration::from_millis(last));
        if set_back > CLOCK_SET_BACK_MS {
            let ahead_s = set_back / 1_000;
            tracing::warn!(ahead_s, "the last record is ahead of the time of day, which is used");
            utc = machine;
        }
        let unaged = if last == 0 { 0 } else { millis(utc).saturating_sub(last) };
        Self {
            settle,
            read_at: 0,
            stalled: 0,
            offset: signed(micros(utc)),
            jump: None,
            unaged,
            starting: unaged > 0,
        }
    }

    /// Takes a reading: the time since the start, and the machine's time of day.
    fn read(&mut self, elapsed: Duration, machine: Duration) -> Now {
        let passed = micros(elapsed);
        self.note_gap(passed);
        self.compare(signed(micros(machine)).saturating_sub(signed(passed)), elapsed);
        let utc = self.offset.saturating_add(signed(passed)) / MICROS_PER_MILLI;
        Now { steady: self.steady(passed), utc: u64::try_from(utc).unwrap_or(0) }
    }

    /// Excludes the time since the last reading from the steady time, if the process did not run.
    fn note_gap(&mut self, elapsed: Micros) {
        let gap = elapsed.saturating_sub(self.read_at);
        if gap > STALL_MIN_MICROS {
            let gap_ms = gap / 1_000;
            tracing::warn!(gap_ms, "the process did not run; deadlines are moved by the gap");
            self.stalled += gap.saturating_sub(CLOCK_READ_EVERY_MICROS);
        }
        self.read_at = self.read_at.max(elapsed);
    }

    fn steady(&self, elapsed: Micros) -> Micros {
        elapsed.saturating_sub(self.stalled)
    }

    /// Compares the offset of the machine's time of day with the one in use.
    fn compare(&mut self, machine: i64, elapsed: Duration) {
        let jumped = machine.saturating_sub(self.offset);
        let jumped_ms = jumped / MICROS_PER_MILLI;
        if jumped.abs() <= DRIFT_MICROS {
            if self.jump.take().is_some() {
                tracing::warn!("the time of day has jumped back; the earlier jump had no effect");
            }
            if self.starting && elapsed >= self.settle {
                self.starting = false;
                self.unaged = 0;
            }
            return;
        }
        match self.jump {
            Some((to, since)) if machine.saturating_sub(to).abs() <= DRIFT_MICROS => {
                if jumped_ms > 0 && elapsed.saturating_sub(since) >= self.settle {
                    tracing::warn!(jumped_ms, "the clock follows the jump of the time of day");
                    self.offset = machine;
                    self.unaged = self.unaged.saturating_add(jumped_ms.unsigned_abs());
                    self.starting = false;
                    self.jump = None;
                }
            }
            before => {
                if before.is_none() {
                    let then = if jumped_ms > 0 {
                        "followed if it lasts for queue.clock_settle"
                    } else {
                        "not followed before the next start"
                    };
                    tracing::warn!(jumped_ms, then, "the time of day of this machine jumped");
                }
                self.jump = Some((machine, elapsed));
            }
        }
    }
}

fn signed(time: u64) -> i64 {
    i64::try_from(time).unwrap_or(i64::MAX)
}

/// Returns a duration without the 128-bit arithmetic of [`Duration::as_micros`].
pub(super) const fn micros(elapsed: Duration) -> Micros {
    elapsed.as_secs().saturating_mul(1_000_000).saturating_add(elapsed.subsec_micros() as Micros)
}

fn millis(elapsed: Duration) -> UnixMillis {
    UnixMillis::try_from(elapsed.as_millis()).unwrap_or(UnixMillis::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: UnixMillis = 24 * 3600 * 1000;
    const SETTLE: Duration = Duration::from_secs(60);

    /// A machine whose clocks the test sets.
    struct Machine {
        readings: Readings,
        elapsed: Duration,
        offset: i64,
    }

    impl Machine {
        fn started(last: UnixMillis, utc: UnixMillis) -> Self {
            let readings = Readings::new(SETTLE, last, Duration::from_millis(utc));
            Self { readings, elapsed: Duration::ZERO, offset: signed(utc) }
        }

        /// Lets `seconds` pass, with a reading each.
        fn run(&mut self, seconds: u64) -> Now {
            (0..seconds).map(|_| self.after(Duration::from_secs(1))).last().unwrap()
        }

        fn after(&mut self, gap: Duration) -> Now {
            self.elapsed += gap;
            let machine = signed(millis(self.elapsed)) + self.offset;
            let machine = Duration::from_millis(u64::try_from(machine).unwrap_or(0));
            self.readings.read(self.elapsed, machine)
        }
    }

    /// Regression: the start and the time since it were rounded down separately, so that a job pushed for
    /// a time of day was due a millisecond before it.
    #[test]
    fn j10_the_time_of_day_is_the_machines_to_the_millisecond() {
        for (start, elapsed) in [(900, 100), (999, 1), (1, 999), (500, 499), (0, 2_999)] {
            let at = |micros| Duration::from_secs(1_000) + Duration::from_micros(micros);
            let mut readings = Readings::new(SETTLE, 0, at(start));
            let now = readings.read(Duration::from_micros(elapsed), at(start + elapsed));
            assert_eq!(now.utc, millis(at(start + elapsed)), "{start} + {elapsed}");
        }
    }

    #[test]
    fn r2_a_wait_until_a_deadline_does_not_end_before_it() {
        let clock = Clock::new(&crate::config::Config::new().queue, 0);
        let now = clock.now();
        // An hour later than `now`, less what a turn has taken since.
        let hour = Duration::from_secs(3_600);
        let deadline = clock.started + hour;
        let wait = clock.wait_until(deadline, now);
        let ends = clock.started + Duration::from_micros(now.steady) + wait;
        assert!(ends >= deadline && ends <= deadline + Duration::from_micros(1));
        assert!(wait > deadline.saturating_duration_since(environment::now()));
    }

    #[test]
    fn z29_a_clock_set_back_goes_on_at_its_own_pace() {
        let mut machine = Machine::started(10 * DAY, 10 * DAY);
        machine.run(1);
        for back in [DAY, 9 * DAY, 20 * DAY] {
            machine.offset -= signed(back);
            let now = machine.run(100);
            assert_eq!(now.utc, 10 * DAY + millis(machine.elapsed));
            assert_eq!(now.steady, machine.elapsed.as_micros() as u64);
        }
    }

    #[test]
    fn z29_a_wrong_time_of_day_that_does_not_last_has_no_effect() {
        let mut machine = Machine::started(10 * DAY, 10 * DAY);
        machine.run(100);
        for (jump, seconds) in [(400 * DAY, 11), (400 * DAY, 59), (DAY, 1)] {
            machine.offset += signed(jump);
            let now = machine.run(seconds);
            assert_eq!(now.utc, 10 * DAY + millis(machine.elapsed), "in the jump");
            machine.offset -= signed(jump);
            let now = machine.run(100);
            assert_eq!(now.utc, 10 * DAY + millis(machine.elapsed), "after it");
            assert_eq!(machine.readings.unaged, 0);
        }
    }

    #[test]
    fn z29_a_clock_that_wanders_is_not_followed() {
        let mut machine = Machine::started(10 * DAY, 10 * DAY);
        for _ in 0..10 {
            machine.offset += signed(DAY);
            let now = machine.run(30);
            assert_eq!(now.utc, 10 * DAY + millis(machine.elapsed));
        }
    }

    #[test]
    fn z29_a_jump_that_lasts_is_followed_and_ages_nothing() {
        let mut machine = Machine::started(10 * DAY, 10 * DAY);
        machine.run(5);
        machine.offset += signed(DAY);
        let now = machine.run(62);
        assert_eq!(now.utc, 11 * DAY + millis(machine.elapsed));
        assert_eq!(now.steady, machine.elapsed.as_micros() as u64, "deadlines do not notice");
        assert_eq!(machine.readings.unaged, DAY);
        // And back: the time of day stays as it was.
        machine.offset -= signed(DAY);
        assert_eq!(machine.run(100).utc, 11 * DAY + millis(machine.elapsed));
    }

    #[test]
    fn z29_a_clock_that_is_disciplined_is_not_followed_step_by_step() {
        let mut machine = Machine::started(0, 10 * DAY);
        machine.offset += DRIFT_MICROS / MICROS_PER_MILLI;
        assert_eq!(machine.run(100).utc, 10 * DAY + millis(machine.elapsed));
    }

    #[test]
    fn z29_the_time_before_a_start_ages_what_is_kept_once_it_is_believed() {
        let mut machine = Machine::started(10 * DAY, 40 * DAY);
        assert_eq!(machine.run(59).utc, 40 * DAY + 59_000, "what is due is due at once");
        assert_eq!(machine.readings.unaged, 30 * DAY);
        machine.run(1);
        assert_eq!(machine.readings.unaged, 0);
        // A clock that began wrong and is corrected has aged nothing.
        let mut machine = Machine::started(10 * DAY, 410 * DAY);
        machine.run(11);
        machine.offset -= signed(400 * DAY);
        machine.run(1_000);
        assert_eq!(machine.readings.unaged, 400 * DAY);
    }

    #[test]
    fn z29_a_start_goes_by_the_machine_again_where_records_were_written_by_a_wrong_clock() {
        let mut machine = Machine::started(410 * DAY, 10 * DAY);
        assert_eq!(machine.run(1).utc, 10 * DAY + 1_000);
        // Slightly back is no reason.
        let mut machine = Machine::started(10 * DAY, 10 * DAY - 5_000);
        assert_eq!(machine.run(1).utc, 10 * DAY + 1_000);
    }

    #[test]
    fn s8_a_process_that_was_stopped_gives_deadlines_the_gap() {
        let mut machine = Machine::started(0, 10 * DAY);
        let before = machine.run(3).steady;
        let now = machine.after(Duration::from_secs(500));
        assert_eq!(now.steady - before, CLOCK_READ_EVERY.as_micros() as u64);
        assert_eq!(now.utc, 10 * DAY + 503_000, "the time of day goes on");
        let at = machine.elapsed + Duration::from_secs(1);
        assert_eq!(machine.readings.steady(micros(at)), 5_000_000);
        // A turn that took a while does not count as a gap.
        assert_eq!(machine.after(STALL_MIN).steady, now.steady + 2_000_000);
    }
}
