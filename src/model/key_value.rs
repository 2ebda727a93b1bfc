//! [`KeyValue`] and [`Event`]: a key as one revision left it, and the change that did it.

use std::sync::Arc;

use super::{Blob, LeaseId, Revision};

/// A key as one revision left it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KeyValue {
    /// The key.
    pub key: Blob,
    /// Its value; empty in a delete event and where only keys were asked for.
    pub value: Blob,
    /// Revision that created the key (the last time, if it was deleted in between).
    pub create_revision: Revision,
    /// Revision that last changed the key.
    pub mod_revision: Revision,
    /// How many revisions have changed the key since its creation: 1 at creation; 0 in a delete.
    pub version: u64,
    /// Lease the key ends with; 0 for none.
    pub lease: LeaseId,
}

/// One change of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The key after the change. For a delete: the key and the revision, all else empty or 0.
    pub kv: Arc<KeyValue>,
    /// The key before the change; `None` if it did not exist, or was not asked for.
    pub previous: Option<Arc<KeyValue>>,
}

/// What an [`Event`] did to its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// Created or overwritten.
    Put,
    /// Deleted, by request or by the end of its lease.
    Delete,
}

impl Event {
    /// What it did.
    pub fn kind(&self) -> EventKind {
        if self.kv.version == 0 { EventKind::Delete } else { EventKind::Put }
    }

    /// Revision that made it.
    pub fn revision(&self) -> Revision {
        self.kv.mod_revision
    }

    /// Whether the key did not exist before.
    pub(crate) fn is_creation(&self) -> bool {
        self.kv.version == 1
    }
}

impl KeyValue {
    /// What a delete at `revision` leaves of `key`.
    pub(crate) fn tombstone(key: Blob, revision: Revision) -> Self {
        Self {
            key,
            value: Blob::default(),
            create_revision: 0,
            mod_revision: revision,
            version: 0,
            lease: 0,
        }
    }

    /// The same without its value.
    pub(crate) fn without_value(&self) -> Self {
        Self { value: Blob::default(), ..self.clone() }
    }

    /// Bytes of key and value.
    pub(crate) fn bytes(&self) -> usize {
        self.key.len() + self.value.len()
    }
}
