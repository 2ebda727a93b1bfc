//! [`Progress`]: one line per second on stderr during a long run.

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{JoinHandle, park_timeout};
use std::time::{Duration, Instant};

use wakeful::internals::program::write_stderr;

/// Prints until dropped, and only on a terminal.
#[derive(Debug)]
pub(super) struct Progress {
    printer: Option<JoinHandle<()>>,
    /// The printer has the other reference, and ends when it is the last.
    _alive: Arc<()>,
}

impl Progress {
    /// Starts printing how fast `answered` grows.
    pub(super) fn start(answered: Vec<Arc<AtomicU64>>) -> Self {
        let alive = Arc::new(());
        let seen = Arc::downgrade(&alive);
        let printer = std::io::stderr().is_terminal().then(|| {
            std::thread::spawn(move || {
                let (start, mut last, mut before) = (Instant::now(), Instant::now(), 0);
                while seen.strong_count() > 0 {
                    park_timeout(Duration::from_secs(1));
                    let total: u64 = answered.iter().map(|one| one.load(Ordering::Relaxed)).sum();
                    let now = Instant::now();
                    let rate = (total - before) as f64 / (now - last).as_secs_f64();
                    (last, before) = (now, total);
                    let seconds = (now - start).as_secs();
                    let line = format!("\r{seconds:5} s  {rate:12.0} requests/s ");
                    write_stderr(line.as_bytes());
                }
                write_stderr(b"\n");
            })
        });
        Self { printer, _alive: alive }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self._alive = Arc::default();
        if let Some(printer) = self.printer.take() {
            printer.thread().unpark();
            let _ = printer.join();
        }
    }
}
