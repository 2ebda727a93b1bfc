//! Values that are too large to be copied into the output.

use crate::actor::message::Done;
use crate::actor::{LARGE_BYTES_MIN, done_bytes, each_blob};
use crate::model::{Blob, KeyValue};

/// Returns the large values of an answer.
pub(super) fn large_values(done: &Done) -> Vec<Blob> {
    let mut values = Vec::new();
    if done_bytes(done) < LARGE_BYTES_MIN {
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
    if blob.len() >= LARGE_BYTES_MIN {
        values.push(blob.clone());
    }
}
