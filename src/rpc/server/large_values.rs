//! Values that are too large to be copied into the output.

use crate::actor::message::Done;
use crate::actor::{done_bytes, each_blob};
use crate::model::{Blob, KeyValue};

/// Minimum size of a value that is shared with the output rather than copied.
const SHARED_BYTES_MIN: usize = 16 * 1024;

/// Returns the large values of an answer.
pub(super) fn large_values(done: &Done) -> Vec<Blob> {
    let mut values = Vec::new();
    if done_bytes(done) < SHARED_BYTES_MIN {
        return values;
    }
    each_blob(done, &mut |blob| take_large(blob, &mut values));
    values
}

/// Returns the large values of keys.
pub(super) fn large_values_of<'a>(kvs: impl Iterator<Item = &'a KeyValue>) -> Vec<Blob> {
    let mut values = Vec::new();
    kvs.for_each(|kv| take_large(&kv.value, &mut values));
    values
}

fn take_large(blob: &Blob, values: &mut Vec<Blob>) {
    if blob.len() >= SHARED_BYTES_MIN {
        values.push(blob.clone());
    }
}
