//! [`VersionPool`]: freed versions that the next sets reuse.
//!
//! With a full history, each set frees one old version and needs memory for a new one. The memory just
//! freed is in the cache; what an allocator returns has long been cold.

use std::sync::Arc;

use crate::model::KeyValue;

/// The number of versions kept.
const KEPT_MAX: usize = 64;

/// A version with a larger value is not kept, because its value stays allocated until reuse.
const VALUE_BYTES_MAX: usize = 1024;

#[derive(Debug, Default)]
pub(super) struct VersionPool(Vec<Arc<KeyValue>>);

impl VersionPool {
    /// Keeps a version if this is the last reference to it.
    pub(super) fn keep(&mut self, version: Option<Arc<KeyValue>>) {
        if let Some(mut version) = version
            && self.0.len() < KEPT_MAX
            && version.value.len() <= VALUE_BYTES_MAX
            && Arc::get_mut(&mut version).is_some()
        {
            self.0.push(version);
        }
    }

    /// Returns `kv` in a reused or new allocation.
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
