//! Calls of methods of the embedding application's services.

use super::Blob;

/// A call of a method by its name, as in `HelloService.Hello`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Invocation {
    /// `SERVICE.METHOD`.
    pub method: String,
    /// The only argument; a tuple or a structure carries several values.
    pub argument: Payload,
}

/// An argument or a result of a method, in the encoding of its caller.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Payload {
    /// bincode, as on the native wire.
    Bincode(Blob),
    /// JSON text.
    Json(Blob),
}

impl Payload {
    /// Returns the encoded bytes.
    pub fn bytes(&self) -> &Blob {
        match self {
            Self::Bincode(bytes) | Self::Json(bytes) => bytes,
        }
    }
}

/// A service that the application offers.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServiceInfo {
    /// Name of the service.
    pub name: String,
    /// The service's methods, in order of name.
    pub methods: Vec<String>,
}

impl ServiceInfo {
    /// Makes a service with this name; `methods` must be in order of name.
    pub fn new(name: impl Into<String>, methods: Vec<String>) -> Self {
        Self { name: name.into(), methods }
    }
}
