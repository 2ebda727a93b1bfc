//! The features of watches, one page each. A page is a file beside this one that can be read on its own: the
//! purpose of the feature, a complete program, and its output.
//!
//! ```sh
//! cargo run --example watch_features -- revisions
//! ```
//!
//! | page | shows how to |
//! | --- | --- |
//! | `wait` | wait for one change: a key exists, is gone, or has a value |
//! | `revisions` | watch a prefix: every change in order, in complete revisions |
//! | `resume` | stop, and continue later without a gap |
//! | `snapshot` | begin with the existing keys |
//! | `filters` | see only deletes, only keys, or also previous values |
//! | `progress` | know that nothing was missed on an idle watch |
//! | `latest` | let a slow consumer skip all but the newest value of a key |
//! | `compacted` | recover a watch whose history is gone |
//! | `many` | watch many ranges over one stream |
//! | `reconnect` | keep a watch across a restart of the server |
#![expect(clippy::print_stdout, reason = "it is what the example shows")]

mod compacted;
mod filters;
mod latest;
mod many;
mod progress;
mod reconnect;
mod resume;
mod revisions;
mod snapshot;
mod wait;

use std::error::Error;

#[actix_rt::main]
async fn main() -> Result<(), Box<dyn Error>> {
    match std::env::args().nth(1).as_deref() {
        Some("wait") => wait::run().await?,
        Some("revisions") => revisions::run().await?,
        Some("resume") => resume::run().await?,
        Some("snapshot") => snapshot::run().await?,
        Some("filters") => filters::run().await?,
        Some("progress") => progress::run().await?,
        Some("latest") => latest::run().await?,
        Some("compacted") => compacted::run().await?,
        Some("many") => many::run().await?,
        Some("reconnect") => reconnect::run().await?,
        _ => {
            return Err(
                "name a page: wait, revisions, resume, snapshot, filters, progress, latest, \
                        compacted, many or reconnect"
                    .into(),
            );
        }
    }
    Ok(())
}
