//! Cancel: a waiting job is never handed out, and a running job is revoked from its handler.
//!
//! Use it when the work is no longer wanted: an order was withdrawn, a newer version makes the job
//! obsolete. A cancelled job never runs again, and requests that wait for its result are answered.
//!
//! ```sh
//! cargo run --example job_features -- cancel
//! ```
//!
//! ```text
//! job 1 was Delayed, and is cancelled
//! job 2 runs
//! its handler: no longer wanted (Revoked)
//! its result: job 2 was cancelled
//! ```
//!
//! On the command line: `wakeful job cancel 1`. A command that `wakeful job work` runs for the job is killed.

use std::time::Duration;

use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use wakeful::{
    Config, Error, ErrorCode, HandlerOptions, JobContext, JobError, JobHandler, JobRef, Jobs,
    PushOptions, Topic, Wakeful,
};

/// Encodes a film, which never finishes.
struct Encode {
    notes: UnboundedSender<String>,
}

impl JobHandler for Encode {
    type Job = String;
    type Output = ();

    async fn handle(&self, _: String, cx: &JobContext) -> Result<(), JobError> {
        let _ = self.notes.send(format!("job {} runs", cx.id()));
        // Await this beside the work (`tokio::select!`), or check `cx.is_cancelled()` now and then.
        let reason = cx.cancelled().await;
        let _ = self.notes.send(format!("its handler: no longer wanted ({reason:?})"));
        Err(JobError::retry("cancelled"))
    }
}

pub(crate) async fn run() -> Result<(), Error> {
    let wakeful = Wakeful::start(Config::new())?;
    let films: Topic<String, ()> = Topic::new("films");
    let (notes, mut noted) = unbounded_channel();

    // A waiting job, here a delayed one.
    let later = PushOptions { delay: Duration::from_secs(3600), ..PushOptions::default() };
    let id = films.push(&wakeful, &"a long film".to_owned(), later).await?;
    let state = wakeful.get_job(JobRef::Id(id)).await?.state;
    wakeful.cancel_job(JobRef::Id(id)).await?;
    println!("job {id} was {state:?}, and is cancelled");

    // A running job.
    let worker = wakeful.handle(&films, Encode { notes }, HandlerOptions::default())?;
    let id = films.push(&wakeful, &"a longer film".to_owned(), PushOptions::default()).await?;
    println!("{}", noted.recv().await.unwrap_or_default());
    wakeful.cancel_job(JobRef::Id(id)).await?;
    println!("{}", noted.recv().await.unwrap_or_default());
    match films.result(&wakeful, id).wait(Duration::from_secs(60)).await {
        Err(error) if error.code == ErrorCode::JobCancelled => println!("its result: {error}"),
        other => other?,
    }

    worker.stop(Duration::from_secs(10)).await;
    wakeful.stop().await;
    Ok(())
}
