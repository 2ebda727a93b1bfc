//! Standard error, written by a thread of its own: logging and notices never wait for a reader, and
//! never fail with it.
//!
//! `tracing-appender` does not fit: at its end it prints to standard output if the queue is still
//! full, it ignores failed writes, and its bound is a number of lines of any length.
//!
//! One thread writes from a bounded queue, which logs, notices, panics and the standard error of
//! jobs' commands share; no other code writes to standard error in a long-running command.

use std::io;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::failure::Exit;
use super::output::{self, notice};

/// Maximum number of pending bytes. Further lines are dropped and counted.
const PENDING_BYTES_MAX: usize = 1024 * 1024;

/// Maximum time that the end of the process waits for pending bytes.
const FINISH_WAIT: Duration = Duration::from_secs(1);

/// Capacity that an idle buffer keeps.
const IDLE_BYTES_MAX: usize = 64 * 1024;

static STDERR: LazyLock<LogQueue> = LazyLock::new(|| {
    LogQueue::start(PENDING_BYTES_MAX, |bytes| output::write_all(io::stderr(), bytes))
});

/// Queues whole lines for writing.
pub(crate) fn write(bytes: &[u8]) {
    STDERR.push(bytes);
}

/// Returns the number of lines dropped since the start.
pub(crate) fn lines_dropped() -> u64 {
    STDERR.0.state.lock().dropped
}

/// Reports dropped lines through the log from now on, so that the report has its format.
pub(crate) fn report_to_log() {
    STDERR.0.state.lock().report = |lines_dropped| {
        tracing::error!(lines_dropped, "standard error was blocked or failed; lines were dropped");
    };
}

/// Prints panics through this queue. The default hook would block, or panic again, with standard
/// error.
pub(crate) fn take_panics() {
    std::panic::set_hook(Box::new(|info| {
        let thread = std::thread::current();
        let backtrace = std::backtrace::Backtrace::capture();
        notice(format_args!("thread '{}' {info}", thread.name().unwrap_or("<unnamed>")));
        if backtrace.status() == std::backtrace::BacktraceStatus::Captured {
            notice(backtrace);
        }
    }));
}

/// Waits until everything is written, or until the time for it is over.
pub(crate) fn finish() {
    STDERR.finish(FINISH_WAIT);
}

/// Ends the process.
pub(crate) fn exit(exit: Exit) -> ! {
    finish();
    std::process::exit(exit.code().into())
}

/// The writer of one line of the log.
pub(crate) struct LogWriter;

impl io::Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        write(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The queue of bytes for the writing thread.
struct LogQueue(Arc<LogQueueShared>);

struct LogQueueShared {
    state: Mutex<LogQueueState>,
    /// Signals that bytes were added, or that everything is written.
    changed: Condvar,
    bytes_max: usize,
}

struct LogQueueState {
    pending: Vec<u8>,
    /// True while the thread writes earlier bytes.
    writing: bool,
    /// Lines dropped since the start.
    dropped: u64,
    /// The number of dropped lines already reported.
    reported: u64,
    report: fn(u64),
}

impl LogQueue {
    fn start(
        bytes_max: usize,
        write: impl FnMut(&[u8]) -> Result<(), output::WriteFailed> + Send + 'static,
    ) -> Self {
        let state = LogQueueState {
            pending: Vec::new(),
            writing: false,
            dropped: 0,
            reported: 0,
            report: |lines| {
                notice(format_args!(
                    "standard error was blocked or failed; {lines} lines were dropped"
                ))
            },
        };
        let shared =
            LogQueueShared { state: Mutex::new(state), changed: Condvar::new(), bytes_max };
        let shared = Arc::new(shared);
        let writer = LogThread { shared: Arc::clone(&shared), write, torn: false };
        // Without a thread, lines are dropped once the queue is full: nothing else avoids waiting.
        let _ = std::thread::Builder::new().name("stderr".to_owned()).spawn(|| writer.run());
        Self(shared)
    }

    fn push(&self, bytes: &[u8]) {
        let mut state = self.0.state.lock();
        if state.pending.len() + bytes.len() > self.0.bytes_max {
            state.dropped += lines(bytes);
            return;
        }
        state.pending.extend_from_slice(bytes);
        self.0.changed.notify_all();
    }

    fn finish(&self, patience: Duration) {
        let over = Instant::now() + patience;
        let mut state = self.0.state.lock();
        while state.writing || !state.pending.is_empty() {
            if self.0.changed.wait_until(&mut state, over).timed_out() {
                return;
            }
        }
    }
}

/// The thread that writes.
struct LogThread<W> {
    shared: Arc<LogQueueShared>,
    write: W,
    /// True if the last byte written is not the end of a line.
    torn: bool,
}

impl<W: FnMut(&[u8]) -> Result<(), output::WriteFailed>> LogThread<W> {
    fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        let mut bytes = Vec::new();
        let mut state = shared.state.lock();
        loop {
            if state.pending.is_empty() {
                state.writing = false;
                shared.changed.notify_all();
                shared.changed.wait(&mut state);
                continue;
            }
            state.writing = true;
            std::mem::swap(&mut bytes, &mut state.pending);
            let dropped = MutexGuard::unlocked(&mut state, || self.write(&bytes));
            state.dropped += dropped;
            // The report is a line too, and needs room.
            let room = state.pending.len() <= shared.bytes_max / 2;
            if dropped == 0 && room && state.dropped > state.reported {
                state.reported = state.dropped;
                let (report, dropped) = (state.report, state.dropped);
                MutexGuard::unlocked(&mut state, || report(dropped));
            }
            bytes.clear();
            bytes.shrink_to(IDLE_BYTES_MAX);
        }
    }

    /// Writes whole lines, and returns the number that could not be written.
    fn write(&mut self, bytes: &[u8]) -> u64 {
        if self.torn && (self.write)(b"\n").is_ok() {
            self.torn = false;
        }
        let written = match (self.write)(bytes) {
            Ok(()) => return 0,
            Err(cut) => bytes.get(..cut.written).unwrap_or(bytes),
        };
        self.torn |= written.last().is_some_and(|last| *last != b'\n');
        lines(bytes.get(written.len()..).unwrap_or_default())
    }
}

