//! [`Client`]: [`Operations`](crate::Operations) over one TCP connection, shared by any number
//! of tasks.

mod call;
mod watch;

pub use call::Call;
pub use watch::{WatchId, WatchMux, WatchStream};

use std::future::Future;
use std::time::Duration;

use crate::config::ClientConfig;
use crate::error::{Error, ErrorCode};
use crate::model::{IdempotencyKey, Reply, Request, WaitOutcome, WaitRequest, WatchRequest};
use crate::operations::Operations;

/// A connection to a Wakeful server. Cheap to clone; all clones share the connection.
#[derive(Debug, Clone)]
pub struct Client {
    deadline: Option<Duration>,
}

fn todo() -> Error {
    Error::new(ErrorCode::Internal, "the client is not written yet")
}

impl Client {
    /// Connects to the server at `addr`, `host:port`, with the defaults of [`ClientConfig`].
    pub async fn connect(addr: impl Into<String>) -> Result<Self, Error> {
        Self::connect_with(ClientConfig::new(addr)).await
    }

    /// Connects as `config` says.
    pub async fn connect_with(config: ClientConfig) -> Result<Self, Error> {
        let _ = config;
        Err(todo())
    }

    /// The same connection with another deadline for calls.
    #[must_use]
    pub fn with_deadline(&self, deadline: Duration) -> Self {
        Self { deadline: Some(deadline) }
    }

    /// Starts a request and returns at once.
    pub fn go(&self, request: Request) -> Call<Reply> {
        let _ = (request, self.deadline);
        Call::refused(todo())
    }

    /// As [`go`](Self::go), for a write that is done at most once however often it is sent.
    pub fn go_once(&self, key: IdempotencyKey, request: Request) -> Call<Reply> {
        let _ = (key, request);
        Call::refused(todo())
    }

    /// Starts a wait and returns at once.
    pub fn go_wait(&self, request: WaitRequest) -> Call<WaitOutcome> {
        let _ = request;
        Call::refused(todo())
    }

    /// A stream that many watches share.
    pub fn watch_mux(&self) -> WatchMux {
        WatchMux {}
    }

    /// Ends the connection: lets requests in flight end, for `close_timeout` at most.
    pub async fn close(&self) {}
}

impl Operations for Client {
    type Watch = WatchStream;

    fn call(&self, request: Request) -> impl Future<Output = Result<Reply, Error>> + Send {
        async move { self.go(request).await }
    }

    fn call_once(
        &self,
        key: IdempotencyKey,
        request: Request,
    ) -> impl Future<Output = Result<Reply, Error>> + Send {
        async move { self.go_once(key, request).await }
    }

    fn wait(
        &self,
        request: WaitRequest,
    ) -> impl Future<Output = Result<WaitOutcome, Error>> + Send {
        async move { self.go_wait(request).await }
    }

    fn watch(
        &self,
        request: WatchRequest,
    ) -> impl Future<Output = Result<WatchStream, Error>> + Send {
        async move {
            let _ = request;
            Err(todo())
        }
    }
}
