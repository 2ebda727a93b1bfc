//! The journal on a disk: a handle, a thread that writes, a thread that creates segments.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::error::JournalOperation;
use super::exclusive::Exclusive;
use super::preallocator::Preallocator;
use super::prepared_log::PreparedLog;
use super::segment::capacity;
use super::shared::{Ending, JournalShared, JournalState};
use super::snapshot_writer::{SnapshotCommand, SnapshotWriter};
#[cfg(any(test, feature = "cli"))]
use super::steps::{JournalSteps, WakeFn};
use super::writer::SegmentWriter;
use super::{
    FreeSpace, Journal, JournalError, JournalStats, PartRequest, ProgressSink, RecordBatch,
    RecordSeq, snapshot_bytes_max,
};
use crate::config::JournalConfig;
use crate::environment;

/// The time after which a failed creation of a segment is retried.
pub(super) const RETRY: Duration = Duration::from_secs(1);

/// The longest time that dropping a handle waits for the disk.
const DROP_WITHIN: Duration = Duration::from_secs(10);

/// The time that the other threads have to end after the writer has.
const LAST_WORD: Duration = Duration::from_millis(200);

/// The handle.
pub(super) struct FileJournal {
    shared: Arc<JournalShared>,
    last: RecordSeq,
    /// `None` once the snapshot thread must end.
    snapshot_writer: Option<Sender<SnapshotCommand>>,
    work: JournalWork,
    // Dropped last, when nothing writes any more. A thread that hangs keeps it until the process ends.
    exclusive: Option<Exclusive>,
}

/// The place where the work is done.
enum JournalWork {
    Threads {
        writer: Option<JoinHandle<()>>,
        others: Vec<JoinHandle<()>>,
    },
    #[cfg(any(test, feature = "cli"))]
    Steps(JournalSteps),
}

/// The work of the threads, before it begins.
pub(super) struct JournalTasks {
    pub(super) shared: Arc<JournalShared>,
    pub(super) writer: SegmentWriter,
    pub(super) preallocator: Preallocator,
    pub(super) disk_bytes_max: u64,
    pub(super) snapshot_writer: SnapshotWriter,
    pub(super) orders: Receiver<SnapshotCommand>,
}

