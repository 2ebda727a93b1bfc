//! Calls of methods of services that the embedding application has registered.

use super::Blob;

/// A call of a method by name, as in `HelloService.Hello`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Invocation {
    /// `SERVICE.METHOD`.
    pub method: String,
    /// The one argument; several travel as a tuple or a structure.
    pub argument: Payload,
}

/// An argument or a result of a method, in the encoding that its caller speaks.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Payload {
    /// bincode, as on the native wire.
    Bincode(Blob),
    /// JSON text.
    Json(Blob),
}

impl Payload {
    /// Its bytes.
    pub fn bytes(&self) -> &Blob {
        match self {
            Self::Bincode(bytes) | Self::Json(bytes) => bytes,
        }
    }
}

/// A service that is offered.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServiceInfo {
    /// Its name.
    pub name: String,
    /// Its methods, in order of name.
    pub methods: Vec<String>,
}

impl ServiceInfo {
    /// Makes a service of this name; `methods` in order of name.
    pub fn new(name: impl Into<String>, methods: Vec<String>) -> Self {
        Self { name: name.into(), methods }
    }
}
