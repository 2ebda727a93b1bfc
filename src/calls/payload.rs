//! The encoding of arguments and results.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, ErrorCode};
use crate::jobs::{SchemaError, schema};
use crate::model::Payload;

impl Payload {
    /// Encodes `value` in bincode.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` if it cannot be encoded.
    pub fn bincode<T: Serialize + ?Sized>(value: &T) -> Result<Self, Error> {
        schema::to_bincode(value).map(Self::Bincode).map_err(unencodable)
    }

    /// Encodes `value` as JSON.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` if it cannot be encoded.
    pub fn json<T: Serialize + ?Sized>(value: &T) -> Result<Self, Error> {
        schema::to_json(value).map(Self::Json).map_err(unencodable)
    }

    /// Encodes `value` in the encoding of this payload.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` if it cannot be encoded.
    pub fn answer<T: Serialize + ?Sized>(&self, value: &T) -> Result<Self, Error> {
        match self {
            Self::Bincode(_) => Self::bincode(value),
            Self::Json(_) => Self::json(value),
        }
    }

    /// Decodes the value.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` if it is not a `T`, or has trailing bytes.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, Error> {
        match self {
            Self::Bincode(bytes) => schema::from_bincode(bytes),
            Self::Json(bytes) => schema::from_json(bytes),
        }
        .map_err(|error| Error::new(ErrorCode::InvalidArgument, error.to_string()))
    }
}

fn unencodable(error: SchemaError) -> Error {
    Error::new(ErrorCode::InvalidArgument, format!("cannot encode the value: {error}"))
}
