//! The features of jobs, one page each. A page is a file beside this one, to be read on its own: what the
//! feature is for, a whole program, and what it prints.
//!
//! ```sh
//! cargo run --example job_features -- unique_index
//! ```
//!
//! | page | shows how to |
//! | --- | --- |
//! | `unique_index` | push a job only if there is no other of its name |
//! | `order_key` | do jobs of one customer in order, of several customers at once |
//! | `schedule` | push a job again and again, by a cron expression |
//! | `cancel` | cancel a job, also while it runs |
//! | `dead_letter` | find jobs that failed too often, and run them again |
//! | `progress` | report how far a job is |
//! | `results` | wait for the result of a job, or follow the results of a topic |
#![expect(clippy::print_stdout, reason = "it is what the example shows")]

mod cancel;
mod dead_letter;
mod order_key;
mod progress;
mod results;
mod schedule;
mod unique_index;

use std::error::Error;

#[actix_rt::main]
async fn main() -> Result<(), Box<dyn Error>> {
    match std::env::args().nth(1).as_deref() {
        Some("unique_index") => unique_index::run().await?,
        Some("order_key") => order_key::run().await?,
        Some("schedule") => schedule::run().await?,
        Some("cancel") => cancel::run().await?,
        Some("dead_letter") => dead_letter::run().await?,
        Some("progress") => progress::run().await?,
        Some("results") => results::run().await?,
        _ => {
            return Err("name a page: unique_index, order_key, schedule, cancel, dead_letter, \
                        progress or results"
                .into());
        }
    }
    Ok(())
}
