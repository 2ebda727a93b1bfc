//! How large the record of one request, or of the end of one lease, can get.
//!
//! A record that no segment of the journal holds could not be refused any more: what it tells is
//! done. So what a request changes is bounded before it is begun (`store.revision_bytes_max`), its
//! remembered reply is by the limits of replies, and `Config::check` sees to it that both fit.

use super::{QueueConfig, StoreConfig};

/// Most bytes of a put in a record beyond its key and value, the end of a private lease and the
/// grant of another included.
pub(crate) const PUT_BYTES: usize = 64;

/// Most bytes of a delete in a record beyond its key, the end of its private lease included.
pub(crate) const DELETE_BYTES: usize = 24;

/// Most bytes of a key and its value in a remembered reply, themselves excepted.
const KEY_VALUE_BYTES: usize = 48;

/// Most bytes of what one operation of a transaction answers, its keys and values excepted.
const RESULT_BYTES: usize = 32;

/// Most bytes of everything there is once: the head, the end of one lease, the idempotency key,
/// what a transaction's reply begins with.
const ONCE_BYTES: usize = 128;

/// No record is larger.
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

/// Bytes of changes after which a record about jobs ends, one change more.
pub(crate) fn job_record_bytes(config: &QueueConfig) -> usize {
    const WELL: usize = 256 * 1024;
    WELL.min(config.payload_bytes_max.max(config.output_bytes_max))
}

/// No record about jobs is larger.
pub(crate) fn job_record_bytes_max(config: &QueueConfig) -> usize {
    let errors =
        config.error_bytes_max.saturating_add(16).saturating_mul(config.errors_kept_max.max(1));
    [
        // They are counted with half their bytes at least.
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

/// The largest change of one key takes this much of `store.revision_bytes_max`.
pub(super) fn change_bytes_max(config: &StoreConfig) -> usize {
    key_value_bytes_max(config).saturating_add(PUT_BYTES)
}

/// The largest key with its value.
pub(crate) fn key_value_bytes_max(config: &StoreConfig) -> usize {
    config.key_bytes_max.saturating_add(config.value_bytes_max)
}

/// Keys and values of one reply: a page holds its first key however large it is.
fn page_bytes_max(config: &StoreConfig) -> usize {
    config.range_bytes_max.max(key_value_bytes_max(config))
}
