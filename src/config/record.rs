//! The largest record of one request, or of the end of one lease.
//!
//! A record that does not fit in a segment of the journal could not be refused any more: its change has
//! been applied. So the change is bounded before it begins (`store.revision_bytes_max`), the remembered
//! reply is bounded by the limits of replies, and `Config::check` ensures that both fit.

use super::{QueueConfig, StoreConfig};

/// Maximum size of a put in a record beyond its key and value, including the end of a private lease and the
/// grant of another.
pub(crate) const PUT_BYTES: usize = 64;

/// Maximum size of a delete in a record beyond its key, including the end of its private lease.
pub(crate) const DELETE_BYTES: usize = 24;

/// Maximum overhead of a key and its value in a remembered reply, in bytes.
const KEY_VALUE_BYTES: usize = 48;

/// Maximum overhead of the result of one operation of a transaction, in bytes.
const RESULT_BYTES: usize = 32;

/// Maximum size of the parts that a record has once: the head, the end of one lease, the idempotency key,
/// the beginning of a transaction's reply.
const ONCE_BYTES: usize = 128;

/// Returns the maximum size of a record of the store.
pub(crate) fn record_bytes_max(config: &StoreConfig) -> usize {
    let reply_kvs = config.range_keys_max.saturating_add(config.txn_ops_max);
    [
        ONCE_BYTES,
        config.revision_bytes_max,
        page_bytes_max(config),
        reply_kvs.saturating_mul(KEY_VALUE_BYTES),
        config.txn_ops_max.saturating_mul(RESULT_BYTES),
    ]
    .into_iter()
    .fold(0, usize::saturating_add)
}

/// Returns the size of changes at which a record of the queue ends, plus one change.
pub(crate) fn job_record_bytes(config: &QueueConfig) -> usize {
    const WELL: usize = 256 * 1024;
    WELL.min(config.payload_bytes_max.max(config.output_bytes_max))
}

/// Returns the maximum size of a record of the queue.
pub(crate) fn job_record_bytes_max(config: &QueueConfig) -> usize {
    let errors =
        config.error_bytes_max.saturating_add(16).saturating_mul(config.errors_kept_max.max(1));
    [
        // Changes are counted with at least half of their bytes.
        job_record_bytes(config).saturating_mul(2),
        config.payload_bytes_max.max(config.output_bytes_max),
        config.name_bytes_max.saturating_mul(6),
        config.backoff_pauses_max.saturating_mul(16),
        errors,
        4 * ONCE_BYTES,
    ]
    .into_iter()
    .fold(0, usize::saturating_add)
}

/// Returns the maximum size of a change of one key, as `store.revision_bytes_max` counts it.
pub(super) fn change_bytes_max(config: &StoreConfig) -> usize {
    key_value_bytes_max(config).saturating_add(PUT_BYTES)
}

/// Returns the maximum size of a key and its value.
pub(crate) fn key_value_bytes_max(config: &StoreConfig) -> usize {
    config.key_bytes_max.saturating_add(config.value_bytes_max)
}

/// Returns the maximum size of the keys and values of one reply: a page has its first key however large it
/// is.
fn page_bytes_max(config: &StoreConfig) -> usize {
    config.range_bytes_max.max(key_value_bytes_max(config))
}
