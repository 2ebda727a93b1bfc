//! The pure store: the cost of a set, a get and a page of keys, without wire and actor; and the
//! cost that watchers of other keys add to a set, which should be almost nothing.

#![expect(clippy::expect_used, reason = "a benchmark that cannot begin has nothing to say")]

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use wakeful::internals::Core;
use wakeful::{
    Blob, Config, GetRequest, KeyRange, KvRequest, RangeRequest, SetRequest, WaitRequest,
    WatchRequest,
};

/// The allocator of the binary.
#[global_allocator]
static ALLOCATOR: wakeful::Allocator = wakeful::Allocator;

const KEYS: u64 = 100_000;
const WATCHERS: [u64; 4] = [10, 1_000, 100_000, 1_000_000];

fn key(number: u64) -> String {
    format!("key:{number:012}")
}

/// Returns key numbers in an order without locality.
fn numbers() -> impl Iterator<Item = u64> {
    (0u64..).map(|turn| turn.wrapping_mul(0x9E37_79B9_7F4A_7C15) % KEYS)
}

fn set(number: u64) -> KvRequest {
    KvRequest::Set(SetRequest::new(key(number), vec![b'x'; 64]))
}

/// Returns a store with every key set `times` times, and a history as long as the number of keys.
fn filled(times: u64) -> Core {
    let mut config = Config::new();
    config.store.history_revisions_max = KEYS;
    let mut core = Core::new(config).expect("one stream");
    for number in (0..times).flat_map(|_| 0..KEYS) {
        core.apply(set(number)).expect("room for these keys");
    }
    core
}

fn store(c: &mut Criterion) {
    // The history is full, so each set compacts the oldest revision.
    let (mut core, mut turn) = (filled(2), numbers());
    c.bench_function("set", |b| {
        b.iter_batched(
            || set(turn.next().unwrap_or_default()),
            |request| black_box(core.apply(request)),
            BatchSize::SmallInput,
        );
    });
    let (mut core, mut turn) = (filled(1), numbers());
    c.bench_function("get", |b| {
        b.iter_batched(
            || {
                let key = turn.next().map(key).unwrap_or_default().into();
                KvRequest::Get(GetRequest { key, revision: 0 })
            },
            |request| black_box(core.apply(request)),
            BatchSize::SmallInput,
        );
    });
    c.bench_function("range of 100 keys", |b| {
        b.iter_batched(
            || {
                let from = turn.next().map(key).unwrap_or_default();
                let range = KeyRange::Range { from: from.into(), to: Blob::default() };
                KvRequest::Range(RangeRequest { limit: 100, ..RangeRequest::new(range) })
            },
            |request| black_box(core.apply(request)),
            BatchSize::SmallInput,
        );
    });
}

type Watch = (&'static str, fn(&mut Core, u64));

fn watchers_elsewhere(c: &mut Criterion) {
    let others: [Watch; 3] = [
        ("watched keys", |core, n| {
            let range = KeyRange::key(format!("other:{n:010}"));
            core.watch(WatchRequest::new(range)).expect("room for a watch");
        }),
        ("watched prefixes", |core, n| {
            let range = KeyRange::prefix(format!("other:{n:010}:"));
            core.watch(WatchRequest::new(range)).expect("room for a watch");
        }),
        ("waits", |core, n| {
            let range = KeyRange::key(format!("other:{n:010}"));
            core.wait(WaitRequest::new(range)).expect("room for a wait");
        }),
    ];
    for (name, watch) in others {
        let mut group = c.benchmark_group(format!("set with other {name}"));
        let (mut core, mut turn, mut watchers) = (filled(2), numbers(), 0);
        for size in WATCHERS {
            (watchers..size).for_each(|n| watch(&mut core, n));
            watchers = size;
            group.bench_function(BenchmarkId::from_parameter(size), |b| {
                b.iter_batched(
                    || set(turn.next().unwrap_or_default()),
                    |request| black_box(core.apply(request)),
                    BatchSize::SmallInput,
                );
            });
        }
        group.finish();
    }
}

fn watchers_of_one_key(c: &mut Criterion) {
    let mut core = filled(1);
    for _ in 0..1_000 {
        core.watch(WatchRequest::new(KeyRange::key(key(7)))).expect("room for a watch");
    }
    c.bench_function("set and show to 1000 watches of one stream", |b| {
        b.iter(|| {
            core.apply(set(7)).expect("room for this key");
            assert_eq!(core.show(), 1_000);
        });
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(30)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    targets = store, watchers_elsewhere, watchers_of_one_key
}
criterion_main!(benches);
