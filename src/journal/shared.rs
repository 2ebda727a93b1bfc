//! What the caller, the writing thread and the thread that makes segments share.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

use super::segment::Segment;
use super::{JournalError, JournalStats, Seq};

/// What the threads share.
pub(super) struct Shared {
    pub(super) state: Mutex<State>,
    /// Wakes the writer.
    pub(super) work: Condvar,
    /// Wakes the maker.
    pub(super) wanted: Condvar,
    /// Wakes whoever waits for a sync.
    pub(super) synced: Condvar,
    /// Wakes whoever would otherwise rest.
    pub(super) ended: Condvar,
    /// Bytes handed over and not yet written.
    pub(super) pending: AtomicUsize,
    /// Bytes of the disk that are kept for the next snapshot.
    pub(super) reserved: AtomicU64,
}

impl Shared {
    /// Waits until `ended` holds, or until `by`; returns whether it does.
    pub(super) fn wait_for_end(&self, by: Instant, ended: impl Fn(&State) -> bool) -> bool {
        let mut state = self.state.lock();
        while !ended(&state) {
            if self.ended.wait_until(&mut state, by).timed_out() {
                return ended(&state);
            }
        }
        true
    }
}

/// How a journal ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// On purpose: the log says so.
    Closed,
    /// The handle is gone: what was handed over is still written.
    Dropped,
}

/// What is guarded.
pub(super) struct State {
    /// Framed records that the writer has not taken yet; it swaps its own buffer for this one.
    pub(super) handed: Vec<u8>,
    pub(super) sync: bool,
    pub(super) ending: Option<Ending>,
    pub(super) failed: Option<JournalError>,
    /// Segments that wait for use, in order.
    pub(super) spares: VecDeque<Segment>,
    /// The segments in use, oldest first; the last is the current one.
    pub(super) used: VecDeque<Used>,
    /// The segment the maker shall make.
    pub(super) wanted: Option<u64>,
    /// Why the last attempt failed.
    pub(super) no_room: Option<JournalError>,
    /// A snapshot, which will make room, waits for what is handed over to be synced: that is written
    /// whatever room it takes.
    pub(super) owed: bool,
    /// Retry now.
    pub(super) retry: bool,
    /// What was taken has no segment to go to.
    pub(super) blocked: bool,
    /// Nor could one be made for the snapshot that waits for it: that is given up.
    pub(super) stuck: bool,
    /// Bytes that the current segment has left.
    pub(super) left: u64,
    /// Bytes that new files may take, as last read from the disk; `None` where the disk does not report
    /// them.
    pub(super) free: Option<u64>,
    /// The maker shall read `free` again.
    pub(super) look: bool,
    /// Threads that have not ended: the writer, and all.
    pub(super) writing: bool,
    pub(super) running: usize,
    /// The maker shall end.
    pub(super) done: bool,
    pub(super) stats: JournalStats,
}

/// A segment in use.
#[derive(Debug, Clone, Copy)]
pub(super) struct Used {
    pub(super) number: u64,
    /// Its first record or, if it has none yet, the next.
    pub(super) first: Seq,
    pub(super) bytes: u64,
}
