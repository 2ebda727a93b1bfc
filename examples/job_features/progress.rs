//! Progress: a handler reports its progress, and `get_job` returns the last report.
//!
//! Use it for long jobs. A progress note is text or bytes, up to `queue.progress_bytes_max` (1 KiB). It is
//! not persisted: it lasts until the next note, the end of the job, or the end of the server.
//!
//! ```sh
//! cargo run --example job_features -- progress
//! ```
//!
//! ```text
//! job 1 is Reserved: page 1 of 3
//! job 1 is Reserved: page 2 of 3
//! job 1 is Reserved: page 3 of 3
//! result: 3 pages
//! ```
//!
//! On the command line: `wakeful job get 1` shows the note. A worker in any language reports progress
//! with the request `Wakeful.JobProgress` of the JSON dialect.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use wakeful::{
    Config, Error, HandlerOptions, JobContext, JobError, JobHandler, JobRef, Jobs, PushOptions,
    Topic, Wakeful,
};

struct Print {
    /// Receives an item for each note, so that this example reads the job at the right time.
    noted: UnboundedSender<()>,
    /// Has a permit for the next page once this example has shown the note.
    shown: Arc<Semaphore>,
}

impl JobHandler for Print {
    type Job = u32;
    type Output = String;

    async fn handle(&self, pages: u32, cx: &JobContext) -> Result<String, JobError> {
        for page in 1..=pages {
            cx.progress(format!("page {page} of {pages}")).await?;
            let _ = self.noted.send(());
            self.shown.acquire().await?.forget();
        }
        Ok(format!("{pages} pages"))
    }
}

pub(crate) async fn run() -> Result<(), Error> {
    let wakeful = Wakeful::start(Config::new())?;
    let printing: Topic<u32, String> = Topic::new("printing");
    let (noted, mut notes) = unbounded_channel();
    let shown = Arc::new(Semaphore::new(0));
    let handler = Print { noted, shown: Arc::clone(&shown) };
    let worker = wakeful.handle(&printing, handler, HandlerOptions::default())?;

    let id = printing.push(&wakeful, &3, PushOptions::default()).await?;
    for _ in 0..3 {
        notes.recv().await;
        let job = wakeful.get_job(JobRef::Id(id)).await?;
        println!("job {id} is {:?}: {}", job.state, job.progress.unwrap_or_default());
        shown.add_permits(1);
    }
    let result = printing.result(&wakeful, id).wait(Duration::from_secs(60)).await?;
    println!("result: {result}");
    assert_eq!(result, "3 pages");

    worker.stop(Duration::from_secs(10)).await;
    wakeful.stop().await;
    Ok(())
}
