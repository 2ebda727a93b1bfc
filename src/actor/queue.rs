//! [`QueueActor`]: the owner of the jobs.

use actix::{Actor, ActorContext, Context, Handler};
use tokio::sync::mpsc;

use super::message::{CancelJobs, ExecuteJob, HaltQueue, JobWorks, OwnerGone};
use crate::error::{Error, ErrorCode};

/// Owns the jobs, and hands them out to whoever asks for them.
pub struct QueueActor {
    _alive: mpsc::Sender<()>,
}

impl QueueActor {
    pub(crate) fn new(alive: mpsc::Sender<()>) -> Self {
        Self { _alive: alive }
    }
}

impl Actor for QueueActor {
    type Context = Context<Self>;
}

impl Handler<JobWorks> for QueueActor {
    type Result = ();

    fn handle(&mut self, works: JobWorks, _: &mut Self::Context) {
        let refused = |id| (id, Err(Error::new(ErrorCode::Unavailable, "not yet")));
        works.sink.take(works.works.iter().map(|work| refused(work.id)).collect());
    }
}

impl Handler<ExecuteJob> for QueueActor {
    type Result = ();

    fn handle(&mut self, job: ExecuteJob, _: &mut Self::Context) {
        drop(job.answer.send(Err(Error::new(ErrorCode::Unavailable, "not yet"))));
    }
}

impl Handler<CancelJobs> for QueueActor {
    type Result = ();

    fn handle(&mut self, _: CancelJobs, _: &mut Self::Context) {}
}

impl Handler<OwnerGone> for QueueActor {
    type Result = ();

    fn handle(&mut self, _: OwnerGone, _: &mut Self::Context) {}
}

impl Handler<HaltQueue> for QueueActor {
    type Result = ();

    fn handle(&mut self, _: HaltQueue, ctx: &mut Self::Context) {
        ctx.stop();
    }
}
