//! [`ServiceRegistry`]: the services of an application, and their running calls.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_rt::{Arbiter, ArbiterHandle};
use futures_util::FutureExt;
use parking_lot::Mutex;
use tokio::time::timeout_at;
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::Instrument;

use super::context::CallState;
use super::service::Method;
use super::{Interceptor, MethodContext, Next, Returned, Service};
use crate::config::services::{NAME_BYTES_MAX, RESERVED};
use crate::config::{Config, ServicesConfig};
use crate::error::{Details, Error, ErrorCode};
use crate::fair::ClientId;
use crate::fair_places::FairPlaces;
use crate::model::{Invocation, Payload, ServiceInfo};
use crate::runtime::require_system;
use crate::session::Session;
use crate::work::threads::join;

/// The services of an application, and their running calls.
pub(crate) struct ServiceRegistry {
    config: ServicesConfig,
    /// Maximum size of the list of services, bytes; the list is one reply.
    listed_bytes_max: usize,
    offered: Mutex<Offered>,
    /// One for each running call.
    places: FairPlaces<ClientId>,
}

#[derive(Default)]
struct Offered {
    services: BTreeMap<String, Service>,
    around: Arc<[Arc<dyn Interceptor>]>,
    /// The thread of all methods; started with the first service.
    thread: Option<Arbiter>,
    /// True if no more calls may begin.
    closed: bool,
}

/// A running call; dropping it drops the method.
pub(crate) struct RunningCall {
    _cancel: DropGuard,
}

impl ServiceRegistry {
    pub(crate) fn new(config: &Config) -> Self {
        let listed_bytes_max = config.rpc.frame_bytes_max;
        let config = config.services.clone();
        let places = FairPlaces::new(config.calls_max);
        Self { config, listed_bytes_max, offered: Mutex::default(), places }
    }

    pub(crate) fn register(&self, service: Service) -> Result<(), Error> {
        service.check()?;
        let ServiceInfo { name, .. } = service.info();
        let refuse = |message: String| Err(Error::new(ErrorCode::InvalidArgument, message));
        let mut offered = self.offered.lock();
        if offered.closed {
            return Err(Error::new(ErrorCode::Unavailable, "the service has stopped"));
        }
        if RESERVED.contains(&name.as_str()) {
            return refuse(format!("{name} is a service of Wakeful itself; choose another name"));
        }
        if offered.services.contains_key(&name) {
            return refuse(format!("a service {name} is already registered"));
        }
        if offered.services.len() >= self.config.services_max {
            return Err(limit("services.services_max", self.config.services_max));
        }
        let listed = offered.services.values().chain([&service]).map(Service::listed_bytes);
        if listed.sum::<usize>() > self.listed_bytes_max {
            return Err(limit("rpc.frame_bytes_max", self.listed_bytes_max));
        }
        if offered.thread.is_none() {
            require_system("Wakeful::register")?;
            let thread = Arbiter::try_new().map_err(|error| {
                Error::new(
                    ErrorCode::Unavailable,
                    format!("cannot start the thread for methods: {error}"),
                )
            })?;
            offered.thread = Some(thread);
        }
        offered.services.insert(name, service);
        Ok(())
    }

    pub(crate) fn intercept(&self, interceptor: impl Interceptor) {
        let mut offered = self.offered.lock();
        let last: Arc<dyn Interceptor> = Arc::new(interceptor);
        offered.around = offered.around.iter().cloned().chain([last]).collect();
    }

    /// Returns true if a service offers a method of this name.
    pub(crate) fn offers(&self, name: &str) -> bool {
        let offered = self.offered.lock();
        let found = name.rsplit_once('.');
        found.is_some_and(|(service, method)| {
            offered.services.get(service).is_some_and(|service| service.find(method).is_some())
        })
    }

    /// Returns the services, in order of name.
    pub(crate) fn services(&self) -> Vec<ServiceInfo> {
        self.offered.lock().services.values().map(Service::info).collect()
    }

    /// Starts a call, whose result is passed to `answer` unless the call is dropped before.
    pub(crate) fn start(
        &self,
        invocation: Invocation,
        caller: MethodCaller,
        answer: impl FnOnce(Result<Payload, Error>) + Send + 'static,
    ) -> Result<RunningCall, Error> {
        let Invocation { method, argument } = invocation;
        let (found, around, thread) = self.find(&method)?;
        let place = self.places.enter(caller.client).map_err(|excess| {
            let max = self.config.calls_max;
            let what = excess.what("too many calls are under way; try again later");
            refusal(
                "services.calls_max",
                max,
                format!("{what}: the limit services.calls_max is {max}"),
            )
        })?;
        let cancelled = CancellationToken::new();
        let MethodCaller { session, node, deadline, request, .. } = caller;
        let connection = session.id();
        let span = tracing::info_span!("call", method, connection, request);
        let last = Instant::now().checked_add(self.config.call_time_max);
        let until = deadline.into_iter().chain(last).min();
        let (token, name) = (cancelled.clone(), method.clone());
        let instrumented = span.clone();
        let call = CallState { method, session, node, deadline: until, cancelled: token, span };
        let next = Next::new(around, found);
        let (cx, output_bytes_max) = (MethodContext::new(call), self.config.output_bytes_max);
        let (ended, answer) = (cancelled.clone(), ResultCallback(Some(answer)));
        let run = async move {
            let _place = place;
            // Notifies tasks that a method has started elsewhere of its end.
            let _end = ended.clone().drop_guard();
            let run = async { next.run(argument, cx).await };
            let result = tokio::select! {
                biased;
                () = ended.cancelled() => return answer.forget(),
                result = settle(name, until, Box::pin(run)) => result,
            };
            answer.give(result.and_then(|output| fits(output, output_bytes_max)));
        };
        if !thread.spawn(run.instrument(instrumented)) {
            return Err(Error::new(ErrorCode::Unavailable, "the service has stopped"));
        }
        Ok(RunningCall { _cancel: cancelled.drop_guard() })
    }

