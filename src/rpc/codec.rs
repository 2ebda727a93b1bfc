//! Bodies: encodes and decodes them with bincode, including untrusted bytes.
//!
//! bincode's `legacy` layout: little-endian, integers of fixed width, `u64` lengths, `u32` variant
//! numbers. Decoding borrows from the frame, has a limit, and refuses trailing bytes, so a body costs
//! no more memory than a small multiple of the bytes received.

use bincode::config::{Configuration, Fixint, Limit, LittleEndian};
use bincode::enc::write::Writer;
use bincode::error::{DecodeError, EncodeError};
use serde::{Deserialize, Serialize};

pub use super::codec_error::CodecError;
use super::frame::{HEADER_BYTES, Header, Kind};
pub use crate::config::BODY_BYTES_LIMIT;

const CONFIG: Configuration<LittleEndian, Fixint, Limit<BODY_BYTES_LIMIT>> =
    bincode::config::legacy().with_limit::<BODY_BYTES_LIMIT>();

/// Decodes a whole body.
///
/// # Errors
/// [`CodecError::Malformed`] or [`CodecError::Trailing`]; framing is intact, so the connection
/// can continue.
pub fn decode<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, CodecError> {
    let (value, used) = bincode::serde::borrow_decode_from_slice(body, CONFIG)
        .map_err(|error: DecodeError| CodecError::Malformed(error.to_string()))?;
    match body.len() - used {
        0 => Ok(value),
        trailing => Err(CodecError::Trailing(trailing)),
    }
}

/// Appends a whole frame with `body` to `out`; returns the number of bytes of the body.
///
/// # Errors
/// Those of [`encode_headed`].
pub fn encode_frame<T: Serialize>(
    out: &mut Vec<u8>,
    kind: Kind,
    id: u64,
    deadline_ms: u32,
    body: &T,
    body_bytes_max: usize,
) -> Result<usize, CodecError> {
    let header = Header { deadline_ms, ..Header::bare(kind, id) };
    encode_headed(out, header, body, body_bytes_max)
}

/// Appends a whole frame with `body` to `out`, with its length filled in; returns that length.
///
/// # Errors
/// [`CodecError::TooLarge`] if the body exceeds `body_bytes_max`; `out` is unchanged.
pub fn encode_headed<T: Serialize>(
    out: &mut Vec<u8>,
    header: Header,
    body: &T,
    body_bytes_max: usize,
) -> Result<usize, CodecError> {
    let start = out.len();
    out.extend_from_slice(&[0; HEADER_BYTES]);
    if let Err(error) = bincode::serde::encode_into_writer(body, Appender(out), CONFIG) {
        out.truncate(start);
        return Err(CodecError::Malformed(error.to_string()));
    }
    let bytes = out.len() - start - HEADER_BYTES;
    if bytes > body_bytes_max {
        out.truncate(start);
        return Err(CodecError::TooLarge { bytes, max: body_bytes_max });
    }
    let header = Header { body_bytes: bytes as u32, ..header }.encode();
    if let Some(place) = out.get_mut(start..start + HEADER_BYTES) {
        place.copy_from_slice(&header);
    }
    Ok(bytes)
}

/// Passes the pieces of a whole frame with `body` to `out`, the byte strings of the body as slices
/// without
/// a copy; returns the number of bytes of the body.
///
/// # Errors
/// Those of [`encode_headed`]; nothing was passed to `out`.
pub(crate) fn encode_pieces<T: Serialize>(
    header: Header,
    body: &T,
    body_bytes_max: usize,
    mut out: impl FnMut(&[u8]),
) -> Result<usize, CodecError> {
    let malformed = |error: EncodeError| CodecError::Malformed(error.to_string());
    let mut bytes = 0;
    let count = Pieces(|piece: &[u8]| bytes += piece.len());
    bincode::serde::encode_into_writer(body, count, CONFIG).map_err(malformed)?;
    if bytes > body_bytes_max {
        return Err(CodecError::TooLarge { bytes, max: body_bytes_max });
    }
    out(&Header { body_bytes: bytes as u32, ..header }.encode());
    bincode::serde::encode_into_writer(body, Pieces(out), CONFIG).map_err(malformed)?;
    Ok(bytes)
}

/// Appends a frame without a body to `out`.
pub fn encode_bare(out: &mut Vec<u8>, kind: Kind, id: u64) {
    out.extend_from_slice(&Header::bare(kind, id).encode());
}

struct Pieces<F>(F);

impl<F: FnMut(&[u8])> Writer for Pieces<F> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        (self.0)(bytes);
        Ok(())
    }
}

struct Appender<'a>(&'a mut Vec<u8>);

impl Writer for Appender<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}
