//! [`Client::work`]: handlers in this process of jobs of a server.

use super::Client;
use crate::error::Error;
use crate::runtime::require_arbiter;
use crate::work::{HandlerOptions, JobHandler, Schema, Topic, TopicQueue, Worker};

impl Client {
    /// Handles the jobs of a topic of the server in this process, as
    /// [`Wakeful::handle`](crate::Wakeful::handle) does in the server's process. Handlers continue
    /// while the connection is lost or the server restarts; those whose jobs could not be resumed in
    /// time are [revoked](crate::work::Cancelled::Revoked) after the reconnect. The worker ends by
    /// itself when the client is closed; stop it before that.
    ///
    /// # Errors
    /// Those of [`work::start`](crate::work::start).
    pub fn work<H, S>(
        &self,
        topic: impl Into<Topic<H::Job, H::Output, S>>,
        handler: H,
        options: HandlerOptions,
    ) -> Result<Worker, Error>
    where
        H: JobHandler,
        S: Schema<H::Job> + Schema<H::Output>,
    {
        require_arbiter("Client::work")?;
        let topic = topic.into();
        let queue = TopicQueue::new(self.clone(), topic.name())
            .until(|client| client.handle.ended.is_closed());
        crate::work::start(queue, topic, handler, options)
    }
}
