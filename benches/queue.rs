//! The queue alone, without actors and journal: the full cycle of a job (push, hand-out, settlement,
//! its records written and thrown away) beside other jobs, and what a delayed job takes in memory.

#![expect(clippy::print_stdout, reason = "it is what a benchmark is for")]

use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use wakeful::PushOptions;
use wakeful::queue_specimen::Queue;

const DAY: Duration = Duration::from_secs(24 * 3600);
const BATCH: usize = 16;

/// What the process has in memory, bytes.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or(0) * 4096
}

fn delayed(count: usize, payload: usize) -> Queue {
    let mut queue = Queue::default();
    let mut left = count;
    while left > 0 {
        let some = left.min(1_000);
        let later = |n: usize| DAY + Duration::from_millis((n * 7_919 % 86_400_000) as u64);
        let options =
            (0..some).map(|n| PushOptions { delay: later(left - n), ..Default::default() });
        left -= queue.push("later", payload, options);
    }
    queue
}

fn cycle(queue: &mut Queue, keys: impl Fn(usize) -> Option<String>) {
    let options = (0..BATCH).map(|n| PushOptions {
        order_key: keys(n).map(|key| key.as_str().into()),
        ..Default::default()
    });
    queue.push("now", 64, options);
    let mut done = 0;
    while done < BATCH {
        done += queue.work("now", BATCH as u32);
    }
}

fn beside_delayed_jobs(bench: &mut Criterion) {
    let mut group = bench.benchmark_group("a full cycle");
    group.throughput(Throughput::Elements(BATCH as u64));
    for count in [0, 1_000, 1_000_000] {
        let before = resident();
        let mut queue = delayed(count, 64);
        if count == 1_000_000 {
            let each = (resident() - before) / count as u64;
            println!("a delayed job: {each} bytes, of them 64 of payload");
        }
        group.bench_function(BenchmarkId::new("beside delayed jobs", count), |bench| {
            bench.iter(|| cycle(&mut queue, |_| None));
        });
    }
    group.finish();
}

fn with_order_keys(bench: &mut Criterion) {
    let mut group = bench.benchmark_group("a full cycle");
    group.throughput(Throughput::Elements(BATCH as u64));
    for count in [1_000_usize, 100_000] {
        // Each key has a job that is held up by a pause of the whole topic; the others go on.
        let mut queue = Queue::default();
        for from in (0..count).step_by(1_000) {
            let options = (from..from + 1_000).map(|n| PushOptions {
                order_key: Some(format!("key {n}").as_str().into()),
                ..Default::default()
            });
            queue.push("held", 64, options);
        }
        let mut next = 0;
        group.bench_function(BenchmarkId::new("beside order keys", count), |bench| {
            bench.iter(|| {
                next += BATCH;
                cycle(&mut queue, |n| Some(format!("key {}", (next + n) % count)));
            });
        });
    }
    group.finish();
}

criterion_group!(benches, beside_delayed_jobs, with_order_keys);
criterion_main!(benches);
