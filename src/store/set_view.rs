//! [`SetView`]: a set whose bytes are borrowed.

use std::time::Duration;

use crate::model::{Blob, KeyAction, KeyView, LeaseId, SetRequest};

/// A set as it is executed, whether its bytes are in blobs or still where they were read.
#[derive(Debug, Clone, Copy)]
pub(super) struct SetView<'a> {
    pub(super) key: &'a [u8],
    pub(super) value: &'a [u8],
    /// The blob of the value, if it has one.
    blob: Option<&'a Blob>,
    pub(super) lease: LeaseId,
    pub(super) ttl: Option<Duration>,
    pub(super) only_if_changed: bool,
    pub(super) return_previous: bool,
}

impl<'a> SetView<'a> {
    #[inline]
    pub(super) fn of(request: &'a SetRequest) -> Self {
        Self {
            key: &request.key,
            value: &request.value,
            blob: Some(&request.value),
            lease: request.lease,
            ttl: request.ttl,
            only_if_changed: request.only_if_changed,
            return_previous: request.return_previous,
        }
    }

    /// Returns the set that a request about one key asks for, if it does.
    #[inline]
    pub(super) fn of_key(view: &KeyView<'a>) -> Option<Self> {
        let KeyAction::Set { only_if_changed, return_previous } = view.action else { return None };
        let KeyView { key, value, .. } = *view;
        Some(Self { key, value, blob: None, lease: 0, ttl: None, only_if_changed, return_previous })
    }

    /// Returns the value in a blob of exactly its size, so that it keeps nothing else in memory.
    pub(super) fn to_blob(self) -> Blob {
        self.blob.map_or_else(|| Blob::from(self.value), Blob::clone)
    }
}
