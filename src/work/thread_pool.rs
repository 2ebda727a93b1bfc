//! [`ThreadPool`]: the threads of a worker, working and stuck.

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::{Arbiter, ArbiterHandle};

use super::handler_actor::ThreadSlot;
use super::handler_thread::HandlerThread;
use super::job_board::JobBoard;
use super::{Cancelled, HandlerOptions, Thread};
use crate::error::{Error, ErrorCode};
use crate::model::Reservation;

/// Starts the actor of one handler.
pub(super) type StartHandler = Box<dyn Fn(ThreadSlot, &ArbiterHandle)>;

/// The threads of a worker.
pub(super) struct ThreadPool {
    thread: Thread,
    concurrency: usize,
    background: bool,
    board: Arc<JobBoard>,
    hire: StartHandler,
    live: Vec<PoolThread>,
    /// Threads given up until their handlers return.
    stuck: Vec<PoolThread>,
    /// Threads that have ended, or are about to.
    ended: Vec<Arbiter>,
    made: u64,
}

struct PoolThread {
    thread: Arc<HandlerThread>,
    /// `None` if it is the worker's own arbiter.
    arbiter: Option<Arbiter>,
}

/// A thread that was given up.
pub(super) struct GivenUp {
    /// The job whose handler blocks it.
    pub(super) culprit: Reservation,
    /// The other jobs that it ran.
    pub(super) others: Vec<Reservation>,
}

impl ThreadPool {
    pub(super) fn new(options: &HandlerOptions, board: Arc<JobBoard>, hire: StartHandler) -> Self {
        Self {
            thread: options.thread,
            concurrency: options.concurrency,
            background: options.background.unwrap_or(false),
            board,
            hire,
            live: Vec::new(),
            stuck: Vec::new(),
            ended: Vec::new(),
            made: 0,
        }
    }

    /// Returns true if each handler has a thread.
    pub(super) fn are_apart(&self) -> bool {
        self.thread == Thread::Blocking
    }

    /// Starts actors for the jobs on the board.
    pub(super) fn grow(&mut self) -> Result<(), Error> {
        if !self.are_apart() {
            return if self.live.is_empty() { self.open(self.concurrency) } else { Ok(()) };
        }
        let wanted = self.board.backlog().min(self.concurrency - self.live.len());
        (0..wanted).try_for_each(|_| self.open(1))
    }

    fn open(&mut self, slots: usize) -> Result<(), Error> {
        let arbiter = match self.thread {
            Thread::Here => None,
            Thread::Own | Thread::Blocking => Some(Arbiter::try_new().map_err(|error| {
                let message = format!("cannot start a thread for handlers: {error}");
                Error::new(ErrorCode::Unavailable, message)
            })?),
        };
        if let Some(arbiter) = arbiter.as_ref().filter(|_| self.background) {
            arbiter.spawn_fn(stand_back);
        }
        let handle = arbiter.as_ref().map_or_else(Arbiter::current, Arbiter::handle);
        let thread = Arc::new(HandlerThread::new(self.made, slots));
        self.made += 1;
        for _ in 0..slots {
            (self.hire)(ThreadSlot::new(Arc::clone(&thread), Arc::clone(&self.board)), &handle);
        }
        self.live.push(PoolThread { thread, arbiter });
        Ok(())
    }

    /// Gives up stuck threads, up to `most` at a time.
    pub(super) fn give_up_stuck(
        &mut self,
        now: Instant,
        stuck_after: Duration,
        most: usize,
    ) -> Vec<GivenUp> {
        let mut given_up = Vec::new();
        let mut at = 0;
        while let Some(line) = self.live.get(at) {
            let stuck = self.culprit(line, now, stuck_after);
            let Some(culprit) = stuck.filter(|_| self.stuck.len() < most) else {
                at += 1;
                continue;
            };
            let mut others = self.board.retire_thread(&line.thread, Cancelled::Stopping);
            others.retain(|other| *other != culprit);
            given_up.push(GivenUp { culprit, others });
            let line = self.live.swap_remove(at);
            // It ends as soon as its thread is free.
            line.arbiter.as_ref().map(Arbiter::stop);
            self.stuck.push(line);
        }
        given_up
    }

    /// Returns the jobs whose handlers block threads that are kept only because too many are stuck.
    pub(super) fn endured(&self, now: Instant, stuck_after: Duration) -> Vec<Reservation> {
        let culprit = |line| self.culprit(line, now, stuck_after);
        self.live.iter().filter_map(culprit).collect()
    }

    fn culprit(
        &self,
        line: &PoolThread,
        now: Instant,
        stuck_after: Duration,
    ) -> Option<Reservation> {
        // If a handler blocks the worker itself, nothing can notice.
        line.arbiter.as_ref()?;
        line.thread.stuck(now, stuck_after, |reservation| self.board.given_up_at(reservation))
    }

    /// Removes the stuck threads whose handlers returned.
    pub(super) fn sweep(&mut self) {
        for line in self.stuck.extract_if(.., |line| line.thread.is_empty()) {
            self.ended.extend(line.arbiter);
        }
        // Ended threads are joined with the others at the end; this bounds their number.
        self.ended.retain(Arbiter::alive);
    }

    pub(super) fn stuck(&self) -> usize {
        self.stuck.len()
    }

    /// Ends all actors.
    pub(super) fn retire(&mut self) {
        for line in &self.live {
            self.board.retire_thread(&line.thread, Cancelled::Stopping);
        }
    }

    /// Returns true if all threads have ended except stuck ones.
    pub(super) fn are_empty(&self) -> bool {
        self.live.iter().all(|line| line.thread.is_empty())
    }

    /// Ends the threads; returns those to join, and the number of stuck ones.
    pub(super) fn end(&mut self) -> (Vec<Arbiter>, usize) {
        self.sweep();
        let mut busy = self.stuck.len();
        let mut ended = std::mem::take(&mut self.ended);
        for PoolThread { thread, arbiter } in self.live.drain(..) {
            let Some(arbiter) = arbiter else { continue };
            arbiter.stop();
            if thread.is_empty() {
                ended.push(arbiter);
            } else {
                busy += 1;
            }
        }
        (ended, busy)
    }
}

/// Makes this thread run only when the machine is idle. If that is not possible, it runs normally.
fn stand_back() {
    #[cfg(target_os = "linux")]
    {
        use thread_priority::unix::{set_thread_priority_and_policy, thread_native_id};
        use thread_priority::{NormalThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy};

        let idle = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
        let lowest = ThreadPriority::Min;
        if let Err(error) = set_thread_priority_and_policy(thread_native_id(), lowest, idle) {
            tracing::debug!(?error, "cannot lower the priority of a handler's thread");
        }
    }
}

/// Ends the threads even if the worker itself was lost.
impl Drop for ThreadPool {
    fn drop(&mut self) {
        self.retire();
        for line in &self.live {
            line.arbiter.as_ref().map(Arbiter::stop);
        }
    }
}
