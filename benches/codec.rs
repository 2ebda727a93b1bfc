//! What it costs to encode and decode the commonest frames: requests and replies of set and get.

#![expect(clippy::expect_used, reason = "a benchmark that cannot begin has nothing to say")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use wakeful::rpc::specimen::Specimen;

fn codec(c: &mut Criterion) {
    let mut group = c.benchmark_group("codec");
    group.throughput(Throughput::Elements(1));
    for (name, specimen) in [("set", Specimen::set()), ("get", Specimen::get())] {
        let (mut request, mut reply) = (Vec::new(), Vec::new());
        specimen.encode_request(&mut request).expect("a small request");
        specimen.encode_reply(&mut reply).expect("a small reply");

        let mut out = Vec::with_capacity(1024);
        group.bench_function(format!("{name} request encode"), |b| {
            b.iter(|| {
                out.clear();
                black_box(specimen.encode_request(&mut out))
            });
        });
        group.bench_function(format!("{name} request decode"), |b| {
            b.iter(|| Specimen::decode_request(black_box(&request)));
        });
        group.bench_function(format!("{name} reply encode"), |b| {
            b.iter(|| {
                out.clear();
                black_box(specimen.encode_reply(&mut out))
            });
        });
        group.bench_function(format!("{name} reply decode"), |b| {
            b.iter(|| Specimen::decode_reply(black_box(&reply)));
        });
    }
    group.finish();
}

criterion_group!(benches, codec);
criterion_main!(benches);
