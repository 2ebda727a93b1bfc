//! The cost of encoding and decoding the most frequent frames: requests and replies of set and get.

#![expect(clippy::expect_used, reason = "a benchmark that cannot begin has nothing to say")]

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use wakeful::internals::wire::{RequestBody, decode_reply, encode_reply};
use wakeful::rpc::codec::BODY_BYTES_LIMIT;
use wakeful::rpc::frame;
use wakeful::{GetReply, GetRequest, KeyValue, KvRequest, Reply, SetReply, SetRequest};

const KEY: &str = "key:000000012345";

/// Returns a set of a 16-byte key to 64 bytes, and its reply.
fn set() -> (RequestBody, Reply) {
    let request = KvRequest::Set(SetRequest::new(KEY, vec![b'x'; 64]));
    (request.into(), Reply::Set(SetReply::new(1_000_000)))
}

/// Returns a get, and a reply with 64 bytes.
fn get() -> (RequestBody, Reply) {
    let request = KvRequest::Get(GetRequest { key: KEY.into(), revision: 0 });
    let kv = KeyValue {
        key: KEY.into(),
        value: vec![b'x'; 64].into(),
        create_revision: 12_345,
        mod_revision: 999_999,
        version: 17,
        lease: 0,
    };
    (request.into(), Reply::Get(GetReply::new(1_000_000, Some(Arc::new(kv)))))
}

/// Splits the one frame off `bytes`, as a connection does, and returns its body.
fn body(bytes: &[u8]) -> &[u8] {
    let split = frame::split(bytes, BODY_BYTES_LIMIT).expect("a frame");
    split.expect("a whole frame").1
}

fn codec(c: &mut Criterion) {
    let mut group = c.benchmark_group("codec");
    group.throughput(Throughput::Elements(1));
    for (name, (call, reply)) in [("set", set()), ("get", get())] {
        let (mut request, mut answer) = (Vec::new(), Vec::new());
        call.encode(&mut request, 7).expect("a small request");
        encode_reply(&mut answer, 7, &reply).expect("a small reply");

        let mut out = Vec::with_capacity(1024);
        group.bench_function(format!("{name} request encode"), |b| {
            b.iter(|| {
                out.clear();
                black_box(call.encode(&mut out, 7))
            });
        });
        group.bench_function(format!("{name} request decode"), |b| {
            b.iter(|| black_box(RequestBody::decode(body(black_box(&request)))));
        });
        group.bench_function(format!("{name} reply encode"), |b| {
            b.iter(|| {
                out.clear();
                black_box(encode_reply(&mut out, 7, &reply))
            });
        });
        group.bench_function(format!("{name} reply decode"), |b| {
            b.iter(|| black_box(decode_reply(body(black_box(&answer)))));
        });
    }
    group.finish();
}

criterion_group!(benches, codec);
criterion_main!(benches);
