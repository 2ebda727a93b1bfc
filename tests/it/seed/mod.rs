//! What was wrong with the design this was conceived from, a watch service of one watcher, queue,
//! storage and handler for each topic: defect by defect, by number, each with a test that ours lacks
//! it.
//!
//! Workers: (1) one slow handler holds up all jobs; (2) an empty or closed queue is asked in a
//! circle; (3) a stop hangs on an idle queue; (4) one stop reaches one of two loops, and what was not
//! set is used all the same; (8) a panic ends the watcher for ever; (9) a handler that ignores its
//! timeout blocks everything.
//!
//! Retries: (5) a retry waits for room in the queue that only it empties, a cleared queue has no
//! room, a push after close panics; (6) a retry is immediate and loses its place; (7) past its
//! budget a message is gone without a trace; (13) a retry repeats the handlers that were done.
//!
//! Results: (10) they are found by the very same handle only, and kept for ever; (11) failures are
//! stored, and run again at each start, and one that cannot be stored is retried twice; (12) what is
//! stored cannot be read back, and closing the storage closes what it stands on.

mod results;
mod retries;
mod workers;

use std::sync::Arc;

use parking_lot::Mutex;
use wakeful::{Config, Wakeful};

fn start() -> Wakeful {
    Wakeful::start(Config::new()).unwrap()
}

/// What handlers were given, in order.
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
