//! The reports of a worker about its jobs: to the storage first, then to the queue.

use std::sync::Arc;
use std::time::Instant;

use actix::{ActorFutureExt, AsyncContext, Context, WrapFuture};

use super::{WorkerActor, guarded};
use crate::config::work::{BATCH_LIMITS, SETTLES_MAX};
use crate::error::{Details, Error, ErrorCode};
use crate::model::{Settlement, Verdict};
use crate::work::Queue;
use crate::work::result_actor::StoreResults;

type SettleAnswers = Result<Vec<Option<Error>>, Error>;

impl<Q: Queue> WorkerActor<Q> {
    pub(super) fn record(&mut self, ctx: &mut Context<Self>) {
        let Some((storage, _)) = &self.storage else { return };
        let results = self.in_flight.record(self.batch_max);
        if results.is_empty() {
            return;
        }
        let recorded = storage.send(StoreResults(results)).into_actor(self);
        ctx.spawn(recorded.map(|answers, actor, ctx| {
            let gone = || Some(Error::new(ErrorCode::Unavailable, "the storage has ended"));
            let mut answers = answers.unwrap_or_default().into_iter();
            for Settlement { reservation, verdict } in actor.in_flight.recorded() {
                let verdict = match answers.next().unwrap_or_else(gone) {
                    None => verdict,
                    Some(error) => {
                        let error = format!("recording failed: {error}");
                        Verdict::Retry { after: None, error }
                    }
                };
                actor.settle_verdict(reservation, verdict);
            }
            actor.turn(ctx);
        }));
    }

    pub(super) fn settle(&mut self, ctx: &mut Context<Self>) {
        if !self.settling.is_over(Instant::now()) {
            return;
        }
        while self.settles < SETTLES_MAX {
            let batch = self.in_flight.settle(self.batch_max, self.batch_bytes_max);
            if batch.is_empty() {
                return;
            }
            self.settles += 1;
            let (queue, sent) = (Arc::clone(&self.queue), batch.clone());
            let settled = guarded(async move { queue.settle(sent).await });
            ctx.spawn(settled.into_actor(self).map(move |answers, actor, ctx| {
                actor.settles -= 1;
                actor.in_flight.settled(batch.len());
                actor.settled(batch, answers);
                actor.turn(ctx);
            }));
        }
    }

    fn settled(&mut self, batch: Vec<Settlement>, answers: SettleAnswers) {
        match answers {
            Ok(answers) => {
                self.settling.succeeded();
                for (settlement, answer) in batch.into_iter().zip(answers) {
                    if let Some(error) = answer {
                        self.refused(settlement, error);
                    }
                }
            }
            Err(error) if self.allows_less(&error) => self.in_flight.settle_again(batch),
            Err(error) if error.code == ErrorCode::FrameTooLarge => {
                self.settle_in_parts(batch, error);
            }
            Err(error) => {
                self.stats.lock().queue_errors += 1;
                let pause = self.settling.failed(Instant::now(), rand::random());
                tracing::warn!(topic = %self.topic, %error, ?pause, "the queue did not accept outcomes of jobs");
                if error.retryable() {
                    self.in_flight.settle_again(batch);
                }
                // A lost settlement resolves itself when its visibility ends.
            }
        }
    }

    /// Splits a batch that did not fit in a frame of the server.
    fn settle_in_parts(&mut self, mut batch: Vec<Settlement>, error: Error) {
        match (batch.len(), batch.pop()) {
            // A single one will never fit.
            (1, Some(settlement)) => self.refused(settlement, error),
            (_, last) => {
                self.batch_bytes_max /= 2;
                batch.extend(last);
                self.in_flight.settle_again(batch);
            }
        }
    }

    /// Handles one refused outcome.
    fn refused(&mut self, Settlement { reservation, verdict }: Settlement, error: Error) {
        match verdict {
            _ if error.code == ErrorCode::StaleReservation => self.stats.lock().revoked += 1,
            verdict if error.retryable() => {
                self.settling.failed(Instant::now(), rand::random());
                self.in_flight.settle_later(reservation, verdict);
            }
            Verdict::Done { .. } => {
                let error = format!("recording failed: {error}");
                self.settle_verdict(reservation, Verdict::Retry { after: None, error });
            }
            _ => {
                tracing::warn!(topic = %self.topic, id = reservation.id, %error, "the outcome of a job was refused");
            }
        }
    }

    /// Applies a smaller limit for requests that the queue has named; returns false if there is
    /// none.
    pub(super) fn allows_less(&mut self, error: &Error) -> bool {
        let Details::Limit { name, value } = &error.details else { return false };
        let less = usize::try_from(*value).unwrap_or(usize::MAX);
        let allows = error.code == ErrorCode::LimitExceeded
            && BATCH_LIMITS.contains(&name.as_str())
            && (1..self.batch_max).contains(&less);
        if allows {
            self.batch_max = less;
        }
        allows
    }
}
