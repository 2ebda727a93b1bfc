//! How durable an answer is to be, or is: one byte of the headers of requests and replies.

use crate::config::Durability;
use crate::rpc::codec::CodecError;

/// The byte: in a request what is asked for, in a reply what it got.
pub(crate) fn durability_byte(durability: Option<Durability>) -> u8 {
    match durability {
        None => 0,
        Some(Durability::Interval) => 1,
        Some(Durability::Fsync) => 2,
    }
}

/// What the byte says.
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
