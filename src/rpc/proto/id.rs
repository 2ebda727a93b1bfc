//! Ids that can exceed 2^53, beyond which readers that represent numbers as doubles lose digits: in
//! JSON, they are text. Numbers that count, such as revisions and ids of jobs, stay numbers.

use serde::{Serialize, Serializer};

/// Serializes the id of a store, which may be any number of 64 bits.
pub(super) fn hexadecimal<S: Serializer>(id: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    if serializer.is_human_readable() {
        serializer.collect_str(&format_args!("{id:016x}"))
    } else {
        serializer.serialize_u64(*id)
    }
}

/// Serializes the id of a lease, which clients may choose, or of a watcher, which has two parts.
pub(super) fn decimal<S: Serializer>(id: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    if serializer.is_human_readable() {
        serializer.collect_str(id)
    } else {
        serializer.serialize_u64(*id)
    }
}

/// Serializes each id of a list as [`decimal`] does.
pub(super) fn decimals<S: Serializer>(ids: &[u64], serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    #[serde(transparent)]
    struct WireId<'a>(#[serde(serialize_with = "decimal")] &'a u64);
    serializer.collect_seq(ids.iter().map(WireId))
}