impl FileJournal {
    /// Starts threads for the work.
    pub(super) fn start(
        ready: PreparedLog,
        preallocator: Preallocator,
        config: &JournalConfig,
        report: ProgressSink,
        exclusive: Exclusive,
    ) -> Result<Self, JournalError> {
        let dir = preallocator.dir.clone();
        let (mut journal, workers) = Self::assemble(ready, preallocator, config, report, exclusive);
        let JournalTasks { shared, writer, preallocator, disk_bytes_max, snapshot_writer, orders } =
            workers;
        let watched = Arc::clone(&shared);
        let start = |thread: &'static str, work: Box<dyn FnOnce() + Send>| {
            let shared = Arc::clone(&watched);
            shared.state.lock().running += 1;
            let work = move || {
                if catch_unwind(AssertUnwindSafe(work)).is_err() {
                    fail(&shared, JournalError::Panicked { thread });
                }
                shared.state.lock().running -= 1;
                shared.ended.notify_all();
            };
            let started = Builder::new().name(thread.into()).spawn(work);
            if started.is_err() {
                watched.state.lock().running -= 1;
            }
            started.map_err(|error| JournalError::io(JournalOperation::Start, &dir, &error))
        };
        // If the next thread cannot be started, those that run end with `journal`.
        let make = Box::new(move || make_segments(&shared, &preallocator, disk_bytes_max));
        journal.add(start("wakeful-segments", make)?);
        journal.add(start("wakeful-snapshots", Box::new(move || snapshot_writer.run(&orders)))?);
        let writes = Arc::clone(&watched);
        watched.state.lock().writing = true;
        let write = move || {
            // Also if it panics.
            let _ends = WriterEnds(&writes);
            writer.run();
        };
        let started = start("wakeful-journal", Box::new(write));
        if started.is_err() {
            watched.state.lock().writing = false;
        }
        let started = started?;
        match &mut journal.work {
            JournalWork::Threads { writer, .. } => *writer = Some(started),
            #[cfg(any(test, feature = "cli"))]
            JournalWork::Steps(_) => {}
        }
        Ok(journal)
    }

    fn add(&mut self, thread: JoinHandle<()>) {
        match &mut self.work {
            JournalWork::Threads { others, .. } => others.push(thread),
            #[cfg(any(test, feature = "cli"))]
            JournalWork::Steps(_) => {}
        }
    }

    /// Leaves the work to the receiver of the steps.
    #[cfg(any(test, feature = "cli"))]
    pub(super) fn step(
        ready: PreparedLog,
        preallocator: Preallocator,
        config: &JournalConfig,
        report: ProgressSink,
        exclusive: Exclusive,
        wake: WakeFn,
    ) -> (Self, JournalSteps) {
        let (mut journal, workers) = Self::assemble(ready, preallocator, config, report, exclusive);
        let steps = JournalSteps::new(workers, wake);
        journal.work = JournalWork::Steps(steps.clone());
        (journal, steps)
    }

    fn assemble(
        ready: PreparedLog,
        preallocator: Preallocator,
        config: &JournalConfig,
        report: ProgressSink,
        exclusive: Exclusive,
    ) -> (Self, JournalTasks) {
        let stats = JournalStats {
            written: ready.last,
            synced: ready.last,
            segments: ready.segments,
            disk_bytes: ready.disk_bytes,
            snapshot: ready.snapshot,
            ..JournalStats::default()
        };
        let before = ready.snapshot.map_or(0, |it| it.bytes);
        let reserved = snapshot_bytes_max(before, ready.log_bytes, preallocator.size);
        let shared = Arc::new(JournalShared {
            state: Mutex::new(JournalState {
                handed: Vec::new(),
                sync: false,
                ending: None,
                failed: None,
                used: ready.used.into(),
                spares: ready.spares.into(),
                wanted: None,
                no_space: None,
                owed: false,
                retry: false,
                blocked: false,
                stuck: false,
                left: ready.current.head.size.saturating_sub(ready.position),
                free: preallocator.free_bytes(),
                look: false,
                writing: false,
                running: 0,
                done: false,
                stats,
            }),
            work: Condvar::new(),
            wanted: Condvar::new(),
            synced: Condvar::new(),
            ended: Condvar::new(),
            pending: AtomicUsize::new(0),
            reserved: AtomicU64::new(reserved),
        });
        let (keeps, orders) = channel();
        let journal = Self {
            shared: Arc::clone(&shared),
            last: ready.last,
            snapshot_writer: Some(keeps),
            work: JournalWork::Threads { writer: None, others: Vec::new() },
            exclusive: Some(exclusive),
        };
        let snapshot_writer =
            SnapshotWriter::new(&preallocator, ready.incarnation.id, &shared, &report);
        let (current, position) = (ready.current, ready.position);
        let writes = Arc::clone(&shared);
        let writer =
            SegmentWriter::new(writes, report, config, preallocator.size, current, position, stats)
                .with_incarnation(ready.incarnation);
        let disk_bytes_max = config.disk_bytes_max;
        (
            journal,
            JournalTasks { shared, writer, preallocator, disk_bytes_max, snapshot_writer, orders },
        )
    }

    /// Reports that there is work.
    fn wake(&self) {
        self.shared.work.notify_all();
        #[cfg(any(test, feature = "cli"))]
        if let JournalWork::Steps(steps) = &self.work {
            steps.wake();
        }
    }

    /// Waits until the writer has ended, but at most until `by`; returns whether it has.
    fn end_writer(&mut self, by: Instant) -> bool {
        match &mut self.work {
            JournalWork::Threads { writer, .. } => {
                let ended = self.shared.wait_for_end(by, |state| !state.writing);
                if let Some(writer) = writer.take().filter(|_| ended) {
                    let _ = writer.join();
                }
                ended
            }
            #[cfg(any(test, feature = "cli"))]
            JournalWork::Steps(steps) => {
                steps.write_to_the_end();
                true
            }
        }
    }

    fn end_others(&mut self, by: Instant) -> bool {
        match &mut self.work {
            JournalWork::Threads { others, .. } => {
                let ended = self.shared.wait_for_end(by, |state| state.running == 0);
                for thread in others.drain(..).filter(|_| ended) {
                    let _ = thread.join();
                }
                ended
            }
            #[cfg(any(test, feature = "cli"))]
            JournalWork::Steps(steps) => {
                steps.keep_to_the_end();
                true
            }
        }
    }

    /// Ends the threads. One that hangs is left behind, with the lock of the directory: joining it
    /// would keep the process from ending until the disk answers.
    fn end(&mut self, ending: Ending, by: Instant) {
        {
            let mut state = self.shared.state.lock();
            state.ending.get_or_insert(ending);
            self.shared.work.notify_all();
        }
        // The writer first, because it may need a segment until it has ended.
        let mut ended = self.end_writer(by);
        {
            let mut state = self.shared.state.lock();
            state.done = true;
            if !ended {
                state.failed.get_or_insert(JournalError::Hangs);
            }
        }
        self.shared.wanted.notify_all();
        self.shared.synced.notify_all();
        self.shared.ended.notify_all();
        self.snapshot_writer = None;
        ended &= self.end_others(by.max(environment::now() + LAST_WORD));
        if !ended {
            tracing::error!(
                "the disk has not finished a write or a sync in time; not waiting any longer"
            );
            std::mem::forget(self.exclusive.take());
        }
    }

    fn order(&self, order: SnapshotCommand) {
        if let Some(snapshot_writer) = &self.snapshot_writer {
            // bound: the caller's, see `Journal`
            let _ = snapshot_writer.send(order);
        }
        self.wake();
    }
}

