//! [`Interceptor`]: code that wraps every call of a method.

use std::future::Future;
use std::sync::Arc;

use futures_util::FutureExt;

use super::MethodContext;
use super::service::{Method, Returned};
use crate::error::Error;
use crate::model::Payload;

/// Wraps every call of a method: for logging, metrics, limits, or a check of the caller. For
/// [`Wakeful::intercept`](crate::Wakeful::intercept). Any function of this form is one:
///
/// ```
/// # #[actix_rt::main]
/// # async fn main() -> Result<(), wakeful::Error> {
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
/// use wakeful::{Config, Error, MethodContext, Methods, Next, Payload, Service, Wakeful};
///
/// let calls = Arc::new(AtomicU32::new(0));
/// let counted = Arc::clone(&calls);
/// let wakeful = Wakeful::start(Config::new())?;
/// wakeful.intercept(move |argument: Payload, cx: MethodContext, next: Next| {
///     counted.fetch_add(1, Relaxed);
///     async move {
///         if cx.method() != "Door.Login" && !cx.state::<AtomicBool>().load(Relaxed) {
///             return Err(Error::failed("please login"));
///         }
///         next.run(argument, cx).await
///     }
/// });
/// let login = async |_: String, cx: MethodContext| {
///     cx.state::<AtomicBool>().store(true, Relaxed);
///     Ok(true)
/// };
/// let door = Service::new("Door").method("Login", login).method("Open", async |(), _| Ok("open"));
/// wakeful.register(door)?;
/// assert_eq!(wakeful.invoke::<String>("Door.Open", &()).await.unwrap_err().message, "please login");
/// assert!(wakeful.invoke::<bool>("Door.Login", "user:password").await?);
/// assert_eq!(wakeful.invoke::<String>("Door.Open", &()).await?, "open");
/// assert_eq!(calls.load(Relaxed), 3);
/// wakeful.stop().await;
/// # Ok(())
/// # }
/// ```
pub trait Interceptor: Send + Sync + 'static {
    /// Answers the call, usually with the answer of [`next`](Next::run). Dropped with the call.
    fn intercept(&self, argument: Payload, cx: MethodContext, next: Next) -> Returned;
}

impl<F, Fut> Interceptor for F
where
    F: Fn(Payload, MethodContext, Next) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Payload, Error>> + Send + 'static,
{
    fn intercept(&self, argument: Payload, cx: MethodContext, next: Next) -> Returned {
        self(argument, cx, next).boxed()
    }
}

/// The remaining interceptors, and the method.
pub struct Next {
    around: Arc<[Arc<dyn Interceptor>]>,
    at: usize,
    method: Arc<Method>,
}

impl Next {
    pub(super) fn new(around: Arc<[Arc<dyn Interceptor>]>, method: Arc<Method>) -> Self {
        Self { around, at: 0, method }
    }

    /// Continues with the call, unchanged or changed.
    pub fn run(mut self, argument: Payload, cx: MethodContext) -> Returned {
        let Some(interceptor) = self.around.get(self.at).map(Arc::clone) else {
            return (self.method)(argument, cx);
        };
        self.at += 1;
        interceptor.intercept(argument, cx, self)
    }
}

impl std::fmt::Debug for Next {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Next").field("left", &(self.around.len() - self.at)).finish_non_exhaustive()
    }
}
