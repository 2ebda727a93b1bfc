//! Wakeful: a key-value store whose changes can be awaited, and a job queue with retries.
//!
//! There are two ways to use it, with the same methods ([`Operations`] for keys, [`Jobs`] for the
//! queue):
//!
//! - [`Wakeful`] is the service, in your actix system; it can listen on TCP for others.
//! - [`Client`] is one connection to a service elsewhere, for any number of tasks.
//!
//! Two methods await changes: [`wait`](Operations::wait), one call with one answer, and
//! [`watch`](Operations::watch), a stream. `docs/guarantees.md` numbers what they promise.
//!
//! A job is pushed to a topic and handed to a worker: to a [`JobHandler`] that
//! [`Wakeful::handle`] or [`Client::work`] runs, or to a caller that [reserves](Jobs::reserve) it.
//!
//! # Layout
//!
//! `model` has the requests and replies (all re-exported here), [`config`] every limit by name, and
//! [`error`] the one error. `operations`, [`jobs`] and `calls` have the traits. `store`, `watch` and
//! `queue` are the pure cores; [`actor`] is the thin wiring around them, `handle` the handle of a node,
//! `node` its start and stop, `methods` the services of an application, and [`work`] the handlers
//! of jobs. `front` is what every door shares, and [`rpc`] the wire: frames, bodies, the doors of a
//! port, the client. `cli` is the command line. `ARCHITECTURE.md` is the map.
//!
//! # Features
//!
//! | feature | adds |
//! | --- | --- |
//! | none | requests, replies, errors and configurations, as data |
//! | `client` | [`Client`], [`Operations`], [`Jobs`], [`Methods`], [`Topic`] |
//! | `worker` | `client`, and [`Client::work`]: handlers of jobs, on actix |
//! | `server` | `worker`, and [`Wakeful`]: the service in this process, and its ports |
//! | `tls` | TLS, of clients, and with `server` of its ports |
//! | `cli` | `server`, and the command line |
//!
//! The default is `cli` and `tls`. A program that only talks to a server turns it off:
//! `wakeful = { version = "0.1", default-features = false, features = ["client"] }`.

#![cfg_attr(docsrs, feature(doc_cfg))]
// Modules that all parts share have items that only the server uses.
#![cfg_attr(not(feature = "server"), allow(dead_code, unused_imports))]

#[cfg(feature = "server")]
pub mod actor;
#[cfg(feature = "client")]
mod address;
#[cfg(feature = "server")]
mod addresses;
#[cfg(feature = "cli")]
mod allocator;
#[cfg(feature = "server")]
pub mod auth;
#[cfg(feature = "server")]
mod buffered;
#[cfg(feature = "client")]
mod calls;
#[cfg(feature = "cli")]
mod cli;
pub mod config;
mod duration;
#[cfg(feature = "client")]
mod environment;
pub mod error;
#[cfg(feature = "server")]
mod failpoint;
#[cfg(feature = "server")]
mod fair;
#[cfg(feature = "server")]
mod fair_places;
#[cfg(feature = "server")]
mod front;
#[cfg(feature = "server")]
mod handle;
#[cfg(feature = "client")]
mod held;
#[cfg(any(test, feature = "internals"))]
pub mod internals;
#[cfg(feature = "client")]
pub mod jobs;
#[cfg(feature = "server")]
mod journal;
#[cfg(feature = "server")]
mod local_job;
#[cfg(feature = "server")]
mod local_watch;
#[cfg(feature = "server")]
mod methods;
mod model;
#[cfg(feature = "server")]
mod nearest;
#[cfg(feature = "server")]
mod node;
#[cfg(feature = "client")]
mod operations;
#[cfg(feature = "server")]
mod pace;
#[cfg(feature = "server")]
mod queue;
#[cfg(feature = "server")]
mod record;
#[cfg(feature = "server")]
mod replayed;
#[cfg(feature = "client")]
pub mod rpc;
#[cfg(feature = "client")]
mod runtime;
#[cfg(feature = "client")]
mod secret_file;
#[cfg(feature = "client")]
mod session;
#[cfg(feature = "server")]
mod store;
#[cfg(feature = "server")]
mod stranger_lines;
#[cfg(test)]
mod test_timeout;
#[cfg(feature = "server")]
mod time;
#[cfg(feature = "server")]
mod watch;
#[cfg(feature = "worker")]
pub mod work;

#[cfg(feature = "cli")]
#[doc(hidden)]
pub use allocator::Allocator;
#[cfg(feature = "client")]
pub use calls::Methods;
#[cfg(feature = "cli")]
pub use cli::run as run_command_line;
#[cfg(feature = "tls")]
pub use config::{ClientCertificate, ClientTls};
pub use config::{ClientConfig, Config};
pub use error::{Details, Error, ErrorCode};
#[cfg(feature = "server")]
pub use handle::Wakeful;
#[cfg(feature = "client")]
pub use jobs::{Jobs, Topic};
#[cfg(feature = "server")]
pub use local_watch::{ActorWatch, Watch};
#[cfg(feature = "server")]
#[doc(hidden)]
pub use methods::method_name;
#[cfg(feature = "server")]
pub use methods::{Interceptor, MethodContext, Next, Returned, Service};
pub use model::*;
#[cfg(feature = "server")]
pub use node::{LimitChange, Reconfigured};
#[cfg(feature = "client")]
pub use operations::Operations;
#[cfg(feature = "client")]
pub use rpc::client::{Call, Client, WatchId, WatchMux, WatchStream};
#[cfg(feature = "server")]
pub use rpc::link;
#[cfg(all(feature = "server", feature = "tls"))]
pub use rpc::tls::{ClientCertificates, TlsConfig, TlsListener};
#[cfg(feature = "client")]
pub use session::{Identity, Peer, Session, Via};
#[cfg(feature = "worker")]
pub use work::{HandlerOptions, JobContext, JobError, JobHandler, Worker};

/// Compiles the Rust examples of the documents.
#[cfg(doctest)]
mod documents {
    #[doc = include_str!("../README.md")]
    struct Readme;

    #[doc = include_str!("../docs/jobs.md")]
    struct Jobs;

    #[doc = include_str!("../docs/users.md")]
    struct Users;
}