impl Journal for FileJournal {
    fn append(&mut self, batch: &mut RecordBatch) -> RecordSeq {
        if batch.is_empty() {
            return self.last;
        }
        self.last += batch.records();
        let mut state = self.shared.state.lock();
        if state.failed.is_none() {
            self.shared.pending.fetch_add(batch.bytes(), Ordering::Relaxed);
            if state.handed.is_empty() {
                std::mem::swap(&mut state.handed, &mut batch.framed);
            } else {
                state.handed.extend_from_slice(&batch.framed);
            }
        }
        drop(state);
        self.wake();
        batch.clear();
        self.last
    }

    fn sync(&mut self) {
        self.shared.state.lock().sync = true;
        self.wake();
    }

    fn begin_snapshot(&mut self) {
        self.order(SnapshotCommand::Begin(self.last));
    }

    fn add_to_snapshot(&mut self, batch: &mut RecordBatch, pace: Duration) {
        let records = batch.records();
        let framed = std::mem::take(&mut batch.framed);
        batch.clear();
        self.order(SnapshotCommand::Add(framed, records, pace));
    }

    fn finish_snapshot(&mut self) {
        self.order(SnapshotCommand::Finish);
    }

    fn abandon_snapshot(&mut self) {
        self.order(SnapshotCommand::Abandon);
    }

    fn read_snapshot(&mut self, part: PartRequest) {
        self.order(SnapshotCommand::Read(part));
    }

    fn pending_bytes(&self) -> usize {
        self.shared.pending.load(Ordering::Relaxed)
    }

    fn stats(&self) -> JournalStats {
        self.shared.state.lock().stats
    }

    fn free_space(&self) -> FreeSpace {
        let state = self.shared.state.lock();
        let spares: u64 = state.spares.iter().map(|spare| capacity(spare.head.size)).sum();
        let segments = signed(state.left + spares) - signed(self.pending_bytes() as u64);
        let has_resort = state.spares.is_empty() && state.used.len() <= 1;
        FreeSpace { segments, has_resort, disk: state.free }
    }

    fn reserve(&mut self, bytes: u64) {
        if self.shared.reserved.swap(bytes, Ordering::Relaxed) > bytes {
            // A segment for which there was no space beside the reserved bytes may fit now.
            self.shared.state.lock().retry = true;
            self.shared.wanted.notify_all();
            self.wake();
        }
    }

    fn look_for_space(&mut self) {
        self.shared.state.lock().look = true;
        self.shared.wanted.notify_all();
        self.wake();
    }

    fn close_within(mut self: Box<Self>, within: Duration) -> Result<(), JournalError> {
        self.end(Ending::Closed, environment::now() + within);
        let failed = self.shared.state.lock().failed.clone();
        failed.map_or(Ok(()), Err)
    }
}

