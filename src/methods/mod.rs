//! Services of an application: methods that it registers, and that clients call by name.
//!
//! Owns the registered methods and the calls in progress. It does not know how a call arrived: the
//! front ends and [`Wakeful`](crate::Wakeful) start calls here and take the answers.
//!
//! # Design
//!
//! A method is a function from `Payload` to `Payload`; [`Service::method`] puts serde around it, in
//! the encoding of the caller. `ServiceRegistry::start` finds the method, wraps it in the interceptors, a
//! deadline, a cancellation and `catch_unwind`, and spawns it on the one thread of all methods, so
//! that their computation does not delay the arbiter of the store.
//!
//! A connection keeps its calls and starts them when the store has everything that came before
//! them. The answer arrives through its outbox, with a serial number, so that the late answer of a
//! cancelled call is not taken for that of another call with the same id.

mod context;
mod handler;
mod interceptor;
mod registry;
mod service;
mod stub;
#[cfg(test)]
mod tests;

pub use context::MethodContext;
pub use interceptor::{Interceptor, Next};
pub(crate) use registry::{MethodCaller, RunningCall, ServiceRegistry};
pub use service::{Returned, Service};
#[doc(hidden)]
pub use stub::method_name;
