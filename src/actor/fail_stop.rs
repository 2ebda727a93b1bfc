//! [`FailStop`]: notifies the service when one of its actors is gone.

use tokio::sync::{mpsc, watch};

use super::log::SharedLog;
use crate::error::{Error, ErrorCode};

/// Held by an actor without which the service cannot continue.
///
/// If it is dropped before the actor was told to end, the actor has panicked, possibly in the middle of
/// a change of its state, or its system has ended. Then nothing more is handed to the journal, no
/// snapshot of that state is written, and the service learns that it has failed. What was handed over
/// is complete.
pub(crate) struct FailStop {
    what: &'static str,
    failure: watch::Sender<Option<Error>>,
    log: Option<SharedLog>,
    /// Held until the actor has ended, so that [`Wakeful::stop`](crate::Wakeful::stop) can wait for it.
    alive: mpsc::Sender<()>,
    ended: bool,
}

impl FailStop {
    pub(crate) fn new(
        what: &'static str,
        failure: &watch::Sender<Option<Error>>,
        log: Option<&SharedLog>,
        alive: &mpsc::Sender<()>,
    ) -> Self {
        let (failure, alive) = (failure.clone(), alive.clone());
        Self { what, failure, log: log.cloned(), alive, ended: false }
    }

    /// Returns a guard for what belongs to the actor and may outlive it.
    pub(super) fn alive(&self) -> mpsc::Sender<()> {
        self.alive.clone()
    }

    /// Notes that the actor ends as intended.
    pub(super) fn end(&mut self) {
        self.ended = true;
    }
}

impl Drop for FailStop {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        let what = self.what;
        // Tokio drops its tasks while the panic unwinds.
        let panicked = std::thread::panicking();
        let message = if panicked {
            format!(
                "{what} has ended by a panic: a defect in Wakeful. Nothing more is written; the \
                 outcome of writes in progress is known when the store is opened again"
            )
        } else {
            format!(
                "{what} has ended before it was told to: its actix system was, without \
                 Wakeful::stop. Acknowledged writes are safe; requests in progress get no answer"
            )
        };
        let error = Error::new(ErrorCode::Internal, message.clone());
        if let Some(log) = &self.log {
            log.abandon(&error);
        }
        let first = self.failure.send_if_modified(|failure| {
            let first = failure.is_none();
            failure.get_or_insert(error);
            first
        });
        match (panicked, first) {
            (true, _) => tracing::error!("{message}"),
            // All of them end with their system.
            (false, true) => tracing::warn!("{message}"),
            (false, false) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn z20_an_actor_that_goes_without_being_told_is_a_failure_told_once() {
        let failure = watch::Sender::new(None);
        let (alive, _ended) = mpsc::channel(1);
        let mut told = FailStop::new("the store", &failure, None, &alive);
        told.end();
        drop(told);
        assert!(failure.borrow().is_none());
        drop(FailStop::new("the store", &failure, None, &alive));
        drop(FailStop::new("the queue", &failure, None, &alive));
        let error = failure.borrow().clone().unwrap();
        assert_eq!(error.code, ErrorCode::Internal);
        assert!(error.message.starts_with("the store has ended before it was told"), "{error}");
    }

    #[actix_rt::test]
    async fn z20_a_panic_is_called_one() {
        let failure = watch::Sender::new(None);
        let (alive, _ended) = mpsc::channel(1);
        let fail_stop = FailStop::new("the queue", &failure, None, &alive);
        let ended = actix_rt::spawn(async move {
            let _held = fail_stop;
            std::panic::panic_any("what a defect says")
        });
        assert!(ended.await.is_err());
        let error = failure.borrow().clone().unwrap();
        assert!(error.message.starts_with("the queue has ended by a panic"), "{error}");
    }
}
