//! A schedule: pushes a job repeatedly, by a cron expression in a time zone.
//!
//! Use it for reports, clean-ups and reminders. The server pushes the job, so it is pushed once for any
//! number of workers; times missed while the server was down are made up by one push.
//!
//! ```sh
//! cargo run --example job_features -- schedule
//! ```
//!
//! takes about two seconds, and prints
//!
//! ```text
//! set: weekdays
//! set: every-second
//! job 1: check
//! job 2: check
//! removed: every-second
//! ```
//!
//! On the command line: `wakeful job schedule weekdays '0 9 * * 1-5' report --tz Europe/Berlin`, and
//! `wakeful job schedules` for a list.

use wakeful::{
    Config, Error, Jobs, PushRequest, ReserveRequest, Schedule, Settlement, Verdict, Wakeful,
};

pub(crate) async fn run() -> Result<(), Error> {
    let wakeful = Wakeful::start(Config::new())?;

    // At 9:00 local time from Monday to Friday, in summer and in winter.
    let weekdays = Schedule {
        name: "weekdays".into(),
        cron: "0 9 * * 1-5".into(),
        timezone: "Europe/Berlin".into(),
        push: PushRequest::new("report", "daily"),
    };
    let set = wakeful.set_schedule(weekdays).await?;
    println!("set: {}", set.schedule.name);
    assert!(set.next.is_some(), "the time of the next push, in milliseconds since 1970");

    // With six fields, the first one is seconds.
    let every_second = Schedule {
        name: "every-second".into(),
        cron: "* * * * * *".into(),
        timezone: "UTC".into(),
        push: PushRequest::new("checks", "check"),
    };
    let set = wakeful.set_schedule(every_second).await?;
    println!("set: {}", set.schedule.name);

    // A worker waits for the jobs, each pushed at its time.
    for _ in 0..2 {
        for job in wakeful.reserve(ReserveRequest::new("checks")).await? {
            println!("job {}: {}", job.reservation.id, job.payload);
            let verdict = Verdict::Done { output: "".into() };
            wakeful.settle(vec![Settlement { reservation: job.reservation, verdict }]).await?;
        }
    }

    wakeful.remove_schedule("every-second").await?;
    println!("removed: every-second");
    let left = wakeful.schedules().await?;
    assert!(left.iter().all(|info| info.schedule.name == "weekdays"));

    wakeful.stop().await;
    Ok(())
}
