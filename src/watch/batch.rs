//! [`EventBatch`]: the items that a stream is shown at once.

use std::sync::Arc;

use super::watcher::View;
use crate::model::{Event, KeyValue, Revision};
use crate::store::StoreError;

/// The items that a stream is shown at once. Events shared by several deliveries are in it once.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct EventBatch {
    pub(crate) events: Vec<Event>,
    pub(crate) deliveries: Vec<WatchDelivery>,
}

/// The items for one watch of the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WatchDelivery {
    pub(crate) watch_id: u64,
    pub(crate) view: View,
    pub(crate) update: WatchUpdate,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum WatchUpdate {
    /// `events[first .. first + count]`: whole revisions, complete up to `revision`.
    Events {
        first: u32,
        count: u32,
        revision: Revision,
        skipped: u64,
    },
    Snapshot {
        revision: Revision,
        kvs: Vec<Arc<KeyValue>>,
    },
    SnapshotEnd {
        revision: Revision,
    },
    Progress {
        revision: Revision,
    },
    Ended(StoreError),
}

impl EventBatch {
    /// Makes a batch that reports the end of watches and its reason.
    pub(crate) fn of_ends(watch_ids: &[u64], error: &StoreError) -> Self {
        let view = View { previous: false, keys_only: false };
        let end = |watch_id: &u64| WatchDelivery {
            watch_id: *watch_id,
            view,
            update: WatchUpdate::Ended(error.clone()),
        };
        Self { events: Vec::new(), deliveries: watch_ids.iter().map(end).collect() }
    }

    /// Returns the bytes that the batch keeps in memory.
    pub(crate) fn bytes(&self) -> usize {
        let events: usize = self.events.iter().map(event_bytes).sum();
        let snapshots = self.deliveries.iter().filter_map(|delivery| match &delivery.update {
            WatchUpdate::Snapshot { kvs, .. } => Some(page_bytes(kvs)),
            _ => None,
        });
        events + snapshots.sum::<usize>() + size_of_val(&*self.deliveries)
    }

    /// Returns the events of one delivery.
    pub(crate) fn events_of(&self, first: u32, count: u32) -> &[Event] {
        let first = first as usize;
        self.events.get(first..first + count as usize).unwrap_or_default()
    }

    /// Adds a delivery of the events from `first` on. If the events just before them are the same, as
    /// when many watches have one key, the delivery shares them.
    pub(super) fn share(&mut self, first: usize) -> (u32, u32) {
        let count = self.events.len() - first;
        if let Some(WatchUpdate::Events { first: before, count: as_many, .. }) =
            self.deliveries.last().map(|delivery| &delivery.update)
            && *as_many as usize == count
            && let Some(shared) = self.events.get(*before as usize..*before as usize + count)
            && self.events.get(first..).is_some_and(|new| {
                shared.iter().zip(new).all(|(shared, new)| {
                    Arc::ptr_eq(&shared.kv, &new.kv)
                        && shared.previous.is_some() == new.previous.is_some()
                })
            })
        {
            let before = *before;
            self.events.truncate(first);
            return (before, count as u32);
        }
        (first as u32, count as u32)
    }
}

/// Returns the bytes that an event of a batch keeps in memory.
pub(super) fn event_bytes(event: &Event) -> usize {
    kept_bytes(&event.kv) + event.previous.as_deref().map_or(0, kept_bytes)
}

/// Returns the bytes that a page of a snapshot keeps in memory.
pub(super) fn page_bytes(kvs: &[Arc<KeyValue>]) -> usize {
    kvs.iter().map(|kv| kept_bytes(kv)).sum()
}

fn kept_bytes(kv: &KeyValue) -> usize {
    kv.bytes() + size_of::<KeyValue>()
}
