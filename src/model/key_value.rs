//! [`KeyValue`] and [`Event`]: a key at one revision, and a change of a key.

use std::sync::Arc;

use super::{Blob, LeaseId, Revision};

/// A key at one revision.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KeyValue {
    /// The key.
    pub key: Blob,
    /// The value; empty in a delete event and if only keys were requested.
    pub value: Blob,
    /// Revision that created the key (the latest creation, if the key was deleted in between).
    pub create_revision: Revision,
    /// Revision that last changed the key.
    pub mod_revision: Revision,
    /// The number of revisions that changed the key since its creation: 1 at creation, 0 in a delete.
    pub version: u64,
    /// The lease that the key is bound to; 0 for none.
    pub lease: LeaseId,
}

/// One change of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The key after the change. For a delete: the key and the revision, everything else empty or 0.
    pub kv: Arc<KeyValue>,
    /// The key before the change; `None` if it did not exist, or was not requested.
    pub previous: Option<Arc<KeyValue>>,
}

/// The kind of an [`Event`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// The key was created or overwritten.
    Put,
    /// The key was deleted, by a request or by the end of its lease.
    Delete,
}

impl Event {
    /// Returns the kind of the event.
    pub fn kind(&self) -> EventKind {
        if self.kv.version == 0 { EventKind::Delete } else { EventKind::Put }
    }

    /// Returns the revision of the event.
    pub fn revision(&self) -> Revision {
        self.kv.mod_revision
    }

    /// Returns whether the event created the key.
    pub(crate) fn is_creation(&self) -> bool {
        self.kv.version == 1
    }
}

impl KeyValue {
    /// Returns the key as a delete at `revision` leaves it.
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

    /// Returns a copy without the value.
    pub(crate) fn without_value(&self) -> Self {
        Self { value: Blob::default(), ..self.clone() }
    }

    /// Returns the bytes of key and value.
    pub(crate) fn bytes(&self) -> usize {
        self.key.len() + self.value.len()
    }
}
