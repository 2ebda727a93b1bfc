//! The unit of time that the cores share.

/// Microseconds since the service started.
pub(crate) type Micros = u64;
