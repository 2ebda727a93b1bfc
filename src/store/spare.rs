//! [`Spare`]: versions that nobody holds any more, for the next ones to be written into.
//!
//! With a full history every set gives one old version back and takes room for a new one. The
//! room just given back is in the cache; what an allocator hands out has been cold for long.

use std::sync::Arc;

use crate::model::KeyValue;

/// Versions kept.
const KEPT_MAX: usize = 64;

/// A version with a larger value is not kept, as its value stays until it is used.
const VALUE_BYTES_MAX: usize = 1024;

#[derive(Debug, Default)]
pub(super) struct Spare(Vec<Arc<KeyValue>>);

impl Spare {
    /// Takes back a version, if there is one and it is the last reference to it.
    pub(super) fn keep(&mut self, version: Option<Arc<KeyValue>>) {
        if let Some(mut version) = version
            && self.0.len() < KEPT_MAX
            && version.value.len() <= VALUE_BYTES_MAX
            && Arc::get_mut(&mut version).is_some()
        {
            self.0.push(version);
        }
    }

    /// A version that is `kv`.
    pub(super) fn fill(&mut self, kv: KeyValue) -> Arc<KeyValue> {
        if let Some(mut version) = self.0.pop()
            && let Some(place) = Arc::get_mut(&mut version)
        {
            *place = kv;
            return version;
        }
        Arc::new(kv)
    }
}
