//! Services of one's own: methods that an application registers, and that clients call by name.
//!
//! Owns: which methods there are, and the calls of them that are under way. Never does: know how a
//! call came; the doors and [`Wakeful`](crate::Wakeful) start calls here and take the answers.

mod call;
mod context;
mod handler;
mod interceptor;
mod payload;
mod registry;
mod service;
mod stub;
#[cfg(test)]
mod tests;

pub use call::Methods;
pub use context::MethodContext;
pub use interceptor::{Interceptor, Next};
pub(crate) use registry::{Caller, Registry, Running};
pub use service::{Returned, Service};
#[doc(hidden)]
pub use stub::method_name;
