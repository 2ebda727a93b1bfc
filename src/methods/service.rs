//! [`Service`]: methods under one name.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::MethodContext;
use crate::config::services::NAME_BYTES_MAX;
use crate::error::{Error, ErrorCode};
use crate::model::{Payload, ServiceInfo};

/// The result of a method.
pub type Returned = BoxFuture<'static, Result<Payload, Error>>;

pub(super) type Method = dyn Fn(Payload, MethodContext) -> Returned + Send + Sync;

/// Methods under one name, for [`Wakeful::register`](crate::Wakeful::register).
///
/// A method takes one argument, of any type that serde decodes, and returns one result. It runs
/// concurrently with others, also of the same connection, on a thread that all methods share: code
/// that computes for long or blocks belongs in `tokio::task::spawn_blocking`. It is dropped when
/// its caller cancels, disconnects or reaches its deadline.
///
/// Over JSON, a Go client decodes the result into the pointer it passes, so `new(string)` needs a
/// method that returns a string; a method that returns an object needs a struct, one that returns
/// nothing (`()`, `None`) sends `{}`, which Go decodes into `new(struct{})` but not into a
/// `*string`.
///
/// ```
/// # #[actix_rt::main]
/// # async fn main() -> Result<(), wakeful::Error> {
/// use wakeful::{Config, Error, Methods, Service, Wakeful};
///
/// let hello = Service::new("HelloService")
///     .method("Hello", async |name: String, _| Ok(format!("hello:{name}")))
///     .method("Divide", async |(a, b): (i64, i64), _| {
///         a.checked_div(b).ok_or_else(|| Error::failed("divided by nothing"))
///     });
/// let wakeful = Wakeful::start(Config::new())?;
/// wakeful.register(hello)?;
/// // The same on a `Client`.
/// let said: String = wakeful.invoke("HelloService.Hello", "world").await?;
/// assert_eq!(said, "hello:world");
/// let refused = wakeful.invoke::<i64>("HelloService.Divide", &(1_i64, 0_i64)).await.unwrap_err();
/// assert_eq!(refused.message, "divided by nothing");
/// wakeful.stop().await;
/// # Ok(())
/// # }
/// ```
#[must_use = "a service is offered once it is registered"]
pub struct Service {
    name: String,
    methods: BTreeMap<String, Arc<Method>>,
    /// A name that was given twice.
    twice: Option<String>,
}

impl Service {
    /// Returns a service without methods. Names consist of letters, digits and `_`, and begin with
    /// a letter; at most 128 bytes.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), methods: BTreeMap::new(), twice: None }
    }

    /// Adds the method `name`, which runs `method`.
    pub fn method<A, R, F, Fut>(self, name: impl Into<String>, method: F) -> Self
    where
        A: DeserializeOwned + Send + 'static,
        R: Serialize + 'static,
        F: Fn(A, MethodContext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<R, Error>> + Send + 'static,
    {
        let method = move |argument: Payload, cx: MethodContext| {
            let decoded = argument.decode().map_err(|error| invalid_argument(&cx, &error));
            let running = decoded.map(|value| method(value, cx));
            async move { argument.answer(&running?.await?) }.boxed()
        };
        self.raw(name, method)
    }

    /// Adds the method `name`, which gets its argument undecoded.
    pub fn raw<F>(mut self, name: impl Into<String>, method: F) -> Self
    where
        F: Fn(Payload, MethodContext) -> Returned + Send + Sync + 'static,
    {
        let name = name.into();
        if self.methods.insert(name.clone(), Arc::new(method)).is_some() {
            self.twice = Some(name);
        }
        self
    }

    /// Returns the name and the methods of the service.
    pub fn info(&self) -> ServiceInfo {
        ServiceInfo { name: self.name.clone(), methods: self.methods.keys().cloned().collect() }
    }

    pub(super) fn find(&self, method: &str) -> Option<&Arc<Method>> {
        self.methods.get(method)
    }

    /// Returns the size of the service in the list of services, bytes.
    pub(super) fn listed_bytes(&self) -> usize {
        /// Size of a name's length, and of the number of methods.
        const FIXED_BYTES: usize = 16;
        let names = std::iter::once(&self.name).chain(self.methods.keys());
        names.map(|name| FIXED_BYTES + name.len()).sum()
    }

    /// Checks that the service can be called.
    pub(super) fn check(&self) -> Result<(), Error> {
        let refuse = |message: String| Err(Error::new(ErrorCode::InvalidArgument, message));
        for name in std::iter::once(&self.name).chain(self.methods.keys()) {
            if !is_name(name) {
                return refuse(format!(
                    "`{}` is not a valid name of a service or method: use letters, digits and _, first a \
                     letter, at most {NAME_BYTES_MAX} bytes",
                    name.escape_debug()
                ));
            }
        }
        match &self.twice {
            Some(name) => refuse(format!("{}.{name} is defined twice", self.name)),
            None if self.methods.is_empty() => refuse(format!("{} has no methods", self.name)),
            None => Ok(()),
        }
    }
}

fn is_name(name: &str) -> bool {
    name.len() <= NAME_BYTES_MAX
        && name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

pub(super) fn invalid_argument(cx: &MethodContext, error: &Error) -> Error {
    let message = format!("the argument of {} has another type: {error}", cx.method());
    Error::new(ErrorCode::InvalidArgument, message)
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Service").field(&self.info()).finish()
    }
}
