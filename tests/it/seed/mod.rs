//! The defects of the design that this project started from, a watch service with one watcher,
//! queue, storage and handler for each topic. Each defect has a number and a test that Wakeful does
//! not have it.
//!
//! Workers: (1) one slow handler holds up all jobs; (2) an empty or closed queue is polled in a
//! busy loop; (3) a stop hangs on an idle queue; (4) one stop reaches only one of two loops, and
//! unset parts are used all the same; (8) a panic ends the watcher for ever; (9) a handler that
//! ignores its timeout blocks everything.
//!
//! Retries: (5) a retry waits for capacity in the queue that only it empties, a cleared queue has
//! no capacity, a push after close panics; (6) a retry is immediate and loses its place; (7) past
//! its budget a message is lost without a trace; (13) a retry repeats handlers that succeeded.
//!
//! Results: (10) only the same handle finds them, and they are kept for ever; (11) failures are
//! stored, and run again at each start, and one that cannot be stored is retried twice; (12) stored
//! results cannot be read back, and closing the storage closes its backend.

mod results;
mod retries;
mod workers;

use std::sync::Arc;

use parking_lot::Mutex;
use wakeful::{Config, Wakeful};

fn start() -> Wakeful {
    Wakeful::start(Config::new()).unwrap()
}

/// The payloads that handlers received, in order.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<String>>>);

impl Seen {
    fn note(&self, text: &str) {
        self.0.lock().push(text.to_owned());
    }

    fn all(&self) -> Vec<String> {
        self.0.lock().clone()
    }
}
