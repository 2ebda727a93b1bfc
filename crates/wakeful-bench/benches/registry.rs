//! The cost of finding, adding and removing waiters of a key, with few and with many others.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use wakeful::KeyRange;
use wakeful::internals::Watchers;

const SIZES: [u32; 3] = [1_000, 100_000, 1_000_000];

fn key(n: u32) -> String {
    format!("service/{n:07}/state")
}

fn prefix(n: u32) -> KeyRange {
    KeyRange::prefix(format!("service/{n:07}/"))
}

/// Returns a range of two keys, so that neighbours overlap.
fn range(n: u32) -> KeyRange {
    KeyRange::range(format!("service/{n:07}/"), format!("service/{:07}/", n + 2))
}

fn own_key(n: u32) -> KeyRange {
    KeyRange::key(key(n))
}

fn same_key(_: u32) -> KeyRange {
    KeyRange::key("service")
}

fn filled(of: fn(u32) -> KeyRange, size: u32) -> Watchers {
    let mut registry = Watchers::default();
    for n in 0..size {
        registry.insert(&of(n), n);
    }
    registry
}

type Shape = (&'static str, fn(u32) -> KeyRange);

fn ask(c: &mut Criterion) {
    let shapes: [Shape; 3] = [("keys", own_key), ("prefixes", prefix), ("ranges", range)];
    for (name, of) in shapes {
        let mut group = c.benchmark_group(format!("for_each_among_{name}"));
        for size in SIZES {
            let registry = filled(of, size);
            let asked: Vec<String> = (0..1_000).map(|n| key(n * 7_919 % size)).collect();
            let mut turn = asked.iter().cycle();
            group.bench_function(BenchmarkId::from_parameter(size), |b| {
                b.iter(|| {
                    let key = turn.next().map_or("", |key| key);
                    registry.for_each(key.as_bytes(), |watcher| {
                        black_box(watcher);
                    });
                });
            });
        }
        group.finish();
    }
}

fn come_and_go(c: &mut Criterion) {
    let shapes: [Shape; 3] = [("own_keys", own_key), ("one_key", same_key), ("ranges", range)];
    for (name, of) in shapes {
        let mut group = c.benchmark_group(format!("remove_and_insert_in_{name}"));
        for size in SIZES {
            let mut registry = filled(of, size);
            let moving: Vec<(u32, KeyRange)> =
                (0..1_000).map(|n| n * 7_919 % size).map(|n| (n, of(n))).collect();
            let mut turn = moving.iter().cycle();
            group.bench_function(BenchmarkId::from_parameter(size), |b| {
                b.iter(|| {
                    if let Some((watcher, range)) = turn.next() {
                        registry.remove(range, *watcher);
                        registry.insert(range, *watcher);
                    }
                });
            });
        }
        group.finish();
    }
}

fn tell_all(c: &mut Criterion) {
    let registry = filled(same_key, 1_000_000);
    c.bench_function("for_each_of_1000000_on_one_key", |b| {
        b.iter(|| {
            let mut sum = 0u64;
            registry.for_each(b"service", |watcher| sum += u64::from(watcher));
            sum
        });
    });
}

criterion_group!(benches, ask, come_and_go, tell_all);
criterion_main!(benches);
