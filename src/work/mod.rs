//! Job handlers, and the workers that run them.
//!
//! A [`JobHandler`] handles the jobs of a [`Topic`], whose [`Schema`] encodes payloads. A
//! [`Worker`] takes jobs from a [`Queue`] and runs handlers: a panic, a timeout or a thread that
//! never returns costs only its own attempt. The queue records results with the outcome; if wanted,
//! a [`Storage`] records them first. `Queue` and `Storage` can be implemented for other brokers;
//! [`conformance`] is the suite that an implementation must pass.
//!
//! Owns the handlers' threads. It does not decide about budgets or order, which belong to the
//! queue.
//!
//! # Layout
//!
//! `worker_actor` asks, settles and holds on; `in_flight` is its state. It puts jobs on the `job_board`,
//! where `handler_actor`s take them and leave reports; `attempt` is one run of a handler. `thread_pool`
//! are the threads. `result_actor` records. `local_workers` lists the workers that end with a service.
//!
//! # Design
//!
//! - A `WorkerActor` asks a `Queue` for as many jobs as it has free handlers, settles all
//!   finished jobs in one request, and touches the others every third of the visibility timeout.
//! - **Jobs are taken, not sent.** They lie on a `JobBoard`. A `HandlerActor` that has finished takes
//!   the next one, and its report lies there until the worker, notified once, takes all reports.
//!   Handlers that do not await run a whole batch in one turn of one actor; a handler that awaits
//!   lets the next begin. The first poll is immediate, so a job that finishes in it costs no
//!   task.
//! - **A thread is a `Lane`,** which records whose turn it is. A handler that is still running
//!   after its timeout is stuck: its attempt fails, the jobs beside it are released at no cost,
//!   another thread takes its place, and the old thread ends when the handler returns. This
//!   happens under the lock of the board, so that an abandoned thread takes no job.
//! - In the server's process, handlers' threads are in the scheduler's idle class. A lower
//!   priority was not enough: the kernel lets a running thread finish its slice, and a get waited
//!   for several.
//! - **A service ends its workers.** They are in its `LocalWorkers`: they drain with the service, which
//!   waits for them before it releases the remaining jobs.
//! - A `ResultActor` writes results into a `Storage`, on a thread of its own, before their
//!   jobs are settled as done. Each result has the epoch of its hand-out; a result older than the
//!   stored one is refused.
//!
//! # Origin
//!
//! The queue grew out of a Go article about a *watch service*. Its parts correspond to these:
//!
//! | article | here |
//! | --- | --- |
//! | Message, its retry and retryMax | a job: `PushRequest`, `failures`, `retry_max` |
//! | Indexer, topic | `PushOptions::index` (by value, unique), `Topic` |
//! | Schemer | `Schema`: `Bincode`, `Json`, `Raw` |
//! | retry | failures, `Backoff`, and beyond `retry_max` a dead letter |
//! | Queue: Next, Push, Close, Len, Clear | `Queue`; `TopicQueue`, `MemoryQueue` |
//! | Storage: Get, Put, Clear, Remove, Close, Len, Range | `Storage`; `MemoryStorage`, `KeyStorage` |
//! | Handler | `JobHandler` |
//! | Watcher Start, Stop, timeout | `Wakeful::handle`, `Client::work`, `start`; `Worker::stop`; `attempt_timeout` |
//!
//! `tests/it/seed` lists the defects of that design, with a test for each that this one does not
//! have it.

mod attempt;
pub mod conformance;
mod context;
mod handler;
mod handler_actor;
mod handler_thread;
mod in_flight;
mod job_board;
mod key_storage;
mod local_workers;
mod memory_queue;
mod memory_storage;
mod options;
mod queue;
mod result_actor;
mod retry_backoff;
mod storage;
#[cfg(test)]
mod tests;
mod thread_pool;
pub(crate) mod threads;
mod time;
mod topic_queue;
mod worker;
mod worker_actor;

pub use crate::jobs::{Bincode, JobResult, Json, Outcome, Raw, Schema, SchemaError, Topic};
pub(crate) use attempt::panic_message;
pub use context::{Cancelled, JobContext};
pub use handler::{JobError, JobHandler};
pub use key_storage::KeyStorage;
pub(crate) use local_workers::LocalWorkers;
pub use memory_queue::{Bounds, DeadLetter, MemoryQueue};
pub use memory_storage::MemoryStorage;
pub use options::{HandlerOptions, ResultSink, Thread};
pub use queue::{NewJob, Next, Queue};
pub use storage::{ResultKey, Storage, StoredResult};
pub use topic_queue::TopicQueue;
pub use worker::{Stopped, Worker, WorkerStats, start};