fn lines(bytes: &[u8]) -> u64 {
    let ends = bytes.iter().filter(|byte| **byte == b'\n').count();
    (ends as u64).max(1)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;
    use crate::test_timeout::TEST_TIMEOUT;

    /// The reaction of the test's writer to a batch.
    enum Answer {
        Write,
        Fail { written: usize },
    }

    struct Slow {
        queue: LogQueue,
        answers: Sender<Answer>,
        /// Each batch when it is about to be written.
        batches: Receiver<String>,
    }

    impl Slow {
        fn start(bytes_max: usize) -> Self {
            let (answers, answer) = channel();
            let (seen, batches) = channel();
            let queue = LogQueue::start(bytes_max, move |bytes| {
                let _ = seen.send(String::from_utf8_lossy(bytes).into_owned());
                match answer.recv() {
                    Ok(Answer::Fail { written }) => Err(output::WriteFailed {
                        written,
                        error: io::ErrorKind::StorageFull.into(),
                    }),
                    _ => Ok(()),
                }
            });
            Self { queue, answers, batches }
        }

        fn expect(&self, batch: &str, answer: Answer) {
            assert_eq!(self.batches.recv_timeout(TEST_TIMEOUT).unwrap(), batch);
            self.answers.send(answer).unwrap();
        }

        fn push(&self, line: &str) {
            self.queue.push(line.as_bytes());
        }

        fn dropped(&self) -> u64 {
            self.queue.finish(TEST_TIMEOUT);
            self.queue.0.state.lock().dropped
        }
    }

    #[test]
    fn what_does_not_fit_is_dropped_and_counted_and_nobody_waits() {
        let slow = Slow::start(8);
        slow.push("1\n");
        // The first line is being written, and never finishes.
        assert_eq!(slow.batches.recv_timeout(TEST_TIMEOUT).unwrap(), "1\n");
        for line in ["2\n", "3\n", "4\n", "5\n", "6\n", "7\n8\n"] {
            slow.push(line);
        }
        slow.answers.send(Answer::Write).unwrap();
        slow.expect("2\n3\n4\n5\n", Answer::Write);
        assert_eq!(slow.dropped(), 3);
    }

    #[test]
    fn what_cannot_be_written_is_dropped_and_counted_and_a_torn_line_is_ended() {
        let slow = Slow::start(100);
        slow.push("one\ntwo\n");
        slow.expect("one\ntwo\n", Answer::Fail { written: 5 });
        assert_eq!(slow.dropped(), 1);
        slow.push("three\n");
        slow.expect("\n", Answer::Write);
        slow.expect("three\n", Answer::Fail { written: 0 });
        assert_eq!(slow.dropped(), 2);
        slow.push("four\n");
        slow.expect("four\n", Answer::Write);
        assert_eq!(slow.dropped(), 2);
    }

    #[test]
    fn the_end_waits_for_a_slow_reader_but_not_for_ever() {
        let slow = Slow::start(100);
        slow.push("1\n");
        slow.queue.finish(Duration::ZERO);
        slow.expect("1\n", Answer::Write);
        assert_eq!(slow.dropped(), 0);
    }

    #[test]
    fn drops_are_reported_once_something_is_written() {
        static REPORTED: Mutex<Vec<u64>> = Mutex::new(Vec::new());
        let slow = Slow::start(100);
        slow.queue.0.state.lock().report = |lines| REPORTED.lock().push(lines);
        for (line, answer) in [
            ("1\n", Answer::Fail { written: 0 }),
            ("2\n", Answer::Fail { written: 0 }),
            ("3\n", Answer::Write),
            ("4\n", Answer::Write),
            ("5\n", Answer::Fail { written: 0 }),
            ("6\n", Answer::Write),
        ] {
            slow.push(line);
            slow.expect(line, answer);
            slow.queue.finish(TEST_TIMEOUT);
        }
        assert_eq!(*REPORTED.lock(), [2, 3]);
    }
}
