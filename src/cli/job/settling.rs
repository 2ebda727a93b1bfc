//! How a [`CommandWorker`] settles jobs.

use tokio::sync::mpsc;

use super::ended::{EndedCommand, fitting};
use super::worker::CommandWorker;
use crate::cli::failure::Exit;
use crate::{Error, Jobs, Operations, Verdict};

impl<J: Operations> CommandWorker<'_, J> {
    /// Settles ended jobs until no more can come.
    pub(super) async fn settle(&self, mut endings: mpsc::UnboundedReceiver<EndedCommand>) {
        let queue = &self.plan.queue;
        let mut over = Vec::new();
        while self.taking.get() || !self.running.borrow().is_empty() {
            tokio::select! {
                _ = endings.recv_many(&mut over, queue.push_jobs_max) => {}
                () = self.idle.notified() => {}
            }
            // Before the jobs go back, so that they are not reserved again at once.
            over.iter()
                .filter_map(|ended| ended.command_error.as_ref())
                .for_each(|one| self.hinder(one));
            while !over.is_empty() {
                let rest = over.split_off(fitting(&over, queue.push_bytes_max));
                let batch = std::mem::replace(&mut over, rest);
                self.settle_batch(batch).await;
            }
        }
    }

    async fn settle_batch(&self, mut batch: Vec<EndedCommand>) {
        while !batch.is_empty() {
            let answers = self.settled(&batch).await;
            let mut again = Vec::new();
            for (ended, refusal) in batch.into_iter().zip(answers) {
                let other = refusal.as_ref().and_then(|refusal| ended.without_result(refusal));
                if let Some(other) = other {
                    again.push(other);
                    continue;
                }
                self.finish(ended, refusal);
            }
            batch = again;
        }
    }

    /// Counts a job that was settled, or could not be, and queues its line for printing.
    fn finish(&self, ended: EndedCommand, refusal: Option<Error>) {
        if ended.command_error.is_some() {
            self.running.borrow_mut().put_back(ended.reservation);
        } else {
            self.running.borrow_mut().remove(ended.reservation);
            self.hindered.set(false);
        }
        match (&refusal, &ended.verdict) {
            (Some(_), _) => self.last_exit.set(Exit::Failed),
            // The job has not ended.
            (None, Some(Verdict::Release)) => {}
            (None, _) => self.last_exit.set(ended.exit),
        }
        self.lines.borrow_mut().push(ended.line(refusal));
        self.unwritten.set(self.unwritten.get() + 1);
        self.printable.notify_one();
        self.freed.notify_one();
    }

    /// Returns one answer per job. Retries until there is one: time without a server costs no
    /// reservation, and a lost reservation is refused when the server is back.
    async fn settled(&self, batch: &[EndedCommand]) -> Vec<Option<Error>> {
        let settlements: Vec<_> = batch.iter().filter_map(EndedCommand::settlement).collect();
        let answers = loop {
            if settlements.is_empty() {
                break Ok(Vec::new());
            }
            match self.jobs.settle(settlements.clone()).await {
                Err(error) if error.retryable() => {
                    self.doubt.notify_one();
                    // The error is retryable, so `pause` does not fail.
                    let _ = self.pause(error).await;
                }
                answers => break answers,
            }
        };
        let mut answers = answers.map(Vec::into_iter);
        let answer = |ended: &EndedCommand| match (&ended.verdict, &mut answers) {
            (None, _) => None,
            (Some(_), Ok(answers)) => answers.next().flatten(),
            (Some(_), Err(error)) => Some(error.clone()),
        };
        batch.iter().map(answer).collect()
    }
}
