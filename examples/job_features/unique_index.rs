//! A unique index: a push with an index that is taken adds no job.
//!
//! Use it where the same work may be pushed twice: a request that is sent again, a webhook that is
//! delivered again, two machines with the same timer. The index is the producer's own name for the work.
//! It is unique in its topic for as long as the push requests: until the job is handed out, until it is
//! finished (the default), or for a time after that.
//!
//! ```sh
//! cargo run --example job_features -- unique_index
//! ```
//!
//! ```text
//! first push: job 1
//! second push: job 1, which is Ready
//! third push: job 1, which is Done
//! push after the index was freed: job 2
//! ```
//!
//! On the command line: `wakeful job push mail hello --index invoice-17 --unique 1d`, and
//! `wakeful job free-index mail invoice-17`.

use std::time::Duration;

use wakeful::{
    Config, Error, Jobs, PushOptions, ReserveRequest, Settlement, Unique, Verdict, Wakeful,
};

pub(crate) async fn run() -> Result<(), Error> {
    let wakeful = Wakeful::start(Config::new())?;
    // One mail for each invoice: the index stays taken for a day after the job is finished.
    let options = || PushOptions {
        index: Some("invoice-17".into()),
        unique: Unique::Finished(Duration::from_secs(24 * 3600)),
        ..PushOptions::default()
    };

    let first = wakeful.push("mail", "hello", options()).await?;
    println!("first push: job {}", first.id);
    assert!(!first.existing);

    let second = wakeful.push("mail", "hello", options()).await?;
    println!("second push: job {}, which is {:?}", second.id, second.state);
    assert!(second.existing);

    // A worker does the job.
    for job in wakeful.reserve(ReserveRequest::new("mail")).await? {
        let verdict = Verdict::Done { output: "sent".into() };
        wakeful.settle(vec![Settlement { reservation: job.reservation, verdict }]).await?;
    }
    let third = wakeful.push("mail", "hello", options()).await?;
    println!("third push: job {}, which is {:?}", third.id, third.state);
    assert!(third.existing);

    // To send the mail once more on purpose, free the index first.
    wakeful.free_index("mail", "invoice-17").await?;
    let fourth = wakeful.push("mail", "hello", options()).await?;
    println!("push after the index was freed: job {}", fourth.id);
    assert!(!fourth.existing);

    wakeful.stop().await;
    Ok(())
}
