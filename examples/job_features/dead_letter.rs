//! Dead letters: jobs that failed too often are kept, with their errors, until an operator handles them.
//!
//! A failed job runs again after a pause, up to `retry_max` times (25 by default). Then it becomes a dead
//! letter: it keeps its payload and its last errors, and blocks no other job. Fix the cause, and replay the
//! job: it is ready again, with all of its retries.
//!
//! ```sh
//! cargo run --example job_features -- dead_letter
//! ```
//!
//! ```text
//! job 1 is a dead letter: the mail server is down
//! dead letter 1: 3 failures, the last: the mail server is down
//! replayed: 1
//! result: mail to ann is sent
//! ```
//!
//! On the command line: `wakeful job dead mail`, `wakeful job replay mail 1` (or `--all`), and
//! `wakeful job delete mail 1` to discard it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use wakeful::{
    Backoff, Config, Error, ErrorCode, HandlerOptions, JobContext, JobError, JobHandler, JobState,
    Jobs, PushOptions, Topic, Wakeful,
};

struct SendMail {
    server_is_up: Arc<AtomicBool>,
}

impl JobHandler for SendMail {
    type Job = String;
    type Output = String;

    async fn handle(&self, to: String, _: &JobContext) -> Result<String, JobError> {
        if !self.server_is_up.load(Ordering::Acquire) {
            // `JobError::fail` would make it a dead letter at once.
            return Err(JobError::retry("the mail server is down"));
        }
        Ok(format!("mail to {to} is sent"))
    }
}

pub(crate) async fn run() -> Result<(), Error> {
    let wakeful = Wakeful::start(Config::new())?;
    let mail: Topic<String, String> = Topic::new("mail");
    let server_is_up = Arc::new(AtomicBool::new(false));
    let handler = SendMail { server_is_up: Arc::clone(&server_is_up) };
    let worker = wakeful.handle(&mail, handler, HandlerOptions::default())?;

    // One run and two retries. In production, pauses are longer: by default they double, from one second.
    let options = PushOptions {
        retry_max: Some(2),
        backoff: Some(Backoff::Constant(Duration::from_millis(10))),
        ..PushOptions::default()
    };
    let id = mail.push(&wakeful, &"ann".to_owned(), options).await?;
    let minute = Duration::from_secs(60);
    match mail.result(&wakeful, id).wait(minute).await {
        Err(error) if error.code == ErrorCode::JobDead => println!("{error}"),
        other => println!("unexpected: {other:?}"),
    }

    // The list that an operator sees.
    let page = wakeful.list_jobs("mail", JobState::Dead, 0, 0).await?;
    for job in &page.jobs {
        let last = job.errors.last().map_or("", String::as_str);
        println!("dead letter {}: {} failures, the last: {last}", job.id, job.failures);
    }
    assert_eq!(page.jobs.len(), 1);

    // The cause is fixed, so run the job again.
    server_is_up.store(true, Ordering::Release);
    println!("replayed: {}", wakeful.replay("mail", Some(id)).await?);
    println!("result: {}", mail.result(&wakeful, id).wait(minute).await?);

    worker.stop(Duration::from_secs(10)).await;
    wakeful.stop().await;
    Ok(())
}
