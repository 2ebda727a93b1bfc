//! [`Contexts`]: the contexts of the actors before they run.

use std::sync::Arc;

use actix::{Addr, AsyncContext, Context};

use crate::actor::message::JournalProgressed;
use crate::actor::{QueueActor, StorageActor, StoreActor};
use crate::journal;

/// The contexts of the actors: their addresses are known before they run.
pub(super) struct Contexts {
    pub(super) store: Context<StoreActor>,
    pub(super) queue: Context<QueueActor>,
    pub(super) storage: Context<StorageActor>,
}

impl Contexts {
    pub(super) fn new() -> Self {
        Self { store: Context::new(), queue: Context::new(), storage: Context::new() }
    }

    /// Returns the callback that reports the journal's progress to all actors.
    pub(super) fn report(&self) -> journal::ProgressSink {
        let store: Addr<StoreActor> = self.store.address();
        let queue: Addr<QueueActor> = self.queue.address();
        let storage: Addr<StorageActor> = self.storage.address();
        Arc::new(move |progress: journal::JournalProgress| {
            // bound: one for each commit
            storage.do_send(JournalProgressed(progress.clone()));
            queue.do_send(JournalProgressed(progress.clone()));
            store.do_send(JournalProgressed(progress));
        })
    }
}
