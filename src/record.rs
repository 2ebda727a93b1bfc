//! Encodes and decodes the values in records of the journal, for every module that has records.
//!
//! The layout is bincode's standard one (little-endian, varint); `docs/journal.md` specifies it. Each
//! module defines its own records.

use serde::{Deserialize, Serialize};

/// The decoder refuses values that take more bytes than the largest record.
const RECORD_BYTES_LIMIT: usize = crate::config::BODY_BYTES_LIMIT;

const CODEC: bincode::config::Configuration<
    bincode::config::LittleEndian,
    bincode::config::Varint,
    bincode::config::Limit<RECORD_BYTES_LIMIT>,
> = bincode::config::standard().with_limit::<RECORD_BYTES_LIMIT>();

/// Appends a value.
pub(crate) fn encode(value: &impl Serialize, out: &mut Vec<u8>) {
    // Encoding plain data to memory cannot fail.
    let _ = bincode::serde::encode_into_std_write(value, out, CODEC);
}

/// Decodes the value at the start of `bytes`; returns it and the bytes that follow.
pub(crate) fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<(T, &'a [u8]), String> {
    let (value, used) = bincode::serde::borrow_decode_from_slice(bytes, CODEC)
        .map_err(|error: bincode::error::DecodeError| error.to_string())?;
    Ok((value, bytes.get(used..).unwrap_or_default()))
}
