//! Services of the application.

use crate::error::Error;
use crate::handle::Wakeful;
use crate::methods::{Interceptor, Service};

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
}
