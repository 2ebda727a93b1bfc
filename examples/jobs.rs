//! Jobs within one process: a handler, a pushed job and its result.
//!
//! `cargo run --example jobs` prints `job 1: photo-17.jpg at 64 pixels`.
#![expect(clippy::print_stdout, reason = "it is what the example shows")]

use std::time::Duration;

use wakeful::{
    Config, Error, HandlerOptions, JobContext, JobError, JobHandler, PushOptions, Topic, Wakeful,
};

struct Resize;

impl JobHandler for Resize {
    type Job = (String, u32);
    type Output = String;

    async fn handle(&self, job: (String, u32), _: &JobContext) -> Result<String, JobError> {
        let (photo, width) = job;
        if width == 0 {
            return Err(JobError::fail("nothing would be left"));
        }
        Ok(format!("{photo} at {width} pixels"))
    }
}

#[actix_rt::main]
async fn main() -> Result<(), Error> {
    let wakeful = Wakeful::start(Config::new())?;
    let topic: Topic<(String, u32), String> = Topic::new("resize");
    let worker = wakeful.handle(&topic, Resize, HandlerOptions::default())?;

    let photo = ("photo-17.jpg".to_owned(), 64);
    let options = PushOptions { index: Some("photo-17".into()), ..PushOptions::default() };
    let id = topic.push(&wakeful, &photo, options).await?;
    let resized = topic.result(&wakeful, id).wait(Duration::from_secs(60)).await?;
    println!("job {id}: {resized}");

    worker.stop(Duration::from_secs(10)).await;
    wakeful.stop().await;
    Ok(())
}