    #[expect(clippy::type_complexity, reason = "what a call needs of the lock")]
    fn find(
        &self,
        name: &str,
    ) -> Result<(Arc<Method>, Arc<[Arc<dyn Interceptor>]>, ArbiterHandle), Error> {
        let offered = self.offered.lock();
        let unknown = |code, what: &str| {
            let shown: String = name.chars().take(NAME_BYTES_MAX).collect();
            let shown = shown.escape_debug();
            let message = format!("no {what} {shown} is offered here; `services` lists all");
            Error::new(code, message)
        };
        let Some((service, method)) = name.rsplit_once('.') else {
            let what = "service.method";
            return Err(unknown(ErrorCode::MethodNotFound, what));
        };
        let Some(service) = offered.services.get(service) else {
            return Err(unknown(ErrorCode::ServiceNotFound, "service of"));
        };
        let Some(method) = service.find(method) else {
            return Err(unknown(ErrorCode::MethodNotFound, "method"));
        };
        match &offered.thread {
            Some(thread) if !offered.closed => {
                Ok((Arc::clone(method), Arc::clone(&offered.around), thread.handle()))
            }
            _ => Err(Error::new(ErrorCode::Unavailable, "the service has stopped")),
        }
    }

    /// Ends every call and the thread of all methods. Waits for the thread up to `patience`,
    /// because a method may block it.
    pub(crate) async fn stop(&self, patience: Duration) {
        let thread = {
            let mut offered = self.offered.lock();
            offered.closed = true;
            offered.thread.take()
        };
        let Some(thread) = thread else { return };
        thread.stop();
        if join(vec![thread], patience).await > 0 {
            tracing::warn!("a method blocks the thread of all methods; the thread was abandoned");
        }
    }
}

/// The origin of a call.
pub(crate) struct MethodCaller {
    pub(crate) session: Arc<Session>,
    /// The client whose share the call counts against.
    pub(crate) client: ClientId,
    /// The handle of the node, of which this module knows nothing.
    pub(crate) node: Arc<dyn Any + Send + Sync>,
    pub(crate) deadline: Option<Instant>,
    /// The number of the call on its connection; `None` from this process.
    pub(crate) request: Option<u64>,
}

/// The recipient of the result, notified also when the method panics on drop, or its thread ends.
struct ResultCallback<F: FnOnce(Result<Payload, Error>)>(Option<F>);

impl<F: FnOnce(Result<Payload, Error>)> ResultCallback<F> {
    fn give(mut self, result: Result<Payload, Error>) {
        if let Some(answer) = self.0.take() {
            answer(result);
        }
    }

    fn forget(mut self) {
        self.0 = None;
    }
}

impl<F: FnOnce(Result<Payload, Error>)> Drop for ResultCallback<F> {
    fn drop(&mut self) {
        if let Some(answer) = self.0.take() {
            let message = "the method ended without a result; whether it had an effect is unknown";
            answer(Err(Error::new(ErrorCode::Unavailable, message)));
        }
    }
}

/// Returns the result of a method, including a panic and a timeout.
async fn settle(name: String, until: Option<Instant>, run: Returned) -> Result<Payload, Error> {
    let guarded = AssertUnwindSafe(run).catch_unwind();
    let ended = match until {
        Some(until) => timeout_at(until.into(), guarded).await,
        None => Ok(guarded.await),
    };
    match ended {
        Ok(Ok(result)) => result,
        Ok(Err(panic)) => {
            let said = crate::work::panic_message(&*panic);
            tracing::error!(method = name, said, "a method panicked");
            let message = format!("{name} panicked; whether it had an effect is unknown");
            Err(Error::new(ErrorCode::MethodPanicked, message))
        }
        Err(_) => {
            let message = format!("{name} did not finish in time, and was aborted");
            Err(Error::new(ErrorCode::DeadlineExceeded, message))
        }
    }
}

fn fits(output: Payload, max: usize) -> Result<Payload, Error> {
    match output.bytes().len() <= max {
        true => Ok(output),
        false => Err(limit("services.output_bytes_max", max)),
    }
}

fn limit(name: &str, value: usize) -> Error {
    refusal(name, value, format!("the limit {name} is {value}; try again later, or ask for less"))
}

fn refusal(name: &str, value: usize, message: String) -> Error {
    let details = Details::Limit { name: name.to_owned(), value: value as u64 };
    Error::new(ErrorCode::LimitExceeded, message).with_details(details)
}
