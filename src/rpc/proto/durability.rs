//! Requested and reached durability: one byte in the headers of requests and replies.

use crate::config::Durability;
use crate::rpc::codec::CodecError;

/// Returns the byte: in a request the requested durability, in a reply the one reached.
pub(crate) fn durability_byte(durability: Option<Durability>) -> u8 {
    match durability {
        None => 0,
        Some(Durability::Interval) => 1,
        Some(Durability::Fsync) => 2,
    }
}

/// Decodes the byte.
///
/// # Errors
/// [`CodecError::UnknownDurability`]; it concerns this request or reply alone.
pub(crate) fn read_durability(byte: u8) -> Result<Option<Durability>, CodecError> {
    match byte {
        0 => Ok(None),
        1 => Ok(Some(Durability::Interval)),
        2 => Ok(Some(Durability::Fsync)),
        _ => Err(CodecError::UnknownDurability(byte)),
    }
}
