//! Bodies about the connection itself: hello, welcome, credit, errors.

use serde::{Deserialize, Serialize};

use crate::error::{Details, Error, ErrorCode};

/// Body of `Hello`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct WireHello<'a> {
    /// The name that the client gives itself, for operators; at most 256 bytes.
    #[serde(borrow)]
    pub(crate) client_name: &'a str,
    /// The name of the required server; empty for any. At most 256 bytes.
    #[serde(borrow)]
    pub(crate) server: &'a str,
}

/// Body of `Welcome`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct WireWelcome<'a> {
    #[serde(borrow)]
    pub(crate) server_version: &'a str,
    #[serde(serialize_with = "super::id::hexadecimal")]
    pub(crate) store_id: u64,
    pub(crate) revision: u64,
    pub(crate) frame_bytes_max: u32,
    pub(crate) requests_in_flight_max: u32,
    pub(crate) ping_interval_ms: u32,
}

/// Body of `Credit`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct WireCredit {
    pub(crate) bytes: u32,
}

/// Body of `Error`, and the reason of an ended watch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct WireError<'a> {
    pub(crate) code: u16,
    #[serde(borrow)]
    pub(crate) message: &'a str,
    #[serde(borrow)]
    pub(crate) details: WireDetails<'a>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum WireDetails<'a> {
    None,
    Limit {
        #[serde(borrow)]
        name: &'a str,
        value: u64,
    },
    Revisions {
        oldest: u64,
        current: u64,
    },
    Resume {
        revision: u64,
    },
}

impl<'a> From<&'a Error> for WireError<'a> {
    fn from(error: &'a Error) -> Self {
        Self {
            code: error.code as u16,
            message: &error.message,
            details: match &error.details {
                Details::None => WireDetails::None,
                Details::Limit { name, value } => WireDetails::Limit { name, value: *value },
                Details::Revisions { oldest, current } => {
                    WireDetails::Revisions { oldest: *oldest, current: *current }
                }
                Details::Resume { revision } => WireDetails::Resume { revision: *revision },
            },
        }
    }
}

impl From<WireError<'_>> for Error {
    fn from(wire: WireError<'_>) -> Self {
        let code = ErrorCode::from_u16(wire.code).unwrap_or(ErrorCode::Internal);
        Error::new(code, wire.message).with_details(match wire.details {
            WireDetails::None => Details::None,
            WireDetails::Limit { name, value } => Details::Limit { name: name.to_owned(), value },
            WireDetails::Revisions { oldest, current } => Details::Revisions { oldest, current },
            WireDetails::Resume { revision } => Details::Resume { revision },
        })
    }
}
