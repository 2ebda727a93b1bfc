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
//! [`error`] the one error. `store`, `watch` and `queue` are the pure cores; [`actor`] is the thin
//! wiring around them, `handle` the handle of a node, `service` its start and stop, `methods` the services of an application, and [`work`]
//! the handlers of jobs. [`rpc`] is the wire: frames, bodies, server, client. `cli` is the command
//! line. `ARCHITECTURE.md` is the map.

#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod actor;
mod address;
mod addresses;
pub mod auth;
mod buffered;
#[cfg(feature = "cli")]
mod cli;
pub mod config;
mod duration;
mod environment;
pub mod error;
mod failpoint;
mod fair;
mod fair_places;
mod handle;
#[cfg(any(test, feature = "internals"))]
pub mod internals;
mod jobs;
mod journal;
mod local_job;
mod local_watch;
mod methods;
mod model;
mod nearest;
mod operations;
mod pace;
#[cfg(test)]
mod patience;
mod queue;
mod record;
mod rooms;
pub mod rpc;
mod runtime;
mod secret_file;
mod service;
mod session;
mod store;
mod stranger_lines;
mod watch;
pub mod work;

#[cfg(feature = "cli")]
pub use cli::run as run_command_line;
pub use config::{ClientConfig, Config};
pub use error::{Details, Error, ErrorCode};
pub use handle::Wakeful;
pub use jobs::Jobs;
pub use local_watch::{LocalWatch, WatchInto};
#[doc(hidden)]
pub use methods::method_name;
pub use methods::{Interceptor, MethodContext, Methods, Next, Returned, Service};
pub use model::*;
pub use operations::Operations;
pub use rpc::client::{Call, Client, WatchId, WatchMux, WatchStream};
pub use rpc::link;
#[cfg(feature = "tls")]
pub use rpc::tls::{ClientCertificate, ClientCertificates, ClientTls, TlsConfig, TlsDoor};
pub use service::{LimitChange, Reconfigured};
pub use session::{Identity, Peer, Session, Via};
pub use work::{HandlerOptions, JobContext, JobError, JobHandler, Topic, Worker};

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
