//! A watch service: messages, a handler that always fails for every third one, four attempts for each
//! message, and a store for the results.
//!
//! `cargo run --example watch_service` prints how the store of results grows, then
//! `67 results, 33 dead letters, 132 failed attempts`.
#![expect(clippy::print_stdout, reason = "it is what the example shows")]

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use wakeful::work::{MemoryStorage, Storage};
use wakeful::{
    Backoff, Config, Error, ErrorCode, HandlerOptions, JobContext, JobError, JobHandler,
    PushOptions, Topic, Wakeful,
};

const MESSAGES: u32 = 100;

#[derive(Serialize, Deserialize)]
struct Message {
    data: u32,
}

impl Message {
    fn index(&self) -> String {
        format!("my-msg-{}", self.data)
    }
}

struct Handle;

impl JobHandler for Handle {
    type Job = Message;
    type Output = u32;

    async fn handle(&self, message: Message, _: &JobContext) -> Result<u32, JobError> {
        if message.data.is_multiple_of(3) {
            return Err(JobError::retry("a made-up error, to see the retries"));
        }
        Ok(message.data)
    }
}

#[actix_rt::main]
async fn main() -> Result<(), Error> {
    let wakeful = Wakeful::start(Config::new())?;
    let topic: Topic<Message, u32> = Topic::new("messages");
    let storage = Arc::new(MemoryStorage::default());
    let options = HandlerOptions { attempt_timeout: Duration::from_secs(3), ..Default::default() };
    let worker = wakeful.handle(&topic, Handle, options.with_storage(Arc::clone(&storage)))?;

    for data in (1..=MESSAGES).rev() {
        let message = Message { data };
        let options = PushOptions {
            index: Some(message.index().into()),
            retry_max: Some(3),
            backoff: Some(Backoff::Constant(Duration::from_millis(5))),
            ..PushOptions::default()
        };
        topic.push(&wakeful, &message, options).await?;
    }

    let (mut dead, mut shown) = (0, 0);
    let mut outcomes = topic.outcomes(&wakeful, Some(0)).take(MESSAGES as usize);
    while let Some(outcome) = outcomes.next().await {
        match outcome?.result {
            Ok(_) => {}
            Err(error) if error.code == ErrorCode::JobDead => dead += 1,
            Err(error) => return Err(error),
        }
        let stored = storage.len().await?;
        if stored > shown {
            println!("stored: {stored}");
            shown = stored;
        }
    }
    let (stored, failed) = (storage.len().await?, worker.stats().failed);
    println!("{stored} results, {dead} dead letters, {failed} failed attempts");

    worker.stop(Duration::from_secs(10)).await;
    wakeful.stop().await;
    Ok(())
}
