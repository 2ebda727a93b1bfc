//! [`Pool`]: the hashing threads. Threads and queue are bounded, so that a flood of passwords
//! neither stops the service nor fills its memory.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};

use parking_lot::Mutex;

type PoolTask = Box<dyn FnOnce() + Send>;

/// A fixed number of threads with a bounded queue. The threads end with the pool.
#[derive(Debug)]
pub(super) struct Pool {
    /// `None` once closed.
    queue: Mutex<Option<SyncSender<PoolTask>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// The reason why a job is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// The queue is full.
    Full,
    Closed,
}

impl Pool {
    pub(super) fn start(threads: usize, queue_max: usize) -> std::io::Result<Self> {
        let (queue, jobs) = sync_channel(queue_max);
        let jobs = Arc::new(Mutex::new(jobs));
        let threads = (0..threads).map(|_| {
            let jobs = Arc::clone(&jobs);
            thread::Builder::new().name("wakeful-hash".to_owned()).spawn(move || work(&jobs))
        });
        let threads = Mutex::new(threads.collect::<std::io::Result<_>>()?);
        Ok(Self { queue: Mutex::new(Some(queue)), threads })
    }

    /// Accepts no more jobs, and waits until queued jobs are done and the threads have ended.
    pub(super) fn close(&self) {
        drop(self.queue.lock().take());
        for thread in std::mem::take(&mut *self.threads.lock()) {
            // The thread catches panics of its jobs.
            let _ = thread.join();
        }
    }

    /// Queues a job.
    pub(super) fn run(&self, job: impl FnOnce() + Send + 'static) -> Result<(), Refused> {
        let queue = self.queue.lock().clone().ok_or(Refused::Closed)?;
        queue.try_send(Box::new(job)).map_err(|error| match error {
            TrySendError::Full(_) => Refused::Full,
            TrySendError::Disconnected(_) => Refused::Closed,
        })
    }
}

fn work(jobs: &Mutex<Receiver<PoolTask>>) {
    loop {
        let job = jobs.lock().recv();
        let Ok(job) = job else { return };
        // A panic drops the job's answer channel, which informs the waiting side.
        let _ = catch_unwind(AssertUnwindSafe(job));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(20);

    #[test]
    fn a4_what_the_pool_has_no_room_for_is_refused_and_a_panic_ends_no_thread() {
        let pool = Pool::start(1, 2).unwrap();
        let (begun, begins) = channel();
        let (go, gone) = channel::<()>();
        pool.run(move || {
            begun.send(()).unwrap();
            gone.recv().unwrap();
        })
        .unwrap();
        begins.recv_timeout(TIMEOUT).unwrap();
        let (done, all_done) = channel();
        let panics = done.clone();
        pool.run(move || {
            let _dropped = panics;
            panic!("on purpose");
        })
        .unwrap();
        pool.run(move || done.send(7).unwrap()).unwrap();
        assert_eq!(pool.run(|| {}), Err(Refused::Full));
        go.send(()).unwrap();
        assert_eq!(all_done.recv_timeout(TIMEOUT), Ok(7));
        pool.close();
        assert_eq!(pool.run(|| {}), Err(Refused::Closed));
    }
}
