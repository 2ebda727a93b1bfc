//! Services of the application: registered here, and called from this process.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::{Wakeful, gone};
use crate::error::Error;
use crate::fair::ClientId;
use crate::methods::{Caller, Interceptor, Registry, Service};
use crate::model::{Invocation, Payload};

impl Wakeful {
    /// Offers the methods of `service` to clients, and to [`Methods`](crate::Methods) of this
    /// process, until [`stop`](Self::stop).
    ///
    /// # Errors
    ///
    /// `InvalidArgument` if its name or the name of a method is invalid or taken, and, for the
    /// first service, on a thread without an actix system; `LimitExceeded`
    /// (`services.services_max`); `Unavailable` if the service has stopped, or the thread for
    /// methods cannot be started. Nothing was registered.
    pub fn register(&self, service: Service) -> Result<(), Error> {
        self.inner.methods.register(service)
    }

    /// Wraps every call of a method from now on in `interceptor`, inside earlier ones.
    pub fn intercept(&self, interceptor: impl Interceptor) {
        self.inner.methods.intercept(interceptor);
    }

    pub(crate) fn methods(&self) -> &Registry {
        &self.inner.methods
    }

    /// Calls a method from this process. Dropping the future drops the method.
    pub(super) async fn invoke_here(&self, invocation: Invocation) -> Result<Payload, Error> {
        let session = Arc::clone(&self.inner.here);
        let wakeful = self.clone();
        let caller =
            Caller { session, client: ClientId::Process, wakeful, deadline: None, request: None };
        let (answer, answered) = oneshot::channel();
        let _running = self.inner.methods.start(invocation, caller, move |result| {
            // The caller may be gone.
            let _ = answer.send(result);
        })?;
        answered.await.unwrap_or_else(|_| Err(gone()))
    }
}
