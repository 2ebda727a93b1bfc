//! An order key: jobs with the same key run one at a time, in the order of their pushes.
//!
//! Use it where the jobs of one customer, account or file must not overtake each other, and those of
//! different ones may run at once. A key is any name, and the number of keys is not limited.
//!
//! ```sh
//! cargo run --example job_features -- order_key
//! ```
//!
//! ```text
//! handed out: ann: order created; ben: order created
//! handed out while these run: nothing
//! handed out after ann's first job is done: ann: order paid
//! ```
//!
//! On the command line: `wakeful job push orders created --order-key ann`. `TopicSettings::order_limit`
//! lets more than one job of a key run at once; `TopicSettings::order_retry` sets whether the other jobs of
//! a key wait while a failed one waits for its next run.

use std::time::Duration;

use wakeful::{
    Config, Error, Jobs, PushOptions, ReserveRequest, ReservedJob, Settlement, Verdict, Wakeful,
};

pub(crate) async fn run() -> Result<(), Error> {
    let wakeful = Wakeful::start(Config::new())?;
    for customer in ["ann", "ben"] {
        for event in ["order created", "order paid"] {
            let order_key = Some(customer.into());
            let options = PushOptions { order_key, ..PushOptions::default() };
            wakeful.push("orders", format!("{customer}: {event}"), options).await?;
        }
    }

    // A worker that could run ten jobs at once gets the first of each customer.
    let running = reserve(&wakeful).await?;
    println!("handed out: {}", payloads(&running));
    assert_eq!(running.len(), 2);
    let none = reserve(&wakeful).await?;
    println!("handed out while these run: {}", payloads(&none));
    assert!(none.is_empty());

    let (ann, ben): (Vec<_>, Vec<_>) =
        running.into_iter().partition(|job| job.order_key.as_deref() == Some(b"ann".as_slice()));
    settle(&wakeful, ann).await?;
    let next = reserve(&wakeful).await?;
    println!("handed out after ann's first job is done: {}", payloads(&next));
    assert_eq!(next.len(), 1);

    settle(&wakeful, ben).await?;
    settle(&wakeful, next).await?;
    wakeful.stop().await;
    Ok(())
}

/// Reserves up to ten jobs without waiting.
async fn reserve(wakeful: &Wakeful) -> Result<Vec<ReservedJob>, Error> {
    let wait = Some(Duration::ZERO);
    wakeful.reserve(ReserveRequest { credits: 10, wait, ..ReserveRequest::new("orders") }).await
}

async fn settle(wakeful: &Wakeful, jobs: Vec<ReservedJob>) -> Result<(), Error> {
    let done = |job: ReservedJob| Settlement {
        reservation: job.reservation,
        verdict: Verdict::Done { output: "".into() },
    };
    let refusals = wakeful.settle(jobs.into_iter().map(done).collect()).await?;
    assert!(refusals.iter().all(Option::is_none), "{refusals:?}");
    Ok(())
}

fn payloads(jobs: &[ReservedJob]) -> String {
    if jobs.is_empty() {
        return "nothing".to_owned();
    }
    jobs.iter().map(|job| job.payload.to_string()).collect::<Vec<_>>().join("; ")
}
