//! Arguments that several commands share: bytes, durations and key ranges.

use std::time::Duration;

use clap::builder::{OsStringValueParser, TypedValueParser};

use crate::{Blob, KeyRange, duration};

/// Parses bytes as typed: on Unix an argument need not be UTF-8.
pub(crate) fn bytes() -> impl TypedValueParser<Value = Blob> {
    OsStringValueParser::new().map(|text| Blob::from(text.into_encoded_bytes()))
}

pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    duration::parse(text)
}

/// Checks the form `HOST:PORT` without resolving the host.
pub(crate) fn address(text: &str) -> Result<String, String> {
    crate::address::check(text).map(|()| text.to_owned()).map_err(|error| error.message)
}

/// The keys that a command applies to.
#[derive(Debug, clap::Args)]
pub(crate) struct Selection {
    /// The key; with --prefix, the prefix; with --to, the first key
    #[arg(value_name = "KEY", value_parser = bytes())]
    key: Option<Blob>,
    /// Every key that begins with KEY
    #[arg(long, requires = "key")]
    prefix: bool,
    /// Every key from KEY up to, but not including, TO; '' for no end
    #[arg(long, visible_alias = "range-end", value_name = "TO", value_parser = bytes(),
        requires = "key", conflicts_with = "prefix")]
    to: Option<Blob>,
    /// Every key
    #[arg(long, conflicts_with_all = ["key", "prefix", "to"])]
    all: bool,
}

impl Selection {
    /// Returns true if KEY is given and empty.
    pub(crate) fn has_empty_key(&self) -> bool {
        self.key.as_ref().is_some_and(|key| key.is_empty())
    }

    /// Returns the selected range; without KEY, every key, with or without --all.
    pub(crate) fn range(&self) -> KeyRange {
        match (&self.key, &self.to) {
            (None, _) => KeyRange::all(),
            (Some(key), Some(to)) => KeyRange::range(key, to),
            (Some(key), None) if self.prefix => KeyRange::prefix(key),
            (Some(key), None) => KeyRange::key(key),
        }
    }
}
