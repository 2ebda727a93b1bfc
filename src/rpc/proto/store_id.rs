//! The id of a store: drawn from all numbers of 64 bits, so that in JSON it is text, as readers whose
//! numbers are doubles would lose its last digits.

use serde::{Deserialize, Deserializer, Serializer};

pub(super) fn serialize<S: Serializer>(id: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    if serializer.is_human_readable() {
        serializer.collect_str(&format_args!("{id:016x}"))
    } else {
        serializer.serialize_u64(*id)
    }
}

/// Replies are read in the binary encoding alone.
pub(super) fn deserialize<'a, D: Deserializer<'a>>(deserializer: D) -> Result<u64, D::Error> {
    u64::deserialize(deserializer)
}
