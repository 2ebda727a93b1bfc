//! What a user writes to handle jobs, and what runs it.
//!
//! A [`JobHandler`] does the jobs of a [`Topic`], whose [`Schema`] says how they are bytes. A
//! [`Worker`] takes jobs from a [`Queue`] and has handlers do them: a panic, a timeout or a thread
//! that never comes back costs its own attempt and nothing else. Results are recorded by the queue
//! with the outcome, and, if wanted, in a [`Storage`] before. `Queue` and `Storage` can be
//! implemented for other brokers; [`conformance`] is what an implementation must pass.
//!
//! Owns: the handlers' threads. Never does: decide about budgets or order, which is the queue's.
//!
//! # Layout
//! `worker_actor` asks, settles and holds on; `books` is what it knows. It leaves jobs on the
//! `desk`, where `handler_actor`s take them and leave reports; `attempt` is one run of a handler.
//! `lanes` are the threads. `recording_actor` records. `roster` lists the workers that end with a
//! service.

mod attempt;
mod books;
pub mod conformance;
mod context;
mod desk;
mod handler;
mod handler_actor;
mod key_storage;
mod lane;
mod lanes;
mod memory_queue;
mod memory_storage;
mod options;
mod outcomes;
mod pause;
mod queue;
mod recording_actor;
mod roster;
pub(crate) mod schema;
mod storage;
#[cfg(test)]
mod tests;
pub(crate) mod threads;
mod time;
mod topic;
mod topic_queue;
mod worker;
mod worker_actor;

pub(crate) use attempt::said;
pub use context::{Cancelled, JobContext};
pub use handler::{JobError, JobHandler};
pub use key_storage::KeyStorage;
pub use memory_queue::{Bounds, DeadLetter, MemoryQueue};
pub use memory_storage::MemoryStorage;
pub use options::{HandlerOptions, Recorder, Thread};
pub use outcomes::Outcome;
pub use queue::{NewJob, Next, Queue};
pub(crate) use roster::Roster;
pub use schema::{Bincode, Json, Raw, Schema, SchemaError};
pub use storage::{ResultKey, Storage, StoredResult};
pub use topic::{JobResult, Topic};
pub use topic_queue::TopicQueue;
pub use worker::{Stopped, Worker, WorkerStats, start};
