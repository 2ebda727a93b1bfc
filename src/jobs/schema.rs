//! [`Schema`]: the conversion of jobs and results to bytes.

use bincode::config::{Configuration, Fixint, Limit, LittleEndian};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::config::BODY_BYTES_LIMIT;
use crate::model::Blob;

/// The byte encoding of a job or a result. [`Bincode`], [`Json`] and [`Raw`] are provided;
/// implement it for your own.
///
/// A job whose payload does not decode becomes a dead letter at once: it would not decode the next
/// time.
pub trait Schema<T>: Send + Sync + 'static {
    /// Encodes a value.
    fn encode(&self, value: &T) -> Result<Blob, SchemaError>;

    /// Decodes all bytes: any after the value are an error.
    fn decode(&self, bytes: &[u8]) -> Result<T, SchemaError>;
}

/// An error of encoding or decoding.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SchemaError(String);

impl SchemaError {
    /// Returns an error with this message.
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

/// bincode, as on the wire: little-endian, integers of fixed width. Compact and fast; both sides
/// must use the same types.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bincode;

/// With a limit: a length in hostile bytes must not allocate as much as it claims.
const CONFIG: Configuration<LittleEndian, Fixint, Limit<BODY_BYTES_LIMIT>> =
    bincode::config::legacy().with_limit::<BODY_BYTES_LIMIT>();

impl<T: Serialize + DeserializeOwned> Schema<T> for Bincode {
    fn encode(&self, value: &T) -> Result<Blob, SchemaError> {
        to_bincode(value)
    }

    fn decode(&self, bytes: &[u8]) -> Result<T, SchemaError> {
        from_bincode(bytes)
    }
}

pub(crate) fn to_bincode<T: Serialize + ?Sized>(value: &T) -> Result<Blob, SchemaError> {
    bincode::serde::encode_to_vec(value, CONFIG).map(Blob::from).map_err(schema_error)
}

pub(crate) fn from_bincode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, SchemaError> {
    let (value, used) = bincode::serde::decode_from_slice(bytes, CONFIG).map_err(schema_error)?;
    match bytes.len() - used {
        0 => Ok(value),
        trailing => Err(SchemaError::new(format!("{trailing} trailing bytes"))),
    }
}

pub(crate) fn to_json<T: Serialize + ?Sized>(value: &T) -> Result<Blob, SchemaError> {
    serde_json::to_vec(value).map(Blob::from).map_err(schema_error)
}

pub(crate) fn from_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, SchemaError> {
    serde_json::from_slice(bytes).map_err(schema_error)
}

fn schema_error(error: impl std::fmt::Display) -> SchemaError {
    SchemaError::new(error.to_string())
}

/// JSON: readable on the command line and by other languages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Json;

impl<T: Serialize + DeserializeOwned> Schema<T> for Json {
    fn encode(&self, value: &T) -> Result<Blob, SchemaError> {
        to_json(value)
    }

    fn decode(&self, bytes: &[u8]) -> Result<T, SchemaError> {
        from_json(bytes)
    }
}

/// The bytes themselves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Raw;

impl Schema<Blob> for Raw {
    fn encode(&self, value: &Blob) -> Result<Blob, SchemaError> {
        Ok(value.clone())
    }

    fn decode(&self, bytes: &[u8]) -> Result<Blob, SchemaError> {
        Ok(Blob::from(bytes))
    }
}

impl Schema<Vec<u8>> for Raw {
    fn encode(&self, value: &Vec<u8>) -> Result<Blob, SchemaError> {
        Ok(Blob::from(&value[..]))
    }

    fn decode(&self, bytes: &[u8]) -> Result<Vec<u8>, SchemaError> {
        Ok(bytes.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_decodes_and_trailing_bytes_do_not() {
        let job = ("photo".to_owned(), 17_u32);
        let blob = Schema::<(String, u32)>::encode(&Bincode, &job).unwrap();
        assert_eq!(Bincode.decode(&blob), Ok(job.clone()));
        let longer = [&blob[..], b"x"].concat();
        let error = Schema::<(String, u32)>::decode(&Bincode, &longer).unwrap_err();
        assert_eq!(error.to_string(), "1 trailing bytes");
        assert!(Schema::<(String, u32)>::decode(&Bincode, &blob[..3]).is_err());
    }

    #[test]
    fn a_length_that_lies_is_refused_before_it_is_allocated() {
        let lie = u64::MAX.to_le_bytes();
        assert!(Schema::<Vec<u64>>::decode(&Bincode, &lie).is_err());
    }

    #[test]
    fn json_is_text_and_trailing_text_is_refused() {
        let blob = Schema::<Vec<u32>>::encode(&Json, &vec![1, 2]).unwrap();
        assert_eq!(blob, "[1,2]");
        assert!(Schema::<Vec<u32>>::decode(&Json, b"[1,2] x").is_err());
    }
}
