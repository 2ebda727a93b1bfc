//! Encodes and decodes the values that records of the journal consist of, in every room.
//!
//! The layout is bincode's standard one (little-endian, varint); `docs/journal.md` has it. What a
//! record consists of is its room's.

use serde::{Deserialize, Serialize};

/// A decoder refuses values that take more bytes than the largest record.
const RECORD_BYTES_LIMIT: usize = crate::config::BODY_BYTES_LIMIT;

const CODEC: bincode::config::Configuration<
    bincode::config::LittleEndian,
    bincode::config::Varint,
    bincode::config::Limit<RECORD_BYTES_LIMIT>,
> = bincode::config::standard().with_limit::<RECORD_BYTES_LIMIT>();

/// Appends a value.
pub(crate) fn encode(value: &impl Serialize, out: &mut Vec<u8>) {
    // Plain data into memory: there is nothing that can be refused.
    let _ = bincode::serde::encode_into_std_write(value, out, CODEC);
}

/// Decodes the value that `bytes` begin with; returns it, and the bytes behind it.
pub(crate) fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<(T, &'a [u8]), String> {
    let (value, used) = bincode::serde::borrow_decode_from_slice(bytes, CODEC)
        .map_err(|error: bincode::error::DecodeError| error.to_string())?;
    Ok((value, bytes.get(used..).unwrap_or_default()))
}
