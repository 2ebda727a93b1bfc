//! [`WatchSession`]: one waiting party.

use actix::{Actor, Context, Handler};
use tokio::sync::mpsc;

use super::message::{Show, WaitAnswered};
use crate::buffered::Buffered;
use crate::error::Error;
use crate::model::WaitOutcome;
use crate::watch::{EventBatch, WatcherHandle};

/// Represents one waiting party: a wait, or a stream of watches.
///
/// The store holds its only address: when a wait is answered or ended, or a stream closed, the address
/// is dropped and the session ends. Nothing of a party outlives that.
pub(crate) struct WatchSession {
    outlet: Option<Outlet>,
    /// Signals the end of the session when dropped.
    _alive: mpsc::Sender<()>,
}

/// How a session reaches the waiting party. Must not block.
pub(crate) enum Outlet {
    /// Takes the one answer.
    Wait(Box<dyn FnOnce(Result<WaitOutcome, Error>) + Send>),
    /// Takes each batch, and sends [`StreamReady`](super::message::StreamReady) when it is used up.
    Stream(Box<dyn FnMut(WatcherHandle, Buffered<EventBatch>) + Send>),
}

impl WatchSession {
    pub(crate) fn new(outlet: Outlet, alive: mpsc::Sender<()>) -> Self {
        Self { outlet: Some(outlet), _alive: alive }
    }
}

impl Actor for WatchSession {
    type Context = Context<Self>;
}

impl Handler<WaitAnswered> for WatchSession {
    type Result = ();

    fn handle(&mut self, WaitAnswered(outcome): WaitAnswered, _: &mut Self::Context) {
        if let Some(Outlet::Wait(answer)) = self.outlet.take() {
            answer(outcome);
        }
    }
}

impl Handler<Show> for WatchSession {
    type Result = ();

    fn handle(&mut self, Show(stream, batch): Show, _: &mut Self::Context) {
        if let Some(Outlet::Stream(show)) = &mut self.outlet {
            show(stream, batch);
        }
    }
}
