//! [`RecordBatch`]: encoded records for one hand-over.

use super::format::{FRAME_BYTES, GroupPosition, frame_head, frame_len};

/// Framed records: each has its length, its checksum and its payload. The records of one group are read
/// back all or not at all.
#[derive(Debug, Default)]
pub(crate) struct RecordBatch {
    pub(super) framed: Vec<u8>,
    pub(super) records: u64,
}

impl RecordBatch {
    /// Makes an empty batch.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Adds one record, a group of its own, unless `encode` returns that there is none; otherwise
    /// `encode` appends the payload and must not change what is already there.
    pub(crate) fn push_if(&mut self, encode: impl FnOnce(&mut Vec<u8>) -> bool) {
        let start = self.framed.len();
        self.framed.extend_from_slice(&[0; FRAME_BYTES]);
        if !encode(&mut self.framed) {
            self.framed.truncate(start);
            return;
        }
        if let Some((head, payload)) = self.framed.split_at_mut_checked(start + FRAME_BYTES) {
            let filled = frame_head(payload, GroupPosition::ALONE);
            if let Some(slot) = head.get_mut(start..) {
                slot.copy_from_slice(&filled);
            }
        }
        self.records += 1;
    }

    /// Adds records, all of one group, until `encode` returns that there is none.
    pub(crate) fn push_group(&mut self, mut encode: impl FnMut(&mut Vec<u8>) -> bool) {
        let (start, before) = (self.framed.len(), self.records);
        let mut more = true;
        while more {
            self.push_if(|out| {
                more = encode(out);
                more
            });
        }
        let records = self.records - before;
        if records > 1
            && let Some(framed) = self.framed.get_mut(start..)
        {
            join(framed, records);
        }
    }

    /// Returns whether there is no record.
    pub(crate) fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// Returns the number of records.
    pub(crate) fn records(&self) -> u64 {
        self.records
    }

    /// Returns the bytes of the records, framing included.
    pub(crate) fn bytes(&self) -> usize {
        self.framed.len()
    }

    /// Returns the payloads of the records.
    #[cfg(any(test, feature = "internals"))]
    pub(crate) fn payloads(&self) -> Vec<Vec<u8>> {
        let records = super::format::Records::of(&self.framed);
        records.filter_map(|record| Some(record.ok()?.payload.to_vec())).collect()
    }

    /// Empties the batch and keeps the buffer.
    pub(super) fn clear(&mut self) {
        self.framed.clear();
        self.records = 0;
    }
}

/// Makes one group of `records` framed records.
fn join(mut framed: &mut [u8], records: u64) {
    for nth in 1..=records {
        let len = usize::try_from(frame_len(framed)).unwrap_or(usize::MAX);
        let Some((record, rest)) = framed.split_at_mut_checked(len) else { return };
        if let Some((head, payload)) = record.split_at_mut_checked(FRAME_BYTES) {
            let place = GroupPosition { first: nth == 1, last: nth == records };
            head.copy_from_slice(&frame_head(payload, place));
        }
        framed = rest;
    }
}