impl Drop for FileJournal {
    fn drop(&mut self) {
        if self.exclusive.is_some() {
            self.end(Ending::Dropped, environment::now() + DROP_WITHIN);
        }
    }
}

/// Returns a number of bytes of a journal, which is far below the limit.
fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// Notes, when dropped, that the writer has ended.
struct WriterEnds<'a>(&'a JournalShared);

impl Drop for WriterEnds<'_> {
    fn drop(&mut self) {
        self.0.state.lock().writing = false;
        self.0.ended.notify_all();
    }
}

/// Ends the writer with an error on behalf of a thread that has panicked.
fn fail(shared: &JournalShared, error: JournalError) {
    shared.state.lock().failed.get_or_insert(error);
    shared.work.notify_all();
    shared.synced.notify_all();
}

/// Creates the segments that the writer wants, until the end.
fn make_segments(shared: &JournalShared, preallocator: &Preallocator, disk_bytes_max: u64) {
    let mut state = shared.state.lock();
    while !state.done {
        match make_next(shared, preallocator, disk_bytes_max, &mut state) {
            // The lock was released while the space was checked.
            PreallocationResult::Nothing if state.look || state.done => {}
            PreallocationResult::Nothing => shared.wanted.wait(&mut state),
            PreallocationResult::Segment => {}
            PreallocationResult::Failed => {
                let until = Instant::now() + RETRY;
                while !state.done && !state.retry && !state.look {
                    if shared.wanted.wait_until(&mut state, until).timed_out() {
                        break;
                    }
                }
            }
        }
    }
}

/// The result of a check for a wanted segment.
pub(super) enum PreallocationResult {
    /// No segment is wanted.
    Nothing,
    Segment,
    /// Creation failed: it is retried after [`RETRY`], or as soon as there may be space.
    Failed,
}

/// Creates the segment that the writer wants.
pub(super) fn make_next(
    shared: &JournalShared,
    preallocator: &Preallocator,
    disk_bytes_max: u64,
    state: &mut MutexGuard<'_, JournalState>,
) -> PreallocationResult {
    let look = |state: &mut MutexGuard<'_, JournalState>| {
        // Set before the check, because it may be requested again meanwhile.
        state.look = false;
        state.free = MutexGuard::unlocked(state, || preallocator.free_bytes());
    };
    if state.look || state.wanted.is_some() {
        look(state);
    }
    let Some(number) = state.wanted else { return PreallocationResult::Nothing };
    state.retry = false;
    let used_up = state.stats.disk_bytes.saturating_add(preallocator.size) > disk_bytes_max;
    crate::failpoint::reached("segments");
    // Without this segment, nothing can continue: neither what was handed over nor a snapshot that
    // waits for it.
    let last = state.spares.is_empty();
    let reserved = shared.reserved.load(Ordering::Relaxed);
    let beside = preallocator.size..preallocator.size.saturating_add(reserved);
    let is_reserved = state.free.is_some_and(|free| beside.contains(&free));
    let made = if used_up && !(last && (state.owed || (state.blocked && state.used.len() <= 1))) {
        Err(JournalError::Quota { max: disk_bytes_max })
    } else if is_reserved && !(last && (state.owed || state.blocked)) {
        // Not a failure: callers know the reserved space and refuse requests in time.
        if state.no_space.take().is_some() {
            shared.work.notify_all();
        }
        return PreallocationResult::Failed;
    } else {
        let (made, free) =
            MutexGuard::unlocked(state, || (preallocator.make(number), preallocator.free_bytes()));
        state.free = free;
        made
    };
    match made {
        Ok(segment) => {
            state.stats.segments += 1;
            state.stats.disk_bytes += segment.head.size;
            state.spares.push_back(segment);
            state.wanted = None;
            state.no_space = None;
            shared.work.notify_all();
            PreallocationResult::Segment
        }
        Err(error) => {
            if state.no_space.is_none() {
                tracing::warn!(%error, "the next segment cannot be created; trying again");
            }
            state.no_space = Some(error);
            if state.owed && state.blocked {
                state.stuck = true;
                shared.synced.notify_all();
            }
            shared.work.notify_all();
            PreallocationResult::Failed
        }
    }
}
