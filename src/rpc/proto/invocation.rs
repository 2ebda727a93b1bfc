//! Calls of methods, in bytes.

use serde::{Deserialize, Serialize};

use crate::model::{Blob, Invocation, Payload, ServiceInfo};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct WireInvocation<'a> {
    method: &'a str,
    #[serde(borrow)]
    argument: WirePayload<'a>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum WirePayload<'a> {
    Bincode(#[serde(borrow, with = "serde_bytes")] &'a [u8]),
    Json(#[serde(borrow, with = "serde_bytes")] &'a [u8]),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct WireService<'a> {
    name: &'a str,
    #[serde(borrow)]
    methods: Vec<&'a str>,
}

impl From<WireInvocation<'_>> for Invocation {
    fn from(wire: WireInvocation<'_>) -> Self {
        Self { method: wire.method.to_owned(), argument: wire.argument.into() }
    }
}

impl<'a> From<&'a Invocation> for WireInvocation<'a> {
    fn from(invocation: &'a Invocation) -> Self {
        Self { method: &invocation.method, argument: (&invocation.argument).into() }
    }
}

impl From<WirePayload<'_>> for Payload {
    fn from(wire: WirePayload<'_>) -> Self {
        match wire {
            WirePayload::Bincode(bytes) => Self::Bincode(Blob::from(bytes)),
            WirePayload::Json(bytes) => Self::Json(Blob::from(bytes)),
        }
    }
}

impl<'a> From<&'a Payload> for WirePayload<'a> {
    fn from(payload: &'a Payload) -> Self {
        match payload {
            Payload::Bincode(bytes) => Self::Bincode(bytes),
            Payload::Json(bytes) => Self::Json(bytes),
        }
    }
}

impl From<WireService<'_>> for ServiceInfo {
    fn from(wire: WireService<'_>) -> Self {
        let methods = wire.methods.into_iter().map(str::to_owned).collect();
        Self { name: wire.name.to_owned(), methods }
    }
}

impl<'a> From<&'a ServiceInfo> for WireService<'a> {
    fn from(info: &'a ServiceInfo) -> Self {
        Self { name: &info.name, methods: info.methods.iter().map(String::as_str).collect() }
    }
}
