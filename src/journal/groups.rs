//! [`Groups`]: replays the records of a group together, once the last one is read.

use std::path::PathBuf;

use super::format::CommitRecord;
use super::segment::Segment;
use super::{JournalError, RecordSeq, Replay};

/// The group that is being read. It takes no more memory than its hand-over did.
#[derive(Default)]
pub(super) struct Groups {
    open: Vec<PendingRecord>,
    left_out: u64,
}

/// A record whose group has not ended yet, and its position.
struct PendingRecord {
    seq: RecordSeq,
    payload: Vec<u8>,
    file: PathBuf,
    offset: u64,
}

impl Groups {
    /// Takes the next record, at `offset` of `segment`, and replays its group if it is the last one.
    /// Returns the bytes of the replayed payloads.
    pub(super) fn take(
        &mut self,
        segment: &Segment,
        offset: u64,
        seq: RecordSeq,
        record: CommitRecord,
        replay: Replay,
    ) -> Result<u64, JournalError> {
        let CommitRecord { payload, place, .. } = record;
        if place.first {
            // The process ended before it had written the rest of the previous group.
            self.leave_out();
        } else if self.open.is_empty() {
            return Err(segment.damaged(offset, "the record continues a group that has not begun"));
        }
        if place.first && place.last {
            replay(seq, payload).map_err(|what| segment.damaged(offset, what))?;
            return Ok(payload.len() as u64);
        }
        let (file, payload) = (segment.path.clone(), payload.to_vec());
        self.open.push(PendingRecord { seq, payload, file, offset });
        let mut bytes = 0;
        if place.last {
            for PendingRecord { seq, payload, file, offset } in self.open.drain(..) {
                bytes += payload.len() as u64;
                replay(seq, &payload).map_err(|what| JournalError::damaged(&file, offset, what))?;
            }
        }
        Ok(bytes)
    }

    fn leave_out(&mut self) {
        self.left_out += self.open.len() as u64;
        self.open.clear();
    }

    /// Returns the number of records of an unfinished group at the end.
    pub(super) fn unfinished_at_end(&self) -> u64 {
        self.open.len() as u64
    }

    /// Returns the number of records of all unfinished groups.
    #[cfg(any(test, feature = "cli"))]
    pub(super) fn unfinished(&self) -> u64 {
        self.left_out + self.unfinished_at_end()
    }
}
