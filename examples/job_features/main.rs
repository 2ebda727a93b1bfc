//! The features of jobs, one page each. A page is a file beside this one that can be read on its own: the
//! purpose of the feature, a complete program, and its output.
//!
//! ```sh
//! cargo run --example job_features -- unique_index
//! ```
//!
//! | page | shows how to |
//! | --- | --- |
//! | `unique_index` | push a job only if no other job has its name |
//! | `order_key` | run the jobs of one customer in order, those of different customers at once |
//! | `schedule` | push a job repeatedly, by a cron expression |
//! | `cancel` | cancel a job, also while it runs |
//! | `dead_letter` | find jobs that failed too often, and replay them |
//! | `progress` | report the progress of a job |
//! | `results` | wait for the result of a job, or follow the outcomes of a topic |
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
