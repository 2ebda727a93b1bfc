//! [`LocalJob`]: a request to the queue from this process, which can be cancelled.

use actix::Addr;
use tokio::sync::oneshot;

use crate::actor::QueueActor;
use crate::actor::message::{CancelJobs, ExecuteJob, OwnerId, Undelivered};
use crate::config::Durability;
use crate::error::Error;
use crate::model::{CallReply, JobReply, JobRequest, Reply};

type LocalAnswer = Result<CallReply, Error>;

/// A request to the queue. Dropping it before its answer was taken cancels it if it waits, and
/// gives back jobs on their way to it.
pub(crate) struct LocalJob<'a> {
    queue: &'a Addr<QueueActor>,
    owner: OwnerId,
    id: u64,
    /// True while it may wait.
    waits: bool,
    answered: oneshot::Receiver<LocalAnswer>,
}

impl<'a> LocalJob<'a> {
    /// Sends the request for `owner`, which uses this `id` for no other request.
    pub(crate) fn ask(
        queue: &'a Addr<QueueActor>,
        owner: OwnerId,
        id: u64,
        request: JobRequest,
        durability: Option<Durability>,
    ) -> Self {
        let (answer, answered) = oneshot::channel();
        let waits = request.parks();
        // bound: the caller awaits each
        queue.do_send(ExecuteJob { owner, id, durability, request, answer });
        Self { queue, owner, id, waits, answered }
    }

    /// Returns the answer; `None` if the queue has ended.
    pub(crate) async fn answer(mut self) -> Option<LocalAnswer> {
        let answer = (&mut self.answered).await;
        self.waits = false;
        answer.ok()
    }
}

impl Drop for LocalJob<'_> {
    fn drop(&mut self) {
        // From here on the sender keeps an undelivered answer, and handles it itself.
        self.answered.close();
        match self.answered.try_recv() {
            Ok(Ok(CallReply { reply: Reply::Job(JobReply::Reserved(jobs)), .. })) => {
                // bound: one for each request
                self.queue.do_send(Undelivered(jobs));
            }
            Ok(_) => {}
            Err(_) if self.waits => {
                // bound: one for each request
                self.queue.do_send(CancelJobs { owner: self.owner, ids: vec![self.id] });
            }
            Err(_) => {}
        }
    }
}
