//! The output of `--json`: values of the protocol under the names of its JSON dialect, with a few
//! more members per line.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Serialize;

use crate::{Blob, Durability, Revision};

/// An item of a list, with the revision at which the list was read.
#[derive(Debug, Serialize)]
pub(crate) struct ReadItem<T> {
    pub(crate) revision: Revision,
    #[serde(flatten)]
    pub(crate) item: T,
}

/// An item of the reply to a write, with the durability of the write; null if it is in memory only.
#[derive(Debug, Serialize)]
pub(crate) struct WrittenItem<T> {
    #[serde(flatten)]
    pub(crate) item: T,
    pub(crate) durability: Option<Durability>,
}

/// Decodes base64.
pub(crate) fn from_base64(text: &str) -> Result<Blob, String> {
    BASE64_STANDARD.decode(text).map(Blob::from).map_err(|error| error.to_string())
}
