//! The queue alone, without actors and journal: the full cycle of a job (push, hand-out,
//! settlement, records written and discarded) beside many order keys. For the cycle beside delayed
//! jobs, see `delayed.rs`.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use wakeful::PushOptions;
use wakeful::internals::BenchQueue;

const BATCH: usize = 16;

fn cycle(queue: &mut BenchQueue, keys: impl Fn(usize) -> Option<String>) {
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

fn with_order_keys(bench: &mut Criterion) {
    let mut group = bench.benchmark_group("a full cycle");
    group.throughput(Throughput::Elements(BATCH as u64));
    for count in [1_000_usize, 100_000] {
        // Each key has a job that a pause of the whole topic holds back; the others continue.
        let mut queue = BenchQueue::default();
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

criterion_group!(benches, with_order_keys);
criterion_main!(benches);
