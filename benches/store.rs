//! The pure store: what one set, get and page of keys cost it, without wire, actor or watchers.
//!
//! The store is private, so its files are compiled into the bench.

#![expect(clippy::expect_used, reason = "a benchmark that cannot begin has nothing to say")]
#![allow(dead_code, unused_imports, unfulfilled_lint_expectations, unreachable_pub)]

use std::hint::black_box;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};

#[path = "../src/config.rs"]
mod config;
#[path = "../src/duration.rs"]
mod duration;
#[path = "../src/error.rs"]
mod error;
#[path = "../src/model/mod.rs"]
mod model;
#[path = "../src/store/mod.rs"]
mod store;

use config::{Config, StoreConfig};
use store::State;

pub use error::{Details, Error, ErrorCode};
pub use model::*;

/// As in the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const KEYS: u64 = 100_000;

fn key(number: u64) -> String {
    format!("key:{number:012}")
}

/// Keys in an order that no cache foresees.
fn numbers() -> impl Iterator<Item = u64> {
    (0u64..).map(|turn| turn.wrapping_mul(0x9E37_79B9_7F4A_7C15) % KEYS)
}

fn set(number: u64) -> Request {
    Request::Set(SetRequest::new(key(number), vec![b'x'; 64]))
}

/// Every key set `times` times, with a history as long as there are keys.
fn filled(times: u64) -> State {
    let config = StoreConfig { history_revisions_max: KEYS, ..Config::new().store };
    let mut store = State::new(config);
    for number in (0..times).flat_map(|_| 0..KEYS) {
        store.apply(0, None, set(number)).expect("room for these keys");
    }
    store
}

fn store(c: &mut Criterion) {
    // The history is full: each set pushes the oldest revision out.
    let (mut store, mut turn) = (filled(2), numbers());
    c.bench_function("set", |b| {
        b.iter_batched(
            || set(turn.next().unwrap_or_default()),
            |request| black_box(store.apply(0, None, request)),
            BatchSize::SmallInput,
        );
    });
    let (mut store, mut turn) = (filled(1), numbers());
    c.bench_function("get", |b| {
        b.iter_batched(
            || {
                Request::Get(GetRequest {
                    key: turn.next().map(key).unwrap_or_default().into(),
                    revision: 0,
                })
            },
            |request| black_box(store.apply(0, None, request)),
            BatchSize::SmallInput,
        );
    });
    c.bench_function("range of 100 keys", |b| {
        b.iter_batched(
            || {
                let from = turn.next().map(key).unwrap_or_default();
                let range = KeyRange::Range { from: from.into(), to: Blob::default() };
                Request::Range(RangeRequest { limit: 100, ..RangeRequest::new(range) })
            },
            |request| black_box(store.apply(0, None, request)),
            BatchSize::SmallInput,
        );
    });
}

criterion_group!(benches, store);
criterion_main!(benches);
