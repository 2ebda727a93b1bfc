//! The state shared by the caller, the writing thread and the thread that creates segments.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

use super::segment::Segment;
use super::{JournalError, JournalStats, RecordSeq};

/// The state shared by the threads.
pub(super) struct JournalShared {
    pub(super) state: Mutex<JournalState>,
    /// Wakes the writer.
    pub(super) work: Condvar,
    /// Wakes the maker.
    pub(super) wanted: Condvar,
    /// Wakes threads that wait for a sync.
    pub(super) synced: Condvar,
    /// Wakes threads that pause.
    pub(super) ended: Condvar,
    /// Bytes handed over and not yet written.
    pub(super) pending: AtomicUsize,
    /// Bytes of the disk that are reserved for the next snapshot.
    pub(super) reserved: AtomicU64,
}

impl JournalShared {
    /// Waits until `ended` holds, but at most until `by`; returns whether it holds.
    pub(super) fn wait_for_end(&self, by: Instant, ended: impl Fn(&JournalState) -> bool) -> bool {
        let mut state = self.state.lock();
        while !ended(&state) {
            if self.ended.wait_until(&mut state, by).timed_out() {
                return ended(&state);
            }
        }
        true
    }
}

/// The way in which a journal ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// Closed, which the log records.
    Closed,
    /// The handle was dropped: what was handed over is still written.
    Dropped,
}

/// The state behind the mutex.
pub(super) struct JournalState {
    /// Framed records that the writer has not taken yet; the writer swaps its own buffer for this one.
    pub(super) handed: Vec<u8>,
    pub(super) sync: bool,
    pub(super) ending: Option<Ending>,
    pub(super) failed: Option<JournalError>,
    /// Segments ready for use, in order.
    pub(super) spares: VecDeque<Segment>,
    /// The segments in use, oldest first; the last is the current one.
    pub(super) used: VecDeque<UsedSegment>,
    /// The segment that the maker must create.
    pub(super) wanted: Option<u64>,
    /// The reason why the last attempt failed.
    pub(super) no_space: Option<JournalError>,
    /// A snapshot, which will free space, waits for the sync of what was handed over: that is written
    /// regardless of the reserved space.
    pub(super) owed: bool,
    /// Retry now.
    pub(super) retry: bool,
    /// There is no segment for what was taken.
    pub(super) blocked: bool,
    /// No segment could be created even for the waiting snapshot, which is abandoned.
    pub(super) stuck: bool,
    /// The bytes left in the current segment.
    pub(super) left: u64,
    /// Bytes that new files may take, as last read from the disk; `None` if the disk does not report
    /// them.
    pub(super) free: Option<u64>,
    /// The maker must read `free` again.
    pub(super) look: bool,
    /// Whether the writer has not ended, and the number of threads that have not.
    pub(super) writing: bool,
    pub(super) running: usize,
    /// The maker must end.
    pub(super) done: bool,
    pub(super) stats: JournalStats,
}

/// A segment in use.
#[derive(Debug, Clone, Copy)]
pub(super) struct UsedSegment {
    pub(super) number: u64,
    /// The first record or, if the segment has none yet, the next one.
    pub(super) first: RecordSeq,
    pub(super) bytes: u64,
}
