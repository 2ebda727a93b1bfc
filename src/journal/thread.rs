//! The journal on a disk: a handle, a thread that writes, a thread that makes segments.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::error::Action;
use super::exclusive::Exclusive;
use super::keeper::{Keeper, Order};
use super::maker::Maker;
use super::ready::Ready;
use super::shared::{Ending, Shared, State};
use super::writer::Writer;
use super::{Batch, Journal, JournalError, JournalStats, Part, Report, Seq};
use crate::config::JournalConfig;

/// How long after a segment could not be made it is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// The handle.
pub(super) struct FileJournal {
    shared: Arc<Shared>,
    last: Seq,
    writer: Option<JoinHandle<()>>,
    others: Vec<JoinHandle<()>>,
    /// `None` once the keeper shall end.
    keeper: Option<Sender<Order>>,
    // Goes last, when nothing writes any more.
    _exclusive: Exclusive,
}

impl FileJournal {
    pub(super) fn start(
        ready: Ready,
        maker: Maker,
        config: &JournalConfig,
        report: Report,
        exclusive: Exclusive,
    ) -> Result<Self, JournalError> {
        let stats = JournalStats {
            written: ready.last,
            synced: ready.last,
            segments: ready.segments,
            disk_bytes: ready.disk_bytes,
            snapshot: ready.snapshot,
            ..JournalStats::default()
        };
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                handed: Vec::new(),
                sync: false,
                ending: None,
                failed: None,
                used: ready.used.into(),
                spares: ready.spares.into(),
                wanted: None,
                no_room: None,
                owed: false,
                retry: false,
                done: false,
                stats,
            }),
            work: Condvar::new(),
            wanted: Condvar::new(),
            synced: Condvar::new(),
            ended: Condvar::new(),
            pending: AtomicUsize::new(0),
        });
        let dir = maker.dir.clone();
        let (keeper, orders) = channel();
        let mut journal = Self {
            shared: Arc::clone(&shared),
            last: ready.last,
            writer: None,
            others: Vec::new(),
            keeper: Some(keeper),
            _exclusive: exclusive,
        };
        let keeper = Keeper {
            disk: Arc::clone(&maker.disk),
            dir: dir.clone(),
            store_id: maker.store_id,
            shared: Arc::clone(&shared),
            report: Arc::clone(&report),
        };
        let (making, watched) = (Arc::clone(&shared), Arc::clone(&shared));
        let size = maker.size;
        let disk_bytes_max = config.disk_bytes_max;
        let writer =
            Writer::new(shared, report, config, size, ready.current, ready.position, stats);
        let start = |thread: &'static str, work: Box<dyn FnOnce() + Send>| {
            let shared = Arc::clone(&watched);
            let work = move || {
                if catch_unwind(AssertUnwindSafe(work)).is_err() {
                    fail(&shared, JournalError::Panicked { thread });
                }
            };
            let started = Builder::new().name(thread.into()).spawn(work);
            started.map_err(|error| JournalError::io(Action::Start, &dir, &error))
        };
        let make = Box::new(move || make_segments(&making, &maker, disk_bytes_max));
        journal.others.push(start("wakeful-segments", make)?);
        journal.others.push(start("wakeful-snapshots", Box::new(move || keeper.run(&orders)))?);
        journal.writer = Some(start("wakeful-journal", Box::new(move || writer.run()))?);
        Ok(journal)
    }

    fn end(&mut self, ending: Ending) {
        {
            let mut state = self.shared.state.lock();
            state.ending.get_or_insert(ending);
            self.shared.work.notify_all();
        }
        // The writer first: until it has ended it may need a segment.
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
        self.shared.state.lock().done = true;
        self.shared.wanted.notify_all();
        self.shared.synced.notify_all();
        self.shared.ended.notify_all();
        self.keeper = None;
        for thread in self.others.drain(..) {
            let _ = thread.join();
        }
    }

    fn order(&self, order: Order) {
        if let Some(keeper) = &self.keeper {
            // bound: the caller's, see `Journal`
            let _ = keeper.send(order);
        }
    }
}

impl Journal for FileJournal {
    fn append(&mut self, batch: &mut Batch) -> Seq {
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
            self.shared.work.notify_all();
        }
        drop(state);
        batch.clear();
        self.last
    }

    fn sync(&mut self) {
        let mut state = self.shared.state.lock();
        state.sync = true;
        self.shared.work.notify_all();
    }

    fn begin_snapshot(&mut self) {
        self.order(Order::Begin(self.last));
    }

    fn add_to_snapshot(&mut self, batch: &mut Batch, pace: Duration) {
        let records = batch.records();
        let framed = std::mem::take(&mut batch.framed);
        batch.clear();
        self.order(Order::Add(framed, records, pace));
    }

    fn finish_snapshot(&mut self) {
        self.order(Order::Finish);
    }

    fn abandon_snapshot(&mut self) {
        self.order(Order::Abandon);
    }

    fn read_snapshot(&mut self, part: Part) {
        self.order(Order::Read(part));
    }

    fn pending_bytes(&self) -> usize {
        self.shared.pending.load(Ordering::Relaxed)
    }

    fn stats(&self) -> JournalStats {
        self.shared.state.lock().stats
    }

    fn close(mut self: Box<Self>) -> Result<(), JournalError> {
        self.end(Ending::Closed);
        let failed = self.shared.state.lock().failed.clone();
        failed.map_or(Ok(()), Err)
    }
}

impl Drop for FileJournal {
    fn drop(&mut self) {
        self.end(Ending::Dropped);
    }
}

/// Has the writer end, and say why, without the thread that has panicked.
fn fail(shared: &Shared, error: JournalError) {
    shared.state.lock().failed.get_or_insert(error);
    shared.work.notify_all();
    shared.synced.notify_all();
}

/// Makes what the writer wants, until told to end.
fn make_segments(shared: &Shared, maker: &Maker, disk_bytes_max: u64) {
    let mut state = shared.state.lock();
    loop {
        if state.done {
            return;
        }
        let Some(number) = state.wanted else {
            shared.wanted.wait(&mut state);
            continue;
        };
        state.retry = false;
        let used_up = state.stats.disk_bytes.saturating_add(maker.size) > disk_bytes_max;
        crate::failpoint::reached("segments");
        let made = if used_up && !(state.owed && state.spares.is_empty()) {
            Err(JournalError::Quota { max: disk_bytes_max })
        } else {
            MutexGuard::unlocked(&mut state, || maker.make(number))
        };
        match made {
            Ok(segment) => {
                state.stats.segments += 1;
                state.stats.disk_bytes += segment.head.size;
                state.spares.push_back(segment);
                state.wanted = None;
                state.no_room = None;
                shared.work.notify_all();
            }
            Err(error) => {
                if state.no_room.is_none() {
                    tracing::warn!(%error, "the next segment cannot be made; trying again");
                }
                state.no_room = Some(error);
                shared.work.notify_all();
                let until = Instant::now() + RETRY;
                while !state.done && !state.retry {
                    if shared.wanted.wait_until(&mut state, until).timed_out() {
                        break;
                    }
                }
            }
        }
    }
}
