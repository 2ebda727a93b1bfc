//! The journal on a disk: a handle, a thread that writes, a thread that makes segments.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::disk::DiskLock;
use super::error::Action;
use super::maker::Maker;
use super::recovery::Ready;
use super::shared::{Ending, Shared, State};
use super::writer::Writer;
use super::{Batch, Journal, JournalError, JournalStats, Report, Seq};
use crate::config::JournalConfig;

/// How long after a segment could not be made it is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// The handle.
pub(super) struct FileJournal {
    shared: Arc<Shared>,
    last: Seq,
    threads: Vec<JoinHandle<()>>,
    // Goes last, when nothing writes any more.
    _lock: DiskLock,
}

impl FileJournal {
    pub(super) fn start(
        ready: Ready,
        maker: Maker,
        config: &JournalConfig,
        report: Report,
        lock: DiskLock,
    ) -> Result<Self, JournalError> {
        let stats = JournalStats {
            written: ready.last,
            synced: ready.last,
            segments: ready.segments,
            disk_bytes: ready.disk_bytes,
            ..JournalStats::default()
        };
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                handed: Vec::new(),
                sync: false,
                ending: None,
                failed: None,
                spares: ready.spares.into(),
                wanted: None,
                no_room: None,
                retry: false,
                done: false,
                stats,
            }),
            work: Condvar::new(),
            wanted: Condvar::new(),
            pending: AtomicUsize::new(0),
        });
        let dir = maker.dir.clone();
        let mut journal = Self {
            shared: Arc::clone(&shared),
            last: ready.last,
            threads: Vec::new(),
            _lock: lock,
        };
        let size = maker.size;
        let making = Arc::clone(&shared);
        let started = Builder::new()
            .name("wakeful-segments".into())
            .spawn(move || make_segments(&making, &maker))
            .and_then(|maker| {
                journal.threads.push(maker);
                let writer =
                    Writer::new(shared, report, config, size, ready.current, ready.position, stats);
                Builder::new().name("wakeful-journal".into()).spawn(move || writer.run())
            });
        let writer = started.map_err(|error| JournalError::io(Action::Start, &dir, &error))?;
        journal.threads.push(writer);
        Ok(journal)
    }

    fn end(&mut self, ending: Ending) {
        {
            let mut state = self.shared.state.lock();
            state.ending.get_or_insert(ending);
            self.shared.work.notify_all();
        }
        // The writer first: until it has ended it may need a segment.
        if let Some(writer) = self.threads.pop() {
            if self.threads.is_empty() {
                self.shared.state.lock().done = true;
                self.shared.wanted.notify_all();
            }
            let _ = writer.join();
        }
        self.shared.state.lock().done = true;
        self.shared.wanted.notify_all();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
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
        state.retry = true;
        self.shared.work.notify_all();
        self.shared.wanted.notify_all();
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

/// Makes what the writer wants, until told to end.
fn make_segments(shared: &Shared, maker: &Maker) {
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
        drop(state);
        let made = maker.make(number);
        state = shared.state.lock();
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
