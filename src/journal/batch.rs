//! Records encoded for one hand-over.

use super::format::{FRAME_BYTES, frame_head};

/// Framed records: of each its length, its checksum and its payload.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(super) framed: Vec<u8>,
    pub(super) records: u64,
}

impl Batch {
    /// Without records.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Adds one record, unless `encode` says that there is none; otherwise it appends the payload
    /// and must leave alone what is there.
    pub(crate) fn push_if(&mut self, encode: impl FnOnce(&mut Vec<u8>) -> bool) {
        let start = self.framed.len();
        self.framed.extend_from_slice(&[0; FRAME_BYTES]);
        if !encode(&mut self.framed) {
            self.framed.truncate(start);
            return;
        }
        if let Some((head, payload)) = self.framed.split_at_mut_checked(start + FRAME_BYTES) {
            let filled = frame_head(payload);
            if let Some(slot) = head.get_mut(start..) {
                slot.copy_from_slice(&filled);
            }
        }
        self.records += 1;
    }

    /// Whether there is no record.
    pub(crate) fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// How many records.
    pub(crate) fn records(&self) -> u64 {
        self.records
    }

    /// Their bytes, framing included.
    pub(crate) fn bytes(&self) -> usize {
        self.framed.len()
    }

    /// What the records say.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn payloads(&self) -> Vec<Vec<u8>> {
        let records = super::format::Records::of(&self.framed);
        records.filter_map(|record| Some(record.ok()?.1.to_vec())).collect()
    }

    /// Empties it, keeping the buffer.
    pub(super) fn clear(&mut self) {
        self.framed.clear();
        self.records = 0;
    }
}
