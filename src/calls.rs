//! [`Methods`]: calls of methods, in this process or over the wire.

mod payload;

use std::future::Future;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::Error;
use crate::model::{Invocation, NodeRequest, Payload, Reply, Request, ServiceInfo};
use crate::operations::{Operations, unexpected};

/// Calls of methods that an application has [registered](crate::Wakeful::register): the same on
/// [`Wakeful`](crate::Wakeful) and on [`Client`](crate::Client), which sends them over its one
/// connection. [`Client::go_invoke`](crate::Client::go_invoke) starts a call and returns at once.
///
/// Errors of every method: those of [`Operations`].
/// Cancel: dropping a future cancels the call; the method is dropped wherever it runs.
pub trait Methods: Operations {
    /// Calls `method`, as in `HelloService.Hello`, and returns its result.
    ///
    /// Errors: `ServiceNotFound`, `MethodNotFound`: nothing was called; `InvalidArgument` if the
    /// argument or the result has another type; `MethodPanicked`; `LimitExceeded` if
    /// `services.calls_max` calls are running; the error of the method, by default `MethodFailed`.
    fn invoke<R: DeserializeOwned>(
        &self,
        method: &str,
        argument: &(impl Serialize + Sync + ?Sized),
    ) -> impl Future<Output = Result<R, Error>> + Send {
        let invocation = Payload::bincode(argument)
            .map(|argument| Invocation { method: method.to_owned(), argument });
        async { self.invoke_raw(invocation?).await?.decode() }
    }

    /// Does the same as [`invoke`](Self::invoke), with bytes.
    fn invoke_raw(
        &self,
        invocation: Invocation,
    ) -> impl Future<Output = Result<Payload, Error>> + Send {
        async {
            match self.call(Request::Invoke(invocation)).await? {
                Reply::Invoke(output) => Ok(output),
                other => Err(unexpected(&other)),
            }
        }
    }

    /// Returns the offered services, in order of name.
    fn services(&self) -> impl Future<Output = Result<Vec<ServiceInfo>, Error>> + Send {
        async {
            match self.call(NodeRequest::Services).await? {
                Reply::Services(services) => Ok(services),
                other => Err(unexpected(&other)),
            }
        }
    }
}

impl<O: Operations> Methods for O {}
