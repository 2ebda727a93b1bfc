//! The cost of a million delayed jobs: their memory, and the time of other jobs, whose full cycle
//! (push, hand-out, settlement, records written and discarded) is measured with and without them,
//! in turns. The queue alone, without actors and journal.
//!
//! `cargo bench -p wakeful-bench --bench delayed` prints one JSON object per line.

#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a benchmark may end at once")]

use std::io::Write;
use std::time::{Duration, Instant};

use wakeful::PushOptions;
use wakeful::internals::BenchQueue;

/// The allocator of the binary.
#[global_allocator]
static ALLOCATOR: wakeful::Allocator = wakeful::Allocator;

const JOBS: usize = 1_000_000;
const PAYLOAD_BYTES: usize = 64;
const DAY: Duration = Duration::from_secs(24 * 3600);
/// Jobs in one push, and in one hand-out.
const BATCHES: [usize; 2] = [1, 16];
const ROUNDS: usize = 31;
/// Jobs of one round, on each side.
const CYCLED: usize = 64 * 1_024;

/// Returns the memory of the process, bytes.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok());
    pages.expect("resident pages") * 4_096
}

/// Pushes jobs that are due at random times of tomorrow.
fn delay(queue: &mut BenchQueue, count: usize) {
    for from in (0..count).step_by(1_000) {
        let later = |n: usize| DAY + Duration::from_millis((n * 7_919_777 % 86_400_000) as u64);
        let some = from..count.min(from + 1_000);
        let options = some.map(|n| PushOptions { delay: later(n), ..PushOptions::default() });
        assert!(queue.push("later", PAYLOAD_BYTES, options) > 0, "room for these jobs");
    }
}

/// Returns the nanoseconds of a job from push to settlement.
fn cycles(queue: &mut BenchQueue, batch: usize) -> f64 {
    let started = Instant::now();
    for _ in 0..CYCLED / batch {
        let options = (0..batch).map(|_| PushOptions::default());
        assert_eq!(queue.push("now", PAYLOAD_BYTES, options), batch);
        assert_eq!(queue.work("now", batch as u32), batch, "each is handed out at once");
    }
    started.elapsed().as_nanos() as f64 / CYCLED as f64
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn tell(line: std::fmt::Arguments<'_>) {
    writeln!(std::io::stdout(), "{line}").expect("standard output");
}

fn main() {
    let (mut bare, mut full) = (BenchQueue::default(), BenchQueue::default());
    // Memory allocated before the first job is not counted.
    for queue in [&mut bare, &mut full] {
        cycles(queue, 16);
    }
    let before = resident();
    delay(&mut full, JOBS);
    let bytes = (resident() - before) / JOBS;
    let beyond = bytes - PAYLOAD_BYTES;
    tell(format_args!(
        "{{\"what\":\"a delayed job\",\"bytes\":{bytes},\"beyond_payload\":{beyond}}}"
    ));
    for batch in BATCHES {
        let (mut beside_none, mut beside, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..ROUNDS {
            let (none, many) = if round % 2 == 0 {
                let none = cycles(&mut bare, batch);
                (none, cycles(&mut full, batch))
            } else {
                let many = cycles(&mut full, batch);
                (cycles(&mut bare, batch), many)
            };
            beside_none.push(none);
            beside.push(many);
            ratios.push(many / none);
        }
        let ratio = median(&mut ratios);
        let (least, most) = (ratios[0], ratios[ROUNDS - 1]);
        let (none, many) = (median(&mut beside_none), median(&mut beside));
        tell(format_args!(
            "{{\"what\":\"a cycle beside {JOBS} delayed jobs\",\"batch\":{batch},\"ns\":{many:.0},\
             \"ns_beside_none\":{none:.0},\"ratio\":{ratio:.3},\"min\":{least:.3},\"max\":{most:.3}}}"
        ));
    }
}
