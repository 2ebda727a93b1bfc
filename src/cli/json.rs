//! What `--json` prints: values of the protocol by the names of its JSON dialect, with the few members that
//! a line needs besides.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Serialize;

use crate::{Blob, Durability, Revision};

/// An item of a list, with the revision at which the list was read.
#[derive(Debug, Serialize)]
pub(crate) struct At<T> {
    pub(crate) revision: Revision,
    #[serde(flatten)]
    pub(crate) item: T,
}

/// An item of the reply to a write, with how durable the write is; null if it is in memory alone.
#[derive(Debug, Serialize)]
pub(crate) struct Written<T> {
    #[serde(flatten)]
    pub(crate) item: T,
    pub(crate) durability: Option<Durability>,
}

/// Reads bytes that are written as base64.
pub(crate) fn from_base64(text: &str) -> Result<Blob, String> {
    BASE64_STANDARD.decode(text).map(Blob::from).map_err(|error| error.to_string())
}
