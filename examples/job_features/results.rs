//! Results: the return value of a handler is kept, and can be awaited without polling.
//!
//! Use it where the producer needs an answer, or where another program follows the outcomes of a topic. A
//! job is done only once its result is recorded, with the durability of the service. Results are kept within
//! `queue.outcomes_age_max` (7 days), `queue.outcomes_max` and `queue.topic_outcomes_max`.
//!
//! ```sh
//! cargo run --example job_features -- results
//! ```
//!
//! ```text
//! job 1: 3 words
//! by its index: 3 words
//! job 2 is a dead letter: nothing to count
//! outcome 1: job 1, 3 words
//! outcome 2: job 2 failed
//! after outcome 1: outcome 2
//! ```
//!
//! On the command line: `wakeful job wait 1`, and `wakeful job outcomes counts --after 0`.

use std::time::Duration;

use futures_util::StreamExt;
use wakeful::{
    Config, Error, ErrorCode, HandlerOptions, JobContext, JobError, JobHandler, PushOptions, Topic,
    Wakeful,
};

struct Count;

impl JobHandler for Count {
    type Job = String;
    type Output = usize;

    async fn handle(&self, text: String, _: &JobContext) -> Result<usize, JobError> {
        match text.split_whitespace().count() {
            0 => Err(JobError::fail("nothing to count")),
            words => Ok(words),
        }
    }
}

pub(crate) async fn run() -> Result<(), Error> {
    let wakeful = Wakeful::start(Config::new())?;
    let counts: Topic<String, usize> = Topic::new("counts");
    let worker = wakeful.handle(&counts, Count, HandlerOptions::default())?;
    let minute = Duration::from_secs(60);

    // The result of one job, by its id or by its index. Any client can read it, any number of times.
    let options = PushOptions { index: Some("greeting".into()), ..PushOptions::default() };
    let first = counts.push(&wakeful, &"how are you".to_owned(), options).await?;
    println!("job {first}: {} words", counts.result(&wakeful, first).wait(minute).await?);
    let by_index = counts.result_of(&wakeful, "greeting").wait(minute).await?;
    println!("by its index: {by_index} words");

    // For a job that failed, the answer is the reason.
    let second = counts.push(&wakeful, &" ".to_owned(), PushOptions::default()).await?;
    match counts.result(&wakeful, second).wait(minute).await {
        Err(error) if error.code == ErrorCode::JobDead => println!("{error}"),
        other => println!("unexpected: {other:?}"),
    }

    // All outcomes of the topic, each once, in the order in which the jobs finished; 0 means from the oldest
    // one kept.
    let mut outcomes = counts.outcomes(&wakeful, Some(0)).take(2);
    while let Some(outcome) = outcomes.next().await {
        let outcome = outcome?;
        match outcome.result {
            Ok(words) => {
                println!("outcome {}: job {}, {words} words", outcome.number, outcome.job.id)
            }
            Err(_) => println!("outcome {}: job {} failed", outcome.number, outcome.job.id),
        }
    }

    // A program that stopped after outcome 1 continues after it, and misses nothing.
    let mut rest = counts.outcomes(&wakeful, Some(1));
    if let Some(outcome) = rest.next().await {
        println!("after outcome 1: outcome {}", outcome?.number);
    }
    drop(rest);

    worker.stop(Duration::from_secs(10)).await;
    wakeful.stop().await;
    Ok(())
}
